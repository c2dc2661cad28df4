"""Recurrent attention: the equations, and that what is hidden never matters."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.attention import masks
from keras_transformer.layers.recurrent.attention import (
    SCORES,
    AttentionalVector,
    DotAttention,
    make_attention,
)

EVERY_SCORE = pytest.mark.parametrize("score", SCORES)
KEEP = np.array([[True] * 5, [True, True, False, False, False], [False] * 5])


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


@pytest.fixture
def query(rng):
    return rng.normal(size=(3, 4, 6)).astype("float32")


@pytest.fixture
def memory(rng):
    return rng.normal(size=(3, 5, 6)).astype("float32")


def made(score, randomise, memory_width=6, **kwargs):
    attention = make_attention(score, 7, **kwargs)
    attention.build((None, None, 6), (None, None, memory_width))
    return randomise(attention)


def score_by_hand(score, attention, s, h):
    """The paper's equation for one state of the decoder and one of the encoder."""
    weights = {weight.name: numbers(weight) for weight in attention.weights}
    if score == "additive":
        hidden = np.tanh(s @ weights["query_kernel"] + h @ weights["key_kernel"])
        return hidden @ weights["score_kernel"][:, 0]
    if score == "concat":
        hidden = np.tanh(np.concatenate([s, h]) @ weights["kernel"])
        return hidden @ weights["score_kernel"][:, 0]
    if score == "general":
        return s @ weights["kernel"].T @ h
    return s @ h / (np.sqrt(6) if score == "scaled_dot" else 1)


@EVERY_SCORE
def test_scores_follow_the_equations(score, query, memory, randomise):
    attention = made(score, randomise)
    context, weights = attention(query, memory)
    scores = np.array(
        [
            [[score_by_hand(score, attention, s, h) for h in memory[row]] for s in query[row]]
            for row in range(3)
        ]
    )
    expected = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(context, expected @ memory, rtol=0, atol=1e-5)


@EVERY_SCORE
def test_padding_changes_nothing(score, dtype_policy, tolerance, query, memory, randomise, rng):
    attention = made(score, randomise, dtype=dtype_policy)
    context, weights = attention(query, memory, KEEP)
    assert context.dtype == weights.dtype == attention.compute_dtype
    junk = np.concatenate(
        [np.where(KEEP[..., np.newaxis], memory, 9), 5 * rng.normal(size=(3, 2, 6))], axis=1
    ).astype("float32")
    longer, long_weights = attention(query, junk, np.pad(KEEP, ((0, 0), (0, 2))))
    np.testing.assert_allclose(numbers(longer), numbers(context), rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        numbers(long_weights)[..., :5], numbers(weights), rtol=0, atol=tolerance
    )
    assert not numbers(weights)[1, :, 2:].any()
    assert not numbers(long_weights)[..., 5:].any()
    np.testing.assert_allclose(numbers(weights)[:2].sum(axis=-1), 1, atol=1e-2)


@EVERY_SCORE
def test_a_query_that_sees_nothing_gives_zeros(score, query, memory, randomise):
    attention = made(score, randomise)
    query, memory = tf.Variable(query), tf.Variable(memory)
    with tf.GradientTape() as tape:
        context, weights = attention(query, memory, KEEP)
        loss = tf.reduce_sum(context**3)
    assert not numbers(context)[2].any()
    assert not numbers(weights)[2].any()
    of_query, of_memory, *rest = tape.gradient(loss, [query, memory, *attention.trainable_weights])
    for gradient in (of_query, of_memory):
        assert np.isfinite(gradient).all()
        assert not numbers(gradient)[2].any()
        assert numbers(gradient)[0].any()
    assert not numbers(of_memory)[1, 2:].any()
    for gradient in rest:
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 1e-6


@EVERY_SCORE
def test_masks_of_every_kind_agree(score, query, memory, randomise):
    attention = made(score, randomise)
    expected = attention(query, memory, KEEP)[0]
    each = np.broadcast_to(KEEP[:, np.newaxis], (3, 4, 5))
    for mask in (each, 1.0 - KEEP, tf.constant(KEEP)):
        np.testing.assert_array_equal(attention(query, memory, mask)[0], expected)
    causal = masks.causal_keep_mask(4, 5)[tf.newaxis] & KEEP[:, np.newaxis]
    weights = numbers(attention(query, memory, causal)[1])
    assert not np.triu(weights, k=1).any()


@EVERY_SCORE
def test_keys_projected_once_give_the_call(score, query, memory, randomise):
    attention = made(score, randomise)
    keys = attention.project_keys(memory)
    expected = attention(query, memory, KEEP)
    for position in range(4):
        one = query[:, position : position + 1]
        found = attention.attend(one, keys, memory, KEEP)
        for part, same in zip(found, expected, strict=True):
            np.testing.assert_allclose(part[:, 0], same[:, position], rtol=0, atol=1e-5)


@EVERY_SCORE
def test_xla_equals_eager(score, query, memory, randomise):
    attention = made(score, randomise)
    compiled = tf.function(lambda q, m: attention(q, m, KEEP), jit_compile=True)
    found = compiled(tf.constant(query), tf.constant(memory))
    for part, same in zip(found, attention(query, memory, KEEP), strict=True):
        np.testing.assert_allclose(part, same, rtol=0, atol=1e-5)


@pytest.mark.parametrize("score", ["additive", "general", "concat"])
def test_widths_may_differ(score, query, rng, randomise):
    attention = made(score, randomise, memory_width=8)
    context, weights = attention(query, rng.normal(size=(3, 5, 8)).astype("float32"))
    assert context.shape == (3, 4, 8)
    assert weights.shape == (3, 4, 5)


def test_wrong_arguments_are_refused(query):
    with pytest.raises(ValueError, match="width 6 and a memory of width 8"):
        DotAttention()(query, np.zeros((3, 5, 8), "float32"))
    with pytest.raises(ValueError, match="got 'cosine'"):
        make_attention("cosine", 4)


def test_the_attentional_vector(query, memory, randomise):
    layer = AttentionalVector(3)
    context = memory[:, :4]
    layer.build(context.shape, query.shape)
    randomise(layer)
    kernel = numbers(layer.kernel)
    expected = np.tanh(np.concatenate([context, query], axis=-1) @ kernel)
    np.testing.assert_allclose(layer(context, query), expected, rtol=0, atol=1e-5)


@EVERY_SCORE
def test_configs_round_trip(score, query, memory, randomise):
    attention = made(score, randomise, dtype="mixed_bfloat16")
    copy = keras.layers.deserialize(keras.layers.serialize(attention))
    assert copy.get_config() == attention.get_config()
    copy.set_weights(attention.get_weights())
    for part, same in zip(copy(query, memory), attention(query, memory), strict=True):
        np.testing.assert_array_equal(numbers(part), numbers(same))
    vector = AttentionalVector(3, dtype="mixed_bfloat16")
    assert keras.layers.deserialize(keras.layers.serialize(vector)).units == 3


def test_scores_beyond_half_precision_give_finite_weights():
    attention = DotAttention(dtype="float16")
    states = tf.fill((1, 3, 8), tf.constant(300, tf.float16))  # scores of 720,000
    context, weights = attention(states, states, tf.constant([[True, True, False]]))
    np.testing.assert_array_equal(weights, np.broadcast_to([0.5, 0.5, 0], (1, 3, 3)))
    np.testing.assert_array_equal(context, states)
