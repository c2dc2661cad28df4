"""Choosing the next token: what is allowed, what is best, what is drawn.

Functions of one step, all with shapes ``(rows, beams, ...)`` and free of Python control over
values, so that they compile with XLA.
"""

import tensorflow as tf

from keras_transformer.special_tokens import PAD

LOWEST = -1e9
"""Logarithmic probability of the impossible; finite, so that sums of it stay numbers."""

GROUP = 64
"""Entries of the vocabulary whose best one stands for them all in `best_candidates`."""


def forbid(logits, forbidden: tuple[int, ...], end_id: int, end_allowed):
    """Makes tokens impossible.

    Args:
        logits: ``(rows, beams, vocab)``.
        forbidden: ids never to give.
        end_id: id that ends a translation.
        end_allowed: bool, whether a translation may end here.
    """
    ids = tf.range(tf.shape(logits)[-1])
    hidden = (ids == end_id) & tf.logical_not(end_allowed)
    for token in forbidden:
        hidden |= ids == token
    return tf.where(hidden, LOWEST, logits)


def forbid_repeated_ngrams(logits, tokens, position, size: int):
    """Makes tokens impossible that would complete an n-gram for the second time.

    Args:
        logits: ``(rows, beams, vocab)``.
        tokens: tokens so far, ``(rows, beams, room)``.
        position: how many of them there are.
        size: length of the n-grams.
    """
    room = tf.shape(tokens)[2]
    places = tf.range(room)
    # The n-gram that ends at each place repeats if all but its last token are the latest ones.
    repeats = (places >= size - 1) & (places < position)
    for back in range(1, size):
        latest = tf.gather(tokens, tf.maximum(position - back, 0), axis=2)[..., tf.newaxis]
        shifted = tf.roll(tokens, back, axis=2)
        repeats &= (shifted == latest) & (position >= size - 1)
    vocab = tf.shape(logits)[-1]
    banned = tf.where(repeats, tokens, PAD)  # padding is impossible anyway
    shape = tf.shape(logits)
    rows = tf.range(shape[0] * shape[1])[:, tf.newaxis] * vocab
    places = tf.reshape(rows + tf.reshape(banned, (-1, room)), (-1, 1))
    flat = tf.tensor_scatter_nd_update(
        tf.reshape(logits, [-1]), places, tf.fill(tf.shape(places)[:1], LOWEST)
    )
    return tf.reshape(flat, shape)


def forced_tokens(prefix, position):
    """Ids that the prefix has at a position, padding where it has none, ``(rows, 1)``.

    Args:
        prefix: ids, padded, the last column all padding, ``(rows, prefix)``.
        position: scalar int32.
    """
    column = tf.minimum(position, tf.shape(prefix)[1] - 1)
    return tf.gather(prefix, column, axis=1)[:, tf.newaxis]


def force(logits, prefix, position):
    """Leaves one token possible where the prefix has one.

    Args:
        logits: ``(rows, beams, vocab)``.
        prefix, position: as for `forced_tokens`.
    """
    forced = forced_tokens(prefix, position)[..., tf.newaxis]
    others = (forced != PAD) & (tf.range(tf.shape(logits)[-1]) != forced)
    return tf.where(others, LOWEST, logits)


def most_probable(logits):
    """Ids of the highest logits, ``(rows, beams)``; the first of equals.

    Two passes that compilers make vectors of, unlike the pairs of an ``argmax``.
    """
    vocab = tf.shape(logits)[-1]
    highest = tf.reduce_max(logits, axis=-1, keepdims=True)
    return tf.reduce_min(tf.where(logits == highest, tf.range(vocab), vocab), axis=-1)


def value_at(logits, ids):
    """The logit of one id in each row and beam: ``(rows, beams)``."""
    here = tf.range(tf.shape(logits)[-1]) == ids[..., tf.newaxis]
    return tf.reduce_sum(tf.where(here, logits, 0.0), axis=-1)


def best_candidates(logits, count):
    """The highest logits of every beam.

    Exact, and about as fast as reading the logits once: the best `count` lie in the `count` groups
    of the vocabulary with the highest maxima.

    Args:
        logits: ``(rows, beams, vocab)``.
        count: how many, a number or a tensor; all where that is more than there are.

    Returns:
        ``(values, ids)``, both ``(rows, beams, count)``, the highest first.
    """
    vocab = logits.shape[-1]
    groups = -(-vocab // GROUP)
    count = tf.minimum(count, vocab)
    shape = tf.shape(logits)
    padding = groups * GROUP - vocab
    if padding:
        logits = tf.pad(logits, [[0, 0], [0, 0], [0, padding]], constant_values=2 * LOWEST)
    grouped = tf.reshape(logits, (shape[0], shape[1], groups, GROUP))
    looked_at = tf.minimum(count, groups)
    _, best_groups = tf.math.top_k(tf.reduce_max(grouped, axis=-1), looked_at)
    # In the order of ids, so that equals come in it too, as they do without groups.
    best_groups = tf.sort(best_groups, axis=-1)
    remaining = tf.gather(grouped, best_groups, batch_dims=2)
    values, places = tf.math.top_k(
        tf.reshape(remaining, (shape[0], shape[1], looked_at * GROUP)), count
    )
    ids = tf.gather(best_groups, places // GROUP, batch_dims=2) * GROUP + places % GROUP
    return values, ids


def sample(logits, uniform, *, temperature: float, top_k: int | None, top_p: float | None):
    """Draws a token.

    Args:
        logits: ``(rows, beams, vocab)``.
        uniform: random numbers in [0, 1), ``(rows, beams)``.
        temperature: logits are divided by it.
        top_k: draw from the `top_k` most probable.
        top_p: draw from the fewest most probable that together reach this probability (Holtzman
            et al. 2020).

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
    # Rounding may lead past the last token that has a weight.
    last = tf.reduce_sum(tf.cast(weights > 0, tf.int32), axis=-1) - 1
    return tf.gather(ids, tf.minimum(place, last), batch_dims=2)


def uniform_numbers(seed, streams, shape):
    """Random numbers that depend on the seed and the stream alone, not on the batch.

    Args:
        seed: scalar int32.
        streams: numbers of the streams, ``(rows,)``.
        shape: of the numbers of one stream, ``(length, beams)``.

    Returns:
        float32 in [0, 1), ``(rows, length, beams)``.
    """
    return tf.map_fn(
        lambda stream: tf.random.stateless_uniform(shape, tf.stack([seed, stream])),
        streams,
        fn_output_signature=tf.TensorSpec((None, shape[1]), tf.float32),
    )


def length_penalty(length, kind: str, alpha: float):
    """What the score of a hypothesis is divided by.

    Args:
        length: number of its tokens, the end counted.
        kind: ``plain``: ``length ^ alpha``, as CTranslate2 and Fairseq have it;
            ``gnmt``: ``((5 + length) / 6) ^ alpha`` (Wu et al. 2016, equation 14).
        alpha: 0 ranks by probability alone.

    Returns:
        float32 of the shape of `length`.
    """
    length = tf.cast(tf.maximum(length, 1), tf.float32)
    return (length if kind == "plain" else (5 + length) / 6) ** alpha
