"""A translation, and what all translators share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np


@dataclass(frozen=True)
class Translation:
    """One translated text.

    Attributes:
        text: the translation.
        score: sum of the logarithmic probabilities of its tokens.
        tokens: its tokens, start and end included; ``None`` unless attention or scores of tokens
            were asked for.
        source_tokens: tokens of the text, start and end included; likewise.
        attention: cross-attention weights of the last layer, ``(heads, tokens - 1, source)``;
            ``None`` unless asked for, and for a text that was translated in pieces.
        token_scores: logarithmic probability of each token after the start; as for `tokens`.
        normalized_score: the score divided by the length penalty, which alternatives are ordered
            by; ``None`` from an exported model.
        alternatives: the ``n_best`` translations, this one first; ``None`` where one was asked
            for.
    """

    text: str
    score: float
    tokens: list[str] | None = None
    source_tokens: list[str] | None = None
    attention: np.ndarray | None = None
    token_scores: list[float] | None = None
    normalized_score: float | None = None
    alternatives: list[Translation] | None = None


def joined(pieces: list[list[Translation]]) -> list[Translation]:
    """The alternatives of a text from those of its pieces, as many as every piece has."""
    if len(pieces) == 1:
        return pieces[0]
    return [
        Translation(
            " ".join(part.text for part in parts if part.text),
            sum(part.score for part in parts),
            normalized_score=sum(part.normalized_score for part in parts),
            **{
                name: list(chain.from_iterable(getattr(part, name) for part in parts))
                for name in ("tokens", "source_tokens", "token_scores")
                if parts[0].tokens is not None
            },
        )
        for parts in zip(*pieces, strict=False)
    ]


def with_alternatives(translations: list[Translation], n_best: int) -> Translation:
    """The first, which holds all of them where several were asked for."""
    best = translations[0]
    return replace(best, alternatives=translations) if n_best > 1 else best


def utf8(text: str | bytes) -> bytes:
    """What TensorFlow takes; halves of surrogate pairs become question marks."""
    return text if isinstance(text, bytes) else text.encode("utf-8", errors="replace")


class TranslatesLines:
    """`translate_stream` for anything with `translate`."""

    def translate_stream(
        self, lines: Iterable[str], *, chunk=2048, **options
    ) -> Iterator[Translation]:
        """Translates without holding more than `chunk` texts.

        Args:
            lines: texts.
            chunk: how many are read ahead and translated together.
            options: as for `translate`.

        Yields:
            one `Translation` for each text, in order.
        """
        lines = iter(lines)
        while batch := list(islice(lines, chunk)):
            yield from self.translate(batch, **options)
