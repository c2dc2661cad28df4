"""A whole run: corpus in, run folder out."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from keras_transformer.config import Config, TrainingConfig
from keras_transformer.data.batches.base import EpochBatches
from keras_transformer.data.batches.subword_dropout import SubwordDropout, SubwordDropoutBatches
from keras_transformer.data.batches.token_shards import TokenShards, write_token_shards
from keras_transformer.data.batches.token_store import TokenizedPairs
from keras_transformer.data.batches.windows import WindowedBatches
from keras_transformer.data.corpora.corpus import Corpus, list_pairs
from keras_transformer.data.lexical_table import lexical_table
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.data.word_vectors import WordVectorRows
from keras_transformer.decoding.shortlist import FILE as SHORTLIST_FILE
from keras_transformer.decoding.shortlist import FREQUENT, MOST, Shortlist
from keras_transformer.errors import InputError
from keras_transformer.losses.masked import MaskedLoss
from keras_transformer.losses.metrics import MaskedAccuracy, MaskedCrossentropy
from keras_transformer.models import families
from keras_transformer.models.base import TranslationModel
from keras_transformer.models.bert_pretraining import BertPretraining
from keras_transformer.models.transformer import Transformer
from keras_transformer.optimizers.adam import Adam
from keras_transformer.optimizers.muon import Muon
from keras_transformer.training.callbacks import ProgressBar
from keras_transformer.training.initial_vectors import initial_vectors, start_from
from keras_transformer.training.loop import DivergedError, Progress, TrainingLoop
from keras_transformer.training.run_folder import RunFolder, load_best_weights, say, uses_xla
from keras_transformer.training.step import TrainingStep
from keras_transformer.training.tasks import Task, task_of
from keras_transformer.training.validation import Validation
from keras_transformer.translating.alignment import choose_head
from keras_transformer.translating.load import run_alignment_head, run_examples
from keras_transformer.translating.translator import Translator

if TYPE_CHECKING:
    from keras_transformer.translating.generator import Generator


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
    validate_at: Container[int] = (),
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
            start from; `config` asks for tokenizers as that has them.
        strategy: a `tf.distribute.Strategy` to train under; one device unless given.
        callbacks: more Keras callbacks; one that raises `Pause` ends the training.
        validate_at: numbers of the steps after which to validate besides the ends of epochs;
            callbacks find the scores, and ``step``, in the logs of `on_test_end`.

    Returns:
        the run.

    Raises:
        InputError: when `output` holds a run or cannot be written, another process trains there,
            an argument is not what the run began with or what `init_from` has,
            the corpus lacks a split or changed since the run began, sacreBLEU lacks the tokenizer
            that `config` names, or the loss stops being a number (`DivergedError`).
        Pause: when a callback raised it, once a checkpoint is written.
    """
    started = time.monotonic()
    corpus.require("train"), corpus.require("validation")
    if config is not None:
        task_of(corpus, config).check()  # before there is a folder
    strategy = strategy or tf.distribute.get_strategy()
    folder = RunFolder(output, chief=_is_chief(strategy))
    init_from = Path(init_from) if init_from else None
    with folder.locked():
        config = folder.begin(corpus, config, resume, init_from)
        folder.checkpoints.keep = config.training.keep_checkpoints
        _check(config)
        keras.utils.set_random_seed(config.training.seed)
        task = task_of(corpus, config)
        task.check()
        tokenizers = folder.tokenizers(task.corpus, config, tokenizers, init_from)
        pairs, validation_pairs = (
            folder.token_ids(task, split, tokenizers) for split in ("train", "validation")
        )
        _refuse_long(config, pairs, validation_pairs)
        vectors = initial_vectors(folder.path, config, tokenizers, write=folder.chief)
        step = make_step(config, tokenizers, vectors, init_from, strategy)
        progress = folder.restore(step)
        # Compiling would take longer than translating so few sentences.
        translator = task.make_translator(tokenizers, step.model, jit_compile=False)
        if isinstance(translator, Translator):  # a shortlist is learned once the run has ended
            translator.decoding = dataclasses.replace(translator.decoding, shortlist=None)
        loop = TrainingLoop(
            config.training,
            step,
            _train_batches(
                task,
                pairs,
                tokenizers,
                strategy.num_replicas_in_sync,
                folder.tokens / "windows.json" if folder.chief else None,
            ),
            validation=Validation(task, step.model, translator, validation_pairs, tokenizers),
            folder=folder,
            progress=progress,
            validate_at=validate_at,
        )
        watching = _callbacks(task, folder, loop, translator) if folder.chief else []
        try:
            loop.run([*callbacks, *watching], started)
        except KeyboardInterrupt:
            say(
                f"\n{folder.path}: stopped after step {progress.step:,}; everything is saved. "
                "Go on with --resume (resume=True)."
            )
            raise
        return _finish(task, folder, pairs, validation_pairs, tokenizers, step.model, progress)


