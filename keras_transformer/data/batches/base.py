"""What batches of pairs and of texts share: padded rows, and a dataset of epochs."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_transformer.special_tokens import PAD


def pad_rows(ids, starts, ends, shape) -> np.ndarray:
    """Puts stretches of a flat array of ids into rows, padded with 0 at their end.

    Args:
        ids: token ids, ``(tokens,)``.
        starts, ends: where in `ids` each row begins and ends, each ``(rows,)`` or shorter; rows
            without a stretch are all padding.
        shape: ``(rows, length)``.

    Returns:
        int32 ids of that shape.
    """
    batch = np.full(shape, PAD, np.int32)
    places = starts[:, np.newaxis] + np.arange(shape[1])
    real = places < ends[:, np.newaxis]
    batch[: len(starts)][real] = ids[places[real]]
    return batch


def starts_of(lengths) -> np.ndarray:
    """Offsets of stretches of these lengths, and the end of the last: int64 ``(n + 1,)``."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


class EpochBatches(ABC):
    """Batches of token ids in an order that follows from the seed and the epoch alone.

    Args:
        shuffle: another order in each epoch.
        seed: of the shuffling; ``None`` for one that is never the same.

    Attributes:
        element_spec: nested `tf.TensorSpec` of a batch.
    """

    element_spec: tuple

    def __init__(self, shuffle, seed):
        self.shuffle = shuffle
        self._seed = np.random.SeedSequence(seed).entropy

    @abstractmethod
    def __len__(self) -> int:
        """Number of batches in an epoch."""

    @abstractmethod
    def epoch(self, number, start=0) -> Iterator:
        """The batches of one epoch.

        Args:
            number: of the epoch, from 0.
            start: number of batches to leave out at its beginning.
        """

    def dataset(self, first_epoch=0) -> tf.data.Dataset:
        """The batches for ``fit``; each time through is the next epoch, from `first_epoch` on."""
        numbers = itertools.count(first_epoch)
        dataset = tf.data.Dataset.from_generator(
            lambda: self.epoch(next(numbers)), output_signature=self.element_spec
        )
        return dataset.apply(tf.data.experimental.assert_cardinality(len(self))).prefetch(4)

    def _shuffler(self, epoch) -> np.random.Generator | None:
        """The draws of an epoch; ``None`` where nothing is shuffled."""
        return np.random.default_rng([self._seed, epoch]) if self.shuffle else None
