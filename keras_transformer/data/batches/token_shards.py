"""Token ids of a corpus of any size, in shards on disk, made by several processes.

A folder holds ``index.json`` and, for each shard, flat arrays of NumPy that are read in ranges:
``00000.source.npy`` and ``00000.target.npy``, the ids one after the other, ``00000.lengths.npy``,
of both sides of each pair, and ``00000.json``, where its blocks begin and their checksums. A shard
is what became of `SHARD` pairs of the corpus in their order, so that one that was interrupted goes
on after the last whole shard and comes to the same bytes.
"""

from __future__ import annotations

import functools
import itertools
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import loky
import numpy as np

from keras_transformer.data.batches.base import starts_of
from keras_transformer.data.batches.token_store import (
    TEXTS_AT_ONCE,
    Chunk,
    TokenizedPairs,
    tokenize_chunk,
)
from keras_transformer.data.tokenizers.masked import PairOptions
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.files import (
    make_folder,
    read_json,
    reason_of,
    write_atomically,
    write_json,
)

SHARD = 2**18
"""Pairs of the corpus that a shard is made of, a multiple of `TEXTS_AT_ONCE`."""

BLOCK = 2**10
"""Pairs that are read at once, and have one checksum."""

INDEX_FILE = "index.json"

_SIDES = ("source", "target")

_IDLE_SECONDS = 30
"""After which a process that nobody gives anything to do ends, as where its parent was killed."""


class TokenShards:
    """Token ids of a corpus, read from the disk in blocks of neighbouring pairs.

    Args:
        folder: of the shards.

    Attributes:
        shards: number of shards.
        dropped: number of pairs left out because they were too long.
        longest: number of tokens of the longest side, counted as `TokenizedPairs.lengths` does.

    Raises:
        InputError: for a folder that is not whole.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.shards = read_json(self.folder / INDEX_FILE).get("shards", 0)
        self._shards = [_Shard(self.folder, number) for number in range(self.shards)]
        self.dropped = sum(shard.dropped for shard in self._shards)
        self.longest = max((shard.longest for shard in self._shards), default=0)
        self._first_blocks = starts_of([len(shard.crcs) for shard in self._shards])

    def __len__(self) -> int:
        return sum(shard.pairs for shard in self._shards)

    @property
    def blocks(self) -> int:
        """Number of blocks; each has `BLOCK` pairs, or fewer at the end of a shard."""
        return int(self._first_blocks[-1])

    def target_tokens(self) -> int:
        """Number of tokens that one epoch predicts."""
        return sum(shard.tokens[1] for shard in self._shards) - len(self)

    def read(self, blocks: Iterable[int]) -> TokenizedPairs:
        """The pairs of blocks, one block after the other.

        Raises:
            InputError: for a damaged block.
        """
        found = [shard.read(number) for shard, number in map(self._place_of, blocks)]
        lengths, *ids = (np.concatenate(parts) for parts in zip(*found, strict=True))
        source, target = (side.astype(np.int32) for side in ids)
        return TokenizedPairs(source, starts_of(lengths[:, 0]), target, starts_of(lengths[:, 1]))

    def sample(self, pairs: int) -> TokenizedPairs:
        """About so many pairs, in blocks spread evenly over the corpus."""
        every = max(1, self.blocks * BLOCK // pairs)
        return self.read(range(0, self.blocks, every))

    def lengths(self, blocks: Iterable[int]) -> TokenizedPairs:
        """`read`, without the ids: enough to plan batches by."""
        found = [shard.lengths_of(number) for shard, number in map(self._place_of, blocks)]
        lengths, nothing = np.concatenate(found), np.zeros(0, np.int32)
        return TokenizedPairs(nothing, starts_of(lengths[:, 0]), nothing, starts_of(lengths[:, 1]))

    def _place_of(self, block: int) -> tuple[_Shard, int]:
        """The shard of a block, and its number there."""
        number = int(np.searchsorted(self._first_blocks, block, "right")) - 1
        return self._shards[number], block - int(self._first_blocks[number])


class _Shard:
    """One shard; its arrays are mapped into memory when they are read first."""

    def __init__(self, folder: Path, number: int):
        self._stem = folder / f"{number:05d}"
        facts = read_json(_with_suffix(self._stem, "json"))
        try:
            self.pairs: int = facts["pairs"]
            self.dropped: int = facts["dropped"]
            self.longest: int = facts["longest"]
            self.tokens: list[int] = facts["tokens"]
            self.starts = [
                [*starts, end] for starts, end in zip(facts["starts"], self.tokens, strict=True)
            ]
            self.crcs: list[int] = facts["crcs"]
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self._stem) from error

    def read(self, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lengths, source and target ids of a block."""
        parts = [self.lengths_of(block)]
        for side, starts in enumerate(self.starts):
            parts.append(self._arrays[1 + side][starts[block] : starts[block + 1]])
        if _crc(parts) != self.crcs[block]:
            raise _damaged(self._stem)
        return tuple(parts)

    def lengths_of(self, block: int) -> np.ndarray:
        """Lengths of both sides of the pairs of a block, ``(pairs, 2)``."""
        return self._arrays[0][block * BLOCK : (block + 1) * BLOCK]

    @functools.cached_property
    def _arrays(self) -> list[np.ndarray]:
        try:
            return [
                np.load(_with_suffix(self._stem, f"{name}.npy"), mmap_mode="r", allow_pickle=False)
                for name in ("lengths", *_SIDES)
            ]
        except Exception as error:  # damaged bytes can raise anything
            raise _damaged(self._stem, reason_of(error)) from error


