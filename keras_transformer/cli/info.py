"""``keras-transformer info``: what a run folder or an exported model holds."""

import dataclasses

from keras_transformer.cli.options import model_option, verb
from keras_transformer.cli.streams import write_line
from keras_transformer.config import LANGUAGE_MODELS


@verb()
@model_option
def info(model_path):
    """Say what a run folder or an exported model holds."""
    from keras_transformer.models.runs import is_run, load_run
    from keras_transformer.translating.translator import Translator

    if not is_run(model_path):
        write_line(f"exported model: {Translator.load(model_path).folder}")
        return
    run = load_run(model_path)
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
    metrics = model_path / "metrics.json"
    if metrics.is_file():
        write_line(
            f"metrics: {' '.join(metrics.read_text(encoding='utf-8', errors='replace').split())}"
        )
