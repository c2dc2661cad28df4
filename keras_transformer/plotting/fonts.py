"""Fonts for texts in any script.

Pictures are drawn in the fonts of matplotlib's settings. For characters that these lack, installed
fonts join in that have them; failing that, a line says once for each script what to install, and a
box with the sign of the script stands for each character. Settings stay as they are.

matplotlib shapes and reorders a text itself, from 3.11 on: letters of Arabic join, vowels of
Devanagari stand where they belong, and Hebrew runs from right to left. The tokens of a sentence
always follow one another from left to right or from top to bottom, in the order of the model.
"""

import dataclasses
import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.font_manager import FontEntry, FontPath, FontProperties
from matplotlib.ft2font import FT2Font

from keras_transformer.unicode import utf8

logger = logging.getLogger(__name__)

LAST_RESORT = "Last Resort High-Efficiency"
"""The font of matplotlib that has a box for every character."""

# No font draws these: spaces, joiners, marks of direction, selectors of variants.
_UNDRAWN = re.compile(
    r"[\s\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\ufe00-\ufe0f\ufeff\ufff0-\ufff8\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

# What names of characters begin with, what that is called, and how fonts name it.
_EAST_ASIAN = (
    (("HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA"), "Japanese", "CJK JP"),
    (("HANGUL", "HALFWIDTH HANGUL"), "Korean", "CJK KR"),
    (("CJK", "KANGXI", "IDEOGRAPHIC", "BOPOMOFO", "FULLWIDTH"), "Chinese", "CJK SC"),
)
_CJK = {language: font for _, language, font in _EAST_ASIAN}

# The script of other characters: what their names have before one of these words.
_SCRIPT = re.compile(
    r"(.+?) (?:LETTER|SYLLABLE|SYLLABICS|CHARACTER|VOWEL|SIGN|DIGIT|NUMBER|CAPITAL|SMALL|MARK"
    r"|IDEOGRAPH|HIEROGLYPH|CONSONANT|INDEPENDENT|DEPENDENT|LIGATURE|PUNCTUATION)\b"
)
_SYMBOL, _PRIVATE, _UNASSIGNED = "symbol", "private use", "unassigned"

_told: set[str] = set()  # scripts that the user knows to be without a font


def text_style(texts: Iterable[str], **style: Any) -> dict[str, Any]:
    """Properties of matplotlib's texts for texts in any script, which are drawn as they are.

    Args:
        texts: all that will be drawn with these properties.
        style: further properties. Where other fonts join in, weight and slant are normal: many
          fonts have no others.

    Returns:
        The properties, with ``family``, the fonts that matplotlib tries for each character, and
        without formulas between dollar signs.
    """
    characters = frozenset(_UNDRAWN.sub("", "".join(texts)))
    families = list(matplotlib.rcParams["font.family"])
    style = {"parse_math": False, "family": families, **style}
    if characters <= _characters_of(families, weight=style.get("weight")):
        return style
    style |= {"weight": "normal", "style": "normal"}
    usual = _characters_of(families, weight="normal", style="normal")
    others, left = _fonts_for(characters - usual)
    if left:
        _fonts_for.cache_clear()  # they may be installed by the next time
        others = [*others, LAST_RESORT]
    for script, character in _by_script(left):
        _tell(script, character)
    return {**style, "family": [*families, *others]}


def drawable(text: Any) -> str:
    """A text that can be drawn: Unicode, with control characters as Python writes them."""
    return "".join(
        repr(character)[1:-1]
        if unicodedata.category(character) == "Cc" and character != "\n"
        else character
        for character in utf8(str(text)).decode()
    )


def _characters_of(families: list[str], **properties: Any) -> frozenset[str]:
    """Characters that some families of fonts have together."""
    found: frozenset[str] = frozenset()
    for family in families:
        wanted = FontProperties(family=[family], **properties)
        try:
            path = font_manager.fontManager.findfont(wanted, fallback_to_default=False)
        except ValueError:  # not installed; matplotlib says so when it draws
            continue
        found |= _characters_in(path)
    return found or _characters_in(font_manager.findfont(FontProperties()))


@lru_cache(maxsize=16)
def _characters_in(path: FontPath) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path.path, face_index=path.face_index).get_charmap()))


