"""From pairs of strings to padded batches with little padding.

Text is tokenised once. Pairs of like lengths go together, in one of two ways. For XLA, which
compiles a program for each shape, they are gathered in buckets by the length of their longer side,
and every batch of a bucket has the same shape; what is left over in a bucket moves on to the next
one. Without XLA shapes cost nothing, so pairs are sorted by the lengths of both sides and hardly
anything is padding.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.special_tokens import PAD

BUCKET_LENGTHS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
"""Lengths that batches of static shapes are padded to."""

TIGHT_STEPS = (4, 2)
"""What lengths of source and target are rounded up to before pairs are sorted: the larger, the
more padding and the more pairs that can meet in a batch."""


@dataclass(frozen=True)
class TokenizedPairs:
    """Token ids of a corpus, flat, with the place where each pair begins.

    Attributes:
        source: int32, all source ids one after the other.
        source_starts: int64 ``(pairs + 1,)``.
        target: int32, all target ids, start and end included.
        target_starts: int64 ``(pairs + 1,)``.
        dropped: number of pairs left out because they were too long.
    """

    source: np.ndarray
    source_starts: np.ndarray
    target: np.ndarray
    target_starts: np.ndarray
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.source_starts) - 1

    def lengths(self) -> np.ndarray:
        """Length of the longer side of each pair: the source, or the target less one.

        The decoder reads the target without its end and predicts it without its start.
        """
        return np.maximum(np.diff(self.source_starts), np.diff(self.target_starts) - 1)

    def target_tokens(self) -> int:
        """Number of tokens that one epoch predicts."""
        return len(self.target) - len(self)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `TokenizedPairs` is made of, ready for ``np.savez``."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays) -> "TokenizedPairs":
        """The inverse of `arrays`."""
        values = {field.name: arrays[field.name] for field in fields(cls)}
        return cls(**{**values, "dropped": int(values["dropped"])})


def tokenize_pairs(dataset, tokenizers, max_tokens=None) -> TokenizedPairs:
    """Tokenises a corpus.

    Args:
        dataset: `tf.data.Dataset` of ``(source, target)`` scalar strings.
        tokenizers: an object with ``.source`` and ``.target``.
        max_tokens: pairs with a side of more tokens, start and end included, are left out and
            counted.

    Returns:
        the ids.

    Raises:
        InputError: when nothing is left.
    """
    sides = ([], []), ([], [])  # ids and lengths of source and of target, chunk by chunk
    dropped = 0
    for source, target in dataset.batch(2048).prefetch(1):
        ragged = tokenizers.source.tokenize(source), tokenizers.target.tokenize(target)
        if max_tokens is not None:
            longest = tf.maximum(ragged[0].row_lengths(), ragged[1].row_lengths())
            keep = longest <= max_tokens
            dropped += int(tf.math.count_nonzero(~keep))
            ragged = tuple(tf.ragged.boolean_mask(side, keep) for side in ragged)
        for (ids, lengths), side in zip(sides, ragged, strict=True):
            ids.append(side.flat_values.numpy().astype(np.int32))
            lengths.append(side.row_lengths().numpy())

    def joined(side):
        ids, lengths = (np.concatenate(part) if part else np.zeros(0, np.int64) for part in side)
        return ids.astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    pairs = TokenizedPairs(*joined(sides[0]), *joined(sides[1]), dropped=dropped)
    if not len(pairs):
        limit = f" of at most {max_tokens} tokens a side" if dropped else ""
        raise InputError(f"The corpus holds no pair{limit}: there is nothing to make batches of.")
    return pairs


def plan_batches(lengths, batch_tokens, rng=None) -> list[tuple[np.ndarray, int]]:
    """Says which pairs go together where shapes are few.

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
    """Says which pairs go together where any shape will do.

    Pairs are sorted by their lengths, in steps of `TIGHT_STEPS`, and shuffled among their equals.

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
    """Puts pairs side by side.

    Args:
        pairs: all pairs.
        indices: which to take.
        rows: number of rows; those without a pair are all padding.
        source_length, target_length: lengths to pad to.

    Returns:
        ``((source, target_in), target_out)``, int32 ``(rows, source_length)`` and twice
        ``(rows, target_length)``: the source, the target without its end, and the target without
        its start (teacher forcing).
    """

    def padded(ids, starts, ends, length):
        """``(rows, length)`` of the stretches of `ids` from `starts` to `ends`."""
        batch = np.full((rows, length), PAD, np.int32)
        places = starts[:, np.newaxis] + np.arange(length)
        real = places < ends[:, np.newaxis]
        batch[: len(starts)][real] = ids[places[real]]
        return batch

    indices = np.asarray(indices)
    source_starts, target_starts = pairs.source_starts[indices], pairs.target_starts[indices]
    source_ends = pairs.source_starts[indices + 1]
    target_ends = pairs.target_starts[indices + 1]
    source = padded(pairs.source, source_starts, source_ends, source_length)
    target_in = padded(pairs.target, target_starts, target_ends - 1, target_length)
    target_out = padded(pairs.target, target_starts + 1, target_ends, target_length)
    return (source, target_in), target_out


IDS = tf.TensorSpec((None, None), tf.int32)


class Batches:
    """Padded batches of a corpus, in an order that follows from the seed and the epoch alone.

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
        self,
        pairs,
        batch_tokens,
        *,
        shuffle=True,
        seed=None,
        static_shapes=False,
        rows_multiple=1,
    ):
        self.pairs = pairs
        self.batch_tokens = batch_tokens
        self.shuffle = shuffle
        self.static_shapes = static_shapes
        self.rows_multiple = rows_multiple
        self._seed = np.random.SeedSequence(seed).entropy
        self._source_lengths = np.diff(pairs.source_starts)
        self._target_lengths = np.diff(pairs.target_starts) - 1
        self._number = len(self._plan(None))

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return self._number

    def epoch(self, number, start=0) -> Iterator:
        """The batches of one epoch.

        Args:
            number: of the epoch, from 0.
            start: number of batches to leave out at its beginning.

        Yields:
            ``((source, target_in), target_out)`` as from `pad_batch`.
        """
        rng = np.random.default_rng([self._seed, number]) if self.shuffle else None
        for indices, shape in self._plan(rng)[start:]:
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

    def dataset(self, first_epoch=0) -> tf.data.Dataset:
        """The batches for ``fit``; each time through is the next epoch, from `first_epoch` on."""
        numbers = itertools.count(first_epoch)
        dataset = tf.data.Dataset.from_generator(
            lambda: self.epoch(next(numbers)), output_signature=self.element_spec
        )
        return dataset.apply(tf.data.experimental.assert_cardinality(len(self))).prefetch(4)


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
        dataset: `tf.data.Dataset` of ``(source, target)`` scalar strings.
        tokenizers: an object with ``.source`` and ``.target``.
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
