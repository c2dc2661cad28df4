"""Files written whole or not at all, safe from a killed process and from a full disk.

A file is either the old one or the new one, never half of each: the new one is written beside the
old one under a name starting with ``.unfinished-``, synced to the disk and renamed.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from keras_transformer.errors import InputError

_UNFINISHED = re.compile(r"\.unfinished-(\d+)-.+", re.DOTALL)
_unfinished_here: set[Path] = set()  # what this process is writing now

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOENT: "choose a folder that exists",
    errno.ENOTDIR: "choose a folder, not a file",
    errno.EEXIST: "choose a folder, not a file",
    errno.EISDIR: "choose a file name that is not a folder's",
}


def write_atomically(path, write: Callable[[Path], object]) -> None:
    """Writes a file in one go: whatever happens, `path` holds the old content or the new one.

    The new content is on the disk when this returns, not just in the memory of the system.

    Args:
        path: the file to write or replace; its folder must exist.
        write: called with the temporary path to write to. It lies in the same folder and its name
            ends with the name of `path`, so a suffix such as ``.weights.h5`` is kept.

    Raises:
        InputError: when the file cannot be written; the old one is untouched then. Other
            exceptions of `write` pass through, with the old file untouched too.
    """
    path = Path(path)
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    _unfinished_here.add(unfinished.absolute())
    try:
        write(unfinished)
        _sync_file(unfinished)
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise file_error(path, "written", error) from error
    finally:
        with suppress(OSError):  # gone after the renaming
            unfinished.unlink()
        _unfinished_here.discard(unfinished.absolute())


def write_bytes(path, content: bytes) -> None:
    """Writes bytes in one go.

    Args:
        path: the file to write or replace; its folder must exist.
        content: its content.

    Raises:
        InputError: when the file cannot be written; the old one is untouched then.
    """
    write_atomically(path, lambda unfinished: unfinished.write_bytes(content))


def write_text(path, text: str) -> None:
    """Writes a text in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path, content) -> None:
    """Writes JSON for people to read, as `write_bytes` does.

    Raises:
        TypeError: when `content` is no JSON; the old file is untouched then too.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def make_folder(folder) -> None:
    """Makes a folder and those above it, and lets the new name reach the disk.

    Raises:
        InputError: when it cannot be made.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(folder.parent)
    except OSError as error:
        raise file_error(folder, "made", error) from error


def delete_unfinished(folder) -> None:
    """Deletes the unfinished files of dead processes, and of a dead one that had our number."""
    with suppress(OSError):  # what cannot be deleted does no harm
        for path in list(Path(folder).absolute().iterdir()):
            writer = _UNFINISHED.fullmatch(path.name)
            if writer and path not in _unfinished_here and not _is_other_alive(int(writer[1])):
                path.unlink()


def file_error(path, participle: str, error: OSError) -> InputError:
    """The one line for a file or folder that cannot be ``"written"``, ``"made"`` and so on."""
    remedy = _REMEDIES.get(error.errno, "check the disk")
    return InputError(f"{path}: cannot be {participle} ({reason_of(error)}): {remedy}.")


def reason_of(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, KeyError):  # str() would add quotes
        reason = str(error.args[0])
    else:
        reason = getattr(error, "strerror", None) or str(error)
    return " ".join(reason.split()) or type(error).__name__


def _is_other_alive(pid: int) -> bool:
    if pid == os.getpid() or os.name == "nt":  # Windows never deletes a file in use
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _sync_file(path: Path) -> None:
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems do not sync folders
            raise
    finally:
        os.close(descriptor)
