"""Pairs that stay in their files and are read as they are needed."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from keras_transformer.data.corpora.corpus import Pair, dataset_of
from keras_transformer.data.corpora.files.opening import Location, state_of
from keras_transformer.data.corpora.files.tables import Block
from keras_transformer.data.corpora.held_out import held_out_rows, key_hashes
from keras_transformer.errors import InputError
from keras_transformer.unicode import utf8

MOST_IN_MEMORY = 100_000
"""Pairs of a corpus that is kept in memory once it has been read."""

NO_ROWS = np.zeros(0, np.int64)
NO_HASHES = np.zeros(0, np.uint64)


class PairStream:
    """Pairs in files, which are read again for each pass over them.

    Few pairs, and those of a pipe, which can be read once only, are read once and kept.

    Args:
        paths: all files.
        read: gives all pairs of the files, some thousand at a time.

    Attributes:
        count: how many pairs there are; known after `check`.
    """

    def __init__(self, paths: Iterable[Location], read: Callable[[], Iterator[Block]]):
        self.count = 0
        self._read = read
        self._states = {path: state_of(path) for path in paths}
        self._kept: list[Block] | None = None

    @property
    def state(self) -> str:
        """Names, sizes and times of the files; empty where one is a pipe."""
        states = self._states
        return "" if None in states.values() else "; ".join(f"{p}: {states[p]}" for p in states)

    def check(self, held_out_by: int | None = None) -> np.ndarray:
        """The first pass, which counts the pairs and finds what is wrong with the files.

        Args:
            held_out_by: the side, 0 or 1, by whose texts pairs are held out, if they are.

        Returns:
            sorted numbers, from 0, of the pairs that `hold_out` holds out.

        Raises:
            InputError: for a wrong file, by its name and line.
        """
        kept: list[Block] = []
        hashes = [NO_HASHES]
        is_pipe = None in self._states.values()
        for block in self.blocks():
            self.count += len(block[0])
            if self.count <= MOST_IN_MEMORY or is_pipe:
                kept.append(block)
            else:
                kept.clear()
            if held_out_by is not None:
                hashes.append(key_hashes(block[held_out_by]))
        self._kept = kept or None
        return held_out_rows(np.concatenate(hashes))

    def blocks(self) -> Iterator[Block]:
        """All pairs in order, some thousand at a time.

        Raises:
            InputError: when a file is not what it was when it was first read.
        """
        if self._kept is not None:
            yield from self._kept
            return
        self._check_state()
        yield from self._read()
        self._check_state()

    def rows(self, numbers: np.ndarray) -> dict[int, Pair]:
        """The pairs of some sorted numbers."""
        return {
            number: (sources[number - row], targets[number - row])
            for row, (sources, targets) in self._numbered()
            for number in _between(numbers, row, len(sources)).tolist()
        }

    def dataset(self, without: np.ndarray = NO_ROWS) -> tf.data.Dataset | None:
        """The pairs as a dataset of `(source, target)` scalar strings; None when there are none.

        Args:
            without: sorted numbers of the pairs that are left out.
        """

        def arrays() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for row, (sources, targets) in self._numbered():
                left_out = _between(without, row, len(sources)) - row
                source, target = (
                    np.delete(np.array([utf8(text) for text in side], object), left_out)
                    for side in (sources, targets)
                )
                yield source, target

        count = self.count - len(without)
        if self._kept is not None:
            columns = [np.concatenate(side) for side in zip(*arrays(), strict=True)]
            return dataset_of(list(zip(*columns, strict=True)))
        strings = tf.TensorSpec((None,), tf.string)
        # Prefetched, so that files are read while others work; `unbatch` takes twice as long.
        chunks = tf.data.Dataset.from_generator(arrays, output_signature=(strings, strings))
        pairs = chunks.prefetch(2).flat_map(
            lambda *sides: tf.data.Dataset.from_tensor_slices(sides)
        )
        return pairs.apply(tf.data.experimental.assert_cardinality(count))

    def _numbered(self) -> Iterator[tuple[int, Block]]:
        """The pairs, with the number of the first of each block."""
        row = 0
        for block in self.blocks():
            yield row, block
            row += len(block[0])

    def _check_state(self) -> None:
        for path, state in self._states.items():
            if state is not None and state_of(path) != state:
                raise InputError(
                    f"{path}: has changed since it was first read: begin again when it is complete"
                )


def _between(numbers: np.ndarray, start: int, count: int) -> np.ndarray:
    """Those of sorted numbers that are at least `start`, and below `start + count`."""
    return numbers[slice(*np.searchsorted(numbers, (start, start + count)))]


def some_rows(count: int, without: np.ndarray = NO_ROWS) -> np.ndarray:
    """Numbers of at most 2,000 pairs from all over a corpus.

    Args:
        count: of its pairs.
        without: sorted numbers of those that do not count.
    """
    left = count - len(without)
    numbers = np.arange(0, left, max(1, left // 1000))
    # Each moves on by as many as are left out before it.
    return numbers + np.searchsorted(without - np.arange(len(without)), numbers, side="right")
