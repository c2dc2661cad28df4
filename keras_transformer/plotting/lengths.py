"""Pictures that compare systems: BLEU by the length of the source, loss by the time of training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_transformer.errors import InputError
from keras_transformer.plotting.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY_BLUE,
    VERMILION,
    add_legend,
    check_number_of_lines,
    new_figure,
)

# Dashes and markers distinguish the lines in grey print.
_STYLES = (
    {"color": GREY, "linestyle": ":", "marker": "o"},
    {"color": SKY_BLUE, "linestyle": ":", "marker": "s"},
    {"color": BLUE, "linestyle": ":", "marker": "^"},
    {"color": GREEN, "linestyle": "--", "marker": "D"},
    {"color": PINK, "linestyle": "--", "marker": "v"},
    {"color": ORANGE, "linestyle": "-", "marker": "P"},
    {"color": VERMILION, "linestyle": "-", "marker": "X"},
    {"color": BLACK, "linestyle": "-", "marker": "*"},
)
_MARKS = 8  # on a line


def plot_scores_by_length(scores: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draws the BLEU of each system over the length of the source.

    Args:
        scores: results of `scores_by_length` by the name of the system, all of the same sentences.

    Returns:
        The figure. A bucket without sentences leaves a gap. Scores without a ``unit``, as earlier
        versions gave them, are by words.

    Raises:
        InputError: when there is nothing to draw, more than eight systems, or their buckets
            differ.
    """
    check_number_of_lines(scores, "systems")
    buckets = {
        tuple((part["words"], part.get("unit", "words"), part["sentences"]) for part in parts)
        for parts in scores.values()
    }
    if len(buckets) > 1:
        raise InputError(
            "scores of different buckets: score all systems on the same sentences, with the same "
            "limits"
        )
    figure, axes = _axes()
    (names,) = buckets
    for (name, parts), style in zip(scores.items(), _STYLES, strict=False):
        values = [np.nan if part["bleu"] is None else part["bleu"] for part in parts]
        axes.plot(range(len(values)), values, label=name, markersize=6, **style)
    labels = [f"{words}\n({sentences:,})" for words, _, sentences in names]
    axes.set_xticks(range(len(labels)), labels)
    unit = names[0][1] if names else "words"
    axes.set(xlabel=f"{unit.capitalize()} of the source (sentences)", ylabel="BLEU")
    axes.update_datalim([(0, 0)])  # with room above for the highest marker
    axes.autoscale_view()
    axes.set_ylim(bottom=0)
    add_legend(figure, axes)
    return figure


def plot_losses_by_time(curves: Mapping[str, tuple[Any, Any]]) -> Figure:
    """Draws the loss of each system over the time of its training.

    Args:
        curves: by the name of the system, seconds since its training began and losses at these
          times, `(points,)` each.

    Raises:
        InputError: when there is nothing to draw, more than eight systems, or one without a
            loss for each time.
    """
    check_number_of_lines(curves, "systems")
    figure, axes = _axes()
    for (name, (seconds, losses)), style in zip(curves.items(), _STYLES, strict=False):
        minutes, losses = np.asarray(seconds, np.float64) / 60, np.asarray(losses, np.float64)
        if minutes.ndim != 1 or minutes.shape != losses.shape or not len(minutes):
            raise InputError(
                f"{name}: seconds of shape {minutes.shape} and losses of shape {losses.shape}: "
                "give one loss for each time, (points,)"
            )
        every = max(1, len(minutes) // _MARKS)
        axes.plot(minutes, losses, label=name, markevery=every, markersize=5, **style)
    axes.set(xlabel="Minutes of training", ylabel="Loss of a target token")
    axes.set_xlim(left=0)
    add_legend(figure, axes)
    return figure


def _axes() -> tuple[Figure, Axes]:
    figure = new_figure(7.5, 4.5)
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return figure, axes
