"""The Vision Transformer: what it depends on and what not, its size, saving, training."""

import importlib.util
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.models.vit import ViT

SIZES = {"image_size": 8, "patch_size": 4, "channels": 2, "num_layers": 2}
SIZES |= {"d_model": 8, "num_heads": 2, "dff": 12}
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 8e-2}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)
POOLINGS = pytest.mark.parametrize("pooling", ["class_token", "mean"])


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


def make(**kwargs):
    """A model whose every weight is random: fresh biases of 0 hide mistakes."""
    model = ViT(**{**SIZES, "num_classes": 3, **kwargs})
    rng = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return model


@pytest.fixture
def images():
    return np.random.default_rng(7).normal(size=(3, 8, 8, 2)).astype("float32")


# Laws


@DTYPES
@POOLINGS
def test_images_of_a_batch_are_independent(pooling, dtype, images):
    model = make(pooling=pooling, dtype=dtype)
    together = numbers(model(images))
    assert together.shape == (3, 3)
    np.testing.assert_allclose(
        numbers(model(images[1:2])), together[1:2], rtol=0, atol=TOLERANCE[dtype]
    )
    assert np.abs(together[1] - together[0]).max() > TOLERANCE[dtype]


@POOLINGS
def test_the_place_of_a_patch_matters_through_positions_alone(pooling, images):
    model = make(pooling=pooling)
    swapped = np.concatenate([images[:, 4:], images[:, :4]], axis=1)
    assert np.abs(model(swapped) - model(images)).max() > 1e-3
    own = int(pooling == "class_token")
    positions = numbers(model.positions.positions)
    positions[own:] = positions[own]
    model.positions.positions.assign(positions)
    np.testing.assert_allclose(model(swapped), model(images), rtol=0, atol=1e-5)


def test_the_way_patches_are_cut_does_not_matter(images):
    model = make()
    twin = make(patch_method="dense")
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(twin(images), model(images), rtol=0, atol=1e-5)


def test_every_pixel_and_every_weight_counts(images):
    model = make()
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(model(x) ** 2)
    pixels, *gradients = tape.gradient(loss, [x, *model.trainable_weights])
    assert (numbers(pixels) != 0).all()
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert np.abs(numbers(gradient)).max() > 0, weight.path


@POOLINGS
def test_images_of_another_size_get_interpolated_positions(pooling, images):
    model = make(pooling=pooling, num_classes=None, num_layers=1)
    wide = np.concatenate([images, images], axis=2)  # (3, 8, 16, 2)
    assert model(wide).shape == (3, 8)
    traced = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 2))])
    for some in (images, wide):
        np.testing.assert_allclose(traced(some), model(some), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="10 x 8 is not a whole number of patches of 4 x 4"):
        model.sequence_output(tf.zeros((1, 10, 8, 2)))


def test_xla_equals_eager(images):
    model = make(num_layers=1)
    compiled = tf.function(lambda x: model(x), jit_compile=True)(tf.constant(images))
    np.testing.assert_allclose(compiled, model(images), rtol=0, atol=1e-5)


# What it gives


@POOLINGS
def test_features_are_those_that_the_last_layer_reads(pooling, images):
    model = make(pooling=pooling)
    sequence = numbers(model.sequence_output(images))
    features = sequence[:, 0] if pooling == "class_token" else sequence.mean(axis=1)
    assert sequence.shape == (3, 4 + (pooling == "class_token"), 8)
    kernel, bias = (numbers(weight) for weight in model.final_layer.weights)
    np.testing.assert_allclose(model(images), features @ kernel + bias, rtol=0, atol=1e-5)
    headless = ViT(**SIZES, pooling=pooling, num_classes=None)
    headless.set_weights(model.get_weights()[:-2])
    np.testing.assert_allclose(headless(images), features, rtol=0, atol=1e-5)


def test_attention_weights_of_every_layer(images):
    model = make()
    logits, scores = model(images, return_attention_scores=True)
    np.testing.assert_array_equal(logits, model(images))
    assert [layer.shape for layer in scores] == [(3, 2, 5, 5)] * 2
    np.testing.assert_allclose(numbers(scores[0]).sum(axis=-1), 1, atol=1e-5)
    _, again = model.sequence_output(images, return_attention_scores=True)
    np.testing.assert_array_equal(again[1], scores[1])


