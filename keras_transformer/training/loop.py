"""The loop around the training step: epochs, limits, validation, checkpoints.

What happens in a step follows from the configuration, the step's number and the weights before
it, and all of that is in a checkpoint. A run that is killed and resumed therefore ends with the
very weights of one that was not.
"""

import contextlib
import itertools
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

import keras

from keras_transformer.config import TrainingConfig
from keras_transformer.errors import InputError
from keras_transformer.optimizers.schedules import learning_rate


class Pause(Exception):
    """A callback raises it to end a training: a checkpoint is written, and the run may go on from
    there another time."""


class DivergedError(InputError):
    """The loss stopped being a number."""


@dataclass
class Progress:
    """Where a run stands; with the arrays of the step, all that a resumed one needs.

    Attributes:
        step: steps done.
        epoch: epochs done.
        batch: batches of the next epoch done.
        seconds: time spent in training and validation.
        loss, correct, tokens: sums over the unfinished epoch.
        best_score: of validation; the higher the better.
        best_epoch: its number, from 1; 0 before the first.
        history: the log of each epoch.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    correct: float = 0.0
    tokens: float = 0.0
    best_score: float = -math.inf
    best_epoch: int = 0
    history: list[dict] = field(default_factory=list)

    def to_dict(self) -> dict:
        """JSON knows no infinities."""
        values = asdict(self)
        return {**values, "best_score": self.best_score if self.best_epoch else None}

    @classmethod
    def from_dict(cls, values) -> "Progress":
        best = values["best_score"]
        if best is None:
            best = -math.inf
        elif best == 0:
            # A BLEU of 0, which version 0.1 took for the score of the epoch: its loss is now.
            logs = values["history"][values["best_epoch"] - 1]
            best = -logs["val_loss"] if logs.get("val_bleu") == 0 else best
        return cls(**{**values, "best_score": best})


class TrainingLoop:
    """Trains until a limit is reached.

    Args:
        recipe: limits, schedule and intervals.
        step: a `TrainingStep`.
        batches: a `Batches`.
        validation: a `Validation`: called, it gives its part of an epoch's log, such as
            ``val_loss``, and the score that chooses weights; the higher the better.
        folder: a `RunFolder`, which keeps checkpoints, the best weights and the log.
        progress: where to go on.
        validate_at: numbers of the steps after which to validate besides the ends of epochs.
            Callbacks hear of it by `on_test_end`; the best weights are chosen at the ends of epochs
            alone.
    """

    def __init__(
        self,
        recipe: TrainingConfig,
        step,
        batches,
        *,
        validation,
        folder,
        progress: Progress | None = None,
        validate_at: Container[int] = (),
    ):
        self.recipe = recipe
        self.step = step
        self.model = step.model
        self.batches = batches
        self.validation = validation
        self.folder = folder
        self.progress = progress or Progress()
        self.validate_at = validate_at
        self.steps_per_epoch = math.ceil(len(batches) / recipe.accumulate)
        self._signalled = self._interrupted = self._time_is_up = False

    def run(self, callbacks=(), started=None) -> Progress:
        """Trains.

        Args:
            callbacks: Keras callbacks.
            started: when the run began by ``time.monotonic()``; now unless given.

        Returns:
            where the run stands at its end.

        Raises:
            DivergedError: when the loss is no longer a number.
            KeyboardInterrupt: after Ctrl-C or SIGTERM; the checkpoint is written then.
            Pause: when a callback raised it; the checkpoint is written then, too.
        """
        progress = self.progress
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks),
            model=self.model,
            steps=self.steps_per_epoch,
            epochs=self.recipe.epochs,
        )
        self.model.stop_training = False
        self._started = (time.monotonic() if started is None else started) - progress.seconds
        self._last_checkpoint = time.monotonic()
        with self._interrupts():
            self.callbacks.on_train_begin()
            while not self._is_over():
                self._epoch()
            self.callbacks.on_train_end()
        if progress.batch:  # a limit cut the epoch short: it may go on from here one day
            self._checkpoint()
        return progress

    def _is_over(self) -> bool:
        out_of_patience = (
            self.recipe.patience is not None
            and self.progress.epoch - self.progress.best_epoch >= self.recipe.patience
        )
        epochs, steps = self.recipe.epochs or math.inf, self.recipe.max_steps or math.inf
        out_of_limits = self.progress.epoch >= epochs or self.progress.step >= steps
        return self.model.stop_training or out_of_patience or out_of_limits or self._time_is_up

    def total_steps(self) -> int | None:
        """Steps at the end of the training, if a limit on epochs or steps is set.

        Where epochs differ in the number of batches, as if all had that of the first.
        """
        epochs = self.recipe.epochs
        limits = [epochs and epochs * self.steps_per_epoch, self.recipe.max_steps]
        return min((limit for limit in limits if limit), default=None)

    def _share_of_steps(self) -> float:
        """Share of the training that is over, by the limits on epochs and steps."""
        total = self.total_steps()
        return self.progress.step / total if total else 0.0

    def _share_of_time(self) -> float:
        minutes = self.recipe.max_minutes
        return (time.monotonic() - self._started) / (60 * minutes) if minutes else 0.0

    def _epoch(self):
        progress = self.progress
        self.callbacks.on_epoch_begin(progress.epoch)
        epoch_started, tokens_before = time.monotonic(), progress.tokens
        batches = prefetched(self.batches.epoch(progress.epoch, progress.batch))
        while micro_batches := list(itertools.islice(batches, self.recipe.accumulate)):
            self._train(micro_batches)
            if self._interrupted:
                self._checkpoint()
                raise KeyboardInterrupt
            if self._is_over():
                break
            if time.monotonic() - self._last_checkpoint > 60 * self.recipe.checkpoint_minutes:
                self._checkpoint()
        rate = (progress.tokens - tokens_before) / (time.monotonic() - epoch_started)
        is_cut_short = next(batches, None) is not None
        with self.step.averaged():
            self._finish_epoch(tokens_per_second=rate)
        if not is_cut_short:
            self._close_epoch()

    def _train(self, micro_batches):
        """Takes one step and tells the callbacks."""
        self.callbacks.on_train_batch_begin(self.progress.batch)
        time_done = self._share_of_time()
        done = min(max(time_done, self._share_of_steps()), 1.0)
        rate = learning_rate(self.recipe, self.model.d_model, self.progress.step + 1, done)
        started = time.perf_counter()
        # Clocks differ between hosts, and Ctrl-C may reach one: all must stop at the same step.
        result = self.step(
            micro_batches, rate, self.progress.step, requests=(time_done >= 1, self._signalled)
        )
        self._time_is_up, self._interrupted = result.requests
        self._count(result, len(micro_batches))
        logs = self._batch_logs(result, rate, time.perf_counter() - started)
        try:
            self.callbacks.on_train_batch_end(self.progress.batch - 1, logs)
            if self.progress.step in self.validate_at:
                with self.step.averaged():
                    self._validate()
        except Pause:
            self._checkpoint()
            raise

    def _count(self, result, batches: int):
        """Adds what a step saw to the epoch's sums."""
        progress = self.progress
        if not math.isfinite(result.loss):
            raise DivergedError(
                f"The loss is no longer a number in batch {progress.batch + 1} of epoch "
                f"{progress.epoch + 1} (step {progress.step + 1}): lower "
                "training.learning_rate_scale, raise training.warmup_steps, or set "
                "training.clip_norm."
            )
        progress.step += 1
        progress.batch += batches
        progress.loss += result.loss
        progress.correct += result.correct
        progress.tokens += result.tokens

    def _batch_logs(self, result, rate: float, seconds: float) -> dict:
        """What callbacks are told after a step: means over the epoch so far, and of the step."""
        progress = self.progress
        return {
            "loss": progress.loss / max(progress.tokens, 1),
            "masked_accuracy": progress.correct / max(progress.tokens, 1),
            "batch_loss": result.loss / max(result.tokens, 1),
            "learning_rate": rate,
            "gradient_norm": result.gradient_norm,
            "tokens_per_second": result.tokens / seconds,
            "step": progress.step,
        }

    def _validate(self) -> tuple[dict, float]:
        """Scores the model and tells the callbacks, and at which step."""
        self.callbacks.on_test_begin()
        found, score = self.validation()
        self.callbacks.on_test_end({**found, "step": self.progress.step})
        return found, score

    def _finish_epoch(self, **logs):
        progress = self.progress
        found, score = self._validate()
        logs = {
            "loss": progress.loss / progress.tokens,
            "masked_accuracy": progress.correct / progress.tokens,
            "step": progress.step,
            **found,
            **logs,
        }
        progress.history[progress.epoch :] = [logs]
        if score > progress.best_score:
            progress.best_score, progress.best_epoch = score, progress.epoch + 1
            self.folder.save_weights(self.model)
        self.folder.write_log(progress.history)
        self.callbacks.on_epoch_end(progress.epoch, logs)

    def _close_epoch(self):
        """Turns to the next epoch."""
        progress = self.progress
        progress.epoch += 1
        progress.batch, progress.loss, progress.correct, progress.tokens = 0, 0.0, 0.0, 0.0
        self._checkpoint()

    def _checkpoint(self):
        self.progress.seconds = time.monotonic() - self._started
        self.folder.save_checkpoint(self.step, self.progress)
        self._last_checkpoint = time.monotonic()

    @contextlib.contextmanager
    def _interrupts(self):
        """Lets the running step finish after the first Ctrl-C or SIGTERM; a second one kills."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python handles signals in the main thread alone
            return
        before = {}

        def interrupt(number, frame):
            self._signalled = True
            signal.signal(number, before[number])

        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def prefetched(items: Iterable, ahead=4) -> Iterator:
    """The items, made in another thread up to `ahead` before they are asked for."""
    iterator, end = iter(items), object()
    executor = ThreadPoolExecutor(max_workers=1)
    try:
        made = deque(executor.submit(next, iterator, end) for _ in range(ahead))
        while (item := made.popleft().result()) is not end:
            made.append(executor.submit(next, iterator, end))
            yield item
    finally:
        executor.shutdown(cancel_futures=True)
