"""Glossaries: terms of a source language and the translations that are wanted of them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from keras_transformer.errors import InputError
from keras_transformer.files import file_error
from keras_transformer.unicode import utf8

MOST_TERMS = 100_000
"""Most terms of a glossary."""

MOST_CHARACTERS, MOST_WORDS = 200, 16
"""Most characters and words of a term and of its translation."""


class Term(NamedTuple):
    """A term and the translation that is wanted of it.

    Attributes:
        source, target: both as texts.
        domain: part of the glossary that it belongs to; empty for what holds everywhere.
    """

    source: str
    target: str
    domain: str = ""


@dataclass(frozen=True)
class Glossary:
    """Terms, each source of which is there once, whatever its capitals.

    Attributes:
        terms: `Term`s.
    """

    terms: tuple[Term, ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike, domain: str | None = None) -> Glossary:
        """Reads a file of a term a line: source, target and, if need be, a domain, parted by tabs.

        Empty lines are passed over.

        Args:
            path: of a UTF-8 file.
            domain: leave out terms of other domains; one of this domain goes before one without.

        Raises:
            InputError: when the file cannot be read, for a line that is no term, for two
                translations of one term, and for a domain that no line has.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: is not UTF-8 ({error}): convert it.") from error
        except OSError as error:
            raise file_error(path, "read", error) from error
        return cls.parse(text, str(path), domain)

    @classmethod
    def parse(cls, text: str, where="glossary", domain: str | None = None) -> Glossary:
        """The glossary of a text of lines; see `load`.

        Args:
            text: of lines.
            where: what an error begins with.
            domain: as for `load`.
        """
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            place = f"{where}, line {number}"
            columns = [column.strip() for column in line.rstrip("\r").split("\t")]
            if len(columns) not in (2, 3):
                raise InputError(
                    f"{place}: has {len(columns)} columns: give a term, its translation and, if "
                    "need be, a domain, parted by tabs."
                )
            rows.append((place, Term(*columns)))
        if domain is not None and not any(term.domain == domain for _, term in rows):
            domains = sorted({term.domain for _, term in rows} - {""})
            has = f"it has {', '.join(domains[:20])}" if domains else "its terms have none"
            raise InputError(f"{where}: has no term of the domain {domain!r:.60}; {has}.")
        return cls(_checked(rows, domain))

    @classmethod
    def of(cls, terms: Any) -> Glossary:
        """A glossary from what Python has.

        Args:
            terms: a `Glossary`, the path of a file, a mapping of terms to translations, or pairs
                of them.

        Raises:
            InputError: for anything else, and as `load` does.
        """
        if isinstance(terms, cls):
            return terms
        if isinstance(terms, str | os.PathLike):
            return cls.load(terms)
        if isinstance(terms, Mapping):
            terms = terms.items()
        if not isinstance(terms, Iterable):
            raise InputError(f"a glossary is pairs of terms or a file; got {type(terms).__name__}.")
        rows = []
        for number, pair in enumerate(terms, 1):
            where = f"glossary, term {number}"
            if isinstance(pair, str | bytes) or not isinstance(pair, Iterable):
                raise InputError(f"{where}: is no pair of a term and its translation.")
            columns = tuple(pair)
            if len(columns) not in (2, 3) or not all(isinstance(part, str) for part in columns):
                raise InputError(f"{where}: is no pair of a term and its translation, as texts.")
            rows.append((where, Term(*(column.strip() for column in columns))))
        return cls(_checked(rows, None))

    def __len__(self) -> int:
        return len(self.terms)

    def lines(self) -> str:
        """The terms as lines, each with its translation after a tab."""
        return "\n".join(f"{term.source}\t{term.target}" for term in self.terms)

    def columns(self) -> tuple[list[bytes], list[bytes]]:
        """Terms and translations, UTF-8."""
        return [utf8(term.source) for term in self.terms], [
            utf8(term.target) for term in self.terms
        ]


def _checked(rows: list[tuple[str, Term]], domain: str | None) -> tuple[Term, ...]:
    """The terms of a domain, or all where there is none, without repetitions.

    Args:
        rows: each with what an error about it begins with.
        domain: if any.
    """
    found: dict[str, tuple[str, Term]] = {}
    if domain is not None:  # its terms first
        rows = sorted(rows, key=lambda row: row[1].domain != domain)
        rows = [row for row in rows if row[1].domain in (domain, "")]
    for where, term in rows:
        for name, text in (("term", term.source), ("translation", term.target)):
            _check_text(where, name, text)
        key = " ".join(unicodedata.normalize("NFKC", term.source).lower().split())
        place, other = found.setdefault(key, (where, term))
        if other.target == term.target or (domain and other.domain and not term.domain):
            continue
        domains = "" if other.domain == term.domain else ", or choose a domain"
        raise InputError(
            f"{where}: translates {term.source!r:.60} as {term.target!r:.60}, and {place}, as "
            f"{other.target!r:.60}: keep one of them{domains}."
        )
    if len(found) > MOST_TERMS:
        raise InputError(
            f"a glossary of {len(found):,} terms is more than {MOST_TERMS:,}: leave some out."
        )
    return tuple(term for _, term in found.values())


def _check_text(where: str, name: str, text: str) -> None:
    if not any(character.isalnum() for character in text):
        what = f"{text!r:.40} has no letter" if text else "is empty"
        raise InputError(f"{where}: its {name} {what}: give a word, or leave the line out.")
    if len(text) > MOST_CHARACTERS or len(text.split()) > MOST_WORDS:
        raise InputError(
            f"{where}: its {name} {text[:30]!r} has {len(text)} characters in "
            f"{len(text.split())} words, and a {name} has {MOST_CHARACTERS} in {MOST_WORDS} at "
            "most: a glossary is of terms, not of sentences."
        )
    if any(
        ord(one) < 32 or "\uf8fa" <= one <= "\uf8fe" or "\ud800" <= one < "\ue000" for one in text
    ):
        raise InputError(
            f"{where}: its {name} {text[:30]!r} has a control character or half of one: remove it."
        )
