"""The names of files: how they are written in one line, and what they say of the files."""

import csv
import re
from pathlib import Path, PurePosixPath

from keras_transformer.data.corpora.files.opening import (
    PACKINGS,
    Location,
    exists,
    is_remote,
    matches,
)
from keras_transformer.errors import InputError

TABLES = (".tsv", ".jsonl", ".parquet", ".tmx")
"""The kinds of files that hold both sides of their pairs."""


def parted(names: str) -> list[str]:
    """The names between commas; one that has commas itself stands in double quotes.

    Raises:
        InputError: for what no files can be called.
    """
    try:
        row = next(csv.reader([names], skipinitialspace=True)) or [""]
    except csv.Error as error:
        raise InputError(f"{names!r} names no files: {error}") from error
    if "\0" in names:
        raise InputError(f"{names!r} names no files: no name has a NUL")
    return [part.strip() for part in row]


def expanded(path: str | Path) -> Path:
    """A path, with a ``~`` at its start as the folder of the user.

    Raises:
        InputError: for a user that there is not.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: names a user that is not known: write the folder out") from error


def find_files(name: str) -> list[Location]:
    """The files that a name stands for: one, or with ``*``, ``?`` or ``[`` all that match, sorted.

    Args:
        name: a path, or an address that fsspec opens, such as ``s3://bucket/train.tsv.gz``.

    Raises:
        InputError: when no file matches.
    """
    place = name if is_remote(name) else expanded(name)
    if not re.search(r"[*?[]", name) or exists(place):
        return [place]
    if not (found := matches(place)):
        raise InputError(f"{name}: no file matches: check the path")
    return found


def kind_of(path: Location) -> str:
    """One of `TABLES`, as the name of a file says, or the empty string for lines of text."""
    suffixes = PurePosixPath(path).suffixes
    while suffixes and suffixes[-1] in PACKINGS:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in TABLES else ""
