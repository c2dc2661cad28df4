"""Which of the named texts of a record are the two sides of a pair."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from keras_transformer.data.corpora.files.codes import is_code
from keras_transformer.errors import InputError
from keras_transformer.languages import primary_language

NESTED = "translation"
"""The key of an object of two texts, as in data sets of Hugging Face."""

Languages = tuple[str | None, str | None]
"""The codes of source and target that somebody has named, or `None`."""


class Keys(NamedTuple):
    """Where the texts of a pair stand.

    Attributes:
        source, target: keys or columns.
        nested: whether they are within `NESTED`.
    """

    source: str
    target: str
    nested: bool = False

    def languages(self) -> tuple[str, str] | None:
        """The languages that the keys name, if they do."""
        return (self.source, self.target) if is_code(self.source) and is_code(self.target) else None


def find_keys(place: str, names: Collection[str], nested: Collection[str], wanted: Languages):
    """Chooses the keys of a pair: codes of languages, or ``source`` and ``target``.

    Args:
        place: the file and what is in it, for the error.
        names: the keys there are, in order.
        nested: those within `NESTED`, if there are some.
        wanted: languages; without them two keys that are codes are the source and the target.

    Raises:
        InputError: when there are none; it says which were looked for and which there are.
    """
    for level in (nested, names):
        if found := _among(level, wanted):
            return Keys(*found, nested=level is nested)
    looked_for = [f"{one!r} and {other!r}" for one, other in _pairs(wanted)]
    raise InputError(
        f"{place}: no pair of texts: looked for {', or '.join(looked_for)}, there or within "
        f"{NESTED!r}; there are {_listed(nested or names)}: rename them, or say which with "
        "--source-language and --target-language"
    )


def language_among(codes: Iterable[str], wanted: str) -> str | None:
    """The code of a language, or else the one that has its language in common: `pt-BR` for `pt`."""
    codes = list(codes)
    for alike in (str.lower, primary_language):
        for code in codes:
            if alike(code) == alike(wanted):
                return code
    return None


def _among(names: Collection[str], wanted: Languages) -> tuple[str, str] | None:
    source, target = (code and language_among(names, code) for code in wanted)
    if source and target and source != target:
        return source, target
    if "source" in names and "target" in names:
        return "source", "target"
    codes = [name for name in names if is_code(name)]
    if len(codes) > 2 and "id" in codes:  # rather a number than Indonesian
        codes.remove("id")
    for one, other in (codes, codes[::-1]) if len(codes) == 2 else ():
        if (not wanted[0] or source == one) and (not wanted[1] or target == other):
            return one, other
    return None


def _pairs(wanted: Languages) -> list[tuple[str, str]]:
    named = [(wanted[0], wanted[1])] if wanted[0] and wanted[1] else [("pt", "en")]
    return [*named, ("source", "target")]


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
