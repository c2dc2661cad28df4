"""Batches of a corpus that is larger than memory: of one window of it after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from keras_transformer.data.batches.base import EpochBatches
from keras_transformer.data.batches.subword_dropout import SubwordDropoutBatches
from keras_transformer.data.batches.token_shards import BLOCK, TokenShards
from keras_transformer.data.batches.token_store import TokenizedPairs
from keras_transformer.errors import InputError
from keras_transformer.files import checksum, read_json, write_json

_WINDOWS = 2**32
"""Sets the draw of the windows apart from those of epochs, which have numbers."""


class WindowedBatches(EpochBatches):
    """Batches of shards, in an order that follows from the seed and the epoch alone.

    A window has blocks from all over the corpus, which the seed chooses, the same ones in each
    epoch; an epoch shuffles the windows, and the pairs within each. So the number of batches of a
    window does not change, and a training that goes on passes over the windows that it is done with
    without reading them.

    Args:
        shards: the corpus.
        batches_of: from the pairs of a window to its `EpochBatches`, whose number and shapes follow
            from the lengths of the pairs.
        draw: likewise from pairs to what has `epoch` and `count`, in place of these, where what is
            drawn in an epoch sets the number of its batches.
        shuffle, seed: as for `EpochBatches`; without shuffling windows stand as the corpus does.
        window: pairs of a window.
        facts: file that keeps the numbers of batches, if any.
        plan: what `batches_of` depends on; the file counts for the same alone.
    """

    def __init__(
        self,
        shards: TokenShards,
        batches_of: Callable[[TokenizedPairs], EpochBatches],
        *,
        draw: Callable[[TokenizedPairs], SubwordDropoutBatches] | None = None,
        shuffle=True,
        seed=None,
        window: int,
        facts: Path | None = None,
        plan: str = "",
    ):
        super().__init__(shuffle, seed)
        self._shards = shards
        self._batches_of = batches_of
        self._draw = draw
        blocks = np.arange(shards.blocks)
        if shuffle:
            blocks = np.random.default_rng([self._seed, _WINDOWS]).permutation(blocks)
        parts = -(-len(blocks) * BLOCK // window)
        self._windows = [part.tolist() for part in np.array_split(blocks, parts)]
        self._numbers = self._read_numbers(facts, plan)

    def __len__(self) -> int:
        return sum(self._numbers)

    def epoch(self, number, start=0) -> Iterator:
        """Yields the batches of one epoch, those of one window after the other."""
        rng = self._shuffler(number)
        order = range(len(self._windows)) if rng is None else rng.permutation(len(self._windows))
        for window in order:
            if self._draw is None and start >= self._numbers[window]:
                start -= self._numbers[window]
                continue
            pairs = self._shards.read(self._windows[window])
            batches = (self._draw or self._batches_of)(pairs)
            if self._draw is not None and start and start >= (drawn := batches.count(number)):
                start -= drawn
                continue
            yield from batches.epoch(number, start)
            start = 0

    def _read_numbers(self, facts: Path | None, plan: str) -> list[int]:
        """The number of batches of each window, without what is drawn."""
        key = checksum(repr([plan, self._windows]).encode())
        if facts is not None and facts.exists():
            with suppress(InputError):  # it is written anew
                kept = read_json(facts)
                if kept.get("key") == key:
                    return kept["batches"]
        numbers = [len(self._batches_of(self._shards.lengths(part))) for part in self._windows]
        if facts is not None:
            write_json(facts, {"key": key, "batches": numbers})
        return numbers
