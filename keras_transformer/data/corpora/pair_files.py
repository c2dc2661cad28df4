"""Corpora of files: line N of one translates line N of the other, or one holds both sides."""

import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from keras_transformer.data.corpora.corpus import (
    UNKNOWN_LANGUAGE,
    Corpus,
    Pair,
    dataset_of,
    guess_normalization,
)
from keras_transformer.data.corpora.files.codes import guess_languages
from keras_transformer.data.corpora.files.json_lines import json_keys, json_pairs
from keras_transformer.data.corpora.files.keys import Languages
from keras_transformer.data.corpora.files.names import TABLES, find_files, kind_of, parted
from keras_transformer.data.corpora.files.opening import Location
from keras_transformer.data.corpora.files.parquet import parquet_keys, parquet_pairs
from keras_transformer.data.corpora.files.stream import PairStream, some_rows
from keras_transformer.data.corpora.files.tables import Block, aligned_blocks, table_blocks
from keras_transformer.data.corpora.files.tmx import tmx_languages, tmx_pairs
from keras_transformer.errors import InputError

FilesOfPairs = tuple[Location, ...]
"""A file that holds both sides, or one of each side."""


def load_pair_files(
    name: str, *, hold_out_validation: bool, languages: Languages = (None, None)
) -> Corpus:
    """Loads a corpus of pair files, all of whose pairs are for training.

    Args:
        name: as for `pair_paths`.
        hold_out_validation: split a validation part off the pairs.
        languages: codes of the source and the target, where they are known.
    """
    files = pair_paths(name)
    found, stream = _open(files, languages)
    held = stream.check(held_out_by=0 if hold_out_validation else None)
    some = some_rows(stream.count)
    rows = stream.rows(np.union1d(some, held))
    state = f"{stream.state}; {found}, without {len(held)}" if stream.state else ""
    return Corpus(
        name,
        train=stream.dataset(without=held),
        validation=dataset_of([rows[number] for number in held.tolist()]),
        source_language=found[0],
        target_language=found[1],
        normalization=guess_normalization([rows[number] for number in some.tolist()]),
        train_files=state,
        licence="As the files' owner says.",
        remedy="name files for it with --validation-pairs SRC,TGT, "
        "or with --pairs SRC,TGT when evaluating",
    )


def read_pairs(spec: str, languages: Languages = (None, None)) -> list[Pair]:
    """Reads sentence pairs of files, as they stand there.

    Lines are UTF-8. Only the newline character ends a line (a carriage return before it is
    dropped), so Unicode line separators inside a sentence cannot shift the alignment. Blank lines
    at the end of both sides are no pairs.

    Args:
        spec: as for `pair_paths`.
        languages: codes of the source and the target, where they are known.

    Raises:
        InputError: for a missing, unreadable or empty file, undecodable bytes, files of different
          lengths, an empty side, or a table line without exactly two columns. The message names
          the file and the line.
    """
    _, stream = _open(pair_paths(spec), languages)
    return [pair for block in stream.blocks() for pair in zip(*block, strict=True)]


def pair_paths(spec: str) -> list[FilesOfPairs]:
    """The files of `SRC,TGT`, in pairs, or those of `FILE`, a table, JSON lines, Parquet or TMX.

    Names may have ``*``, ``?`` and ``[``; what matches is sorted by name, and the files of sources
    and targets belong together in this order. A name that has commas itself stands in double
    quotes: ``"a,b.pt","a,b.en"``.

    Args:
        spec: one of these forms, optionally with `pairs:` in front.

    Raises:
        InputError: when `spec` has neither form, or there are not as many files of both sides.
    """
    parts = parted(spec.removeprefix("pairs:"))
    sides = [find_files(part) for part in parts] if all(parts) and len(parts) <= 2 else []
    if len(sides) == 1 and all(map(kind_of, sides[0])):
        return [(path,) for path in sides[0]]
    if len(sides) != 2:
        raise InputError(
            f"pair files {spec!r} are neither two paths SRC,TGT nor one FILE.tsv (or "
            f"{', '.join(TABLES[1:])}): give line-aligned files as in train.pt,train.en"
        )
    for path in itertools.chain(*sides):
        if kind_of(path) in TABLES[1:]:
            raise InputError(f"{path}: holds both sides of its pairs: name it alone")
    if len(sides[0]) != len(sides[1]):
        raise InputError(
            f"{parts[0]} are {len(sides[0]):,} files but {parts[1]} are {len(sides[1]):,}: "
            "give as many of both sides"
        )
    return list(zip(*sides, strict=True))


def _open(files: Sequence[FilesOfPairs], wanted: Languages) -> tuple[tuple[str, str], PairStream]:
    """The languages and the pairs of files; those of JSON, Parquet and TMX may tell theirs."""
    guesses = {guess_languages(paths) for paths in files}
    guessed = guesses.pop() if len(guesses) == 1 else (UNKNOWN_LANGUAGE, UNKNOWN_LANGUAGE)
    if not any(wanted) and UNKNOWN_LANGUAGE not in guessed:
        wanted = guessed
    readers, told = [], set()
    for paths in files:
        languages, reader = _reader(paths, wanted)
        readers.append(reader)
        told.add(languages or guessed)
    languages = told.pop() if len(told) == 1 else guessed

    def read() -> Iterator[Block]:
        return itertools.chain.from_iterable(reader() for reader in readers)

    return languages, PairStream(itertools.chain(*files), read)


def _reader(paths: FilesOfPairs, wanted: Languages):
    """The languages that a file tells, if it does, and a function that reads its pairs."""
    if len(paths) == 2:
        return None, functools.partial(aligned_blocks, *paths)
    kind = kind_of(paths[0])
    if kind == ".jsonl":
        keys = json_keys(paths[0], wanted)
        return keys.languages(), functools.partial(json_pairs, paths[0], keys)
    if kind == ".parquet":
        keys = parquet_keys(paths[0], wanted)
        return keys.languages(), functools.partial(parquet_pairs, paths[0], keys)
    if kind == ".tmx":
        languages = tmx_languages(paths[0], wanted)
        only = not all(wanted)
        return languages, functools.partial(tmx_pairs, paths[0], languages, only=only)
    return None, functools.partial(table_blocks, paths[0])
