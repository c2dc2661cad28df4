"""Searching for a translation, token by token, over one step function and one cache.

A model is anything with ``encode(source)``, ``initial_cache(encoded, max_length)`` and
``decode_step(tokens, position, cache)``. Buffers have fixed sizes, so that the whole loop compiles
with XLA; the same code runs as a plain graph.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_transformer.special_tokens import PAD


class SearchResult(NamedTuple):
    """What a search found.

    Attributes:
        tokens: int64 ``(batch, max_length)``, without the start token, up to and with the end
            token where one was found, then padding.
        scores: float32 ``(batch,)``, sum of the logarithmic probabilities of the tokens.
    """

    tokens: tf.Tensor
    scores: tf.Tensor


def greedy_search(model, source, max_length, *, start_id, end_id, row_limits=None) -> SearchResult:
    """Takes the most probable token at every step.

    Args:
        model: see above.
        source: token ids, ``(batch, source)``.
        max_length: most tokens to give, the end token included; a number or an int32 scalar
            (a number under XLA).
        start_id: id the target begins with.
        end_id: id that ends a translation.
        row_limits: most tokens to give in each row, int32 ``(batch,)``, at most `max_length`;
            rows of 0 cost nothing and stay empty.

    Returns:
        a `SearchResult`.
    """
    if row_limits is None:
        row_limits = tf.fill(tf.shape(source)[:1], max_length)
    row_limits = tf.cast(row_limits, tf.int32)
    batch = tf.shape(source)[0]
    cache = model.initial_cache(model.encode(source), max_length)
    context, steps = cache["context"], cache["steps"]

    def unfinished(position, last, finished, tokens, scores, steps):
        return (position < max_length) & ~tf.reduce_all(finished)

    def step(position, last, finished, tokens, scores, steps):
        logits, cache = model.decode_step(last, position, {"context": context, "steps": steps})
        logits = _without_padding(tf.cast(logits, tf.float32))
        best = tf.argmax(logits, axis=-1, output_type=tf.int32)
        log_probability = tf.reduce_max(logits, axis=-1) - tf.reduce_logsumexp(logits, axis=-1)
        scores += tf.where(finished, 0.0, log_probability)
        best = tf.where(finished, PAD, best)
        here = tf.range(max_length)[tf.newaxis, :] == position
        tokens = tf.where(here, best[:, tf.newaxis], tokens)
        finished |= (best == end_id) | (position + 1 >= row_limits)
        return position + 1, best, finished, tokens, scores, cache["steps"]

    _, _, _, tokens, scores, _ = tf.while_loop(
        unfinished,
        step,
        (
            tf.constant(0),
            tf.fill((batch,), tf.cast(start_id, tf.int32)),
            row_limits <= 0,
            tf.fill((batch, max_length), PAD),
            tf.zeros((batch,)),
            steps,
        ),
    )
    return SearchResult(tf.cast(tokens, tf.int64), scores)


def _without_padding(logits):
    """Makes ``[PAD]`` impossible: a model never saw it as a label."""
    vocab_size = logits.shape[-1]
    return tf.where(tf.range(vocab_size) == PAD, logits.dtype.min, logits)
