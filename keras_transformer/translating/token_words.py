"""The words of tokens, and those that are terms of a glossary.

Operations of TensorFlow alone, so that an exported model does as the live one.
"""

import re
from typing import NamedTuple

import tensorflow as tf

from keras_transformer.data.text.strings import begins_run
from keras_transformer.data.text.terms import MARKS as TERM_MARKS
from keras_transformer.data.text.terms import folded
from keras_transformer.data.tokenizers.surfaces import PLACEHOLDER, SILENT
from keras_transformer.data.tokenizers.token_links import NONE

BEFORE = r"^(?:[^\pL\pN\pM]*)(?:\pL{1,2}['’])?"
AFTER = r"(?:['’]\pL{1,2})?(?:[^\pL\pN\pM]*)$"
"""What stays of a word that a term takes the place of: signs, and what is joined by an apostrophe,
as in ``(l'`` and ``'s),``."""


class Words(NamedTuple):
    """The words of rows of tokens, as spaces part them, one row after the other.

    Attributes:
        texts: what they say, strings ``(words,)``.
        rows: the row of each, int64 ``(words,)``.
        begins, ends: its first token, and the one after its last, int64 ``(words,)``. Marks of
            capitals and the like belong to no word.
        of_tokens: the word of each token, or `NONE`, int64 ``(tokens,)``.
    """

    texts: tf.Tensor
    rows: tf.Tensor
    begins: tf.Tensor
    ends: tf.Tensor
    of_tokens: tf.Tensor


def words_of(names: tf.RaggedTensor) -> Words:
    """The words of tokens.

    Args:
        names: of the tokens, ``(rows, None)``: ``##`` marks the inside of a word, or ``▁`` the
            beginning of one. What stands beside a term belongs to its last word.
    """
    flat, rows = names.flat_values, names.value_rowids()
    opens, closes = (tf.cast(flat == mark, tf.int32) for mark in TERM_MARKS[1:])
    beside = tf.cumsum(opens) > tf.cumsum(closes, exclusive=True)
    says = ~is_one_of(flat, sorted(SILENT)) & ~beside
    marked = tf.strings.regex_full_match(flat, "▁(?s:.*)")
    inside = tf.strings.regex_full_match(flat, "##(?s:.*)")
    spoken = tf.where(says)
    # The first of a row begins a word, whatever its name.
    begins = tf.gather_nd(tf.where(tf.reduce_any(marked), marked, ~inside), spoken)
    begins |= begins_run(tf.gather_nd(rows, spoken))
    # So does a placeholder, and what follows one.
    is_one = tf.strings.regex_full_match(tf.gather_nd(flat, spoken), PLACEHOLDER)
    begins |= is_one | tf.concat([tf.zeros_like(is_one[:1]), is_one[:-1]], 0)
    word = tf.cumsum(tf.cast(begins, tf.int64)) - 1
    count = tf.reduce_sum(tf.cast(begins, tf.int64))
    texts = tf.strings.regex_replace(tf.gather_nd(flat, spoken), "^##|▁", "")
    of_tokens = tf.tensor_scatter_nd_update(
        tf.fill(tf.shape(flat), tf.constant(NONE, tf.int64)), spoken, word
    )
    of_spoken = tf.where(begins)[:, 0]
    first = tf.gather(spoken[:, 0], of_spoken)
    last = tf.math.segment_max(spoken[:, 0], word)
    last_word = tf.gather(tf.concat([[NONE], word], 0), tf.cumsum(tf.cast(says, tf.int64)))
    return Words(
        tf.strings.unsorted_segment_join(texts, word, count),
        tf.gather(rows, first),
        first,
        last + 1,
        tf.where(beside, last_word, of_tokens),
    )


def terms_of_words(words: Words, terms: tf.RaggedTensor) -> tf.Tensor:
    """The term that each word of a source is part of, by its number in the row from 1, or 0.

    Args:
        words: of sources.
        terms: as they have them, in order, ``(rows, None)``.
    """
    by_row = tf.RaggedTensor.from_value_rowids(
        _hashes(words.texts), words.rows, terms.nrows(), validate=False
    )
    parts = tf.strings.split(terms.flat_values)
    wanted = terms.with_flat_values(parts.with_flat_values(_hashes(parts.flat_values)))
    wanted = wanted.to_tensor()  # (rows, terms, length), 0 where there is none
    lengths = tf.math.count_nonzero(wanted, axis=2)
    longest = tf.shape(wanted)[2]
    had = by_row.to_tensor()
    columns = tf.range(tf.shape(had)[1], dtype=tf.int64)
    windows = tf.pad(had, [[0, 0], [0, longest]])
    offsets = columns[:, tf.newaxis] + tf.range(longest, dtype=tf.int64)
    windows = tf.gather(windows, offsets, axis=1)  # (rows, words, length)

    def find(i, after, numbers):
        term, length = wanted[:, i, tf.newaxis], lengths[:, i, tf.newaxis]
        here = tf.reduce_all((windows == term) | (term == 0), axis=2) & (length > 0)
        here &= columns >= after[:, tf.newaxis]
        begin = tf.argmax(here, axis=1)[:, tf.newaxis]
        is_part = (columns >= begin) & (columns < begin + length)
        is_part &= tf.reduce_any(here, axis=1, keepdims=True)
        end = tf.reduce_max(tf.where(is_part, columns + 1, 0), axis=1)
        return (
            i + 1,
            tf.maximum(after, end),
            tf.where(is_part, tf.cast(i, tf.int64) + 1, numbers),
        )

    _, _, numbers = tf.while_loop(
        lambda i, *_: i < tf.shape(wanted)[1],
        find,
        (0, tf.zeros([terms.nrows()], tf.int64), tf.zeros_like(had)),
    )
    return tf.boolean_mask(numbers, tf.sequence_mask(by_row.row_lengths(), tf.shape(had)[1]))


def first_words(words: Words, terms: tf.RaggedTensor, numbers: tf.Tensor) -> tf.Tensor:
    """The first word of each term, or `NONE`, int64 ``(terms,)``.

    Args:
        words: of sources.
        terms: as they have them, in order, ``(rows, None)``.
        numbers: of the terms of the words; see `terms_of_words`.
    """
    is_part = tf.where(numbers > 0)[:, 0]
    term = tf.gather(terms.row_starts(), tf.gather(words.rows, is_part))
    term += tf.gather(numbers, is_part) - 1
    count = tf.size(terms.flat_values, tf.int64)
    word = tf.math.unsorted_segment_min(is_part, term, count)
    return tf.where(word < tf.size(numbers, tf.int64), word, NONE)


def _hashes(words: tf.Tensor) -> tf.Tensor:
    """Hashes of words without the signs around them and whatever their capitals, above 0."""
    bare = tf.strings.regex_replace(tf.strings.regex_replace(words, BEFORE, ""), AFTER, "")
    return tf.strings.to_hash_bucket_fast(folded(bare), 2**62) + 1


def is_one_of(strings: tf.Tensor, some) -> tf.Tensor:
    return tf.strings.regex_full_match(strings, "|".join(re.escape(one) for one in some))
