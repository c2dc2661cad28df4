"""The lock of a run folder: one process at a time trains there."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from filelock import lock_descriptor

from keras_transformer.errors import InputError
from keras_transformer.files import file_error, open_own, reason_of

LOCK_FILE = ".lock"


class FolderLock:
    """Keeps other processes from training in the same folder, as a context manager.

    The lock is the system's, on the file ``.lock``, so it ends with the process however that dies;
    the file stays. A child forked meanwhile shares the lock, a program started meanwhile does not.
    A file system that knows no locks gets a warning.

    Args:
        folder: an existing folder.

    Raises:
        InputError: on entering, when another process holds the lock or ``.lock`` cannot be
            written.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._descriptor = None

    def __enter__(self) -> FolderLock:
        path = self.folder / LOCK_FILE
        try:
            descriptor = open_own(path, 0)
        except OSError as error:
            raise file_error(path, "written", error) from error
        try:
            locked = lock_descriptor(descriptor, blocking=False)
        except OSError as error:
            locked = True
            print(
                f"{self.folder}: cannot be locked ({reason_of(error)}): make sure that no other "
                "process trains there.",
                file=sys.stderr,
                flush=True,
            )
        if not locked:
            holder = _process_in(descriptor)
            os.close(descriptor)
            raise InputError(
                f"{self.folder}: another process{holder and f' (pid {holder})'} is training "
                "there: wait for it, stop it or choose another folder."
            )
        with suppress(OSError):  # a full disk: the lock holds without the number
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f" {os.getpid()}\n".encode())
        self._descriptor = descriptor
        return self

    def __exit__(self, *exception) -> None:
        os.close(self._descriptor)  # and so unlocks
        self._descriptor = None


def _process_in(descriptor: int) -> str:
    """The process id in a lock file that another process holds; empty if it cannot be read."""
    for start in (0, 1):  # Windows hides the first byte, which is the one locked there
        with suppress(OSError):
            os.lseek(descriptor, start, os.SEEK_SET)
            return os.read(descriptor, 32).decode(errors="replace").strip()
    return ""
