"""Attention in blocks equals attention in float64, gradients too, and never holds all weights."""

import numpy as np
import pytest
import tensorflow as tf
from attention_in_float64 import attention, keep_of

from keras_transformer.layers.attention import blockwise as module

BATCH, HEADS, DEPTH, DEPTH_V = 3, 2, 4, 6
LENGTHS = [0, 1, 7]
MODES = pytest.mark.parametrize("mode", ["eager", "graph", "xla"])

CASES = {
    "plain": {},
    "causal": {"causal": True},
    "lengths": {"key_lengths": LENGTHS},
    "lengths, causal": {"key_lengths": LENGTHS, "causal": True},
    "later queries": {"causal": True, "query_offset": 3},
    "queries that see nothing": {"causal": True, "query_offset": -3, "key_lengths": LENGTHS},
    "mask of keys": {"mask": (BATCH, 1, 1, "keys")},
    "mask of queries": {"mask": (BATCH, 1, "queries", 1)},
    "mask of all": {"mask": (1, HEADS, "queries", "keys")},
    "everything": {
        "mask": (BATCH, HEADS, "queries", "keys"),
        "key_lengths": LENGTHS,
        "causal": True,
        "query_offset": 1,
    },
}


@pytest.fixture(params=CASES, ids=[name.replace(" ", "-") for name in CASES])
def options(request):
    return CASES[request.param]


def blockwise_attention(query, key, value, **options):
    """The function of that name, with the heads after the length as everywhere in this file."""
    inputs = (tf.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
    return tf.transpose(module.blockwise_attention(*inputs, **options), (0, 2, 1, 3))


def tensors(rng, query_length, key_length, dtype="float32"):
    """Query, key, value and a gradient of the output."""
    shapes = [
        (BATCH, length, HEADS, depth)
        for length, depth in (
            (query_length, DEPTH),
            (key_length, DEPTH),
            (key_length, DEPTH_V),
            (query_length, DEPTH_V),
        )
    ]
    return [tf.cast(rng.normal(size=shape), dtype).numpy() for shape in shapes]


def with_mask(options, rng, query_length, key_length):
    """`options` with a random mask in place of its shape."""
    if "mask" not in options:
        return options
    names = {"queries": query_length, "keys": key_length}
    shape = [names.get(size, size) for size in options["mask"]]
    return {**options, "mask": rng.random(shape) > 0.4}


def output_and_gradients(inputs, mode="graph", attend=blockwise_attention, **options):
    """Calls `attend` twice, the second time on the same trace."""

    def call(query, key, value, output_gradient):
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output = attend(query, key, value, **options)
        return output, *tape.gradient(output, (query, key, value), output_gradient)

    if mode != "eager":
        call = tf.function(call, jit_compile=mode == "xla")
        call(*(tf.ones_like(x) for x in inputs))
    return [tf.cast(x, tf.float64).numpy() for x in call(*(tf.constant(x) for x in inputs))]


def assert_close(actual, expected, tolerance):
    """Relative to the largest number of each tensor."""
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max(initial=0)))


# Equals equation 1


