"""A translation, and what all translators share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from keras_transformer.errors import whole_number
from keras_transformer.unicode import each_text


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
            ``None`` unless asked for, and for a text that was translated in pieces; an exported
            model gives tokens and weights of the first piece then.
        token_scores: logarithmic probability of each token after the start; as for `tokens`.
        normalized_score: the score divided by the length penalty; alternatives are in its order;
            ``None`` from an exported model that searched as it was exported.
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


def join_pieces(
    pieces: Iterable[list[Translation]], owners: Iterable[int], count: int, n_best: int
) -> list[Translation]:
    """Makes translations of texts from those of their pieces.

    Args:
        pieces: the alternatives of each piece, the best first.
        owners: the number of the text that each piece belongs to.
        count: number of texts.
        n_best: how many translations of each text were asked for.
    """
    texts: list[list[list[Translation]]] = [[] for _ in range(count)]
    for owner, alternatives in zip(owners, pieces, strict=True):
        texts[owner].append(alternatives)
    return [with_alternatives(_joined(own_pieces), n_best) for own_pieces in texts]


def _joined(pieces: list[list[Translation]]) -> list[Translation]:
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


def with_alternatives(found: list, n_best: int):
    """The best translation, with all of them as its alternatives where several were asked for.

    Args:
        found: translations, or `Generation`, the best first.
        n_best: how many were asked for.
    """
    return replace(found[0], alternatives=found) if n_best > 1 else found[0]


class BaseTranslator:
    """Base class of the translators, which have `translate`: adds `translate_stream`.

    Attributes:
        takes_first_stream: whether `translate` takes `first_stream`.
    """

    takes_first_stream = False

    def translate_stream(
        self, lines: Iterable[str], *, chunk=2048, target_prefix=None, **options
    ) -> Iterator[Translation]:
        """Translates without holding more than `chunk` texts; see `translate`.

        Args:
            lines: texts.
            chunk: how many are read ahead and translated together.
            target_prefix: for each text what its translation begins with.
            options: as for `translate`.

        Yields:
            one `Translation` for each text, in order.

        Raises:
            InputError: for what `translate` refuses, and for a chunk without room for a text.
        """
        chunk = min(whole_number("chunk", chunk), sys.maxsize)
        lines = each_text(lines, "lines")
        prefixes = None if target_prefix is None else each_text(target_prefix, "target_prefix")
        first = 0
        while batch := list(islice(lines, chunk)):
            if prefixes is not None:
                options["target_prefix"] = list(islice(prefixes, len(batch)))
            if self.takes_first_stream:
                options["first_stream"] = first
            yield from self.translate(batch, **options)
            first += len(batch)
