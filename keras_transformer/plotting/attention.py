"""Heat maps of the attention of any layer: a grid of layers by heads, and averages of them.

The pictures of one layer as the tutorial draws them are in `plotting`; lines from word to word in
`plotting_attention_lines`. Functions return a matplotlib Figure that belongs to no window.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_transformer.plotting.heads import draw_head
from keras_transformer.plotting.scores import Chosen, choose
from keras_transformer.plotting.style import label_inches, new_figure

_INCHES_PER_TOKEN = 0.19
_SMALL_INCHES_PER_TOKEN = 0.105
_SMALL_FONT = 6  # points
_SMALLEST_PANEL = 1.0  # inch
_LARGEST_GRID = 36  # inches


def plot_attention_grid(
    scores: Any, query_tokens: Any = None, key_tokens: Any = None, **choice: Any
) -> Figure:
    """Draws the attention of every head of every layer: layers down, heads across.

    All panels have one scale, so that they compare, and the same tokens, which stand at the left
    and on top. For print choose a few of them: `layers` and `heads`. Of many heads and a long
    sentence, whose labelled picture would be over 36 inches wide, an overview without tokens is
    drawn.

    Args:
        scores: attention weights of a sentence, in any of the forms of `plotting_scores.choose`:
          what ``model(..., return_attention_scores=True)`` gives, a `Translation` with attention,
          or what `sentence_attention` gives.
        query_tokens: the tokens that look, `(query,)`; known of the two with tokens of their own.
        key_tokens: the tokens that are looked at, `(key,)`; the same unless given.
        choice: `attention` (``encoder``, ``decoder`` or ``cross``), `layers`, `heads`, `row` and
          `hide` of `plotting_scores.choose`.

    Returns:
        The figure.

    Raises:
        InputError: when something is missing, or does not fit.

    Example:
        >>> seen = kt.sentence_attention(translator, "este é um problema que temos que resolver.")
        >>> figure = kt.plot_attention_grid(seen, attention="encoder", layers=(1, 4))
    """
    chosen = choose(scores, query_tokens, key_tokens, **choice)
    rows, columns, queries, keys = chosen.weights.shape
    width = max(_SMALLEST_PANEL, _SMALL_INCHES_PER_TOKEN * keys)
    height = max(_SMALLEST_PANEL, _SMALL_INCHES_PER_TOKEN * queries)
    labels = max(columns * width, rows * height) <= _LARGEST_GRID
    if not labels:
        width = height = _SMALLEST_PANEL
    room = [
        label_inches(tokens, _SMALL_FONT) if labels else 0.0
        for tokens in (chosen.query_tokens, chosen.key_tokens)
    ]
    figure = new_figure(
        columns * (width + 0.06) + room[0] + 1.2, rows * (height + 0.06) + room[1] + 0.4
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    maximum = chosen.weights.max()
    for layer, head in np.ndindex(rows, columns):
        axes = panels[layer, head]
        image = draw_head(
            axes,
            chosen.key_tokens,
            chosen.query_tokens,
            chosen.weights[layer, head],
            maximum=maximum,
            fontsize=_SMALL_FONT,
            label_keys=labels and layer == 0,
            label_queries=labels and head == 0,
        )
        axes.tick_params(pad=2)
        if head == 0:
            axes.set_ylabel(chosen.layer_names[layer], fontsize="small")
        if layer == rows - 1:
            axes.set_xlabel(f"Head {chosen.heads[head]}", fontsize="small")
    figure.colorbar(image, ax=panels, label="Attention weight", aspect=15 * rows, pad=0.01)
    return figure


def plot_attention_average(
    scores: Any, query_tokens: Any = None, key_tokens: Any = None, **choice: Any
) -> Figure:
    """Draws the mean of the attention of several heads and layers; that of one where one is chosen.

    An average shows what a layer or a model looks at as a whole, and hides that heads differ.

    Args:
        scores, query_tokens, key_tokens, choice: as for `plot_attention_grid`.

    Returns:
        The figure; its title says of how many layers and heads the mean is.

    Raises:
        InputError: when something is missing, or does not fit.
    """
    chosen = choose(scores, query_tokens, key_tokens, **choice)
    mean = chosen.weights.mean(axis=(0, 1))  # (query, key)
    queries, keys = mean.shape
    figure = new_figure(
        max(2.0, _INCHES_PER_TOKEN * keys) + label_inches(chosen.query_tokens) + 1.4,
        max(2.0, _INCHES_PER_TOKEN * queries) + label_inches(chosen.key_tokens) + 0.9,
    )
    axes = figure.add_subplot()
    image = draw_head(axes, chosen.key_tokens, chosen.query_tokens, mean)
    axes.set(title=_title(chosen), xlabel="Key (looked at)", ylabel="Query (looks)")
    figure.colorbar(image, ax=axes, label="Attention weight")
    return figure


def _title(chosen: Chosen) -> str:
    layers, heads = len(chosen.layers), len(chosen.heads)
    if layers == heads == 1:
        return f"{chosen.layer_names[0]}, head {chosen.heads[0]}"
    if layers == 1:
        return f"Mean of {heads} heads, {chosen.layer_names[0].lower()}"
    return f"Mean of {layers} layers, " + (
        f"head {chosen.heads[0]}" if heads == 1 else f"{heads} heads each"
    )
