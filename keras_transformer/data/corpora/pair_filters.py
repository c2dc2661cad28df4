"""Which pairs are fit to train on.

Copies of the source teach a model to copy (Ott et al. 2018, arXiv 1803.00047); what filters of
lengths and languages are worth on texts of the web, Koehn et al. (2020, WMT, 2020.wmt-1.78) tell.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from keras_transformer.data.text.detecting import Detector
from keras_transformer.data.text.words import word_spans
from keras_transformer.errors import InputError, whole_number

EMPTY, IDENTICAL, TOO_LONG, RATIO = "empty", "identical sides", "too long", "length ratio"
COPIED, LANGUAGE = "copied source", "language"


@dataclass(frozen=True)
class PairFilters:
    """Limits that pairs have to keep; words are those of `word_spans`.

    Args:
        max_words: most words of a side.
        max_ratio: of the longer side's words to the shorter one's.
        max_copied: share of a translation's words that the text has, too, from 0 to 1; any unless
            given, since related languages share words, and all languages names.
        check_language: leave out a side that is rather in the language of the other one; needs the
            extra ``detect``.

    Raises:
        InputError: for a wrong value, and where the extra is missing.
    """

    max_words: int = 250
    max_ratio: float = 3.0
    max_copied: float | None = None
    check_language: bool = False

    def __post_init__(self):
        whole_number("max_words", self.max_words)
        check_number("max_ratio", self.max_ratio, 1, float("inf"))
        if self.max_copied is not None:
            check_number("max_copied", self.max_copied, 0, 1)
        if self.check_language and not _detector().is_there:
            raise InputError(
                "languages are told by py3langid, which is not installed: pip install "
                '"keras_transformer[detect]", or leave out check_language (--check-language).'
            )

    @property
    def names(self) -> tuple[str, ...]:
        """What `reason` may say."""
        wanted = {COPIED: self.max_copied is not None, LANGUAGE: self.check_language}
        names = (EMPTY, IDENTICAL, TOO_LONG, RATIO, COPIED, LANGUAGE)
        return tuple(name for name in names if wanted.get(name, True))

    def reason(self, text: str, translation: str, languages: tuple[str, str]) -> str | None:
        """The first limit that a pair does not keep, by its name.

        Args:
            text: the source; of a synthetic pair what a model translated.
            translation: the target; of a synthetic pair what a model wrote.
            languages: the codes of theirs.
        """
        words = [_words(side) for side in (text, translation)]
        fewest, most = sorted(map(len, words))
        if not fewest:
            return EMPTY
        if words[0] == words[1]:
            return IDENTICAL
        if most > self.max_words:
            return TOO_LONG
        if most > self.max_ratio * fewest:
            return RATIO
        if self.max_copied is not None and _copied(*words) > self.max_copied:
            return COPIED
        if self.check_language and not _in_languages((text, translation), languages):
            return LANGUAGE
        return None


def check_number(name: str, value: Any, least: float, most: float) -> None:
    """Refuses what is no number within limits.

    Raises:
        InputError: with the name of the value.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        limits = f"at least {least}" + ("" if most == float("inf") else f" and at most {most}")
        raise InputError(f"{name} is a number of {limits}; got {value!r:.60}.")


def _words(text: str) -> list[str]:
    text = text.casefold()
    return [text[begin:end] for begin, end in word_spans(text)]


def _copied(text: list[str], translation: list[str]) -> float:
    """The share of a translation's words, those with letters, that the text has, too."""
    known = set(text)
    words = [word for word in translation if any(map(str.isalpha, word))]
    return sum(word in known for word in words) / max(1, len(words))


def _in_languages(sides: tuple[str, str], languages: tuple[str, str]) -> bool:
    """Whether each side is rather in its own language than in that of the other.

    Of the two languages alone: among all of them short sentences are often taken for another.
    """
    return all(
        _detector().detect_among(side, (own, other))[0] == own
        for side, own, other in zip(sides, languages, reversed(languages), strict=True)
    )


@lru_cache(maxsize=1)
def _detector() -> Detector:
    return Detector()
