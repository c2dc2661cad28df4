"""Tables of pairs to train on that translators make, chunk by chunk.

A corpus of any size does, and work that was interrupted goes on after its last whole chunk, with
the bytes that it would have written.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_transformer.errors import InputError, whole_number
from keras_transformer.files import file_error, read_json, write_json
from keras_transformer.translating.translation import BaseTranslator, Translation

Pair = tuple[str, str]

BEAM_SIZE = 5
"""Beams of a search unless it says otherwise, or draws samples."""


def with_beams(options: dict[str, Any], fewest: int = 1) -> dict[str, Any]:
    """Options of a search, with `BEAM_SIZE` or more beams where they do not say.

    Args:
        options: as for `translate`.
        fewest: beams that there have to be.
    """
    beams = 1 if options.get("sampling") else max(BEAM_SIZE, fewest)
    return {"beam_size": beams, **options}


def translated(
    translator: BaseTranslator, texts: list[str], first: int, **options: Any
) -> list[Translation]:
    """Translations in the style of the corpus.

    Args:
        translator: translates.
        texts: some of all that are translated.
        first: place of the first of them among all, from which its random numbers follow.
        options: as for `translate`.
    """
    if getattr(translator, "takes_first_stream", False):
        options["first_stream"] = first
    return translator.translate(texts, style="corpus", **options)


def in_one_cell(text: str) -> str:
    """A text without what would end a cell or a line of a table."""
    return " ".join(text.split())


def line_of(source: str, target: str) -> str:
    """A pair as a line of a table, without its end."""
    return f"{in_one_cell(source)}\t{in_one_cell(target)}"


class PairTable:
    """A table of pairs that grows by chunks, and where it stands.

    It appears under its name once it is whole; until then ``OUTPUT.unfinished`` and
    ``OUTPUT.progress`` hold what there is.

    Args:
        output: the file to write, such as ``pairs.tsv``.
        about: what the table depends on, as JSON; a table that was begun with the same goes on.
        settings: what it depends on besides, by the texts of the values.

    Attributes:
        done: how many items, such as pairs of a corpus, are done.
        counts: what the caller counts, kept with them.

    Raises:
        InputError: when `output` exists or cannot be written, and when what is there was begun in
            another way.
    """

    def __init__(self, output, about: dict[str, Any] | None, settings: dict[str, Any]):
        self._path = Path(output)
        texts = {name: str(value) for name, value in settings.items()}
        self._about = {**(about or {}), "settings": texts}
        if self._path.suffix != ".tsv":
            raise InputError(f"{output}: is no table: give a name that ends with .tsv.")
        self._unfinished = self._path.with_name(f"{self._path.name}.unfinished")
        self._progress = self._path.with_name(f"{self._path.name}.progress")
        self.done, self._lines, self._bytes = 0, 0, 0
        self.counts: Counter[str] = Counter()
        if self._path.exists():
            raise InputError(f"{self._path}: exists already: delete it, or give another name.")
        if self._progress.exists():
            self._go_on()
        try:
            with open(self._unfinished, "ab") as file:
                file.truncate(self._bytes)
        except OSError as error:
            raise file_error(self._path, "written", error) from error

    def _go_on(self):
        stands = read_json(self._progress)
        numbers = [stands.get(name) for name in ("pairs", "lines", "bytes")]
        whole = all(type(number) is int and number >= 0 for number in numbers)
        size = self._unfinished.stat().st_size if self._unfinished.exists() else 0
        if not whole or size < numbers[2]:
            raise InputError(
                f"{self._progress}: does not belong to {self._unfinished.name}: delete both."
            )
        if stands.get("about") != self._about:
            raise InputError(
                f"{self._progress}: was begun with another model, corpus or option: go on with "
                "those, or delete it."
            )
        self.done, self._lines, self._bytes = numbers
        self.counts.update(stands.get("counts", {}))

    def lines(self) -> Iterator[str]:
        """The lines that are written, without their ends."""
        with open(self._unfinished, encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n")

    def write(
        self,
        items: Iterable,
        lines_of: Callable[[list, int], list[str]],
        *,
        chunk=2048,
        progress: Callable[[int], object] = lambda done: None,
    ) -> int:
        """Writes what is still missing, and gives the table its name.

        Args:
            items: what lines are made of, the same ones in the same order at each call.
            lines_of: makes the lines of a chunk of items, from it and the place of its first among
                all; it may count in `counts`.
            chunk: how many items are a chunk.
            progress: called with the number of items that are done, first and after each chunk.

        Returns:
            the number of lines in the table.

        Raises:
            InputError: when it cannot be written, or there would be no line in it.
        """
        chunk = whole_number("chunk", chunk)
        rest = itertools.islice(items, self.done, None)
        progress(self.done)
        while batch := list(itertools.islice(rest, chunk)):
            self._add(lines_of(batch, self.done), len(batch))
            progress(self.done)
        if not self._lines:
            raise InputError(f"{self._path}: no pair is left to write: check the corpus.")
        self._unfinished.replace(self._path)
        self._progress.unlink(missing_ok=True)
        return self._lines

    def _add(self, lines: list[str], items: int) -> None:
        """Writes the lines of a chunk of so many items."""
        content = "".join(f"{line}\n" for line in lines).encode("utf-8")
        try:
            with open(self._unfinished, "ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise file_error(self._path, "written", error) from error
        self.done, self._lines = self.done + items, self._lines + len(lines)
        self._bytes += len(content)
        stands = {"pairs": self.done, "lines": self._lines, "bytes": self._bytes}
        counts = {"counts": dict(self.counts)} if self.counts else {}
        write_json(self._progress, {**stands, **counts, "about": self._about})
