"""Corpora of plain text, a text a line, for models of one language."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from keras_transformer.data.corpora.corpus import Corpus, dataset_of, guess_normalization
from keras_transformer.data.corpora.files.json_lines import json_texts
from keras_transformer.data.corpora.files.lines import line_blocks
from keras_transformer.data.corpora.files.names import find_files, kind_of, parted
from keras_transformer.data.corpora.files.opening import Location
from keras_transformer.data.corpora.files.parquet import parquet_texts
from keras_transformer.data.corpora.files.stream import PairStream, some_rows
from keras_transformer.data.corpora.files.tables import Block
from keras_transformer.errors import InputError

TEXT = "text:"
"""What the name of a corpus of one language begins with."""


def load_text_files(name: str) -> Corpus:
    """Loads texts as pairs with an empty source.

    Args:
        name: `text:FILE`, which gives up a validation part, or `text:TRAIN,VALIDATION`. JSON lines
            and Parquet hold texts under `text`.
    """
    parts = parted(name.removeprefix(TEXT))
    if not all(parts) or len(parts) > 2:
        raise InputError(f"{name!r} names no text: give text:FILE or text:TRAIN,VALIDATION")
    train, *others = [_open(find_files(part)) for part in parts]
    held = train.check(held_out_by=None if others else 1)
    some = some_rows(train.count, without=held)
    rows = train.rows(np.union1d(some, held))
    validation = dataset_of([rows[number] for number in held.tolist()])
    for stream in others:
        stream.check()
        validation = stream.dataset()
    return Corpus(
        name,
        train=train.dataset(without=held),
        validation=validation,
        source_language="text",
        target_language="text",
        normalization=guess_normalization([rows[number][1:] for number in some.tolist()]),
        licence="As the file's owner says.",
        remedy="name a file of more lines",
    )


def _open(paths: Sequence[Location]) -> PairStream:
    """The texts of files as targets of pairs; blank ones are none."""

    def read() -> Iterator[Block]:
        for block in itertools.chain.from_iterable(map(_blocks, paths)):
            texts = [text for text in block if text.strip()]
            yield [""] * len(texts), texts

    return PairStream(paths, read)


def _blocks(path: Location) -> Iterator[list[str]]:
    kind = kind_of(path)
    if kind == ".tmx":
        raise InputError(f"{path}: holds pairs, not texts: read it as pairs:{path}")
    if kind == ".jsonl":
        return json_texts(path)
    return parquet_texts(path) if kind == ".parquet" else line_blocks(path)
