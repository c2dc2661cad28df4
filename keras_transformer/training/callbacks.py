"""What happens around the steps of `fit`: the progress bar, the time limit, the best weights."""

import os
import sys
import time
from pathlib import Path

import keras
from tqdm.auto import tqdm

from keras_transformer.training.metrics import MaskedAccuracy


class ProgressBar(keras.callbacks.Callback):
    """One live line on standard error: loss, accuracy, real tokens per second, time left.

    Where standard error is no terminal, a line every minute instead.

    Args:
        epochs: number of epochs, if limited.
        max_steps: most steps in all, if limited.
    """

    def __init__(self, epochs=None, max_steps=None):
        super().__init__()
        self.epochs = epochs
        self.max_steps = max_steps

    def on_train_begin(self, logs=None):
        limits = [self.epochs and self.epochs * self.params["steps"], self.max_steps]
        self._bar = tqdm(
            total=min((limit for limit in limits if limit), default=None),
            desc="training",
            unit="step",
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_start = time.perf_counter()
        self._last_line = time.monotonic()
        self._epoch = f"epoch {epoch + 1}" + (f"/{self.epochs}" if self.epochs else "")
        self._bar.set_description(self._epoch)

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update()
        if not self._bar.disable:
            self._bar.set_postfix_str(self._summary(logs), refresh=False)
        elif time.monotonic() - self._last_line > 60:
            self._last_line = time.monotonic()
            step = f"{self._epoch}, step {batch + 1}/{self.params['steps']}"
            print(f"{step}: {self._summary(logs)}", file=sys.stderr, flush=True)

    def on_test_begin(self, logs=None):
        self._train_seconds = time.perf_counter() - self._epoch_start
        self._train_tokens = self._real_tokens()

    def on_epoch_end(self, epoch, logs=None):
        rate = self._train_tokens / self._train_seconds
        line = (
            f"{self._epoch}: loss {logs['loss']:.3f}, "
            f"accuracy {logs['masked_accuracy']:.3f}, validation loss {logs['val_loss']:.3f}, "
            f"validation accuracy {logs['val_masked_accuracy']:.3f}, {rate:,.0f} tokens/s"
        )
        self._bar.write(line, file=sys.stderr)

    def on_train_end(self, logs=None):
        self._bar.close()

    def _summary(self, logs) -> str:
        seconds = time.perf_counter() - self._epoch_start
        return (
            f"loss {logs['loss']:.3f}, accuracy {logs['masked_accuracy']:.3f}, "
            f"{self._real_tokens() / seconds:,.0f} tokens/s"
        )

    def _real_tokens(self) -> float:
        """Target tokens since the epoch began, padding apart."""
        for metric in self.model.metrics:
            for part in getattr(metric, "metrics", None) or [metric]:
                if isinstance(part, MaskedAccuracy):
                    return float(part.tokens)
        return 0.0


class Limits(keras.callbacks.Callback):
    """Stops training after a number of steps or minutes, whichever comes first.

    Args:
        max_steps: most steps; ``None`` for no limit.
        max_minutes: most minutes from now on; ``None`` for no limit.
    """

    def __init__(self, max_steps=None, max_minutes=None):
        super().__init__()
        self.max_steps = max_steps
        self._deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self._steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        out_of_steps = self.max_steps is not None and self._steps >= self.max_steps
        out_of_time = self._deadline is not None and time.monotonic() >= self._deadline
        if out_of_steps or out_of_time:
            self.model.stop_training = True


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights with the lowest validation loss, replacing the file in one go.

    Args:
        path: file name ending in ``.weights.h5``.

    Afterwards `loss` is the lowest validation loss, and `epoch` the number of its epoch, from 1;
    ``None`` when no validation loss was a number.
    """

    def __init__(self, path):
        super().__init__()
        self.path = Path(path)
        self.loss = float("inf")
        self.epoch = None

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_loss"] < self.loss:
            self.loss, self.epoch = float(logs["val_loss"]), epoch + 1
            unfinished = self.path.with_name(f".unfinished-{self.path.name}")
            self.model.save_weights(unfinished)
            os.replace(unfinished, self.path)


class SampleTranslations(keras.callbacks.Callback):
    """Prints some validation pairs with the model's translation after each epoch.

    Args:
        translator: a `Translator` of the model in training.
        pairs: ``(source, target)`` strings.
    """

    def __init__(self, translator, pairs):
        super().__init__()
        self.translator = translator
        self.pairs = list(pairs)

    def on_epoch_end(self, epoch, logs=None):
        found = self.translator.translate([source for source, _ in self.pairs], style="corpus")
        for (source, reference), translation in zip(self.pairs, found, strict=True):
            tqdm.write(
                f"  source      {source}\n"
                f"  reference   {reference}\n"
                f"  translation {translation.text}",
                file=sys.stderr,
            )
