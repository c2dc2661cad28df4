"""Pairs and texts in JSON lines: an object a line."""

from collections.abc import Callable, Iterator
from typing import Any

from keras_transformer.data.corpora.files.keys import NESTED, Keys, Languages, find_keys
from keras_transformer.data.corpora.files.lines import numbered_blocks
from keras_transformer.data.corpora.files.opening import Location
from keras_transformer.data.corpora.files.tables import Block, empty_side
from keras_transformer.errors import InputError
from keras_transformer.files import parse_json


def json_keys(path: Location, wanted: Languages) -> Keys:
    """The keys of pairs, from the first line.

    Raises:
        InputError: when there are none, and for a file that is wrong or missing.
    """
    for number, lines in numbered_blocks(path):
        record = _record(path, number, lines[0])
        nested = record.get(NESTED)
        return find_keys(
            f"{path}, line {number}", record, nested if isinstance(nested, dict) else (), wanted
        )
    raise AssertionError("a file without lines is refused")


def json_pairs(path: Location, keys: Keys) -> Iterator[Block]:
    """Reads the pairs.

    Raises:
        InputError: for a line that is no object with these keys, and for an empty side.
    """

    def texts(record, where):
        if keys.nested:
            record = record.get(NESTED)
        return _text(record, keys.source, where), _text(record, keys.target, where)

    for number, rows in _rows(path, texts):
        sources, targets = zip(*rows, strict=True)
        for line, row in enumerate(rows, number):
            if not all(map(str.strip, row)):
                raise empty_side(path, line)
        yield sources, targets


def json_texts(path: Location) -> Iterator[list[str]]:
    """Reads the texts under `text`.

    Raises:
        InputError: for a line that is no object with such a key.
    """
    for _, texts in _rows(path, lambda record, where: _text(record, "text", where)):
        yield texts


def _rows(path: Location, texts: Callable) -> Iterator[tuple[int, list]]:
    """What a function finds in the objects, with the number of the first line of each list."""
    for number, lines in numbered_blocks(path):
        numbered = enumerate(lines, number)
        yield number, [texts(_record(path, line, text), (path, line)) for line, text in numbered]


def _record(path: Location, line: int, text: str) -> dict[str, Any]:
    try:
        record = parse_json(text)
    except ValueError as error:
        raise InputError(f"{path}, line {line}: no JSON ({error}): write one object a line") from (
            None
        )
    if not isinstance(record, dict):
        raise InputError(f"{path}, line {line}: no JSON object: write one a line")
    return record


def _text(record: Any, key: str, where: tuple[Location, int]) -> str:
    text = record.get(key) if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise InputError(
            f"{where[0]}, line {where[1]}: no text under {key!r}: give one, as on the other lines"
        )
    return text
