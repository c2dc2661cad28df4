"""Fixtures of the tests on layers: dtype policies and how exactly each can be compared."""

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(7)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(params=["float32", "mixed_float16", "mixed_bfloat16"])
def dtype_policy(request) -> str:
    return request.param


@pytest.fixture
def tolerance(dtype_policy) -> float:
    """Largest difference between two ways to the same numbers of size one."""
    return {"float32": 1e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 8e-2}[dtype_policy]


@pytest.fixture
def randomise(rng):
    """A function that gives every weight of a layer a random value.

    Fresh layers have biases of 0 and scales of 1, which hides mistakes.
    """

    def randomise(layer):
        for weight in layer.weights:
            if "seed" not in weight.path:
                weight.assign(weight + rng.normal(scale=0.2, size=weight.shape))
        return layer

    return randomise
