"""Vocabulary selection: which target tokens a search looks at, chosen by the tokens of the source.

Of a vocabulary of thousands a translation needs some dozens, and the product with the output matrix
is most of a decoding step. So each source token has a list of target tokens that it is translated
by, learned from the training pairs (`data.lexical_table`), and a search computes the logits of
those of its sources, of the most frequent ones, and of control tokens.

A row may have the tokens of its own source alone, whatever else the batch computes logits of, so
that its translation does not depend on the batch.

Sources: L'Hostis et al. (2016), arXiv 1610.00072; Kim et al. (2019), D19-5632.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_transformer.data.arrays import read_arrays, write_arrays
from keras_transformer.errors import InputError

FILE = "shortlist.npz"
"""Of a run folder."""

MOST = 128
"""Most target tokens that are kept for each source token."""

FREQUENT = 512
"""How many of the most frequent target tokens every list has."""


class Shortlist(tf.Module):
    """Target tokens by source tokens.

    It is a `tf.Module`, so that a SavedModel has its table once.

    Args:
        candidates: ids of target tokens for each source token, the most probable first, padded with
            0, ``(source vocabulary, most)``.
        frequent: ids that every row may have.
        vocab_size: number of target tokens.
    """

    def __init__(self, candidates, frequent, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size
        small = np.uint16 if vocab_size <= 2**16 else np.int32
        with tf.init_scope():
            self.candidates = tf.Variable(np.asarray(candidates, small), trainable=False)
        self.frequent = np.asarray(frequent, np.int32)

    def allowed(self, source, size: int, always: int, more=()) -> tf.Tensor:
        """Which target tokens each row may have, bool ``(rows, vocab_size)``.

        Args:
            source: token ids, ``(rows, source)``.
            size: how many of the candidates of each source token count.
            always: how many ids, from 0 on, every row may have.
            more: ids that a row may have besides, ``(rows, n)`` each.
        """
        rows = tf.shape(source)[0]
        ids = tf.gather(self.candidates[:, :size], source)
        ids = tf.concat([tf.reshape(tf.cast(ids, tf.int32), (rows, -1)), *more], axis=1)
        places = ids + tf.range(rows)[:, tf.newaxis] * self.vocab_size
        for_all = np.zeros(self.vocab_size, bool)
        for_all[:always] = True
        for_all[self.frequent] = True
        flat = tf.tensor_scatter_nd_update(
            tf.tile(tf.constant(for_all), [rows]),
            tf.reshape(places, (-1, 1)),
            tf.fill([tf.size(places)], True),
        )
        return tf.reshape(flat, (rows, self.vocab_size))

    def columns(self, allowed, *, room=None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The tokens that any row may have, which are the columns of the output matrix to compute.

        Args:
            allowed: as `allowed` gives it.
            room: pad to this size, so that XLA compiles few programs; to all tokens if there are
                more. See `buckets.column_room`.

        Returns:
            their ids in ascending order, int32 ``(columns,)``, padded with 0; which of them each
            row may have, bool ``(rows, columns)``; and the column of each id that any row may have,
            int32 ``(vocab_size,)``.
        """
        by_any = tf.reduce_any(allowed, axis=0)
        ids = tf.cast(tf.where(by_any)[:, 0], tf.int32)
        count = tf.size(ids)
        places = tf.cumsum(tf.cast(by_any, tf.int32)) - 1
        if room is not None:
            of_all = tf.range(self.vocab_size)
            ids, count, places = tf.cond(
                count <= room,
                lambda: (tf.pad(ids, [[0, room - count]]), count, places),
                lambda: (of_all, tf.constant(self.vocab_size), of_all),
            )
        is_real = tf.range(tf.size(ids)) < count
        return ids, tf.gather(allowed, ids, axis=1) & is_real, places

    def save(self, folder) -> None:
        """Writes ``shortlist.npz`` into a folder.

        Raises:
            InputError: when it cannot be written.
        """
        arrays = {
            "candidates": self.candidates.numpy(),
            "frequent": self.frequent,
            "vocab_size": np.asarray(self.vocab_size),
        }
        write_arrays(Path(folder) / FILE, arrays)

    @classmethod
    def load(cls, folder) -> "Shortlist | None":
        """Reads ``shortlist.npz`` of a folder; ``None`` where there is none.

        Raises:
            InputError: for a damaged one.
        """
        path = Path(folder) / FILE
        if not path.exists():
            return None
        arrays = read_arrays(path)
        try:
            candidates, frequent = arrays["candidates"], arrays["frequent"]
            vocab_size = int(arrays["vocab_size"])
            whole = candidates.dtype.kind in "iu" and frequent.dtype.kind in "iu"
            ids = np.concatenate([candidates.reshape(-1), frequent])
            fits = candidates.ndim == 2 and not ((ids < 0) | (ids >= vocab_size)).any()
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}: is no shortlist ({error}): delete it.") from error
        if not (whole and fits):
            raise InputError(f"{path}: has ids that the vocabulary has not: delete it.")
        return cls(candidates, frequent, vocab_size)
