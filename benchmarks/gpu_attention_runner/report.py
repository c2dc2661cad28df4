"""Tables that grow while they are printed, and the file with all numbers."""

import json
import statistics
from pathlib import Path
from typing import Any


class Report:
    """Rows of results, written out after each one.

    Args:
        path: of the JSON file.
        about: what it says of machine and settings.

    Attributes:
        complaints: what went wrong or came out wrong.
    """

    def __init__(self, path: Path, about: dict[str, Any]):
        self.path = path
        self.content: dict[str, Any] = {**about, "complaints": [], "rows": []}
        self._columns: list[str] = []
        self.save()

    @property
    def complaints(self) -> list[str]:
        return self.content["complaints"]

    def complain(self, text: str) -> None:
        self.complaints.append(text)
        print(f"!! {text}", flush=True)
        self.save()

    def add(self, row: dict[str, Any], cells: dict[str, str]) -> None:
        """Keeps a row and prints its cells, under a heading where this is a new one."""
        if list(cells) != self._columns:
            self._columns = list(cells)
            print(f"\n| {' | '.join(self._columns)} |")
            print(f"|{' --- |' * len(self._columns)}")
        print(f"| {' | '.join(cells.values())} |", flush=True)
        self.content["rows"].append(row)
        self.save()

    def save(self) -> None:
        """Writes beside the file first, so that the file is whole whenever a run ends."""
        unfinished = self.path.with_name(f"{self.path.name}.part")
        unfinished.write_text(json.dumps(self.content, indent=1) + "\n")
        unfinished.replace(self.path)


def milliseconds(seconds: list[float] | None) -> str:
    return f"{statistics.median(seconds) * 1e3:.3f}" if seconds else ""


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
