"""Terms of a glossary in the place of the words that a model has said for them.

Operations of TensorFlow alone, so that an exported model does as the live one.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_transformer.data.text.casing import MARKS
from keras_transformer.data.text.scripts import UNSPACED_RE2
from keras_transformer.data.text.strings import begins_run
from keras_transformer.data.tokenizers.surfaces import PLACEHOLDER
from keras_transformer.data.tokenizers.token_links import NONE
from keras_transformer.special_tokens import PAD, UNK
from keras_transformer.translating.glossaries import ids_of_terms
from keras_transformer.translating.token_words import (
    AFTER,
    BEFORE,
    Words,
    first_words,
    is_one_of,
    terms_of_words,
    words_of,
)

LEAST_WEIGHT = 0.1
"""Smallest weight of attention, on average over the tokens of a word, that links it to a term."""

_INSEPARABLE = rf"(?s).*(?:{UNSPACED_RE2}|<0x[0-9A-F]{{2}}>|{PLACEHOLDER}).*"
"""What is more or less than a word: a text without spaces, a part of a letter, a placeholder."""

_MARKS_OF_SPANS = MARKS[2:]
"""Of capitals, for more than the next word."""


class Places(NamedTuple):
    """Stretches of target tokens that terms are to take the place of.

    Attributes:
        begins, ends: the first token of each, and the one after its last, int64 ``(n,)``. The two
            are one where a term goes between words.
        rows: int64 ``(n,)``.
        strings: the terms, as they are to be written there.
    """

    begins: tf.Tensor
    ends: tf.Tensor
    rows: tf.Tensor
    strings: tf.Tensor


def terms_in_place(
    tokenizers: Any,
    source: tf.RaggedTensor,
    target: tf.RaggedTensor,
    places: tf.Tensor,
    weights: tf.Tensor,
    sources: tf.RaggedTensor,
    terms: tf.RaggedTensor,
    lacks: tf.RaggedTensor,
    fixed: tf.Tensor,
) -> tf.RaggedTensor:
    """What hypotheses are to begin with to have terms that they lack, where these belong.

    A term takes the place of the words that attention links to its source, of several stretches of
    such the one with the most weight. Signs that touch them stay, as do capitals. A term that no
    word is linked to follows the one that is linked to the nearest word before its source, and is
    the last one. Where no word is linked to any there is no place.

    Args:
        tokenizers: of both sides.
        source: ids, ``(rows, None)``.
        target: ids of the hypotheses, ``(rows, None)``.
        places, weights: of the source tokens that target tokens belong to; see
            `alignment.token_places`.
        sources: the terms as the sources have them, in order, strings ``(rows, None)``.
        terms: their translations, likewise.
        lacks: which of them each hypothesis lacks, bool ``(rows, None)``.
        fixed: how many ids each hypothesis was made to begin with, which stay, ``(rows,)``.

    Returns:
        ids up to the last term with a place, ``(rows, None)``; none where there is none.
    """
    # One place more, behind the last token.
    target = tf.concat([target, tf.fill((target.nrows(), 1), tf.constant(PAD, target.dtype))], 1)
    links = [
        tf.pad(part, [[0, 0], [0, 1]], constant_values=tf.constant(NONE, part.dtype))
        for part in (places, weights)
    ]
    target_names = tokenizers.target.lookup(target)
    of_source, of_target = words_of(tokenizers.source.lookup(source)), words_of(target_names)
    term_of_word = terms_of_words(of_source, sources)
    linked, weights = _linked_words(source, target, links, of_source, of_target)
    shares = _shares_of_terms(of_target, term_of_word, linked, weights, terms)
    places, has_place = _stretches(of_target, *shares, terms, lacks)
    between = _between(of_source, of_target, term_of_word, linked, terms, lacks, has_place)
    places = Places(*(tf.concat(part, 0) for part in zip(places, between, strict=True)))
    new = ids_of_terms(tokenizers.target, places.strings)
    starts = tf.gather(target.row_starts() + tf.cast(fixed, tf.int64), places.rows)
    usable = ~tf.reduce_any(new == UNK, axis=1) & (new.row_lengths() > 0)
    order = _up_to_one_between(places, usable & (places.begins >= starts), target.nrows())
    return _rewritten(
        target,
        Places(*(tf.gather(part, order) for part in places)),
        tf.gather(new, order),
        is_one_of(target_names.flat_values, _MARKS_OF_SPANS),
    )


def _up_to_one_between(places: Places, usable, rows) -> tf.Tensor:
    """The numbers of the places of each row up to its first one between words, in order.

    What follows a term between words is written anew.

    Args:
        places: of terms.
        usable: which of them may be used, bool ``(n,)``.
        rows: how many rows there are.
    """
    is_between = (places.begins == places.ends) & usable
    behind = tf.reduce_max(tf.concat([places.begins, [0]], 0)) + 1
    end = tf.where(is_between, places.begins, behind)
    end = tf.gather(tf.math.unsorted_segment_min(end, places.rows, rows), places.rows)
    usable &= (places.begins < end) | (is_between & (places.begins == end))
    order = tf.argsort(tf.where(usable, places.begins, behind), stable=True)
    order = order[: tf.math.count_nonzero(usable)]
    return tf.boolean_mask(order, begins_run(tf.gather(places.begins, order)))


def _linked_words(source, target, links, of_source: Words, of_target: Words):
    """The source word that each target token is linked to, and the weight of the link.

    Args:
        source, target: as for `terms_in_place`.
        links: its places and weights.
        of_source, of_target: the words.

    Returns:
        numbers of words, or `NONE`, int64 ``(tokens,)``, and weights of attention, float32.
    """
    real = tf.sequence_mask(target.row_lengths(), tf.shape(links[0])[1])
    places, weights = (tf.boolean_mask(part, real) for part in links)
    is_linked = (places != NONE) & (of_target.of_tokens != NONE)
    tokens = tf.gather(source.row_starts(), target.value_rowids()) + tf.cast(places, tf.int64)
    word = tf.gather(of_source.of_tokens, tf.where(is_linked, tokens, 0))
    return tf.where(is_linked, word, NONE), tf.maximum(weights, 0.0)


def _shares_of_terms(words: Words, term_of_word, linked, weights, terms):
    """The term that most of the weight of each target word is for, or 0.

    Args:
        words: of the target.
        term_of_word: of the source; see `terms_of_words`.
        linked, weights: see `_linked_words`.
        terms: of all rows, ``(rows, None)``.

    Returns:
        numbers in the row from 1, int64 ``(words,)``, and their weights, float32.
    """
    count = tf.size(words.rows, tf.int64)
    numbers = tf.reduce_max(tf.concat([terms.row_lengths(), [0]], 0)) + 1
    term_of_word = tf.concat([[0], term_of_word], 0)
    said = tf.where(words.of_tokens != NONE)
    word, linked, weights = (
        tf.gather_nd(part, said) for part in (words.of_tokens, linked, weights)
    )
    term = tf.gather(term_of_word, linked + 1)
    shares = tf.math.unsorted_segment_sum(weights, word * numbers + term, count * numbers)
    shares = tf.reshape(shares, (count, numbers))
    tokens = tf.math.unsorted_segment_sum(tf.ones_like(weights), word, count)
    best = tf.argmax(shares, axis=1)
    weight = tf.gather(shares, best, batch_dims=1)
    is_sure = (2 * weight > tf.reduce_sum(shares, axis=1)) & (weight >= LEAST_WEIGHT * tokens)
    return tf.where(is_sure, best, 0), weight


def _stretches(words: Words, numbers, weights, terms, lacks) -> tuple[Places, tf.Tensor]:
    """The best stretch of words for each term that lacks.

    Args:
        words: of the target.
        numbers, weights: their terms; see `_shares_of_terms`.
        terms, lacks: as for `terms_in_place`.

    Returns:
        the places, and which of all terms have one, bool ``(terms,)``.
    """
    # A key for each term of each row.
    key = tf.gather(terms.row_starts(), words.rows) + numbers - 1
    key = tf.where(numbers > 0, key, NONE)
    starts = begins_run(key) | begins_run(words.rows)
    stretch = tf.cumsum(tf.cast(starts, tf.int64)) - 1
    first = tf.where(starts)[:, 0]
    last = tf.concat([first[1:], [tf.size(words.rows, tf.int64)]], 0)[: tf.size(first)] - 1
    usable = ~tf.strings.regex_full_match(words.texts, _INSEPARABLE)
    usable = tf.math.segment_min(tf.cast(usable, tf.int32), stretch) > 0
    weight, key = tf.math.segment_sum(weights, stretch), tf.gather(key, first)
    usable &= tf.gather(tf.concat([[False], lacks.flat_values], 0), key + 1)
    first, last, weight, key = (
        tf.boolean_mask(part, usable) for part in (first, last, weight, key)
    )
    # The heaviest of each term, and of such the first.
    order = tf.argsort(weight, direction="DESCENDING", stable=True)
    order = tf.gather(order, tf.argsort(tf.gather(key, order), stable=True))
    best = tf.boolean_mask(order, begins_run(tf.gather(key, order)))
    first, last, key = (tf.gather(part, best) for part in (first, last, key))
    places = Places(
        tf.gather(words.begins, first),
        tf.gather(words.ends, last),
        tf.gather(words.rows, first),
        _fitted(
            tf.gather(terms.flat_values, key),
            tf.gather(words.texts, first),
            tf.gather(words.texts, last),
        ),
    )
    count = tf.size(terms.flat_values, tf.int64)
    return places, tf.math.unsorted_segment_sum(tf.ones_like(key), key, count) > 0


def _between(of_source: Words, of_target: Words, term_of_word, linked, terms, lacks, has_place):
    """Places between words for the terms that lack and that no word stands for.

    Args:
        of_source, of_target: the words.
        term_of_word, linked: see `terms_of_words` and `_linked_words`.
        terms, lacks: as for `terms_in_place`.
        has_place: which terms have a place already, bool ``(terms,)``.
    """
    begin = first_words(of_source, terms, term_of_word)
    wanted = tf.where(lacks.flat_values & ~has_place & (begin != NONE))[:, 0]
    begin, row = tf.gather(begin, wanted), tf.gather(terms.value_rowids(), wanted)
    # The target words of its row, and the nearest source word before that one is linked to.
    words = tf.size(of_target.rows, tf.int64)
    of_word = tf.math.unsorted_segment_max(linked, of_target.of_tokens, words)
    by_row = tf.RaggedTensor.from_value_rowids(
        tf.range(words), of_target.rows, terms.nrows(), validate=False
    )
    by_row = tf.gather(by_row, row)
    some = by_row.flat_values
    of_each, at = by_row.value_rowids(), tf.gather(of_word, by_row.flat_values)
    many = tf.size(wanted, tf.int64)
    usable = tf.math.unsorted_segment_max(at, of_each, many) >= 0  # some word is linked
    at = tf.where(at < tf.gather(begin, of_each), at, NONE)
    nearest = tf.math.unsorted_segment_max(at, of_each, many)
    is_it = (at == tf.gather(nearest, of_each)) & (at != NONE)
    word = tf.math.unsorted_segment_max(tf.where(is_it, some, NONE), of_each, many)
    first = tf.math.unsorted_segment_min(some, of_each, many)
    word, first, row, wanted = (
        tf.boolean_mask(part, usable) for part in (word, first, row, wanted)
    )
    place = tf.where(
        word >= 0,
        tf.gather(of_target.ends, tf.maximum(word, 0)),
        tf.gather(of_target.begins, first),
    )
    return Places(place, place, row, tf.gather(terms.flat_values, wanted))


def _fitted(terms: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Terms with what touches the words in whose place they are, and with their first capital.

    Args:
        terms: strings ``(n,)``.
        first, last: the first and the last of the words of each.
    """
    said = tf.strings.regex_replace(first, BEFORE, "")
    before = _part(first, 0, tf.strings.length(first) - tf.strings.length(said))
    after = _part(last, tf.strings.length(tf.strings.regex_replace(last, AFTER, "")))
    letter = tf.strings.substr(terms, *(tf.fill(tf.shape(terms), n) for n in (0, 1)), "UTF8_CHAR")
    rest = _part(terms, tf.strings.length(letter))
    is_capital = tf.strings.regex_full_match(said, r"\p{Lu}(?s:.*)")
    capital = tf.strings.upper(letter, "utf-8") + rest
    return before + tf.where(is_capital, capital, terms) + after


