"""A sweep: the same training with other values of its configuration, the worse ones cut short.

Optuna (extra ``[sweep]``) chooses the values and which trainings go on, by asynchronous successive
halving (Li et al. 2020, arXiv 1810.05934): at each rung, a number of steps, a training goes on if
its validation score is among the best third, say, of all that have come so far.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import yaml

from keras_transformer.config import Config
from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.data.tokenizers.pair import FILE as TOKENIZERS_FILE
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.files import make_folder, read_json, write_json, write_text
from keras_transformer.training.lock import FolderLock
from keras_transformer.training.loop import DivergedError, Pause
from keras_transformer.training.run import train
from keras_transformer.training.run_folder import LIMITS, say

if TYPE_CHECKING:
    import optuna

Values = dict[str, Any]
"""Values by the names of fields of a configuration, such as ``"training.learning_rate"``."""

RESULTS_FILE = "sweep.json"
"""What was asked for, and the table of the trials."""

BEST_FILE = "best.yaml"
"""The configuration of the best trial that was trained to its end, for ``train --config``."""

STUDY_FILE = "study.log"
"""Optuna's journal."""

FINISHED, STOPPED, FAILED, UNFINISHED = "finished", "stopped", "failed", "unfinished"
"""States of a trial: trained to its end; stopped at a rung; not possible; to be gone on with."""


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        number: from 0.
        state: ``"finished"``, ``"stopped"``, ``"failed"`` or ``"unfinished"``.
        values: what it changed in the configuration.
        steps: how long it had been trained when its score was taken.
        score: its validation loss, the last of a trial that was stopped and the best of one that
            was not; or BLEU where ``training.select_by`` is ``bleu``.
        seconds: that its training took.
        reason: why it failed.
    """

    number: int
    state: str
    values: Values
    steps: int = 0
    score: float | None = None
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Sweep:
    """What `sweep` leaves behind.

    Attributes:
        folder: where it is; ``trials/NUMBER`` in it are run folders.
        trials: the best first, and before those that were stopped those that were not.
        waiting: combinations of values that are still to be tried.
        select_by: ``"loss"`` or ``"bleu"``, the score that trials are compared by.
    """

    folder: Path
    trials: tuple[Trial, ...]
    waiting: int
    select_by: str

    @property
    def best(self) -> Trial | None:
        """The best of the trials that were trained to their ends, if there are any."""
        return next((trial for trial in self.trials if trial.state == FINISHED), None)

    def run(self, trial: Trial) -> Path:
        """The run folder of a trial."""
        return _run_folder(self.folder, trial.number)

    def table(self) -> str:
        """The trials as a table in plain text, a line each."""
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.values))
        score = "validation BLEU" if self.select_by == "bleu" else "validation loss"
        rows = [["trial", "state", "steps", "seconds", score, *names]]
        for trial in self.trials:
            found = "" if trial.score is None else f"{trial.score:.3f}"
            values = [_shown(trial.values.get(name)) for name in names]
            times = [f"{trial.steps:,}", f"{trial.seconds:,.0f}"]
            rows.append([str(trial.number), trial.state, *times, found, *values])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )


def sweep(
    corpus: Corpus,
    output,
    space: Mapping[str, Mapping[str, Any]],
    config: Config | None = None,
    *,
    minutes: float | None = None,
    trials: int | None = None,
    rungs: int = 2,
    reduction_factor: int = 3,
) -> Sweep:
    """Trains with one combination of values after the other, and cuts the worse ones short.

    A folder that has a sweep goes on with it, down to the step at which a training was interrupted:
    give the same arguments, and perhaps more minutes or trials.

    Args:
        corpus: pairs to train on and to validate with.
        output: the folder of the sweep: run folders in ``trials/``, the table in ``sweep.json``,
            and the configuration of the best trial in ``best.yaml``.
        space: the values of fields, in the sections of a configuration: a list of them, or a range
            such as ``{"low": 1e-3, "high": 1e-2, "log": True}``. Lists alone are tried in all
            combinations, the configuration's own first if it is one of them and the others in an
            order that its seed shuffles; where there are ranges, Optuna's TPE draws the values.
        config: what the values change, with ``training.max_steps``, the steps of a trial that is
            not cut short. The other limits are not used.
        minutes: most minutes of this call; a training that is under way then is saved.
        trials: most trials of the sweep.
        rungs: how often a training is compared with the others before its end.
        reduction_factor: about one training in so many goes on beyond a rung. Rungs are at the
            steps of a trial divided by its powers.

    Returns:
        the trials so far.

    Raises:
        InputError: for a field or value that a configuration does not take, arguments other than
            those that the folder's sweep began with, a missing Optuna, and what `train` refuses.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; the training is saved.
    """
    deadline = math.inf if minutes is None else _now() + 60 * minutes
    config = config or Config()
    steps = config.training.max_steps
    if steps is None:
        raise InputError(
            "A sweep needs the steps of a trial: set training.max_steps (--max-steps)."
        )
    config = config.replace({"training": {"epochs": None, "max_minutes": None}})
    choices = Space(space, config)
    if not choices.is_grid and trials is None and minutes is None:
        raise InputError(
            "Ranges of values have no end: set the trials (--trials) or the minutes (--minutes)."
        )
    first = steps // reduction_factor**rungs
    if not first:
        raise InputError(
            f"{steps:,} steps cannot be divided by {reduction_factor} {rungs} times: take more "
            "steps, or fewer rungs."
        )
    rung_steps = [first * reduction_factor**rung for rung in range(rungs)]
    folder = Path(output)
    make_folder(folder)
    with FolderLock(folder):
        study = _Study(folder, corpus, choices, config, rung_steps, reduction_factor)
        while _now() < deadline and (trial := study.next_trial(trials)):
            study.train(trial, deadline)
            study.save()
            keras.utils.clear_session()  # models of earlier trials would stay in memory
        return study.results()


class Space:
    """The values that a sweep tries.

    Args:
        space: as `sweep` takes it.
        config: what the values change.
    """

    def __init__(self, space: Mapping[str, Mapping[str, Any]], config: Config):
        self.given = space
        self._config = config
        self._lists: dict[str, list] = {}
        self._ranges: dict[str, dict[str, Any]] = {}
        if not isinstance(space, Mapping) or not space:
            raise InputError(
                "The values of a sweep are in sections, as in a configuration: for example "
                "training: {learning_rate: [0.002, 0.005]}."
            )
        for section, fields in space.items():
            if not isinstance(fields, Mapping) or not fields:
                raise InputError(f"{section}: holds no fields; expected a field and its values.")
            for field, values in fields.items():
                self._add(f"{section}.{field}", values)
        self._check()

    @property
    def is_grid(self) -> bool:
        """Whether there are lists alone."""
        return not self._ranges

    @property
    def shares_tokenizers(self) -> bool:
        """Whether all trials have the same tokens."""
        names = [*self._lists, *self._ranges]
        return not any(
            name.startswith("tokenizer.") or name in ("model.family", "training.terms")
            for name in names
        )

    def combinations(self) -> list[Values]:
        """All combinations of a grid, in the order in which they are tried."""
        found = [
            dict(zip(self._lists, values, strict=True))
            for values in itertools.product(*self._lists.values())
        ]
        random.Random(self._config.training.seed).shuffle(found)
        own = self._config.to_dict()
        return sorted(found, key=lambda values: _nested(values, own) != own)

    def suggest(self, trial: optuna.Trial) -> Values:
        """The values of a trial, which it draws unless it has them."""
        values = {name: trial.suggest_categorical(name, of) for name, of in self._lists.items()}
        for name, limits in self._ranges.items():
            whole = all(isinstance(limits[end], int) for end in ("low", "high"))
            values[name] = (trial.suggest_int if whole else trial.suggest_float)(name, **limits)
        return values

    def _add(self, name: str, values):
        if name.removeprefix("training.") in LIMITS:
            raise InputError(f"{name}: is the same in all trials; set max_steps (--max-steps).")
        if isinstance(values, Mapping):
            self._ranges[name] = _range_of(name, values)
        elif isinstance(values, Sequence) and not isinstance(values, str) and values:
            others = [value for value in values if not isinstance(value, _SCALAR)]
            if others:
                raise InputError(f"{name}: {others[0]!r} is no single value; leave it out.")
            self._lists[name] = list(values)
        else:
            raise InputError(
                f"{name}: {values!r} is neither a list of values nor a range: for example "
                "[0.1, 0.2] or {low: 0.001, high: 0.01, log: true}."
            )

    def _check(self):
        """Refuses a value that no combination makes a configuration of."""
        ends = {name: [limits["low"], limits["high"]] for name, limits in self._ranges.items()}
        candidates = {**self._lists, **ends}
        for name, values in candidates.items():
            for value in values:
                others = {**candidates, name: [value]}
                _refuse_if_all_fail(self._config, others)
        if self._config.training.select_by == "loss" and any(
            name.startswith("tokenizer.") for name in candidates
        ):
            raise InputError(
                "Losses of different tokens cannot be compared: set training.select_by to bleu, or "
                "leave the fields of tokenizer out."
            )


_SCALAR = str | int | float | None


def _range_of(name: str, limits: Mapping) -> dict[str, Any]:
    """Checks a range of numbers."""
    found = {"log": False, **limits}
    ends = [found.get("low"), found.get("high")]
    if set(found) != {"low", "high", "log"} or not all(
        isinstance(end, int | float) and not isinstance(end, bool) for end in ends
    ):
        raise InputError(
            f"{name}: {dict(limits)} is no range: give low and high, and log: true for equal "
            "chances of each order of magnitude."
        )
    if not ends[0] < ends[1] or (found["log"] and ends[0] <= 0):
        above = "above 0 and below" if found["log"] else "below"
        raise InputError(f"{name}: low ({ends[0]}) must be {above} high ({ends[1]}).")
    return found


def _refuse_if_all_fail(config: Config, candidates: Mapping[str, list]):
    """Raises what is wrong with the first combination, unless one is a configuration."""
    first = None
    for values in itertools.product(*candidates.values()):
        try:
            _changed(config, dict(zip(candidates, values, strict=True)))
            return
        except InputError as error:
            first = first or error
    raise first


def _nested(values: Values, into: Mapping[str, Mapping] | None = None) -> dict[str, dict]:
    """Values by the names of fields as the sections of a configuration, beside those of `into`."""
    sections = {section: dict(fields) for section, fields in (into or {}).items()}
    for name, value in values.items():
        section, _, field = name.partition(".")
        sections.setdefault(section, {})[field] = value
    return sections


def _changed(config: Config, values: Values) -> Config:
    return config.replace(_nested(values), "The values of the sweep")


class _Watch(keras.callbacks.Callback):
    """Reports a trial at the rungs, and ends its training there or when time is up.

    Args:
        trial: of Optuna.
        score: the name in the logs of validation.
        rungs: their steps.
        deadline: by ``time.monotonic()``.
    """

    def __init__(self, trial: optuna.Trial, score: str, rungs: Sequence[int], deadline: float):
        super().__init__()
        self._trial = trial
        self._score = score
        self._rungs = rungs
        self._deadline = deadline
        self._reported = set()
        self.is_stopped = False

    def on_train_batch_end(self, batch, logs=None):
        if _now() > self._deadline:
            raise Pause

    def on_test_end(self, logs=None):
        step = logs["step"]  # after which validation may come twice, where an epoch ends at a rung
        if step not in self._rungs or step in self._reported:
            return
        self._reported.add(step)
        self._trial.report(logs[self._score], step)
        if self._trial.should_prune():
            self.is_stopped = True
            raise Pause


class _Study:
    """The trials of a sweep, as Optuna keeps them in the folder.

    Args:
        folder, corpus, config, reduction_factor: as for `sweep`.
        choices: the values to try.
        rungs: their steps.
    """

    def __init__(
        self,
        folder: Path,
        corpus: Corpus,
        choices: Space,
        config: Config,
        rungs: Sequence[int],
        reduction_factor: int,
    ):
        self._folder = folder
        self._corpus = corpus
        self._choices = choices
        self._config = config
        self._rungs = rungs
        self._select_by = config.training.select_by
        optuna = self._optuna = _import_optuna()
        self._begin()
        backend = optuna.storages.journal.JournalFileBackend(str(folder / STUDY_FILE))
        storage = optuna.storages.JournalStorage(backend)
        if rungs:
            pruner = optuna.pruners.SuccessiveHalvingPruner(rungs[0], reduction_factor)
        else:
            pruner = optuna.pruners.NopPruner()
        self._study = optuna.create_study(
            study_name="sweep",
            storage=storage,
            direction="maximize" if self._select_by == "bleu" else "minimize",
            pruner=pruner,
            load_if_exists=True,
        )
        if choices.is_grid:
            for values in choices.combinations():
                self._study.enqueue_trial(values, skip_if_exists=True)
        # A process begins its random numbers anew, which would draw the same values once more.
        seed = config.training.seed + len(self._study.trials)
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)

    def next_trial(self, most: int | None) -> optuna.Trial | None:
        """The trial that is to be trained now, one that was interrupted before any other.

        Args:
            most: trials of the sweep.
        """
        found = self._study.trials
        states = self._optuna.trial.TrialState
        for trial in found:
            if trial.state == states.RUNNING:  # alone in its storage, whose ids are its numbers
                return self._optuna.Trial(self._study, trial.number)
        waiting = sum(trial.state == states.WAITING for trial in found)
        begun = len(found) - waiting
        is_over = begun >= most if most is not None else False
        if is_over or (self._choices.is_grid and not waiting):
            return None
        return self._study.ask()

    def train(self, trial: optuna.Trial, deadline: float) -> None:
        """Trains a trial, or goes on with it, until it ends or the deadline is reached."""
        states = self._optuna.trial.TrialState
        values = self._choices.suggest(trial)
        shown = ", ".join(f"{name}: {_shown(value)}" for name, value in values.items())
        say(f"trial {trial.number}: {shown}")
        score = "bleu" if self._select_by == "bleu" else "loss"
        watch = _Watch(trial, f"val_{score}", self._rungs, deadline)
        state, value = None, None
        started = _now() - trial.user_attrs.get("seconds", 0.0)
        try:
            run = train(
                self._corpus,
                _run_folder(self._folder, trial.number),
                self._config_of(values),
                tokenizers=self._tokenizers(),
                resume=True,
                callbacks=[watch],
                validate_at=self._rungs,
            )
        except Pause:
            state = states.PRUNED if watch.is_stopped else None
        except (DivergedError, _NoConfig) as error:
            state = states.FAIL
            trial.set_user_attr("reason", str(error))
        else:
            state, value = states.COMPLETE, run.metrics[f"validation_{score}"]
            trial.set_user_attr("steps", run.metrics["steps"])
        finally:
            trial.set_user_attr("seconds", _now() - started)
        if state is not None:
            self._study.tell(trial, value, state)

    def results(self) -> Sweep:
        """The trials so far."""
        states = self._optuna.trial.TrialState
        names = {states.COMPLETE: FINISHED, states.PRUNED: STOPPED, states.FAIL: FAILED}
        begun, waiting = [], 0
        for trial in self._study.trials:
            if trial.state == states.WAITING:
                waiting += 1
                continue
            seen, attributes = trial.intermediate_values, trial.user_attrs
            score = seen[max(seen)] if seen else None
            begun.append(
                Trial(
                    trial.number,
                    names.get(trial.state, UNFINISHED),
                    trial.params,
                    steps=attributes.get("steps", max(seen, default=0)),
                    score=score if trial.value is None else trial.value,
                    seconds=attributes.get("seconds", 0.0),
                    reason=attributes.get("reason", ""),
                )
            )
        return Sweep(self._folder, tuple(sorted(begun, key=self._rank)), waiting, self._select_by)

    def save(self) -> None:
        """Writes the table, and the configuration of the best trial if one was trained to its
        end."""
        found = self.results()
        write_json(
            self._folder / RESULTS_FILE,
            {**self._asked, "trials": [asdict(trial) for trial in found.trials]},
        )
        if found.best is not None:
            best = _changed(self._config, found.best.values).to_dict()
            text = yaml.safe_dump(best, sort_keys=False, allow_unicode=True)
            comment = f"# Of trial {found.best.number}, with a score of {found.best.score:.4f}.\n"
            write_text(self._folder / BEST_FILE, comment + text)

    def _begin(self):
        """Writes down what was asked for, which must be what the folder's sweep began with."""
        self._asked = {
            "corpus": {
                "name": self._corpus.name,
                "train": int(self._corpus.require("train").cardinality()),
                "validation": int(self._corpus.require("validation").cardinality()),
            },
            "space": self._choices.given,
            "rungs": self._rungs,
            "config": self._config.to_dict(),
        }
        path = self._folder / RESULTS_FILE
        if not path.exists():
            write_json(path, {**self._asked, "trials": []})
            return
        begun, asked = read_json(path), json.loads(json.dumps(self._asked))
        for name, value in asked.items():
            if begun.get(name) != value:
                raise InputError(
                    f"{self._folder}: holds a sweep with another {name}: give what it began with, "
                    "or choose another folder."
                )

    def _config_of(self, values: Values) -> Config:
        try:
            return _changed(self._config, values)
        except InputError as error:
            raise _NoConfig(str(error)) from error

    def _tokenizers(self) -> Tokenizers | None:
        """Those of an earlier trial, where all trials have the same."""
        if self._choices.shares_tokenizers:
            for trial in self._study.trials:
                folder = _run_folder(self._folder, trial.number) / "tokenizers"
                if (folder / TOKENIZERS_FILE).exists():
                    return Tokenizers.load(folder)
        return None

    def _rank(self, trial: Trial):
        """Sorts the best trial to the front."""
        sign = -1 if self._select_by == "bleu" else 1
        score = math.inf if trial.score is None else sign * trial.score
        steps = 0 if trial.state == FINISHED else trial.steps
        return trial.state == FAILED, trial.state != FINISHED, -steps, score, trial.number


class _NoConfig(Exception):
    """Values that are possible one by one are none together."""


def _import_optuna():
    """Imports Optuna and keeps it from telling of each trial."""
    try:
        import optuna
    except ImportError as error:
        raise InputError(
            'A sweep needs Optuna, which is not installed: pip install "keras_transformer[sweep]".'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _now() -> float:
    return time.monotonic()


def _run_folder(folder: Path, number: int) -> Path:
    return folder / "trials" / str(number)


def _shown(value) -> str:
    """A value as a configuration in YAML has it, with few digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return {None: "null", True: "true", False: "false"}.get(value, str(value))
