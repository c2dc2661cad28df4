"""The loss of guided alignment: the logarithm of the weight of the right source tokens."""

import math

import numpy as np
import tensorflow as tf

from keras_transformer.losses.alignment import alignment_loss

WEIGHTS = np.array([[[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]]])


def loss(first, last, weights=WEIGHTS):
    first, last = (tf.constant([numbers], tf.int32) for numbers in (first, last))
    return float(alignment_loss(tf.constant(weights, tf.float32), first, last))


def test_values():
    np.testing.assert_allclose(loss([3, 0, 0], [4, 0, 0]), -math.log(0.7), rtol=1e-5)
    np.testing.assert_allclose(loss([1, 2, 0], [1, 2, 0]), -2 * math.log(0.1), rtol=1e-5)
    assert loss([0, 0, 0], [0, 0, 0]) == 0.0


def test_a_weight_of_zero_has_a_finite_loss():
    weights = np.eye(4)[np.newaxis, :3]
    assert 1 < loss([2, 0, 0], [2, 0, 0], weights) < 50


def test_padding_and_unlinked_tokens_have_no_gradient():
    weights = tf.Variable(tf.constant(WEIGHTS, tf.float32))
    with tf.GradientTape() as tape:
        value = alignment_loss(weights, tf.constant([[2, 0, 0]]), tf.constant([[2, 0, 0]]))
    gradient = tape.gradient(value, weights).numpy()
    assert gradient[0, 0, 1] < 0
    gradient[0, 0, 1] = 0
    assert not gradient.any()
