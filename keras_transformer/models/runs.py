"""Loading a run folder: configuration, tokenizers and the model with its best weights."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from keras_transformer.config import Config, config_from_json, is_run
from keras_transformer.config.model import LANGUAGE_MODELS
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.files import reason_of, write_bytes
from keras_transformer.internals import give_values, weights_file, without_values
from keras_transformer.models.families import make_model

WEIGHTS_FILE = "model.weights.h5"
_CHECKSUM = "keras_transformer_sha256"  # attribute of the file
_SPARE = 1_000_000  # values that a model may have more than twice what is stored


@dataclass(frozen=True)
class SavedRun:
    """The contents of a run folder.

    Attributes:
        folder: the run folder.
        config: its configuration.
        tokenizers: its tokenizers; a language model has the same for both sides.
        model: the model with the weights of the best validation score.
    """

    folder: Path
    config: Config
    tokenizers: Tokenizers
    model: keras.Model


def is_language_model(folder) -> bool:
    """Whether a folder is a run folder of a model of one language."""
    if not is_run(folder):
        return False
    return config_from_json(Path(folder) / "config.json").model.family in LANGUAGE_MODELS


def load_run(folder) -> SavedRun:
    """Loads a run folder.

    Raises:
        InputError: when a file is missing, damaged or does not fit the others.
    """
    folder = Path(folder)
    config = config_from_json(folder / "config.json")
    tokenizers = Tokenizers.load(folder / "tokenizers")
    sizes = {
        "input_vocab_size": tokenizers.source.get_vocab_size(),
        "target_vocab_size": tokenizers.target.get_vocab_size(),
    }
    weights = folder / WEIGHTS_FILE
    stored = check_weights(weights)
    try:
        with without_values():
            model = make_model(config.model, **sizes)
        check_size(model, stored, weights)
        give_values(model)
    except (ValueError, TypeError, MemoryError, tf.errors.OpError) as error:
        if isinstance(error, InputError) and str(weights) in str(error):
            raise
        raise InputError(
            f"{folder / 'config.json'}: makes no model here ({reason_of(error)}): give the whole "
            "folder of a run that fits this machine."
        ) from error
    _load_checked(model, weights)
    return SavedRun(folder, config, tokenizers, model)


def save_weights(model, path) -> None:
    """Writes the weights of a model as Keras does, in one go and with their checksum in the file.

    Raises:
        InputError: when the file cannot be written.
    """
    content = weights_file(model)
    with h5py.File(content, "r+") as file:
        file.attrs[_CHECKSUM], _ = _read(_datasets(file))
    write_bytes(path, content.getvalue())


def load_weights(model, path: Path) -> None:
    """Loads the ``model.weights.h5`` of a run.

    Raises:
        InputError: when it is missing, damaged or of another model.
    """
    check_weights(path)
    _load_checked(model, path)


def check_weights(path: Path) -> int:
    """Whether a file of weights is whole: every value is there, finite, and what was written.

    Files of version 0.1 have no checksum.

    Returns:
        the number of values.

    Raises:
        InputError: when it is missing or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: is missing: the training of this run did not finish.")
    try:
        with h5py.File(path) as file:
            datasets = _datasets(file)
            for name, dataset in datasets.items():
                if dataset.id.get_storage_size() < dataset.nbytes:
                    raise ValueError(f"{name} holds less than its shape says")
            checksum, not_finite = _read(datasets)
            if file.attrs.get(_CHECKSUM, checksum) != checksum:
                raise ValueError("its checksum is another")
            if not_finite is not None:
                raise ValueError(f"{not_finite} has values that are no finite numbers")
            return sum(dataset.size for dataset in datasets.values())
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged ({reason_of(error)}): bring back a copy, or train again."
        ) from error


def check_size(model, stored: int, where) -> None:
    """Refuses a model that is far larger than what is stored of it, before it takes the memory.

    Args:
        model: made in `without_values`.
        stored: number of values in the file.
        where: the file, for the error.

    Raises:
        InputError: when the model has many times as many weights.
    """
    wanted = sum(math.prod(weight.shape) for weight in model.weights)
    if wanted > _SPARE + 2 * stored:
        raise InputError(
            f"{where}: holds {stored:,} values, and config.json asks for {wanted:,}: give the "
            "config.json that belongs to these weights."
        )


def _load_checked(model, path: Path) -> None:
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"{path}: does not fit the configuration ({problem}).") from error


def _datasets(group: h5py.Group, prefix="") -> dict[str, h5py.Dataset]:
    """All data sets of a file by their names; it must have no links to elsewhere."""
    found = {}
    for name in sorted(group):
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{prefix}{name} is a link")
        there = group[name]
        if isinstance(there, h5py.Group):
            found |= _datasets(there, f"{prefix}{name}/")
        elif there.is_virtual or there.external:
            raise ValueError(f"{prefix}{name} lies in another file")
        else:
            found[prefix + name] = there
    return found


def _read(datasets: dict[str, h5py.Dataset]) -> tuple[str, str | None]:
    """The checksum of all data sets, and the name of the first that has no finite numbers."""
    digest, not_finite = hashlib.sha256(), None
    for name, dataset in datasets.items():
        values = dataset[()]
        digest.update(f"{name} {dataset.dtype.str} {dataset.shape}\n".encode())
        digest.update(values.tobytes())
        if not_finite is None and values.dtype.kind == "f" and not np.isfinite(values).all():
            not_finite = name
    return digest.hexdigest(), not_finite