@pytest.mark.parametrize(
    ("mode", "query_length", "key_length", "block_sizes"),
    [
        ("eager", 7, 7, (3, 2)),
        ("xla", 9, 5, (4, 4)),
        pytest.param("graph", 5, 9, (2, 4), marks=pytest.mark.slow),
        pytest.param("graph", 6, 8, (99, 99), marks=pytest.mark.slow),
    ],
)
def test_equals_equation_one_with_all_gradients(
    mode, query_length, key_length, block_sizes, options, rng
):
    inputs = tensors(rng, query_length, key_length)
    options = with_mask(options, rng, query_length, key_length)
    expected = attention(*inputs, keep_of(*inputs[:2], **options), scale=0.7)
    actual = output_and_gradients(inputs, mode, scale=0.7, block_sizes=block_sizes, **options)
    assert_close(actual, expected[:4], 1e-5)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "mode"),
    [
        ("float64", 1e-12, "graph"),
        pytest.param("bfloat16", 2e-2, "xla", marks=pytest.mark.slow),
        pytest.param("float16", 3e-3, "graph", marks=pytest.mark.slow),
    ],
)
def test_other_dtypes(dtype, tolerance, mode, options, rng):
    inputs = tensors(rng, 7, 9, dtype)
    options = with_mask(options, rng, 7, 9)
    expected = attention(*inputs, keep_of(*inputs[:2], **options), scale=0.5)
    actual = output_and_gradients(inputs, mode, scale=0.5, block_sizes=(3, 2), **options)
    assert_close(actual, expected[:4], tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_dtype_stays(dtype, rng):
    query, key, value, _ = (tf.constant(x) for x in tensors(rng, 3, 5, dtype))
    with tf.GradientTape() as tape:
        tape.watch((query, key, value))
        output = blockwise_attention(query, key, value, scale=1.0)
    gradients = tape.gradient(output, (query, key, value))
    assert {x.dtype for x in (output, *gradients)} == {tf.as_dtype(dtype)}


@pytest.mark.parametrize("mode", [pytest.param("graph", marks=pytest.mark.slow), "xla"])
@pytest.mark.parametrize(("query_length", "key_length"), [(1, 1), (1, 5), (5, 1), (4, 0), (0, 4)])
def test_single_and_absent_positions(query_length, key_length, mode, rng):
    inputs = tensors(rng, query_length, key_length)
    for options in ({}, {"causal": True, "key_lengths": [0, 1, 9]}):
        expected = attention(*inputs, keep_of(*inputs[:2], **options), scale=1.0)
        actual = output_and_gradients(inputs, mode, scale=1.0, block_sizes=(2, 2), **options)
        assert_close(actual, expected[:4], 1e-5)


@MODES
def test_the_blocks_of_its_own_choice(mode, rng):
    inputs = tensors(rng, 300, 515)
    options = {"causal": True, "query_offset": 200, "key_lengths": [515, 300, 40]}
    expected = attention(*inputs, keep_of(*inputs[:2], **options), scale=0.5)
    assert_close(output_and_gradients(inputs, mode, scale=0.5, **options), expected[:4], 1e-5)


@pytest.mark.parametrize("size", [30.0, 1000.0])
def test_large_logits_do_not_overflow(size):
    query = tf.fill((1, 4, 1, 8), size)
    key = tf.concat([tf.fill((1, 2, 1, 8), -size), tf.fill((1, 3, 1, 8), size)], axis=1)
    value = tf.reshape(tf.range(5.0), (1, 5, 1, 1))
    output = blockwise_attention(query, key, value, scale=1.0, block_sizes=(2, 2))
    np.testing.assert_allclose(output, tf.fill((1, 4, 1, 1), 3.0))
    hidden = blockwise_attention(query, key, value, key_lengths=[2], scale=1.0, block_sizes=(2, 2))
    np.testing.assert_allclose(hidden, tf.fill((1, 4, 1, 1), 0.5))


# What it spares


def test_blocks_that_nobody_sees_are_not_touched(rng):
    query, key, value, output_gradient = tensors(rng, 8, 8)
    key[:, 6:], value[:, 6:] = np.nan, np.nan
    inputs = query, key, value, output_gradient
    for options in ({"key_lengths": [0, 1, 5]}, {"causal": True, "query_offset": -2}):
        results = output_and_gradients(inputs, scale=1.0, block_sizes=(2, 2), **options)
        assert all(np.isfinite(x).all() for x in results)


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"dropout_rate": 0.5, "seed": (1, 2)}])
def test_no_tensor_of_the_graph_grows_with_the_square_of_the_length(options):
    length, block = 2048, 64
    shape = tf.TensorSpec((1, length, 1, 4))

    @tf.function(input_signature=[shape] * 3)
    def gradients(query, key, value):
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output = blockwise_attention(
                query, key, value, scale=1.0, block_sizes=(block, block), **options
            )
        return tape.gradient(output, (query, key, value))

    graph = gradients.get_concrete_function().graph.as_graph_def(add_shapes=True)
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    sizes = [
        np.prod([dimension.size for dimension in shape.dim])
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
        if not shape.unknown_rank
    ]
    assert max(sizes) <= 4 * length
    assert len(sizes) > 100
    # Loops that are differentiated by TensorFlow keep what they computed in such lists.
    assert "TensorListPushBack" not in {node.op for node in nodes}


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_lengths_that_are_unknown_when_tracing(jit_compile, rng):
    """One trace for all lengths."""
    shape = tf.TensorSpec((None, None, HEADS, None))

    @tf.function(input_signature=[shape] * 4, jit_compile=jit_compile)
    def call(query, key, value, output_gradient):
        query, key, value = (
            tf.ensure_shape(x, (None, None, HEADS, depth))
            for x, depth in ((query, DEPTH), (key, DEPTH), (value, DEPTH_V))
        )
        mask = tf.reduce_any(key > 0, axis=-1)[:, :, 0][:, tf.newaxis, tf.newaxis]
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output = blockwise_attention(
                query, key, value, mask=mask, causal=True, scale=0.5, block_sizes=(4, 3)
            )
        return output, *tape.gradient(output, (query, key, value), output_gradient)

    for query_length, key_length in ((5, 7), (12, 2)):
        inputs = tensors(rng, query_length, key_length)
        mask = (inputs[1] > 0).any(axis=-1)[:, :, 0][:, np.newaxis, np.newaxis]
        expected = attention(*inputs, keep_of(*inputs[:2], mask=mask, causal=True), scale=0.5)
        assert_close(call(*inputs), expected[:4], 1e-5)
    assert call.experimental_get_tracing_count() == 1


