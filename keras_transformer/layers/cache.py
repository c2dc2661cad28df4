"""Buffers that decoding fills position by position."""

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.python.ops import control_flow_util


def write_slots(buffer, new, start):
    """Writes along the second axis, in place where nothing else uses the buffer.

    Args:
        buffer: ``(n, slots, width)``.
        new: ``(n, some slots, width)``.
        start: scalar int32, the first slot to write.

    Returns:
        the buffer with `new` in it.
    """
    begin = tf.stack([0, start, 0])
    if not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    ):
        return xla.dynamic_update_slice(buffer, new, begin)
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=buffer,
        begin=begin,
        end=tf.stack([0, start + tf.shape(new)[1], 0]),
        strides=[1, 1, 1],
        value=new,
        begin_mask=0b101,  # the first and the last axis in full
        end_mask=0b101,
    )


def with_slots(buffer, slots):
    """The buffer, ``(n, slots, width)``, with zeros after its end up to `slots`."""
    return tf.pad(buffer, [[0, 0], [0, slots - tf.shape(buffer)[1]], [0, 0]])
