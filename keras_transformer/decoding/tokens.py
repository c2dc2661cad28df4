"""Functions of the logits of one step: masking, arg-max, top-k, sampling and the length penalty.

Shapes are ``(rows, beams, ...)``. Nothing depends on values in Python, so all of it compiles with
XLA.
"""

import tensorflow as tf

from keras_transformer.special_tokens import PAD

LOWEST = -1e9
"""Logit and score of what is excluded; finite, so that sums of it are no NaN."""

GROUP = 64
"""Number of neighbouring ids that `best_candidates` first reduces to their maximum."""


def forbid(logits, forbidden: tuple[int, ...], end_id: int, end_allowed):
    """Masks the logits of forbidden tokens.

    Args:
        logits: ``(rows, beams, vocab)``.
        forbidden: ids that are never allowed.
        end_id: id of the end token.
        end_allowed: scalar bool, whether the end token is allowed at this step.
    """
    ids = tf.range(tf.shape(logits)[-1])
    hidden = (ids == end_id) & tf.logical_not(end_allowed)
    for token in forbidden:
        hidden |= ids == token
    return tf.where(hidden, LOWEST, logits)


def forbid_repeated_ngrams(logits, tokens, position, size: int):
    """Masks the logits of tokens that would repeat an n-gram of the hypothesis.

    Args:
        logits: ``(rows, beams, vocab)``.
        tokens: tokens so far, ``(rows, beams, room)``.
        position: number of tokens so far.
        size: length of the n-grams.
    """
    room = tf.shape(tokens)[2]
    places = tf.range(room)
    # An n-gram that ended at a place would be repeated by its last token if all the others are
    # the latest tokens.
    repeats = (places >= size - 1) & (places < position)
    for back in range(1, size):
        latest = tf.gather(tokens, tf.maximum(position - back, 0), axis=2)[..., tf.newaxis]
        shifted = tf.roll(tokens, back, axis=2)
        repeats &= (shifted == latest) & (position >= size - 1)
    vocab = tf.shape(logits)[-1]
    banned = tf.where(repeats, tokens, PAD)  # padding is forbidden anyway
    shape = tf.shape(logits)
    rows = tf.range(shape[0] * shape[1])[:, tf.newaxis] * vocab
    places = tf.reshape(rows + tf.reshape(banned, (-1, room)), (-1, 1))
    flat = tf.tensor_scatter_nd_update(
        tf.reshape(logits, [-1]), places, tf.fill(tf.shape(places)[:1], LOWEST)
    )
    return tf.reshape(flat, shape)


def copy_once(logits, tokens, position, required, joined, room, placeholders: range, end_id: int):
    """Logits that give each placeholder of the source once.

    Those that the source does not have, or that the hypothesis has already, are masked. Where one
    is missing there is no end yet: in its place a missing one has at least its logit, and nothing
    else is left once there is no room for more. No two are joined, which would make one number of
    two, unless there are such in the source.

    Args:
        logits: ``(rows, beams, vocab)``.
        tokens: tokens so far, ``(rows, beams, room)``.
        position: number of tokens so far.
        required: which placeholders the source has, bool ``(rows, placeholders)``.
        joined: whether the source joins two of them, bool ``(rows,)``.
        room: how many tokens each row may still have, the end included, int32 ``(rows,)``.
        placeholders: their ids; the one before them joins them to what they touch.
        end_id: id of the end token.
    """
    first, last = placeholders.start, placeholders.stop

    def latest(back):
        return tf.gather(tokens, tf.maximum(position - back, 0), axis=2)

    def would_join():
        is_placeholder = (latest(2) >= first) & (latest(2) < last)
        touches = (position >= 2) & (latest(1) == first - 1) & is_placeholder
        return (touches & ~joined[:, tf.newaxis])[..., tf.newaxis]

    def with_missing():
        given = tf.reduce_any(tokens[..., tf.newaxis] == tf.range(first, last), axis=2)
        missing = required[:, tf.newaxis] & ~given
        count = tf.reduce_sum(tf.cast(missing, tf.int32), axis=-1, keepdims=True)
        full = (count > 0) & (count >= room[:, tf.newaxis, tf.newaxis] - 1)
        end = logits[..., end_id : end_id + 1]
        of_missing = tf.maximum(logits[..., first:last], end)
        ids = tf.range(tf.shape(logits)[-1])
        hidden = full | ((ids == end_id) & (count > 0))
        others = tf.where(hidden, LOWEST, logits)
        of_missing = tf.where(missing & (full | ~would_join()), of_missing, LOWEST)
        return tf.concat([others[..., :first], of_missing, others[..., last:]], axis=-1)

    def without():
        ids = tf.range(tf.shape(logits)[-1])
        return tf.where((ids >= first) & (ids < last), LOWEST, logits)

    return tf.cond(tf.reduce_any(required), with_missing, without)


def forced_tokens(prefix, position):
    """Ids of the prefix at a position, padding after its end, ``(rows, 1)``.

    Args:
        prefix: ids, ``(rows, prefix)``, padded; the last column is all padding.
        position: scalar int32.
    """
    column = tf.minimum(position, tf.shape(prefix)[1] - 1)
    return tf.gather(prefix, column, axis=1)[:, tf.newaxis]


