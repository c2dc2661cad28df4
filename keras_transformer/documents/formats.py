"""The formats by name, and documents of them read from files."""

import io
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from keras_transformer.documents.base import Document, Languages
from keras_transformer.documents.html import HtmlDocument, encoding_of
from keras_transformer.documents.po import CatalogueDocument
from keras_transformer.documents.srt import SubtitleDocument
from keras_transformer.documents.text import TextDocument
from keras_transformer.errors import InputError
from keras_transformer.files import file_error

_DOCUMENTS = {
    "text": TextDocument,
    "html": HtmlDocument,
    "srt": SubtitleDocument,
    "po": CatalogueDocument,
}
FORMATS = tuple(_DOCUMENTS)
"""The formats of documents."""

SUFFIXES = {
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".srt": "srt",
    ".po": "po",
    ".pot": "po",
}
"""Formats by the ends of files' names."""

_MARK = "\ufeff"


def format_of(path) -> str:
    """The format of a document by its name.

    Raises:
        InputError: for a name that tells none.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: its name tells no format (known are {', '.join(SUFFIXES)}): give the "
            f"format, {', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        )
    return SUFFIXES[suffix]


def check_format(format: str) -> None:
    """Raises `InputError` unless there is such a format."""
    if format not in _DOCUMENTS:
        raise InputError(
            f"A document's format is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; "
            f"got {format!r:.60}."
        )


def open_document(
    lines: Iterable[str],
    format: str,
    name: str,
    languages: Languages,
    *,
    everything: bool = False,
) -> tuple[str, Document]:
    """A document of a format.

    Args:
        lines: with their ends.
        format: of `FORMATS`.
        name: of the document, for errors.
        languages: of the translator.
        everything: of a catalogue, translate what has a translation, too.

    Returns:
        the byte order mark that it begins with, or the empty string, and the document without it.

    Raises:
        InputError: for another format, and for what is no document of this one.
    """
    check_format(format)
    lines = iter(lines)
    first = next(lines, "")
    marked = first.startswith(_MARK)
    lines = chain([first.removeprefix(_MARK)] if first.removeprefix(_MARK) else [], lines)
    more = {"everything": True} if everything and format == "po" else {}
    document = _DOCUMENTS[format](lines, name, languages, **more)
    return _MARK if marked else "", document


def lines_of(file: BinaryIO, name: str, format: str) -> tuple[str, Iterator[str]]:
    """The lines of a file in the encoding that documents of its format are in.

    Args:
        file: open for reading bytes; it stays open. A page is read whole at once.
        name: of the file, for errors.
        format: of `FORMATS`.

    Returns:
        the encoding, and the lines with their ends. These raise `InputError` for what is in
        another encoding or cannot be read.

    Raises:
        InputError: where a page cannot be read.
    """
    encoding = "utf-8"
    if format == "html":
        file = io.BytesIO(_read(file, name))
        encoding = encoding_of(file.getvalue()[:1024])
    return encoding, _lines(file, name, encoding, _DOCUMENTS[format].longest_line)


def _read(file: BinaryIO, name: str) -> bytes:
    try:
        return file.read()
    except OSError as error:
        raise file_error(name, "read", error) from error


def _lines(file: BinaryIO, name: str, encoding: str, longest: int) -> Iterator[str]:
    """The lines of a file with their ends.

    Args:
        file: open for reading bytes; it stays open.
        name: of the file, for errors.
        encoding: what it is in.
        longest: most characters of a line; longer ones come in pieces. -1 for any length.

    Raises:
        InputError: for what is in another encoding.
    """
    # Bytes that are none of the encoding are found in their line, not when they are read ahead.
    text = io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline="")
    number = 0
    try:
        while line := text.readline(longest):
            number += 1
            _check_line(line, f"{name}, line {number}", encoding)
            yield line
    except OSError as error:
        raise file_error(name, "read", error) from error
    finally:
        text.detach()


def _check_line(line: str, place: str, encoding: str) -> None:
    try:
        line.encode("utf-8")
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) & 0xFF
        other = "utf-16" if byte in (0xFE, 0xFF) else "latin1"
        raise InputError(
            f"{place}: byte 0x{byte:02x} is not {encoding.upper()}: convert the file, for example "
            f"with iconv -f {other} -t {encoding}."
        ) from None
    if "\0" in line:
        raise InputError(
            f"{place}: has a zero byte, which no text has: if the file is UTF-16, convert it with "
            "iconv -f utf-16 -t utf-8."
        )
