"""Positions: the paper's formula, rotations that know distance alone, and the embedding."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.internals import keras_mask
from keras_transformer.layers import PositionalEmbedding, get_angles
from keras_transformer.layers.positional import (
    POSITION_KINDS,
    interleaved_positional_encoding,
    positional_encoding,
    rotate,
)

TABLES = {"sinusoidal": positional_encoding, "interleaved": interleaved_positional_encoding}


def paper_formula(position: int, dimension: int, depth: int) -> float:
    """Section 3.5, in Python's own double precision."""
    angle = position / math.pow(10000.0, 2 * (dimension // 2) / depth)
    return math.sin(angle) if dimension % 2 == 0 else math.cos(angle)


@pytest.mark.parametrize(("length", "depth"), [(2048, 6), (50, 128), (7, 5)])
def test_encodings_equal_the_papers_formula(length, depth):
    expected = np.array(
        [[paper_formula(position, i, depth) for i in range(depth)] for position in range(length)]
    )
    interleaved = interleaved_positional_encoding(length, depth)
    concatenated = positional_encoding(length, depth)
    assert interleaved.dtype == concatenated.dtype == tf.float32
    np.testing.assert_allclose(interleaved, expected, rtol=0, atol=1e-7)
    sines_then_cosines = np.concatenate([expected[:, 0::2], expected[:, 1::2]], axis=-1)
    np.testing.assert_allclose(concatenated, sines_then_cosines, rtol=0, atol=1e-7)


def test_concatenated_and_interleaved_hold_the_same_columns():
    interleaved, concatenated = interleaved_positional_encoding(9, 8), positional_encoding(9, 8)
    np.testing.assert_array_equal(interleaved[:, 0::2], concatenated[:, :4])
    np.testing.assert_array_equal(interleaved[:, 1::2], concatenated[:, 4:])


def test_angles_are_shared_by_pairs_of_dimensions():
    angles = get_angles(np.arange(4)[:, np.newaxis], np.arange(6)[np.newaxis, :], 6)
    assert angles.dtype == np.float64
    np.testing.assert_array_equal(angles[:, 0::2], angles[:, 1::2])
    np.testing.assert_allclose(angles[:, 0], [0, 1, 2, 3])
    assert get_angles(3, 4, 6) == pytest.approx(3 / 10000 ** (4 / 6))


# Rotary positions


def rotated_score(q, k, query_position, key_position):
    query, key = rotate(q, query_position), rotate(k, key_position)
    return float(tf.reduce_sum(query * key))


def test_rotary_scores_depend_on_distance_only(rng):
    q, k = (tf.constant(rng.normal(size=(1, 1, 1, 8)), tf.float32) for _ in range(2))
    for distance in (0, 1, 5):
        scores = [rotated_score(q, k, start + distance, start) for start in (0, 3, 40)]
        np.testing.assert_allclose(scores, scores[0], rtol=0, atol=1e-4)
    assert abs(rotated_score(q, k, 1, 0) - rotated_score(q, k, 2, 0)) > 1e-2
    assert abs(rotated_score(q, k, 1, 0) - rotated_score(q, k, 0, 1)) > 1e-2


def test_rotation_keeps_lengths_and_leaves_position_zero(rng):
    x = rng.normal(size=(2, 3, 5, 6)).astype("float32")
    rotated = rotate(x).numpy()
    np.testing.assert_allclose(
        np.linalg.norm(rotated, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-5
    )
    np.testing.assert_array_equal(rotated[:, :, 0], x[:, :, 0])
    assert np.abs(rotated[:, :, 1] - x[:, :, 1]).max() > 0.1


def test_with_a_position_all_are_rotated_to_it(rng):
    x = tf.constant(rng.normal(size=(1, 2, 6, 4)), tf.float32)
    beams = tf.repeat(x[:, :, 4:5], 3, axis=2)
    for position in (4, tf.constant(4)):
        rotated = rotate(beams, position)
        for beam in range(3):
            np.testing.assert_allclose(rotated[:, :, beam], rotate(x)[:, :, 4], atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_rotation_by_far_positions_is_exact_in_half_precision(dtype, rng):
    x = tf.cast(rng.normal(size=(1, 1, 1, 4)), dtype)
    far = rotate(x, 3001)
    assert far.dtype == dtype
    np.testing.assert_allclose(
        tf.cast(far, tf.float32), rotate(tf.cast(x, tf.float32), 3001), atol=3e-2
    )


# The embedding


@pytest.mark.parametrize("positions", POSITION_KINDS)
def test_embedding_is_scaled_and_the_position_added(positions, dtype_policy, tolerance):
    layer = PositionalEmbedding(11, 6, positions=positions, max_length=9, dtype=dtype_policy)
    ids = np.array([[4, 3, 10, 0], [1, 1, 0, 0]])
    output = layer(ids)
    assert output.dtype == layer.compute_dtype
    expected = layer.embedding.embeddings.numpy()[ids] * math.sqrt(6)
    if positions in TABLES:
        expected = expected + TABLES[positions](4, 6).numpy()
    elif positions == "learned":
        expected = expected + layer.pos_encoding.numpy()[:4]
    np.testing.assert_allclose(tf.cast(output, tf.float32), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("positions", POSITION_KINDS)
def test_a_token_is_embedded_alone_as_within_its_sequence(positions):
    layer = PositionalEmbedding(11, 6, positions=positions, max_length=9)
    ids = tf.constant([[4, 3, 10, 7]])
    whole = layer(ids)
    for position in (0, 3):
        for where in (position, tf.constant(position)):
            alone = layer(ids[:, position : position + 1], position=where)
            np.testing.assert_allclose(alone[:, 0], whole[:, position], atol=1e-6)


@pytest.mark.parametrize("positions", POSITION_KINDS)
def test_padding_changes_no_other_embedding_and_is_masked(positions):
    layer = PositionalEmbedding(11, 6, positions=positions, max_length=9)
    short, long = layer(tf.constant([[4, 3]])), layer(tf.constant([[4, 3, 0, 0]]))
    np.testing.assert_allclose(long[:, :2], short, atol=1e-6)
    np.testing.assert_array_equal(keras_mask(long), [[True, True, False, False]])


def test_positions_are_named_where_unknown():
    with pytest.raises(ValueError, match=r"sinusoidal.*rotary.*got 'circular'"):
        PositionalEmbedding(11, 6, positions="circular")


@pytest.mark.parametrize("positions", ["sinusoidal", "interleaved", "learned"])
def test_too_long_a_sequence_is_refused(positions):
    layer = PositionalEmbedding(11, 6, positions=positions, max_length=4)
    assert layer(tf.ones((1, 4), tf.int32)).shape == (1, 4, 6)
    with pytest.raises(ValueError, match="5 tokens is longer than the 4 positions"):
        layer(tf.ones((1, 5), tf.int32))


@pytest.mark.parametrize("positions", ["rotary", "none"])
def test_kinds_without_vectors_take_any_length(positions):
    layer = PositionalEmbedding(11, 6, positions=positions, max_length=4)
    assert layer(tf.ones((1, 9), tf.int32)).shape == (1, 9, 6)


@pytest.mark.parametrize("integer", [np.int64(11), tf.constant(11), np.array(11)])
def test_numpy_and_tensorflow_integers_are_vocabulary_sizes(integer):
    layer = PositionalEmbedding(integer, 6)
    assert layer.vocab_size == 11
    assert type(layer.get_config()["vocab_size"]) is int


def test_learned_positions_are_trained_and_sinusoids_are_not():
    learned = PositionalEmbedding(11, 6, positions="learned", max_length=9)
    learned.build()
    assert learned.count_params() == 11 * 6 + 9 * 6
    assert len(learned.trainable_weights) == 2
    for positions in ("sinusoidal", "interleaved", "rotary", "none"):
        layer = PositionalEmbedding(11, 6, positions=positions)
        layer.build()
        assert layer.count_params() == 11 * 6


def test_training_drops_whole_tokens_and_keeps_their_positions():
    layer = PositionalEmbedding(13, 8, max_length=20, token_dropout_rate=0.25)
    ids = np.random.default_rng(2).integers(1, 13, (20, 20))
    positions = positional_encoding(20, 8)
    tokens = layer(ids) - positions
    found = (layer(ids, training=True) - positions).numpy()
    kept = np.abs(found).max(axis=-1) > 1e-5
    np.testing.assert_allclose(found[kept], tokens[kept] / 0.75, atol=1e-5)
    assert kept.mean() == pytest.approx(0.75, abs=0.08)


def test_a_shared_embedding_is_one_variable():
    first = PositionalEmbedding(11, 6)
    second = PositionalEmbedding(11, 6, embedding=first.embedding)
    ids = tf.constant([[4, 5]])
    first(ids), second(ids)
    assert second.weights[0] is first.weights[0]
    first.embedding.embeddings.assign(first.embedding.embeddings + 1)
    np.testing.assert_array_equal(first(ids), second(ids))


@pytest.mark.parametrize("positions", POSITION_KINDS)
def test_config_round_trip(positions):
    layer = PositionalEmbedding(
        11,
        6,
        positions=positions,
        max_length=9,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.5),
        name="words",
    )
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
    assert copy.embeddings_initializer.stddev == 0.5
    ids = tf.constant([[4, 3]])
    layer(ids), copy(ids)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(ids), layer(ids))


def test_every_kind_has_its_own_effect():
    ids = tf.constant([[4, 4, 4]])
    outputs = {}
    for positions in ("sinusoidal", "interleaved", "learned"):
        output = PositionalEmbedding(11, 6, positions=positions)(ids).numpy()[0]
        assert np.abs(output[0] - output[1]).max() > 1e-3
        outputs[positions] = output
    assert np.abs(outputs["sinusoidal"] - outputs["interleaved"]).max() > 0.1
