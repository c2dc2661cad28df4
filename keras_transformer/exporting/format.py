"""Numbered versions under the folder of an export, each of which is whole or not there."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from keras_transformer.errors import InputError


def write_version(
    folder, write: Callable[[Path], object], *, version: int | None = None, overwrite=False
) -> Path:
    """Writes ``folder/version``, which appears under its name only once it is complete.

    Args:
        folder: such as ``saved_models/pt_en``.
        write: called with an empty folder to fill. What it raises passes through, with what was
            there before left as it was.
        version: number of the version; one more than the highest there unless given.
        overwrite: replace that version where it exists.

    Returns:
        the folder of the version.

    Raises:
        InputError: when that version exists, or cannot be written.
    """
    folder = Path(folder)
    if version is None:
        version = max((int(there.name) for there in version_folders(folder)), default=0) + 1
    destination = folder / str(version)
    if destination.exists() and not overwrite:
        raise InputError(f"{destination}: exists already: give another version, or overwrite it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".unfinished-{version}-", dir=folder))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}).") from error
    try:
        unfinished.chmod(0o755)
        write(unfinished)
        if destination.exists():
            replaced = unfinished.with_name(f"{unfinished.name}-replaced")
            os.rename(destination, replaced)
            os.rename(unfinished, destination)
            shutil.rmtree(replaced)
        else:
            os.rename(unfinished, destination)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return destination


def version_folders(folder) -> list[Path]:
    """Versions under the folder of an export, lowest first, whatever form they have."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    versions = [there for there in folder.iterdir() if there.name.isdecimal()]
    return sorted(versions, key=lambda version: int(version.name))
