"""What all pictures share: figures of no window, colours and lines that everyone can tell apart,
tokens as labels.
"""

import io
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

COLOUR_MAP = "viridis"  # perceptually uniform: equal steps of weight look equal, in grey print too

# Okabe and Ito's colours, which the colour-blind tell apart, without the yellow, which white paper
# swallows.
BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PINK = "#CC79A7"
GREY = "#4D4D4D"  # lighter ones look like the green to many

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY_BLUE, PINK, BLACK, GREY)
"""In the order in which they are given out: those that differ most come first."""

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)), (0, (1, 3)))
"""They tell the lines of `COLOURS` apart in grey print."""

LONGEST_LABEL = 30  # characters
SMALL = 8.33  # points: what matplotlib calls small
_WIDTH_OF_A_CHARACTER = 0.62  # of the size of the font


class NotebookFigure(Figure):
    """A figure that a notebook shows even where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of some inches that belongs to no window."""
    return NotebookFigure(figsize=(width, height), layout="constrained")


def as_text(value: Any) -> str:
    """A str from a str, bytes or scalar string tensor."""
    value = value.numpy() if hasattr(value, "numpy") else value
    value = value.item() if isinstance(value, np.ndarray) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def as_texts(tokens: Any) -> list[str]:
    """Tokens as str, from a list or a string tensor, `(tokens,)`."""
    tokens = tokens.numpy() if hasattr(tokens, "numpy") else tokens
    return [as_text(token) for token in tokens]


def shown(token: str) -> str:
    """A token as a label: on one line, and no longer than pictures have room for."""
    token = "".join(
        repr(character)[1:-1] if unicodedata.category(character) == "Cc" else character
        for character in token
    )
    return token if len(token) <= LONGEST_LABEL else token[: LONGEST_LABEL - 1] + "…"


def label_inches(tokens: Iterable[str], points: float = SMALL) -> float:
    """About how long the longest of some labels is."""
    longest = max(len(shown(token)) for token in tokens)
    return longest * _WIDTH_OF_A_CHARACTER * points / 72


def label_style(tokens: Iterable[str], **style: Any) -> dict[str, Any]:
    """Properties of matplotlib's texts for labels that are tokens, in whatever script.

    Args:
        tokens: the texts of all labels.
        style: further properties.

    Returns:
        the properties.
    """
    # Without `parse_math=False` a pair of dollar signs would be read as a formula.
    characters = frozenset(ord(character) for token in tokens for character in token)
    families = tuple(matplotlib.rcParams["font.family"])
    return {"parse_math": False, "family": [*families, *_fallbacks(characters, families)], **style}


@lru_cache(maxsize=64)
def _fallbacks(characters: frozenset[int], families: tuple[str, ...]) -> list[str]:
    """Installed fonts with the characters that the usual one lacks; those no font has are left."""
    usual = font_manager.findfont(font_manager.FontProperties(family=list(families)))
    missing = characters - _characters(usual)
    found: list[str] = []
    fonts: dict[str, str] = {}
    for font in font_manager.fontManager.ttflist:
        # The bold and slanted ones of a family often lack what the regular one has.
        if font.name not in fonts or (font.style, str(font.weight)) == ("normal", "400"):
            fonts[font.name] = font.fname
    for name in sorted(fonts, key=lambda name: ("Sans" not in name, name)):
        if not missing:
            break
        # That font has a picture of a box for every character there is.
        if "Last Resort" not in name and missing & (has := _characters(fonts[name])):
            found.append(name)
            missing -= has
    return found


def _characters(path: str) -> set[int]:
    """Code points that a font can draw; none of one that is broken or made of pictures."""
    try:
        font = font_manager.get_font(path)
        return set(font.get_charmap()) if font.scalable else set()
    except (OSError, RuntimeError):
        return set()
