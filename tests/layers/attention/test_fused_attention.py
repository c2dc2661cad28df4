"""One meaning of attention whatever computes it, and which implementation is taken when."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from attention_in_float64 import attention, keep_of

from keras_transformer.layers import scaled_dot_product_attention
from keras_transformer.layers.attention import dot_product
from keras_transformer.layers.attention.dot_product import dot_product_attention

BOTH = pytest.mark.parametrize("implementation", ["reference", "blockwise"])
HEADS, DEPTH = 2, 8

CASES = {
    "plain": {},
    "causal": {"causal": True},
    "lengths": {"key_lengths": [0, 1, 5]},
    "offset": {"causal": True, "query_offset": -2, "key_lengths": [9, 1, 5]},
    "mask": {"mask": np.arange(3 * 9).reshape(3, 1, 1, 9) % 3 > 0},
    "float-mask": {"mask": (np.arange(7 * 9).reshape(7, 9) % 3 == 0).astype("float32")},
    "scale": {"scale": 0.1},
}


@pytest.fixture(params=CASES)
def options(request):
    return CASES[request.param]


def tensors(rng, query_length=7, key_length=9, dtype="float32", batch=3):
    lengths = query_length, key_length, key_length, query_length
    return [
        tf.cast(rng.normal(size=(batch, length, HEADS, DEPTH)), dtype).numpy() for length in lengths
    ]


def chosen(caplog, function, *arguments) -> str:
    """The debug log of one trace."""
    with caplog.at_level(logging.DEBUG, dot_product.logger.name):
        caplog.clear()
        function(*arguments)
    (record,) = [r for r in caplog.records if r.name == dot_product.logger.name]
    return record.getMessage()


@BOTH
@pytest.mark.parametrize(
    ("mode", "dtype", "tolerance"),
    [("eager", "float32", 1e-5), ("xla", "float32", 1e-5), ("graph", "bfloat16", 2e-2)],
)
def test_equals_equation_one_with_all_gradients(
    implementation, mode, dtype, tolerance, options, rng
):
    inputs = [tf.constant(x) for x in tensors(rng, dtype=dtype)]

    def call(query, key, value, output_gradient):
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output = dot_product_attention(
                query, key, value, implementation=implementation, **options
            )
        return output, *tape.gradient(output, (query, key, value), output_gradient)

    if mode != "eager":
        call = tf.function(call, jit_compile=mode == "xla")
    arrays = [x.numpy() for x in inputs]
    sight = {name: value for name, value in options.items() if name != "scale"}
    expected = attention(*arrays, keep_of(*arrays[:2], **sight), scale=options.get("scale"))
    for a, b in zip(call(*inputs), expected[:4], strict=True):
        # bfloat16 rounds the weights that the reference keeps, blocks do not.
        np.testing.assert_allclose(
            tf.cast(a, tf.float64), b, rtol=0, atol=tolerance * max(1, np.abs(b).max())
        )


def test_weights_come_from_the_reference(options, rng):
    arrays = tensors(rng)
    for implementation in ("auto", "blockwise", "reference"):
        output, weights = dot_product_attention(
            *arrays[:3], return_weights=True, implementation=implementation, **options
        )
        sight = {name: value for name, value in options.items() if name != "scale"}
        expected = attention(*arrays, keep_of(*arrays[:2], **sight), scale=options.get("scale"))
        np.testing.assert_allclose(output, expected[0], atol=1e-5)
        np.testing.assert_allclose(weights, expected[-1], atol=1e-6)
    q, k = (tf.transpose(x, (0, 2, 1, 3)) for x in arrays[:2])
    alone = dot_product.attention_weights_of_heads(q, k, **options)
    np.testing.assert_allclose(alone, weights, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_reference_is_the_tutorials_formula(dtype, rng):
    q, k, v, _ = (tf.constant(x) for x in tensors(rng, dtype=dtype))
    keep = rng.random((3, 1, 7, 9)) > 0.4
    output, weights = dot_product_attention(q, k, v, mask=keep, return_weights=True)
    expected = scaled_dot_product_attention(
        *(tf.transpose(x, (0, 2, 1, 3)) for x in (q, k, v)), keep
    )
    tolerance = {"float32": 1e-6, "float16": 3e-3, "bfloat16": 3e-2}[dtype]
    for a, b in zip((tf.transpose(output, (0, 2, 1, 3)), weights), expected, strict=True):
        np.testing.assert_allclose(
            tf.cast(a, tf.float64), tf.cast(b, tf.float64), rtol=0, atol=tolerance
        )


@BOTH
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_dropout_is_a_function_of_the_seed_and_keeps_the_mean(implementation, jit_compile, rng):
    query, key, value, _ = tensors(rng, 40, 50)

    @tf.function(jit_compile=jit_compile)
    def call(seed):
        return dot_product_attention(
            query, key, value, dropout_rate=0.5, seed=seed, implementation=implementation
        )

    first, again, other = (call(tf.constant(seed)) for seed in ((1, 2), (1, 2), (3, 4)))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    plain = dot_product_attention(query, key, value)
    mean = tf.add_n([call(tf.constant([7, i])) for i in range(200)]) / 200
    assert np.abs(mean - plain).max() < 6 * np.std(first - plain) / np.sqrt(200)


# Which implementation


def test_auto_takes_the_reference_for_short_sequences_and_blocks_for_long(caplog, rng):
    long = dot_product.BLOCKWISE_FROM
    for length, name in ((16, "reference"), (long - 1, "reference"), (long, "blockwise")):
        inputs = tensors(rng, length, length, batch=1)[:3]
        message = chosen(caplog, dot_product_attention, *inputs)
        assert message.startswith(f"{name} attention: {length} queries, {length} keys")
        assert "the dtype is float32" in message
    one_query = tensors(rng, 1, long, batch=1)[:3]
    assert chosen(caplog, dot_product_attention, *one_query).startswith("reference")


def test_auto_without_known_lengths_takes_the_reference(caplog, rng):
    specs = [tf.TensorSpec((None, None, HEADS, DEPTH))] * 3
    call = tf.function(dot_product_attention, input_signature=specs)
    message = chosen(caplog, call, *tensors(rng)[:3])
    assert message.startswith("reference attention: the lengths are not known")


def test_what_is_asked_for_is_taken(caplog, rng):
    for name in ("reference", "blockwise"):
        call = lambda *inputs, name=name: dot_product_attention(*inputs, implementation=name)  # noqa: E731
        assert chosen(caplog, call, *tensors(rng)[:3]) == f"{name} attention: asked for"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": np.zeros((3, 7, HEADS), "float32")}, r"shape \(batch, length, heads, depth\)"),
        ({"query": np.zeros((3, 7, 3, DEPTH), "float32")}, "must agree in batch, heads and depth"),
        ({"value": np.zeros((3, 8, HEADS, 4), "float32")}, "keys and values in all but the depth"),
        ({"query": np.zeros((3, 7, HEADS, DEPTH))}, "one dtype.*float64, float32 and float32"),
        ({"dropout_rate": 1.0, "seed": (1, 2)}, "below 1; got 1.0"),
        ({"dropout_rate": 0.1}, "needs a seed"),
        ({"implementation": "flash"}, "reference, blockwise, cudnn; got 'flash'"),
        ({"implementation": "cudnn"}, "cuDNN's attention does not work here: the dtype is float32"),
    ],
)
def test_wrong_arguments_are_named(change, message, rng):
    query, key, value, _ = tensors(rng)
    arguments = {"query": query, "key": key, "value": value, **change}
    with pytest.raises(ValueError, match=message):
        dot_product_attention(**arguments)