@lru_cache(maxsize=64)
def _fonts_for(missing: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Names of installed fonts for some characters, and the characters that none of them has."""
    # Fonts do not agree on what characters of private use are.
    private = frozenset(c for c in missing if _script(c) == _PRIVATE)
    names, left = [], missing - private
    for entry in _candidates(left):
        if not left:
            break
        if has := _drawn_by(entry, left):
            names.append(entry.name)
            left -= has
    return names, left | private


def _candidates(characters: frozenset[str]) -> Iterator[FontEntry]:
    """A font of each family, likely ones first."""
    hints = [_CJK.get(script, script) for script, _ in _by_script(characters)]

    def in_order(entries: Iterable[FontEntry]) -> list[FontEntry]:
        return sorted(
            _regular(entries),
            key=lambda entry: (
                not any(hint in entry.name for hint in hints),
                "Sans" not in entry.name,
                entry.name,
            ),
        )

    manager = font_manager.fontManager
    known = list(manager.ttflist)
    yield from in_order(known)
    # matplotlib keeps its list in a file, which does not change when fonts are installed.
    for path in sorted({*font_manager.findSystemFonts()} - {entry.fname for entry in known}):
        try:
            manager.addfont(path)
        except Exception as error:  # of several kinds, for files that are no fonts
            logger.debug("%s: matplotlib cannot read it (%s)", path, error)
    yield from in_order(manager.ttflist[len(known) :])


def _regular(entries: Iterable[FontEntry]) -> list[FontEntry]:
    """The regular font of each family, or another one where there is none."""
    chosen: dict[str, FontEntry] = {}
    for entry in entries:
        if entry.name not in chosen or (_is_regular(entry) and not _is_regular(chosen[entry.name])):
            chosen[entry.name] = entry
    chosen.pop(LAST_RESORT, None)
    return list(chosen.values())


def _is_regular(entry: FontEntry) -> bool:
    return entry.style == "normal" and str(entry.weight) in ("400", "normal")


def _drawn_by(entry: FontEntry, characters: frozenset[str]) -> frozenset[str]:
    """Which of some characters a font draws; none if matplotlib cannot use it."""
    try:
        font = FT2Font(entry.fname, face_index=entry.index)
        has = frozenset(filter(lambda character: font.get_char_index(ord(character)), characters))
        if not has or not font.scalable:
            return frozenset()
        font.set_size(12, 72)
        # In fonts of coloured pictures, characters have no outlines.
        if not any(_has_outline(font, character) for character in has):
            return frozenset()
    except (OSError, RuntimeError):
        return frozenset()
    if not _is_regular(entry):
        # It counts as regular: matplotlib would log that there is no such weight.
        as_regular = dataclasses.replace(entry, style="normal", weight=400)
        font_manager.fontManager.ttflist.append(as_regular)
    return has


def _has_outline(font: FT2Font, character: str) -> bool:
    glyph = font.load_char(ord(character))
    return glyph.width > 0 and glyph.height > 0


def _by_script(characters: Iterable[str]) -> list[tuple[str, str]]:
    """Scripts of some characters, with the first character of each."""
    found: dict[str, str] = {}
    for character in sorted(characters):
        found.setdefault(_script(character), character)
    return list(found.items())


def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    if not name:
        return _PRIVATE if unicodedata.category(character) == "Co" else _UNASSIGNED
    for beginnings, language, _ in _EAST_ASIAN:
        if name.startswith(beginnings):
            return language
    if unicodedata.category(character).startswith("S"):
        return _SYMBOL
    found = _SCRIPT.match(name)
    return (found[1] if found else name.split()[0]).title()


def _tell(script: str, character: str) -> None:
    """Says, the first time, that no font has some characters of a script."""
    if script in _told:
        return
    _told.add(script)
    if script == _SYMBOL:
        font, package = "Symbola", "fonts-symbola"
    elif script in _CJK:
        font, package = f"Noto Sans {_CJK[script]}", "fonts-noto-cjk"
    else:
        font, package = "Noto Sans", "fonts-noto-core"
    remedy = f": install one that has them, such as {font} (apt-get install {package})"
    logger.warning(
        "Pictures show boxes for characters such as U+%04X (%s), which no installed font has%s.",
        ord(character),
        script,
        "" if script in (_PRIVATE, _UNASSIGNED) or _is_installed(font) else remedy,
    )


def _is_installed(name: str) -> bool:
    return any(entry.name == name for entry in font_manager.fontManager.ttflist)
