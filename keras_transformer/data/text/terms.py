"""Terms of a glossary: where texts have them, and how a source tells the model what they become.

Before a sentence is tokenised, each term in it is written with its translation beside it, between
signs that tokenizers write as `[TERM]`, `[AS]` and `[TERM_END]`: "O [TERM] gato [AS] tomcat
[TERM_END] dorme". A model that has seen words of training pairs written so, with what the target
has for them, follows such translations, and still inflects them.

Sources: Dinu et al. (2019), arXiv 1906.01105; the signs, Ailem et al. (2021), arXiv 2106.03730;
words of aligned pairs in place of a dictionary, Bergmanis and Pinnis (2021), arXiv 2101.10035.

The signs are of Unicode's private use; a text that has them keeps them as it keeps addresses.
"""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tensorflow_text as tf_text

from keras_transformer.data.text.casing import lower
from keras_transformer.data.text.placeholders import KEPT, MaskedPair
from keras_transformer.data.text.scripts import UNSPACED_RE2
from keras_transformer.data.text.strings import begins_run, parts_of
from keras_transformer.data.text.words import word_spans

SIGNS = TERM, AS, TERM_END = "\uf8fa", "\uf8fb", "\uf8fc"
"""What stands before a term, between it and its translation, and after that."""

MARKS = ("[TERM]", "[AS]", "[TERM_END]")
"""Names of the ids of the signs."""

_UNSPACED = UNSPACED_RE2[1:-1]
_LETTERS = "|".join(rf"[^\P{{{kind}}}{_UNSPACED}]" for kind in "LMN")
_WORD = rf"[{_UNSPACED}]|(?:{_LETTERS})+|[^\s\pZ\pC]"
"""What terms are compared by: words of letters and digits; other signs, and letters of scripts
without spaces, one by one."""

_FACTOR = 6364136223846793005  # of a polynomial of words' hashes; odd


class Annotated(NamedTuple):
    """Texts with the translations of their terms beside them.

    Attributes:
        texts: strings ``(batch,)``.
        sources: the terms as the texts have them, in order, strings ``(batch, None)``.
        terms: their translations, likewise.
    """

    texts: tf.Tensor
    sources: tf.RaggedTensor
    terms: tf.RaggedTensor


def annotate(texts: tf.Tensor, sources: tf.Tensor, targets: tf.Tensor) -> Annotated:
    """Finds terms, whatever their capitals, and writes their translations beside them.

    Of terms that overlap counts the one that begins first, of those the longest; of equal ones the
    first.

    Args:
        texts: strings ``(batch,)``.
        sources: the terms, ``(n,)``; what has no word is never found.
        targets: their translations, likewise.
    """

    def found():
        parts = parts_of(texts, _WORD)
        is_word = tf.strings.regex_full_match(parts.flat_values, _WORD)
        places = tf.where(is_word)[:, 0]
        term, words = _matches(
            _hashes(folded(tf.gather(parts.flat_values, places))),
            tf.gather(parts.value_rowids(), places),
            *_of_terms(sources),
        )
        chosen = tf.where(term >= 0)[:, 0]
        first = tf.gather(places, chosen)
        last = tf.gather(places, chosen + tf.gather(words, chosen) - 1)
        terms = tf.gather(targets, tf.gather(term, chosen))
        nothing = tf.fill(tf.shape(parts.flat_values), "")

        def at(where, strings):
            return tf.tensor_scatter_nd_update(nothing, where[:, tf.newaxis], strings)

        before = at(first, tf.fill(tf.shape(first), f" {TERM} "))
        after = at(last, tf.strings.join([f" {AS} ", terms, f" {TERM_END} "]))
        written = parts.with_flat_values(tf.strings.join([before, parts.flat_values, after]))
        of_each = tf.ragged.range(first, last + 1)
        of_each = of_each.with_flat_values(tf.gather(parts.flat_values, of_each.flat_values))
        rows = tf.gather(parts.value_rowids(), first)
        by_row = (
            tf.RaggedTensor.from_value_rowids(strings, rows, parts.nrows(), validate=False)
            for strings in (tf.strings.reduce_join(of_each, axis=-1), terms)
        )
        return tf.strings.reduce_join(written, axis=-1), *by_row

    def nothing():
        none = tf.RaggedTensor.from_row_lengths(
            tf.constant([], tf.string), tf.zeros(tf.shape(texts), tf.int64), validate=False
        )
        return texts, none, none

    return Annotated(*tf.cond(tf.size(sources) > 0, found, nothing))


