"""Scaled dot-product attention: the formula, and the choice among its three implementations.

`scaled_dot_product_attention` is equation 1 of Attention Is All You Need. `dot_product_attention`
and `attention_of_heads` compute it by one of

* ``reference``: the formula as it stands. Holds all weights at once, and can return them.
* ``blockwise``: memory linear in the length, on any device (`blockwise.py`).
* ``cudnn``: NVIDIA's fused kernels, in programs that XLA compiles (`cudnn.py`).

In all of them a hidden key changes no result, and a query with no visible key gives zero output
and gradients. To see which one a model uses and why:

    logging.getLogger("keras_transformer.layers.attention.dot_product").setLevel(logging.DEBUG)
"""

import functools
import logging

import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.attention import cudnn, masks
from keras_transformer.layers.attention.blockwise import blockwise_attention, compute_dtype
from keras_transformer.layers.dropout import drop

IMPLEMENTATIONS = ("auto", "reference", "blockwise", "cudnn")

BLOCKWISE_FROM = 1024
"""Length from which ``auto`` takes blockwise attention; below it, blocks are slower."""

logger = logging.getLogger(__name__)


def scaled_dot_product_attention(q, k, v, mask=None, *, scale=None, dropout=None):
    """Attention Is All You Need, equation 1: ``softmax(q k^T / sqrt(dk)) v``.

    Leading dimensions are arbitrary and broadcast. In half precision the softmax is computed in
    float32.

    Args:
        q: queries, ``(..., query, depth)``.
        k: keys, ``(..., key, depth)``.
        v: values, ``(..., key, depth_v)``.
        mask: broadcasts to ``(..., query, key)``; bool means keep, float or integer 1 means
            hidden; ``None`` hides nothing.
        scale: a number in place of ``1 / sqrt(dk)``.
        dropout: a callable that drops some of the weights in training.

    Returns:
        ``(output, attention_weights)`` of shapes ``(..., query, depth_v)`` and
        ``(..., query, key)``. The weights are those before dropout. A query with no visible key
        has zero output and weights.
    """
    q, k, v = (tf.convert_to_tensor(x) for x in (q, k, v))
    attention_weights, any_visible = masked_softmax(_logits(q, k, scale), mask)
    output = tf.matmul(dropout(attention_weights) if dropout else attention_weights, v)
    if any_visible is not None:
        output *= any_visible
        attention_weights *= any_visible
    return output, attention_weights


def _logits(q, k, scale):
    """``q k^T / sqrt(dk)``, ``(..., query, key)``."""
    if scale is None:
        scale = 1 / tf.math.sqrt(tf.cast(tf.shape(k)[-1], compute_dtype(q)))
    # Scaling before the product gives the same number and keeps float16 products in range.
    q = tf.cast(tf.cast(q, compute_dtype(q)) * tf.cast(scale, compute_dtype(q)), q.dtype)
    return tf.matmul(q, k, transpose_b=True)


def masked_softmax(logits, mask=None):
    """Softmax over the visible keys.

    Args:
        logits: ``(..., query, key)``; in half precision the softmax is computed in float32.
        mask: broadcasts to `logits`; bool means keep, float or integer 1 means hidden.

    Returns:
        ``(weights, any_visible)``: weights of the shape and dtype of `logits`, those of a query
        with no visible key unspecified; and 1 or 0, ``(..., query or 1, 1)``, whether a query has
        a visible key, to multiply weights or output by; ``None`` without a mask.
    """
    dtype, compute = logits.dtype, compute_dtype(logits)
    logits = tf.cast(logits, compute)
    if dtype == tf.float16:  # products beyond its range are infinite
        logits = tf.clip_by_value(logits, tf.float16.min, tf.float16.max)
    any_visible = None
    if mask is not None:
        keep = masks.as_keep_mask(mask)
        logits += tf.cast(~keep, compute) * -1e9
        any_visible = tf.cast(tf.reduce_any(keep, axis=-1, keepdims=True), dtype)
    return tf.cast(tf.nn.softmax(logits, axis=-1), dtype), any_visible


