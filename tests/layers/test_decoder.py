"""Decoder layer and decoder: neither padding nor the future matters, and steps equal the call."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.internals import keras_mask
from keras_transformer.layers import Decoder, DecoderLayer, PositionalEmbedding
from keras_transformer.layers.attention import masks
from keras_transformer.layers.cache import grow
from keras_transformer.layers.positional import POSITION_KINDS

SIZES = {"d_model": 8, "num_heads": 2, "dff": 16}
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
KINDS = pytest.mark.parametrize("positions", POSITION_KINDS)

TARGET = np.array([[2, 5, 6, 7], [2, 9, 0, 0]])
REAL = TARGET != 0
PADDED = np.pad(TARGET, ((0, 0), (0, 2)))
CONTEXT_KEEP = np.array([[True] * 5, [True, True, False, False, False]])


def numbers(x):
    return tf.cast(x, tf.float32).numpy()


def built_decoder(**kwargs):
    decoder = Decoder(vocab_size=13, max_length=20, **{"num_layers": 2, **SIZES, **kwargs})
    decoder.build((None, None), (None, None, 8))
    return decoder


@pytest.fixture
def context(rng):
    return rng.normal(size=(2, 5, 8)).astype("float32")


@NORMS
@KINDS
def test_neither_padding_nor_the_future_matters(
    positions, norm_first, dtype_policy, tolerance, randomise, context, rng
):
    decoder = built_decoder(positions=positions, norm_first=norm_first, dtype=dtype_policy)
    randomise(decoder)

    def run(target, context, keep):
        return numbers(decoder(target, context, context_mask=keep))

    expected = run(TARGET, context, CONTEXT_KEEP)
    padded = run(PADDED, context, CONTEXT_KEEP)
    np.testing.assert_allclose(padded[:, :4][REAL], expected[REAL], rtol=0, atol=tolerance)

    junk = 5 * rng.normal(size=(2, 3, 8)).astype("float32")
    long_keep = np.pad(CONTEXT_KEEP, ((0, 0), (0, 3)))
    long = run(TARGET, np.concatenate([context, junk], axis=1), long_keep)
    np.testing.assert_allclose(long[REAL], expected[REAL], rtol=0, atol=tolerance)
    scores = numbers(decoder.last_attn_scores)
    assert scores.shape == (2, 2, 4, 8)
    assert (scores[~np.broadcast_to(long_keep[:, None, None], scores.shape)] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-2)

    future = run(np.concatenate([TARGET[:, :2], [[11, 12], [8, 4]]], axis=1), context, CONTEXT_KEEP)
    np.testing.assert_allclose(future[:, :2], expected[:, :2], rtol=0, atol=tolerance)
    assert np.abs(future[:, 2:] - expected[:, 2:]).max() > 0.1
    scores = numbers(decoder.dec_layers[0].causal_self_attention.last_attn_scores)
    assert not np.triu(scores, k=1).any()


@NORMS
@KINDS
def test_steps_with_a_cache_equal_the_call(positions, norm_first, randomise, context):
    decoder = randomise(built_decoder(positions=positions, norm_first=norm_first))
    expected = decoder(TARGET, context, context_mask=CONTEXT_KEEP)
    cache = decoder.initial_cache(tf.constant(context), tf.constant(CONTEXT_KEEP))
    cache = grow(cache, 6)
    for position in range(4):
        tokens = tf.constant(TARGET[:, position : position + 1])
        output, cache = decoder.step(tokens, tf.constant(position), cache)
        real = REAL[:, position]
        np.testing.assert_allclose(
            output.numpy()[real, 0], expected.numpy()[real, position], rtol=0, atol=1e-4
        )


@NORMS
@pytest.mark.parametrize("rotary", [False, True], ids=["plain", "rotary"])
def test_a_layer_alone_obeys_the_laws(
    rotary, norm_first, dtype_policy, tolerance, randomise, context
):
    embed = PositionalEmbedding(13, 8, dtype=dtype_policy)
    layer = DecoderLayer(**SIZES, norm_first=norm_first, rotary=rotary, dtype=dtype_policy)
    layer.build((None, None, 8), (None, None, 8))
    randomise(layer)
    source, long_source = np.array([[4, 5], [6, 0]]), np.array([[4, 5, 0, 0], [6, 0, 0, 0]])
    expected = numbers(layer(embed(TARGET), embed(source)))[REAL]
    x, context = tf.identity(embed(PADDED)), tf.identity(embed(long_source))
    assert keras_mask(x) is None
    for output in (
        layer(embed(PADDED), embed(long_source)),  # masks of Keras
        layer(x, context, x_mask=PADDED != 0, context_mask=long_source != 0),
        layer(x=x, context=context, context_mask=masks.create_padding_mask(long_source)),
        layer(
            x,
            context,
            x_mask=masks.create_masks(long_source, PADDED)[1],
            context_mask=masks.create_masks(long_source, PADDED)[2],
            causal=False,
        ),
    ):
        np.testing.assert_allclose(numbers(output)[:, :4][REAL], expected, rtol=0, atol=tolerance)
    assert np.abs(numbers(layer(x, context))[:, :4][REAL] - expected).max() > tolerance
    assert layer.last_attn_scores.shape == (2, 2, 6, 4)


def test_without_causal_the_future_is_seen(randomise, context):
    decoder = randomise(built_decoder())
    changed = np.array([[2, 5, 6, 8], [2, 9, 4, 0]])
    causal = decoder(TARGET, context), decoder(changed, context)
    np.testing.assert_allclose(causal[0][:, :2], causal[1][:, :2], atol=1e-5)
    whole = decoder(TARGET, context, causal=False), decoder(changed, context, causal=False)
    assert np.abs(whole[0][:, :2] - whole[1][:, :2]).max() > 1e-3
    by_mask = masks.create_masks(np.ones((2, 5)), TARGET)[1]
    np.testing.assert_allclose(
        decoder(TARGET, context, x_mask=by_mask, causal=False), causal[0], atol=1e-5
    )


def test_the_mask_of_the_context_is_filled_in_by_keras(randomise, context):
    decoder = randomise(built_decoder())
    expected = decoder(TARGET, context, context_mask=CONTEXT_KEEP)
    carrying = tf.constant(context)
    carrying._keras_mask = tf.constant(CONTEXT_KEEP)
    np.testing.assert_array_equal(decoder(TARGET, carrying), expected)
    everything = np.ones_like(CONTEXT_KEEP)
    explicit = decoder(TARGET, carrying, context_mask=everything)
    np.testing.assert_array_equal(explicit, decoder(TARGET, context))
    assert np.abs(explicit - expected).max() > 1e-3


@NORMS
def test_xla_equals_eager(norm_first, dtype_policy, tolerance, randomise, context):
    decoder = built_decoder(num_layers=1, norm_first=norm_first, dtype=dtype_policy)
    randomise(decoder)

    def call(target, context):
        return decoder(target, context, context_mask=CONTEXT_KEEP)

    compiled = tf.function(call, jit_compile=True)(tf.constant(TARGET), tf.constant(context))
    np.testing.assert_allclose(
        numbers(compiled)[REAL], numbers(call(TARGET, context))[REAL], rtol=0, atol=tolerance
    )


@NORMS
def test_a_context_of_nothing_but_padding_gives_no_nan(
    norm_first, dtype_policy, randomise, context
):
    decoder = built_decoder(norm_first=norm_first, dtype=dtype_policy)
    randomise(decoder)
    source = tf.Variable(context)
    keep = np.array([[True] * 5, [False] * 5])
    with tf.GradientTape() as tape:
        output = decoder(TARGET, source, context_mask=keep)
        loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 3)
    assert np.isfinite(numbers(output)).all()
    assert not np.any(decoder.last_attn_scores[1])
    gradients = tape.gradient(loss, [source, *decoder.trainable_weights])
    for gradient in gradients:
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()
    assert not np.any(gradients[0][1])
    assert np.any(gradients[0][0])


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_config_round_trips(positions, context):
    decoder = built_decoder(
        positions=positions,
        dropout_rate=0.25,
        attention_dropout_rate=0.5,
        residual_dropout_rate=0.125,
        key_dim=6,
        activation="gelu",
        norm_first=True,
        layer_norm_epsilon=1e-4,
        dtype="mixed_bfloat16",
    )
    copy = keras.layers.deserialize(keras.layers.serialize(decoder))
    assert copy.get_config() == decoder.get_config()
    copy.set_weights(decoder.get_weights())
    np.testing.assert_array_equal(numbers(copy(TARGET, context)), numbers(decoder(TARGET, context)))
    layer = decoder.dec_layers[0]
    layer_copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert layer_copy.get_config() == layer.get_config()


def test_only_self_attention_is_rotated():
    layer = built_decoder(positions="rotary").dec_layers[0]
    assert layer.causal_self_attention.rotary
    assert not layer.cross_attention.rotary


def test_weights_are_counted():
    d, dff = 8, 16
    attention = 4 * (d * d + d) + 2 * d
    feed_forward = (d * dff + dff) + (dff * d + d) + 2 * d
    assert built_decoder().count_params() == 13 * d + 2 * (2 * attention + feed_forward)
