"""Which tokens of a text and of its translation belong together, and what stretches of both do."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from keras_transformer.data.text.scripts import UNSPACED
from keras_transformer.data.text.words import Span, token_spans, words_at
from keras_transformer.data.tokenizers.surfaces import BESIDE, surfaces

NONE = -1
"""In place of a source token where there is none."""

_PART = re.compile(rf"{UNSPACED.pattern}|(?:(?!{UNSPACED.pattern})\w)+|\S")
_FEWEST_LETTERS = 4  # of a small word that is the same in both languages by no accident


class TokenLinks(NamedTuple):
    """Tokens of a source and of its translation, and which of them belong together.

    Attributes:
        source, target: what the tokens say; see `surfaces`.
        places: for each target token the number of its source token, from 0, or `NONE`.
        weights: of attention, for each target token.
    """

    source: list[str | None]
    target: list[str | None]
    places: list[int]
    weights: list[float]


class SpanLink(NamedTuple):
    """A part of a translation, and the part of the source that it stands for.

    Attributes:
        source: where that begins and ends in the source; ``None`` for a part that stands for none.
        target: where it begins and ends in the translation.
        weight: of the link, 0 to 1.
    """

    source: Span | None
    target: Span
    weight: float


def joined_links(parts: Sequence[TokenLinks]) -> TokenLinks:
    """The links of a text from those of its pieces."""
    source, target, places, weights = [], [], [], []
    for part in parts:
        places += [place if place == NONE else len(source) + place for place in part.places]
        source += part.source
        target += part.target
        weights += part.weights
    return TokenLinks(source, target, places, weights)


def links_of_row(source, target, places, weights) -> TokenLinks:
    """The links of a row of tensors.

    Args:
        source, target: names of the tokens, bytes, with what placeholders stand for in their place.
        places: for each target token the number of its source token, from 0, or `NONE`.
        weights: of attention, likewise.
    """
    return TokenLinks(
        surfaces([name.decode("utf-8", "replace") for name in source], {}),
        surfaces([name.decode("utf-8", "replace") for name in target], {}),
        [int(place) for place in places[: len(target)]],
        [float(weight) for weight in weights[: len(target)]],
    )


def spans_of_tokens(text: str, says: Sequence[str | None]) -> list[Span | None]:
    """`token_spans`; marks have those of the token that follows, what stands beside a term those of
    the term's last."""
    spans = token_spans(text, ["" if one == BESIDE else one for one in says])
    for i in range(1, len(spans)):
        if says[i] == BESIDE:
            spans[i] = spans[i - 1]
    for i in range(len(spans) - 2, -1, -1):
        if says[i] == "":
            spans[i] = spans[i + 1]
    return spans


def part_spans(text: str) -> list[Span]:
    """Where the parts of a text begin and end: runs of letters and digits, and each other sign.

    Of a script without spaces, each character is one.
    """
    return [match.span() for match in _PART.finditer(text)]


def span_links(source: str, target: str, links: TokenLinks) -> list[SpanLink]:
    """The links of all parts of a translation, in order, by those of its tokens.

    A part is linked to the part of the source that most of its tokens belong to, by weight. A name,
    a number, a sign or a longer word that both sides have just once is linked to itself.

    Args:
        source, target: the texts.
        links: of their tokens.
    """
    sources, targets = part_spans(source), part_spans(target)
    of_source = words_at(spans_of_tokens(source, links.source), sources)
    of_target = words_at(spans_of_tokens(target, links.target), targets)
    shares: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    tokens: dict[int, int] = defaultdict(int)
    for parts, place, weight in zip(of_target, links.places, links.weights, strict=True):
        others = of_source[place] if place != NONE else ()
        for i, part in enumerate(parts):
            tokens[part] += 1
            if others:  # of a long token each part has its own
                shares[part][others[i * len(others) // len(parts)]] += weight
    same = _same_parts(source, sources, target, targets)
    found = []
    for part, span in enumerate(targets):
        if part in same:
            found.append(SpanLink(sources[same[part]], span, 1.0))
        elif of_part := shares.get(part):
            best = max(of_part, key=of_part.get)
            found.append(SpanLink(sources[best], span, min(1.0, of_part[best] / tokens[part])))
        else:
            found.append(SpanLink(None, span, 0.0))
    return found


def _same_parts(source: str, sources, target: str, targets) -> dict[int, int]:
    """Parts of a target that stand once on both sides, with those of the source."""

    def once(text, spans):
        words = [text[begin:end] for begin, end in spans]
        counts = Counter(words)
        return {word: place for place, word in enumerate(words) if counts[word] == 1}

    of_source = once(source, sources)
    return {
        place: of_source[word]
        for word, place in once(target, targets).items()
        if word in of_source and not _may_be_accident(word)
    }


def _may_be_accident(word: str) -> bool:
    return len(word) < _FEWEST_LETTERS and word.isalpha() and word == word.lower()