def dot_product_attention(
    query,
    key,
    value,
    *,
    key_lengths=None,
    mask=None,
    causal=False,
    query_offset=0,
    scale=None,
    dropout_rate=0.0,
    seed=None,
    return_weights=False,
    implementation="auto",
):
    """Scaled dot-product attention of several heads, by the implementation that fits.

    Args:
        query: ``(batch, query, heads, depth)``.
        key: ``(batch, key, heads, depth)``.
        value: ``(batch, key, heads, depth_v)``.
        key_lengths: integers ``(batch,)``: how many keys of each row are real, the others being
            padding at the end. Takes no memory, unlike a mask.
        mask: of rank 4 or less, broadcasts to ``(batch, heads, query, key)``; bool means keep,
            float or integer 1 means hidden.
        causal: hide from query ``i`` every key after ``i + query_offset``.
        query_offset: integer or integer scalar tensor.
        scale: factor of the products of queries and keys; ``depth ** -0.5`` unless given.
        dropout_rate: share of the weights that are dropped.
        seed: seed of the dropout, integers ``(2,)``, may be a tensor. The same seed drops other
            weights in another implementation.
        return_weights: also return the weights, which takes the reference implementation.
        implementation: one of `IMPLEMENTATIONS`. ``auto`` picks by device, dtype, sizes and
            arguments; ``cudnn`` needs a program that XLA compiles.

    Returns:
        ``(batch, query, heads, depth_v)``; with `return_weights` also the weights before dropout,
        ``(batch, heads, query, key)``.

    Raises:
        ValueError: for shapes, dtypes or arguments that do not fit together, and for ``cudnn``
            where it does not work.
    """
    query, key, value = (tf.convert_to_tensor(x) for x in (query, key, value))
    check_implementation(implementation)
    _check(query, key, value, dropout_rate, seed)
    result = attention_of_heads(
        *(tf.transpose(x, (0, 2, 1, 3)) for x in (query, key, value)),
        key_lengths=key_lengths,
        mask=mask,
        causal=causal,
        query_offset=query_offset,
        scale=scale,
        dropout_rate=dropout_rate,
        seed=seed,
        return_weights=return_weights,
        implementation=implementation,
    )
    output, *weights = result if return_weights else (result,)
    output = tf.transpose(output, (0, 2, 1, 3))
    return (output, *weights) if return_weights else output


@tf.autograph.experimental.do_not_convert
def attention_of_heads(
    q,
    k,
    v,
    *,
    scale=None,
    dropout_rate=0.0,
    seed=None,
    return_weights=False,
    implementation="auto",
    **masking,
):
    """`dot_product_attention` with heads first.

    Args:
        q: ``(batch, heads, query, depth)``.
        k: ``(batch, heads, key, depth)``.
        v: ``(batch, heads, key, depth_v)``.
        masking: `key_lengths`, `mask`, `causal` and `query_offset`.

    The other arguments are those of `dot_product_attention`.

    Returns:
        ``(batch, heads, query, depth_v)``; with `return_weights` also the weights.
    """
    arguments = {
        "key_lengths": None,
        "mask": None,
        "causal": False,
        "query_offset": 0,
        **masking,
        "scale": q.shape[-1] ** -0.5 if scale is None else float(scale),
        "dropout_rate": dropout_rate,
        "seed": seed,
    }
    name, reason = _choose(implementation, return_weights, q, k, v, arguments)
    logger.debug("%s attention: %s", name, reason)
    if name == "reference":
        output, weights = _reference_attention(q, k, v, **arguments)
        return (output, weights) if return_weights else output
    if name == "blockwise":
        return blockwise_attention(q, k, v, **arguments)
    del arguments["query_offset"]  # 0, as `cudnn.obstacle` made sure
    return cudnn.cudnn_attention(q, k, v, **arguments)


def attention_weights_of_heads(q, k, *, scale=None, **masking) -> tf.Tensor:
    """Attention weights before dropout, ``(batch, heads, query, key)``.

    Arguments are those of `attention_of_heads`.
    """
    weights, any_visible = masked_softmax(_logits(q, k, scale), _keep_mask(q, k, **masking))
    return weights if any_visible is None else weights * any_visible


