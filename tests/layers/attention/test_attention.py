"""Attention: hidden keys never matter, queries that see nothing give zeros, masks in any form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers import (
    CausalSelfAttention,
    CrossAttention,
    FeedForward,
    GlobalSelfAttention,
    MultiHeadAttention,
    PositionalEmbedding,
    scaled_dot_product_attention,
)
from keras_transformer.layers.attention import multi_head as heads_module

WIDTH, HEADS = 8, 2
DTYPES = [tf.float32, tf.float16, tf.bfloat16]
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
ROTARY = pytest.mark.parametrize("rotary", [False, True], ids=["plain", "rotary"])


def close(actual, expected, tolerance):
    actual, expected = (tf.cast(x, tf.float32) for x in (actual, expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def largest_difference(a, b):
    return np.abs(tf.cast(a, tf.float32).numpy() - tf.cast(b, tf.float32).numpy()).max()


def vectors(rng, batch=2, length=5, width=WIDTH):
    return rng.normal(size=(batch, length, width)).astype("float32")


def with_junk(x, rng, count=3):
    """`x` with loud vectors appended, and the mask that tells them apart."""
    junk = 5 * vectors(rng, x.shape[0], count, x.shape[2])
    keep = np.ones((x.shape[0], x.shape[1] + count), bool)
    keep[:, x.shape[1] :] = False
    return np.concatenate([x, junk], axis=1), keep


def with_keras_mask(x, keep):
    x = tf.identity(x)
    x._keras_mask = tf.constant(keep)
    return x


def attention_in_float64(q, k, v, keep=None):
    """Equation 1, row by row."""
    output, weights = np.zeros((len(q), v.shape[1])), np.zeros((len(q), len(k)))
    for i in range(len(q)):
        visible = [j for j in range(len(k)) if keep is None or keep[i, j]]
        scores = [np.exp(np.dot(q[i], k[j]) / np.sqrt(len(k[j]))) for j in visible]
        for j, score in zip(visible, scores, strict=True):
            weights[i, j] = score / sum(scores)
            output[i] += weights[i, j] * v[j]
    return output, weights


# scaled_dot_product_attention: laws


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_sum_to_one_over_visible_keys_and_hidden_keys_get_exactly_zero(dtype, rng):
    q, k, v = (tf.cast(3 * rng.normal(size=(2, 3, 6, 4)), dtype) for _ in range(3))
    keep = rng.random((2, 1, 6, 6)) > 0.4
    keep[..., 0] = True  # every query sees something
    output, weights = scaled_dot_product_attention(q, k, v, keep)
    assert output.dtype == weights.dtype == dtype
    weights = tf.cast(weights, tf.float64).numpy()
    tolerance = {tf.float32: 1e-6, tf.float16: 3e-3, tf.bfloat16: 2e-2}[dtype]
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=tolerance)
    assert (weights[~np.broadcast_to(keep, weights.shape)] == 0).all()


@pytest.mark.parametrize("jit_compile", [False, True], ids=["eager", "xla"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_query_that_sees_nothing_gives_zero_output_weights_and_gradients(dtype, jit_compile, rng):
    q, k, v = (tf.Variable(tf.cast(rng.normal(size=(2, 4, 4)), dtype)) for _ in range(3))
    keep = np.ones((2, 4, 4), bool)
    keep[0, 1] = False  # one query of the first row
    keep[1] = False  # all of the second

    def gradients():
        with tf.GradientTape() as tape:
            output, weights = scaled_dot_product_attention(q, k, v, keep)
            loss = tf.reduce_sum(output**2) + tf.reduce_sum(weights**2)
        return output, weights, tape.gradient(loss, [q, k, v])

    output, weights, grads = (
        tf.function(gradients, jit_compile=True)() if jit_compile else (gradients())
    )
    for tensor in (output, weights, *grads):
        assert np.isfinite(tf.cast(tensor, tf.float32)).all()
    for tensor in (output, weights, grads[0]):
        assert not np.any(tensor[0, 1])
    for tensor in (output, weights, *grads):
        assert not np.any(tensor[1])
    for tensor in (output, weights, *grads):  # and what does see something is alive
        assert np.any(tensor[0, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_hidden_keys_and_values_do_not_matter(dtype, rng):
    q, k, v = (rng.normal(size=(2, 5, 4)) for _ in range(3))
    long_k, keep = with_junk(k, rng)
    long_v, _ = with_junk(v, rng)
    q, k, v, long_k, long_v = (tf.cast(x, dtype) for x in (q, k, v, long_k, long_v))
    expected, _ = scaled_dot_product_attention(q, k, v)
    output, weights = scaled_dot_product_attention(q, long_k, long_v, keep[:, np.newaxis, :])
    close(output, expected, 1e-6 if dtype == tf.float32 else 1e-2)
    assert not np.any(weights[..., 5:])


@pytest.mark.parametrize("masked", [False, True])
def test_equals_equation_one_in_float64(masked, rng):
    q, k, v = rng.normal(size=(4, 6)), rng.normal(size=(5, 6)), rng.normal(size=(5, 3))
    keep = rng.random((4, 5)) > 0.5 if masked else None
    if masked:
        keep[2] = False
    for dtype, tolerance in ((tf.float64, 1e-7), (tf.float32, 1e-6)):
        result = scaled_dot_product_attention(*(tf.cast(x, dtype) for x in (q, k, v)), keep)
        for actual, expected in zip(result, attention_in_float64(q, k, v, keep), strict=True):
            assert actual.dtype == dtype
            np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", [50.0, 1000.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_scores_do_not_overflow(dtype, size):
    """Products beyond float16's range that fit once divided, and that do not; and a huge mask."""
    q = tf.cast(tf.fill((1, 2, 64), size), dtype)
    k = tf.cast(tf.stack([tf.fill((64,), size), tf.fill((64,), -size)])[tf.newaxis], dtype)
    v = tf.cast([[[1.0], [2.0]]], dtype)
    np.testing.assert_array_equal(scaled_dot_product_attention(q, k, v)[0][..., 0], [[1, 1]])
    for hide_first in (np.array([[1.0, 0.0]], "float32"), np.array([[False, True]])):
        output, weights = scaled_dot_product_attention(q, k, v, hide_first)
        np.testing.assert_array_equal(output[..., 0], [[2, 2]])
        np.testing.assert_array_equal(weights[0], [[0, 1], [0, 1]])


