"""Patches: two ways of cutting are one function, in reading order; positions fit other grids."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.patches import (
    METHODS,
    PatchEmbedding,
    PatchPositions,
    interpolate_positions,
)


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, 4, 6, 3)).astype("float32")


def embedding(method, images, **kwargs):
    layer = PatchEmbedding(patch_size=2, d_model=5, method=method, **kwargs)
    layer.build(images.shape)
    return layer


def test_both_methods_are_one_function_of_the_same_weights(
    images, dtype_policy, tolerance, randomise
):
    convolution, dense = (embedding(method, images, dtype=dtype_policy) for method in METHODS)
    randomise(convolution)
    assert [(w.name, w.shape) for w in dense.weights] == [
        (w.name, w.shape) for w in convolution.weights
    ]
    dense.set_weights(convolution.get_weights())
    expected = convolution(images)
    assert expected.shape == (2, 6, 5)
    assert expected.dtype == convolution.compute_dtype
    np.testing.assert_allclose(
        numbers(dense(images)), numbers(expected), rtol=0, atol=4 * tolerance
    )


@pytest.mark.parametrize("method", METHODS)
def test_patches_stand_row_by_row(method, images, randomise):
    layer = randomise(embedding(method, images))
    kernel = numbers(layer.kernel).reshape(12, 5)
    expected = [
        images[:, row : row + 2, column : column + 2].reshape(2, 12) @ kernel + numbers(layer.bias)
        for row in (0, 2)
        for column in (0, 2, 4)
    ]
    np.testing.assert_allclose(layer(images), np.stack(expected, axis=1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_patches_need_not_be_square(method, images, randomise):
    layer = PatchEmbedding(patch_size=[4, 2], d_model=5, method=method)
    layer.build(images.shape)
    randomise(layer)
    kernel = numbers(layer.kernel).reshape(24, 5)
    expected = [
        images[:, :, column : column + 2].reshape(2, 24) @ kernel + numbers(layer.bias)
        for column in (0, 2, 4)
    ]
    np.testing.assert_allclose(layer(images), np.stack(expected, axis=1), rtol=0, atol=1e-5)
    again = PatchEmbedding.from_config(layer.get_config())
    assert again.patch_size == (4, 2)
    with pytest.raises(ValueError, match="4 x 5 is not a whole number of patches of 4 x 2"):
        layer(images[:, :, :5])


@pytest.mark.parametrize("method", METHODS)
def test_a_size_that_is_unknown_when_traced_is_checked_when_run(method, images):
    layer = embedding(method, images)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    np.testing.assert_allclose(traced(images), layer(images), rtol=0, atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a whole number of patches"):
        traced(images[:, :3])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda x: x[:, :3], "3 x 6 is not a whole number of patches of 2 x 2"),
        (lambda x: x[..., :1], r"Images are \(batch, height, width, 3\); got \(2, 4, 6, 1\)"),
        (lambda x: x[0], r"Images are \(batch, height, width, 3\)"),
        (lambda x: x.astype("uint8"), "pixels of images are floats; got uint8"),
    ],
)
def test_images_that_do_not_fit_are_refused(change, complaint, images):
    layer = embedding("convolution", images)
    with pytest.raises(ValueError, match=complaint):
        layer.call(change(images))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"one of convolution, dense; got 'linear'"):
        PatchEmbedding(patch_size=2, d_model=4, method="linear")
    with pytest.raises(ValueError, match="patch_size is a whole number from 1 on"):
        PatchEmbedding(patch_size=0, d_model=4)
    for size in ("16", None, [16, None], [16], [16, 16, 16], 2.5, float("nan"), [[16, 16]]):
        with pytest.raises(ValueError, match="patch_size is a whole number from 1 on"):
            PatchEmbedding(patch_size=size, d_model=4)
    with pytest.raises(ValueError, match="grid is a whole number from 1 on"):
        PatchPositions(grid=(2, 3, 4))


# Positions


def test_the_same_grid_keeps_its_positions(rng):
    positions = rng.normal(size=(7, 4)).astype("float32")
    same = interpolate_positions(positions, (2, 3), (2, 3))
    np.testing.assert_allclose(same, positions, rtol=0, atol=1e-6)


def test_the_class_tokens_own_stays(rng):
    positions = rng.normal(size=(7, 4)).astype("float32")
    more = interpolate_positions(positions, (2, 3), (4, 5))
    assert more.shape == (21, 4)
    np.testing.assert_array_equal(more[0], positions[0])
    patches = interpolate_positions(positions[1:], (2, 3), (4, 5))
    np.testing.assert_array_equal(more[1:], patches)


def test_what_is_constant_stays_constant_and_what_is_symmetric_symmetric(rng):
    constant = interpolate_positions(np.full((12, 2), 3.0, "float32"), (3, 4), (5, 9))
    np.testing.assert_allclose(constant, 3, rtol=0, atol=1e-5)
    plane = rng.normal(size=(3, 4, 2)).astype("float32")
    turned = interpolate_positions(plane[::-1, ::-1].reshape(12, 2), (3, 4), (5, 9))
    upright = interpolate_positions(plane.reshape(12, 2), (3, 4), (5, 9))
    np.testing.assert_allclose(turned[::-1], upright, rtol=0, atol=1e-5)


@pytest.mark.parametrize("new", [(5, 9), (2, 2), (3, 8)])
def test_interpolation_equals_that_of_pytorch(new, rng):
    torch = pytest.importorskip("torch")
    plane = rng.normal(size=(3, 4, 2)).astype("float32")
    expected = torch.nn.functional.interpolate(
        torch.tensor(plane.transpose(2, 0, 1)[np.newaxis]),
        size=new,
        mode="bicubic",
        align_corners=False,
    )[0].numpy()
    found = numbers(interpolate_positions(plane.reshape(12, 2), (3, 4), new))
    np.testing.assert_allclose(
        found.reshape(*new, 2), expected.transpose(1, 2, 0), rtol=0, atol=1e-5
    )


def test_positions_of_another_number_are_refused():
    with pytest.raises(ValueError, match="9 positions do not fit a grid of 2 x 3 patches"):
        interpolate_positions(np.zeros((9, 4), "float32"), (2, 3), (4, 6))


@pytest.mark.parametrize("class_token", [True, False])
def test_positions_by_hand(class_token, rng, randomise):
    layer = PatchPositions(grid=(2, 3), class_token=class_token)
    layer.build((None, None, 4))
    randomise(layer)
    x = rng.normal(size=(2, 6, 4)).astype("float32")
    expected = x
    if class_token:
        token = np.broadcast_to(numbers(layer.class_vector), (2, 1, 4))
        expected = np.concatenate([token, x], axis=1)
    np.testing.assert_allclose(layer(x), expected + numbers(layer.positions), rtol=0, atol=1e-6)
    wide = layer(np.zeros((2, 20, 4), "float32"), grid=(4, 5))
    assert wide.shape == (2, 20 + class_token, 4)
    with pytest.raises(ValueError, match="20 patches are not a grid of 2 x 3"):
        layer.call(np.zeros((2, 20, 4), "float32"))


def test_first_positions_have_the_size_that_is_asked_for():
    for options, stddev in (({}, 0.02), ({"positions_stddev": 0.5}, 0.5)):
        layer = PatchPositions(grid=16, **options)
        layer.build((None, None, 8))
        assert numbers(layer.positions).std() == pytest.approx(stddev, rel=0.1)


@pytest.mark.parametrize(
    "layer",
    [
        PatchEmbedding(patch_size=2, d_model=4, method="dense", dtype="mixed_bfloat16"),
        PatchPositions(grid=(2, 3), class_token=False, positions_stddev=0.5),
    ],
    ids=["patches", "positions"],
)
def test_config_round_trips(layer):
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
