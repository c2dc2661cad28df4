"""What is not translated: addresses, placeholders, long numbers, code, emoji.

Before a text is tokenised, a character of its own takes the place of each of them, `KEPT`, which
tokenizers write as one of the ids of `[KEEP_1]`, `[KEEP_2]`, ... in the order of the source. A
model copies those, and afterwards what they stand for is put back, byte for byte. `[JOIN]` says
that what stands before and after it is not parted by a space.

Both characters are of Unicode's private use, as are the signs of `terms`; a text that has one of
them keeps it in the same way, so that no text can spell a placeholder.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_transformer.data.text.normalization import EMOJI, EMOJI_MODIFIERS
from keras_transformer.data.text.strings import parts_of, valid_utf8
from keras_transformer.errors import InputError

KEPT = "\uf8fd"
"""The character in place of what is kept."""

JOIN = "\uf8fe"
"""The character between a `KEPT` and what it touches."""

MOST = 64
"""Most placeholders of a sentence that a vocabulary may have ids for."""

_ADDRESS_END = r"[^\s<>\"'`.,:;!?)\]}…“”‘’«»]"
_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+"
_TOP_LEVEL = r"(?:com|org|net|edu|gov|info|io)(?:\.[a-z]{2})?"

PATTERNS: dict[str, str] = {
    "addresses of the web": rf"(?:https?|ftps?|file|vnd\.[a-z.]+)://[^\s<>\"`“”«»]*{_ADDRESS_END}"
    rf"|mailto:[^\s<>\"`]*{_ADDRESS_END}"
    rf"|\bwww\.[^\s<>\"`“”«»]*{_ADDRESS_END}",
    "addresses of e-mail": rf"\b[A-Za-z0-9][A-Za-z0-9._%+-]*@{_DOMAIN}[A-Za-z]{{2,}}\b",
    "domains": rf"\b{_DOMAIN}{_TOP_LEVEL}\b(?:/[^\s<>\"`“”«»]*{_ADDRESS_END})?",
    "code in back-ticks": r"``[^`\s](?:[^`\n]*[^`\s])?``|`[^`\s](?:[^`\n]*[^`\s])?`",
    "tags": r"</?[A-Za-z](?:[^<>\n]*[^<>\n\s])?\s?/?>",
    "fields in braces": r"\$?\{\{[^{}\n]{0,80}\}\}|[$#%]?\{[^{}\s]{0,80}\}",
    "variables": rf"\B\$(?:{_NAME.replace('.-', '')}|\({_NAME}\)|\[{_NAME}\])",
    "formats": r"\B%[A-Za-z][A-Za-z0-9_]*%|\B%[A-Z][A-Z0-9_]+\b"
    r"|\B%(?:\([^)\s]{1,40}\))?(?:[0-9]{1,2}\$)?[-+#0]*[0-9]*(?:\.[0-9]+)?(?:hh?|ll?|z)?"
    r"[diouxXeEfFgGcrsa@]\b|\B%[0-9]{1,2}\b",
    "entities": r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});",
    "paths": r"\B(?:~|\.{1,2})?/(?:[\pL\pN_.+@-]+/)+[\pL\pN_+@-]*(?:\.[\pL\pN]+)*"
    r"|\B(?:~|\.{1,2})/[\pL\pN_+@-]+(?:\.[\pL\pN]+)*"
    r"|\b[A-Za-z]:\\[^\s<>\"|?*,;]*[^\s<>\"|?*,;.:)]",
    "names of accounts": r"\B@[A-Za-z][A-Za-z0-9_]+\b",
    "long numbers": r"[0-9]{6,}",
    "emoji": rf"[{EMOJI}][{EMOJI}{EMOJI_MODIFIERS}]*",
    "private characters": "[\uf8fa-\uf8fe]",
}
"""Regular expressions of what is kept, in the syntax of RE2, by what they find."""


class Masked(NamedTuple):
    """Texts with `KEPT` in place of what is not translated.

    Attributes:
        texts: strings ``(batch,)``.
        kept: what was there, in order, strings ``(batch, None)``.
    """

    texts: tf.Tensor
    kept: tf.RaggedTensor


def marks(count: int) -> tuple[str, ...]:
    """Names of the ids that a vocabulary has for so many placeholders."""
    return ("[JOIN]", *(f"[KEEP_{i + 1}]" for i in range(count))) if count else ()


_MOST_RANGES = 2000  # of characters in an expression, which would take too much memory
_IN_WORDS = rf"[^\s\pZ!-,./:-@\[-`{{-~“”„«»…–—¿¡、。，！？{KEPT}{JOIN}]"


def unknown_words(characters: Iterable[str], normalization: str) -> str | None:
    """A regular expression of words with letters or signs that a vocabulary has not.

    To a model they are nothing, and to keep them is right for names and for other scripts.

    Args:
        characters: of the vocabulary.
        normalization: what text is normalised to before it is looked up.

    Returns:
        ``None`` for a vocabulary of too many scripts.
    """
    known = set()
    for character in characters:
        cases = (character, character.lower(), character.upper(), character.title())
        known.update(ord(other) for other in cases if len(other) == 1)
    ranges: list[list[int]] = []
    for code in sorted(known):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    if len(ranges) > _MOST_RANGES:
        return None
    known_ones = "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in ranges)
    # Normalisation composes marks, and writes some signs as others.
    neither = r"\pM\pZ\pC" + (r"\pP\p{Sk}" if normalization == "ptb-lower" else "")
    word = rf"{_IN_WORDS}*[^{known_ones}{neither}\pP\pS]{_IN_WORDS}*"
    return rf"{word}(?:\s{word})*|[^{known_ones}{neither}\pL\pN]"


@functools.lru_cache(maxsize=64)
def pattern_of(more: tuple[str, ...] = ()) -> str:
    """The regular expression of all that is kept.

    Args:
        more: expressions of the user, which go before `PATTERNS`.

    Raises:
        InputError: for one that is none, or that matches nothing at all.
    """
    for expression in more:
        with tf.init_scope():
            try:
                matches_nothing = bool(tf.strings.regex_full_match("", expression))
            except tf.errors.InvalidArgumentError as error:
                reason = str(error).split("error: ", 1)[-1].split("[Op:")[0].strip()
                raise InputError(
                    f"the pattern {expression!r:.80} is no regular expression of RE2 ({reason})"
                ) from error
        if matches_nothing:
            raise InputError(
                f"the pattern {expression!r:.80} matches an empty text, which is everywhere: "
                "write one that needs a character"
            )
    return "|".join(f"(?:{expression})" for expression in (*more, *PATTERNS.values()))


def mask(text: tf.Tensor, keep: tuple[str, ...] = (), unknown: str | None = None) -> Masked:
    """Puts `KEPT` in place of what is not translated.

    Args:
        text: strings ``(batch,)``; U+FFFD takes the place of bytes that are no UTF-8.
        keep: expressions of the user; see `pattern_of`.
        unknown: from `unknown_words`.

    Raises:
        InputError: for an expression that is none.
    """
    masked = _masked(valid_utf8(text), pattern_of(keep))
    if unknown is None:
        return masked
    # An expression of its own: one of both would take too much memory.
    texts, kept = _masked(masked.texts, f"{KEPT}|{unknown}")
    places = tf.where(kept.flat_values == KEPT)
    strings = tf.tensor_scatter_nd_update(kept.flat_values, places, masked.kept.flat_values)
    return Masked(texts, kept.with_flat_values(strings))


def _masked(text: tf.Tensor, pattern: str) -> Masked:
    # Most texts have nothing to be kept, which takes a hundredth of the time to find out.
    rows = tf.where(tf.strings.regex_full_match(text, f"(?s:.*)(?:{pattern})(?s:.*)"))
    parts = parts_of(tf.gather_nd(text, rows), pattern)
    flat = parts.flat_values
    is_kept = parts.with_flat_values(tf.strings.regex_full_match(flat, pattern))
    masked = parts.with_flat_values(tf.where(is_kept.flat_values, KEPT, flat))
    texts = tf.tensor_scatter_nd_update(text, rows, tf.strings.reduce_join(masked, axis=-1))
    kept = tf.ragged.boolean_mask(parts, is_kept)
    lengths = tf.scatter_nd(rows, kept.row_lengths(), tf.shape(text, out_type=tf.int64))
    return Masked(
        texts, tf.RaggedTensor.from_row_lengths(kept.flat_values, lengths, validate=False)
    )


def count_kept(texts: tf.Tensor) -> tf.Tensor:
    """How many `KEPT` each text has, int32 of the shape of the texts."""
    others = tf.strings.regex_replace(texts, f"[^{KEPT}]+", "")
    return tf.strings.length(others) // len(KEPT.encode())


def fill(texts: tf.Tensor, kept: tf.RaggedTensor) -> tf.Tensor:
    """Puts strings in place of `KEPT`.

    Args:
        texts: strings ``(batch,)``.
        kept: the strings of each text in order, ``(batch, None)``; nothing takes the place of a
            `KEPT` beyond them.
    """

    def filled():
        parts = tf.strings.split(texts, KEPT)
        rows, flat = parts.value_rowids(), parts.flat_values
        place = tf.range(tf.size(flat, out_type=tf.int64)) - tf.gather(parts.row_starts(), rows) - 1
        before = strings_at(kept, rows, place)
        return tf.strings.reduce_join(parts.with_flat_values(before + flat), axis=-1)

    return tf.cond(tf.reduce_any(count_kept(texts) > 0), filled, lambda: tf.identity(texts))


def strings_at(strings: tf.RaggedTensor, rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """The strings at places in rows, ``(n,)``; empty ones where a row has no such place.

    Args:
        strings: ``(batch, None)``.
        rows, places: int64 ``(n,)``.
    """
    there = (places >= 0) & (places < tf.gather(strings.row_lengths(), rows))
    flat_places = tf.where(there, tf.gather(strings.row_starts(), rows) + places, 0)
    flat = tf.concat([strings.flat_values, [""]], 0)  # there may be none
    return tf.where(there, tf.gather(flat, flat_places), "")


def part_words(text: tf.Tensor) -> tf.Tensor:
    """Makes each `KEPT` a word of its own, with `JOIN` as a word towards what it touches."""
    for _ in range(2):  # again: neighbours share a character
        text = tf.strings.regex_replace(text, rf"([^\s])({KEPT})", rf"\1 {JOIN} \2")
    for _ in range(2):
        text = tf.strings.regex_replace(text, rf"({KEPT})([^\s])", rf"\1 {JOIN} \2")
    return text


def join_words(text: tf.Tensor) -> tf.Tensor:
    """The inverse of `part_words`."""
    return tf.strings.regex_replace(text, rf"\s*{JOIN}\s*", "")


_SHARED_WORD = re.compile(r"[^\W_](?:[\w.-]*[^\W_])?")
_FEWEST_LETTERS = 4


class MaskedPair(NamedTuple):
    """A pair of texts with `KEPT` in place of what both have.

    Attributes:
        source, target: the texts.
        source_slots, target_slots: numbers of the placeholders, in the order of each text.
        source_kept, target_kept: what they stand for, likewise.
        annotated: the source with the translations of terms beside them, if it has some.
    """

    source: str
    target: str
    source_slots: list[int]
    target_slots: list[int]
    source_kept: Sequence[str] = ()
    target_kept: Sequence[str] = ()
    annotated: str | None = None


def mask_pair(
    source: tuple[str, Sequence[str]],
    target: tuple[str, Sequence[str]],
    count: int,
    *,
    first: int = 0,
    shared_word: float | None = None,
) -> MaskedPair:
    """Numbers what both sides of a pair keep; what one of them has alone stays as text.

    Args:
        source, target: a text with `KEPT`, and what that stands for, in order.
        count: number of placeholders of the vocabulary.
        first: number of the placeholder of the first of the source; the others follow.
        shared_word: if given, which of the words that both sides have is replaced too, from 0 to
            1, so that a model learns to copy from a corpus without placeholders.
    """
    if not (source[1] or target[1] or shared_word is not None):  # as most
        return MaskedPair(source[0], target[0], [], [])
    partners = _partners(source[1], target[1])
    matched = [place for place, partner in enumerate(partners) if partner is not None][:count]
    numbers = {place: (first + used) % count for used, place in enumerate(matched)}
    of_source = [numbers.get(place) for place in range(len(source[1]))]
    of_target: list[int | None] = [None] * len(target[1])
    for place, number in numbers.items():
        of_target[partners[place]] = number
    texts = [_partly_filled(source, of_source), _partly_filled(target, of_target)]
    slots = [[n for n in side if n is not None] for side in (of_source, of_target)]
    kept = [
        [string for string, number in zip(strings, side, strict=True) if number is not None]
        for strings, side in ((source[1], of_source), (target[1], of_target))
    ]
    if shared_word is not None and len(matched) < count:
        word = _word_of_both(*texts, shared_word)
        for i, text in enumerate(texts if word else ()):
            at = text.index(word)
            texts[i] = text[:at] + KEPT + text[at + len(word) :]
            before = text.count(KEPT, 0, at)
            slots[i].insert(before, (first + len(matched)) % count)
            kept[i].insert(before, word)
    return MaskedPair(*texts, *slots, *kept)


def filled(text: str, kept: Sequence[str]) -> str:
    """A masked text with what it keeps put back; see `fill` for many.

    Args:
        text: with `KEPT`.
        kept: what that stands for, in order.
    """
    return _partly_filled((text, kept), [None] * len(kept))


def mask_like(
    target: tuple[str, Sequence[str]], kept: Sequence[str], count: int
) -> tuple[str, list[int]]:
    """A text whose placeholders have the numbers of those of a source.

    Args:
        target: a text with `KEPT`, and what that stands for, in order.
        kept: what the placeholders of the source stand for, by their numbers.
        count: number of placeholders of the vocabulary.

    Returns:
        the text, and the numbers of its placeholders; what the source does not have stays as text.
    """
    numbers: list[int | None] = [None] * len(target[1])
    for number, place in enumerate(_partners(kept[:count], target[1])):
        if place is not None:
            numbers[place] = number
    return _partly_filled(target, numbers), [n for n in numbers if n is not None]


def _partners(source: Sequence[str], target: Sequence[str]) -> list[int | None]:
    """For each string of a source the place of its equal in the target, which serves once."""
    waiting: list[str | None] = list(target)
    partners: list[int | None] = []
    for string in source:
        partners.append(waiting.index(string) if string in waiting else None)
        if partners[-1] is not None:
            waiting[partners[-1]] = None
    return partners


def _partly_filled(masked: tuple[str, Sequence[str]], slots: Sequence[int | None]) -> str:
    """A masked text with what has no number put back."""
    text, kept = masked
    if not kept:
        return text
    first, *rest = text.split(KEPT)
    parts = [first]
    for string, slot, after in zip(kept, slots, rest, strict=True):
        parts += [_without_private(string) if slot is None else KEPT, after]
    return "".join(parts)


def _without_private(string: str) -> str:
    return string.replace(KEPT, "\ufffd").replace(JOIN, "\ufffd")


def _word_of_both(source: str, target: str, choice: float) -> str | None:
    """A word that stands once in both texts and looks like a name, if there is one."""

    def words(text: str) -> list[str]:
        return [word for word in _SHARED_WORD.findall(text) if len(word) >= _FEWEST_LETTERS]

    cased = target != target.lower()
    both = set(words(source)) & set(words(target))
    both = sorted(
        word
        for word in both
        if source.count(word) == target.count(word) == 1 and not (cased and word == word.lower())
    )
    return both[min(int(choice * len(both)), len(both) - 1)] if both else None
