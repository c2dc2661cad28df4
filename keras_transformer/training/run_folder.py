"""The folder of a run: what training reads from it and writes there."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf

from keras_transformer.config import LANGUAGE_MODELS, Config, config_from_json, is_run
from keras_transformer.data.alignments import Alignments, align, format_links
from keras_transformer.data.batches.token_shards import (
    Recipe,
    TokenShards,
    open_token_shards,
    write_token_shards,
)
from keras_transformer.data.batches.token_store import TokenizedPairs, cached_pairs, kept_corpus_key
from keras_transformer.data.corpora.corpus import UNKNOWN_LANGUAGE, Corpus, list_pairs
from keras_transformer.data.corpora.examples import choose_examples
from keras_transformer.data.text.casing import default_case
from keras_transformer.data.text.tags import without_tags
from keras_transformer.data.tokenizers.pair import FILE as TOKENIZERS_FILE
from keras_transformer.data.tokenizers.pair import Tokenizers, train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.files import (
    delete_unfinished,
    make_folder,
    read_json,
    write_json,
    write_text,
)
from keras_transformer.models.runs import WEIGHTS_FILE, load_weights, save_weights
from keras_transformer.training.checkpoints import Checkpoints, arrays_of, assign_arrays
from keras_transformer.training.lock import FolderLock
from keras_transformer.training.loop import Progress
from keras_transformer.training.precision import fastest_dtype
from keras_transformer.training.tasks import Task, task_of

LIMITS = ("epochs", "max_steps", "max_minutes")
"""What a resumed run may change."""


ALIGNMENTS_FILE = "alignments.txt"
"""Word alignments of the training pairs, where a head learns them."""


CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints of a run, in that of the run."""


PLACEHOLDERS = 16
"""Ids for what is not translated, of models that translate."""


START = "init_from"
"""What ``config.json`` calls the run that this one started from."""


AVERAGE = "average_of"
"""What ``config.json`` calls the runs and checkpoints that these weights are the average of."""


