"""Texts of files in shards, and shards of translations as files.

A shard is some neighbouring texts of one file. Its name follows from the numbers of both, so that a
command that is given again finds what is done. A text that cannot be read fails alone.
"""

import glob
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from keras_transformer.data.corpora.files.lines import byte_lines
from keras_transformer.data.corpora.files.names import kind_of
from keras_transformer.data.corpora.files.opening import (
    Location,
    is_remote,
    matches,
    missing_package,
    write_location,
)
from keras_transformer.data.corpora.files.parquet import parquet_records
from keras_transformer.errors import InputError
from keras_transformer.files import parse_json

FORMATS = {"text": ".txt", "tsv": ".tsv", "jsonl": ".jsonl", "parquet": ".parquet"}
"""Formats of translations, and the endings of their files."""

FAILED = ".failed.jsonl"
"""The ending of files of texts that could not be translated."""

TRANSLATION = "translation"
"""The key of a translation in records."""


class Failure(NamedTuple):
    """A text that could not be translated.

    Attributes:
        line: number of its line or row in its file, from 1.
        text: what stands there; U+FFFD for bytes that are no UTF-8.
        problem: what went wrong.
    """

    line: int
    text: str
    problem: str


@dataclass(frozen=True)
class Shard:
    """Some neighbouring texts of a file.

    Attributes:
        file: number of the file, from 0.
        number: of the shard in the file, from 0.
        path: of the file.
        first: number of texts of the file before it.
        texts: its texts; an empty one in place of one that failed.
        records: of JSON lines and Parquet what else belongs to each text.
        failures: texts that could not be read.
    """

    file: int
    number: int
    path: str
    first: int
    texts: Sequence[str]
    records: Sequence[dict[str, Any]] | None
    failures: Sequence[Failure]

    @property
    def name(self) -> str:
        """What the names of its files have in common; in their order the texts have theirs."""
        return f"-{self.file:05d}-{self.number:06d}"


def read_shards(file: int, path: Location, size: int, key: str) -> Iterator[Shard]:
    """Reads the texts of a file.

    Args:
        file: number of the file.
        path: UTF-8 text, a text a line; JSON lines or Parquet; packed or not.
        size: most texts of a shard.
        key: of the text in the records of JSON lines and Parquet.

    Raises:
        InputError: when the file is missing or unreadable, and for one of pairs.
    """
    kind = kind_of(path)
    if kind in (".tsv", ".tmx"):
        raise InputError(f"{path}: holds pairs: give texts, a line each, or as .jsonl or .parquet")
    raws = parquet_records(path) if kind == ".parquet" else itertools.chain(*byte_lines(path))
    for number in itertools.count():
        read = list(itertools.islice(raws, size))
        if not read:
            return
        first = number * size
        found = [_parsed(raw, kind, key) for raw in read]
        failures = [
            Failure(line, _shown(raw), problem)
            for line, (raw, (_, _, problem)) in enumerate(zip(read, found, strict=True), first + 1)
            if problem
        ]
        texts = [text for text, _, _ in found]
        records = [record for _, record, _ in found] if kind else None
        yield Shard(file, number, str(path), first, texts, records, failures)


def _parsed(raw: bytes | dict[str, Any], kind: str, key: str) -> tuple[str, dict[str, Any], str]:
    """The text of a line or record, the record, and what is wrong with it, if something is."""
    record: Any = {}
    try:
        if not kind:
            return raw.decode("utf-8"), record, ""
        record = raw if isinstance(raw, dict) else parse_json(raw.decode("utf-8"))
    except ValueError as error:
        return "", {}, str(error)
    if not isinstance(record, dict):
        return "", {}, "no JSON object"
    text = record.get(key)
    return (text, record, "") if isinstance(text, str) else ("", record, f"no text under {key!r}")


def _shown(read: bytes | dict[str, Any]) -> str:
    if isinstance(read, bytes):
        return read.decode("utf-8", "replace")
    return json.dumps(read, ensure_ascii=False, default=str)


def write_shard(
    prefix: Location,
    form: str,
    shard: Shard,
    translations: Sequence[str | None],
    failures: Sequence[Failure],
) -> None:
    """Writes the translations of a shard, and last what failed in one file beside them.

    Args:
        prefix: what the names of all files begin with, a path or an address.
        form: one of `FORMATS`.
        shard: of the texts.
        translations: of its texts; ``None`` for one that failed, which leaves an empty line where
            line N is the translation of line N, and nothing otherwise.
        failures: all of them.
    """
    if failures:
        lines = [
            json.dumps({"file": shard.path, **failure._asdict()}, ensure_ascii=False)
            for failure in failures
        ]
        write_location(f"{prefix}{shard.name}{FAILED}", _encoded(lines))
    content = _content(form, shard, translations)
    write_location(f"{prefix}{shard.name}{FORMATS[form]}", content)


def _content(form: str, shard: Shard, translations: Sequence[str | None]) -> bytes:
    if form == "text":
        return _encoded(_one_line(translation or "") for translation in translations)
    records = shard.records or [{"text": text} for text in shard.texts]
    done = [
        (text, {**record, TRANSLATION: translation})
        for text, record, translation in zip(shard.texts, records, translations, strict=True)
        if translation is not None
    ]
    if form == "tsv":
        return _encoded(
            f"{_one_line(text)}\t{_one_line(record[TRANSLATION])}" for text, record in done
        )
    if form == "jsonl":
        return _encoded(json.dumps(record, ensure_ascii=False, default=str) for _, record in done)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_package(f"*{FORMATS[form]}", "pyarrow", "files") from None
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([record for _, record in done]), file)
    return file.getvalue()


def _encoded(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def _one_line(text: str) -> str:
    return " ".join(text.split()) if any(mark in text for mark in "\n\r\t") else text


def finished_shards(prefix: Location, form: str, file: int) -> set[str]:
    """The names of the shards of a file that are written.

    Args:
        prefix, form: as for `write_shard`.
        file: number of the file.
    """
    ending = FORMATS[form]
    pattern = f"{glob.escape(str(prefix))}-{file:05d}-*{ending}"
    found = matches(pattern if is_remote(prefix) else Path(pattern))
    stems = (PurePosixPath(path).name.removesuffix(ending) for path in found)
    return {"".join(f"-{number}" for number in stem.rsplit("-", 2)[1:]) for stem in stems}
