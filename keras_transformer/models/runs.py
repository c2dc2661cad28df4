"""Loading a run folder: configuration, tokenizers and the model with its best weights."""

from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_transformer.config import Config, config_from_json
from keras_transformer.config.model import LANGUAGE_MODELS
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.files import reason_of
from keras_transformer.models.families import make_model


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


def is_run(folder) -> bool:
    """Whether a folder is a run folder; a model of CTranslate2 has a ``config.json``, too."""
    folder = Path(folder)
    return (folder / "config.json").is_file() and not (folder / "model.bin").is_file()


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
    try:
        model = make_model(
            config.model,
            input_vocab_size=tokenizers.source.get_vocab_size(),
            target_vocab_size=tokenizers.target.get_vocab_size(),
        )
    except (ValueError, TypeError, MemoryError, tf.errors.OpError) as error:
        raise InputError(
            f"{folder / 'config.json'}: makes no model here ({reason_of(error)}): give the whole "
            "folder of a run that fits this machine."
        ) from error
    load_weights(model, folder / "model.weights.h5")
    return SavedRun(folder, config, tokenizers, model)


def load_weights(model, path: Path) -> None:
    """Loads the ``model.weights.h5`` of a run.

    Raises:
        InputError: when it is missing or of another model.
    """
    if not path.is_file():
        raise InputError(f"{path}: is missing: the training of this run did not finish.")
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"{path}: does not fit the configuration ({problem}).") from error
