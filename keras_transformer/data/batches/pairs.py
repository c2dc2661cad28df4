"""Batches of pairs with little padding.

Pairs of similar lengths share a batch, in one of two ways. XLA compiles a program for each shape:
for it pairs are gathered in buckets by the length of their longer side, and every batch of a bucket
has the same shape; what is left over in a bucket moves on to the next one. Without XLA any shape
will do: pairs are sorted by the lengths of both sides, and there is hardly any padding.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_transformer.data.batches.base import EpochBatches, pad_rows
from keras_transformer.data.batches.token_store import TokenizedPairs, tokenize_pairs
from keras_transformer.errors import InputError

BUCKET_LENGTHS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
"""Lengths that batches of static shapes are padded to."""

TIGHT_STEPS = (4, 2)
"""What lengths of source and target are rounded up to before pairs are sorted: the larger, the
more padding and the more pairs that can meet in a batch."""


def plan_batches(lengths, batch_tokens, rng=None) -> list[tuple[np.ndarray, int]]:
    """Divides pairs into batches of few shapes.

    Args:
        lengths: length of each pair, ``(pairs,)``.
        batch_tokens: a batch has at most this many tokens on a side, padding included, and at
            least one pair.
        rng: a `numpy.random.Generator` that shuffles pairs and batches; ``None`` keeps the order
            by length.

    Returns:
        a list of ``(indices, length)``: pairs of one batch, and the length it is padded to. Every
        pair occurs once. All batches of a length have `rows_of` that length pairs, except
        the last one of all.
    """
    order = np.argsort(lengths, kind="stable") if rng is None else rng.permutation(len(lengths))
    bucket = np.searchsorted(BUCKET_LENGTHS, lengths[order])
    if np.any(bucket == len(BUCKET_LENGTHS)):
        raise InputError(
            f"A pair has {max(lengths)} tokens on one side, more than {BUCKET_LENGTHS[-1]}: "
            "set max_tokens."
        )
    batches = []
    leftover = np.zeros(0, order.dtype)
    for number in np.unique(bucket):
        length = BUCKET_LENGTHS[number]
        rows = rows_of(length, batch_tokens)
        members = np.concatenate([leftover, order[bucket == number]])
        full = len(members) // rows * rows
        batches += [(members[i : i + rows], length) for i in range(0, full, rows)]
        leftover = members[full:]
    if len(leftover):
        batches.append((leftover, length))
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def plan_tight_batches(source_lengths, target_lengths, batch_tokens, rng=None) -> list[np.ndarray]:
    """Divides pairs into batches of any shape, with next to no padding.

    Pairs are sorted by their lengths, in steps of `TIGHT_STEPS`; those of equal lengths are
    shuffled.

    Args:
        source_lengths, target_lengths: lengths of each pair, ``(pairs,)``.
        batch_tokens: as for `plan_batches`; lengths count up to the next step.
        rng: as for `plan_batches`.

    Returns:
        a list of the indices of each batch. Every pair occurs once; the number of batches does
        not depend on `rng`.
    """
    source_step, target_step = TIGHT_STEPS
    source = -(-np.asarray(source_lengths) // source_step) * source_step
    target = -(-np.asarray(target_lengths) // target_step) * target_step
    chance = np.zeros(len(source)) if rng is None else rng.random(len(source))
    order = np.lexsort((chance, source, target))
    longer = np.maximum(source, target)[order].tolist()
    batches, start, longest = [], 0, 0
    for end, length in enumerate(longer):
        longest = max(longest, length)
        if end > start and longest * (end + 1 - start) > batch_tokens:
            batches.append(order[start:end])
            start, longest = end, length
    if len(order):
        batches.append(order[start:])
    return batches if rng is None else [batches[i] for i in rng.permutation(len(batches))]


def rows_of(length: int, batch_tokens: int) -> int:
    """Number of pairs in a batch padded to `length`; a multiple of 8 where there are that many."""
    rows = max(1, batch_tokens // length)
    return rows if rows < 8 else rows // 8 * 8


def pad_batch(pairs: TokenizedPairs, indices, rows: int, source_length: int, target_length: int):
    """Makes one padded batch.

    Args:
        pairs: all pairs.
        indices: which to take.
        rows: number of rows; those without a pair are all padding.
        source_length, target_length: lengths to pad to.

    Returns:
        ``((source, target_in), target_out)``, int32 ``(rows, source_length)`` and twice
        ``(rows, target_length)``: the source, the target without its end, and the target without
        its start (teacher forcing). Of pairs with alignments ``(target_out, first, last)`` in place
        of the last, both int32 ``(rows, target_length)``: the source tokens, from 1, that each
        token of ``target_in`` is linked to, or 0.
    """
    indices = np.asarray(indices)
    source_starts, target_starts = pairs.source_starts[indices], pairs.target_starts[indices]
    source_ends = pairs.source_starts[indices + 1]
    target_ends = pairs.target_starts[indices + 1]
    source = pad_rows(pairs.source, source_starts, source_ends, (rows, source_length))
    shape = rows, target_length
    target_in = pad_rows(pairs.target, target_starts, target_ends - 1, shape)
    target_out = pad_rows(pairs.target, target_starts + 1, target_ends, shape)
    if pairs.stretches is None:
        return (source, target_in), target_out
    first, last = (
        pad_rows(side, target_starts, target_ends - 1, shape) for side in pairs.stretches.T
    )
    return (source, target_in), (target_out, first, last)


IDS = tf.TensorSpec((None, None), tf.int32)


class Batches(EpochBatches):
    """Padded batches of pairs, in an order that follows from the seed and the epoch alone.

    Args:
        pairs: from `tokenize_pairs`.
        batch_tokens: most tokens on one side of a batch, padding included.
        shuffle: shuffle pairs and batches, differently in each epoch; otherwise they stand by
            length.
        seed: of the shuffling; ``None`` for one that is never the same.
        static_shapes: keep to few shapes, for XLA; otherwise to little padding.
        rows_multiple: the number of rows of every batch is a multiple of this, filled up with
            rows of padding where need be, so that replicas can share it.
    """

    element_spec: tuple = ((IDS, IDS), IDS)

    def __init__(
        self, pairs, batch_tokens, *, shuffle=True, seed=None, static_shapes=False, rows_multiple=1
    ):
        super().__init__(shuffle, seed)
        self.pairs = pairs
        if pairs.stretches is not None:
            self.element_spec = ((IDS, IDS), (IDS, IDS, IDS))
        self.batch_tokens = batch_tokens
        self.static_shapes = static_shapes
        self.rows_multiple = rows_multiple
        self._source_lengths = np.diff(pairs.source_starts)
        self._target_lengths = np.diff(pairs.target_starts) - 1
        self._number = len(self._plan(None))

    def __len__(self) -> int:
        return self._number

    def epoch(self, number, start=0) -> Iterator:
        """Yields the batches of one epoch, ``((source, target_in), target_out)`` of `pad_batch`."""
        for indices, shape in self._plan(self._shuffler(number))[start:]:
            rows, *lengths = shape or self._tight_shape(indices)
            rows = -(-rows // self.rows_multiple) * self.rows_multiple
            yield pad_batch(self.pairs, indices, rows, *lengths)

    def _plan(self, rng) -> list:
        """Indices of each batch, and its static shape if it has one."""
        if not self.static_shapes:
            lengths = self._source_lengths, self._target_lengths
            plan = plan_tight_batches(*lengths, self.batch_tokens, rng)
            return [(indices, None) for indices in plan]
        return [
            (indices, (rows_of(length, self.batch_tokens), length, length))
            for indices, length in plan_batches(self.pairs.lengths(), self.batch_tokens, rng)
        ]

    def _tight_shape(self, indices) -> tuple[int, int, int]:
        source, target = self._source_lengths[indices], self._target_lengths[indices]
        return len(indices), int(source.max()), int(target.max())


def make_batches(
    dataset,
    tokenizers,
    *,
    batch_tokens=4096,
    max_tokens=128,
    shuffle=True,
    seed=None,
    static_shapes=False,
    first_epoch=0,
):
    """Batches for `fit` from pairs of strings.

    Args:
        dataset, tokenizers: as for `tokenize_pairs`.
        batch_tokens, shuffle, seed, static_shapes: as for `Batches`.
        max_tokens: pairs with a longer side are left out.
        first_epoch: number of the epoch to begin with, for a training that goes on.

    Returns:
        `tf.data.Dataset` of ``((source, target_in), target_out)`` as from `pad_batch`; each time
        through is one epoch, and its cardinality is the number of batches.
    """
    pairs = tokenize_pairs(dataset, tokenizers, max_tokens)
    batches = Batches(pairs, batch_tokens, shuffle=shuffle, seed=seed, static_shapes=static_shapes)
    return batches.dataset(first_epoch)
