"""Attention as lines from word to word, as in figures 3 to 5 of Attention Is All You Need.

Two columns of tokens: those that look on the left, those that are looked at on the right. A line
is one head's weight, in the colour of the head, the thicker and darker the higher the weight. The
small squares before a token at the right are its weights again, a column for each head in the order
of the heads, so that heads are told apart without colours too. The note below says which weight the
thickest line stands for.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_transformer.errors import InputError
from keras_transformer.plotting.scores import Chosen, choose
from keras_transformer.plotting.sharpest_heads import positions_of
from keras_transformer.plotting.style import (
    COLOURS,
    label_inches,
    label_style,
    new_figure,
    shown,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Across, in inches; down, a token is one unit.
_SPAN = 2.6  # of the lines
_GAP = 0.08
_SQUARE = 0.13
_INCHES_PER_TOKEN = 0.2

_THICKEST = 4.0  # points, of the highest weight that is drawn; less where heads are many
_FAINTEST = 0.2  # opacity of a line of weight 0, had it any thickness
_UNSEEN = 0.04  # weights below this share of the highest have no line: nobody would see it
_FADED = "#808080"  # of tokens that do not look
_LINES = ("-", (0, (4, 1)))  # heads take turns, so that grey is not taken for faint black
_SQUARES_ABOVE, _NUMBERS_ABOVE = -1.2, -2.0  # where the colours of the heads stand, in tokens
_ROOM = 0.85  # share of a token's height that the ends of its lines take


def plot_attention_lines(
    scores: Any,
    query_tokens: Any = None,
    key_tokens: Any = None,
    *,
    word: str | int | None = None,
    layer: int | None = None,
    **choice: Any,
) -> Figure:
    """Draws what heads look at from one word, or from all.

    A long-distance dependency is seen with all heads of a word (the paper's figure 3); anaphora
    with the heads that `sharpest_heads` finds for a pronoun (figure 4); the structure of a sentence
    with one head of all words (figure 5).

    Args:
        scores: attention weights of a sentence, in any of the forms of `plotting_scores.choose`:
          what ``model(..., return_attention_scores=True)`` gives, a `Translation` with attention,
          or what `sentence_attention` gives.
        query_tokens: the tokens that look, `(query,)`; known of the two with tokens of their own.
        key_tokens: the tokens that are looked at, `(key,)`; the same unless given.
        word: the word that looks, also of several pieces, or its position, from 0; all unless
          given. A word with several pieces has lines from each.
        layer: number of the layer, from 1; the last one unless given.
        choice: `attention` (``encoder``, ``decoder`` or ``cross``), `heads`, `row` and `hide` of
          `plotting_scores.choose`.

    Returns:
        The figure. Thickness and opacity go by the share of the highest weight drawn, and so do the
        squares, which show the mean where several tokens look.

    Raises:
        InputError: when something is missing or does not fit, for a word that is not there or
          stands in several places, and for more than eight heads.

    Example:
        >>> seen = kt.sentence_attention(translator, "o homem saiu porque ele não gostava disso .")
        >>> sharp = kt.sharpest_heads(seen, word="ele", attention="encoder", looks_at="homem")[0]
        >>> figure = kt.plot_attention_lines(
        ...     seen, word="ele", attention="encoder", layer=sharp.layer, heads=[sharp.head]
        ... )
    """
    chosen = choose(
        scores,
        query_tokens,
        key_tokens,
        layers=None if layer is None else [layer],
        **choice,
    )
    if len(chosen.heads) > len(COLOURS):
        raise InputError(
            f"{len(chosen.heads)} heads have more lines than there are colours: choose at most "
            f"{len(COLOURS)} with heads=, such as those that sharpest_heads finds"
        )
    every = range(len(chosen.query_tokens))
    looking = list(every) if word is None else positions_of(chosen.query_tokens, word)
    weights = chosen.weights[-1][:, looking]  # (heads, looking, key)
    figure, axes = _new_axes(chosen)
    _draw_lines(axes, weights, looking)
    _draw_squares(axes, weights.mean(axis=1))  # (heads, key)
    _draw_tokens(axes, chosen, looking)
    _draw_header(axes, chosen)
    note = f"Thickest line: weight {weights.max():.2f}"
    axes.text(_SPAN / 2, axes.get_ylim()[0], note, fontsize="x-small", ha="center", va="bottom")
    return figure


def _new_axes(chosen: Chosen) -> "tuple[Figure, Axes]":
    rows = max(len(chosen.query_tokens), len(chosen.key_tokens))
    squares = _SQUARE * len(chosen.heads)
    labels = label_inches(chosen.query_tokens) + label_inches(chosen.key_tokens)
    width = _SPAN + squares + labels + 0.6
    figure = new_figure(width, _INCHES_PER_TOKEN * (rows + 2 - _NUMBERS_ABOVE))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, _SPAN + _GAP + squares)
    axes.set_ylim(rows + 0.6, _NUMBERS_ABOVE - 0.6)  # the first token at the top
    return figure, axes


def _draw_lines(axes: "Axes", weights: np.ndarray, looking: list[int]) -> None:
    """Draws `weights`, `(heads, looking, key)`, of the queries `looking`, the faint ones first."""
    shares = weights / (weights.max() or 1.0)
    lines = [
        (shares[head, row, key], head, looking[row], key)
        for head, row, key in np.argwhere(shares >= _UNSEEN).tolist()
    ]
    lines.sort()
    # Heads end side by side, or those that agree would hide each other.
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


def _draw_squares(axes: "Axes", weights: np.ndarray) -> None:
    """A row for each key and a column for each head; `weights` are `(heads, key)`."""
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
    """Where the squares of a head begin."""
    return _SPAN + _GAP + _SQUARE * head


def _draw_tokens(axes: "Axes", chosen: Chosen, looking: list[int]) -> None:
    style = label_style([*chosen.query_tokens, *chosen.key_tokens], fontsize="small", va="center")
    some = len(looking) < len(chosen.query_tokens)
    for position, token in enumerate(chosen.query_tokens):
        stands_out = some and position in looking
        look = {
            "color": "black" if stands_out or not some else _FADED,
            "weight": "bold" if stands_out else "normal",
        }
        axes.text(-_GAP, position, shown(token), ha="right", **look, **style)
    right = _left(len(chosen.heads)) + _GAP
    for position, token in enumerate(chosen.key_tokens):
        axes.text(right, position, shown(token), ha="left", **style)


def _draw_header(axes: "Axes", chosen: Chosen) -> None:
    style = {"fontsize": "x-small", "va": "center"}
    for column, head in enumerate(chosen.heads):
        axes.text(_left(column) + 0.45 * _SQUARE, _NUMBERS_ABOVE, str(head), ha="center", **style)
    axes.text(
        _left(0) - _GAP, _NUMBERS_ABOVE, f"{chosen.layer_names[-1]}, head", ha="right", **style
    )
