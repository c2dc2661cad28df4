"""Pairs in line-aligned files, and in tables of two columns."""

import itertools
from collections.abc import Iterator, Sequence

from keras_transformer.data.corpora.files.lines import line_blocks, numbered_blocks
from keras_transformer.data.corpora.files.opening import Location
from keras_transformer.errors import InputError

Block = tuple[Sequence[str], Sequence[str]]
"""Some thousand sources, and their targets."""


def empty_side(path: Location, number: int, remedy: str = "fill it or remove the line"):
    """The error for a pair of which one text is blank."""
    return InputError(f"{path}, line {number}: empty side of a pair: {remedy}")


def first_blank(texts: Sequence[str]) -> int | None:
    """The place of the first text that is blank, if there is one."""
    if all(map(str.strip, texts)):
        return None
    return next(i for i, text in enumerate(texts) if not text.strip())


def table_blocks(path: Location) -> Iterator[Block]:
    """Reads a table of two columns, a tab between them.

    Raises:
        InputError: as from `line_blocks`, for a line of other columns, and for an empty side.
    """
    for number, lines in numbered_blocks(path):
        rows = [line.split("\t") for line in lines]
        if set(map(len, rows)) != {2} or not all(map(str.strip, itertools.chain(*rows))):
            raise _wrong_row(path, number, rows)
        sources, targets = zip(*rows, strict=True)
        yield sources, targets


def _wrong_row(path: Location, number: int, rows: Sequence[Sequence[str]]) -> InputError:
    for line, row in enumerate(rows, number):
        if len(row) != 2:
            return InputError(
                f"{path}, line {line}: {len(row)} tab-separated columns instead of 2: "
                "write one source, one tab and one target on each line"
            )
        if not all(map(str.strip, row)):
            break
    return empty_side(path, line)


def aligned_blocks(source_path: Location, target_path: Location) -> Iterator[Block]:
    """Reads two files of which line N of one translates line N of the other.

    Blank lines at the end of both are no pairs.

    Raises:
        InputError: as from `line_blocks`; for files of different lengths and for an empty side when
            both have been read.
    """
    done, full = 0, 0  # lines that were read, and those up to the last that is not blank
    wrong: tuple[Location, int] | None = None
    for sources, targets in _rows(source_path, target_path):
        kept = len(sources)
        while kept and not (sources[kept - 1].strip() or targets[kept - 1].strip()):
            kept -= 1
        if kept:
            if wrong is None and full < done:  # blank lines that were not the last
                wrong = source_path, full
            for path, lines in ((source_path, sources), (target_path, targets)):
                blank = first_blank(lines[:kept])
                if blank is not None and (wrong is None or done + blank < wrong[1]):
                    wrong = path, done + blank
            full = done + kept
            yield sources[:kept], targets[:kept]
        done += len(sources)
    if wrong is not None:
        path, number = wrong[0], wrong[1] + 1
        raise empty_side(path, number, f"remove line {number} from {source_path} and {target_path}")


def _rows(*paths: Location) -> Iterator[Block]:
    """Lines of the same numbers of two files, which have to have as many."""
    files = [line_blocks(path) for path in paths]
    waiting: tuple[list[str], list[str]] = [], []
    done = 0
    while True:
        for lines, file in zip(waiting, files, strict=True):
            if not lines:
                lines.extend(next(file, ()))
        if not (count := min(map(len, waiting))):
            break
        yield waiting[0][:count], waiting[1][:count]
        for lines in waiting:
            del lines[:count]
        done += count
    lengths = [done + _full(lines, file) for lines, file in zip(waiting, files, strict=True)]
    if lengths[0] != lengths[1]:
        raise InputError(
            f"{paths[0]} has {lengths[0]:,} lines but {paths[1]} has {lengths[1]:,}: "
            "give files in which line N of one translates line N of the other"
        )


def _full(lines: list[str], more: Iterator[list[str]]) -> int:
    """How many lines there are up to the last that is not blank."""
    number, full = 0, 0
    for block in itertools.chain([lines], more):
        full = max((number + i for i, line in enumerate(block, 1) if line.strip()), default=full)
        number += len(block)
    return full
