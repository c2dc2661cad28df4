"""Layer normalisation equals that of Keras, in values and in its own gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.layer_normalization import LayerNormalization, _normalize

WIDTH = 6
SHAPES = [(4, WIDTH), (2, 3, WIDTH), (2, 3, 2, WIDTH)]


def close(actual, expected, tolerance):
    actual, expected = (tf.cast(x, tf.float64).numpy() for x in (actual, expected))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.fixture
def pair(randomise):
    """A function that makes our layer and Keras' with the same random weights."""

    def make(epsilon=1e-6, dtype="float32", width=WIDTH):
        ours = LayerNormalization(epsilon, dtype=dtype)
        theirs = keras.layers.LayerNormalization(epsilon=epsilon, dtype=dtype)
        for layer in (ours, theirs):
            layer.build((None, width))
        theirs.set_weights(randomise(ours).get_weights())
        return ours, theirs

    return make


def results(layer, x, upstream):
    """The output and the gradients of the inputs and of the weights."""
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = layer(x)
    gradients = tape.gradient(
        y, [x, layer.gamma.value, layer.beta.value], output_gradients=tf.cast(upstream, y.dtype)
    )
    return [y, *gradients]


# Laws


def test_vectors_get_mean_zero_and_variance_one(rng):
    x = tf.constant(5 + 3 * rng.normal(size=(4, 7, 512)), tf.float32)
    y = LayerNormalization()(x).numpy()
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axis=-1), 1, atol=1e-4)


def test_shift_and_scale_of_the_input_do_not_matter(pair, rng):
    layer, _ = pair(epsilon=1e-9)
    x = rng.normal(size=(4, WIDTH)).astype("float32")
    close(layer(4 * x + 8), layer(x), 1e-5)
    _, gradient, *_ = results(layer, x, rng.normal(size=x.shape))
    close(tf.reduce_sum(gradient, axis=-1), tf.zeros(4), 1e-5)  # along the shift
    close(tf.reduce_sum(gradient * x, axis=-1), tf.zeros(4), 1e-5)  # along the scale


