"""Words of a text, and which of its characters a token stands for."""

import bisect
import re
import unicodedata
from collections.abc import Sequence

from keras_transformer.data.text.scripts import UNSPACED

Span = tuple[int, int]

_WORD = re.compile(rf"{UNSPACED.pattern}|(?:(?!{UNSPACED.pattern})\S)+")

_SKIPPED = 4
"""Most characters that no token is found for, where all tokens so far were found."""

_SKIPPED_FOR_TOKEN = 40
"""How many more there may be for each token that was not found."""


def word_spans(text: str) -> list[Span]:
    """Where the words of a text begin and end.

    White space parts words, as in files of alignments in Pharaoh's format; of a script without
    spaces, each character is one.
    """
    return [match.span() for match in _WORD.finditer(text)]


def token_spans(text: str, surfaces: Sequence[str | None]) -> list[Span | None]:
    """Which characters of a text each of its tokens stands for.

    Texts are normalised before they are tokenised, and put together by rules afterwards. So tokens
    are found one after another, whatever white space, capitals, accents and compatible signs there
    are; characters that no token is found for are left out, a few at a time.

    Args:
        text: what was tokenised, or what tokens were written as.
        surfaces: what the tokens say, in order; ``None`` for one that says nothing known.

    Returns:
        for each token where its characters begin and end; ``None`` where they are not found.
    """
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for part in _folded(character):
            characters.append(part)
            places.append(place)
    folded = "".join(characters)
    spans: list[Span | None] = []
    at, room = 0, _SKIPPED
    for surface in surfaces:
        wanted = _folded(surface or "")
        found = folded.find(wanted, at, at + room + len(wanted)) if wanted else -1
        if found < 0:
            spans.append(None)
            room += _SKIPPED_FOR_TOKEN if surface != "" else 0
            continue
        at, room = found + len(wanted), _SKIPPED
        spans.append((places[found], places[at - 1] + 1))
    return spans


def words_at(spans: Sequence[Span | None], words: Sequence[Span]) -> list[range]:
    """The numbers of the words that each stretch of a text touches.

    Args:
        spans: of a text; nothing is touched by ``None``.
        words: its `word_spans`.
    """
    starts, ends = [start for start, _ in words], [end for _, end in words]
    return [
        range(bisect.bisect_right(ends, span[0]), bisect.bisect_left(starts, span[1]))
        if span
        else range(0)
        for span in spans
    ]


def _folded(text: str) -> str:
    """A text without white space, accents, capitals and other forms of letters."""
    if text.isascii():
        return "".join(text.lower().split())
    parts = unicodedata.normalize("NFKD", text).casefold()
    return "".join(
        part for part in parts if not part.isspace() and unicodedata.category(part) != "Mn"
    )
