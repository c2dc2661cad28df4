"""Heat maps of attention: of one layer, as the tutorial draws them, of all layers, and averages.

Functions return a matplotlib Figure that belongs to no window: ``figure.savefig("attention.png")``
writes it, and a notebook shows it as the value of a cell. Only `plot_attention_head` draws on the
current axes of pyplot, as in the tutorial.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from keras_transformer.errors import InputError
from keras_transformer.plotting.scores import SelectedAttention, select_attention
from keras_transformer.plotting.style import (
    COLOUR_MAP,
    as_text,
    as_texts,
    label_inches,
    label_style,
    new_figure,
    token_label,
)
from keras_transformer.unicode import utf8

_INCHES_PER_TOKEN = 0.19
_FIGURE_COLUMNS = 4
_FIGURE_INCHES = 24  # largest width

# Of `plot_attention_grid`.
_SMALL_INCHES_PER_TOKEN = 0.105
_SMALL_FONT = 6  # points
_SMALLEST_PANEL = 1.0  # inch
_LARGEST_GRID = 36  # inches


def plot_attention_head(in_tokens: Any, translated_tokens: Any, attention: Any) -> None:
    """Draws one head's attention on the current axes of pyplot, as in the tutorial.

    Args:
        in_tokens: the source tokens, str or a tensor of strings, `(key,)`.
        translated_tokens: the output tokens with the start token, which is skipped,
          `(1 + query,)`.
        attention: weights of the head, `(query, key)`.

    Raises:
        InputError: when the sizes disagree.
    """
    from matplotlib import pyplot

    axes = pyplot.gca()
    if axes.figure.get_layout_engine() is None:
        axes.figure.set_layout_engine("tight")  # or long tokens are cut off at the border
    draw_head(
        axes,
        as_texts(in_tokens),
        as_texts(translated_tokens)[1:],
        np.asarray(attention, dtype=np.float32),
    )


def plot_attention_weights(
    sentence: Any, translated_tokens: Any, attention_heads: Any, *, tokenizers: Any
) -> Figure:
    """Draws the attention of every head of a translation, in a grid.

    Args:
        sentence: the source sentence, str or scalar string tensor.
        translated_tokens: the output tokens from the start token on, `(1 + query,)`.
        attention_heads: weights of all heads, `(heads, query, key)`.
        tokenizers: has the source tokenizer as `.source` or, as in the tutorial, `.pt`, with the
          methods `tokenize` and `lookup`.

    Raises:
        InputError: when the sizes disagree.
    """
    import tensorflow as tf

    source = tokenizers.source if hasattr(tokenizers, "source") else tokenizers.pt
    # One sentence makes a batch of one: ids are (1, key).
    in_tokens = source.lookup(source.tokenize(tf.constant([utf8(as_text(sentence))])))[0]
    return attention_figure(in_tokens, translated_tokens, attention_heads)


def attention_figure(in_tokens: Any, translated_tokens: Any, attention_heads: Any) -> Figure:
    """Draws the attention of every head of a translation, in a grid, from the source tokens.

    Args:
        in_tokens: the source tokens, `(key,)`.
        translated_tokens, attention_heads: as for `plot_attention_weights`.

    Raises:
        InputError: when the sizes disagree.
    """
    in_tokens, out_tokens = as_texts(in_tokens), as_texts(translated_tokens)[1:]
    heads = np.asarray(attention_heads, dtype=np.float32)
    if heads.ndim != 3 or not len(heads):
        raise InputError(
            f"attention of shape {heads.shape} is not (heads, query, key): "
            "give the weights of one sentence, without the batch dimension"
        )
    width = 1.1 + max(1.6, _INCHES_PER_TOKEN * len(in_tokens))
    height = 1.3 + max(1.2, _INCHES_PER_TOKEN * len(out_tokens))
    # Two rows of four for the tutorial's eight heads; fewer columns where sentences are long.
    columns = min(_FIGURE_COLUMNS, len(heads), max(2, int(_FIGURE_INCHES / width)))
    rows = -(-len(heads) // columns)
    figure = new_figure(columns * width + 0.8, rows * height)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for number, (head, axes) in enumerate(zip(heads, grid, strict=False), start=1):
        # One scale for all heads, so that they compare.
        image = draw_head(axes, in_tokens, out_tokens, head, maximum=heads.max())
        if len(heads) > 1:
            axes.set_xlabel(f"Head {number}")
    for axes in grid:  # unused ones
        axes.remove()
    figure.colorbar(image, ax=figure.axes, label="Attention weight", aspect=20 * rows, pad=0.01)
    return figure


def draw_head(
    axes: Axes,
    in_tokens: list[str],
    out_tokens: list[str],
    weights: np.ndarray,
    maximum: float | None = None,
    fontsize: float | str = "small",
    label_keys: bool = True,
    label_queries: bool = True,
) -> AxesImage:
    """Draws one heat map: queries down, keys across, tokens at the left and on top.

    Args:
        axes: axes to draw on.
        in_tokens: `(key,)`.
        out_tokens: `(query,)`.
        weights: `(query, key)`.
        maximum: weight with the brightest colour; the highest of `weights` unless given.
        fontsize: font size of the tokens.
        label_keys, label_queries: whether to write the tokens.

    Returns:
        the image, for a colour bar.

    Raises:
        InputError: when the sizes disagree.
    """
    expected = (len(out_tokens), len(in_tokens))
    if weights.shape != expected:
        raise InputError(
            f"attention of shape {weights.shape} does not fit {expected[0]} output tokens (after "
            f"[START]) and {expected[1]} source tokens: give weights of shape {expected}"
        )
    image = axes.matshow(weights, cmap=COLOUR_MAP, vmin=0, vmax=maximum, aspect="auto")
    style = label_style([*in_tokens, *out_tokens], fontsize=fontsize)
    axes.set_xticks([])
    axes.set_yticks([])
    if label_keys:
        axes.set_xticks(range(len(in_tokens)), map(token_label, in_tokens), rotation=90, **style)
    if label_queries:
        axes.set_yticks(range(len(out_tokens)), map(token_label, out_tokens), **style)
    axes.tick_params(length=0)
    return image


def plot_attention_grid(
    scores: Any, query_tokens: Any = None, key_tokens: Any = None, **selection: Any
) -> Figure:
    """Draws the attention of every head of every layer: layers down, heads across.

    All panels have one scale and the same tokens, at the left and on top. For print select a few of
    them with `layers` and `heads`. Where the picture would be over 36 inches wide it is drawn
    smaller, without tokens.

    Args:
        scores: attention weights: the second result of
          ``model(..., return_attention_scores=True)``, a `Translation` with attention, a
          `SentenceAttention`, or an array; see `scores.select_attention`.
        query_tokens: tokens of the queries, `(query,)`; needed where `scores` holds no tokens.
        key_tokens: tokens of the keys, `(key,)`; the same unless given.
        selection: `attention` (``encoder``, ``decoder`` or ``cross``), `layers`, `heads`, `row` and
          `hide` of `scores.select_attention`.

    Raises:
        InputError: when something is missing or does not fit.

    Example:
        >>> scores = kt.sentence_attention(translator, "este é um problema que temos que resolver.")
        >>> figure = kt.plot_attention_grid(scores, attention="encoder", layers=(1, 4))
    """
    selected = select_attention(scores, query_tokens, key_tokens, **selection)
    rows, columns, queries, keys = selected.weights.shape
    width = max(_SMALLEST_PANEL, _SMALL_INCHES_PER_TOKEN * keys)
    height = max(_SMALLEST_PANEL, _SMALL_INCHES_PER_TOKEN * queries)
    labels = max(columns * width, rows * height) <= _LARGEST_GRID
    if not labels:
        width = height = _SMALLEST_PANEL
    room = [
        label_inches(tokens, _SMALL_FONT) if labels else 0.0
        for tokens in (selected.query_tokens, selected.key_tokens)
    ]
    figure = new_figure(
        columns * (width + 0.06) + room[0] + 1.2, rows * (height + 0.06) + room[1] + 0.4
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    maximum = selected.weights.max()
    for layer, head in np.ndindex(rows, columns):
        axes = panels[layer, head]
        image = draw_head(
            axes,
            selected.key_tokens,
            selected.query_tokens,
            selected.weights[layer, head],
            maximum=maximum,
            fontsize=_SMALL_FONT,
            label_keys=labels and layer == 0,
            label_queries=labels and head == 0,
        )
        axes.tick_params(pad=2)
        if head == 0:
            axes.set_ylabel(selected.layer_names[layer], fontsize="small")
        if layer == rows - 1:
            axes.set_xlabel(f"Head {selected.heads[head]}", fontsize="small")
    figure.colorbar(image, ax=panels, label="Attention weight", aspect=15 * rows, pad=0.01)
    return figure


def plot_attention_average(
    scores: Any, query_tokens: Any = None, key_tokens: Any = None, **selection: Any
) -> Figure:
    """Draws the mean attention of several heads and layers, or the attention of one.

    Args:
        scores, query_tokens, key_tokens, selection: as for `plot_attention_grid`.

    Returns:
        The figure; its title has the number of layers and heads.

    Raises:
        InputError: when something is missing or does not fit.
    """
    selected = select_attention(scores, query_tokens, key_tokens, **selection)
    mean = selected.weights.mean(axis=(0, 1))  # (query, key)
    queries, keys = mean.shape
    figure = new_figure(
        max(2.0, _INCHES_PER_TOKEN * keys) + label_inches(selected.query_tokens) + 1.4,
        max(2.0, _INCHES_PER_TOKEN * queries) + label_inches(selected.key_tokens) + 0.9,
    )
    axes = figure.add_subplot()
    image = draw_head(axes, selected.key_tokens, selected.query_tokens, mean)
    axes.set(title=_title(selected), xlabel="Key (looked at)", ylabel="Query (looks)")
    figure.colorbar(image, ax=axes, label="Attention weight")
    return figure


def _title(selected: SelectedAttention) -> str:
    layers, heads = len(selected.layers), len(selected.heads)
    if layers == heads == 1:
        return f"{selected.layer_names[0]}, head {selected.heads[0]}"
    if layers == 1:
        return f"Mean of {heads} heads, {selected.layer_names[0].lower()}"
    return f"Mean of {layers} layers, " + (
        f"head {selected.heads[0]}" if heads == 1 else f"{heads} heads each"
    )
