"""Capitals as marks of their own, and capitals that rules can restore.

With marks, `The`, `the` and `THE` are the same pieces of a vocabulary, and what a model learns of
one it knows of the others. A mark stands for a word that begins with a capital, for one in
capitals, and for the beginning and the end of several such words, as in titles. Words that mix them
otherwise (`iPhone`) and letters whose small form does not lead back to them stay as they are, so
that writing the marks out gives the text again.

Sockeye knows them as factors of words, OpenNMT as case markup.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_transformer.data.text.sentences import split_sentences
from keras_transformer.data.text.strings import begins_run
from keras_transformer.errors import InputError
from keras_transformer.languages import primary_language

CASES = ("keep", "lower", "factored")
"""What tokenizers do with capitals: keep them in pieces, drop them, or write them as marks."""

NONE, CAPITAL, UPPER, UPPER_ON, TITLE_ON, SPAN_OFF = range(6)
"""Marks before a word: it begins with a capital, it is in capitals, or all are in capitals or begin
with one from it on; and the mark after the last of those."""

MARKS = ("[CAPITAL]", "[UPPER]", "[UPPER_ON]", "[TITLE_ON]", "[SPAN_OFF]")
"""Names of the marks from `CAPITAL` on."""

_FEWEST_UPPER = 3  # words in capitals that share one mark
_FEWEST_TITLE = 4  # words that begin with one


def check_case(case: str, normalization: str) -> str:
    """Returns `case`.

    Raises:
        InputError: where it is none of `CASES`, or asks for capitals that the normalisation drops.
    """
    if case not in CASES:
        raise InputError(f"unknown case {case!r}: use one of {', '.join(CASES)}")
    if case != default_case(normalization) and normalization == "ptb-lower":
        raise InputError(
            f"the normalisation ptb-lower drops capitals, which leaves nothing for case {case!r}: "
            "use the normalisation none, or leave the case out"
        )
    return case


def default_case(normalization: str) -> str:
    """The case of tokenizers of a normalisation that do not say, as those of version 0.1."""
    return "lower" if normalization == "ptb-lower" else "keep"


def lower(text: tf.Tensor) -> tf.Tensor:
    """Strings in small letters."""
    return tf.strings.lower(text, encoding="utf-8")


def upper(text: tf.Tensor) -> tf.Tensor:
    """Strings in capitals."""
    return tf.strings.upper(text, encoding="utf-8")


def capitalized(text: tf.Tensor) -> tf.Tensor:
    """Strings whose first letter is a capital, unless a number or a placeholder is before it."""
    pattern = r"([^\pL\pN\p{Co}]*)(\pL)((?s:.*))"
    has_letter = tf.strings.regex_full_match(text, pattern)
    before, first, rest = (tf.strings.regex_replace(text, pattern, rf"\{i}") for i in (1, 2, 3))
    return tf.where(has_letter, tf.strings.join([before, upper(first), rest]), text)


def factor(words: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Takes the capitals of words apart.

    Args:
        words: strings, ``(batch, None)``.

    Returns:
        the words without the capitals that marks stand for; the mark before each, int32 of `NONE`
        to `TITLE_ON`; and whether `SPAN_OFF` follows it, bool.
    """
    flat = words.flat_values
    small = lower(flat)
    large = upper(small)
    has_capitals = small != flat
    # Of the few words with capitals alone: it takes longer than all the rest.
    places = tf.where(has_capitals)
    is_capital = capitalized(tf.boolean_mask(small, has_capitals)) == tf.gather_nd(flat, places)
    is_capital = tf.scatter_nd(places, is_capital, tf.shape(flat, out_type=tf.int64))
    in_capitals = has_capitals & (large == flat)  # "A" is both
    is_upper = in_capitals & ~is_capital
    caseless = (large == small) & ~has_capitals
    rows = words.value_rowids()
    upper_span = _spans(in_capitals, is_upper, caseless, rows, _FEWEST_UPPER)
    titled = is_capital & ~upper_span.within
    title_span = _spans(titled, titled, caseless & ~upper_span.within, rows, _FEWEST_TITLE)
    marks = tf.where(is_capital, CAPITAL, tf.where(is_upper, UPPER, NONE))
    for span, mark in ((upper_span, UPPER_ON), (title_span, TITLE_ON)):
        marks = tf.where(span.within, tf.where(span.first, mark, NONE), marks)
    factored = tf.where(is_capital | in_capitals, small, flat)
    return (
        words.with_flat_values(factored),
        words.with_flat_values(marks),
        words.with_flat_values(upper_span.last | title_span.last),
    )


