"""Dropout whose masks are a function of a seed and a step.

Inside `dropout_seed` a mask depends only on the seed, the step, the replica and the place of the
layer in the model, so that a resumed training drops the same as an uninterrupted one without saving
a generator. Outside it, layers draw from their own generators, as in Keras.
"""

import contextlib
import contextvars
import itertools

import keras
import tensorflow as tf

from keras_transformer.errors import InputError

_BITS = 16  # random bits for each element: rates are exact to 2^-16

_scope = contextvars.ContextVar("dropout_seed", default=None)


@contextlib.contextmanager
def dropout_seed(seed, step):
    """Context in which the masks of dropout follow from `seed` and `step`.

    Args:
        seed: seed of the run, an integer or scalar tensor.
        step: number of the training step, or another number that differs between calls; likewise.
    """
    numbers = itertools.count()  # a number for each layer, which are called in one order
    token = _scope.set((tf.cast(seed, tf.int64), tf.cast(step, tf.int64), numbers))
    try:
        yield
    finally:
        _scope.reset(token)


def _seed_in_scope():
    """Seed of the next layer in the context, int64 ``(2,)``."""
    seed, step, numbers = _scope.get()
    context = tf.distribute.get_replica_context()
    replica = tf.cast(context.replica_id_in_sync_group, tf.int64) if context else 0
    # Two 64-bit keys: run and layer, step and replica. Powers of two keep the parts apart.
    return tf.stack([seed * 2**16 + next(numbers), step * 2**16 + replica])


def keep_mask(shape, rate, seed) -> tf.Tensor:
    """Draws a mask of dropout.

    Two elements share a random word, which halves most of the cost of dropout.

    Args:
        shape: shape of the mask, static or a tensor.
        rate: share of elements that are dropped.
        seed: integers ``(2,)``.

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
    """Sets elements of `x` to zero at random and scales the others by ``1 / (1 - rate)``.

    Args:
        x: floating-point tensor.
        rate: share of elements that are dropped.
        seed: integers ``(2,)``.
    """
    shape = x.shape if x.shape.is_fully_defined() else tf.shape(x)
    keep = tf.cast(keep_mask(shape, rate, seed), x.dtype)
    return x * (keep * tf.cast(1 / (1 - rate), x.dtype))


@keras.saving.register_keras_serializable("keras_transformer")
class Dropout(keras.layers.Dropout):
    """Keras' dropout with reproducible masks at half the cost; see `dropout_seed`.

    Args:
        rate: share of the inputs that are dropped, at least 0 and below 1.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(rate, **kwargs)
        if not 0 <= rate < 1 or self.noise_shape is not None:
            raise InputError(f"Dropout takes a rate of at least 0 and below 1 alone; got {rate}.")

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        return drop(inputs, self.rate, self.next_seed())

    def next_seed(self) -> tf.Tensor:
        """Seed of one mask, integers ``(2,)``, for use with `drop` instead of a call."""
        return self.seed_generator.next() if _scope.get() is None else _seed_in_scope()