class RunFolder:
    """The files of one run. On several hosts they all read them, and one process writes.

    Args:
        path: the folder, made unless it exists.
        chief: whether this process is the one that writes.
        write_shards: tokenises a large corpus, called as `write_token_shards` is.
    """

    def __init__(self, path, chief=True, write_shards=write_token_shards):
        self.path = Path(path)
        self.chief = chief
        self._write_shards = write_shards
        self.checkpoints = Checkpoints(self.path / CHECKPOINTS)
        self._corpus_keys = {}  # of the splits
        make_folder(self.path)

    @contextlib.contextmanager
    def locked(self):
        """Keeps other processes out meanwhile, and deletes what a killed one left unfinished."""
        with FolderLock(self.path) if self.chief else contextlib.nullcontext():
            if self.chief:
                inner = self.path / "tokenizers", self.tokens, self.tokens / "train"
                for place in (self.path, *inner):
                    delete_unfinished(place)
            yield

    # What a run begins with

    def begin(
        self, corpus: Corpus, config: Config | None, resume: bool, init_from: Path | None = None
    ) -> Config:
        """Begins a run, or takes up the one that is there.

        Args:
            corpus: what it trains on.
            config: the configuration that was asked for; of a resumed run, its limits count.
            resume: whether to go on with a run that exists.
            init_from: the run whose tokenizers and weights to start from.

        Returns:
            the configuration of the run, without anything left to the machine.

        Raises:
            InputError: when there is a run already and `resume` is not set, it began with another
                configuration or from another run, what is asked for is not what `init_from` has,
                or the model cannot learn from the corpus.
        """
        path = self.path / "config.json"
        start = str(init_from.absolute()) if init_from else None
        if path.exists() and not resume and self.chief:
            raise InputError(
                f"{self.path}: holds a run already: go on with it by --resume (resume=True), or "
                "choose another folder."
            )
        if path.exists() and resume:
            begun = config_from_json(path)
            start = self._start(path, start)
            if config is None:
                return begun
            limits = {name: getattr(config.training, name) for name in LIMITS}
            wanted = begun.replace({"training": limits})
            _refuse_changes(self.path, wanted, config)
            config = wanted
        else:
            config = config or Config()
            if init_from is not None:
                _refuse_what_a_start_decides(init_from, config)
            config = config.replace({"training": _settled(config)})
        task_of(corpus, config)  # refuses a corpus that the model cannot learn from
        for note in corpus.notes:
            say(note)
        if self.chief:
            write_json(path, _description(corpus, config, start))
        return config

    def _start(self, path: Path, wanted: str | None) -> str | None:
        """The run that this one started from, which must be the `wanted` one, if any.

        Args:
            path: of ``config.json``, which did not name it in version 0.1.
            wanted: the absolute path of the run folder.
        """
        description = read_json(path)
        begun = description.get(START, wanted)
        if AVERAGE in description:
            raise InputError(
                f"{self.path}: holds an average of weights, which does not go on: begin a new run "
                "with --init-from (init_from=...) this one."
            )
        if wanted not in (None, begun):
            raise InputError(
                f"{self.path}: began {f'from {begun}' if begun else 'with weights of its own'}, "
                f"not from {wanted}: resume it without --init-from (init_from=...), or begin "
                "another run."
            )
        return begun

    def tokenizers(self, corpus, config, given=None, init_from=None) -> Tokenizers:
        """The run's tokenizers, or the first time the given, those of `init_from`, or new ones."""
        folder = self.path / "tokenizers"
        if (folder / TOKENIZERS_FILE).exists():
            kept = Tokenizers.load(folder)
            if given is not None and not given.equals(kept):
                raise InputError(
                    f"{self.path}: began with other tokenizers: resume it without giving any."
                )
            return kept
        if given is None and init_from is not None:
            given = Tokenizers.load(init_from / "tokenizers")
        tokenizers = given or _learn_tokenizers(corpus, config)
        if missing := set(corpus.tags) - set(tokenizers.tags):
            raise InputError(
                f"{corpus.name}: its sources have the tag {min(missing)}, which the tokenizers do "
                "not know: train with tokenizers of your own, or leave the tag out."
            )
        if self.chief:
            tokenizers.save(folder)
        return tokenizers

    @property
    def tokens(self) -> Path:
        """The folder of the corpus as ids."""
        return self.path / "tokens"

    def token_ids(
        self, task: Task, split: str, tokenizers: Tokenizers
    ) -> TokenizedPairs | TokenShards:
        """The ids of a split of the corpus, tokenised once.

        They are in memory, or on the disk where there are more than a window of them. Corpora with
        alignments are in memory.
        """
        dataset, longest = task.corpus.require(split), task.config.training.max_tokens
        options = task.pair_options(split, tokenizers)
        alignments = self._alignments(task) if split == "train" else None
        of_tokenizers = self.path / "tokenizers"
        path = self.tokens / f"{split}.npz"
        make_folder(path.parent)
        files = task.corpus.train_files if split == "train" and self.chief else ""
        settings = of_tokenizers, longest, options, alignments
        key = kept_corpus_key(self.tokens / f"{split}.json", files, dataset, *settings)
        self._corpus_keys[split] = key
        sides = task.sides(tokenizers)
        is_large = int(dataset.cardinality()) > task.config.training.window
        # Runs that version 0.1 began go on in memory.
        if is_large and task.in_windows and alignments is None and not path.exists():
            recipe = Recipe(of_tokenizers, longest, options)
            pairs = self._token_shards(self.tokens / split, key, dataset, recipe)
        else:
            pairs = cached_pairs(
                path, key, dataset, sides, longest, options, alignments, write=self.chief
            )
        say(
            f"{len(pairs):,} {split} {task.unit} ({pairs.target_tokens():,} target tokens), "
            f"{pairs.dropped:,} longer than {longest} tokens left out"
        )
        return pairs

    def _token_shards(self, folder: Path, key: str, dataset, recipe: Recipe) -> TokenShards:
        """The ids on the disk, which the first host writes and the others wait for."""
        while (found := open_token_shards(folder, key)) is None:
            if self.chief:
                return self._write_shards(folder, key, dataset, recipe, say)
            time.sleep(5)
        return found

    def _alignments(self, task: Task) -> Alignments | None:
        """The alignments of the training pairs, if a head learns them: those that were given, or
        of an aligner. The folder keeps them."""
        recipe = task.config.training
        if not (recipe.guided_alignment or recipe.terms):
            return None
        path, dataset = self.path / ALIGNMENTS_FILE, task.corpus.require("train")
        if not path.exists():
            count = int(dataset.cardinality())
            if recipe.alignments is not None:
                given = Alignments(recipe.alignments)
                given.check_length(count)
                lines = "".join(f"{format_links(links)}\n" for links in given)
            else:
                say(f"eflomal aligns {count:,} pairs")
                lines = align(list_pairs(without_tags(dataset, task.corpus.tags)))
            if self.chief:
                write_text(path, lines)
        found = Alignments(path)
        found.check_length(int(dataset.cardinality()))
        return found

    # Where it stands

    def restore(self, step) -> Progress:
        """Assigns the newest checkpoint to the variables of a step, if there is one.

        Args:
            step: a `TrainingStep`.

        Returns:
            where the run stands.

        Raises:
            InputError: when the checkpoint is of another corpus or another model.
        """
        checkpoint = self.checkpoints.load_latest()
        if checkpoint is None:
            return Progress()
        if checkpoint.state["corpus"] != self._corpus_keys:
            raise InputError(
                f"{self.path}: the corpus is not the one this run began with: give the same, or "
                "begin a new run with --init-from (init_from=...) this one."
            )
        if not assign_arrays(step.variables, checkpoint.arrays):
            raise InputError(f"{self.path}: its checkpoint does not fit its config.json.")
        say(f"{self.path}: going on after step {checkpoint.step:,}")
        return Progress.from_dict(checkpoint.state["progress"])

    def save_checkpoint(self, step, progress: Progress):
        """Keeps the variables of a step, and where the run stands."""
        if self.chief:
            state = {"progress": progress.to_dict(), "corpus": self._corpus_keys}
            self.checkpoints.save(progress.step, arrays_of(step.variables), state)

    # What it leaves behind

    def save_weights(self, model):
        """Keeps the weights of a model as the best of the run."""
        if self.chief:
            with _without_optimizer(model):
                save_weights(model, self.path / WEIGHTS_FILE)

    def write_log(self, history: list[dict]):
        """Writes ``training_log.csv``, a line for each epoch."""
        if not self.chief:
            return
        columns = list(dict.fromkeys(name for logs in history for name in logs))
        lines = [",".join(["epoch", *columns])]
        for epoch, logs in enumerate(history, 1):
            lines.append(",".join([str(epoch), *(str(logs.get(name, "")) for name in columns)]))
        write_text(self.path / "training_log.csv", "\n".join(lines) + "\n")

    def write_metrics(self, metrics: dict):
        """Writes ``metrics.json``."""
        if self.chief:
            write_json(self.path / "metrics.json", metrics)


