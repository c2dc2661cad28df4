"""Comparing systems: BLEU by the length of the source, and loss by the time of training.

A single context vector fails on long sentences, which one score of a whole test set hides.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_transformer.data.text.scripts import is_unspaced
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

LENGTH_LIMITS = (10, 20, 30, 40)
"""Largest number of source words, or characters, in each bucket but the last."""

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


def scores_by_length(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    limits: Sequence[int] = LENGTH_LIMITS,
    *,
    language: str | None = None,
    tokenize: str | None = None,
) -> list[dict[str, Any]]:
    """Computes BLEU by the number of words in the source, or of characters.

    Args:
        sources: the source sentences; words are separated by spaces. Characters are counted, spaces
          left out, where most letters of all sources are of scripts without spaces between words.
        hypotheses: their translations in the corpus' style.
        references: the corpus' target sentences.
        limits: largest number of words or characters in each bucket but the last, rising.
        language: the code of the target language, as for `corpus_scores`.
        tokenize: the tokenizer of BLEU, likewise. All buckets have the same: unless given, that of
          the language or of the script of all references.

    Returns:
        ``{"words", "unit", "sentences", "bleu"}`` for each bucket, the shortest first: its lengths,
        such as ``11-20`` or ``41+``, what was counted, ``words`` or ``characters``, its number of
        sentences, and their corpus BLEU, None without sentences.

    Raises:
        InputError: when the numbers of sentences differ, the limits do not rise from 1 on, or
            sacreBLEU lacks the tokenizer.
    """
    from keras_transformer.translating.evaluation import bleu_tokenizer, corpus_scores

    if len({len(sources), len(hypotheses), len(references)}) > 1:
        raise InputError(
            f"{len(sources):,} sources, {len(hypotheses):,} translations and {len(references):,} "
            "references: give exactly one of each for each sentence"
        )
    limits = tuple(limits)
    if not limits or limits[0] < 1 or any(low >= high for low, high in pairwise(limits)):
        raise InputError(f"limits {limits} of the lengths: give whole numbers that rise from 1 on")
    words = [source.split() for source in sources]
    unit = "words"
    if is_unspaced("".join(sources)):
        words, unit = ["".join(parts) for parts in words], "characters"
    tokenize = tokenize or bleu_tokenizer(references, language)
    # A limit belongs to the bucket below it.
    places = np.searchsorted(limits, [len(parts) for parts in words], side="left")
    scores = []
    for place, name in enumerate(_bucket_names(limits)):
        chosen = np.flatnonzero(places == place)
        bleu = None
        if len(chosen):
            texts = ([lines[i] for i in chosen] for lines in (hypotheses, references))
            bleu = corpus_scores(*texts, tokenize=tokenize)["bleu"]["score"]
        scores.append({"words": name, "unit": unit, "sentences": len(chosen), "bleu": bleu})
    return scores


def _bucket_names(limits: Sequence[int]) -> list[str]:
    names = [f"{low + 1}-{high}" for low, high in pairwise((0, *limits))]
    return [*names, f"{limits[-1] + 1}+"]


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
