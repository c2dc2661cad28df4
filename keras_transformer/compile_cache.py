"""Programs that XLA has compiled, kept on disk for other processes.

The cache saves time and is never needed: where it cannot be read or written, work goes on without
it. It imports nothing of TensorFlow, which reads the setting once, when it first compiles.
"""

import hashlib
import os
import platform
import shutil
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

MOST_BYTES = 2**30
"""Most bytes of all programs; where there are more, those used longest ago are deleted."""

_SPARE_BYTES = 2**26  # of the disk, that are left to others
_ENTRY = "*.pb"
_SUM = ".sha256"  # what the file with an entry's checksum ends with
_HOUR = 3600  # seconds

_FLAG = "--tf_xla_persistent_cache_directory="
_READ_ONLY = " --tf_xla_persistent_cache_read_only=true"


def use_compile_cache(folder=None) -> Path | None:
    """Keeps and reuses compiled programs in a folder.

    Call it before TensorFlow compiles anything. A program is found again where model, shapes,
    processor and version of TensorFlow are the same; its weights are not in it. Damaged programs
    are deleted, and the oldest where there are more than `MOST_BYTES`. Nothing is written where the
    disk is nearly full or the folder may only be read. It does nothing where ``TF_XLA_FLAGS`` is
    set, or the folder cannot be made or holds damaged programs that cannot be deleted.

    Args:
        folder: ``keras_transformer/xla`` in the user's folder of caches unless given.

    Returns:
        the folder for this processor and version, or ``None`` where nothing was done.
    """
    if "TF_XLA_FLAGS" in os.environ:
        return None
    try:
        if folder is None:
            caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            folder = Path(caches) / "keras_transformer" / "xla"
        folder = Path(folder).absolute() / f"{version('tensorflow')}-{_processor()}"
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _SPARE_BYTES
        _tidy(folder, writable)
    except (OSError, RuntimeError):  # the latter where nobody's home is known
        return None
    os.environ["TF_XLA_FLAGS"] = f"{_FLAG}{folder}{'' if writable else _READ_ONLY}"
    return folder


def failed_in_cache(error: Exception) -> bool:
    """Whether an error of TensorFlow is about the cache: a disk that is full by now, for example.

    TensorFlow then gives no compiled program, and asks the cache again each time.
    """
    flags = os.environ.get("TF_XLA_FLAGS", "")
    folder = flags.partition(_FLAG)[2].removesuffix(_READ_ONLY)
    return bool(folder) and folder in str(error)


def _tidy(folder: Path, writable: bool) -> None:
    """Deletes what is damaged, unfinished or too much.

    Raises:
        OSError: where something damaged cannot be read or deleted.
    """
    entries = {}
    for entry in folder.glob(_ENTRY):
        if _is_whole(entry, writable):
            facts = entry.stat()
            entries[entry] = max(facts.st_atime, facts.st_mtime), facts.st_size
        else:
            _delete(entry)
    with suppress(OSError):  # the rest is only untidy
        for unfinished in folder.glob("*.tmp"):
            if time.time() - unfinished.stat().st_mtime > _HOUR:
                unfinished.unlink()
        size = sum(size for _, size in entries.values())
        for entry, (_, its_size) in sorted(entries.items(), key=lambda item: item[1]):
            if size <= MOST_BYTES:
                break
            _delete(entry)
            size -= its_size


def _delete(entry: Path) -> None:
    entry.unlink(missing_ok=True)
    entry.with_name(entry.name + _SUM).unlink(missing_ok=True)


def _is_whole(entry: Path, writable: bool) -> bool:
    """Whether an entry is what was first seen of it; at first sight, whether it is complete."""
    content = entry.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    sum_file = entry.with_name(entry.name + _SUM)
    try:
        return sum_file.read_text(encoding="ascii") == digest
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    whole = _is_complete(content)
    if whole and writable:
        with suppress(OSError):
            sum_file.write_text(digest, encoding="ascii")
    return whole


def _is_complete(message: bytes) -> bool:
    """Whether the fields of a protocol buffer, which is what an entry is, fill its bytes."""
    place = 0
    try:
        while place < len(message):
            key, place = _varint(message, place)
            wire_type = key & 7
            if wire_type == 0:
                _, place = _varint(message, place)
            elif wire_type == 2:
                length, place = _varint(message, place)
                place += length
            else:
                place += {1: 8, 5: 4}[wire_type]
    except (IndexError, KeyError):
        return False
    return place == len(message) > 0


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number and the place behind it."""
    number = shift = 0
    while True:
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7


def _processor() -> str:
    """A short name that differs where compiled programs may not run."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        features = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()
    digest = hashlib.sha256(features.encode()).hexdigest()[:12]
    return f"{platform.machine()}-{digest}"