def test_vectors_do_not_meet(pair, rng):
    layer, _ = pair()
    x = rng.normal(size=(2, 3, WIDTH)).astype("float32")
    whole = layer(x).numpy()
    for i in np.ndindex(2, 3):
        close(layer(x[i][np.newaxis])[0], whole[i], 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("epsilon", [1e-6, 1e-1])
def test_values_and_gradients_equal_those_of_keras(shape, epsilon, pair, rng):
    x = (2 + 3 * rng.normal(size=shape)).astype("float32")
    upstream = rng.normal(size=shape)
    ours, theirs = (results(layer, x, upstream) for layer in pair(epsilon))
    for actual, expected in zip(ours, theirs, strict=True):
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        close(actual, expected, 1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_half_precision_is_as_exact_as_that_of_keras(policy, pair, rng):
    """Both are compared with float64: ours may not be farther off."""
    width = 64
    half = keras.DTypePolicy(policy).compute_dtype
    x = tf.cast(rng.normal(size=(8, width)), half)
    upstream = tf.cast(rng.normal(size=x.shape), half)
    ours, theirs = pair(dtype=policy, width=width)
    exact = LayerNormalization(dtype="float64")
    exact.build((None, width))
    exact.set_weights(ours.get_weights())
    expected = results(exact, tf.cast(x, tf.float64), upstream)
    for actual, other, wanted in zip(
        results(ours, x, upstream), results(theirs, x, upstream), expected, strict=True
    ):
        assert actual.dtype == other.dtype
        error, their_error = (
            np.abs(tf.cast(tensor, tf.float64) - wanted).max() for tensor in (actual, other)
        )
        assert error <= 1.2 * their_error + 1e-6


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_squares_beyond_the_range_of_float16(policy, rng):
    x = tf.cast(1000 * rng.normal(size=(4, WIDTH)), tf.float16)
    y, *gradients = results(LayerNormalization(dtype=policy), x, tf.ones((4, WIDTH)))
    close(y, LayerNormalization()(tf.cast(x, tf.float32)), 1e-3)
    for gradient in gradients:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_that_of_finite_differences(shape, rng):
    x, upstream = rng.normal(size=(2, *shape))
    gamma, beta = rng.normal(size=(2, WIDTH))
    exact, numeric = tf.test.compute_gradient(
        lambda *inputs: _normalize(*inputs, 1e-2) * upstream, [x, gamma, beta], delta=1e-5
    )
    for jacobian, differences in zip(exact, numeric, strict=True):
        close(jacobian, differences, 1e-8)


def test_equal_numbers_give_beta_and_finite_gradients(pair):
    layer, _ = pair()
    y, *gradients = results(layer, tf.fill((2, WIDTH), 3.0), tf.ones((2, WIDTH)))
    close(y, tf.broadcast_to(layer.beta.value, y.shape), 1e-6)
    for gradient in gradients:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("shape", SHAPES)
def test_compiled_equals_eager(jit_compile, shape, pair, rng):
    layer, _ = pair()
    x = tf.Variable(rng.normal(size=shape), dtype=tf.float32)
    upstream = tf.constant(rng.normal(size=shape), tf.float32)

    def call():
        with tf.GradientTape() as tape:
            y = layer(x)
        return y, tape.gradient(y, [x, layer.gamma.value, layer.beta.value], upstream)

    expected = tf.nest.flatten(call())
    compiled = tf.nest.flatten(tf.function(call, jit_compile=jit_compile)())
    for actual, wanted in zip(compiled, expected, strict=True):
        close(actual, wanted, 1e-5)


def test_unknown_batch_and_length(pair, rng):
    layer, _ = pair()
    x = tf.constant(rng.normal(size=(2, 3, WIDTH)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, None, WIDTH))])
    def call(x):
        y = layer(x)
        return y, *tf.gradients(y, [x])

    y, gradient, *_ = results(layer, x, tf.ones(x.shape))
    for actual, expected in zip(call(x), (y, gradient), strict=True):
        close(actual, expected, 1e-5)


# Keras


def test_weights_have_the_names_and_shapes_of_those_of_keras(pair):
    ours, theirs = pair()
    assert [(w.name, w.shape, w.dtype) for w in ours.weights] == [
        (w.name, w.shape, w.dtype) for w in theirs.weights
    ]


def test_weights_of_keras_load(tmp_path, rng):
    def model(kind):
        inputs = keras.Input((WIDTH,))
        return keras.Model(inputs, kind(epsilon=1e-3, name="norm")(inputs))

    theirs, ours = model(keras.layers.LayerNormalization), model(LayerNormalization)
    theirs.set_weights([rng.normal(size=WIDTH), rng.normal(size=WIDTH)])
    x = rng.normal(size=(4, WIDTH)).astype("float32")
    ours.set_weights(theirs.get_weights())
    close(ours(x), theirs(x), 1e-5)
    theirs.save_weights(tmp_path / "model.weights.h5")
    ours = model(LayerNormalization)
    ours.load_weights(tmp_path / "model.weights.h5")
    close(ours(x), theirs(x), 1e-5)


def test_the_config_round_trips():
    layer = LayerNormalization(1e-3, name="norm", dtype="mixed_bfloat16")
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is LayerNormalization
    assert copy.get_config() == layer.get_config()
    assert (copy.epsilon, copy.name) == (1e-3, "norm")


def test_a_functional_model_saves_and_loads(tmp_path, rng, randomise):
    inputs = keras.Input((None, WIDTH))
    model = randomise(keras.Model(inputs, LayerNormalization(1e-3)(inputs)))
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    x = rng.normal(size=(2, 3, WIDTH)).astype("float32")
    np.testing.assert_array_equal(copy(x), model(x))


def test_the_mask_of_keras_passes_through():
    x = tf.ones((2, 3, WIDTH))
    x._keras_mask = tf.constant([[True, True, False]] * 2)
    np.testing.assert_array_equal(LayerNormalization()(x)._keras_mask, x._keras_mask)
