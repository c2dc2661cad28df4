"""Files that were translated, kept for their clients for a while."""

import asyncio
import os
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from keras_transformer.serving.limits import Room

SECONDS = 1800.0
"""For which a file is kept."""

MOST_FILES = 256

_LARGEST = 64  # of the largest allowed size, of all files together
_PIECE = 2**16
_TOKEN_BYTES = 24
_TOKEN = re.compile(r"[\w-]{32}", re.ASCII)


@dataclass(frozen=True)
class _Kept:
    path: Path
    shown: str
    timer: asyncio.TimerHandle


class TranslatedFiles:
    """Translated files in a folder that no other user of the machine can read.

    Names cannot be guessed. Number, bytes and age have limits; where they are reached the oldest
    goes, of the address that has most. Of one address are at most half.

    Args:
        largest: bytes of a file.
        seconds: for which one is kept.
    """

    def __init__(self, largest: int, seconds: float = SECONDS):
        self._seconds = seconds
        most = largest * _LARGEST
        self._least = -(-most // MOST_FILES)  # that a file counts as
        self._room = Room(most, most // 2)
        self._kept: dict[str, _Kept] = {}
        self._folder: Path | None = None
        self._making = threading.Lock()
        self._closed = False

    def __len__(self) -> int:
        return len(self._kept)

    async def keep(self, content: bytes, shown: str, group: str) -> str:
        """Keeps a file, and returns the name by which it can be had.

        Args:
            content: of the file.
            shown: what it shall be called.
            group: whose it is; see `limits.group_of`.

        Raises:
            OSError: when it cannot be written.
        """
        loop = asyncio.get_running_loop()
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        shown = re.sub(r"[^\w.-]+", "_", shown, flags=re.ASCII)[-100:].lstrip(".") or "file"
        path = await asyncio.to_thread(self._write, token, content)
        timer = loop.call_later(self._seconds, self._forget, token)
        self._kept[token] = _Kept(path, shown, timer)
        self._room.enter(token, group, lambda: self._forget(token))
        self._room.take(token, max(len(content), self._least))
        return f"{token}.{shown}"

    async def open(self, name: str) -> tuple[str, int, Iterator[bytes]] | None:
        """A file: what it is called, its bytes, and these in pieces; ``None`` where there is none.

        Args:
            name: as `keep` gave it.
        """
        token, _, shown = name.partition(".")
        kept = self._kept.get(token) if _TOKEN.fullmatch(token) else None
        if kept is None or kept.shown != shown:
            return None
        try:
            file = await asyncio.to_thread(kept.path.open, "rb")
        except OSError:  # gone meanwhile
            return None
        return kept.shown, os.fstat(file.fileno()).st_size, _pieces(file)

    def close(self) -> None:
        """Deletes all files."""
        self._closed = True
        for kept in self._kept.values():
            kept.timer.cancel()
        self._kept.clear()
        with self._making:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, token: str, content: bytes) -> Path:
        with self._making:
            if self._closed:
                raise OSError("the server is stopping")
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="keras_transformer-"))
        path = self._folder / token
        try:
            path.write_bytes(content)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _forget(self, token: str) -> None:
        kept = self._kept.pop(token, None)
        if kept is not None:
            self._room.leave(token)
            kept.timer.cancel()
            kept.path.unlink(missing_ok=True)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
