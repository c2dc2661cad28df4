"""Style of all pictures: figures, colours and dashes, tokens as labels."""

import io
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_transformer.errors import InputError
from keras_transformer.plotting.fonts import drawable, text_style

COLOUR_MAP = "viridis"  # perceptually uniform, in grey print too

# Okabe and Ito's colours, which colour-blind readers can distinguish, without yellow, which is
# invisible on white.
BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PINK = "#CC79A7"
GREY = "#4D4D4D"  # lighter greys look like the green to colour-blind readers

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY_BLUE, PINK, BLACK, GREY)
"""In order of use: the most different ones come first."""

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)), (0, (1, 3)))
"""Dashes of the lines in `COLOURS`, for grey print."""

LONGEST_LABEL = 30  # characters
SMALL = 8.33  # matplotlib's "small", in points
_WIDTH_OF_A_CHARACTER = 0.62  # relative to the font size


class NotebookFigure(Figure):
    """A figure that notebooks show even if pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that belongs to no window."""
    return NotebookFigure(figsize=(width, height), layout="constrained")


def check_number_of_lines(lines: Any, what: str) -> None:
    """Raises an `InputError` for no lines and for more than there are colours."""
    if not 0 < len(lines) <= len(COLOURS):
        raise InputError(f"{len(lines)} {what} to draw: give 1 to {len(COLOURS)}")


def set_title(axes: Axes, title: Any) -> None:
    """Sets a title that someone else chose, as it is."""
    title = drawable(title)
    axes.set_title(title, **text_style([title]))


def add_legend(figure: Figure, axes: Axes) -> None:
    """Adds a legend at the right of the axes."""
    name_lines(figure, axes, loc="outside right center", frameon=False)


def name_lines(where: Figure | Axes, axes: Axes, **options: Any) -> None:
    """Adds a legend to a figure or to axes, with the names of lines as they are."""
    handles, names = axes.get_legend_handles_labels()
    names = [drawable(name) for name in names]
    legend = where.legend(handles, names, **options)
    style = text_style(names)
    for text in legend.get_texts():
        text.set(**style)


def as_text(value: Any) -> str:
    """A str from a str, bytes or scalar string tensor."""
    value = value.numpy() if hasattr(value, "numpy") else value
    value = value.item() if isinstance(value, np.ndarray) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def as_texts(tokens: Any) -> list[str]:
    """Tokens as str, from a list or a string tensor, `(tokens,)`."""
    tokens = tokens.numpy() if hasattr(tokens, "numpy") else tokens
    return [as_text(token) for token in tokens]


def token_label(token: str) -> str:
    """A token as a label: on one line, at most `LONGEST_LABEL` characters."""
    token = drawable(token).replace("\n", "\\n")
    return token if len(token) <= LONGEST_LABEL else token[: LONGEST_LABEL - 1] + "…"


def label_inches(tokens: Iterable[str], points: float = SMALL) -> float:
    """Approximate length of the longest of some labels, in inches."""
    return max(map(_relative_width, map(token_label, tokens))) * points / 72


def _relative_width(label: str) -> float:
    """Width of a label, relative to the font size: letters of Chinese are squares."""
    return sum(
        1.0 if unicodedata.east_asian_width(character) in "WF" else _WIDTH_OF_A_CHARACTER
        for character in label
    )


def label_style(tokens: Iterable[str], **style: Any) -> dict[str, Any]:
    """Properties of matplotlib's texts for the labels of tokens."""
    return text_style(map(token_label, tokens), **style)
