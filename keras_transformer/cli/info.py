"""``keras-transformer info``: what a run folder or an exported model holds."""

import dataclasses
from pathlib import Path

import click

from keras_transformer.cli.options import model_option, start_tensorflow
from keras_transformer.cli.streams import write_line
from keras_transformer.config import LANGUAGE_MODELS, is_run
from keras_transformer.exporting.format import (
    ABOUT_FILE,
    LIMITS_FILE,
    SAVED_MODEL_FILE,
    UNKNOWN_LANGUAGE,
    find_export,
    read_about,
)
from keras_transformer.files import read_json


@click.command()
@model_option
def info(model_path):
    """Say what a run folder or an exported model holds."""
    (_of_run if is_run(model_path) else _of_export)(model_path)


def _of_export(path: Path) -> None:
    """Says what the files of an export say, without loading its model, which takes long."""
    folder = find_export(path)
    is_saved_model = (folder / SAVED_MODEL_FILE).is_file()
    write_line(f"exported model: {folder}")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    write_line(f"form: {'SavedModel' if is_saved_model else 'CTranslate2'}, {size / 1e6:,.1f} MB")
    if is_saved_model:
        about = read_about(folder) if (folder / ABOUT_FILE).is_file() else {}
        source, target = (
            about.get(f"{side}_language", UNKNOWN_LANGUAGE) for side in ("source", "target")
        )
    else:
        about = read_json(folder / LIMITS_FILE)
        sides = read_json(folder / "tokenizers" / "tokenizers.json")
        source, target = (
            sides.get(side, {}).get("language", UNKNOWN_LANGUAGE) for side in ("source", "target")
        )
    write_line(f"languages: {source} to {target}")
    if "max_source_length" in about:
        write_line(f"max_source_length: {about['max_source_length']}")
    for text in about.get("examples", ()):
        write_line(f"example: {text}")


def _of_run(folder: Path) -> None:
    start_tensorflow()
    from keras_transformer.models.runs import load_run

    run = load_run(folder)
    tokenizers = run.tokenizers
    target = f"{tokenizers.target_language} ({int(tokenizers.target.get_vocab_size()):,} tokens)"
    write_line(f"parameters: {run.model.count_params():,}")
    if run.config.model.family in LANGUAGE_MODELS:
        write_line(f"language: {target}")
    else:
        source = f"{tokenizers.source_language} ({int(tokenizers.source.get_vocab_size()):,}"
        write_line(f"languages: {source} tokens) to {target}")
    for name, values in dataclasses.asdict(run.config).items():
        write_line(f"{name}: " + ", ".join(f"{key}={value}" for key, value in values.items()))
    metrics = folder / "metrics.json"
    if metrics.is_file():
        write_line(
            f"metrics: {' '.join(metrics.read_text(encoding='utf-8', errors='replace').split())}"
        )