def test_bool_and_float_masks_have_opposite_senses(rng):
    q, k, v = (vectors(rng) for _ in range(3))
    keep = rng.random((5, 5)) > 0.5
    expected = scaled_dot_product_attention(q, k, v, keep)
    for hidden in ((~keep).astype("float32"), (~keep).astype("int32"), tf.cast(~keep, tf.float16)):
        for actual, wanted in zip(
            scaled_dot_product_attention(q, k, v, hidden), expected, strict=True
        ):
            np.testing.assert_array_equal(actual, wanted)


def test_leading_dimensions_are_arbitrary_and_broadcast(rng):
    q, k, v = (rng.normal(size=(2, 3, 2, 5, 4)) for _ in range(3))
    output, weights = scaled_dot_product_attention(q, k, v)
    assert output.shape == (2, 3, 2, 5, 4)
    assert weights.shape == (2, 3, 2, 5, 5)
    for index in np.ndindex(2, 3, 2):
        alone, _ = scaled_dot_product_attention(q[index], k[index], v[index])
        np.testing.assert_allclose(output[index], alone, atol=1e-12)
    shared, _ = scaled_dot_product_attention(q, k[0, 0, 0], v[0, 0, 0])
    np.testing.assert_allclose(shared[0, 0, 0], output[0, 0, 0], atol=1e-12)


def test_returned_weights_are_those_before_dropout(rng):
    q, k, v = (vectors(rng) for _ in range(3))
    expected, weights = scaled_dot_product_attention(q, k, v)
    dropped, same_weights = scaled_dot_product_attention(q, k, v, dropout=lambda w: 2 * w)
    np.testing.assert_array_equal(same_weights, weights)
    np.testing.assert_allclose(dropped, 2 * expected, atol=1e-6)


# scaled_dot_product_attention: the tutorial's examples

KEYS = tf.constant([[10, 0, 0], [0, 10, 0], [0, 0, 10], [0, 0, 10]], tf.float32)
VALUES = tf.constant([[1, 0], [10, 0], [100, 5], [1000, 6]], tf.float32)


@pytest.mark.parametrize(
    ("query", "weights", "output"),
    [
        ([[0, 10, 0]], [[0, 1, 0, 0]], [[10, 0]]),
        ([[0, 0, 10]], [[0, 0, 0.5, 0.5]], [[550, 5.5]]),
        ([[10, 10, 0]], [[0.5, 0.5, 0, 0]], [[5.5, 0]]),
    ],
)
def test_the_tutorials_examples(query, weights, output):
    result = scaled_dot_product_attention(tf.constant(query, tf.float32), KEYS, VALUES, None)
    np.testing.assert_allclose(result[0], output, atol=1e-4)
    np.testing.assert_allclose(result[1], weights, atol=1e-6)


