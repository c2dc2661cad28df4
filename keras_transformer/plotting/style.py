"""Style of all pictures: figures, colours and dashes, tokens as labels."""

import io
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_transformer.errors import InputError

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


def add_legend(figure: Figure, axes: Axes) -> None:
    """Adds a legend at the right of the axes."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)


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
    token = "".join(
        repr(character)[1:-1] if unicodedata.category(character) == "Cc" else character
        for character in token
    )
    return token if len(token) <= LONGEST_LABEL else token[: LONGEST_LABEL - 1] + "…"


def label_inches(tokens: Iterable[str], points: float = SMALL) -> float:
    """Approximate length of the longest of some labels, in inches."""
    longest = max(len(token_label(token)) for token in tokens)
    return longest * _WIDTH_OF_A_CHARACTER * points / 72


def label_style(tokens: Iterable[str], **style: Any) -> dict[str, Any]:
    """Properties of matplotlib's texts for labels of tokens in any script, and those in `style`."""
    # With `parse_math` a pair of dollar signs would be read as a formula.
    characters = frozenset(ord(character) for token in tokens for character in token)
    families = tuple(matplotlib.rcParams["font.family"])
    return {"parse_math": False, "family": [*families, *_fallbacks(characters, families)], **style}


@lru_cache(maxsize=64)
def _fallbacks(characters: frozenset[int], families: tuple[str, ...]) -> list[str]:
    """Installed fonts for the characters that the usual font lacks."""
    usual = font_manager.findfont(font_manager.FontProperties(family=list(families)))
    missing = characters - _characters(usual)
    found: list[str] = []
    fonts: dict[str, str] = {}
    for font in font_manager.fontManager.ttflist:
        # Bold and slanted fonts often lack characters of the regular one.
        if font.name not in fonts or (font.style, str(font.weight)) == ("normal", "400"):
            fonts[font.name] = font.fname
    for name in sorted(fonts, key=lambda name: ("Sans" not in name, name)):
        if not missing:
            break
        # That font has a box for every character.
        if "Last Resort" not in name and missing & (has := _characters(fonts[name])):
            found.append(name)
            missing -= has
    return found


def _characters(path: str) -> set[int]:
    """Code points that a font can draw; none if it is broken or a bitmap font."""
    try:
        font = font_manager.get_font(path)
        return set(font.get_charmap()) if font.scalable else set()
    except (OSError, RuntimeError):
        return set()
