"""The sizes that the programs of a search are compiled for.

Batches are padded to the next of few sizes, so that XLA compiles few programs.
"""

import tensorflow as tf

ROWS = (1, 4, 16, 64, 256)
"""Numbers of rows that are compiled for; larger batches have multiples of the last."""

SOURCE_ROOM, ROOM = 32, 48
"""Smallest source and target lengths that are compiled for; the next ones double them."""

PREFIX_ROOM = 16
"""Smallest room for a target prefix, likewise."""


def doubled(size: int, at_least):
    """The smallest of `size`, `2 * size`, `4 * size` and so on that is at least `at_least`."""
    sizes = tf.constant([size * 2**i for i in range(16)])
    return tf.reduce_min(tf.where(sizes >= at_least, sizes, sizes[-1]))


def doubled_up_to(size: int, largest: int) -> list[int]:
    """All sizes that `doubled` gives for lengths from 1 to `largest`."""
    sizes = [size]
    while sizes[-1] < largest:
        sizes.append(2 * sizes[-1])
    return sizes


def bucket_of_rows(count):
    """The size for a batch of `count` rows, and the next smaller size.

    Returns:
        ``(rows, fewer)``: with `fewer` unfinished rows or less, a smaller size is worthwhile.
    """
    multiple = -(-count // ROWS[-1]) * ROWS[-1]
    rows = tf.reduce_min(tf.where(count <= ROWS, ROWS, multiple))
    fewer = tf.reduce_max(tf.where(rows > ROWS, ROWS, 0))
    return rows, tf.maximum(fewer, rows - ROWS[-1])


def buckets_up_to(rows: int) -> list[int]:
    """All sizes that a batch of `rows` goes through as its rows finish."""
    fewer = [size for size in ROWS if size < rows]
    multiples = range(2 * ROWS[-1], rows + ROWS[-1], ROWS[-1])
    return [*fewer, *multiples] if rows > ROWS[-1] else [*fewer, ROWS[len(fewer)]]


def column_room(rows, size: int, vocab_size: int):
    """How many columns of the output matrix a batch is compiled for that has a shortlist.

    Of batches of sentences of talks, with a vocabulary of 8,000, 19 in 20 need fewer.

    Args:
        rows: number of rows, one of the sizes; a number or a tensor.
        size: candidates of each source token.
        vocab_size: number of target tokens, which is all there is.
    """
    one_row = 1024 + 8 * size
    fourfold = tf.searchsorted(tf.constant(ROWS[:-1]), [rows])[0]
    return tf.minimum(one_row + 3 * one_row * fourfold // 4, vocab_size)
