"""COMET: scores of translations by a model that learned how people judge them (Rei et al. 2020).

The package `unbabel-comet` and TensorFlow ask for different versions of protobuf, so no environment
has both. Its command ``comet-score`` is called instead, which `pipx install unbabel-comet` puts on
the path from an environment of its own.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of

COMMAND = "comet-score"


def check_comet(model: str) -> str:
    """The path of the command, once it and a model that is a file are there.

    Args:
        model: a checkpoint, as a path that ends in ``.ckpt``, or a name on the Hugging Face hub.

    Raises:
        InputError: when one of them is not.
    """
    command = shutil.which(COMMAND)
    if command is None:
        raise InputError(
            f"{COMMAND}, which computes COMET, is not on the path: pipx install unbabel-comet, "
            "since TensorFlow's environment cannot have it."
        )
    if model.endswith(".ckpt") and not Path(model).is_file():
        raise InputError(f"{model}: there is no such checkpoint of COMET.")
    return command


def comet_scores(
    sources: Sequence[str],
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    model: str,
) -> dict[str, dict[str, Any]]:
    """Scores the translations of systems.

    Args:
        sources, references: of the test set, in natural style for models that learned from that.
        systems: translations by the names of systems, one for each source.
        model: as for `check_comet`.

    Returns:
        for each system ``{"score", "signature", "sentences"}``: the mean, the model, and the score
        of each sentence.

    Raises:
        InputError: when the command or the model is not there, or the command fails.
    """
    command = check_comet(model)
    with tempfile.TemporaryDirectory() as folder:

        def file_of(name: str, lines: Iterable[str]) -> str:
            path = Path(folder, name)
            text = "".join(" ".join(line.split()) + "\n" for line in lines)
            path.write_text(text, encoding="utf-8")
            return str(path)

        translations = [file_of(f"{number}.txt", of) for number, of in enumerate(systems.values())]
        output = Path(folder, "scores.json")
        gpus = len(tf.config.list_physical_devices("GPU"))
        arguments = ["-s", file_of("sources.txt", sources), "-t", *translations]
        arguments += ["-r", file_of("references.txt", references)]
        arguments += ["--model", model, "--gpus", str(min(gpus, 1)), "--quiet", "--only_system"]
        arguments += ["--to_json", str(output)]
        found = _run([command, *arguments], output)
        return {
            name: _scores_of(found, path, model)
            for name, path in zip(systems, translations, strict=True)
        }


def _run(command: list[str], output: Path) -> dict[str, Any]:
    """Runs the command and reads what it wrote."""
    # It would import the packages of this environment, if these are on Python's path.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )
    try:
        if done.returncode:
            raise InputError(f"it ended with {done.returncode}")
        return json.loads(output.read_bytes())
    except (InputError, OSError, ValueError) as error:
        lines = done.stdout.strip().splitlines() or [reason_of(error)]
        raise InputError(f"{COMMAND} gave no scores: {lines[-1]}") from error


def _scores_of(found: dict[str, Any], path: str, model: str) -> dict[str, Any]:
    sentences = [float(sentence["COMET"]) for sentence in found[path]]
    mean = sum(sentences) / len(sentences)
    return {"score": mean, "signature": f"model:{model}", "sentences": sentences}