def prepare(
    corpus: Corpus,
    output,
    config: Config | None = None,
    *,
    init_from=None,
    write_shards: Callable[..., TokenShards] = write_token_shards,
) -> TokenizedPairs | TokenShards:
    """Prepares a run folder, with tokenizers and the corpus as ids; `train` goes on with `resume`.

    What is there already is kept, as by `train` with `resume`.

    Args:
        corpus, output, config, init_from: as for `train`.
        write_shards: tokenises a corpus of more than a window, called as `write_token_shards` is.

    Returns:
        the ids of the training pairs.

    Raises:
        InputError: as from `train`.
    """
    corpus.require("train"), corpus.require("validation")
    if config is not None:
        task_of(corpus, config).check()
    folder = RunFolder(output, write_shards=write_shards)
    init_from = Path(init_from) if init_from else None
    with folder.locked():
        config = folder.begin(corpus, config, True, init_from)
        task = task_of(corpus, config)
        tokenizers = folder.tokenizers(task.corpus, config, None, init_from)
        folder.token_ids(task, "validation", tokenizers)
        return folder.token_ids(task, "train", tokenizers)


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
        "loss": MaskedLoss(recipe.label_smoothing, r_drop=recipe.r_drop),
        "metrics": [MaskedCrossentropy(name="loss"), MaskedAccuracy()],
    }
    model.compile(
        **({} if isinstance(model, BertPretraining) else losses),  # it has its own
        optimizer=_make_optimizer(recipe, model),
        jit_compile=uses_xla(config),
        auto_scale_loss=False,  # the step scales it
    )
    model.optimizer.build(model.trainable_variables)
    say(f"a model of {model.count_params():,} parameters, computing in {recipe.dtype}")
    return model


def _make_optimizer(recipe: TrainingConfig, model: keras.Model) -> keras.optimizers.Optimizer:
    """The configured optimizer of a model; the step sets its learning rate."""
    common = {"weight_decay": recipe.weight_decay or None}
    of_adam = {**common, "beta_1": 0.9, "beta_2": recipe.beta_2, "epsilon": 1e-9}
    if recipe.optimizer == "adafactor":
        optimizer = keras.optimizers.Adafactor(**common, relative_step=False)
    elif recipe.optimizer == "muon":
        last = getattr(model, "final_layer", None)
        excluded = [re.escape(last.path) + "/"] if last else []
        optimizer = Muon(**of_adam, exclude_layers=excluded)
    else:
        optimizer = Adam(**of_adam)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _check(config: Config):
    wanted = getattr(config.model, "attention_implementation", "auto")
    if wanted == "cudnn" and not config.training.jit_compile:
        raise InputError(
            "model.attention_implementation: cudnn needs a step that XLA compiles for a GPU: "
            "set training.jit_compile to true there, or take auto."
        )


def _refuse_long(config: Config, *splits: TokenizedPairs | TokenShards):
    """Refuses pairs that a model has no positions for."""
    positions = _positions(config)
    longest = max(pairs.longest for pairs in splits)
    if positions is not None and longest > positions:
        raise InputError(
            f"training.max_tokens ({config.training.max_tokens}) lets in a side of {longest} "
            f"tokens, more than the positions of the model: lower it to {positions}, or raise "
            f"model.max_length ({positions})."
        )


def _positions(config: Config) -> int | None:
    """Most tokens of a side that a model has positions for; ``None`` where there is no limit.

    Recurrent models have none, and those of one language are checked beforehand.
    """
    model = config.model
    if model.family != "transformer" or model.positions in ("rotary", "none"):
        return None
    return model.max_length


def make_step(
    config: Config,
    tokenizers: Tokenizers,
    vectors: dict[str, WordVectorRows],
    init_from: Path | None,
    strategy: tf.distribute.Strategy,
) -> TrainingStep:
    """The step of a new model, which starts from word vectors or from another run's weights.

    Args:
        config: shape and recipe.
        tokenizers: its vocabularies.
        vectors: from `initial_vectors`.
        init_from: the run whose weights to start from, if any.
        strategy: a `tf.distribute.Strategy`.
    """
    for side, rows in vectors.items():
        say(f"word vectors for {rows.coverage:.0%} of the {side} tokens")
    with strategy.scope():
        model = make_model(config, tokenizers, vectors)
    if init_from is not None:
        load_best_weights(model, init_from)
    recipe = config.training
    return TrainingStep(
        model,
        model.optimizer,
        label_smoothing=recipe.label_smoothing,
        r_drop=recipe.r_drop,
        clip_norm=recipe.clip_norm,
        average_decay=recipe.average_decay,
        average_from=recipe.average_from,
        seed=recipe.seed,
        guided_alignment=recipe.guided_alignment,
        alignment_head=config.guided_head if recipe.guided_alignment else None,
        jit_compile=recipe.jit_compile,
        strategy=strategy,
    )