def load_best_weights(model, folder: Path):
    """Loads the weights that a run left in its folder, and no optimizer."""
    with _without_optimizer(model):
        load_weights(model, folder / WEIGHTS_FILE)


def uses_xla(config: Config) -> bool:
    """Whether XLA compiles the training step; decided by the machine where that is left open."""
    wanted = config.training.jit_compile
    if wanted is not None:
        return wanted
    # XLA unrolls no recurrence: each step of its loops is a kernel's start, as without it.
    return config.model.family == "transformer" and bool(tf.config.list_logical_devices("GPU"))


def say(line: str) -> None:
    """Prints a line about the progress of a run to standard error."""
    print(line, file=sys.stderr, flush=True)


def _settled(config: Config) -> dict:
    """What the training of a configuration leaves to the machine, as this one has it."""
    dtype = config.training.dtype
    return {
        "jit_compile": uses_xla(config),
        "dtype": fastest_dtype() if dtype == "auto" else dtype,
    }


def _refuse_changes(folder: Path, begun: Config, given: Config):
    """A run goes on as it began; what depends on the machine was settled then."""
    given = given.replace({"training": {"jit_compile": begun.training.jit_compile}})
    if not begun.decoding.sentences:  # a run of version 0.1, whose files do not know of them
        given = given.replace({"decoding": {"sentences": False}})
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