def _reference_attention(q, k, v, *, scale, dropout_rate, seed, **masking):
    """`attention_of_heads` by the formula: ``(output, weights)``."""
    dropout = None
    if dropout_rate:
        dropout = functools.partial(drop, rate=dropout_rate, seed=seed)
    keep = _keep_mask(q, k, **masking)
    return scaled_dot_product_attention(q, k, v, keep, scale=scale, dropout=dropout)


def _keep_mask(q, k, *, key_lengths=None, mask=None, causal=False, query_offset=0):
    """All that hides keys as one keep mask; ``None`` if nothing does."""
    query_length, key_length = tf.shape(q)[2], tf.shape(k)[2]
    keep = [] if mask is None else [masks.as_keep_mask(mask)]
    if key_lengths is not None:
        lengths = tf.reshape(tf.cast(key_lengths, tf.int32), (-1, 1, 1, 1))
        keep.append(tf.range(key_length) < lengths)
    if causal:
        offset = tf.cast(query_offset, tf.int32)
        keep.append(masks.causal_keep_mask(query_length, key_length, offset))
    return functools.reduce(tf.logical_and, keep) if keep else None


def check_implementation(name):
    """Raises a `ValueError` for a name that is not in `IMPLEMENTATIONS`."""
    if name not in IMPLEMENTATIONS:
        raise InputError(
            f"implementation must be one of {', '.join(IMPLEMENTATIONS)}; got {name!r}."
        )


def _check(query, key, value, dropout_rate, seed):
    shapes = query.shape, key.shape, value.shape
    if any(shape.rank != 4 or shape[3] is None for shape in shapes):
        raise InputError(
            "Queries, keys and values have the shape (batch, length, heads, depth), the last of "
            f"them a number; got {', '.join(map(str, shapes))}."
        )
    fits = [
        shapes[0][:1].is_compatible_with(shapes[1][:1]),
        shapes[0][2:].is_compatible_with(shapes[1][2:]),  # heads and depth
        shapes[1][:3].is_compatible_with(shapes[2][:3]),  # batch, length and heads
    ]
    if not all(fits):
        raise InputError(
            "Queries and keys must agree in batch, heads and depth, keys and values in all but "
            f"the depth; got {', '.join(map(str, shapes))}."
        )
    if not query.dtype == key.dtype == value.dtype or not query.dtype.is_floating:
        raise InputError(
            "Queries, keys and values must have one dtype, of floating-point numbers; got "
            f"{query.dtype.name}, {key.dtype.name} and {value.dtype.name}."
        )
    if not 0 <= dropout_rate < 1:
        raise InputError(f"dropout_rate must be at least 0 and below 1; got {dropout_rate}.")
    if dropout_rate and seed is None:
        raise InputError("Dropout needs a seed, two integers.")


def _choose(implementation, return_weights, q, k, v, arguments) -> tuple[str, str]:
    """The implementation to use, and why."""
    if return_weights:
        return "reference", "the weights are asked for"
    if implementation in ("reference", "blockwise"):
        return implementation, "asked for"
    names = ("mask", "causal", "query_offset", "dropout_rate", "seed")
    obstacle = cudnn.obstacle(q, k, v, **{name: arguments[name] for name in names})
    if implementation == "cudnn":
        if obstacle:
            raise InputError(
                f"cuDNN's attention does not work here: {obstacle}: take the implementation "
                "'auto', which uses it where it works."
            )
        return "cudnn", "asked for"
    obstacle = obstacle or cudnn.missing_device()
    if not obstacle:
        return "cudnn", "a CUDA device runs the program that XLA compiles"
    lengths = q.shape[2], k.shape[2]
    if None in lengths:
        return "reference", f"the lengths are not known when tracing; no cuDNN: {obstacle}"
    if lengths[0] * lengths[1] >= BLOCKWISE_FROM**2:
        return "blockwise", f"{lengths[0]} queries, {lengths[1]} keys; no cuDNN: {obstacle}"
    return "reference", f"{lengths[0]} queries, {lengths[1]} keys are few; no cuDNN: {obstacle}"
