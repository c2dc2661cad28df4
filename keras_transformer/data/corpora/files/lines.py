"""Lines of text files, read piece by piece."""

import codecs
from collections.abc import Iterator

from keras_transformer.data.corpora.files.opening import Location, OpenFile
from keras_transformer.errors import InputError

_PIECE = 2**20  # bytes


def read_lines(path: Location) -> list[str]:
    """Reads all lines of a text file, see `line_blocks`."""
    return [line for lines in line_blocks(path) for line in lines]


def line_blocks(path: Location) -> Iterator[list[str]]:
    """Reads the lines of a UTF-8 file, plain or packed, without byte order mark and line ends.

    Only newline characters end a line, and a carriage return before one is dropped; in a file
    without any, carriage returns end the lines.

    Yields:
        lists of some thousand lines.

    Raises:
        InputError: when the file is missing, unreadable, empty or not UTF-8.
    """
    lines_before, is_empty = 0, True
    for data in _pieces(path):
        text = _decode(path, data, lines_before)
        is_empty = is_empty and not text.strip()
        if lines_before == 0 and "\n" not in text:
            text = text.replace("\r", "\n")
        lines = text.removesuffix("\n").split("\n")
        lines_before += len(lines)
        yield [line.removesuffix("\r") for line in lines] if "\r" in text else lines
    if is_empty:
        raise InputError(f"{path}: the file is empty: give a file with one sentence per line")


def byte_lines(path: Location) -> Iterator[list[bytes]]:
    """`line_blocks`, of bytes that may be no UTF-8.

    Raises:
        InputError: when the file is missing, unreadable or in another encoding of Unicode.
    """
    for data in _pieces(path):
        if b"\n" not in data:
            data = data.replace(b"\r", b"\n")
        lines = data.removesuffix(b"\n").split(b"\n")
        yield [line.removesuffix(b"\r") for line in lines] if b"\r" in data else lines


def numbered_blocks(path: Location) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file but for blank ones at its end.

    Yields:
        the number of a line, from 1, and a list of lines from there.

    Raises:
        InputError: as from `line_blocks`.
    """
    number, blanks = 1, []
    for lines in line_blocks(path):
        full = len(lines)
        while full and not lines[full - 1].strip():
            full -= 1
        if full:
            yield number, blanks + lines[:full]
            number += len(blanks) + full
            blanks = []
        blanks += lines[full:]


def _pieces(path: Location) -> Iterator[bytes]:
    """A file in pieces of whole lines, without byte order mark."""
    begun: list[bytes] = []  # the line that goes on
    with OpenFile(path) as file:
        data = file.read(_PIECE)
        if encoding := _wide_encoding(data):
            raise _is_wide(path, encoding)
        data = data.removeprefix(codecs.BOM_UTF8)
        while data:
            if end := data.rfind(b"\n") + 1:
                yield b"".join([*begun, data[:end]])
                begun = [data[end:]]
            else:
                begun.append(data)
            data = file.read(_PIECE)
    if rest := b"".join(begun):
        yield rest


def _decode(path: Location, data: bytes, lines_before: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # Text without Latin letters has few zeros, but each line ends with one.
        for end, encoding in ((b"\n\0", "utf-16le"), (b"\0\n", "utf-16be")):
            if not lines_before and data.find(end) % 2 == 0:
                raise _is_wide(path, encoding) from None
        number = lines_before + data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {number}: byte 0x{data[error.start]:02x} is not UTF-8: "
            "convert the file, for example with iconv -f latin1 -t utf-8"
        ) from None


def _is_wide(path: Location, encoding: str) -> InputError:
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
