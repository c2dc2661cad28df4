"""Shapes for `tf.reshape`."""

import tensorflow as tf


def batch_and_length(x, axis=1) -> tuple:
    """The sizes of the first axis and of another one, as `tf.reshape` takes them.

    Where the other one is known the first is -1. That takes no operation, as a step of decoding,
    whose tensors are small, had better not have many.

    Args:
        x: a tensor.
        axis: the other axis.
    """
    length = x.shape[axis]
    if length:
        return -1, length
    shape = tf.shape(x)
    return shape[0], shape[axis]
