"""The model card of an export: kind and size of the model, its training and its scores."""

from collections.abc import Sequence, Set
from pathlib import Path

import tensorflow as tf

from keras_transformer.config import config_from_json
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import (
    ABOUT_FILE,
    read_about,
    read_template,
    translation_title,
)
from keras_transformer.files import read_json, reason_of
from keras_transformer.models.ensemble import ModelEnsemble
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq


def model_card(translator, folder: Path, scores: Sequence[dict]) -> str:
    """Writes a model card in Markdown.

    Args:
        translator: what is exported. If it was loaded from a run, the card tells of the run.
        folder: of the written SavedModel, whose size and examples the card names.
        scores: what `evaluate` gave, each with the name of its ``test_set``.
    """
    tokenizers, model = translator.tokenizers, translator.transformer
    examples = set(read_about(folder)["examples"]) & set(translator.examples)
    facts = {
        "parameters": f"{model.count_params():,}",
        "size of the weights": f"{_size(folder / 'variables') / 1e6:,.1f} MB",
        "vocabulary": f"{int(tokenizers.source.get_vocab_size()):,} source tokens, "
        f"{int(tokenizers.target.get_vocab_size()):,} target tokens",
        "longest text": f"{translator.max_source_length} tokens; longer ones are "
        "translated in pieces",
        "search": _search(translator.decoding),
        "TensorFlow": tf.__version__,
    }
    return read_template("saved_model").format(
        title=translation_title(tokenizers.source_language, tokenizers.target_language),
        kind=_kind(model),
        model=_table(facts),
        training=_trainings(translator.folders, examples),
        scores=_scores(scores),
    )


def _kind(model) -> str:
    """The kind of the model, with its article."""
    if isinstance(model, ModelEnsemble):
        return f"An ensemble of {len(model.models)} models"
    if not isinstance(model, RecurrentSeq2Seq):
        return "A Transformer"
    shape = model.get_config()
    return (
        f"A recurrent model ({shape['kind'].upper()}, {shape['attention'] or 'without'} attention)"
    )


def _trainings(folders: Sequence[Path], examples: Set[str]) -> str:
    """The sections about data and training, one for each run.

    Args:
        folders: of the runs, whose files they are made of.
        examples: texts of the first one's corpus that the export holds.
    """
    sections = []
    for number, folder in enumerate(folders, 1):
        title = "Training" if len(folders) == 1 else f"Training of model {number}"
        facts = _table(_training(folder, examples if number == 1 else set()))
        sections.append(f"## {title}\n\n{facts}\n\n")
    return "".join(sections)


def _training(folder: Path, examples: Set[str]) -> dict[str, object]:
    """What the files of a run say of its data and training."""
    run = read_json(folder / "config.json")
    recipe = config_from_json(folder / "config.json").training
    corpus, licence = run.get("dataset", "unknown"), run.get("licence", "unknown")
    facts: dict[str, object] = {"corpus": f"`{corpus}`", "licence of its texts": licence}
    if examples:
        facts["texts of it in this folder"] = (
            f"{len(examples)}, as examples, in `{ABOUT_FILE.as_posix()}`"
        )
    metrics = folder / "metrics.json"
    if metrics.is_file():
        try:
            facts |= _measured(read_json(metrics))
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{metrics}: does not hold what training measured ({reason_of(error)}): delete it."
            ) from error
    return facts | {
        "precision": recipe.dtype,
        "label smoothing": recipe.label_smoothing,
        "seed": recipe.seed,
    }


def _measured(found) -> dict[str, str]:
    """What the content of a run's ``metrics.json`` says."""
    names = {"train_pairs": "training pairs", "dropped_pairs": "pairs left out as too long"}
    facts = {label: f"{found[name]:,}" for name, label in names.items() if name in found}
    facts |= {
        name.replace("_", " "): f"{found[name]:.4g}"
        for name in ("validation_loss", "validation_masked_accuracy", "validation_bleu")
        if name in found
    }
    if {"steps", "seconds"} <= found.keys():
        minutes = found["seconds"] / 60
        facts["training"] = f"{found['steps']:,} steps in {minutes:,.0f} minutes"
    return facts


def _scores(scores: Sequence[dict]) -> str:
    if not scores:
        return "None were given when this was exported."
    lines = ["| test set | metric | score | signature |", "| --- | --- | --- | --- |"]
    for found in scores:
        test_set = f"{found['test_set']}, {found['sentences']:,} sentences"
        for metric, label in (("bleu", "BLEU"), ("bleu_none", "BLEU"), ("chrf", "chrF2")):
            value = found[metric]
            signature = value["signature"].replace("|", " ")  # bars are columns here
            lines.append(f"| {test_set} | {label} | {value['score']:.2f} | `{signature}` |")
    return "\n".join(lines)


def _search(config) -> str:
    if config.sampling:
        return f"sampling, temperature {config.temperature}"
    if config.beam_size == 1:
        return "greedy"
    return f"beam of {config.beam_size}, length penalty {config.length_penalty}"


def _table(facts: dict[str, object]) -> str:
    return "\n".join(f"- {label}: {value}" for label, value in facts.items())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
