"""Pairs in translation memories (TMX 1.4), read as the parser comes by them.

Source: https://www.gala-global.org/tmx-14b
"""

import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

from keras_transformer.data.corpora.files.keys import Languages, language_among
from keras_transformer.data.corpora.files.opening import Location, OpenFile
from keras_transformer.data.corpora.files.tables import Block, empty_side
from keras_transformer.errors import InputError
from keras_transformer.languages import primary_language

_PIECE = 2**18  # bytes
_CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})
"""Elements of a text that hold codes of its format."""

Unit = tuple[int, dict[str, str]]
"""The line of a unit, and its texts by language."""


def tmx_languages(path: Location, wanted: Languages) -> tuple[str, str]:
    """The languages of the pairs: those that are wanted, or the two of the first unit that has two.

    The header tells which of them is the source, else the first.

    Raises:
        InputError: when there are more than two, or none, and for a file that is wrong or missing.
    """
    if wanted[0] and wanted[1]:
        return wanted[0], wanted[1]
    parser = _Parser(path)
    for _, texts in parser.units():
        if len(texts) > 2 or any(code and not language_among(texts, code) for code in wanted):
            raise _other_languages(path, texts)
        if len(texts) == 2:
            first, second = texts
            if wanted[1]:
                is_turned = language_among(texts, wanted[1]) == first
            else:
                source = wanted[0] or parser.source_language or first
                is_turned = language_among(texts, source) == second
            return (second, first) if is_turned else (first, second)
    raise InputError(f"{path}: no unit has texts in two languages: give a file of translations")


def tmx_pairs(path: Location, languages: tuple[str, str], *, only: bool) -> Iterator[Block]:
    """Reads the pairs. Units that lack one of the languages are none.

    Args:
        path: the file.
        languages: of source and target; `pt` is also `pt-BR`.
        only: whether the file may have no other languages.

    Raises:
        InputError: for an empty text, for other languages, for a file without pairs, and for one
            that is no XML or declares entities.
    """
    sources: list[str] = []
    targets: list[str] = []
    others: set[str] = set()
    any_pair = False
    for line, texts in _Parser(path).units():
        source, target = (language_among(texts, code) for code in languages)
        if only and len(texts) > (source is not None) + (target is not None):
            raise _other_languages(path, sorted({*languages, *texts}))
        if source is None or target is None:
            others.update(texts)
            continue
        if not (texts[source].strip() and texts[target].strip()):
            raise empty_side(path, line, "fill it or remove the unit")
        sources.append(texts[source])
        targets.append(texts[target])
        if len(sources) == 4096:
            yield sources, targets
            sources, targets, any_pair = [], [], True
    if sources:
        yield sources, targets
    elif not any_pair:
        found = ", ".join(map(repr, sorted(others))) or "none"
        raise InputError(
            f"{path}: no unit has texts in {languages[0]!r} and {languages[1]!r}; there are "
            f"{found}: name two with --source-language and --target-language"
        )


def _other_languages(path: Location, codes: Iterable[str]) -> InputError:
    return InputError(
        f"{path}: has texts in {', '.join(map(repr, codes))}: name two of them with "
        "--source-language and --target-language"
    )


class _Parser:
    """Collects the texts of units.

    Attributes:
        source_language: the header's, if it names one.
    """

    def __init__(self, path: Location):
        self.source_language: str | None = None
        self._path = path
        self._units: list[Unit] = []
        self._line, self._language, self._depth = 0, "", 0
        self._texts: dict[str, str] = {}
        self._parts: list[str] | None = None  # of a text that has begun
        self._hidden = 0  # how many codes we are inside of
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        # Few entities can stand for gigabytes of text; those of other files are not read.
        parser.EntityDeclHandler = self._refuse
        parser.SkippedEntityHandler = self._refuse

    def units(self) -> Iterator[Unit]:
        """The units of the file, in order."""
        with OpenFile(self._path) as file:
            data = b" "
            while data:
                data = file.read(_PIECE)
                try:
                    self._parser.Parse(data, not data)
                except expat.ExpatError as error:
                    raise InputError(
                        f"{self._path}, line {error.lineno}: no XML "
                        f"({expat.ErrorString(error.code)}): export the translation memory again"
                    ) from None
                yield from self._units
                self._units.clear()

    def _start(self, name, attributes):
        self._depth += 1
        if self._depth == 1 and name != "tmx":
            raise InputError(f"{self._path}: is no TMX: its first element is {name!r}, not 'tmx'")
        if name == "header":
            self.source_language = attributes.get("srclang")
        elif name == "tu":
            self._line, self._texts = self._parser.CurrentLineNumber, {}
        elif name == "tuv":
            code = attributes.get("xml:lang") or attributes.get("lang") or ""
            language = primary_language(code)
            self._language = language + code[len(language) :]
        elif name == "seg":
            self._parts = []
        elif name in _CODES:
            self._hidden += 1

    def _end(self, name):
        self._depth -= 1
        if name == "seg" and self._parts is not None:
            text = "".join(self._parts)
            if "\n" in text:  # as XML is indented
                text = re.sub(r"\s*\n\s*", " ", text).strip()
            self._texts[self._language], self._parts = text, None
        elif name == "tu":
            self._units.append((self._line, self._texts))
        elif name in _CODES:
            self._hidden -= 1

    def _characters(self, text):
        if self._parts is not None and not self._hidden:
            self._parts.append(text)

    def _refuse(self, name, *_):
        raise InputError(
            f"{self._path}, line {self._parser.CurrentLineNumber}: the entity {name!r}: write what "
            "it stands for in its place"
        )
