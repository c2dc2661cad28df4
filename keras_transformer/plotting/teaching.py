"""Pictures for teaching: positional encodings and attention masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_transformer.errors import InputError
from keras_transformer.plotting.style import (
    BLUE,
    ORANGE,
    as_texts,
    label_inches,
    label_style,
    new_figure,
    set_title,
    token_label,
)

_INCHES_PER_TOKEN = 0.19


def plot_positional_encoding(encoding: Any, position: int | None = None) -> Figure:
    """Draws a positional encoding: position along the side, depth along the bottom.

    Args:
        encoding: `(length, depth)`, or `(1, length, depth)` as in the 2019 edition.
        position: also draw the cosine of every position's encoding with that of this position.

    Raises:
        InputError: when the encoding has another rank, or no such position.
    """
    values = np.asarray(encoding, np.float64)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or not values.size:
        raise InputError(
            f"positional encoding of shape {values.shape}: give one of shape (length, depth)"
        )
    if position is not None and not 0 <= position < len(values):
        raise InputError(
            f"position {position} of an encoding of {len(values)}: give 0 to {len(values) - 1}"
        )
    figure = new_figure(7 if position is None else 11, 4.5)
    panels = figure.subplots(1, 2, width_ratios=(3, 2)) if position is not None else None
    axes = figure.add_subplot() if panels is None else panels[0]
    limit = np.abs(values).max() or 1.0
    # A diverging map, white at zero.
    mesh = axes.pcolormesh(values, cmap="RdBu", vmin=-limit, vmax=limit, rasterized=True)
    axes.set(xlabel="Depth", ylabel="Position")
    figure.colorbar(mesh, ax=axes)
    if panels is not None:
        _draw_similarity(panels[1], values, position)
    return figure


def _draw_similarity(axes: Axes, values: np.ndarray, position: int) -> None:
    norms = np.linalg.norm(values, axis=1)
    cosines = values @ values[position] / np.maximum(norms * norms[position], 1e-12)
    axes.axvline(position, color=ORANGE, linestyle="--")
    axes.plot(cosines, color=BLUE)
    axes.set(xlabel="Position", ylabel=f"Cosine with the encoding of position {position}")
    axes.set_xlim(0, max(1, len(values) - 1))
    axes.grid(alpha=0.3)


def plot_masks(mask: Any, query_tokens: Any = None, key_tokens: Any = None) -> Figure:
    """Draws attention masks, the visible keys of each query filled.

    Args:
        mask: `(query, key)`, also with leading dimensions of size 1. Bool means keep, float or
          integer 1 means hidden. Or several masks by name, drawn side by side; a mask for all
          queries, such as a padding mask, `(1, key)`, is repeated for each.
        query_tokens: tokens of the queries, `(query,)`.
        key_tokens: tokens of the keys, `(key,)`; the same unless given.

    Raises:
        InputError: when a mask is not two-dimensional, there is none, or tokens do not fit.

    Example:
        >>> ids = tf.constant([[2, 7, 5, 3, 0, 0]])
        >>> padding, ahead = kt.create_padding_mask(ids), kt.create_look_ahead_mask(6)
        >>> figure = plot_masks(
        ...     {"Padding": padding, "Look-ahead": ahead, "Both": tf.maximum(padding, ahead)}
        ... )
    """
    named = mask if isinstance(mask, Mapping) else {"Visible keys (filled)": mask}
    if not named:
        raise InputError("no masks to draw: give at least one")
    visible = {name: _visible(values) for name, values in named.items()}
    queries = max(len(values) for values in visible.values())
    visible = {
        name: np.repeat(values, queries, axis=0) if mask is named and len(values) == 1 else values
        for name, values in visible.items()
    }
    labels = (None, None)
    if query_tokens is not None:
        key_tokens = query_tokens if key_tokens is None else key_tokens
        labels = as_texts(query_tokens), as_texts(key_tokens)
    rows, columns = (max(values.shape[axis] for values in visible.values()) for axis in (0, 1))
    width, height = 4.5, 4.0
    if query_tokens is not None:
        width = max(2.0, _INCHES_PER_TOKEN * columns) + label_inches(labels[0]) + 0.5
        height = max(2.0, _INCHES_PER_TOKEN * rows) + label_inches(labels[1]) + 1.0
    figure = new_figure(width * len(visible), height)
    panels = figure.subplots(1, len(visible), squeeze=False)[0]
    for axes, (name, values) in zip(panels, visible.items(), strict=True):
        _draw_mask(axes, name, values, *labels)
    if mask is named:
        figure.suptitle("Visible keys (filled)")
    return figure


def _visible(mask: Any) -> np.ndarray:
    """Mask as bool `(query, key)`, True where visible."""
    values = np.asarray(mask)
    shape = values.shape
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or not values.size:
        raise InputError(f"mask of shape {shape}: give one of shape (query, key)")
    return values if values.dtype == bool else values == 0


def _draw_mask(
    axes: Axes,
    name: str,
    visible: np.ndarray,
    query_tokens: Sequence[str] | None,
    key_tokens: Sequence[str] | None,
) -> None:
    axes.imshow(visible, cmap="Blues", vmin=0, vmax=1.4, interpolation="nearest")
    axes.set(xlabel="Key", ylabel="Query")
    set_title(axes, name)
    if query_tokens is None:
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)
        return
    if visible.shape != (len(query_tokens), len(key_tokens)):
        raise InputError(
            f"mask of shape {visible.shape} does not fit {len(query_tokens)} query tokens and "
            f"{len(key_tokens)} key tokens: give a token for each row and each column"
        )
    style = label_style([*query_tokens, *key_tokens], fontsize="small")
    axes.set_xticks(range(len(key_tokens)), map(token_label, key_tokens), rotation=90, **style)
    axes.set_yticks(range(len(query_tokens)), map(token_label, query_tokens), **style)
    # Lines between the cells.
    axes.set_xticks(np.arange(1, len(key_tokens)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(query_tokens)) - 0.5, minor=True)
    axes.grid(which="minor", color="#cccccc", linewidth=0.6)
    axes.tick_params(which="both", length=0)