def test_dropout_has_the_places_of_the_paper():
    model = make(dropout_rate=0.25)
    layer = model.encoder.enc_layers[0]
    assert model.encoder.dropout.rate == layer.ffn.dropout_rate == 0.25
    assert (layer.self_attention.dropout, layer.self_attention.residual_dropout) == (0.0, 0.25)
    assert layer.norm_first
    without = make(dropout_rate=0.25, residual_dropout_rate=0.0)
    assert without.encoder.residual_dropout_rate == 0


def number_of_weights(d, dff, layers, patch, channels, patches, classes):
    patch_embedding = patch * patch * channels * d + d
    attention = 4 * (d * d + d) + 2 * d
    feed_forward = (d * dff + dff) + (dff * d + d) + 2 * d
    positions = d + (1 + patches) * d
    head = d * classes + classes
    return patch_embedding + positions + layers * (attention + feed_forward) + 2 * d + head


def test_weights_are_as_many_as_published():
    assert make().count_params() == number_of_weights(8, 12, 2, 4, 2, 4, 3)
    # The same count for ViT-B/16 gives the published number.
    assert number_of_weights(768, 3072, 12, 16, 3, 196, 1000) == 86_567_656


@pytest.mark.slow
def test_the_base_model_has_the_published_size():
    model = ViT(
        image_size=224,
        patch_size=16,
        num_classes=1000,
        num_layers=12,
        d_model=768,
        num_heads=12,
        dff=3072,
    )
    assert model.count_params() == 86_567_656


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="pooling is one of class_token, mean; got 'max'"):
        make(pooling="max")
    with pytest.raises(ValueError, match="9 x 8 is not a whole number of patches of 4 x 4"):
        make(image_size=(9, 8))
    with pytest.raises(ValueError, match="image_size is a whole number from 1 on"):
        make(image_size=0)


# Saving and training


def test_config_round_trips():
    model = make(
        image_size=(8, 12),
        pooling="mean",
        patch_method="dense",
        positions_stddev=0.5,
        dropout_rate=0.25,
        attention_dropout_rate=0.5,
        residual_dropout_rate=0.125,
        activation="gelu_tanh",
        layer_norm_epsilon=1e-12,
        attention_implementation="reference",
        dtype="mixed_bfloat16",
    )
    copy = ViT.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert copy.encoder.get_config() == {
        **model.encoder.get_config(),
        "name": copy.encoder.name,
    }
    assert copy.compute_dtype == "bfloat16"


@DTYPES
def test_it_learns_saves_and_loads(dtype, images, tmp_path):
    sizes = {**SIZES, "num_layers": 1}
    model = ViT(**sizes, num_classes=3, dropout_rate=0.0, dtype=dtype)
    model.compile(
        optimizer=keras.optimizers.Adam(0.02),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    labels = np.array([0, 1, 2])
    history = model.fit(images, labels, epochs=12, verbose=0).history["loss"]
    assert history[-1] < history[0] / 2
    model.save(tmp_path / "vit.keras")
    loaded = keras.models.load_model(tmp_path / "vit.keras")
    np.testing.assert_array_equal(numbers(loaded(images)), numbers(model(images)))
    model.save_weights(tmp_path / "vit.weights.h5")
    other = make(num_layers=1, dtype=dtype)
    other.load_weights(tmp_path / "vit.weights.h5")
    np.testing.assert_array_equal(numbers(other(images)), numbers(model(images)))


@pytest.mark.slow
def test_handwritten_digits_are_read(monkeypatch):
    """As `benchmarks/digits.py` trains, with one of its seeds."""
    pytest.importorskip("sklearn")
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("digits", folder / "digits.py")
    digits = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "digits", digits)  # its dataclass asks for its module
    spec.loader.exec_module(digits)
    images = digits.load_images()
    assert len(images.held_out) == 360
    assert digits.accuracy(digits.train_vit(images, seed=0), images) >= 0.97
