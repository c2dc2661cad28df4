"""The likeliest tokens after a given beginning of the target."""

import tensorflow as tf

from keras_transformer.decoding.tokens import LOWEST, forbid
from keras_transformer.layers import cache as caches


def next_tokens(search, source: tf.RaggedTensor, prefix: tf.RaggedTensor, count):
    """The likeliest tokens after a prefix, the best first; the end is none of them.

    Placeholders are those that the source has and the prefix lacks.

    Args:
        search: a `Search`, for its model and what it never gives.
        source: token ids, ``(batch, None)``.
        prefix: ids that the target begins with, without the start, ``(batch, None)``.
        count: how many tokens.

    Returns:
        ids, int32 ``(batch, count)``, and whether each may come, bool of that shape.
    """
    source = tf.cast(source.to_tensor(), tf.int32)
    lengths = tf.cast(prefix.row_lengths(), tf.int32)
    prefix = tf.cast(prefix.to_tensor(), tf.int32)
    logits = _logits_after(search, source, prefix, lengths)
    logits = forbid(logits[:, tf.newaxis], search.forbidden, search.end_id, False)[:, 0]
    if placeholders := search.placeholders:
        ids = tf.range(placeholders.start, placeholders.stop)
        in_source, in_prefix = (
            tf.reduce_any(tokens[..., tf.newaxis] == ids, axis=1) for tokens in (source, prefix)
        )
        after = tf.shape(logits)[1] - placeholders.stop
        hidden = tf.pad(~in_source | in_prefix, [[0, 0], [placeholders.start, after]])
        logits = tf.where(hidden, LOWEST, logits)
    values, ids = tf.math.top_k(logits, tf.minimum(count, tf.shape(logits)[1]))
    return ids, values > LOWEST / 2


def _logits_after(search, source, prefix, lengths):
    """Logits of the tokens after the prefixes, float32 ``(batch, vocab)``.

    Args:
        search: a `Search`.
        source, prefix: token ids, padded.
        lengths: of the prefixes, ``(batch,)``.
    """
    model = search.model
    tokens = tf.pad(prefix, [[0, 0], [1, 0]], constant_values=search.start_id)
    steps = tf.shape(tokens)[1]
    cache = caches.grow(model.initial_cache(model.encode(source), 1), steps)
    logits, cache = model.decode_step(tokens[:, :1], 0, cache)

    def one_step(position, logits, cache):
        new, cache = model.decode_step(tokens[:, position, tf.newaxis], position, cache)
        is_last = (position == lengths)[:, tf.newaxis]
        return position + 1, tf.where(is_last, new[:, 0], logits), cache

    variables = (tf.constant(1), logits[:, 0], cache)
    shapes = tf.nest.map_structure(lambda part: tf.TensorShape([None] * part.shape.rank), variables)
    _, logits, _ = tf.while_loop(
        lambda position, *_: position < steps, one_step, variables, shape_invariants=shapes
    )
    return tf.cast(logits, tf.float32)
