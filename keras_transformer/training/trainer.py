"""A whole run: corpus in, run folder out."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from keras_transformer.config import Config, config_from_json
from keras_transformer.data.batches.token_store import TokenizedPairs, cached_pairs, corpus_key
from keras_transformer.data.corpora.corpus import Corpus, list_pairs
from keras_transformer.data.tokenizers.pair import FILE as TOKENIZERS_FILE
from keras_transformer.data.tokenizers.pair import Tokenizers, train_tokenizers
from keras_transformer.data.word_vectors import WordVectorRows
from keras_transformer.errors import InputError
from keras_transformer.files import delete_unfinished, write_atomically, write_json, write_text
from keras_transformer.losses.masked import MaskedLoss
from keras_transformer.losses.metrics import MaskedAccuracy, MaskedCrossentropy
from keras_transformer.models import families
from keras_transformer.models.bert_pretraining import BertPretraining
from keras_transformer.models.runs import load_weights
from keras_transformer.optimizers.adam import Adam
from keras_transformer.training.callbacks import ProgressBar
from keras_transformer.training.checkpoints import Checkpoints, arrays_of, assign_arrays
from keras_transformer.training.initial_vectors import initial_vectors, start_from
from keras_transformer.training.lock import FolderLock
from keras_transformer.training.loop import Progress, TrainingLoop
from keras_transformer.training.precision import fastest_dtype
from keras_transformer.training.step import TrainingStep, ValidationStep
from keras_transformer.training.tasks import task_of
from keras_transformer.translating.translator import Translator

if TYPE_CHECKING:
    from keras_transformer.translating.generator import Generator

LIMITS = ("epochs", "max_steps", "max_minutes")
"""What a resumed run may change."""


@dataclass(frozen=True)
class Run:
    """What `train` leaves behind.

    Attributes:
        folder: the run folder.
        translator: a `Translator` with the best weights, or a `Generator` where the model was a
            `GPT`; ``None`` for one that writes no text.
        metrics: what ``metrics.json`` holds.
        model: with the best weights.
    """

    folder: Path
    translator: Translator | Generator | None
    metrics: dict
    model: keras.Model


def train(
    corpus: Corpus,
    output,
    config: Config | None = None,
    *,
    tokenizers: Tokenizers | None = None,
    resume=False,
    init_from=None,
    strategy: tf.distribute.Strategy | None = None,
    callbacks=(),
) -> Run:
    """Trains a model and writes a run folder.

    The folder holds ``config.json``, ``tokenizers/``, ``tokens/`` (the corpus as ids),
    ``checkpoints/``, ``training_log.csv`` (a line for each epoch), ``logs/`` for TensorBoard,
    ``metrics.json`` and ``model.weights.h5``, the weights with the best validation score. A run
    that was interrupted, in whatever way, goes on with `resume` and ends with the same weights.

    Args:
        corpus: pairs to train on and to validate with.
        output: the run folder, which must not hold a run yet unless `resume` is set. All hosts of
            a `strategy` must see it.
        config: shape and recipe; the tutorial's unless given. A resumed run has its own, and
            takes the limits alone from here.
        tokenizers: tokenizers to use; learned from the corpus unless given.
        resume: go on with the run in the folder, or begin if there is none.
        init_from: another run folder, of the same model shape, whose tokenizers and weights to
            start from.
        strategy: a `tf.distribute.Strategy` to train under; one device unless given.
        callbacks: more Keras callbacks.

    Returns:
        the run.

    Raises:
        InputError: when `output` holds a run or cannot be written, another process trains there,
            the corpus lacks a split or changed since the run began, or the loss stops being a
            number.
    """
    started = time.monotonic()
    corpus.require("train"), corpus.require("validation")
    folder = _make_folder(Path(output))
    strategy = strategy or tf.distribute.get_strategy()
    chief = _is_chief(strategy)
    with FolderLock(folder) if chief else contextlib.nullcontext():
        if chief:
            for place in (folder, folder / "tokenizers", folder / "tokens"):
                delete_unfinished(place)
        config = _settle(folder, corpus, config, resume, chief)
        trainer = _Trainer(corpus, folder, config, strategy, chief)
        trainer.prepare(tokenizers, Path(init_from) if init_from else None)
        return trainer.run(started, callbacks)


def make_model(
    config: Config, tokenizers: Tokenizers, vectors: dict[str, WordVectorRows] | None = None
) -> keras.Model:
    """The configured model with its optimizer; `TrainingLoop` sets the rate of each step.

    Args:
        config: shape and recipe.
        tokenizers: its vocabularies.
        vectors: what its token vectors start from, from `initial_vectors`.
    """
    recipe = config.training
    model = families.make_model(
        config.model,
        input_vocab_size=tokenizers.source.get_vocab_size(),
        target_vocab_size=tokenizers.target.get_vocab_size(),
        dtype=recipe.dtype,
    )
    start_from(model, vectors or {}, config.word_vectors.freeze)
    losses = {
        "loss": MaskedLoss(recipe.label_smoothing),
        "metrics": [MaskedCrossentropy(name="loss"), MaskedAccuracy()],
    }
    model.compile(
        **({} if isinstance(model, BertPretraining) else losses),  # it has its own
        optimizer=Adam(beta_1=0.9, beta_2=recipe.beta_2, epsilon=1e-9),
        jit_compile=_jit_compile(config),
        auto_scale_loss=False,  # the step scales it
    )
    model.optimizer.build(model.trainable_variables)
    _say(f"a model of {model.count_params():,} parameters, computing in {recipe.dtype}")
    return model


def _settled(config: Config) -> dict:
    """What the training of a configuration leaves to the machine, as this one has it."""
    dtype = config.training.dtype
    return {
        "jit_compile": _jit_compile(config),
        "dtype": fastest_dtype() if dtype == "auto" else dtype,
    }


def _jit_compile(config: Config) -> bool:
    wanted = config.training.jit_compile
    if wanted is not None:
        return wanted
    # XLA unrolls no recurrence: each step of its loops is a kernel's start, as without it.
    return config.model.family == "transformer" and bool(tf.config.list_logical_devices("GPU"))


class _Trainer:
    """The parts of one run and what they do to its folder."""

    def __init__(self, corpus, folder, config, strategy, chief):
        self.task = task_of(corpus, config)
        self.corpus, self.folder, self.config = self.task.corpus, folder, config
        self.strategy, self.chief = strategy, chief
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.keys = {}  # of the corpus' splits

    def prepare(self, tokenizers, init_from):
        """Everything before the first step."""
        recipe = self.config.training
        wanted = getattr(self.config.model, "attention_implementation", "auto")
        if wanted == "cudnn" and not recipe.jit_compile:
            raise InputError(
                "model.attention_implementation: cudnn needs a step that XLA compiles for a GPU: "
                "set training.jit_compile to true there, or take auto."
            )
        keras.utils.set_random_seed(recipe.seed)
        self.tokenizers = self._tokenizers(tokenizers, init_from)
        self.train_pairs = self._token_ids("train")
        self.validation_pairs = self._token_ids("validation")
        vectors = initial_vectors(self.folder, self.config, self.tokenizers, write=self.chief)
        for side, rows in vectors.items():
            _say(f"word vectors for {rows.coverage:.0%} of the {side} tokens")
        with self.strategy.scope():
            self.model = make_model(self.config, self.tokenizers, vectors)
        if init_from is not None:
            with _without_optimizer(self.model):
                load_weights(self.model, init_from / "model.weights.h5")
        self.step = TrainingStep(
            self.model,
            self.model.optimizer,
            label_smoothing=recipe.label_smoothing,
            clip_norm=recipe.clip_norm,
            average_decay=recipe.average_decay,
            seed=recipe.seed,
            jit_compile=recipe.jit_compile,
            strategy=self.strategy,
        )
        self.progress = self._restore()

    def run(self, started, callbacks) -> Run:
        """Trains, and gathers what it came to."""
        recipe = self.config.training
        # Compiling would take longer than translating so few sentences.
        user = self.task.user(self.tokenizers, self.model, jit_compile=False)
        replicas = self.strategy.num_replicas_in_sync
        loop = TrainingLoop(
            recipe,
            self.step,
            self.task.batches(
                self.train_pairs,
                self.tokenizers,
                seed=recipe.seed,
                static_shapes=recipe.jit_compile,
                rows_multiple=replicas,
            ),
            validate=_Validation(
                self.model,
                self.task.batches(
                    self.validation_pairs, self.tokenizers, shuffle=False, seed=recipe.seed
                ),
                functools.partial(self.task.scores, user),
                recipe.select_by,
            ),
            save_best=self._save_best,
            save_checkpoint=self._save_checkpoint,
            progress=self.progress,
        )
        watchers = self._watchers(loop, user) if self.chief else ()
        try:
            loop.run([*callbacks, *watchers], started)
        except KeyboardInterrupt:
            _say(
                f"\n{self.folder}: stopped after step {self.progress.step:,}; everything is saved. "
                "Go on with --resume (resume=True)."
            )
            raise
        return self._finish()

    def _watchers(self, loop, user) -> list[keras.callbacks.Callback]:
        samples = list_pairs(self.corpus.validation.take(2))
        return [
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self._write_log()),
            ProgressBar(loop.total_steps(), self.progress.step),
            *self.task.watchers(user, samples, self.folder / "logs"),
        ]

    def _finish(self) -> Run:
        progress = self.progress
        if not progress.best_epoch:
            raise InputError(
                "No validation loss was a number: lower training.learning_rate_scale, or raise "
                "training.warmup_steps."
            )
        if self.chief:
            with _without_optimizer(self.model):
                load_weights(self.model, self.folder / "model.weights.h5")
        best = progress.history[progress.best_epoch - 1]
        scores = {
            name.replace("val_", "validation_"): value
            for name, value in best.items()
            if name.startswith("val_")
        }
        metrics = {
            **scores,
            "best_epoch": progress.best_epoch,
            "steps": progress.step,
            "seconds": round(progress.seconds, 1),
            f"train_{self.task.unit}": len(self.train_pairs),
            f"dropped_{self.task.unit}": self.train_pairs.dropped,
            "parameters": self.model.count_params(),
        }
        if self.chief:
            write_json(self.folder / "metrics.json", metrics)
        _say(
            f"{self.folder}: best validation loss {best['val_loss']:.3f}, of epoch "
            f"{progress.best_epoch}"
        )
        user = self.task.user(self.tokenizers, self.model)
        return Run(self.folder, user, metrics, self.model)

    def _tokenizers(self, given, init_from) -> Tokenizers:
        folder = self.folder / "tokenizers"
        if (folder / TOKENIZERS_FILE).exists():
            return Tokenizers.load(folder)
        if given is None and init_from is not None:
            given = Tokenizers.load(init_from / "tokenizers")
        tokenizers = given or _learn_tokenizers(self.corpus, self.config)
        if self.chief:
            tokenizers.save(folder)
        return tokenizers

    def _token_ids(self, split) -> TokenizedPairs:
        dataset, longest = self.corpus.require(split), self.config.training.max_tokens
        key = self.keys[split] = corpus_key(dataset, self.folder / "tokenizers", longest)
        path = self.folder / "tokens" / f"{split}.npz"
        path.parent.mkdir(exist_ok=True)
        sides = self.task.sides(self.tokenizers)
        pairs = cached_pairs(path, key, dataset, sides, longest, write=self.chief)
        _say(
            f"{len(pairs):,} {split} {self.task.unit} ({pairs.target_tokens():,} target tokens), "
            f"{pairs.dropped:,} longer than {longest} tokens left out"
        )
        return pairs

    def _restore(self) -> Progress:
        """Puts the newest checkpoint in place, if there is one."""
        checkpoint = self.checkpoints.load_latest()
        if checkpoint is None:
            return Progress()
        state = checkpoint.state
        if state["corpus"] != self.keys:
            raise InputError(
                f"{self.folder}: the corpus is not the one this run began with: give the same, or "
                "begin a new run with --init-from (init_from=...) this one."
            )
        if not assign_arrays(self.step.variables, checkpoint.arrays):
            raise InputError(f"{self.folder}: its checkpoint does not fit its config.json.")
        _say(f"{self.folder}: going on after step {checkpoint.step:,}")
        return Progress.from_dict(state["progress"])

    def _save_checkpoint(self, progress: Progress):
        if self.chief:
            state = {"progress": progress.to_dict(), "corpus": self.keys}
            self.checkpoints.save(progress.step, arrays_of(self.step.variables), state)

    def _save_best(self):
        if self.chief:
            with _without_optimizer(self.model):
                write_atomically(self.folder / "model.weights.h5", self.model.save_weights)

    def _write_log(self):
        history = self.progress.history
        columns = list(dict.fromkeys(name for logs in history for name in logs))
        lines = [",".join(["epoch", *columns])]
        for epoch, logs in enumerate(history, 1):
            lines.append(",".join([str(epoch), *(str(logs.get(name, "")) for name in columns)]))
        write_text(self.folder / "training_log.csv", "\n".join(lines) + "\n")


class _Validation:
    """Scores the model on the validation pairs.

    Args:
        model: the model.
        batches: of the pairs.
        scores: what else to tell, from the loss.
        select_by: ``loss`` or ``bleu``.
    """

    def __init__(self, model, batches, scores, select_by):
        self._step = ValidationStep(model)
        self._batches = batches
        self._scores = scores
        self._select_by = select_by

    def __call__(self) -> tuple[dict, float]:
        """The log's part, and the score that chooses weights."""
        loss, accuracy = self._step(self._batches.epoch(0))
        logs = {"val_loss": loss, "val_masked_accuracy": accuracy, **self._scores(loss)}
        return logs, logs["val_bleu"] if self._select_by == "bleu" else -loss


