"""The word vectors that a run starts from, read once and kept in its folder."""

from pathlib import Path

from keras_transformer.config import Config
from keras_transformer.data.arrays import read_arrays, write_arrays
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.data.word_vectors import WordVectorRows, read_word_vectors, word_vector_rows
from keras_transformer.errors import InputError
from keras_transformer.layers.embeddings import set_word_vectors

FILE = "word_vectors.npz"


def initial_vectors(
    folder: Path, config: Config, tokenizers: Tokenizers, *, write: bool
) -> dict[str, WordVectorRows]:
    """The vectors of the vocabularies, from the run folder or, the first time, from the files.

    Args:
        folder: the run folder.
        config: whose ``word_vectors`` name the files.
        tokenizers: whose tokens get vectors.
        write: whether to keep them in the folder.

    Returns:
        rows for each side that has a file, ``source`` or ``target``.

    Raises:
        InputError: as `word_vector_rows`.
    """
    wanted = config.word_vectors
    files = {
        side: file for side in ("source", "target") if (file := getattr(wanted, side)) is not None
    }
    path = folder / FILE
    if not files or path.exists():
        return _read(path) if files else {}
    scale = None
    if config.model.family == "transformer":  # leave the positions, which are added, their say
        scale = config.model.d_model**-0.5
    rows = {
        side: word_vector_rows(
            getattr(tokenizers, side),
            read_word_vectors(file, limit=wanted.limit),
            standard_deviation=scale,
            seed=config.training.seed,
        )
        for side, file in files.items()
    }
    if write:
        arrays = {
            f"{side}_{name}": getattr(part, name)
            for side, part in rows.items()
            for name in ("matrix", "found")
        }
        write_arrays(path, arrays)
    return rows


def _read(path: Path) -> dict[str, WordVectorRows]:
    arrays = read_arrays(path)
    sides = [name.removesuffix("_matrix") for name in arrays if name.endswith("_matrix")]
    return {
        side: WordVectorRows(arrays[f"{side}_matrix"], arrays[f"{side}_found"]) for side in sides
    }


def start_from(model, rows: dict[str, WordVectorRows], freeze: str) -> None:
    """Puts word vectors into a model that is not compiled yet.

    Args:
        model: a `Transformer` or a `RecurrentSeq2Seq`.
        rows: from `initial_vectors`.
        freeze: ``none``, ``found`` or ``all`` of them stay as they are.

    Raises:
        InputError: when they do not fit the model.
    """
    for side, part in rows.items():
        trainable = {"none": True, "found": ~part.found, "all": False}[freeze]
        try:
            set_word_vectors(model, side, part.matrix, trainable=trainable)
        except ValueError as error:
            raise InputError(f"word_vectors.{side}: {error}") from error
