"""A whole run: corpus in, run folder out."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import keras
import tensorflow as tf

from keras_transformer.config import Config
from keras_transformer.data.batching import batch_dataset, tokenize_pairs
from keras_transformer.data.corpora import Corpus, list_pairs
from keras_transformer.data.tokenizers import Tokenizers, train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.models.transformer import Transformer
from keras_transformer.training.callbacks import (
    BestWeights,
    Limits,
    ProgressBar,
    SampleTranslations,
)
from keras_transformer.training.losses import MaskedLoss
from keras_transformer.training.metrics import MaskedAccuracy, MaskedCrossentropy
from keras_transformer.training.schedules import CustomSchedule
from keras_transformer.translator import Translator

NO_LIMIT_EPOCHS = 1_000_000
"""Epochs of a run that only steps or minutes limit."""


@dataclass(frozen=True)
class Run:
    """What `train` leaves behind.

    Attributes:
        folder: the run folder.
        translator: with the best weights.
        metrics: what ``metrics.json`` holds.
    """

    folder: Path
    translator: Translator
    metrics: dict


def train(
    corpus: Corpus, output, config: Config | None = None, *, tokenizers: Tokenizers | None = None
) -> Run:
    """Trains a Transformer and writes a run folder.

    The folder holds ``config.json``, ``tokenizers/``, ``training_log.csv`` (a line for each
    epoch), ``metrics.json`` and ``model.weights.h5``, the weights with the lowest validation loss.

    Args:
        corpus: pairs to train on and to validate with.
        output: the run folder, which must not hold a run yet.
        config: shape and recipe; the tutorial's unless given.
        tokenizers: tokenizers to use; learned from the corpus unless given.

    Returns:
        the run.

    Raises:
        InputError: when `output` holds a run or cannot be written, the corpus lacks a split, or
            the loss stops being a number.
    """
    started = time.monotonic()
    config = config or Config()
    recipe = config.training
    train_pairs, validation_pairs = corpus.require("train"), corpus.require("validation")
    folder = _new_run_folder(output)
    keras.utils.set_random_seed(recipe.seed)

    tokenizers = tokenizers or _learn_tokenizers(corpus, config)
    tokenizers.save(folder / "tokenizers")
    _write_json(folder / "config.json", _description(corpus, config))
    train_ids = tokenize_pairs(train_pairs, tokenizers, recipe.max_tokens)
    validation_ids = tokenize_pairs(validation_pairs, tokenizers, recipe.max_tokens)
    for name, pairs in (("training", train_ids), ("validation", validation_ids)):
        left_out = f"{pairs.dropped:,} longer than {recipe.max_tokens} tokens left out"
        _say(f"{len(pairs):,} {name} pairs ({pairs.target_tokens():,} target tokens), {left_out}")

    model = make_model(config, tokenizers)
    translator = Translator(tokenizers, model, decoding=config.decoding)
    best = BestWeights(folder / "model.weights.h5")
    model.fit(
        batch_dataset(train_ids, recipe.batch_tokens, seed=recipe.seed),
        validation_data=batch_dataset(validation_ids, recipe.batch_tokens, shuffle=False),
        epochs=recipe.epochs or NO_LIMIT_EPOCHS,
        shuffle=False,  # the batches are shuffled already
        verbose=0,
        callbacks=[
            Limits(recipe.max_steps, recipe.max_minutes),
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.CSVLogger(str(folder / "training_log.csv")),
            best,
            ProgressBar(recipe.epochs, recipe.max_steps),
            SampleTranslations(translator, list_pairs(validation_pairs.take(2))),
        ],
    )
    if best.epoch is None:
        raise InputError(
            "The loss is no longer a number: lower training.learning_rate_scale, or raise "
            "training.warmup_steps."
        )
    model.load_weights(best.path)
    metrics = {
        "validation_loss": best.loss,
        "best_epoch": best.epoch,
        "steps": int(model.optimizer.iterations),
        "seconds": round(time.monotonic() - started, 1),
        "train_pairs": len(train_ids),
        "dropped_pairs": train_ids.dropped,
        "parameters": model.count_params(),
    }
    _write_json(folder / "metrics.json", metrics)
    _say(f"{folder}: best validation loss {best.loss:.3f}, of epoch {best.epoch}")
    return Run(folder, translator, metrics)


def make_model(config: Config, tokenizers: Tokenizers) -> Transformer:
    """The configured model, compiled for `fit` with the configured recipe."""
    recipe = config.training
    model = Transformer(
        **config.model_arguments(),
        input_vocab_size=tokenizers.source.get_vocab_size(),
        target_vocab_size=tokenizers.target.get_vocab_size(),
        dtype=recipe.dtype,
    )
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    model.compile(
        loss=MaskedLoss(recipe.label_smoothing),
        optimizer=keras.optimizers.Adam(
            CustomSchedule(config.model.d_model, recipe.warmup_steps, recipe.learning_rate_scale),
            beta_1=0.9,
            beta_2=recipe.beta_2,
            epsilon=1e-9,
        ),
        metrics=[MaskedCrossentropy(name="loss"), MaskedAccuracy()],
        jit_compile=on_gpu if recipe.jit_compile is None else recipe.jit_compile,
    )
    _say(f"a model of {model.count_params():,} parameters, computing in {recipe.dtype}")
    return model


def _learn_tokenizers(corpus: Corpus, config: Config) -> Tokenizers:
    wanted = config.tokenizer
    tokenizers = train_tokenizers(
        corpus, kind=wanted.kind, vocab_size=wanted.vocab_size, shared=wanted.shared
    )
    sizes = [int(side.get_vocab_size()) for side in (tokenizers.source, tokenizers.target)]
    _say(
        f"{wanted.kind} vocabularies of {corpus.name}: {sizes[0]:,} {corpus.source_language} and "
        f"{sizes[1]:,} {corpus.target_language} tokens"
    )
    return tokenizers


def _new_run_folder(output) -> Path:
    folder = Path(output)
    if (folder / "config.json").exists():
        raise InputError(f"{folder}: holds a run already: choose another folder or delete it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}).") from error
    return folder


def _description(corpus: Corpus, config: Config) -> dict:
    return {
        "config": config.to_dict(),
        "dataset": corpus.name,
        "licence": corpus.licence,
        "versions": {name: version(name) for name in ("keras_transformer", "tensorflow", "keras")},
    }


def _write_json(path: Path, content: dict) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
