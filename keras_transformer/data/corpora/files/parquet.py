"""Pairs and texts in Parquet files, by columns."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from keras_transformer.data.corpora.files.keys import NESTED, Keys, Languages, find_keys
from keras_transformer.data.corpora.files.opening import Location, missing_package, open_raw
from keras_transformer.data.corpora.files.tables import Block, first_blank
from keras_transformer.errors import InputError

_ROWS = 8192


def parquet_keys(path: Location, wanted: Languages) -> Keys:
    """The columns of pairs.

    Raises:
        InputError: when there are none, and for a file that is wrong or missing.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        nested = [schema.field(NESTED).type] if NESTED in schema.names else []
        names = [kind.field(i).name for kind in nested for i in range(kind.num_fields)]
        return find_keys(f"{path}", schema.names, names, wanted)


def parquet_pairs(path: Location, keys: Keys) -> Iterator[Block]:
    """Reads the pairs, a part of a row group at a time.

    Raises:
        InputError: for a row with an empty side.
    """
    for row, (sources, targets) in _columns(path, keys[:2], keys.nested):
        for side, texts in zip(keys, (sources, targets), strict=False):
            if (blank := first_blank(texts)) is not None:
                raise _no_text(path, row + blank, side)
        yield sources, targets


def parquet_texts(path: Location) -> Iterator[list[str]]:
    """Reads the texts of the column `text`.

    Raises:
        InputError: when there is no such column, and for a row without a text.
    """
    with _opened(path) as file:
        names = file.schema_arrow.names
    if "text" not in names:
        listed = ", ".join(map(repr, names))
        raise InputError(f"{path}: no column 'text'; there are {listed}: rename one")
    for _, (texts,) in _columns(path, ["text"]):
        yield texts


def parquet_records(path: Location) -> Iterator[dict[str, Any]]:
    """Reads the rows, each with its columns by name."""
    with _opened(path) as file:
        for batch in file.iter_batches(_ROWS):
            yield from batch.to_pylist()


def _columns(
    path: Location, names: Sequence[str], nested: bool = False
) -> Iterator[tuple[int, list[list[str]]]]:
    """Columns of text in pieces, each with the number of its first row, from 1."""
    row = 1
    with _opened(path) as file:
        columns = [f"{NESTED}.{name}" for name in names] if nested else names
        for batch in file.iter_batches(_ROWS, columns=columns):
            group = batch.column(0) if nested else batch
            texts = [
                (group.field(name) if nested else group.column(name)).to_pylist() for name in names
            ]
            for name, column in zip(names, texts, strict=True):
                for i, text in enumerate(column):
                    if not isinstance(text, str):
                        raise _no_text(path, row + i, name)
            if len(batch):
                yield row, texts
            row += len(batch)
    if row == 1:
        raise InputError(f"{path}: the file is empty: give a file with a text in each row")


def _no_text(path: Location, row: int, name: str) -> InputError:
    return InputError(f"{path}, row {row}: no text in {name!r}: fill it or remove the row")


@contextlib.contextmanager
def _opened(path: Location) -> Iterator[Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_package(path, "pyarrow", "files") from None
    with open_raw(path) as raw:
        try:
            yield parquet.ParquetFile(raw)
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(
                f"{path}: not a complete Parquet file ({error}): write it again"
            ) from (None)
