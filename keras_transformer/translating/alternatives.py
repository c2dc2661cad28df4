"""Other words at a place of a translation, in operations of TensorFlow alone."""

import tensorflow as tf

from keras_transformer.exporting.format import NOT_FOUND
from keras_transformer.special_tokens import UNK

MOST_ALTERNATIVES = 16
"""Most alternatives of a text."""

_TRIED = 2  # next tokens for each alternative: some say the same word, or go on with that before
_WORD = r"[\pL\pN\pM]"


def checked_count(count):
    """A scalar number of alternatives, once it is known to be allowed."""
    allowed = (count >= 1) & (count <= MOST_ALTERNATIVES)
    message = f"count is not between 1 and {MOST_ALTERNATIVES}, it is:"
    with tf.control_dependencies([tf.debugging.Assert(allowed, [message, count])]):
        return tf.identity(count)


def prefix_ids(tokenizers, texts, kept: tf.RaggedTensor, keep) -> tf.RaggedTensor:
    """Token ids of beginnings of translations, without start and end, ``(rows, None)``.

    What the source does not keep is unknown in a beginning, too.

    Args:
        tokenizers: of both sides.
        texts: the beginnings, strings ``(rows,)``.
        kept: what the placeholders of each source stand for, ``(rows, None)``.
        keep: patterns of what is kept; see `DecodingConfig`.
    """
    target = tokenizers.target
    if not tokenizers.placeholders:
        return target.tokenize(texts)[:, 1:-1]
    masked = target.mask(texts, keep)
    ids = target.tokenize_masked(masked.texts)[:, 1:-1]
    of_target, of_source = masked.kept.to_tensor(), kept.to_tensor()
    of_source = tf.pad(of_source, [[0, 0], [0, 1]])  # there is something to choose from
    is_same = of_target[:, :, tf.newaxis] == of_source[:, tf.newaxis]
    numbers = tf.argmax(is_same, axis=2) + target.first_placeholder
    numbers = tf.where(tf.reduce_any(is_same, axis=2), numbers, UNK)
    numbers = tf.pad(numbers, [[0, 0], [0, 1]], constant_values=UNK)
    flat, most = ids.flat_values, tf.shape(numbers, tf.int64)[1] - 1
    places = tf.minimum(target.placeholders_before(ids), most)
    known = tf.gather_nd(numbers, tf.stack([ids.value_rowids(), places], axis=1))
    return ids.with_flat_values(
        tf.where(target.is_placeholder(flat), tf.cast(known, flat.dtype), flat)
    )


def with_candidates(prefix: tf.RaggedTensor, candidates):
    """Each prefix with each of its candidates after it, ids ``(rows * count, length)``, padded.

    Args:
        prefix: ids, ``(rows, None)``.
        candidates: ids, ``(rows, count)``; 0 for none.
    """
    count = tf.shape(candidates)[1]
    lengths = tf.repeat(tf.cast(prefix.row_lengths(), tf.int32), count)
    ids = tf.repeat(tf.cast(prefix.to_tensor(), tf.int32), count, axis=0)
    ids = tf.pad(ids, [[0, 0], [0, 1]])
    return ids + tf.one_hot(lengths, tf.shape(ids)[1], dtype=tf.int32) * tf.reshape(
        candidates, (-1, 1)
    )


def tried_at_once(count):
    """How many next tokens are tried for so many alternatives."""
    return _TRIED * count


def best_distinct(texts, scores, usable, prefix, count) -> dict:
    """Texts that begin with a prefix and go on with different words, those that are likeliest.

    They are chosen by the next token and ordered by their scores.

    Args:
        texts: strings ``(batch, tried)``, those with the likelier next tokens first.
        scores: of them, float32 of that shape.
        usable: which of them count, bool of that shape.
        prefix: scalar string; if it ends with a space, a word ends there.
        count: how many are wanted.

    Returns:
        ``translations`` and ``scores``, ``(batch, count)``; an empty string and `NOT_FOUND` stand
        where there are fewer.
    """
    whole = tf.strings.regex_replace(prefix, r"\s+$", "")
    size = tf.strings.length(whole)
    sizes = tf.fill(tf.shape(texts), size)
    begins = tf.strings.substr(texts, tf.zeros_like(sizes), sizes) == whole
    lengths = tf.strings.length(texts)
    places = tf.minimum(sizes, lengths)
    rest = tf.strings.substr(texts, places, lengths - places)
    goes_on = tf.strings.regex_full_match(rest, rf"(?s){_WORD}.*") & (whole != prefix)
    words = tf.strings.regex_replace(rest, rf"(?s)^\s*({_WORD}+|\S).*$", r"\1")
    usable &= begins & ~goes_on & (tf.strings.strip(rest) != "")
    # The first of equal words counts.
    same = (words[:, :, tf.newaxis] == words[:, tf.newaxis]) & usable[:, tf.newaxis]
    tried = tf.shape(texts)[1]
    earlier = tf.range(tried)[:, tf.newaxis] > tf.range(tried)
    usable &= ~tf.reduce_any(same & earlier, axis=2)
    usable &= tf.cumsum(tf.cast(usable, tf.int32), axis=1) <= count
    scores = tf.where(usable, scores, NOT_FOUND)
    missing = tf.maximum(count - tried, 0)
    scores = tf.pad(scores, [[0, 0], [0, missing]], constant_values=NOT_FOUND)
    texts = tf.pad(texts, [[0, 0], [0, missing]])
    scores, order = tf.math.top_k(scores, count)
    texts = tf.gather(texts, order, batch_dims=1)
    return {
        "translations": tf.where(scores > NOT_FOUND, texts, ""),
        "scores": scores,
    }
