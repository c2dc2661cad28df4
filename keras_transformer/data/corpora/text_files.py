"""Corpora of plain text, a text a line, for models of one language; and reading lines."""

import codecs
import csv
import gzip
import zlib
from pathlib import Path

from keras_transformer.data.corpora.corpus import Corpus, guess_normalization
from keras_transformer.data.corpora.held_out import hold_out
from keras_transformer.errors import InputError

_MOST_PACKED = 200  # times that text becomes smaller
_ALWAYS_UNPACKED = 2**26  # bytes

TEXT = "text:"
"""What the name of a corpus of one language begins with."""


def load_text_files(name: str) -> Corpus:
    """Loads texts as pairs with an empty source.

    Args:
        name: `text:FILE`, which gives up a validation part, or `text:TRAIN,VALIDATION`.
    """
    paths = parted(name.removeprefix(TEXT))
    if not all(paths) or len(paths) > 2:
        raise InputError(f"{name!r} names no text: give text:FILE or text:TRAIN,VALIDATION")
    files = [[line for line in read_lines(expanded(path)) if line.strip()] for path in paths]
    train, validation = files if len(files) == 2 else hold_out(files[0], text_of=str)
    return Corpus.from_pairs(
        name,
        {
            "train": [("", text) for text in train],
            "validation": [("", text) for text in validation],
        },
        source_language="text",
        target_language="text",
        normalization=guess_normalization([(text,) for text in train]),
        licence="As the file's owner says.",
        remedy="name a file of more lines",
    )


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


def read_lines(path: str | Path) -> list[str]:
    """Reads the lines of a UTF-8 file, plain or `.gz`, without byte order mark and line ends.

    Only newline characters end a line, and a carriage return before one is dropped; in a file
    without any, carriage returns end the lines.

    Raises:
        InputError: when the file is missing, unreadable, empty or not UTF-8.
    """
    path = Path(path)
    try:
        data = _unpacked(path) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: check the path") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: not a complete gzip file ({error}): compress it again or give the plain file"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}): give a readable file"
        ) from None
    if encoding := _wide_encoding(data):
        raise _is_wide(path, encoding)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Text without Latin letters has few zeros, but each line ends with one.
        for end, encoding in ((b"\n\0", "utf-16le"), (b"\0\n", "utf-16be")):
            if data.find(end) % 2 == 0:
                raise _is_wide(path, encoding) from None
        # The codec reports offsets behind the mark, if there is one.
        number = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {number}: byte 0x{error.object[error.start]:02x} is not UTF-8: "
            "convert the file, for example with iconv -f latin1 -t utf-8"
        ) from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty: give a file with one sentence per line")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def _unpacked(path: Path) -> bytes:
    most = max(_MOST_PACKED * path.stat().st_size, _ALWAYS_UNPACKED)
    with gzip.open(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(
            f"{path}: is no text: it unpacks to more than {_MOST_PACKED} times its size; give a "
            "file with one sentence per line"
        )
    return data


def _is_wide(path: Path, encoding: str) -> InputError:
    return InputError(
        f"{path}: is {encoding.upper()}, not UTF-8: convert it with iconv -f {encoding} -t utf-8"
    )


def _wide_encoding(data: bytes) -> str | None:
    """The encoding of text in units of 2 or 4 bytes; ``None`` for others.

    It begins with a byte order mark, or half of its bytes or more, the high ones, are 0.
    """
    marks = {
        codecs.BOM_UTF32_LE: "utf-32",
        codecs.BOM_UTF32_BE: "utf-32",
        codecs.BOM_UTF16_LE: "utf-16",
        codecs.BOM_UTF16_BE: "utf-16",
    }
    for mark, encoding in marks.items():
        if data.startswith(mark):
            return encoding
    start = data[:4096]
    if start.count(0) < 0.3 * len(start) or not start:
        return None
    return "utf-16le" if start[1::2].count(0) > start[::2].count(0) else "utf-16be"
