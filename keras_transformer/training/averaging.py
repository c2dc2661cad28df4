"""Averages of weights: of the last checkpoints of a run, of named ones, or of several runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_transformer.config import config_from_json, is_run
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.decoding.shortlist import FILE as SHORTLIST_FILE
from keras_transformer.errors import InputError, whole_number
from keras_transformer.files import read_json, write_bytes, write_json
from keras_transformer.models.runs import WEIGHTS_FILE, load_run, save_weights
from keras_transformer.training.checkpoints import (
    Checkpoints,
    assign_arrays,
    is_checkpoint,
    read_checkpoint,
)
from keras_transformer.training.initial_vectors import initial_vectors
from keras_transformer.training.run import make_step
from keras_transformer.training.run_folder import AVERAGE, CHECKPOINTS
from keras_transformer.translating.alignment import FILE as ALIGNMENT_FILE


def average_weights(sources: Sequence, output, *, last: int | None = None) -> Path:
    """Writes a run whose weights are the uniform mean of others', as in Vaswani et al. (2017, 6.1).

    The new run has tokenizers, configuration, alignment and shortlist of the first source, and is
    translated with, evaluated, exported and started from (`init_from`) like any other. Checkpoints
    of one run lie near each other; several runs do so if they started from the same one.

    Args:
        sources: run folders, whose best weights count, and files of checkpoints in such folders,
            whose weights count as validation sees them: their moving average where the run keeps
            one.
        output: the run folder to write, which must not hold a run.
        last: of each run folder take so many of its newest checkpoints instead.

    Returns:
        `output`.

    Raises:
        InputError: when there is one run folder and no `last`, a source is neither or damaged, a
            run has fewer checkpoints, runs differ in vocabularies or models, or `output` holds a
            run or cannot be written.
    """
    paths = list(_paths(map(Path, sources), last))
    output = Path(output)
    if (output / "config.json").exists():
        raise InputError(f"{output}: holds a run already: choose another folder.")
    runs = {path: _run_of(path) for path in paths}
    folders = list(dict.fromkeys(runs.values()))
    _refuse_other_models(folders)
    of_runs = (
        weights
        for folder in folders
        for weights in _weights(folder, [path for path in paths if runs[path] == folder])
    )
    _write(folders[0], output, _mean(of_runs), paths)
    return output


def _paths(sources: Iterable[Path], last: int | None) -> Iterator[Path]:
    """The files of checkpoints and the run folders whose weights count."""
    sources = list(sources)
    if last is not None:
        last = whole_number("last", last)
    elif len(sources) < 2 and not any(map(is_checkpoint, sources)):
        raise InputError(
            "The best weights of one run are no average: ask for its last checkpoints (--last N, "
            "last=N), or name more runs."
        )
    for source in sources:
        if _run_of(source) != source or last is None:
            yield source
            continue
        found = Checkpoints(source / CHECKPOINTS).paths()
        if len(found) < last:
            raise InputError(
                f"{source}: has {len(found)} checkpoints, not {last}: ask for fewer, or train with "
                "a larger training.keep_checkpoints."
            )
        yield from found[:last]


def _run_of(path: Path) -> Path:
    """The run folder that a source is or lies in."""
    folder = path.parent.parent if is_checkpoint(path) else path
    if not is_run(folder):
        raise InputError(
            f"{path}: is neither a run folder nor a checkpoint of one: name folders that train "
            f"wrote, or files of their {CHECKPOINTS}/."
        )
    return folder


def _refuse_other_models(folders: Sequence[Path]):
    """All runs must have the model and the tokenizers of the first."""
    first, *others = folders
    model = config_from_json(first / "config.json").to_dict()["model"]
    tokenizers = Tokenizers.load(first / "tokenizers")
    for other in others:
        has = config_from_json(other / "config.json").to_dict()["model"]
        for name in (name for name in model | has if model.get(name) != has.get(name)):
            raise InputError(
                f"{other}: has model.{name} = {has.get(name)}, and {first} {model.get(name)}: "
                "average runs of one model."
            )
        if not tokenizers.equals(Tokenizers.load(other / "tokenizers")):
            raise InputError(
                f"{other}: has other vocabularies than {first}: average runs with the same, such "
                "as those that started from one run (train --init-from)."
            )


def _weights(folder: Path, paths: Iterable[Path]) -> Iterator[list[np.ndarray]]:
    """The weights of the checkpoints of a run, and its best ones for the folder itself."""
    step = None
    for path in paths:
        if path == folder:
            yield [weight.numpy() for weight in load_run(folder).model.weights]
            continue
        if step is None:  # once, and only where a checkpoint needs it
            step = _step_of(folder)
        if not assign_arrays(step.variables, read_checkpoint(path).arrays):
            raise InputError(f"{path}: does not fit {folder / 'config.json'}: name another.")
        with step.averaged():
            yield [weight.numpy() for weight in step.model.weights]


def _step_of(folder: Path):
    """A `TrainingStep` as a run had it, whose weights that are not trained are in place."""
    config = config_from_json(folder / "config.json")
    tokenizers = Tokenizers.load(folder / "tokenizers")
    vectors = initial_vectors(folder, config, tokenizers, write=False)
    return make_step(config, tokenizers, vectors, folder, tf.distribute.get_strategy())


def _mean(of_runs: Iterable[list[np.ndarray]]) -> list[np.ndarray]:
    """The mean of weights, added up in float64."""
    count, sums, dtypes = 0, [], []
    for weights in of_runs:
        dtypes = [weight.dtype for weight in weights]
        of_one = [weight.astype(np.float64) for weight in weights]
        sums = [total + more for total, more in zip(sums, of_one, strict=True)] if count else of_one
        count += 1
    return [(total / count).astype(dtype) for total, dtype in zip(sums, dtypes, strict=True)]


def _write(first: Path, output: Path, weights: list[np.ndarray], paths: Sequence[Path]):
    """Writes the run folder; ``config.json``, which makes it one, at the end."""
    run = load_run(first)
    for weight, value in zip(run.model.weights, weights, strict=True):
        weight.assign(value)
    run.tokenizers.save(output / "tokenizers")
    save_weights(run.model, output / WEIGHTS_FILE)
    for name in (ALIGNMENT_FILE, SHORTLIST_FILE):
        if (first / name).exists():
            write_bytes(output / name, (first / name).read_bytes())
    description = read_json(first / "config.json")
    write_json(output / "config.json", {**description, AVERAGE: [str(path) for path in paths]})
