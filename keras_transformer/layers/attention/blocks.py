"""Splitting a sequence and its mask into blocks of one size, for blockwise attention.

Sizes are Python integers where a length is known when tracing, else tensors. XLA finds both
constant.
"""

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Blocks:
    """A division of a sequence into the fewest blocks of equal size.

    Attributes:
        length: length of the sequence.
        count: number of blocks, at least 1.
        size: length of a block; the last one is padded.
    """

    length: int | tf.Tensor
    count: int | tf.Tensor
    size: int | tf.Tensor

    @classmethod
    def of(cls, length, largest_size):
        count = _at_least_one(-(-length // largest_size))
        return cls(length, count, _at_least_one(-(-length // count)))

    @property
    def padding(self):
        return self.count * self.size - self.length

    def split(self, x):
        """``(batch, heads, length, depth)`` to ``(count, batch, heads, size, depth)``."""
        batch, heads, _, depth = dimensions(x)
        x = tf.pad(x, [[0, 0], [0, 0], [0, self.padding], [0, 0]])
        x = tf.reshape(x, (batch, heads, self.count, self.size, depth))
        return tf.transpose(x, (2, 0, 1, 3, 4))

    def join(self, x):
        """``(count, batch, heads, size, depth)`` to ``(batch, heads, length, depth)``."""
        _, batch, heads, _, depth = dimensions(x)
        x = tf.transpose(x, (1, 2, 0, 3, 4))
        x = tf.reshape(x, (batch, heads, self.count * self.size, depth))
        return x[:, :, : self.length]


@dataclass(frozen=True)
class MaskBlocks:
    """A keep mask in blocks.

    Attributes:
        blocks: bool, ``(count, batch or 1, heads or 1, queries or 1, keys)``.
        row: distance in `blocks` from one block of queries to the next; 0 if all queries share
            one mask.
    """

    blocks: tf.Tensor
    row: int | tf.Tensor

    @classmethod
    def of(cls, mask, queries: Blocks, keys: Blocks):
        """Splits a mask that broadcasts to ``(batch, heads, query, key)``."""
        batch, heads, query_length, _ = dimensions(mask)
        shared = isinstance(query_length, int) and query_length == 1
        if not shared:
            query_length = queries.length
        mask = tf.broadcast_to(mask, (batch, heads, query_length, keys.length))
        padding = 0 if shared else queries.padding
        mask = tf.pad(mask, [[0, 0], [0, 0], [0, padding], [0, keys.padding]])
        rows, size = (1, 1) if shared else (queries.count, queries.size)
        mask = tf.reshape(mask, (batch, heads, rows, size, keys.count, keys.size))
        mask = tf.transpose(mask, (2, 4, 0, 1, 3, 5))
        mask = tf.reshape(mask, (rows * keys.count, batch, heads, size, keys.size))
        return cls(mask, 0 if shared else keys.count)

    def at(self, i, j):
        """The mask of query block `i` and key block `j`."""
        return tf.gather(self.blocks, i * self.row + j)


def dimensions(x) -> list:
    """The shape, an integer for each axis that is known when tracing and a tensor for others."""
    dynamic = tf.shape(x)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(x.shape)]


def _at_least_one(number):
    return max(number, 1) if isinstance(number, int) else tf.maximum(number, 1)