def _train_batches(
    task: Task,
    pairs: TokenizedPairs | TokenShards,
    tokenizers: Tokenizers,
    replicas: int,
    facts: Path | None = None,
) -> EpochBatches | SubwordDropoutBatches:
    """The batches to train on.

    Args:
        task: of the run.
        pairs: of the corpus.
        tokenizers: of the pairs.
        replicas: the rows of each batch are a multiple of.
        facts: as for `WindowedBatches`.
    """
    recipe = task.config.training

    def batches_of(pairs: TokenizedPairs) -> EpochBatches:
        return task.batches(
            pairs,
            tokenizers,
            seed=recipe.seed,
            static_shapes=recipe.jit_compile,
            rows_multiple=replicas,
        )

    def divided_anew(pairs: TokenizedPairs) -> SubwordDropoutBatches:
        longest = min(recipe.max_tokens, _positions(task.config) or recipe.max_tokens)
        divided = SubwordDropout(
            pairs, task.sides(tokenizers), recipe.subword_dropout, longest, recipe.seed
        )
        return SubwordDropoutBatches(divided, batches_of)

    if isinstance(pairs, TokenShards):
        return WindowedBatches(
            pairs,
            batches_of,
            draw=divided_anew if recipe.subword_dropout else None,
            seed=recipe.seed,
            window=recipe.window,
            facts=facts,
            plan=f"{recipe.batch_tokens} {recipe.jit_compile}",
        )
    return divided_anew(pairs) if recipe.subword_dropout else batches_of(pairs)


def _callbacks(task: Task, folder: RunFolder, loop: TrainingLoop, translator) -> list:
    """The callbacks that show how the training goes."""
    samples = list_pairs(task.corpus.validation.take(2))
    bar = ProgressBar(loop.total_steps(), loop.progress.step)
    return [bar, *task.callbacks(translator, samples, folder.path / "logs")]


def _finish(task, folder, pairs, validation_pairs, tokenizers, model, progress) -> Run:
    """Writes the metrics, gives the model the best weights, and adds what translating wants: the
    head that aligns, and a shortlist."""
    metrics = _metrics(task, pairs, model, progress)
    if folder.chief:
        load_best_weights(model, folder.path)
        if isinstance(model, Transformer) and not task.config.training.guided_alignment:
            choose_head(model, validation_pairs, tokenizers).save(folder.path)
        if isinstance(model, TranslationModel):
            _save_shortlist(folder.path, model, pairs, task.config.training.window)
    folder.write_metrics(metrics)
    say(
        f"{folder.path}: best validation loss {metrics['validation_loss']:.3f}, of epoch "
        f"{progress.best_epoch}"
    )
    translator = task.make_translator(tokenizers, model)
    if isinstance(translator, Translator):
        translator.examples = run_examples(folder.path)
        translator.alignment_head = run_alignment_head(folder.path, task.config)
        translator.shortlist = Shortlist.load(folder.path)
    return Run(folder.path, translator, metrics, model)


def _save_shortlist(
    folder: Path, model: TranslationModel, pairs: TokenizedPairs | TokenShards, most: int
):
    """Learns a shortlist from at most so many training pairs, unless the run has one."""
    if (folder / SHORTLIST_FILE).exists():
        return
    if isinstance(pairs, TokenShards):
        pairs = pairs.sample(most)
    table = lexical_table(pairs, model.input_vocab_size, most=MOST, frequent=FREQUENT)
    Shortlist(table.candidates, table.frequent, model.target_vocab_size).save(folder)


def _metrics(
    task: Task, pairs: TokenizedPairs | TokenShards, model: keras.Model, progress: Progress
) -> dict:
    """What ``metrics.json`` says of a finished run: the scores of its best epoch, and its size."""
    if not progress.best_epoch:
        raise DivergedError(
            "No validation loss was a number: lower training.learning_rate_scale, or raise "
            "training.warmup_steps."
        )
    best = progress.history[progress.best_epoch - 1]
    scores = {
        name.replace("val_", "validation_"): value
        for name, value in best.items()
        if name.startswith("val_")
    }
    return {
        **scores,
        "best_epoch": progress.best_epoch,
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        f"train_{task.unit}": len(pairs),
        f"dropped_{task.unit}": pairs.dropped,
        "parameters": model.count_params(),
    }


def _is_chief(strategy) -> bool:
    """Whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    return not resolver or not resolver.task_type or resolver.task_id == 0
