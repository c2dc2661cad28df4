"""Pictures of the attention of a translation, as the tutorial draws them; and, for those who look
for them here, pictures of `plotting_teaching` and `plotting_training`.

Functions return a matplotlib Figure that belongs to no window: `figure.savefig("attention.png")`
writes it, a notebook shows it as a cell's value. Only `plot_attention_head` draws on the current
axes of pyplot, as in the tutorial.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from keras_transformer.errors import InputError
from keras_transformer.plotting.style import (
    COLOUR_MAP,
    as_text,
    as_texts,
    label_style,
    new_figure,
    shown,
)
from keras_transformer.plotting.teaching import plot_masks, plot_positional_encoding
from keras_transformer.plotting.training import plot_learning_rate, plot_training_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = [
    "COLOUR_MAP",
    "attention_figure",
    "new_figure",
    "plot_attention_head",
    "plot_attention_weights",
    "plot_learning_rate",
    "plot_masks",
    "plot_positional_encoding",
    "plot_training_curves",
]

_INCHES_PER_TOKEN = 0.19
_GRID_COLUMNS = 4
_MAXIMUM_INCHES = 24


def plot_attention_head(in_tokens: Any, translated_tokens: Any, attention: Any) -> None:
    """Draws one head's attention on the current axes of pyplot, as in the tutorial.

    Args:
        in_tokens: the source tokens, str or a tensor of strings, `(key,)`.
        translated_tokens: the output tokens with the leading start token, which is skipped since
          the model did not make it, `(1 + query,)`.
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
        tokenizers: holds the source tokenizer as `.source` or, as in the tutorial, as `.pt`; it
          offers `tokenize` and `lookup`.

    Returns:
        The figure.

    Raises:
        InputError: when the sizes disagree.
    """
    import tensorflow as tf

    source = tokenizers.source if hasattr(tokenizers, "source") else tokenizers.pt
    # One sentence makes a batch of one: ids are (1, key).
    in_tokens = source.lookup(source.tokenize(tf.constant([as_text(sentence)])))[0]
    return attention_figure(in_tokens, translated_tokens, attention_heads)


def attention_figure(in_tokens: Any, translated_tokens: Any, attention_heads: Any) -> Figure:
    """Draws the attention of every head of a translation, in a grid, from its tokens.

    Args:
        in_tokens: the source tokens, `(key,)`.
        translated_tokens: the output tokens from the start token on, `(1 + query,)`.
        attention_heads: weights of all heads, `(heads, query, key)`.

    Returns:
        The figure.

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
    columns = min(_GRID_COLUMNS, len(heads), max(2, int(_MAXIMUM_INCHES / width)))
    rows = -(-len(heads) // columns)
    figure = new_figure(columns * width + 0.8, rows * height)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for number, (head, axes) in enumerate(zip(heads, grid, strict=False), start=1):
        # One scale for all heads, so that they compare.
        image = draw_head(axes, in_tokens, out_tokens, head, maximum=heads.max())
        if len(heads) > 1:
            axes.set_xlabel(f"Head {number}")
    for axes in grid:  # those that are left
        axes.remove()
    figure.colorbar(image, ax=figure.axes, label="Attention weight", aspect=20 * rows, pad=0.01)
    return figure


def draw_head(
    axes: "Axes",
    in_tokens: list[str],
    out_tokens: list[str],
    weights: np.ndarray,
    maximum: float | None = None,
    fontsize: float | str = "small",
    label_keys: bool = True,
    label_queries: bool = True,
) -> "AxesImage":
    """Draws one heat map on some axes: queries down, keys across, tokens at the left and on top.

    Args:
        axes: where.
        in_tokens: `(key,)`.
        out_tokens: `(query,)`.
        weights: `(query, key)`.
        maximum: weight with the brightest colour; the highest of `weights` unless given.
        fontsize: of the tokens.
        label_keys, label_queries: write their tokens.

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
        axes.set_xticks(range(len(in_tokens)), map(shown, in_tokens), rotation=90, **style)
    if label_queries:
        axes.set_yticks(range(len(out_tokens)), map(shown, out_tokens), **style)
    axes.tick_params(length=0)
    return image
