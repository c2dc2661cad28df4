"""Documents, each a list of consecutive sentences, and the pairs of sentences BERT learns from.

Sources: BERT (arXiv 1810.04805), section 3.1, task 2; ALBERT (arXiv 1909.11942), section 3.1.
"""

import itertools
import os
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_transformer.data.corpora import bible
from keras_transformer.data.corpora.files.lines import read_lines
from keras_transformer.data.corpora.held_out import stable_hash
from keras_transformer.errors import InputError

Document = list[str]

TOGETHER, APART = 0, 1
"""Labels of pairs, numbered as in the published models: the second sentence follows the first; or
it comes from another document, or the two are swapped."""


class SentencePair(NamedTuple):
    """Two sentences, and `TOGETHER` or `APART`."""

    first: str
    second: str
    label: int


def bible_documents(database: Path | None = None, *, version: str = bible.ENGLISH):
    """The chapters of one version of the Bible, whose sentences are verses.

    Args:
        database: the SQLite file; by default the one that pip installed.
        version: its key in the database.

    Returns:
        a list of documents in the order of the books.

    Raises:
        InputError: when the database is missing, unreadable or without the version.
    """
    chapters = bible.read_chapters(database or bible.find_database(), version, version)
    return [[verse for verse, _ in pairs] for pairs in chapters.values()]


def text_documents(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Document]:
    """Documents from files with one sentence a line and an empty line between documents.

    Args:
        paths: one or more UTF-8 files, plain or ``.gz``. A document ends with its file.

    Returns:
        the documents in their order, sentences without spaces around them.

    Raises:
        InputError: for a file that is missing, unreadable or empty, and for no file at all.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not paths:
        raise InputError("no files of documents were named: give at least one")
    documents = []
    for path in paths:
        lines = (line.strip() for line in read_lines(path))
        groups = itertools.groupby(lines, key=bool)
        documents += [list(sentences) for full, sentences in groups if full]
    return documents


def split_documents(documents: Sequence[Document], held_out: float = 0.05) -> dict:
    """Splits documents into three parts by a hash of their text: equal ones stay together.

    Args:
        documents: all documents.
        held_out: share of them for validation, and for test.

    Returns:
        ``"train"``, ``"validation"`` and ``"test"`` lists, each in the given order.

    Raises:
        InputError: for a share that leaves nothing to train on.
    """
    if not 0 <= held_out < 0.5:
        raise InputError(f"a share of documents to hold out is at least 0, below 0.5: {held_out}")
    parts: dict[str, list[Document]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        place = stable_hash("\n".join(document)) / 2**64
        name = "test" if place < held_out else "validation" if place < 2 * held_out else "train"
        parts[name].append(document)
    return parts


def next_sentence_pairs(documents: Sequence[Document], seed: int = 1) -> list[SentencePair]:
    """Makes the pairs of BERT's next sentence prediction.

    Each two consecutive sentences make one pair. In half of the pairs, rounded up, the two stay
    together; in the others the second is replaced by a random sentence of a random other document.

    Args:
        documents: at least two, whose order the pairs keep.
        seed: of the draws.

    Raises:
        InputError: when no two sentences are neighbours, or there is no other document.
    """
    draws = random.Random(seed)
    neighbours = _neighbours(documents)
    filled = [number for number, document in enumerate(documents) if document]
    if len(filled) < 2:
        raise InputError(
            "one document alone has no sentence from elsewhere: give more, with an empty line "
            "between them"
        )

    def random_sentence_except(number):
        other = draws.choice(filled)
        while other == number:
            other = draws.choice(filled)
        return draws.choice(documents[other])

    return [
        SentencePair(first, second if label == TOGETHER else random_sentence_except(number), label)
        for (number, first, second), label in zip(
            neighbours, _labels(len(neighbours), draws), strict=True
        )
    ]


def sentence_order_pairs(documents: Sequence[Document], seed: int = 1) -> list[SentencePair]:
    """Makes the pairs of ALBERT's sentence order prediction: consecutive sentences, half swapped.

    Args:
        documents: at least one with two sentences. The pairs keep their order.
        seed: of the draws of what is swapped, and labelled `APART`.

    Raises:
        InputError: when no two sentences are neighbours.
    """
    neighbours = _neighbours(documents)
    labels = _labels(len(neighbours), random.Random(seed))
    return [
        SentencePair(*((first, second) if label == TOGETHER else (second, first)), label)
        for (_, first, second), label in zip(neighbours, labels, strict=True)
    ]


def _neighbours(documents) -> list[tuple[int, str, str]]:
    """All two consecutive sentences, each with the number of their document."""
    neighbours = [
        (number, first, second)
        for number, document in enumerate(documents)
        for first, second in itertools.pairwise(document)
    ]
    if not neighbours:
        raise InputError(
            "no document has two sentences: give documents with one sentence a line and an empty "
            "line between them"
        )
    return neighbours


def _labels(number: int, draws: random.Random) -> list[int]:
    """Each label for half of the pairs, in random order."""
    labels = [TOGETHER, APART] * (number // 2) + [TOGETHER] * (number % 2)
    draws.shuffle(labels)
    return labels
