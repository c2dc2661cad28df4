"""Corpora of files in which line N of one translates line N of the other, or of one table."""

import re
from collections.abc import Sequence
from pathlib import Path

from keras_transformer.data.corpora.corpus import Corpus, Pair, guess_normalization
from keras_transformer.data.corpora.held_out import hold_out
from keras_transformer.data.corpora.text_files import read_lines
from keras_transformer.errors import InputError


def load_pair_files(name: str, *, hold_out_validation: bool) -> Corpus:
    """Loads a corpus of pair files, all of whose pairs are for training.

    Args:
        name: `pairs:SRC,TGT` or `pairs:FILE.tsv`.
        hold_out_validation: split a validation part off the pairs.
    """
    source_language, target_language = guess_languages(pair_paths(name))
    train = read_pairs(name)
    normalization = guess_normalization(train)
    validation: list[Pair] = []
    if hold_out_validation:
        train, validation = hold_out(train)
    return Corpus.from_pairs(
        name,
        {"train": train, "validation": validation},
        source_language=source_language,
        target_language=target_language,
        normalization=normalization,
        licence="As the files' owner says.",
        remedy="name files for it with --validation-pairs SRC,TGT, "
        "or with --pairs SRC,TGT when evaluating",
    )


def pair_paths(spec: str) -> tuple[Path, ...]:
    """Splits `SRC,TGT` into two paths, or returns the one of `FILE.tsv` or `FILE.tsv.gz`.

    Args:
        spec: one of these forms, optionally with `pairs:` in front.

    Raises:
        InputError: when `spec` has neither form.
    """
    parts = [part.strip() for part in spec.removeprefix("pairs:").split(",")]
    is_tsv = len(parts) == 1 and parts[0].endswith((".tsv", ".tsv.gz"))
    if not all(parts) or not (len(parts) == 2 or is_tsv):
        raise InputError(
            f"pair files {spec!r} are neither two paths SRC,TGT nor one FILE.tsv: "
            "give line-aligned files as in train.pt,train.en"
        )
    return tuple(Path(part).expanduser() for part in parts)


def read_pairs(spec: str) -> list[Pair]:
    """Reads sentence pairs from line-aligned files or a two-column table, as they stand there.

    Files are UTF-8, plain or `.gz`. Only the newline character ends a line (a carriage return
    before it is dropped), so Unicode line separators inside a sentence cannot shift the alignment.
    Blank lines at the end of both sides are no pairs.

    Args:
        spec: as for `pair_paths`.

    Raises:
        InputError: for a missing, unreadable or empty file, undecodable bytes, files of different
          lengths, an empty side, or a table line without exactly two columns. The message names
          the file and the line.
    """
    paths = pair_paths(spec)
    if len(paths) == 1:
        return _read_table(paths[0])
    source_path, target_path = paths
    sources, targets = read_lines(source_path), read_lines(target_path)
    _drop_last_blanks(sources, targets)
    if len(sources) != len(targets):
        raise InputError(
            f"{source_path} has {len(sources):,} lines but {target_path} has {len(targets):,}: "
            "give files in which line N of one translates line N of the other"
        )
    for path, lines in ((source_path, sources), (target_path, targets)):
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                raise InputError(
                    f"{path}, line {number}: empty side of a pair: "
                    f"remove line {number} from {source_path} and {target_path}"
                )
    return list(zip(sources, targets, strict=True))


def _drop_last_blanks(sources: list[str], targets: list[str]) -> None:
    """Drops blank lines at the end, unless one of the other file would lose its translation."""
    sides = sources, targets
    while any(sides):
        longest = max(map(len, sides))
        last = [side for side in sides if len(side) == longest]
        if any(side[-1].strip() for side in last):
            return
        for side in last:
            side.pop()


def _read_table(path: Path) -> list[Pair]:
    pairs = []
    lines = read_lines(path)
    while not lines[-1].strip():  # a file that is all blank is refused as empty
        lines.pop()
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if len(columns) != 2:
            raise InputError(
                f"{path}, line {number}: {len(columns)} tab-separated columns instead of 2: "
                "write one source, one tab and one target on each line"
            )
        if not all(column.strip() for column in columns):
            raise InputError(
                f"{path}, line {number}: empty side of a pair: fill it or remove the line"
            )
        pairs.append((columns[0], columns[1]))
    return pairs


def guess_languages(paths: Sequence[Path]) -> tuple[str, str]:
    """Guesses the languages from file endings such as `train.pt.gz` or `news.pt-en.tsv`.

    Where the names of `pair_paths` do not tell, they are `("pt", "en")`.
    """
    stems = [re.sub(r"(\.(gz|tsv|txt))+$", "", path.name) for path in paths]
    if len(stems) == 1:
        found = re.search(r"(?:^|[._])([a-z]{2})[-_]([a-z]{2})$", stems[0])
        codes = list(found.groups()) if found else []
    else:
        matches = [re.search(r"(?:^|[._-])([a-z]{2})$", stem) for stem in stems]
        codes = [match.group(1) for match in matches if match]
    return (codes[0], codes[1]) if len(set(codes)) == 2 else ("pt", "en")