def terms_of_lines(lines: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Terms and their translations, strings ``(n,)`` both, from lines that a tab parts.

    What follows a second tab says nothing here; empty lines are passed over.

    Args:
        lines: scalar string.

    Raises:
        tf.errors.InvalidArgumentError: for a line without a term or a translation.
    """
    lines = tf.strings.split(tf.strings.regex_replace(lines, "\r", ""), "\n")
    lines = tf.boolean_mask(lines, tf.strings.strip(lines) != "")
    is_term = tf.strings.regex_full_match(lines, "[^\t]*[^\\s][^\t]*\t[^\t]*[^\\s].*")
    wrong = tf.boolean_mask(lines, ~is_term)
    message = "a line of the glossary is no term and its translation, parted by a tab:"
    with tf.control_dependencies([tf.debugging.Assert(tf.size(wrong) == 0, [message, wrong[:1]])]):
        lines = tf.identity(lines)
    columns = [
        tf.strings.strip(tf.strings.regex_replace(lines, "([^\t]*)\t([^\t]*)(?:\t.*)?", rf"\{i}"))
        for i in (1, 2)
    ]
    return columns[0], columns[1]


def folded(words: tf.Tensor) -> tf.Tensor:
    """Words of any capitals and forms of letters in one form."""
    return lower(tf_text.normalize_utf8(words, "NFKC"))


def _hashes(words: tf.Tensor) -> tf.Tensor:
    """Hashes of folded words, int64 of their shape."""
    return tf.strings.to_hash_bucket_fast(words, 2**62)


def _of_terms(sources: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Hashes of terms and how many words each has, int64 ``(n,)``."""
    words = _words(sources)
    lengths = words.row_lengths()
    hashes = words.with_flat_values(_hashes(words.flat_values)).to_tensor()

    def add(i, total):
        more = total * _FACTOR + hashes[:, i]
        return i + 1, tf.where(tf.cast(i, tf.int64) < lengths, more, total)

    total = tf.zeros_like(lengths)
    longest = tf.shape(hashes)[1]
    return tf.while_loop(lambda i, total: i < longest, add, (0, total))[1], lengths


def _matches(words, rows, terms, lengths) -> tuple[tf.Tensor, tf.Tensor]:
    """The terms of texts.

    Args:
        words: hashes of the words of all texts, int64 ``(words,)``.
        rows: numbers of their texts, int64 ``(words,)``.
        terms: hashes of the terms, int64 ``(n,)``.
        lengths: of the terms in words, int64 ``(n,)``.

    Returns:
        for each word the number of the term that begins there, or -1, and how many words it has,
        int64 ``(words,)``.
    """
    order = tf.argsort(terms, stable=True)
    ascending = tf.gather(terms, order)
    count = tf.size(words, tf.int64)
    places = tf.range(count)
    nothing = tf.zeros_like(words)

    def longer(k, total, best, best_length):
        last = tf.minimum(places + k, count - 1)
        total = total * _FACTOR + tf.gather(words, last)
        found = tf.searchsorted(ascending, total)
        found = tf.gather(order, tf.minimum(found, tf.size(terms) - 1))
        is_one = (tf.gather(terms, found) == total) & (tf.gather(lengths, found) == k + 1)
        is_one &= (tf.gather(rows, last) == rows) & (places + k < count)
        best = tf.where(is_one, tf.cast(found, tf.int64), best)
        return k + 1, total, best, tf.where(is_one, k + 1, best_length)

    longest = tf.where(count > 0, tf.reduce_max(lengths), 0)
    state = tf.constant(0, tf.int64), nothing, nothing - 1, nothing
    _, _, best, best_length = tf.while_loop(lambda k, *_: k < longest, longer, state)

    # From the beginning of each text on, what follows a term or a word without one.
    following = places + tf.maximum(best_length, 1)

    def farther(reached, following, steps):
        onward = tf.boolean_mask(following, reached)
        onward = tf.boolean_mask(onward, onward < count)[:, tf.newaxis]
        reached = tf.tensor_scatter_nd_update(
            reached, onward, tf.ones(tf.shape(onward)[:1], tf.bool)
        )
        beyond = tf.gather(following, tf.minimum(following, count - 1))
        return reached, tf.where(following < count, beyond, following), 2 * steps

    reached, *_ = tf.while_loop(
        lambda reached, following, steps: steps < 2 * count,
        farther,
        (begins_run(rows), following, tf.constant(1, tf.int64)),
    )
    taken = reached & (best >= 0)
    return tf.where(taken, best, -1), tf.where(taken, best_length, 0)


_MOST_SOURCE_WORDS, _MOST_TARGET_WORDS = 3, 5
_TERMS_OF_A_PAIR = (1, 1, 2, 3)
_CORE = re.compile(r"\w(?:.*\w)?", re.DOTALL)
_FEWEST_LETTERS = 3
_SMALL, _ALONE = 0.5, 0.5
"""Shares of terms of training whose translations are in small letters, as glossaries have them; and
whose translations stand there alone, so that nothing else tells what they become."""


def annotate_pair(
    pair: MaskedPair, links: Sequence[tuple[int, int]], share: float, seed: bytes
) -> MaskedPair:
    """A pair whose source has for some words their translations beside them, as `annotate` writes.

    They are words that are linked to one another alone. Of some there is the translation only.

    Args:
        pair: of training.
        links: numbers of source and target words, as of `word_spans`, that belong together.
        share: of the pairs that are changed, 0 to 1.
        seed: what the change follows from.
    """
    chance = random.Random(seed)
    if chance.random() >= share:
        return pair
    source = pair.source
    wanted, taken = chance.choice(_TERMS_OF_A_PAIR), []
    phrases = _phrases(pair.source, pair.target, links)
    for begin, end, target in chance.sample(phrases, len(phrases)):
        if len(taken) < wanted and all(end <= b or e <= begin for b, e, *_ in taken):
            small, alone = chance.random() < _SMALL, chance.random() < _ALONE
            term = "" if alone else source[begin:end]
            taken.append((begin, end, term, _in_small(target) if small else target))
    for begin, end, term, target in sorted(taken, reverse=True):
        source = f"{source[:begin]} {TERM} {term} {AS} {target} {TERM_END} {source[end:]}"
    return pair._replace(annotated=source)


def _phrases(source: str, target: str, links) -> list[tuple[int, int, str]]:
    """Where the source has words that are linked to such of the target alone, and those."""
    spans = word_spans(source), word_spans(target)
    of_source: dict[int, set[int]] = {}
    of_target: dict[int, set[int]] = {}
    for one, other in links:
        if one < len(spans[0]) and other < len(spans[1]):
            of_source.setdefault(one, set()).add(other)
            of_target.setdefault(other, set()).add(one)
    phrases = []
    for first in of_source:
        for last in range(first, min(first + _MOST_SOURCE_WORDS, len(spans[0]))):
            if last not in of_source:
                continue
            linked = set().union(*(of_source.get(i, ()) for i in range(first, last + 1)))
            low, high = min(linked), max(linked)
            if high - low >= _MOST_TARGET_WORDS or any(
                not first <= i <= last for j in range(low, high + 1) for i in of_target.get(j, ())
            ):
                continue
            core = _core(source, spans[0][first][0], spans[0][last][1])
            translation = _core(target, spans[1][low][0], spans[1][high][1])
            if core and translation and _letters(source[slice(*core)]) >= _FEWEST_LETTERS:
                phrases.append((*core, target[slice(*translation)]))
    return phrases


def _core(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """A stretch of a text without the signs around it; ``None`` for one with a placeholder."""
    core = _CORE.search(text, begin, end)
    return core and (core.span() if KEPT not in core[0] else None)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _in_small(text: str) -> str:
    """A text whose words have no capital at their beginning, but for such as have others."""
    return re.sub(r"\w+", lambda word: word[0].lower() if word[0].istitle() else word[0], text)


def lacks_terms(texts: tf.Tensor, terms: tf.RaggedTensor) -> tf.RaggedTensor:
    """Which of their terms texts have in no form, bool ``(batch, None)``.

    Capitals do not count. A word of four letters or more may have another ending: its last letter
    may be missing, and three may follow.

    Args:
        texts: strings ``(batch,)``.
        terms: of each text, ``(batch, None)``.
    """
    words, wanted = _words(texts), _words(terms.flat_values)
    rows, lengths = terms.value_rowids(), wanted.row_lengths()
    # Each term at each word of its text.
    counts = tf.gather(words.row_lengths(), rows)
    places = tf.ragged.range(counts)
    term, place = places.value_rowids(), places.flat_values
    of_text = tf.gather(words.row_starts(), tf.gather(rows, term)) + place
    of_term = tf.gather(wanted.row_starts(), term)
    left = tf.gather(counts, term) - place  # words of the text from there on
    length = tf.gather(lengths, term)
    is_long = tf.strings.regex_full_match(wanted.flat_values, r"(?s).*\pL{4}")

    def same(i, is_one):
        here = tf.where(is_one & (i < length))
        found = tf.gather_nd(of_text, here) + i, tf.gather_nd(of_term, here) + i
        fits = _same(
            tf.gather(words.flat_values, found[0]),
            tf.gather(wanted.flat_values, found[1]),
            tf.gather(is_long, found[1]),
        )
        return tf.tensor_scatter_nd_update(is_one, here, fits)

    longest = tf.reduce_max(tf.concat([lengths, [0]], 0))
    _, is_one = tf.while_loop(
        lambda i, _: i < longest,
        lambda i, is_one: (i + 1, same(i, is_one)),
        (tf.constant(0, tf.int64), left >= length),
    )
    count = tf.size(rows)
    found = tf.math.unsorted_segment_sum(tf.cast(is_one, tf.int32), term, count) > 0
    found |= lengths == 0
    return terms.with_flat_values(~found)


def _words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Folded words of texts, ``(n, None)``; see `_WORD`."""
    parts = parts_of(texts, _WORD)
    words = tf.ragged.boolean_mask(
        parts, parts.with_flat_values(tf.strings.regex_full_match(parts.flat_values, _WORD))
    )
    return words.with_flat_values(folded(words.flat_values))


def _same(words: tf.Tensor, wanted: tf.Tensor, is_long: tf.Tensor) -> tf.Tensor:
    """Whether words are those that are wanted, with another ending where these are long."""
    characters = tf.strings.length(wanted, "UTF8_CHAR")
    stems = tf.strings.substr(
        wanted, tf.zeros_like(characters), tf.maximum(characters - 1, 0), "UTF8_CHAR"
    )

    def begins(beginnings):
        sizes = tf.strings.length(beginnings)
        return tf.strings.substr(words, tf.zeros_like(sizes), sizes) == beginnings

    more = tf.strings.length(words, "UTF8_CHAR") - characters
    inflected = (begins(stems) & (more <= 2)) | (begins(wanted) & (more <= 3))
    return (words == wanted) | (is_long & inflected)