# MultiHeadAttention


@pytest.fixture
def heads(dtype_policy, randomise):
    """A function that makes a built layer with random weights."""

    def make(**kwargs):
        layer = MultiHeadAttention(WIDTH, HEADS, dtype=dtype_policy, **kwargs)
        layer.build((None, None, WIDTH))
        return randomise(layer)

    return make


@ROTARY
def test_heads_obey_the_padding_law(rotary, heads, tolerance, rng):
    layer, q, x = heads(rotary=rotary), vectors(rng, length=4), vectors(rng)
    long, keep = with_junk(x, rng)
    output, weights = layer(v=x, k=x, q=q)
    for mask in (keep[:, None, None, :], (~keep[:, None, None, :]).astype("float32")):
        long_output, long_weights = layer(v=long, k=long, q=q, mask=mask)
        close(long_output, output, tolerance)
        close(long_weights[..., :5], weights, tolerance)
        assert not np.any(long_weights[..., 5:])
    assert largest_difference(layer(v=long, k=long, q=q)[0], output) > 10 * tolerance


@ROTARY
def test_causal_heads_do_not_see_the_future(rotary, heads, tolerance, rng):
    layer, x = heads(rotary=rotary), vectors(rng)
    output, weights = layer(v=x, k=x, q=x, causal=True)
    assert not np.any(np.triu(tf.cast(weights, tf.float32), k=1))
    changed = np.concatenate([x[:, :3], vectors(rng, length=2)], axis=1)
    close(layer(v=changed, k=changed, q=changed, causal=True)[0][:, :3], output[:, :3], tolerance)
    look_ahead = 1 - np.tri(5, dtype="float32")
    close(layer(v=x, k=x, q=x, mask=look_ahead)[0], output, tolerance)


def test_causal_joins_a_mask(heads, rng):
    keep = np.array([[True, False, True, True, True]] * 2)[:, None, None, :]
    x = vectors(rng)
    for mask in (keep, (~keep).astype("int32")):
        _, weights = heads()(v=x, k=x, q=x, mask=mask, causal=True)
        visible = np.broadcast_to(np.tri(5, dtype=bool) & keep, weights.shape)
        np.testing.assert_array_equal(tf.cast(weights, tf.float32).numpy() > 0, visible)


def test_a_row_that_sees_nothing_gets_the_output_bias_and_no_gradient(heads, rng):
    layer, x = heads(), tf.Variable(vectors(rng))
    keep = np.ones((2, 1, 1, 5), bool)
    keep[1] = False
    with tf.GradientTape() as tape:
        output, weights = layer(v=x, k=x, q=x, mask=keep)
        loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 2)
    gradient = tape.gradient(loss, x)
    assert not np.any(weights[1])
    close(output[1], tf.broadcast_to(layer.output_dense.bias, (5, WIDTH)), 1e-2)
    assert np.isfinite(gradient).all()
    assert not np.any(gradient[1])
    assert np.any(gradient[0])


@ROTARY
def test_xla_equals_eager(rotary, heads, tolerance, rng):
    layer, x = heads(rotary=rotary), vectors(rng)
    keep = rng.random((2, 1, 5, 5)) > 0.3

    def call():
        return layer(v=x, k=x, q=x, mask=keep, causal=True)

    for compiled, eager in zip(tf.function(call, jit_compile=True)(), call(), strict=True):
        close(compiled, eager, tolerance)


@ROTARY
def test_one_tensor_for_all_equals_equal_copies(rotary, heads, tolerance, rng, monkeypatch):
    """One tensor is projected in one product, copies in two or three: the result is the same."""
    layer = heads(rotary=rotary)
    x = tf.cast(vectors(rng), layer.compute_dtype)
    a, b, c = (tf.identity(x) for _ in range(3))
    products = []
    project = heads_module.project_heads

    def count(x, *layers):
        products[-1].append(len(layers))
        return project(x, *layers)

    def results(v, k, q):
        products.append([])
        with tf.GradientTape() as tape:
            inputs = {id(tensor): tensor for tensor in (v, k, q)}.values()
            tape.watch(inputs)
            output, weights = layer(v=v, k=k, q=q, causal=True)
            loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 2)
        gradients = tape.gradient(loss, [*inputs, *layer.trainable_variables])
        of_inputs, of_weights = gradients[: len(inputs)], gradients[len(inputs) :]
        return output, weights, tf.add_n(of_inputs), *of_weights

    monkeypatch.setattr(heads_module, "project_heads", count)
    expected = results(x, x, x)
    for copies in ((a, b, c), (a, a, c), (a, b, a), (a, b, b)):
        for actual, wanted in zip(results(*copies), expected, strict=True):
            close(actual, wanted, tolerance * max(1, np.abs(tf.cast(wanted, tf.float32)).max()))
    assert [sorted(each) for each in products] == [[3], [1, 1, 1], [1, 2], [1, 1, 1], [1, 1, 1]]


