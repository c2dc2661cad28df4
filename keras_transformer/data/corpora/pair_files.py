"""Line-aligned pair files: reading, checking, guessing languages, holding pairs out."""

import gzip
import hashlib
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from keras_transformer.errors import InputError

Pair = tuple[str, str]

HELD_OUT_SHARE = 0.02
HELD_OUT_LIMIT = 1000


def pair_paths(spec: str) -> tuple[Path, ...]:
    """Splits `SRC,TGT` or `FILE.tsv` into its one or two paths.

    Args:
        spec: two comma-separated paths or one path of a `.tsv` or `.tsv.gz` file, optionally with
          `pairs:` in front.

    Returns:
        One path (tab-separated) or two (source, target).

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
    """Reads sentence pairs from line-aligned files or a two-column table.

    Files are UTF-8, plain or `.gz`. Only the newline character ends a line (a carriage return
    before it is dropped), so Unicode line separators inside a sentence cannot shift the alignment.

    Args:
        spec: `SRC,TGT` or `FILE.tsv`, optionally with `pairs:` in front.

    Returns:
        The pairs `(source, target)` in file order, text as it stands in the files.

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


def _read_table(path: Path) -> list[Pair]:
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
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


def read_lines(path: str | Path) -> list[str]:
    """Reads the lines of a UTF-8 file, plain or `.gz`, without byte order mark and line ends.

    Args:
        path: the file.

    Returns:
        Its lines, split at newline characters alone.

    Raises:
        InputError: when the file is missing, unreadable, empty or not UTF-8.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: check the path") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: not a complete gzip file ({error}): compress it again or give the plain file"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}): give a readable file"
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec reports offsets behind the mark, if there is one.
        number = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {number}: byte 0x{error.object[error.start]:02x} is not UTF-8: "
            "convert the file, for example with iconv -f latin1 -t utf-8"
        ) from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty: give a file with one sentence per line")
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def guess_languages(paths: Sequence[Path]) -> tuple[str, str]:
    """Guesses the languages from file endings such as `train.pt.gz` or `news.pt-en.tsv`.

    Args:
        paths: one path of a table or two of line-aligned files.

    Returns:
        Source and target language codes; `("pt", "en")` where the names do not tell.
    """
    stems = [re.sub(r"(\.(gz|tsv|txt))+$", "", path.name) for path in paths]
    if len(stems) == 1:
        found = re.search(r"(?:^|[._])([a-z]{2})[-_]([a-z]{2})$", stems[0])
        codes = list(found.groups()) if found else []
    else:
        matches = [re.search(r"(?:^|[._-])([a-z]{2})$", stem) for stem in stems]
        codes = [match.group(1) for match in matches if match]
    return (codes[0], codes[1]) if len(set(codes)) == 2 else ("pt", "en")


def stable_hash(text: str) -> int:
    """A 64-bit hash that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def hold_out(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Splits a small validation part off the training pairs, the same one every time.

    All pairs of one source (compared without regard to case and spacing) stay together, so no
    held-out source is seen in training.

    Args:
        pairs: all pairs.

    Returns:
        Training pairs and held-out pairs, each in the given order. 2 % of the pairs and at most
        1,000 are held out, at least one where there are two sources.
    """
    wanted = min(HELD_OUT_LIMIT, max(1, int(len(pairs) * HELD_OUT_SHARE)))
    keys = [" ".join(source.casefold().split()) for source, _ in pairs]
    counts: dict[str, int] = defaultdict(int)
    for key in keys:
        counts[key] += 1
    held: set[str] = set()
    number = 0
    if len(counts) > 1:
        for key in sorted(counts, key=lambda key: (stable_hash(key), key)):
            if number == wanted:
                break
            if number + counts[key] <= wanted:
                held.add(key)
                number += counts[key]
    train = [pair for pair, key in zip(pairs, keys, strict=True) if key not in held]
    return train, [pair for pair, key in zip(pairs, keys, strict=True) if key in held]