def _damaged(stem: Path, reason: str = "its checksum differs") -> InputError:
    return InputError(
        f"{stem}.*: is damaged ({reason}): delete the folder {stem.parent} and go on with --resume "
        "(resume=True), which makes it anew."
    )


def _with_suffix(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")


def _crc(parts: Sequence[np.ndarray]) -> int:
    """A checksum of arrays in their order."""
    found = 0
    for part in parts:
        found = zlib.crc32(np.ascontiguousarray(part), found)
    return found


# Writing them


@dataclass(frozen=True)
class Recipe:
    """How pairs of a corpus become ids, by what can be handed to another process.

    Attributes:
        tokenizers: the folder of the tokenizers.
        max_tokens: as for `tokenize_pairs`.
        options: likewise.
    """

    tokenizers: Path
    max_tokens: int | None
    options: PairOptions


def write_token_shards(
    folder,
    key: str,
    dataset,
    recipe: Recipe,
    say: Callable[[str], None],
    processes: int | None = None,
) -> TokenShards:
    """Tokenises a corpus into a folder, or goes on where that was interrupted.

    Args:
        folder: of the shards; what it holds of another key is written over.
        key: from `corpus_key`.
        dataset: `tf.data.Dataset` of ``(source, target)`` scalar strings, always in one order.
        recipe: how pairs become ids.
        say: told of each shard.
        processes: how many tokenise, this one where it is 1; unless given, as many as there are
            CPUs, but not for few pairs.

    Raises:
        InputError: when the folder cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    done = _shards_done(folder, key)
    write_json(folder / INDEX_FILE, {"key": key, "shards": done, "whole": False})
    left = dataset.skip(done * SHARD)
    chunks = (
        (source.tolist(), target.tolist())
        for source, target in left.batch(TEXTS_AT_ONCE).prefetch(2).as_numpy_iterator()
    )
    if processes is None:
        processes = min(loky.cpu_count(), 1 + int(dataset.cardinality()) // SHARD)
    found = _tokenized(chunks, recipe, processes)
    while some := list(itertools.islice(found, SHARD // TEXTS_AT_ONCE)):
        write_shard(folder, done, some, recipe)
        done += 1
        write_json(folder / INDEX_FILE, {"key": key, "shards": done, "whole": False})
        say(f"{done * SHARD:,} pairs tokenised")
    finish_token_shards(folder, key, done)
    return TokenShards(folder)


def open_token_shards(folder, key: str) -> TokenShards | None:
    """What `write_token_shards` wrote with this key; ``None`` where it did not, or not all."""
    try:
        index = read_json(Path(folder) / INDEX_FILE)
        return TokenShards(folder) if index.get("key") == key and index.get("whole") else None
    except InputError:
        return None


def _shards_done(folder: Path, key: str) -> int:
    """Number of the shards that an interrupted call with the same key wrote."""
    try:
        index = read_json(folder / INDEX_FILE)
        return TokenShards(folder).shards if index.get("key") == key else 0
    except InputError:
        return 0


def begin_token_shards(folder, key: str) -> bool:
    """Prepares a folder for shards that are made in any order.

    Args:
        folder: of the shards; those of another key are deleted.
        key: from `corpus_key`.

    Returns:
        whether there is something to do; else all shards are there.
    """
    folder = Path(folder)
    make_folder(folder)
    try:
        index = read_json(folder / INDEX_FILE)
    except InputError:
        index = {}
    if index.get("key") == key and index.get("whole"):
        return False
    if index.get("key") != key:
        for path in folder.glob("[0-9]*.json"):  # which say that a shard is there
            path.unlink()
        write_json(folder / INDEX_FILE, {"key": key, "shards": 0, "whole": False})
    return True


def shard_is_there(folder: Path, number: int) -> bool:
    """Whether a shard of the key that the folder was prepared for is written."""
    return _with_suffix(folder / f"{number:05d}", "json").exists()


def finish_token_shards(folder, key: str, shards: int) -> None:
    """Says that all shards are there."""
    write_json(Path(folder) / INDEX_FILE, {"key": key, "shards": shards, "whole": True})


@functools.lru_cache(maxsize=1)
def _has_few_ids(recipe: Recipe) -> bool:
    tokenizers = Tokenizers.load(recipe.tokenizers)
    sizes = (side.get_vocab_size() for side in (tokenizers.source, tokenizers.target))
    return max(map(int, sizes)) <= 2**16


def _tokenized(chunks: Iterator[tuple[list, list]], recipe: Recipe, processes: int):
    """The `Chunk` of each chunk of texts, in their order."""
    if processes == 1:
        yield from map(functools.partial(tokenize_texts, recipe), chunks)
        return
    # Processes of the standard library would each run the user's program once more.
    environment = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    executor = loky.ProcessPoolExecutor(processes, timeout=_IDLE_SECONDS, env=environment)
    try:
        waiting: deque[Future] = deque()
        for chunk in chunks:
            waiting.append(executor.submit(_tokenize_with_one_thread, recipe, chunk))
            if len(waiting) > 4 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(kill_workers=True)


def _tokenize_with_one_thread(recipe: Recipe, texts: tuple[list, list]) -> Chunk:
    _use_one_thread()
    return tokenize_texts(recipe, texts)


@functools.cache
def _use_one_thread():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def tokenize_texts(recipe: Recipe, texts: tuple[list, list]) -> Chunk:
    """The ids of sources and targets."""
    return tokenize_chunk(_loaded(recipe.tokenizers), texts, recipe.max_tokens, recipe.options)


@functools.lru_cache(maxsize=1)
def _loaded(folder: Path) -> Tokenizers:
    return Tokenizers.load(folder)


def write_shard(folder: Path, number: int, chunks: Sequence[Chunk], recipe: Recipe) -> None:
    """Writes what chunks gave; the description last, which says that all is there."""
    ids = np.uint16 if _has_few_ids(recipe) else np.int32
    lengths = np.concatenate([np.stack(chunk.lengths, 1) for chunk in chunks])
    sides = [np.concatenate([chunk.ids[side] for chunk in chunks]).astype(ids) for side in (0, 1)]
    small = lengths.astype(np.uint16 if lengths.max(initial=0) < 2**16 else np.int32)
    stem = folder / f"{number:05d}"
    for name, array in zip(("lengths", *_SIDES), (small, *sides), strict=True):
        _write_array(_with_suffix(stem, f"{name}.npy"), array)
    pairs = len(lengths)
    firsts = range(0, pairs, BLOCK)
    ends = starts_of(lengths[:, 0]), starts_of(lengths[:, 1])
    crcs = []
    for first in firsts:
        last = min(first + BLOCK, pairs)
        parts = [side[end[first] : end[last]] for side, end in zip(sides, ends, strict=True)]
        crcs.append(_crc([small[first:last], *parts]))
    facts: dict[str, Any] = {
        "pairs": pairs,
        "dropped": sum(chunk.dropped for chunk in chunks),
        "longest": int((lengths - [0, 1]).max(initial=0)),
        "tokens": [len(side) for side in sides],
        "starts": [[int(end[first]) for first in firsts] for end in ends],
        "crcs": crcs,
    }
    write_json(_with_suffix(stem, "json"), facts)


def _write_array(path: Path, array: np.ndarray):
    def write(unfinished: Path):
        with unfinished.open("wb") as file:
            np.save(file, array)

    write_atomically(path, write)