class _Spans(NamedTuple):
    """Which words are in a span, and begin and end one, bool ``(words,)``."""

    within: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor


def _spans(member, counts, caseless, rows, fewest: int) -> _Spans:
    """Spans of words of one kind, and of such that have no case ("42") between them.

    Args:
        member: which words are of the kind, bool ``(words,)``.
        counts: which of them tell of it.
        caseless: which words have no case.
        rows: the number of the text of each word.
        fewest: words that tell in a span.
    """
    takes_part = member | caseless
    begins = begins_run(rows) | ~takes_part | ~tf.pad(takes_part, [[1, 0]])[:-1]
    run = tf.cumsum(tf.cast(begins, tf.int32)) - 1
    places = tf.range(tf.size(run))
    count = tf.gather(tf.math.segment_sum(tf.cast(counts, tf.int32), run), run)
    first = tf.math.segment_min(tf.where(member, places, tf.size(run)), run)
    last = tf.math.segment_max(tf.where(member, places, -1), run)
    first, last = tf.gather(first, run), tf.gather(last, run)
    within = (count >= fewest) & (places >= first) & (places <= last)
    return _Spans(within, within & (places == first), within & (places == last))


def write_out(texts: tf.Tensor, marks: tf.Tensor) -> tf.Tensor:
    """Capitals of runs of words that a mark stands before.

    Args:
        texts: strings of any shape.
        marks: int32 of that shape.
    """
    word, rest = r"(\s*[^\s]*)((?s:.*))", tf.strings.regex_replace
    first, others = rest(texts, word, r"\1"), rest(texts, word, r"\2")
    in_title = marks == TITLE_ON
    first = tf.where((marks == CAPITAL) | in_title, capitalized(first), first)
    first = tf.where((marks == UPPER) | (marks == UPPER_ON), upper(first), first)
    others = tf.where(marks == UPPER_ON, upper(others), others)
    others = tf.cond(
        tf.reduce_any(in_title),
        lambda: tf.where(in_title, _titled(others), others),
        lambda: others,
    )
    return tf.strings.join([first, others])


def _titled(texts: tf.Tensor) -> tf.Tensor:
    """Strings whose words all begin with a capital."""
    words = tf.strings.split(texts, " ")
    # A join with a separator would lose that of an empty word.
    words = words.with_flat_values(" " + capitalized(words.flat_values))
    return tf.strings.substr(tf.strings.reduce_join(words, axis=-1), 1, -1)


_FIRST_PERSON = (
    (r"(^|[^\pL\pN.'-])i($|[^\pL\pN.-]|\.\s|\.$)", r"\1I\2"),
    (r"(^|[^\pL\pN.'-])i($|[^\pL\pN.-]|\.\s|\.$)", r"\1I\2"),  # again: "i, i"
)
"""The English pronoun, with and without a contraction."""


def restore_capitals(
    text: tf.Tensor, language: str | None = None, begins: tf.Tensor | None = None
) -> tf.Tensor:
    """Writes the capitals that rules know: those that begin sentences, and the English `I`.

    Args:
        text: strings in small letters, ``(batch,)``.
        language: code of their language; English where nobody said.
        begins: whether each text begins a sentence, bool ``(batch,)``; all do unless given.
    """
    sentences = split_sentences(text, language)
    texts = capitalized(sentences.texts)
    if begins is not None:
        goes_on = begins_run(sentences.owners) & ~tf.gather(begins, sentences.owners)
        texts = tf.where(goes_on, sentences.texts, texts)
    parts = tf.RaggedTensor.from_value_rowids(
        tf.strings.join([sentences.gaps, texts]),
        sentences.owners,
        tf.size(sentences.tails),
        validate=False,
    )
    joined = tf.strings.join([tf.strings.reduce_join(parts, axis=-1), sentences.tails])
    if language is None or primary_language(language) in ("en", "eng"):
        for pattern, replacement in _FIRST_PERSON:
            joined = tf.strings.regex_replace(joined, pattern, replacement)
    return joined