def test_the_tutorials_order_is_values_keys_queries(rng):
    layer = MultiHeadAttention(WIDTH, HEADS)
    v, k, q = (vectors(rng) for _ in range(3))
    by_position, by_name = layer(v, k, q), layer(q=q, k=k, v=v)
    np.testing.assert_array_equal(by_position[0], by_name[0])
    assert largest_difference(by_name[0], layer(q, k, v)[0]) > 1e-3


def test_shapes_and_sizes_of_heads(rng):
    q, kv = vectors(rng, length=3), vectors(rng, length=6, width=10)
    output, weights = MultiHeadAttention(12, 4)(v=kv, k=kv, q=q)
    assert (output.shape, weights.shape) == ((2, 3, 12), (2, 4, 3, 6))
    wide = MultiHeadAttention(None, 3, key_dim=5)
    output, weights = wide(v=kv, k=kv, q=q)
    assert (output.shape, weights.shape) == ((2, 3, WIDTH), (2, 3, 3, 6))
    assert wide.query_dense.kernel.shape == (WIDTH, 3, 5)
    assert wide.value_dense.kernel.shape == (10, 3, 5)
    assert wide.output_dense.kernel.shape == (3, 5, WIDTH)


def test_projections_start_as_glorot_would_start_one_matrix():
    layer = MultiHeadAttention(64, 8)
    layer.build((None, None, 64))
    limit = np.sqrt(6 / 128)
    for dense in (layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense):
        kernel = dense.kernel.numpy()
        assert np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"d_model \(10\) is not a multiple of num_heads \(4\)"):
        MultiHeadAttention(10, 4)
    MultiHeadAttention(10, 4, key_dim=3)
    with pytest.raises(ValueError, match="even size; got 3"):
        MultiHeadAttention(9, 3, rotary=True).build((None, None, 9))


def test_dropout_of_weights_acts_in_training_alone(rng):
    layer, x = MultiHeadAttention(WIDTH, HEADS, dropout=0.5), vectors(rng)
    call = {"v": x, "k": x, "q": x}
    np.testing.assert_array_equal(layer(**call)[0], layer(**call, training=False)[0])
    assert largest_difference(layer(**call)[0], layer(**call, training=True)[0]) > 1e-3


def test_config_of_heads_round_trips(rng):
    layer = MultiHeadAttention(
        WIDTH,
        HEADS,
        key_dim=6,
        dropout=0.3,
        rotary=True,
        implementation="blockwise",
        name="heads",
    )
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
    x = vectors(rng)
    expected = layer(x, x, x)[0]
    copy(x, x, x)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x, x, x)[0], expected)


# The three sub-layers


@pytest.fixture
def sub_layer(dtype_policy, randomise):
    """A function that makes a built sub-layer with random weights."""

    def make(kind, **kwargs):
        layer = kind(num_heads=HEADS, dtype=dtype_policy, **kwargs)
        layer.build((None, None, WIDTH))
        return randomise(layer)

    return make


@NORMS
@ROTARY
@pytest.mark.parametrize("kind", [GlobalSelfAttention, CausalSelfAttention])
def test_self_attention_obeys_the_padding_law(kind, rotary, norm_first, sub_layer, tolerance, rng):
    layer = sub_layer(kind, rotary=rotary, norm_first=norm_first)
    x = vectors(rng)
    long, keep = with_junk(x, rng)
    expected = layer(x)
    for output in (
        layer(long, x_mask=keep),  # explicit
        layer(with_keras_mask(long, keep)),  # implicit
    ):
        close(output[:, :5], expected, tolerance)
        weights = layer.last_attn_scores
        assert not np.any(weights[..., 5:])
        close(tf.reduce_sum(tf.cast(weights, tf.float32), axis=-1), tf.ones((2, HEADS, 8)), 1e-2)


