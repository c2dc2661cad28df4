"""The state of a run on disk, so that neither a killed process nor a full disk loses it.

A checkpoint is one ``.npz`` file, which `numpy.load` opens too: each array and the state carry a
CRC-32, checked when the checkpoint is loaded. It is written in one go (see `files`).
"""

from __future__ import annotations

import io
import json
import operator
import re
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_transformer.errors import InputError
from keras_transformer.files import delete_unfinished, make_folder, reason_of, write_atomically

FORMAT = 1
"""Version of the checkpoint format. Raise it when older code would misread a new file."""

_STATE = "state.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d{8,})\.npz")


class Checkpoint(NamedTuple):
    """What `Checkpoints.load_latest` returns.

    Attributes:
        step: number of steps trained.
        arrays: arrays by name.
        state: anything else, as JSON knows it.
    """

    step: int
    arrays: dict[str, np.ndarray]
    state: dict


class Checkpoints:
    """The checkpoints of a run: ``checkpoint-00001234.npz`` for step 1234, and so on.

    One process at a time may save: hold a `lock.FolderLock` meanwhile. Loading needs no lock.

    A new file is not read again after it was written. That would read the memory of the system,
    not the disk, and so prove little; a failing disk reports itself when the file is synced. What
    goes wrong later is found by the checksums on loading, which is why `keep` is 2.

    Args:
        folder: where they lie; made by the first `save`.
        keep: number of good files to keep, at least 1.
    """

    def __init__(self, folder, keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep}")
        self.folder = Path(folder)
        self.keep = keep
        self._is_good: dict[Path, bool] = {}  # of files written or read here
        self._has_saved = False

    def save(self, step: int, arrays: dict[str, np.ndarray], state: dict) -> Path:
        """Writes a checkpoint, then deletes all but the newest `keep` good ones.

        The new file is on the disk before an older one is deleted. A file that cannot be read is
        neither counted nor deleted. Files that an earlier process left are read once to know.
        The first call also deletes what killed processes left unfinished.

        Args:
            step: number of steps trained, 0 or more; the checkpoint of the same step is replaced.
            arrays: arrays by name, of any shape and of any dtype but objects; the number formats
                of `ml_dtypes`, such as bfloat16, are kept as they are.
            state: what `json.dumps` takes. JSON turns tuples into lists and keys into strings.

        Returns:
            the path of the file.

        Raises:
            InputError: when it cannot be written; the older checkpoints are all there then.
            TypeError: when `state` is no JSON.
            ValueError: when an array or its name cannot be stored, or the step is negative.
        """
        step = operator.index(step)
        if step < 0:
            raise ValueError(f"step must be 0 or more, not {step}")
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        header = _header(step, arrays, state)
        path = self.folder / f"checkpoint-{step:08d}.npz"
        make_folder(self.folder)
        if not self._has_saved:
            delete_unfinished(self.folder)
        write_atomically(path, lambda unfinished: _write_checkpoint(unfinished, header, arrays))
        self._has_saved = True
        self._is_good[path] = True
        self._prune(path)
        return path

    def load_latest(self) -> Checkpoint | None:
        """Reads the newest checkpoint that is whole.

        A newer one that is cut short or damaged is left where it is, and named in a line on
        standard error.

        Returns:
            ``(step, arrays, state)``; ``None`` when there is no checkpoint.

        Raises:
            InputError: when checkpoints exist and none can be read, the newest that can be read
                was written by a newer version of this package, or the folder cannot be read.
        """
        damaged = {}
        for path in self.paths():
            try:
                checkpoint = _read_checkpoint(path)
            except InputError:
                raise
            except Exception as error:  # damaged bytes can raise anything
                self._is_good[path] = False
                damaged[path] = reason_of(error)
                continue
            self._is_good[path] = True
            for other, reason in damaged.items():
                _warn(f"{other}: cannot be read ({reason}): using {path.name} instead.")
            return checkpoint
        if damaged:
            newest, reason = next(iter(damaged.items()))
            raise InputError(
                f"{self.folder}: no checkpoint can be read ({newest.name}: {reason}): bring back a "
                "copy of one, or train anew in another folder."
            )
        return None

    def paths(self) -> list[Path]:
        """The checkpoint files, newest first.

        Raises:
            InputError: when the folder cannot be read.
        """
        try:
            paths = list(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be read ({reason_of(error)}): choose a folder that you may "
                "read."
            ) from error
        steps = {path: _CHECKPOINT.fullmatch(path.name) for path in paths}
        return sorted(
            (path for path, step in steps.items() if step),
            key=lambda path: int(steps[path][1]),
            reverse=True,
        )

    def _prune(self, saved: Path) -> None:
        """Deletes all good files but the one just saved and the newest others up to `keep`."""
        kept = 1
        for path in self.paths():
            if path == saved or not self._check(path):
                continue
            kept += 1
            if kept > self.keep:
                try:
                    path.unlink()
                except OSError as error:  # no reason to stop training
                    _warn(f"{path}: cannot be deleted ({reason_of(error)}): delete it yourself.")
                else:
                    del self._is_good[path]

    def _check(self, path: Path) -> bool:
        """Whether a file is whole; read only if this object neither wrote nor read it."""
        if path not in self._is_good:
            try:
                _read_checkpoint(path)
            except Exception:  # damaged bytes can raise anything
                self._is_good[path] = False
            else:
                self._is_good[path] = True
        return self._is_good[path]


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint by its name."""
    return _CHECKPOINT.fullmatch(path.name) is not None and path.is_file()


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads one checkpoint.

    Raises:
        InputError: when it is missing, damaged, or of a newer version of this package.
    """
    try:
        return _read_checkpoint(path)
    except InputError:
        raise
    except Exception as error:  # damaged bytes can raise anything
        raise InputError(f"{path}: cannot be read ({reason_of(error)}): name another.") from error


