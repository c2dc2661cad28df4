"""Adam: Keras' numbers from TensorFlow's kernel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.optimizers.adam import Adam

ARGUMENTS = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.98, "epsilon": 1e-9}


def _trained(optimizer, gradients, jit_compile=False):
    """Values of two variables, and of the optimizer's, after some steps."""
    rng = np.random.default_rng(0)
    variables = [
        keras.Variable(rng.normal(size=shape).astype(np.float32)) for shape in ((5, 3), (4,))
    ]
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def step(*values):
        optimizer.apply(list(values), variables)

    for values in gradients:
        step(*values)
    return [variable.numpy() for variable in (*variables, *optimizer.variables)]


def _gradients(number=5):
    rng = np.random.default_rng(1)
    return [
        tuple(tf.constant(rng.normal(size=shape), tf.float32) for shape in ((5, 3), (4,)))
        for _ in range(number)
    ]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "more", [{}, {"global_clipnorm": 0.5}, {"weight_decay": 0.01}, {"use_ema": True}]
)
def test_it_moves_as_keras_does(more, jit_compile):
    gradients = _gradients()
    expected = _trained(keras.optimizers.Adam(**ARGUMENTS, **more), gradients)
    found = _trained(Adam(**ARGUMENTS, **more), gradients, jit_compile)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-7)


def test_gradients_of_embeddings_may_be_slices():
    slices = tf.IndexedSlices(tf.ones((3, 3)), tf.constant([4, 0, 4]), tf.constant([5, 3]))
    dense = tf.convert_to_tensor(slices)
    rest = tf.ones((4,))
    found, expected = (_trained(Adam(**ARGUMENTS), [(g, rest)] * 3) for g in (slices, dense))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_schedules_and_configurations_survive():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.01, 3)
    optimizer = Adam(schedule, beta_2=0.98)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, Adam)
    gradients = _gradients(4)
    for one, other in zip(_trained(optimizer, gradients), _trained(again, gradients), strict=True):
        np.testing.assert_array_equal(one, other)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="amsgrad"):
        Adam(amsgrad=True)