# Dropout


def dropout_factors(rng, query_length, key_length, mode="graph", **options):
    """What dropout multiplies each weight with, seen through values that are one-hot vectors."""
    query, key, *_ = tensors(rng, query_length, key_length, "float64")
    value = np.broadcast_to(
        np.eye(key_length)[np.newaxis, :, np.newaxis], (BATCH, key_length, HEADS, key_length)
    )
    inputs = query, key, value, np.zeros((BATCH, query_length, HEADS, key_length))
    kept = output_and_gradients(inputs, mode, scale=0.5, **options)[0].transpose(0, 2, 1, 3)
    weights = attention(*inputs, np.True_, scale=0.5)[-1]
    return kept / weights


DROPOUT = {"dropout_rate": 0.3, "seed": (5, 6), "block_sizes": (4, 3)}


@MODES
def test_dropout_keeps_the_same_weights_forward_and_backward(mode, rng):
    factors = dropout_factors(rng, 7, 8, mode, **DROPOUT)
    inputs = tensors(rng, 7, 8)
    for options in ({}, {"causal": True, "key_lengths": [0, 1, 6]}):
        keep = keep_of(*inputs[:2], **options)
        expected = attention(*inputs, keep, scale=0.5, factors=factors)
        actual = output_and_gradients(inputs, mode, scale=0.5, **DROPOUT, **options)
        assert_close(actual, expected[:4], 1e-5)


@pytest.mark.parametrize("mode", ["graph", "xla"])
@pytest.mark.parametrize("options", [{}, {"causal": True, "key_lengths": [0, 3, 8]}])
def test_gradients_with_dropout_are_finite_differences(options, mode, rng):
    *inputs, output_gradient = tensors(rng, 7, 8, "float64")

    @tf.function(jit_compile=mode == "xla")
    def loss(*inputs):
        output = blockwise_attention(*inputs, scale=0.5, **DROPOUT, **options)
        return tf.reduce_sum(output * output_gradient)

    _, *gradients = output_and_gradients(
        [*inputs, output_gradient], mode, scale=0.5, **DROPOUT, **options
    )
    for i, gradient in enumerate(gradients):
        direction = np.zeros_like(inputs[i]) + rng.normal(size=inputs[i].shape)
        step = 1e-5 * direction
        ahead, behind = ([*inputs[:i], inputs[i] + s, *inputs[i + 1 :]] for s in (step, -step))
        slope = (loss(*ahead) - loss(*behind)).numpy() / 2e-5
        np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-7, atol=1e-8)


def test_dropout_follows_from_the_seed_alone_and_blocks_differ(rng):
    sizes = {"block_sizes": (8, 8)}
    factors = dropout_factors(rng, 32, 32, dropout_rate=0.5, seed=(1, 2), **sizes)
    np.testing.assert_array_equal(np.unique(factors.round(9)), [0, 2])
    # Every block has numbers of its own: each agrees with another by chance alone.
    blocks = (factors > 0).reshape(BATCH, HEADS, 4, 8, 4, 8).transpose(2, 4, 0, 1, 3, 5)
    blocks = blocks.reshape(16, -1)
    five_sigma = 5 * 0.5 / np.sqrt(blocks.shape[1])
    for i in range(16):
        assert blocks[i].mean() == pytest.approx(0.5, abs=five_sigma)
        for j in range(i):
            assert np.mean(blocks[i] == blocks[j]) == pytest.approx(0.5, abs=five_sigma)
    for mode in ("eager", "graph", "xla"):
        seed = tf.constant([1, 2], tf.int64)
        again = dropout_factors(rng, 32, 32, mode, dropout_rate=0.5, seed=seed, **sizes)
        np.testing.assert_array_equal(again > 0, factors > 0)
    other = dropout_factors(rng, 32, 32, dropout_rate=0.5, seed=(1, 3), **sizes)
    assert np.mean((other > 0) == (factors > 0)) == pytest.approx(0.5, abs=0.03)
