"""Files of a Hugging Face checkpoint: tensors by their names, and JSON beside them.

A folder holds ``config.json`` and the tensors: ``model.safetensors``, or shards of it that
``model.safetensors.index.json`` lists, or what PyTorch pickled, ``pytorch_model.bin``, whole or in
shards. Format of the first: https://github.com/huggingface/safetensors.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from keras_transformer.errors import InputError
from keras_transformer.files import make_folder, parse_json, reason_of, write_atomically, write_json

CONFIG = "config.json"
TENSORS = "model.safetensors"
PICKLE = "pytorch_model.bin"
_INDEX = ".index.json"

DTYPES: dict[str, np.dtype] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
"""Types of stored weights, by their names in ``config.json``."""


class Checkpoint(Mapping):
    """The tensors of a checkpoint's folder by their names, each read when it is asked for.

    Attributes:
        most_values: as many numbers as its files have room for.

    Raises:
        InputError: where there are none, a file is missing or damaged, or the library that reads
            it is not installed.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(
                f"{folder}: is no folder: give the local folder of a checkpoint; nothing is "
                "downloaded here."
            )
        for name, reader in ((TENSORS, _safetensors), (PICKLE, _pickled)):
            if files := self._files(name):
                self.most_values = sum(_bytes_of(file) for file in files) // 2  # of 16 bits
                self._readers: dict[str, Callable[[str], np.ndarray]] = {}
                for file in files:
                    self._readers |= _opened(file, reader)
                return
        raise InputError(
            f"{folder}: holds no weights: expected {TENSORS}, {TENSORS}{_INDEX} or {PICKLE}."
        )

    def _files(self, name) -> list[Path]:
        if (self.folder / name).is_file():
            return [self.folder / name]
        index = self.folder / f"{name}{_INDEX}"
        if not index.is_file():
            return []
        shards = read_config(self.folder, index.name).get("weight_map")
        named = isinstance(shards, dict) and all(isinstance(s, str) for s in shards.values())
        if not named or not shards:
            raise InputError(f"{index}: is damaged: lists no shards; fetch the checkpoint again.")
        # Only names: an index must not lead out of the folder.
        return [self.folder / Path(shard).name for shard in sorted(set(shards.values()))]

    def __getitem__(self, name) -> np.ndarray:
        return self._readers[name](name)

    def __iter__(self):
        return iter(self._readers)

    def __len__(self):
        return len(self._readers)


def _bytes_of(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0  # who reads it says that it is missing


def _opened(file: Path, reader) -> dict[str, Callable[[str], np.ndarray]]:
    try:
        return reader(file)
    except InputError:
        raise
    except Exception as error:  # every library has its own kinds
        raise InputError(
            f"{file}: cannot be read ({reason_of(error)}): fetch the checkpoint again."
        ) from error


def _safetensors(file: Path):
    tensors = _library("safetensors").safe_open(str(file), framework="numpy")
    return dict.fromkeys(tensors.keys(), tensors.get_tensor)


def _pickled(file: Path):
    torch = _library("torch", f"{file}: is pickled by PyTorch")
    tensors = torch.load(file, map_location="cpu", weights_only=True)

    def array(name):
        tensor = tensors[name].detach()
        if tensor.dtype == torch.bfloat16:  # which NumPy has not
            return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return tensor.numpy()

    return dict.fromkeys(tensors, array)


def _library(name: str, need="reading and writing a checkpoint") -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = (
            'pip install "keras_transformer[huggingface]"'
            if name == "safetensors"
            else f"pip install torch, or save the checkpoint as {TENSORS}"
        )
        raise InputError(f"{need} needs {name}, which is not installed: {remedy}.") from error


def read_json(path) -> Any:
    """Reads a JSON file of a checkpoint.

    Raises:
        InputError: where it is missing or damaged.
    """
    try:
        return parse_json(Path(path).read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({reason_of(error)}): give the whole folder of a checkpoint."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path}: is no JSON ({reason_of(error)}): fetch the checkpoint again."
        ) from error


def read_config(folder, name=CONFIG) -> dict[str, Any]:
    """Reads the ``config.json`` of a folder, or another JSON object.

    Raises:
        InputError: where it is missing or damaged.
    """
    path = Path(folder) / name
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError(f"{path}: is damaged: no JSON object; fetch the checkpoint again.")
    return config


def write_checkpoint(folder, config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Writes ``config.json`` and ``model.safetensors`` into a folder, made if need be.

    Raises:
        InputError: where they cannot be written, or safetensors is not installed.
    """
    save_file = _library("safetensors.numpy", "writing a checkpoint").save_file
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    make_folder(folder)
    write_atomically(
        Path(folder) / TENSORS,
        # PyTorch's readers look for this mark.
        lambda unfinished: save_file(contiguous, str(unfinished), metadata={"format": "pt"}),
    )
    write_json(Path(folder) / CONFIG, config)