@NORMS
def test_cross_attention_obeys_the_padding_law(norm_first, sub_layer, tolerance, rng):
    layer = sub_layer(CrossAttention, norm_first=norm_first)
    x, context = vectors(rng, length=4), vectors(rng)
    long, keep = with_junk(context, rng)
    expected = layer(x, context)
    for output in (
        layer(x, long, context_mask=keep),
        layer(x, with_keras_mask(long, keep)),
        layer(x=x, context=with_keras_mask(long, keep)),
    ):
        close(output, expected, tolerance)
        assert layer.last_attn_scores.shape == (2, HEADS, 4, 8)
        assert not np.any(layer.last_attn_scores[..., 5:])
    assert largest_difference(layer(x, long), expected) > tolerance


@NORMS
@ROTARY
def test_causal_self_attention_does_not_see_the_future(
    rotary, norm_first, sub_layer, tolerance, rng
):
    layer = sub_layer(CausalSelfAttention, rotary=rotary, norm_first=norm_first)
    x = vectors(rng)
    changed = np.concatenate([x[:, :3], vectors(rng, length=2)], axis=1)
    close(layer(changed)[:, :3], layer(x)[:, :3], tolerance)
    assert largest_difference(layer(changed)[:, 3:], layer(x)[:, 3:]) > 0.1
    whole = layer(x, causal=False)
    assert largest_difference(whole[:, :3], layer(x)[:, :3]) > tolerance
    close(layer(x, x_mask=np.tri(5, dtype=bool)[np.newaxis], causal=False), layer(x), tolerance)