def arrays_of(variables) -> dict[str, np.ndarray]:
    """The values of TensorFlow or Keras variables by their place, ready for `Checkpoints.save`."""
    return {str(place): variable.numpy() for place, variable in enumerate(variables)}


def assign_arrays(variables, arrays: dict[str, np.ndarray]) -> bool:
    """Assigns to variables what `arrays_of` took from variables of the same shapes.

    Returns:
        whether they fit; if not, no variable was changed.
    """
    found = [arrays.get(str(place)) for place in range(len(variables))]
    shapes = [tuple(variable.shape) for variable in variables]
    if [array is not None and array.shape for array in found] != shapes:
        return False
    for variable, array in zip(variables, found, strict=True):
        variable.assign(array)
    return True


def _header(step: int, arrays: dict[str, np.ndarray], state: dict) -> bytes:
    """The JSON member of a checkpoint, which says what else the file must hold."""
    for name, array in arrays.items():
        if zipfile.ZipInfo(name).filename != name:  # a NUL, or a backslash on Windows
            raise ValueError(f"an array cannot be named {name!r} in a checkpoint")
        if array.dtype.hasobject:
            raise ValueError(f"array {name!r} holds Python objects: give numbers or strings")
    header = {
        "format": FORMAT,
        "step": step,
        "state": state,
        "arrays": list(arrays),
        "ml_dtypes": {
            name: array.dtype.name for name, array in arrays.items() if _is_foreign(array.dtype)
        },
    }
    return json.dumps(header).encode("utf-8")


def _write_checkpoint(path: Path, header: bytes, arrays: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_STATE), header)
        for name, array in arrays.items():
            if _is_foreign(array.dtype):  # .npy would forget the format: store the bits
                array = array.view(f"u{array.dtype.itemsize}")
            member = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _read_checkpoint(path: Path) -> Checkpoint:
    """Reads a whole checkpoint; raises anything for a damaged one.

    `ZipFile.read` compares the checksum before a byte of the member is looked at; `numpy.load`
    would believe the shape first and check later, or never.
    """
    with zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read(_STATE))
        if header["format"] > FORMAT:
            raise InputError(
                f"{path}: written by a newer version of keras_transformer (checkpoint format "
                f"{header['format']}, known up to {FORMAT}): upgrade keras_transformer."
            )
        arrays = {}
        for name in header["arrays"]:
            content = io.BytesIO(archive.read(f"{name}.npy"))
            arrays[name] = np.lib.format.read_array(content, allow_pickle=False)
    for name, dtype in header["ml_dtypes"].items():
        arrays[name] = arrays[name].view(_foreign_dtype(dtype))
    if header["step"] != int(_CHECKPOINT.fullmatch(path.name)[1]):
        raise ValueError(f"it holds step {header['step']}")
    return Checkpoint(header["step"], arrays, header["state"])


def _is_foreign(dtype: np.dtype) -> bool:
    """Whether the dtype was added to numpy by another package, as `ml_dtypes` adds bfloat16."""
    return dtype.isbuiltin == 2


def _foreign_dtype(name: str) -> np.dtype:
    import ml_dtypes  # here only, for it is seldom met

    return np.dtype(getattr(ml_dtypes, name))


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
