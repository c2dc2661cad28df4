"""The few sizes that the programs of a search are compiled for."""

import tensorflow as tf

ROWS = (1, 4, 16, 64, 256)
"""Numbers of rows that rounds are compiled for; above, multiples of the last."""

SOURCE_ROOM, ROOM = 32, 48
"""Fewest source and target tokens that rounds have room for; the next sizes double them."""


def doubled(size: int, at_least):
    """The smallest of `size`, twice `size`, four times `size` ... that is not below `at_least`."""
    sizes = tf.constant([size * 2**i for i in range(16)])
    return tf.reduce_min(tf.where(sizes >= at_least, sizes, sizes[-1]))


def doubled_up_to(size: int, largest: int) -> list[int]:
    """What `doubled` gives for 1 to `largest`."""
    sizes = [size]
    while sizes[-1] < largest:
        sizes.append(2 * sizes[-1])
    return sizes


def bucket_of_rows(count):
    """How many rows to compile for, and at how many rows at work fewer are worthwhile."""
    multiple = -(-count // ROWS[-1]) * ROWS[-1]
    rows = tf.reduce_min(tf.where(count <= ROWS, ROWS, multiple))
    fewer = tf.reduce_max(tf.where(rows > ROWS, ROWS, 0))
    return rows, tf.maximum(fewer, rows - ROWS[-1])


def buckets_up_to(rows: int) -> list[int]:
    """The numbers of rows that a batch of `rows` may come to have as they finish."""
    fewer = [size for size in ROWS if size < rows]
    multiples = range(2 * ROWS[-1], rows + ROWS[-1], ROWS[-1])
    return [*fewer, *multiples] if rows > ROWS[-1] else [*fewer, ROWS[len(fewer)]]
