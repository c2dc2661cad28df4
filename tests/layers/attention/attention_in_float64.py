"""Attention and its gradients, written out in NumPy with all weights in float64."""

import numpy as np


def keep_of(query, key, *, key_lengths=None, mask=None, causal=False, query_offset=0):
    """bool ``(batch, heads, query, key)``: which key each query may see."""
    batch, query_length, heads, _ = query.shape
    key_length = key.shape[1]
    keep = np.ones((batch, heads, query_length, key_length), bool)
    if key_lengths is not None:
        keep &= np.arange(key_length) < np.reshape(key_lengths, (-1, 1, 1, 1))
    if causal:
        last = np.arange(query_length)[:, np.newaxis] + query_offset
        keep &= np.arange(key_length) <= last
    if mask is not None:
        keep &= mask if mask.dtype == bool else mask == 0
    return keep


def attention(query, key, value, output_gradient, keep, *, scale=None, factors=1.0):
    """Equation 1 and its derivatives; ``(batch, length, heads, depth)`` outside.

    Args:
        factors: what dropout multiplies the weights with.

    Returns:
        ``(output, gradients of query, key and value, weights)``
    """
    q, k, v, g = (
        np.asarray(x, np.float64).transpose(0, 2, 1, 3)
        for x in (query, key, value, output_gradient)
    )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    logits = np.where(keep, q @ k.swapaxes(-1, -2) * scale, -np.inf)
    highest = logits.max(axis=-1, keepdims=True, initial=-1e300)
    weights = np.exp(logits - highest)
    total = weights.sum(axis=-1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    kept = weights * factors
    weight_gradient = g @ v.swapaxes(-1, -2) * factors
    mean = (weights * weight_gradient).sum(axis=-1, keepdims=True)
    logit_gradient = weights * (weight_gradient - mean) * scale
    results = kept @ v, logit_gradient @ k, logit_gradient.swapaxes(-1, -2) @ q
    results += (kept.swapaxes(-1, -2) @ g,)
    return *(x.transpose(0, 2, 1, 3) for x in results), weights
