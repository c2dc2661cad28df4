"""The feed-forward network: equation 2, alike at every position, dense or convolutional."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.internals import keras_mask
from keras_transformer.layers import FeedForward, point_wise_feed_forward_network

NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])


def test_convolutions_equal_dense_layers(dtype_policy, tolerance, rng):
    dense = point_wise_feed_forward_network(6, 10, dtype=dtype_policy)
    convolution = point_wise_feed_forward_network(6, 10, convolution=True, dtype=dtype_policy)
    x = rng.normal(size=(2, 5, 6)).astype("float32")
    dense(x), convolution(x)
    assert [layer.__class__.__name__ for layer in convolution.layers] == ["Conv1D"] * 2
    weights = [rng.normal(scale=0.5, size=w.shape) for w in dense.weights]
    dense.set_weights(weights)
    convolution.set_weights([w[np.newaxis] if w.ndim == 2 else w for w in weights])
    np.testing.assert_allclose(
        tf.cast(convolution(x), tf.float32), tf.cast(dense(x), tf.float32), atol=tolerance
    )


def test_equals_equation_two(rng):
    network = point_wise_feed_forward_network(6, 10)
    x = rng.normal(size=(2, 5, 6)).astype("float32")
    network.build(x.shape)
    w1, b1, w2, b2 = (rng.normal(size=w.shape) for w in network.weights)
    network.set_weights([w1, b1, w2, b2])
    np.testing.assert_allclose(network(x), np.maximum(0, x @ w1 + b1) @ w2 + b2, atol=1e-5)


@NORMS
def test_positions_are_independent(norm_first, dtype_policy, tolerance, rng, randomise):
    layer = FeedForward(6, 10, norm_first=norm_first, dtype=dtype_policy)
    x = rng.normal(size=(2, 5, 6)).astype("float32")
    layer(x)
    randomise(layer)
    output = tf.cast(layer(x), tf.float32).numpy()
    padded = np.concatenate([x, 9 * np.ones((2, 3, 6), "float32")], axis=1)
    np.testing.assert_allclose(
        tf.cast(layer(padded), tf.float32)[:, :5], output, rtol=0, atol=tolerance
    )
    for position in range(5):
        alone = tf.cast(layer(x[:, position : position + 1]), tf.float32)
        np.testing.assert_allclose(alone[:, 0], output[:, position], rtol=0, atol=tolerance)


@NORMS
def test_residual_and_norm_stand_where_they_should(norm_first, rng, randomise):
    layer = FeedForward(6, 10, norm_first=norm_first, layer_norm_epsilon=0.1)
    x = rng.normal(size=(2, 5, 6)).astype("float32")
    layer(x)
    randomise(layer)

    def norm(y):
        centred = y - y.mean(axis=-1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 0.1)
        return normed * layer.layer_norm.gamma.numpy() + layer.layer_norm.beta.numpy()

    def network(y):
        return layer.seq(y).numpy()

    expected = x + network(norm(x)) if norm_first else norm(x + network(x))
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_the_mask_of_keras_passes_through():
    x = keras.layers.Embedding(5, 6, mask_zero=True)(tf.constant([[3, 2, 0]]))
    output = FeedForward(6, 10)(x)
    np.testing.assert_array_equal(keras_mask(output), [[True, True, False]])


def test_dropout_acts_in_training_alone(rng):
    layer, x = FeedForward(6, 10, 0.5), rng.normal(size=(2, 5, 6)).astype("float32")
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert np.abs(layer(x) - layer(x, training=True)).max() > 1e-2


@NORMS
def test_large_inputs_stay_finite_in_half_precision(norm_first, dtype_policy, rng):
    layer = FeedForward(6, 10, norm_first=norm_first, dtype=dtype_policy)
    x = 3000 * rng.normal(size=(2, 5, 6)).astype("float32")
    assert np.isfinite(tf.cast(layer(x), tf.float32)).all()


@pytest.mark.parametrize("activation", ["relu", "gelu", keras.activations.silu])
def test_config_round_trips(activation, rng):
    layer = FeedForward(
        6,
        10,
        0.25,
        activation=activation,
        norm_first=True,
        layer_norm_epsilon=1e-4,
        name="ffn",
        dtype="mixed_bfloat16",
    )
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
    x = rng.normal(size=(2, 5, 6)).astype("float32")
    layer(x), copy(x)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(tf.cast(copy(x), tf.float32), tf.cast(layer(x), tf.float32))


def test_the_activation_is_the_one_asked_for(rng):
    x = rng.normal(size=(2, 5, 6)).astype("float32")
    outputs = []
    for activation in ("relu", "gelu"):
        network = point_wise_feed_forward_network(6, 10, activation)
        network.build(x.shape)
        network.set_weights([np.full(w.shape, 0.1) for w in network.weights])
        outputs.append(network(x).numpy())
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def test_weights_are_counted():
    layer = FeedForward(6, 10)
    layer.build((None, None, 6))
    assert layer.count_params() == (6 * 10 + 10) + (10 * 6 + 6) + 2 * 6