@NORMS
@ROTARY
def test_steps_with_a_cache_equal_the_call(rotary, norm_first, rng, randomise):
    layer = CausalSelfAttention(num_heads=HEADS, rotary=rotary, norm_first=norm_first)
    layer.build((None, None, WIDTH))
    randomise(layer)
    x = vectors(rng)
    expected = layer(x)
    cache = (tf.zeros((2 * HEADS, 7, WIDTH // HEADS)),) * 2
    for position in range(5):
        here = x[:, position : position + 1]
        output, cache = layer.step(here, cache, tf.constant(position), tf.range(7) <= position)
        close(output[:, 0], expected[:, position], 1e-5)


@pytest.mark.parametrize("kind", [GlobalSelfAttention, CausalSelfAttention, CrossAttention])
def test_an_explicit_mask_wins_over_the_one_of_keras(kind, sub_layer, rng):
    layer, x = sub_layer(kind), vectors(rng)
    explicit = np.array([[True, True, True, False, False]] * 2)
    implicit = np.array([[True, False, False, False, True]] * 2)
    carrying = with_keras_mask(x, implicit)
    if kind is CrossAttention:
        expected, actual = (
            layer(x, x, context_mask=explicit),
            layer(x, carrying, context_mask=explicit),
        )
    else:
        expected, actual = layer(x, x_mask=explicit), layer(carrying, x_mask=explicit)
    np.testing.assert_array_equal(tf.cast(actual, tf.float32), tf.cast(expected, tf.float32))
    assert not np.any(layer.last_attn_scores[..., 3:])
    assert np.any(layer.last_attn_scores[..., 1:3])


@pytest.mark.parametrize("kind", [GlobalSelfAttention, CausalSelfAttention, CrossAttention])
def test_masks_of_rank_two_three_and_four_in_both_senses(kind, sub_layer, rng):
    layer, x = sub_layer(kind), vectors(rng)
    keep = np.array([[True, True, False, True, False], [True, False, False, False, False]])
    over_queries = np.broadcast_to(keep[:, None, :], (2, 5, 5))
    over_heads = np.broadcast_to(keep[:, None, None, :], (2, HEADS, 5, 5))

    def call(mask):
        if kind is CrossAttention:
            return layer(x, x, context_mask=mask)
        return layer(x, x_mask=mask)

    expected = call(keep)
    for mask in (keep, over_queries, over_heads, keep[:, None, None, :]):
        for form in (mask, (~mask).astype("float32"), (~mask).astype("int32")):
            np.testing.assert_array_equal(
                tf.cast(call(form), tf.float32), tf.cast(expected, tf.float32)
            )
    assert largest_difference(expected, call(None)) > 1e-2
    with pytest.raises(ValueError, match="A mask of a sequence has the shape"):
        call(np.ones(5, bool))


def test_a_mask_may_differ_between_heads_and_queries(sub_layer, rng):
    layer, x = sub_layer(GlobalSelfAttention), vectors(rng)
    keep = rng.random((2, HEADS, 5, 5)) > 0.5
    layer(x, x_mask=keep)
    np.testing.assert_array_equal(tf.cast(layer.last_attn_scores, tf.float32).numpy() > 0, keep)


def test_a_sequence_of_nothing_but_padding_gives_no_nan(sub_layer, rng):
    layer, x = sub_layer(GlobalSelfAttention), tf.Variable(vectors(rng))
    keep = np.array([[True] * 5, [False] * 5])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(x, x_mask=keep), tf.float32) ** 3)
    gradients = tape.gradient(loss, [x, *layer.trainable_weights])
    assert not np.any(layer.last_attn_scores[1])
    for gradient in gradients:
        assert np.isfinite(gradient).all()


@NORMS
def test_residual_and_norm_stand_where_they_should(norm_first, rng, randomise):
    layer = GlobalSelfAttention(num_heads=HEADS, norm_first=norm_first, layer_norm_epsilon=0.1)
    layer.build((None, None, WIDTH))
    randomise(layer)
    x = vectors(rng)

    def norm(y):
        y = np.asarray(y, "float64")
        centred = y - y.mean(axis=-1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 0.1)
        return normed * layer.layernorm.gamma.numpy() + layer.layernorm.beta.numpy()

    if norm_first:
        inside = norm(x).astype("float32")
        expected = x + layer.mha(inside, inside, inside)[0].numpy()
    else:
        expected = norm(x + layer.mha(x, x, x)[0].numpy())
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_residual_dropout_acts_in_training_alone(rng):
    layer, x = GlobalSelfAttention(num_heads=HEADS, residual_dropout=0.5), vectors(rng)
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert largest_difference(layer(x), layer(x, training=True)) > 1e-2


@pytest.mark.parametrize("kind", [GlobalSelfAttention, CausalSelfAttention, CrossAttention])
def test_config_of_sub_layers_round_trips(kind, rng):
    layer = kind(
        HEADS,
        5,
        0.25,
        residual_dropout=0.125,
        norm_first=True,
        layer_norm_epsilon=1e-4,
        attention_implementation="blockwise",
        name="attention",
        dtype="mixed_bfloat16",
    )
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
    inputs = (vectors(rng),) * (2 if kind is CrossAttention else 1)
    layer(*inputs), copy(*inputs)
    copy.set_weights(layer.get_weights())
    close(copy(*inputs), layer(*inputs), 0)
    assert copy.mha.implementation == "blockwise"


# Layers alone, chained by the mask of Keras


def chain(dtype=None):
    return [
        PositionalEmbedding(17, WIDTH, dtype=dtype),
        GlobalSelfAttention(num_heads=HEADS, dtype=dtype),
        FeedForward(WIDTH, 16, dtype=dtype),
        GlobalSelfAttention(num_heads=HEADS, norm_first=True, dtype=dtype),
        CausalSelfAttention(num_heads=HEADS, dtype=dtype),
    ]


SHORT = np.array([[3, 4, 5, 6], [7, 8, 9, 0]])
LONG = np.pad(SHORT, ((0, 0), (0, 3)))


def test_chained_layers_obey_the_padding_law(dtype_policy, tolerance, randomise):
    layers = chain(dtype_policy)

    def run(ids):
        x = tf.constant(ids)
        for layer in layers:
            x = layer(x)
        return x

    run(SHORT)
    for layer in layers:
        randomise(layer)
    short, long = run(SHORT), run(LONG)
    real = SHORT != 0
    close(long[:, :4][real], short[real], tolerance)
    for layer in (layers[1], layers[3], layers[4]):
        assert not np.any(layer.last_attn_scores[..., 4:])

    cross = CrossAttention(num_heads=HEADS, dtype=dtype_policy)
    query = layers[0](SHORT)
    close(cross(query, run(LONG))[real], cross(query, run(SHORT))[real], tolerance)
    assert not np.any(cross.last_attn_scores[1, ..., 3:])


def test_chained_layers_in_a_functional_model_obey_the_law_and_save(tmp_path, randomise):
    ids = keras.Input((None,), dtype="int32")
    x = ids
    for layer in chain():
        x = layer(x)
    model = randomise(keras.Model(ids, x))
    short, long = model(SHORT), model(LONG)
    real = SHORT != 0
    close(long[:, :4][real], short[real], 1e-5)
    model.save(tmp_path / "chain.keras")
    copy = keras.saving.load_model(tmp_path / "chain.keras")
    np.testing.assert_array_equal(copy(SHORT), short)
