"""What translators and generators are loaded from: a run folder, or what an export wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_transformer.config import Config, config_from_json, is_run
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import SAVED_MODEL_FILE, find_export, usable_examples
from keras_transformer.files import read_json
from keras_transformer.models.runs import SavedRun, is_language_model, load_run
from keras_transformer.translating.alignment import FILE as ALIGNMENT_FILE
from keras_transformer.translating.alignment import AlignmentHead
from keras_transformer.translating.ctranslate2 import CTranslate2Translator
from keras_transformer.translating.exported import ExportedTranslator


def load_exported(path, *, jit_compile=None) -> ExportedTranslator | CTranslate2Translator | None:
    """Loads what `export` or `export_ctranslate2` wrote; ``None`` for a run folder.

    Args:
        path: a version folder of an export, or the folder above it, of which the highest version
            is taken.
        jit_compile: use the signatures that XLA compiles.

    Raises:
        InputError: when it is neither, or damaged.
    """
    if is_run(path):
        return None
    folder = find_export(path)
    if (folder / SAVED_MODEL_FILE).is_file():
        return ExportedTranslator(folder, jit_compile=bool(jit_compile))
    if jit_compile:
        raise InputError(f"{folder}: CTranslate2 has no programs for XLA: leave out --compile.")
    return CTranslate2Translator(folder)


def load_translation_runs(folders: Sequence) -> list[SavedRun]:
    """Loads run folders whose models translate, with the same tokenizers.

    Raises:
        InputError: when there is none, one is no run folder or damaged, its model is of one
            language, or it has other tokenizers than the first.
    """
    if not folders:
        raise InputError("No model was given: give a run folder, or several for an ensemble.")
    for folder in folders:
        if not is_run(folder):
            raise InputError(f"{folder}: is no run folder, of which alone ensembles are made.")
        if is_language_model(folder):
            raise InputError(
                f"{folder}: holds a language model, which does not translate: use generate "
                "(Generator.load) for a GPT, and evaluate for any."
            )
    first, *others = runs = [load_run(folder) for folder in folders]
    for other in others:
        if not first.tokenizers.equals(other.tokenizers):
            raise InputError(
                f"{other.folder}: has other vocabularies than {first.folder}: make an ensemble of "
                "runs with the same, such as those trained on one corpus with another seed."
            )
    return runs


def run_alignment_head(folder, config: Config) -> AlignmentHead | None:
    """Which head of a run's model aligns; ``None`` for a model without heads to choose from.

    Args:
        folder: of the run.
        config: of the run.
    """
    if config.model.family != "transformer":
        return None
    if config.training.guided_alignment:
        return AlignmentHead(*config.guided_head)
    chosen = AlignmentHead.load(folder)
    if chosen is None:
        return AlignmentHead(max(1, config.model.decoder_layers - 1), ahead=True)
    layers, heads = config.model.decoder_layers, config.model.num_heads
    if not (1 <= chosen.layer <= layers and 1 <= (chosen.head or 1) <= heads):
        raise InputError(
            f"{folder}: the model has no head {chosen.head} of layer {chosen.layer}, which "
            f"{ALIGNMENT_FILE} names: delete that file."
        )
    return chosen


def run_examples(folder) -> list[str]:
    """Texts to try the model of a run folder with; runs of version 0.1 have none."""
    return usable_examples(read_json(Path(folder) / "config.json").get("examples"))


def load_generation_run(folder) -> SavedRun:
    """Loads a run folder whose model is a `GPT`.

    Raises:
        InputError: when it is no run folder, its model is another, or it is damaged.
    """
    config = Path(folder) / "config.json"
    if not config.is_file():
        raise InputError(f"{folder}: is no run folder: it has no config.json.")
    family = config_from_json(config).model.family
    if family != "gpt":
        raise InputError(
            f"{folder}: holds a model of the family {family}, which does not go on with texts: "
            "train one with --model gpt."
        )
    return load_run(folder)
