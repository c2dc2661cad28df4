"""Dropout whose masks follow from a seed and a step.

Inside `dropout_seed` a mask depends on the seed, the step, the replica and the place of the layer
in the model, and on nothing that would have to be saved: a training that goes on after an
interruption drops what it would have dropped. Outside it, layers draw from their own generators
as Keras' do.
"""

import contextlib
import contextvars
import itertools

import keras
import tensorflow as tf

_BITS = 16  # of randomness for each element; rates are exact to 2^-16

_scope = contextvars.ContextVar("dropout_seed", default=None)


@contextlib.contextmanager
def dropout_seed(seed, step):
    """Makes the dropout of the calls inside a function of `seed` and `step`.

    Args:
        seed: of the run; integer or scalar tensor.
        step: of the training, or whatever else sets one call apart from the next; likewise.
    """
    numbers = itertools.count()  # tells layers apart, whose order in the model is always the same
    token = _scope.set((tf.cast(seed, tf.int64), tf.cast(step, tf.int64), numbers))
    try:
        yield
    finally:
        _scope.reset(token)


def _seed_in_scope():
    """int64 ``(2,)`` for the next layer in the scope."""
    seed, step, numbers = _scope.get()
    context = tf.distribute.get_replica_context()
    replica = tf.cast(context.replica_id_in_sync_group, tf.int64) if context else 0
    # Two 64-bit keys: run and layer, step and replica. Powers of two keep the parts apart.
    return tf.stack([seed * 2**16 + next(numbers), step * 2**16 + replica])


def keep_mask(shape, rate, seed) -> tf.Tensor:
    """Draws what dropout keeps.

    Half as many random words as elements are drawn, which halves most of the cost of dropout.

    Args:
        shape: of the mask; static or a tensor.
        rate: share of elements that are dropped.
        seed: integers, ``(2,)``.

    Returns:
        bool tensor, ``True`` with probability ``1 - rate``.
    """
    shape = tf.convert_to_tensor(shape, tf.int32)
    size = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform(
        ((size + 1) // 2,), seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    halves = tf.reshape(tf.bitcast(words, tf.uint16), (-1,))
    threshold = tf.constant(min(round(rate * 2**_BITS), 2**_BITS - 1), tf.uint16)
    return tf.reshape(halves[:size] >= threshold, shape)


def drop(x, rate, seed) -> tf.Tensor:
    """Drops elements of `x`, and makes the others larger by what that takes from the sum.

    Args:
        x: floating-point tensor.
        rate: share of elements that are dropped.
        seed: integers, ``(2,)``.
    """
    shape = x.shape if x.shape.is_fully_defined() else tf.shape(x)
    keep = tf.cast(keep_mask(shape, rate, seed), x.dtype)
    return x * (keep * tf.cast(1 / (1 - rate), x.dtype))


@keras.saving.register_keras_serializable("keras_transformer")
class Dropout(keras.layers.Dropout):
    """Keras' dropout with masks that cost half as much and can be repeated; see `dropout_seed`.

    Args:
        rate: share of the inputs that are dropped, at least 0 and below 1.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(rate, **kwargs)
        if not 0 <= rate < 1 or self.noise_shape is not None:
            raise ValueError(f"Dropout takes a rate of at least 0 and below 1 alone; got {rate}.")

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        return drop(inputs, self.rate, self.next_seed())

    def next_seed(self) -> tf.Tensor:
        """Integers ``(2,)`` in place of a call, for who drops by other means: its seed."""
        return self.seed_generator.next() if _scope.get() is None else _seed_in_scope()
