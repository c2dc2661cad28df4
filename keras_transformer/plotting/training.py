"""Pictures of training: learning rate, label smoothing and training curves."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_transformer.errors import InputError
from keras_transformer.plotting.style import (
    BLUE,
    COLOURS,
    DASHES,
    ORANGE,
    check_number_of_lines,
    name_lines,
    new_figure,
    set_title,
)

_POINTS = 1000  # of a learning rate
_MARKS = 12  # on a line


def plot_learning_rate(
    schedule: Callable[[Any], Any] | Mapping[str, Callable[[Any], Any]], steps: int = 40_000
) -> Figure:
    """Draws learning-rate schedules.

    Args:
        schedule: function from a step, a scalar float32 tensor, to its learning rate; or several
          by name.
        steps: number of training steps shown.

    Raises:
        InputError: when `steps` is less than 1, for no schedule, and for more than eight.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}: give at least 1")
    schedules = schedule if isinstance(schedule, Mapping) else {"": schedule}
    check_number_of_lines(schedules, "schedules")
    import tensorflow as tf

    at = np.unique(np.linspace(0, steps, num=_POINTS + 1, dtype=np.int64))
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    for (name, rate), colour, dashes in zip(schedules.items(), COLOURS, DASHES, strict=False):
        rates = [float(rate(tf.constant(step, tf.float32))) for step in at]
        axes.plot(at, rates, label=name, color=colour, linestyle=dashes)
    axes.set(xlabel="Training step", ylabel="Learning rate", xlim=(0, steps))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if schedules is schedule:
        name_lines(axes, axes)
    return figure


def plot_label_smoothing(
    smoothings: Sequence[float] = (0.0, 0.1, 0.2), vocab_size: int = 8000
) -> Figure:
    """Draws the loss of one token with label smoothing (the paper, section 5.4).

    Without label smoothing the loss falls as the probability of the right token approaches 1. With
    it the loss has a minimum at a smaller probability. The other tokens share the rest evenly here.

    Args:
        smoothings: shares of the label's probability that are spread over the vocabulary; a line
          each.
        vocab_size: number of tokens.

    Returns:
        The figure. Points mark the minima.

    Raises:
        InputError: for a share that is not from 0 to below 1, fewer than two tokens, no line, and
            more than eight.
    """
    check_number_of_lines(smoothings, "smoothings")
    if vocab_size < 2 or not all(0 <= smoothing < 1 for smoothing in smoothings):
        raise InputError(
            f"smoothings {tuple(smoothings)} of {vocab_size} tokens: give shares from 0 to below "
            "1, and at least two tokens"
        )
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    # Closer together near 1, where the lines rise.
    given = np.concatenate([np.linspace(0.3, 0.98, 300), 1 - np.geomspace(0.02, 1e-4, 100)])
    for smoothing, colour, dashes in zip(smoothings, COLOURS, DASHES, strict=False):
        wanted = 1 - smoothing + smoothing / vocab_size
        # Labels and predictions spread the rest evenly: two outcomes stand for `vocab_size`.
        loss = wanted * np.log(wanted / given)
        if wanted < 1:
            loss += (1 - wanted) * np.log((1 - wanted) / (1 - given))
        axes.plot(given, loss, label=f"{smoothing:g}", color=colour, linestyle=dashes)
        axes.plot([wanted], [0], marker="o", color=colour, clip_on=False, zorder=3)
    axes.set(
        xlabel="Probability that the model gives the right token",
        ylabel="Loss above the least possible",
        xlim=(given[0], 1),
    )
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(title="Label smoothing")
    return figure


def plot_training_curves(history: Any) -> Figure:
    """Draws loss and metrics of a training run by epoch, training and validation together.

    Args:
        history: the result of `fit`, its `.history` dictionary, or the path of a run folder or of
          its `training_log.csv`.

    Returns:
        The figure, with a panel for each quantity that has a validation value, or for every
        quantity without validation.

    Raises:
        InputError: when there is nothing to draw.
    """
    columns = _columns(history)
    epochs = columns.pop("epoch", None)
    names = [name for name in columns if not name.startswith("val_")]
    names = [name for name in names if f"val_{name}" in columns] or names
    if not names:
        raise InputError(
            "no quantities to draw: give what fit returned, or the training_log.csv of a run "
            "with at least one finished epoch"
        )
    figure = new_figure(4.5 * len(names), 3.5)
    for number, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), number)
        for column, label, look in (
            (name, "training", {"color": BLUE, "linestyle": "-", "marker": "o"}),
            (f"val_{name}", "validation", {"color": ORANGE, "linestyle": "--", "marker": "s"}),
        ):
            if column in columns:
                values = columns[column]
                at = np.arange(len(values)) if epochs is None else np.asarray(epochs)
                # Keras counts epochs from 0, the logs of `train` from 1.
                at = at + 1 if 0 in at else at
                every = max(1, len(values) // _MARKS)
                axes.plot(at, values, label=label, markersize=4, markevery=every, **look)
        axes.set_xlabel("Epoch")
        set_title(axes, name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _columns(history: Any) -> dict[str, list[float]]:
    """Quantities by name, one value for each epoch."""
    if not isinstance(history, str | Path):
        history = getattr(history, "history", history)
        if not isinstance(history, Mapping):
            raise InputError(
                f"a history of type {type(history).__name__}: give what fit returned, "
                "a dictionary of lists, or the path of training_log.csv"
            )
        return {name: [float(value) for value in values] for name, values in history.items()}
    if Path(history).is_dir():
        history = Path(history) / "training_log.csv"
    try:
        with open(history, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{history}: cannot be read ({error.strerror}): check the path") from None
    columns: dict[str, list[float]] = {}
    for number, row in enumerate(rows, start=2):
        for name, value in row.items():
            try:
                # Keras writes NA where an epoch has no such value.
                columns.setdefault(name, []).append(
                    float("nan") if value in ("NA", "", None) else float(value)
                )
            except (TypeError, ValueError):
                raise InputError(
                    f"{history}, line {number}: {name} is {value!r} instead of a number: "
                    "give a training_log.csv"
                ) from None
    return columns
