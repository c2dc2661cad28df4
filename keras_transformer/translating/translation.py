"""A translation, and what all translators share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from keras_transformer.data.tokenizers.token_links import TokenLinks, joined_links
from keras_transformer.errors import whole_number
from keras_transformer.translating.alignment import Link, word_links
from keras_transformer.translating.segmentation import Pieces
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
        alignment: which words of the text and of the translation belong together; ``None`` unless
            asked for.
        token_links: which tokens do; likewise.
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
    alignment: list[Link] | None = None
    token_links: TokenLinks | None = None
    normalized_score: float | None = None
    alternatives: list[Translation] | None = None


def join_pieces(
    found: Iterable[list[Translation]], pieces: Pieces, n_best: int
) -> list[Translation]:
    """Makes translations of texts from those of their pieces.

    Args:
        found: the alternatives of each piece, the best first.
        pieces: of the texts.
        n_best: how many translations of each text were asked for.
    """
    sentences = pieces.sentences
    of_sentences = [
        _joined(parts, " ")
        for parts in _grouped(found, pieces.owners.numpy(), len(sentences.owners))
    ]
    for i, gap in enumerate(sentences.gaps.numpy()):
        if gap:
            of_sentences[i] = [_with(other, before=gap.decode()) for other in of_sentences[i]]
    tails = sentences.tails.numpy()
    texts = []
    grouped = _grouped(of_sentences, sentences.owners.numpy(), len(tails))
    for parts, tail in zip(grouped, tails, strict=True):
        joined = _joined(parts, "")
        if tail:
            joined = [_with(other, after=tail.decode()) for other in joined]
        texts.append(with_alternatives(joined, n_best))
    return texts


def _grouped(items: Iterable, owners: Iterable[int], count: int) -> list[list]:
    groups: list[list] = [[] for _ in range(count)]
    for owner, item in zip(owners, items, strict=True):
        groups[owner].append(item)
    return groups


def _with(translation: Translation, *, before: str = "", after: str = "") -> Translation:
    return replace(translation, text=f"{before}{translation.text}{after}")


def _joined(pieces: list[list[Translation]], separator: str) -> list[Translation]:
    """The alternatives of a whole from those of its pieces, as many as every piece has."""
    if len(pieces) == 1:
        return pieces[0]
    return [
        Translation(
            separator.join(part.text for part in parts if part.text),
            sum(part.score for part in parts),
            normalized_score=sum(part.normalized_score for part in parts),
            **{
                name: list(chain.from_iterable(getattr(part, name) for part in parts))
                for name in ("tokens", "source_tokens", "token_scores")
                if parts[0].tokens is not None
            },
            token_links=joined_links([part.token_links for part in parts])
            if parts[0].token_links is not None
            else None,
        )
        for parts in zip(*pieces, strict=False)
    ]


def aligned(lines: Sequence[bytes], translations: list[Translation]) -> list[Translation]:
    """Translations with the links of their words, from those of their tokens.

    Args:
        lines: the texts.
        translations: of them, with `token_links`.
    """
    found = []
    for line, translation in zip(lines, translations, strict=True):
        text = line.decode("utf-8", "replace")
        of_each = [
            replace(other, alignment=word_links(text, other.text, other.token_links))
            for other in translation.alternatives or [translation]
        ]
        found.append(with_alternatives(of_each, 2 if translation.alternatives else 1))
    return found


def with_alternatives(found: list, n_best: int):
    """The best translation, with all of them as its alternatives where several were asked for.

    Args:
        found: translations, or `Generation`, the best first.
        n_best: how many were asked for.
    """
    return replace(found[0], alternatives=found) if n_best > 1 else found[0]


def _without_line_end(text: str | bytes) -> str | bytes:
    """A text without the line end that ends it, if that is its only one."""
    lines = text.splitlines()
    return lines[0] if len(lines) == 1 else text


class BaseTranslator:
    """Base class of the translators, which have `translate`: adds `translate_stream`.

    Attributes:
        takes_first_stream: whether `translate` takes `first_stream`.
        examples: texts to try the translator with; there may be none.
    """

    takes_first_stream = False
    examples: list[str]

    def can_align(self, **options) -> bool:
        """Whether `translate` takes ``alignment=True`` beside these options of it."""
        return False

    def translate_stream(
        self, lines: Iterable[str], *, chunk=2048, target_prefix=None, **options
    ) -> Iterator[Translation]:
        """Translates without holding more than `chunk` texts; see `translate`.

        Args:
            lines: texts; of one that is a line of a file, the line end is left out.
            chunk: how many are read ahead and translated together.
            target_prefix: for each text what its translation begins with.
            options: as for `translate`.

        Yields:
            one `Translation` for each text, in order.

        Raises:
            InputError: for what `translate` refuses, and for a chunk without room for a text.
        """
        chunk = min(whole_number("chunk", chunk), sys.maxsize)
        lines = map(_without_line_end, each_text(lines, "lines"))
        prefixes = None if target_prefix is None else each_text(target_prefix, "target_prefix")
        first = 0
        while batch := list(islice(lines, chunk)):
            if prefixes is not None:
                options["target_prefix"] = list(islice(prefixes, len(batch)))
            if self.takes_first_stream:
                options["first_stream"] = first
            yield from self.translate(batch, **options)
            first += len(batch)