@contextlib.contextmanager
def _without_optimizer(model):
    """Keeps Keras from saving and loading the optimizer with the weights."""
    optimizer, model.optimizer = model.optimizer, None
    try:
        yield
    finally:
        model.optimizer = optimizer


def _learn_tokenizers(corpus: Corpus, config: Config) -> Tokenizers:
    wanted = config.tokenizer
    tokenizers = train_tokenizers(
        corpus, kind=wanted.kind, vocab_size=wanted.vocab_size, shared=wanted.shared
    )
    sides = [
        (int(tokenizers.source.get_vocab_size()), corpus.source_language),
        (int(tokenizers.target.get_vocab_size()), corpus.target_language),
    ]
    sizes = " and ".join(f"{size:,} {language} tokens" for size, language in dict.fromkeys(sides))
    _say(f"{wanted.kind} vocabularies of {corpus.name}: {sizes}")
    return tokenizers


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}).") from error
    return folder


def _settle(folder: Path, corpus: Corpus, config: Config | None, resume: bool, chief: bool):
    """The configuration of the run: its own if it exists, with the limits of `config`."""
    path = folder / "config.json"
    if path.exists() and not resume and chief:
        raise InputError(
            f"{folder}: holds a run already: go on with it by --resume (resume=True), or choose "
            "another folder."
        )
    if path.exists() and resume:
        begun = config_from_json(path)
        if config is None:
            return begun
        limits = {name: getattr(config.training, name) for name in LIMITS}
        wanted = begun.replace({"training": limits})
        _refuse_changes(folder, wanted, config)
        config = wanted
    else:
        config = config or Config()
        config = config.replace({"training": _settled(config)})
    task_of(corpus, config)  # refuses a corpus that the model cannot learn from
    if chief:
        write_json(path, _description(corpus, config))
    return config


def _refuse_changes(folder: Path, begun: Config, given: Config):
    """A run goes on as it began; what depends on the machine was settled then."""
    given = given.replace({"training": {"jit_compile": begun.training.jit_compile}})
    if given.training.dtype == "auto":
        given = given.replace({"training": {"dtype": begun.training.dtype}})
    for section, values in begun.to_dict().items():
        for name, value in values.items():  # the family first, which settles what else there is
            wanted = given.to_dict()[section][name]
            if wanted != value:
                raise InputError(
                    f"{folder}: began with {section}.{name} = {value}, not {wanted}: resume it "
                    "with the same, or begin a new run with --init-from (init_from=...) this one."
                )


def _is_chief(strategy) -> bool:
    """Whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    return not resolver or not resolver.task_type or resolver.task_id == 0


def _description(corpus: Corpus, config: Config) -> dict:
    return {
        "config": config.to_dict(),
        "dataset": corpus.name,
        "licence": corpus.licence,
        "versions": {name: version(name) for name in ("keras_transformer", "tensorflow", "keras")},
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
