"""Muon: what it moves, how far, and that it is Keras' Muon where Keras has one."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.optimizers.muon import Muon, matrix_shape, orthogonalized

ARGUMENTS = {"learning_rate": 0.01, "beta_2": 0.98, "epsilon": 1e-9}


def _variables(**shapes):
    rng = np.random.default_rng(0)
    return [
        keras.Variable(rng.normal(size=shape).astype(np.float32), name=name)
        for name, shape in shapes.items()
    ]


def _moved(optimizer, variables, steps=4, jit_compile=False):
    """Values of the variables after some steps with random gradients."""
    rng = np.random.default_rng(1)
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def step(*gradients):
        optimizer.apply(list(gradients), variables)

    for _ in range(steps):
        step(*(tf.constant(rng.normal(size=v.shape), tf.float32) for v in variables))
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8)])
def test_singular_values_come_near_1_and_vectors_stay(shape):
    matrix = np.random.default_rng(2).normal(size=shape)
    found = orthogonalized(tf.constant(matrix, tf.float32)).numpy()
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    in_the_old_basis = left.T @ found @ right.T
    np.testing.assert_allclose(in_the_old_basis, np.diag(np.diag(in_the_old_basis)), atol=1e-4)
    assert 0.6 < np.diag(in_the_old_basis).min() <= np.diag(in_the_old_basis).max() < 1.25
    assert values.max() / values.min() > 1.25  # so that there was something to do


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_moves_matrices_as_keras_does(jit_compile):
    shapes = {"kernel": (8, 24), "recurrent_kernel": (24, 8)}
    expected = _moved(
        keras.optimizers.Muon(0.01, weight_decay=None, adam_weight_decay=None), _variables(**shapes)
    )
    found = _moved(Muon(**ARGUMENTS), _variables(**shapes), jit_compile=jit_compile)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_it_moves_the_rest_as_adam_does():
    shapes = {"embeddings": (9, 4), "gamma": (4,), "bias": (2, 4)}
    expected = _moved(kt.Adam(**ARGUMENTS), _variables(**shapes))
    found = _moved(Muon(**ARGUMENTS), _variables(**shapes))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_heads_are_one_matrix():
    (of_heads,) = _moved(Muon(**ARGUMENTS), _variables(kernel=(12, 3, 4)))
    (as_matrix,) = _moved(Muon(**ARGUMENTS), _variables(kernel=(12, 12)))
    np.testing.assert_array_equal(of_heads.reshape(12, 12), as_matrix)
    assert matrix_shape((128, 8, 16)) == matrix_shape((8, 16, 128)) == (128, 128)
    assert matrix_shape((512, 128)) == (512, 128)


def test_a_step_has_the_length_that_adams_has():
    (kernel,), (moved,) = (
        _variables(kernel=(64, 256)),
        _moved(Muon(**ARGUMENTS), _variables(kernel=(64, 256)), steps=1),
    )
    rms = np.sqrt(np.mean((moved - kernel.numpy()) ** 2)) / ARGUMENTS["learning_rate"]
    assert 0.1 < rms < 0.3


def test_a_step_does_not_depend_on_the_scale_of_the_gradient():
    kernels = _variables(kernel=(8, 8)) + _variables(kernel=(8, 8))
    gradient = tf.constant(np.random.default_rng(3).normal(size=(8, 8)), tf.float32)
    optimizer = Muon(**ARGUMENTS)
    optimizer.build(kernels)
    optimizer.apply([gradient, 1000 * gradient], kernels)
    np.testing.assert_allclose(kernels[0].numpy(), kernels[1].numpy(), atol=1e-5)


def test_without_a_gradient_nothing_moves():
    (kernel,) = _variables(kernel=(8, 8))
    before = kernel.numpy()
    optimizer = Muon(**ARGUMENTS)
    optimizer.build([kernel])
    optimizer.apply([tf.zeros((8, 8))], [kernel])
    np.testing.assert_array_equal(kernel.numpy(), before)


def test_the_kernels_of_a_transformer_but_the_last_are_hidden():
    model = kt.Transformer(
        num_layers=1, d_model=8, num_heads=2, dff=16, input_vocab_size=9, target_vocab_size=9
    )
    optimizer = Muon(exclude_layers=[re.escape(model.final_layer.path) + "/"])
    optimizer.build(model.trainable_variables)
    hidden = {v.path for v in model.trainable_variables if optimizer.is_hidden_kernel(v)}
    kernels = {v.path for v in model.trainable_variables if v.name == "kernel"}
    assert hidden == kernels - {model.final_layer.kernel.path}
    assert len(hidden) == 3 * 4 + 2 * 2
    velocities = [v for v in optimizer.variables if "velocity" in v.path]
    assert len(velocities) == len(model.trainable_variables) - len(hidden)


def test_configurations_survive():
    optimizer = Muon(0.02, momentum=0.9, exclude_layers=["last"], beta_2=0.98)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, Muon)
    assert again.get_config() == optimizer.get_config()