def _part(strings: tf.Tensor, begin, size=None) -> tf.Tensor:
    """Parts of strings, by numbers of bytes."""
    length = tf.strings.length(strings)
    begin = tf.broadcast_to(begin, tf.shape(length))
    return tf.strings.substr(strings, begin, length - begin if size is None else size)


def _rewritten(ids: tf.RaggedTensor, places: Places, new: tf.RaggedTensor, stays):
    """Ids up to the last place, with others in the places, ``(rows, None)``.

    Args:
        ids: ``(rows, None)``.
        places: in order; none overlap.
        new: the ids there, ``(n, None)``.
        stays: which tokens stay even within a place, bool ``(tokens,)``.
    """
    flat, rows = ids.flat_values, ids.value_rowids()
    count = tf.size(flat, tf.int64)
    one = tf.ones_like(places.begins)
    enters, leaves = (
        tf.math.unsorted_segment_sum(one, where, count) for where in (places.begins, places.ends)
    )
    # For each token those that enter before it, and itself if it stays.
    within = tf.cumsum(enters) > tf.cumsum(leaves)
    which = tf.where(enters > 0, tf.cumsum(enters) - 1, new.nrows())
    inserted = tf.gather(tf.concat([new.row_lengths(), [0]], 0), which)
    lengths = inserted + tf.cast(~within | stays, tf.int64)
    token = tf.repeat(tf.range(count), lengths)
    before = tf.gather(tf.cumsum(lengths, exclusive=True), token)
    offset = tf.range(tf.size(token, tf.int64)) - before
    is_new = offset < tf.gather(inserted, token)
    place = tf.gather(tf.concat([new.row_starts(), [0]], 0), tf.gather(which, token)) + offset
    place = tf.where(is_new, place, tf.size(new.flat_values, tf.int64) + token)
    values = tf.gather(tf.concat([tf.cast(new.flat_values, flat.dtype), flat], 0), place)
    # Up to the last new one of each row, and after a stretch one more, for else the model may say
    # what was there.
    rows, numbers = tf.gather(rows, token), tf.range(tf.size(token, tf.int64))
    last = tf.math.unsorted_segment_max(tf.where(is_new, numbers, NONE), rows, ids.nrows())
    is_stretch = tf.cast(places.begins < places.ends, tf.int64)
    more = tf.math.unsorted_segment_min(is_stretch, places.rows, ids.nrows())
    more = tf.where(last >= 0, more, 0)
    wanted = numbers <= tf.gather(last + more, rows)
    return tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(values, wanted), tf.boolean_mask(rows, wanted), ids.nrows(), validate=False
    )
