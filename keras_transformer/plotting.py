"""Pictures: attention, masks, positional encodings, learning rates and training curves.

Functions return a matplotlib Figure that belongs to no window: `figure.savefig("attention.png")`
writes it, a notebook shows it as a cell's value. Only `plot_attention_head` draws on the current
axes of pyplot, as in the tutorial.
"""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from keras_transformer.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

COLOUR_MAP = "viridis"  # perceptually uniform: equal steps of weight look equal

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
    _draw_head(
        axes,
        _texts(in_tokens),
        _texts(translated_tokens)[1:],
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
    in_tokens = source.lookup(source.tokenize(tf.constant([_text(sentence)])))[0]
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
    in_tokens, out_tokens = _texts(in_tokens), _texts(translated_tokens)[1:]
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
        image = _draw_head(axes, in_tokens, out_tokens, head, maximum=heads.max())
        if len(heads) > 1:
            axes.set_xlabel(f"Head {number}")
    for axes in grid:  # those that are left
        axes.remove()
    figure.colorbar(image, ax=figure.axes, label="Attention weight", aspect=20 * rows, pad=0.01)
    return figure


def _draw_head(
    axes: "Axes",
    in_tokens: list[str],
    out_tokens: list[str],
    weights: np.ndarray,
    maximum: float | None = None,
) -> "AxesImage":
    expected = (len(out_tokens), len(in_tokens))
    if weights.shape != expected:
        raise InputError(
            f"attention of shape {weights.shape} does not fit {expected[0]} output tokens (after "
            f"[START]) and {expected[1]} source tokens: give weights of shape {expected}"
        )
    image = axes.matshow(weights, cmap=COLOUR_MAP, vmin=0, vmax=maximum, aspect="auto")
    # Without `parse_math=False` a pair of dollar signs would be read as a formula.
    style = {"fontsize": "small", "parse_math": False}
    axes.set_xticks(range(len(in_tokens)), in_tokens, rotation=90, **style)
    axes.set_yticks(range(len(out_tokens)), out_tokens, **style)
    axes.tick_params(length=0)
    return image


def plot_positional_encoding(encoding: Any) -> Figure:
    """Draws a positional encoding: position along the side, depth along the bottom.

    Args:
        encoding: `(length, depth)`, or `(1, length, depth)` as the older edition has it.

    Returns:
        The figure.

    Raises:
        InputError: when the encoding has another number of dimensions.
    """
    values = np.asarray(encoding)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2:
        raise InputError(
            f"positional encoding of shape {values.shape}: give one of shape (length, depth)"
        )
    figure = new_figure(7, 4.5)
    axes = figure.add_subplot()
    # A diverging map, white at zero: sines and cosines have a sign.
    mesh = axes.pcolormesh(values, cmap="RdBu", vmin=-1, vmax=1, rasterized=True)
    axes.set(xlabel="Depth", ylabel="Position")
    figure.colorbar(mesh, ax=axes)
    return figure


def plot_masks(mask: Any) -> Figure:
    """Draws an attention mask, the visible keys of each query filled.

    Args:
        mask: `(query, key)`, also with leading dimensions of size 1. Bool means keep; float or int
          means 1 = hidden, as in the older edition.

    Returns:
        The figure.

    Raises:
        InputError: when the mask is not two-dimensional.
    """
    values = np.asarray(mask)
    shape = values.shape
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    if values.ndim != 2:
        raise InputError(f"mask of shape {shape}: give one of shape (query, key)")
    visible = values if values.dtype == bool else values == 0
    figure = new_figure(4.5, 4)
    axes = figure.add_subplot()
    axes.imshow(visible, cmap="Blues", vmin=0, vmax=1.4, interpolation="nearest")
    axes.set(xlabel="Key", ylabel="Query", title="Visible keys (filled)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    return figure


def plot_learning_rate(schedule: Callable[[Any], Any], steps: int = 40_000) -> Figure:
    """Draws a learning-rate schedule.

    Args:
        schedule: called with a tensor of steps, `(points,)`; gives the learning rate of each.
        steps: number of training steps shown.

    Returns:
        The figure.

    Raises:
        InputError: when `steps` is less than 1.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}: give at least 1")
    import tensorflow as tf

    at = np.unique(np.linspace(0, steps, num=2000, dtype=np.int64))
    rates = np.asarray(schedule(tf.constant(at, tf.float32)))
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    axes.plot(at, np.broadcast_to(rates, at.shape))
    axes.set(xlabel="Training step", ylabel="Learning rate", xlim=(0, steps))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return figure


def plot_training_curves(history: Any) -> Figure:
    """Draws the quantities of a training run by epoch, training and validation together.

    Args:
        history: what `fit` returns, its `.history` dictionary, or the path of `training_log.csv`.

    Returns:
        The figure, with one panel for each quantity that has a validation counterpart (loss and
        metrics), or for every quantity when there was no validation.

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
        for column, label in ((name, "training"), (f"val_{name}", "validation")):
            if column in columns:
                values = columns[column]
                # Keras counts epochs from 0 in its CSV file; people count from 1.
                at = 1 + (np.arange(len(values)) if epochs is None else np.asarray(epochs))
                axes.plot(at, values, marker="o", markersize=3, label=label)
        axes.set(xlabel="Epoch", title=name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _columns(history: Any) -> dict[str, list[float]]:
    """Quantities by name, one value an epoch."""
    if not isinstance(history, str | Path):
        history = getattr(history, "history", history)
        if not isinstance(history, Mapping):
            raise InputError(
                f"a history of type {type(history).__name__}: give what fit returned, "
                "a dictionary of lists, or the path of training_log.csv"
            )
        return {name: [float(value) for value in values] for name, values in history.items()}
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


class _NotebookFigure(Figure):
    """A figure that a notebook shows even where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


def new_figure(width: float, height: float) -> Figure:
    return _NotebookFigure(figsize=(width, height), layout="constrained")


def _text(value: Any) -> str:
    """A str from a str, bytes or scalar string tensor."""
    value = value.numpy() if hasattr(value, "numpy") else value
    value = value.item() if isinstance(value, np.ndarray) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _texts(tokens: Any) -> list[str]:
    """Tokens as str, from a list or a string tensor, `(tokens,)`."""
    tokens = tokens.numpy() if hasattr(tokens, "numpy") else tokens
    return [_text(token) for token in tokens]
