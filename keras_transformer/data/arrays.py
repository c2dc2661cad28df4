"""Files of NumPy arrays, ``.npz``, written in one go and read only where they are whole."""

import io
import zipfile
from pathlib import Path

import numpy as np

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of, write_atomically


def write_arrays(path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays by their names.

    Raises:
        InputError: when the file cannot be written.
    """
    write_atomically(Path(path), lambda file: np.savez(file, **arrays))


def read_arrays(path) -> dict[str, np.ndarray]:
    """Reads what `write_arrays` wrote.

    Each array is read whole, which compares its checksum, before its shape is believed;
    `numpy.load` would make room first.

    Raises:
        InputError: where the file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name.removesuffix(".npy"): np.lib.format.read_array(
                    io.BytesIO(archive.read(name)), allow_pickle=False
                )
                for name in archive.namelist()
            }
    except Exception as error:  # damaged bytes can raise anything
        raise InputError(
            f"{path}: cannot be read ({reason_of(error)}): bring back a copy."
        ) from error