def force(logits, prefix, position):
    """Masks the logits of all tokens but that of the prefix, where it has one.

    Args:
        logits: ``(rows, beams, vocab)``.
        prefix, position: as for `forced_tokens`.
    """
    forced = forced_tokens(prefix, position)[..., tf.newaxis]
    others = (forced != PAD) & (tf.range(tf.shape(logits)[-1]) != forced)
    return tf.where(others, LOWEST, logits)


def most_probable(logits):
    """Ids of the highest logits, ``(rows, beams)``; the lowest id of equals.

    This is ``argmax`` in two reductions, which compilers vectorise, as they do not an ``argmax``.
    """
    vocab = tf.shape(logits)[-1]
    highest = tf.reduce_max(logits, axis=-1, keepdims=True)
    return tf.reduce_min(tf.where(logits == highest, tf.range(vocab), vocab), axis=-1)


def value_at(logits, ids):
    """Logits of one id in each row and beam, ``(rows, beams)``."""
    here = tf.range(tf.shape(logits)[-1]) == ids[..., tf.newaxis]
    return tf.reduce_sum(tf.where(here, logits, 0.0), axis=-1)


def best_candidates(logits, count):
    """The highest logits of every beam: an exact top-k that reads the logits about once.

    The highest `count` logits are in the `count` groups of `GROUP` ids with the highest maxima.

    Args:
        logits: ``(rows, beams, vocab)``.
        count: a number or a tensor; at most `vocab` are returned.

    Returns:
        ``(values, ids)``, both ``(rows, beams, count)``, the highest first.
    """
    shape = tf.shape(logits)
    vocab = logits.shape[-1] or shape[-1]
    groups = -(-vocab // GROUP)
    count = tf.minimum(count, vocab)
    padding = groups * GROUP - vocab
    if tf.is_tensor(padding) or padding:
        logits = tf.pad(logits, [[0, 0], [0, 0], [0, padding]], constant_values=2 * LOWEST)
    grouped = tf.reshape(logits, (shape[0], shape[1], groups, GROUP))
    looked_at = tf.minimum(count, groups)
    _, best_groups = tf.math.top_k(tf.reduce_max(grouped, axis=-1), looked_at)
    # In the order of ids, so that of equal logits the lowest ids come first.
    best_groups = tf.sort(best_groups, axis=-1)
    remaining = tf.gather(grouped, best_groups, batch_dims=2)
    values, places = tf.math.top_k(
        tf.reshape(remaining, (shape[0], shape[1], looked_at * GROUP)), count
    )
    ids = tf.gather(best_groups, places // GROUP, batch_dims=2) * GROUP + places % GROUP
    return values, ids


def sample(logits, uniform, *, temperature: float, top_k: int | None, top_p: float | None):
    """Samples tokens.

    Args:
        logits: ``(rows, beams, vocab)``.
        uniform: random numbers in [0, 1), ``(rows, beams)``.
        temperature: logits are divided by it.
        top_k: sample from the `top_k` most probable tokens; ``None`` from all.
        top_p: sample from the most probable tokens whose probabilities add up to this (nucleus
            sampling, Holtzman et al. 2020); ``None`` from all.

    Returns:
        ids, ``(rows, beams)``.
    """
    vocab = logits.shape[-1]
    scaled, ids = tf.math.top_k(logits / temperature, min(top_k or vocab, vocab))
    weights = tf.nn.softmax(scaled)
    if top_p is not None:
        before = tf.cumsum(weights, axis=-1, exclusive=True)
        weights = tf.where(before < top_p, weights, 0.0)
    cumulative = tf.cumsum(weights, axis=-1)
    drawn = uniform[..., tf.newaxis] * cumulative[..., -1:]
    place = tf.reduce_sum(tf.cast(cumulative <= drawn, tf.int32), axis=-1)
    # Rounding may lead past the last token with a weight.
    last = tf.reduce_sum(tf.cast(weights > 0, tf.int32), axis=-1) - 1
    return tf.gather(ids, tf.minimum(place, last), batch_dims=2)


def uniform_numbers(seed, streams, shape):
    """Random numbers of each row, which depend on the seed and its stream, not on the batch.

    Args:
        seed: scalar int32.
        streams: number of the stream of each row, ``(rows,)``.
        shape: of the random numbers of one row, ``(length, beams)``.

    Returns:
        float32 in [0, 1), ``(rows, length, beams)``.
    """
    return tf.map_fn(
        lambda stream: tf.random.stateless_uniform(shape, tf.stack([seed, stream])),
        streams,
        fn_output_signature=tf.TensorSpec((None, shape[1]), tf.float32),
    )


def length_penalty(length, kind: str, alpha: float):
    """Length penalty, which the score of a hypothesis is divided by.

    Args:
        length: number of its tokens, the end included.
        kind: ``plain``: ``length ^ alpha``, as CTranslate2 and Fairseq have it;
            ``gnmt``: ``((5 + length) / 6) ^ alpha`` (Wu et al. 2016, equation 14).
        alpha: 0 ranks by probability alone.

    Returns:
        float32 of the shape of `length`.
    """
    length = tf.cast(tf.maximum(length, 1), tf.float32)
    return (length if kind == "plain" else (5 + length) / 6) ** alpha
