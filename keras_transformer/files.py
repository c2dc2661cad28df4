"""Files written whole or not at all, safe from a killed process and from a full disk.

A file is either the old one or the new one, never half of each: the new one is written beside the
old one under a name starting with ``.unfinished-``, synced to the disk and renamed. A folder that
is written once has a list of checksums, by which it is known to be what was written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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
    errno.EBADF: "leave it open",
    errno.ELOOP: "delete the link that stands there",
}

SUMS_FILE = "SHA256SUMS"
"""Checksums of the files of a folder, in the form of ``sha256sum``."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


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
        _create(unfinished)
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


def open_own(path, flags: int) -> int:
    """Opens a file for reading and writing, made if need be, but never what a link points to.

    Args:
        path: the file.
        flags: further ones of `os.open`.

    Returns:
        its descriptor.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK | flags, 0o666)


def _create(unfinished: Path) -> None:
    """Makes an empty file of our own where anybody may have left a file or a link."""
    try:
        os.close(open_own(unfinished, os.O_EXCL))
    except FileExistsError:
        unfinished.unlink()
        os.close(open_own(unfinished, os.O_EXCL))


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
    """Makes a folder and those above it, and lets the new names reach the disk.

    Raises:
        InputError: when it cannot be made.
    """
    folder = Path(folder)
    try:
        missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
        if missing:
            folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            _sync_folder(made.parent)
    except OSError as error:
        raise file_error(folder, "made", error) from error


def delete_unfinished(folder) -> None:
    """Deletes unfinished files and folders of dead processes, and of a dead one that had our
    number."""
    with suppress(OSError):  # what cannot be deleted does no harm
        for path in list(Path(folder).absolute().iterdir()):
            writer = _UNFINISHED.fullmatch(path.name)
            if writer and path not in _unfinished_here and not _is_other_alive(int(writer[1])):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


@contextmanager
def unfinished_folder(parent, name: str) -> Iterator[Path]:
    """An empty folder beside the one it will be, deleted at the end unless it was renamed.

    Args:
        parent: where; it must exist.
        name: what it will be called.
    """
    prefix = f".unfinished-{os.getpid()}-{name}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).absolute()
    _unfinished_here.add(folder)
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unfinished_here.discard(folder)


def sync_tree(folder) -> None:
    """Lets all files of a folder and their names reach the disk.

    Raises:
        OSError: where the disk is full or fails.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            _sync_file(Path(place, name))
        _sync_folder(Path(place))


def sync_names(folder) -> None:
    """Lets the names in a folder reach the disk, such as those of what was renamed there."""
    _sync_folder(Path(folder))


def write_checksums(folder, leave_out: Collection[str] = ()) -> None:
    """Writes the checksums of all files of a folder into its `SUMS_FILE`.

    ``sha256sum --check SHA256SUMS``, run in the folder, compares them.

    Args:
        folder: the folder.
        leave_out: paths within it, such as of what people are meant to change.
    """
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    lines = [
        f"{_sha256(path)}  {name}\n"
        for name, path in names.items()
        if name not in (SUMS_FILE, *leave_out)
    ]
    write_text(folder / SUMS_FILE, "".join(lines))


def check_checksums(folder) -> None:
    """Compares the files of a folder with its `SUMS_FILE`; a folder without one is taken as it is.

    Raises:
        InputError: for a file that is missing or another, and for a list that is damaged.
    """
    folder = Path(folder)
    try:
        lines = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{folder / SUMS_FILE}: cannot be read ({reason_of(error)}): bring back a copy."
        ) from error
    for line in lines:
        digest, _, name = line.partition("  ")
        path = folder / name
        try:
            is_same = bool(name) and _sha256(path) == digest
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({reason_of(error)}): bring back a copy of {folder}."
            ) from error
        if not is_same:
            raise InputError(
                f"{path if name else folder / SUMS_FILE}: is damaged or was changed: it is not "
                f"what {SUMS_FILE} says; bring back a copy of {folder}."
            )


def checksum(content: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path) -> dict[str, Any]:
    """Reads a JSON object that this package wrote.

    Raises:
        InputError: where it is missing or damaged.
    """
    try:
        content = parse_json(Path(path).read_bytes())
    except OSError as error:
        raise file_error(path, "read", error) from error
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({reason_of(error)}): bring back a copy.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: is damaged (it holds no JSON object): bring back a copy.")
    return content


def parse_json(content: bytes | str) -> Any:
    """`json.loads`, whose every complaint is a ValueError, that of too deep a nesting too."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


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
