"""Attention as lines from word to word, as in figures 3 to 5 of Attention Is All You Need.

Queries are on the left and keys on the right. A line is one head's weight, in the colour of the
head; its thickness and opacity grow with the weight. The squares before a key show the same weights
with a column for each head, which distinguishes the heads without colours. The note below gives the
weight of the thickest line.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_transformer.errors import InputError
from keras_transformer.plotting.scores import SelectedAttention, select_attention, token_positions
from keras_transformer.plotting.style import (
    COLOURS,
    label_inches,
    label_style,
    new_figure,
    token_label,
)

# Across, in inches; down, a token is one unit.
_SPAN = 2.6  # of the lines
_GAP = 0.08
_SQUARE = 0.13
_INCHES_PER_TOKEN = 0.2

_THICKEST = 4.0  # points, of the highest weight that is drawn; less where heads are many
_FAINTEST = 0.2  # opacity in the limit of weight 0
_UNSEEN = 0.04  # weights below this share of the highest have no line
_FADED = "#808080"  # tokens without lines
_LINES = ("-", (0, (4, 1)))  # alternate, so that grey is not mistaken for faint black
_SQUARES_ABOVE, _NUMBERS_ABOVE = -1.2, -2.0  # of the head colours and numbers, in tokens
_ROOM = 0.85  # share of a token's height for the ends of its lines


def plot_attention_lines(
    scores: Any,
    query_tokens: Any = None,
    key_tokens: Any = None,
    *,
    word: str | int | None = None,
    layer: int | None = None,
    **selection: Any,
) -> Figure:
    """Draws the attention of heads from one word, or from all words.

    In the paper all heads of one word show a long-distance dependency (figure 3), the sharpest
    heads of a pronoun (`sharpest_heads`) show anaphora resolution (figure 4), and one head of all
    words shows sentence structure (figure 5).

    Args:
        scores, query_tokens, key_tokens: as for `plot_attention_grid`.
        word: the word to draw lines from, which may have several pieces, or its position, from 0;
          all unless given.
        layer: number of the layer, from 1; the last one unless given.
        selection: `attention` (``encoder``, ``decoder`` or ``cross``), `heads`, `row` and `hide` of
          `scores.select_attention`.

    Returns:
        The figure. Lines and squares are relative to the highest weight drawn; squares show the
        mean over the words with lines.

    Raises:
        InputError: when something is missing or does not fit, for a word that is missing or occurs
          more than once, and for more than eight heads.

    Example:
        >>> text = "o homem saiu porque ele não gostava disso ."
        >>> scores = kt.sentence_attention(translator, text)
        >>> sharp = kt.sharpest_heads(scores, word="ele", attention="encoder", looks_at="homem")[0]
        >>> figure = kt.plot_attention_lines(
        ...     scores, word="ele", attention="encoder", layer=sharp.layer, heads=[sharp.head]
        ... )
    """
    selected = select_attention(
        scores, query_tokens, key_tokens, layers=None if layer is None else [layer], **selection
    )
    if len(selected.heads) > len(COLOURS):
        raise InputError(
            f"{len(selected.heads)} heads have more lines than there are colours: choose at most "
            f"{len(COLOURS)} with heads=, such as those that sharpest_heads finds"
        )
    every = range(len(selected.query_tokens))
    looking = list(every) if word is None else token_positions(selected.query_tokens, word)
    weights = selected.weights[-1][:, looking]  # (heads, looking, key)
    figure, axes = _new_axes(selected)
    _draw_lines(axes, weights, looking)
    _draw_squares(axes, weights.mean(axis=1))  # (heads, key)
    _draw_tokens(axes, selected, looking)
    _draw_header(axes, selected)
    note = f"Thickest line: weight {weights.max():.2f}"
    axes.text(_SPAN / 2, axes.get_ylim()[0], note, fontsize="x-small", ha="center", va="bottom")
    return figure


def _new_axes(selected: SelectedAttention) -> tuple[Figure, Axes]:
    rows = max(len(selected.query_tokens), len(selected.key_tokens))
    squares = _SQUARE * len(selected.heads)
    labels = label_inches(selected.query_tokens) + label_inches(selected.key_tokens)
    width = _SPAN + squares + labels + 0.6
    figure = new_figure(width, _INCHES_PER_TOKEN * (rows + 2 - _NUMBERS_ABOVE))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, _SPAN + _GAP + squares)
    axes.set_ylim(rows + 0.6, _NUMBERS_ABOVE - 0.6)  # the first token at the top
    return figure, axes


def _draw_lines(axes: Axes, weights: np.ndarray, looking: list[int]) -> None:
    """Draws `weights`, `(heads, looking, key)`, of the queries `looking`, the lowest first."""
    shares = weights / (weights.max() or 1.0)
    lines = [
        (shares[head, row, key], head, looking[row], key)
        for head, row, key in np.argwhere(shares >= _UNSEEN).tolist()
    ]
    lines.sort()
    # The lines of heads end at different heights, or equal ones would hide each other.
    heads = len(weights)
    shifts = _ROOM * ((np.arange(heads) + 0.5) / heads - 0.5)
    thickest = min(_THICKEST, 1.6 * _ROOM * _INCHES_PER_TOKEN * 72 / heads)
    axes.add_collection(
        LineCollection(
            [
                [(0, query + shifts[head]), (_SPAN, key + shifts[head])]
                for _, head, query, key in lines
            ],
            colors=[
                to_rgba(COLOURS[head], _FAINTEST + (1 - _FAINTEST) * share)
                for share, head, _, _ in lines
            ],
            linewidths=[thickest * share for share, *_ in lines],
            linestyles=[_LINES[head % 2] for _, head, _, _ in lines],
            capstyle="butt",
        )
    )


def _draw_squares(axes: Axes, weights: np.ndarray) -> None:
    """Draws `weights`, `(heads, key)`, as a row for each key and a column for each head."""
    shares = weights / (weights.max() or 1.0)
    squares, colours = [], []
    for head, of_keys in enumerate(shares):
        # The first row is the legend.
        for at, share in [(_SQUARES_ABOVE, 1.0), *enumerate(of_keys)]:
            squares.append(Rectangle((_left(head), at - 0.4), 0.9 * _SQUARE, 0.8))
            colours.append(to_rgba(COLOURS[head], share))
    axes.add_collection(
        PatchCollection(squares, facecolors=colours, edgecolors="#bbbbbb", linewidths=0.4)
    )


def _left(head: int) -> float:
    """Left end of the squares of a head."""
    return _SPAN + _GAP + _SQUARE * head


def _draw_tokens(axes: Axes, selected: SelectedAttention, looking: list[int]) -> None:
    common = {"fontsize": "small", "va": "center"}
    style = label_style([*selected.query_tokens, *selected.key_tokens], **common)
    some = len(looking) < len(selected.query_tokens)
    for position, token in enumerate(selected.query_tokens):
        look = {"color": _FADED if some else "black", **style}
        if some and position in looking:
            look = {"color": "black", **label_style([token], weight="bold", **common)}
        axes.text(-_GAP, position, token_label(token), ha="right", **look)
    right = _left(len(selected.heads)) + _GAP
    for position, token in enumerate(selected.key_tokens):
        axes.text(right, position, token_label(token), ha="left", **style)


def _draw_header(axes: Axes, selected: SelectedAttention) -> None:
    style = {"fontsize": "x-small", "va": "center"}
    for column, head in enumerate(selected.heads):
        axes.text(_left(column) + 0.45 * _SQUARE, _NUMBERS_ABOVE, str(head), ha="center", **style)
    axes.text(
        _left(0) - _GAP, _NUMBERS_ABOVE, f"{selected.layer_names[-1]}, head", ha="right", **style
    )
