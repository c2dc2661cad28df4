"""The mix of layers: a weighted mean whose weights are a distribution, times a number."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.scalar_mix import ScalarMix


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


@pytest.fixture
def layers(rng):
    return [rng.normal(size=(2, 5, 4)).astype("float32") for _ in range(3)]


def test_fresh_it_is_the_mean(layers, dtype_policy, tolerance):
    mixed = ScalarMix(dtype=dtype_policy)(layers)
    assert mixed.dtype == keras.DTypePolicy(dtype_policy).compute_dtype
    np.testing.assert_allclose(numbers(mixed), np.mean(layers, axis=0), rtol=0, atol=tolerance)


def test_equation_1_by_hand(layers, randomise):
    mix = ScalarMix()
    mix.build([x.shape for x in layers])
    randomise(mix)
    s = np.exp(numbers(mix.scalars))
    expected = numbers(mix.gamma) * np.einsum("j,jbtd->btd", s / s.sum(), np.stack(layers))
    np.testing.assert_allclose(mix(layers), expected, rtol=0, atol=1e-5)
    assert numbers(mix.layer_weights()).sum() == pytest.approx(float(mix.gamma.numpy()))


def test_with_a_norm_the_size_of_a_layer_does_not_matter(layers, randomise):
    mix = ScalarMix(layer_norm=True, layer_norm_epsilon=1e-12)
    mix.build([x.shape for x in layers])
    randomise(mix)
    louder = [layers[0], 100 * layers[1] + 7, layers[2]]
    np.testing.assert_allclose(mix(louder), mix(layers), rtol=0, atol=1e-4)
    assert len(mix.weights) == 2 + 2 * 3


def test_all_weights_learn(layers):
    mix = ScalarMix(layer_norm=True)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(mix(layers) ** 3)
    for gradient in tape.gradient(loss, mix.trainable_weights):
        assert np.abs(gradient).max() > 0


def test_what_cannot_be_mixed_is_refused(layers):
    mix = ScalarMix()
    with pytest.raises(ValueError, match="layers of one width; got 4, 3"):
        mix.build([(2, 5, 4), (2, 5, 3)])
    with pytest.raises(ValueError, match="takes a list of layers"):
        mix.build((2, 5, 4))
    mix(layers)
    with pytest.raises(ValueError, match="built for 3 layers; got 2"):
        mix.call(layers[:2])


def test_config_and_weights_round_trip(layers, randomise):
    mix = ScalarMix(layer_norm=True, layer_norm_epsilon=1e-3)
    mix.build([x.shape for x in layers])
    randomise(mix)
    copy = keras.layers.deserialize(keras.layers.serialize(mix))
    assert copy.get_config() == mix.get_config()
    copy.set_weights(mix.get_weights())
    np.testing.assert_array_equal(copy(layers), mix(layers))
