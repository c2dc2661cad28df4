"""Opening files here and elsewhere, and unpacking them, within bounds and with one clear error."""

import bz2
import contextlib
import glob
import gzip
import io
import lzma
import os
import re
import stat
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of, write_bytes

Location = Path | str
"""A path, or the address of a file that fsspec opens."""

_MOST_PACKED = 200  # times that text becomes smaller
_ALWAYS_UNPACKED = 2**26  # bytes


def _open_zstd(file: BinaryIO) -> BinaryIO:
    try:
        from compression import zstd  # from Python 3.14 on
    except ImportError:
        from backports import zstd

    return zstd.ZstdFile(file)


PACKINGS: dict[str, tuple[str, Callable[..., Any]]] = {
    ".gz": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    ".bz2": ("bzip2", bz2.BZ2File),
    ".xz": ("xz", lzma.LZMAFile),
    ".zst": ("Zstandard", _open_zstd),
}
"""What the ending of a name says of the packing of its file: what it is called, and its reader."""


class OpenFile:
    """A file that is read from its beginning to its end, and unpacked as its name says.

    Args:
        location: its path or address.

    Raises:
        InputError: when it is missing or unreadable; `read` likewise, and when it is damaged, or no
            text, since it unpacks to too much.
    """

    def __init__(self, location: Location):
        self._location = location
        self._packing = PACKINGS.get(PurePosixPath(location).suffix)
        self._raw = open_raw(location)
        self._file, self._left = self._raw, None
        if self._packing:
            size = self._raw.seek(0, io.SEEK_END) if self._raw.seekable() else 0
            if size:
                self._raw.seek(0)
            self._left = max(_MOST_PACKED * size, _ALWAYS_UNPACKED)
            try:
                self._file = self._packing[1](self._raw)
            except ImportError as error:
                raise missing_package(location, error.name, "files") from None

    def __enter__(self) -> "OpenFile":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()
        self._raw.close()

    def read(self, size: int) -> bytes:
        """Reads at most so many bytes; none at the end of the file."""
        with file_errors(self._location, self._packing and self._packing[0]):
            data = self._file.read(size)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise InputError(
                    f"{self._location}: is no text: it unpacks to more than {_MOST_PACKED} times "
                    "its size; give a file with one sentence per line"
                )
        return data


@contextlib.contextmanager
def file_errors(location: Location, packing: str | None = None) -> Iterator[None]:
    """Makes one clear error of whatever goes wrong in opening and reading a file.

    Args:
        location: its path or address.
        packing: what its packing is called, if it has one.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{location}: no such file: check the path") from None
    except Exception as error:  # zstd has errors of its own, and so has each store of fsspec
        if packing and getattr(error, "errno", None) is None:  # those of reading have numbers
            raise InputError(
                f"{location}: not a complete {packing} file ({error}): compress it again or give "
                "the plain file"
            ) from None
        if not is_remote(location) and not isinstance(error, OSError):
            raise
        raise InputError(
            f"{location}: cannot be read ({reason_of(error)}): give a readable file"
        ) from None


def open_raw(location: Location) -> BinaryIO:
    """Opens a file as it is, without unpacking it.

    Raises:
        InputError: when it is missing or unreadable.
    """
    with file_errors(location):
        if is_remote(location):
            system, path = _file_system(location)
            return system.open(path, "rb")
        return open(location, "rb")


def state_of(location: Location) -> Hashable:
    """What changes when a file changes: its size and time, or what its store says of it.

    Returns:
        `None` for what is no file, such as a pipe, and can be read once only.

    Raises:
        InputError: when it is missing.
    """
    with file_errors(location):
        if is_remote(location):
            system, path = _file_system(location)
            system.invalidate_cache()
            return system.ukey(path), system.size(path)
        found = os.stat(location)
        is_file = not stat.S_ISFIFO(found.st_mode) and not stat.S_ISCHR(found.st_mode)
        return (found.st_size, found.st_mtime_ns) if is_file else None


def exists(location: Location) -> bool:
    """Whether there is such a file."""
    with file_errors(location):
        if is_remote(location):
            system, path = _file_system(location)
            return system.exists(path)
        return os.path.exists(location)


def matches(pattern: Location) -> list[Location]:
    """The files that match a pattern, sorted."""
    with file_errors(pattern):
        if is_remote(pattern):
            system, path = _file_system(pattern)
            return sorted(map(system.unstrip_protocol, system.glob(path)))
        return [Path(path) for path in sorted(glob.glob(str(pattern), recursive=True))]


def write_location(location: Location, content: bytes) -> None:
    """Writes a file, whole or not at all, as far as its store can do that.

    Raises:
        InputError: when it cannot be written.
    """
    if not is_remote(location):
        write_bytes(location, content)
        return
    system, path = _file_system(str(location))
    try:
        with system.open(path, "wb") as file:
            file.write(content)
    except Exception as error:  # each store has errors of its own
        raise InputError(f"{location}: cannot be written ({reason_of(error)})") from error


def is_remote(location: Location) -> bool:
    """Whether fsspec opens it: it is an address with a scheme, as in ``s3://``."""
    return isinstance(location, str) and bool(re.match(r"[a-z][a-z0-9+.:-]*://", location))


def missing_package(location: Location, package: str | None, extra: str) -> InputError:
    """The error for a file that needs a package that is not installed."""
    return InputError(
        f"{location}: needs the package {package}: pip install 'keras-transformer[{extra}]'"
    )


def _file_system(address: str) -> tuple[Any, str]:
    """The store of an address, and the path in it."""
    try:
        import fsspec
    except ImportError:
        raise missing_package(address, "fsspec", "remote") from None
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:  # whose message says what to install
        raise InputError(f"{address}: needs another package ({error})") from error
    except Exception as error:  # each store has errors of its own
        raise InputError(
            f"{address}: cannot be opened ({reason_of(error)}): write a path, or an address of a "
            "store that fsspec knows"
        ) from error
