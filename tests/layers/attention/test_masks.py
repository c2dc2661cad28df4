"""Masks: what they hide, which polarity they have, and the shapes they broadcast from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.internals import drop_keras_mask, keras_mask
from keras_transformer.layers.attention import masks


def test_padding_mask_marks_padding_with_one():
    mask = masks.create_padding_mask(tf.constant([[7, 6, 0, 0, 1], [0, 0, 0, 4, 5]]))
    assert mask.dtype == tf.float32
    np.testing.assert_array_equal(mask, [[[[0, 0, 1, 1, 0]]], [[[1, 1, 1, 0, 0]]]])


def test_look_ahead_mask_marks_the_future_with_one():
    expected = [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_array_equal(masks.create_look_ahead_mask(3), expected)
    np.testing.assert_array_equal(masks.create_look_ahead_mask(tf.constant(3)), expected)


def test_create_masks_hides_padding_and_future():
    source, target = np.array([[5, 6, 0], [5, 0, 0]]), np.array([[2, 4, 8, 0], [2, 4, 0, 0]])
    encoder, combined, decoder = (mask.numpy() for mask in masks.create_masks(source, target))
    for padding in (encoder, decoder):
        np.testing.assert_array_equal(padding, (source == 0)[:, np.newaxis, np.newaxis, :])
    assert combined.shape == (2, 1, 4, 4)
    for row, query, key in np.ndindex(2, 4, 4):
        hidden = key > query or target[row, key] == 0
        assert combined[row, 0, query, key] == hidden


@pytest.mark.parametrize("kind", [np.array, tf.constant])
def test_bool_means_keep_and_numbers_mean_hide(kind):
    keep = [[True, True, False]]
    hidden = [[0, 0, 1]]
    for mask in (kind(keep), kind(hidden), tf.cast(hidden, tf.float32), tf.cast(hidden, tf.int64)):
        result = masks.as_keep_mask(mask)
        assert result.dtype == tf.bool
        np.testing.assert_array_equal(result, keep)


def test_causal_keep_mask_is_the_opposite_of_the_look_ahead_mask():
    keep = masks.causal_keep_mask(5, 5)
    np.testing.assert_array_equal(keep, masks.create_look_ahead_mask(5).numpy() == 0)
    np.testing.assert_array_equal(masks.causal_keep_mask(2, 3), [[1, 0, 0], [1, 1, 0]])
    for offset in (1, tf.constant(1)):
        later = masks.causal_keep_mask(2, 4, offset)
        np.testing.assert_array_equal(later, [[1, 1, 0, 0], [1, 1, 1, 0]])


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_padding_keep_mask_is_true_for_tokens(dtype):
    ids = np.array([[3, 1, 0]], dtype)
    np.testing.assert_array_equal(masks.padding_keep_mask(ids), [[True, True, False]])


def test_padding_lengths_count_tokens():
    ids = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [5, 6, 7, 8]])
    lengths = masks.padding_lengths(ids)
    assert lengths.dtype == tf.int32
    np.testing.assert_array_equal(lengths, [2, 0, 4])


def test_lengths_are_told_from_masks():
    for lengths in ([2, 0], np.array([2, 0]), tf.constant([2, 0], tf.int64)):
        mask, found = masks.mask_and_lengths(lengths)
        assert mask is None
        assert found.dtype == tf.int32
        np.testing.assert_array_equal(found, [2, 0])
    mask, lengths = masks.mask_and_lengths(np.array([[True, False]]))
    assert lengths is None
    np.testing.assert_array_equal(mask, [[[[True, False]]]])
    assert masks.mask_and_lengths(None) == (None, None)
    for dtype in (bool, "float32"):
        with pytest.raises(ValueError, match="A mask of a sequence has the shape"):
            masks.mask_and_lengths(np.ones(2, dtype))


def test_sequence_masks_get_the_shape_of_attention_weights():
    batch, heads, query, key = 2, 3, 4, 5
    for shape, expected in {
        (batch, key): (batch, 1, 1, key),
        (batch, query, key): (batch, 1, query, key),
        (batch, heads, query, key): (batch, heads, query, key),
        (batch, 1, 1, key): (batch, 1, 1, key),
    }.items():
        keep = np.random.default_rng(1).random(shape) > 0.5
        for mask in (keep, (~keep).astype("float32"), (~keep).astype("int32")):
            result = masks.over_heads_and_queries(mask)
            assert result.shape == expected
            np.testing.assert_array_equal(result, keep.reshape(expected))
    assert masks.over_heads_and_queries(None) is None


@pytest.mark.parametrize("shape", [(5,), (1, 2, 3, 4, 5)])
def test_masks_of_another_rank_are_refused(shape):
    with pytest.raises(ValueError, match=r"batch, query, key.*got \(.*5"):
        masks.over_heads_and_queries(np.ones(shape, bool))


def test_the_mask_of_keras_is_found_and_taken_off():
    x = keras.layers.Embedding(5, 2, mask_zero=True)(tf.constant([[3, 0]]))
    np.testing.assert_array_equal(keras_mask(x), [[True, False]])
    assert keras_mask(drop_keras_mask(x)) is None
    assert keras_mask(tf.ones(3)) is None
    assert drop_keras_mask(tf.ones(3)).shape == 3
