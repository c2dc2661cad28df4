"""Encoder layer and encoder: padding never matters, whatever the norm, positions and dtype."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.internals import keras_mask
from keras_transformer.layers import Encoder, EncoderLayer, PositionalEmbedding
from keras_transformer.layers.attention import masks
from keras_transformer.layers.dropout import dropout_seed
from keras_transformer.layers.positional import POSITION_KINDS

SIZES = {"d_model": 8, "num_heads": 2, "dff": 16}
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
KINDS = pytest.mark.parametrize("positions", POSITION_KINDS)

SOURCE = np.array([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
REAL = SOURCE != 0
PADDED = np.pad(SOURCE, ((0, 0), (0, 3)))


def numbers(x):
    return tf.cast(x, tf.float32).numpy()


def built_encoder(**kwargs):
    encoder = Encoder(vocab_size=13, max_length=20, **{"num_layers": 2, **SIZES, **kwargs})
    encoder.build((None, None))
    return encoder


@NORMS
@KINDS
def test_padding_never_matters(positions, norm_first, dtype_policy, tolerance, randomise):
    encoder = built_encoder(positions=positions, norm_first=norm_first, dtype=dtype_policy)
    randomise(encoder)
    short = encoder(SOURCE)
    assert short.dtype == encoder.compute_dtype
    padded = encoder(PADDED)
    np.testing.assert_allclose(
        numbers(padded)[:, :5][REAL], numbers(short)[REAL], rtol=0, atol=tolerance
    )
    for layer in encoder.enc_layers:
        scores = numbers(layer.last_attn_scores)
        assert scores.shape == (2, 2, 8, 8)
        keys = np.broadcast_to((PADDED != 0)[:, None, None, :], scores.shape)
        assert (scores[~keys] == 0).all()
        np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-2)


@NORMS
@pytest.mark.parametrize("rotary", [False, True], ids=["plain", "rotary"])
def test_a_layer_alone_obeys_the_padding_law(
    rotary, norm_first, dtype_policy, tolerance, randomise
):
    embed = PositionalEmbedding(13, 8, dtype=dtype_policy)
    layer = EncoderLayer(**SIZES, norm_first=norm_first, rotary=rotary, dtype=dtype_policy)
    layer.build((None, None, 8))
    randomise(layer)
    expected = numbers(layer(embed(SOURCE)))[REAL]
    plain = tf.identity(embed(PADDED))  # without the mask of Keras
    assert keras_mask(plain) is None
    for output in (
        layer(embed(PADDED)),
        layer(plain, x_mask=PADDED != 0),
        layer(plain, x_mask=masks.create_padding_mask(PADDED)),
    ):
        np.testing.assert_allclose(numbers(output)[:, :5][REAL], expected, rtol=0, atol=tolerance)
    assert np.abs(numbers(layer(plain))[:, :5][REAL] - expected).max() > tolerance


@pytest.mark.parametrize("positions", ["sinusoidal", "interleaved", "learned", "rotary"])
def test_order_matters_with_positions(positions, randomise):
    encoder = randomise(built_encoder(positions=positions))
    first, swapped = encoder(np.array([[5, 6, 7]])), encoder(np.array([[6, 5, 7]]))
    assert np.abs(numbers(first)[:, 2] - numbers(swapped)[:, 2]).max() > 1e-3


def test_order_does_not_matter_without_positions(randomise):
    encoder = randomise(built_encoder(positions="none"))
    first, swapped = encoder(np.array([[5, 6, 7]])), encoder(np.array([[6, 5, 7]]))
    np.testing.assert_allclose(first[:, 2], swapped[:, 2], atol=1e-5)


@NORMS
def test_xla_equals_eager(norm_first, dtype_policy, tolerance, randomise):
    encoder = built_encoder(num_layers=1, norm_first=norm_first, dtype=dtype_policy)
    randomise(encoder)
    compiled = tf.function(lambda ids: encoder(ids), jit_compile=True)(tf.constant(PADDED))
    np.testing.assert_allclose(
        numbers(compiled)[PADDED != 0],
        numbers(encoder(PADDED))[PADDED != 0],
        rtol=0,
        atol=tolerance,
    )


def test_an_explicit_mask_wins(randomise):
    encoder = randomise(built_encoder())
    hide_third = np.array([[True, True, False, True, True]] * 2)
    encoder(SOURCE, x_mask=hide_third)
    assert not np.any(encoder.enc_layers[0].last_attn_scores[:, :, :, 2])
    assert np.any(encoder.enc_layers[0].last_attn_scores[1, :, :, 3:])


def test_the_output_carries_the_mask_of_the_tokens():
    np.testing.assert_array_equal(keras_mask(built_encoder()(SOURCE)), REAL)


@NORMS
def test_a_source_of_nothing_but_padding_gives_no_nan(norm_first, dtype_policy, randomise):
    encoder = built_encoder(norm_first=norm_first, dtype=dtype_policy)
    randomise(encoder)
    with tf.GradientTape() as tape:
        output = encoder(np.array([[2, 5, 3], [0, 0, 0]]))
        loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 2)
    assert np.isfinite(numbers(output)).all()
    for gradient in tape.gradient(loss, encoder.trainable_weights):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


@NORMS
def test_one_norm_follows_a_stack_of_pre_norm_layers(norm_first):
    encoder = built_encoder(norm_first=norm_first)
    assert (encoder.final_norm is not None) == norm_first
    output = numbers(encoder(SOURCE))
    np.testing.assert_allclose(output.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(output.std(axis=-1), 1, atol=1e-2)


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"d_model \(10\) is not a multiple of num_heads \(4\)"):
        EncoderLayer(d_model=10, num_heads=4, dff=16)
    EncoderLayer(d_model=10, num_heads=4, dff=16, key_dim=3)


def test_dropout_rates_reach_their_places():
    layer = EncoderLayer(**SIZES, dropout_rate=0.3)
    attention = layer.self_attention
    assert (attention.dropout, attention.residual_dropout) == (0.3, 0.0)
    assert layer.ffn.dropout_rate == 0.3
    layer = EncoderLayer(
        **SIZES, dropout_rate=0.3, attention_dropout_rate=0.0, residual_dropout_rate=0.2
    )
    attention = layer.self_attention
    assert (attention.dropout, attention.residual_dropout) == (0.0, 0.2)
    encoder = Encoder(num_layers=1, vocab_size=13, **SIZES, dropout_rate=0.3)
    assert encoder.dropout.rate == 0.3


def test_a_training_step_leaves_out_whole_layers():
    encoder = built_encoder(dropout_rate=0.0, layer_dropout_rate=0.25)
    embedded = encoder.pos_embedding(SOURCE)
    first, second = encoder.enc_layers
    ways = [embedded, first(embedded), second(embedded), second(first(embedded))]
    counts = [0, 0, 0, 0]
    for step in range(200):
        with dropout_seed(3, step):
            output = numbers(encoder(SOURCE, training=True))
        counts[np.argmin([np.abs(output - numbers(way)).max() for way in ways])] += 1
        assert min(np.abs(output - numbers(way)).max() for way in ways) < 1e-5
    share_of_layers = (counts[1] + counts[2] + 2 * counts[3]) / 400
    assert share_of_layers == pytest.approx(0.75, abs=0.06)
    assert all(counts)
    np.testing.assert_allclose(numbers(encoder(SOURCE)), numbers(ways[3]), atol=1e-6)


def test_layers_that_are_left_out_have_no_gradient():
    encoder = built_encoder(dropout_rate=0.0, layer_dropout_rate=0.5)
    weights = [layer.ffn.seq.layers[0].kernel.value for layer in encoder.enc_layers]
    seen = set()
    for step in range(12):
        with tf.GradientTape() as tape, dropout_seed(3, step):
            output = encoder(SOURCE, training=True)
            loss = tf.reduce_sum(output[..., 0])
        gradients = tape.gradient(loss, weights)
        seen.add(tuple(bool(np.abs(gradient).max() > 0) for gradient in gradients))
    assert seen == {(False, False), (True, False), (False, True), (True, True)}


def test_every_option_has_its_effect():
    outputs = []
    for option in (
        {},
        {"activation": "gelu"},
        {"layer_norm_epsilon": 1e-1},
        {"norm_first": True},
        {"positions": "rotary"},
    ):
        keras.utils.set_random_seed(3)  # the same weights
        outputs.append(numbers(built_encoder(**option)(SOURCE)))
    for output in outputs[1:]:
        assert np.abs(output - outputs[0]).max() > 1e-3


def test_an_activation_may_be_any_function():
    encoder = built_encoder(activation=lambda x: 2 * x)
    assert encoder(SOURCE).shape == (2, 5, 8)
    assert encoder.enc_layers[1].ffn.seq.layers[0].activation(3) == 6


@pytest.mark.parametrize("positions", ["interleaved", "rotary"])
def test_config_round_trips(positions):
    encoder = built_encoder(
        positions=positions,
        dropout_rate=0.25,
        attention_dropout_rate=0.5,
        residual_dropout_rate=0.125,
        layer_dropout_rate=0.25,
        token_dropout_rate=0.0625,
        key_dim=6,
        activation="gelu",
        norm_first=True,
        layer_norm_epsilon=1e-4,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.5),
        dtype="mixed_bfloat16",
    )
    copy = keras.layers.deserialize(keras.layers.serialize(encoder))
    assert copy.get_config() == encoder.get_config()
    copy.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(numbers(copy(SOURCE)), numbers(encoder(SOURCE)))

    layer = encoder.enc_layers[0]
    layer_copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert layer_copy.get_config() == layer.get_config()
    assert layer_copy.rotary == (positions == "rotary")


def test_weights_are_counted():
    d, dff = 8, 16
    attention = 4 * (d * d + d) + 2 * d
    feed_forward = (d * dff + dff) + (dff * d + d) + 2 * d
    assert built_encoder().count_params() == 13 * d + 2 * (attention + feed_forward)