def _refuse_what_a_start_decides(init_from: Path, config: Config):
    """A run that starts from another has the tokenizers and the vectors of that one."""
    if not is_run(init_from):
        raise InputError(
            f"{init_from}: is no run folder (it has no config.json): name one to start from."
        )
    has = dataclasses.asdict(config_from_json(init_from / "config.json").tokenizer)
    for name, wanted in dataclasses.asdict(config.tokenizer).items():
        if wanted != has[name]:
            raise InputError(
                f"tokenizer.{name} = {wanted}: a run keeps the tokenizers of the one it starts "
                f"from, and {init_from} has {has[name]}: ask for that, or begin without "
                "--init-from (init_from=...)."
            )
    vectors = config.word_vectors
    if vectors.freeze == "none" and (vectors.source or vectors.target):
        raise InputError(
            f"word_vectors: a run keeps the vectors of the one it starts from, {init_from}: leave "
            "out the files, or begin without --init-from (init_from=...)."
        )


def _description(corpus: Corpus, config: Config, start: str | None) -> dict:
    translates = config.model.family not in LANGUAGE_MODELS
    return {
        "config": config.to_dict(),
        START: start,
        "dataset": corpus.name,
        "licence": corpus.licence,
        "notes": list(corpus.notes),
        "examples": choose_examples(corpus) if translates else [],
        "versions": {name: version(name) for name in ("keras_transformer", "tensorflow", "keras")},
    }


def _learn_tokenizers(corpus: Corpus, config: Config) -> Tokenizers:
    wanted = config.tokenizer
    case, placeholders = wanted.case, wanted.placeholders
    translates = config.model.family not in LANGUAGE_MODELS
    if case is None and not translates:
        case = default_case(corpus.normalization)
    if placeholders is None:
        placeholders = PLACEHOLDERS if translates else 0
    tokenizers = train_tokenizers(
        corpus,
        kind=wanted.kind,
        vocab_size=wanted.vocab_size,
        shared=wanted.shared,
        case=case,
        placeholders=placeholders,
        terms=config.training.terms > 0,
        noise=config.training.noise if translates else 0.0,
        seed=config.training.seed,
        most=wanted.sample,
    )
    sizes = [f"{int(tokenizers.source.get_vocab_size()):,} tokens"]
    if not tokenizers.shared:
        sizes = [
            f"{int(tokenizer.get_vocab_size()):,} "
            f"{side if language == UNKNOWN_LANGUAGE else language} tokens"
            for side, tokenizer, language in (
                ("source", tokenizers.source, corpus.source_language),
                ("target", tokenizers.target, corpus.target_language),
            )
        ]
    say(f"{wanted.kind} vocabularies of {corpus.name}: {' and '.join(sizes)}")
    return tokenizers


@contextlib.contextmanager
def _without_optimizer(model):
    """Keeps Keras from saving and loading the optimizer with the weights."""
    optimizer, model.optimizer = model.optimizer, None
    try:
        yield
    finally:
        model.optimizer = optimizer
