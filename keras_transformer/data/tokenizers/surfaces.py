"""What tokens say, by their names: what stands of each in a text."""

import re
from collections.abc import Mapping, Sequence

from keras_transformer.data.text.casing import MARKS
from keras_transformer.data.text.tags import MARK as TAG_MARK
from keras_transformer.data.text.terms import AS
from keras_transformer.data.text.terms import MARKS as TERM_MARKS

SILENT = {"[PAD]", "[START]", "[END]", "[JOIN]", *MARKS, *TERM_MARKS, "<pad>", "<s>", "</s>", ""}
"""Names of tokens that say nothing."""

_, _AS, _TERM_END = TERM_MARKS

BESIDE = AS
"""What the tokens beside a term say: nothing of the text, but they belong to that term."""
_UNKNOWN = {"[UNK]", "<unk>"}

PLACEHOLDER = r"\[KEEP_([0-9]+)\]"
"""Names of placeholders, by their numbers from 1."""


def surfaces(names: Sequence[str], kept: Mapping[int, str]) -> list[str | None]:
    """What each token says: an empty text for marks, `BESIDE` for a translation beside a term in a
    source, with the signs around it, ``None`` for an unknown word.

    Args:
        names: of the tokens, as `lookup` gives them: ``##`` marks the inside of a word, or ``▁``
            the beginning of one.
        kept: what placeholders stand for, by their numbers from 0.
    """
    says, beside = [], False
    for name in names:
        beside = beside or name == _AS
        says.append(BESIDE if beside else _surface(name, kept))
        beside = beside and name != _TERM_END
    return says


def _surface(name: str, kept: Mapping[int, str]) -> str | None:
    if name in SILENT or re.fullmatch(TAG_MARK, name):
        return ""
    if name in _UNKNOWN:
        return None
    if placeholder := re.fullmatch(PLACEHOLDER, name):
        return kept.get(int(placeholder[1]) - 1)
    return name.removeprefix("##").replace("▁", "")
