"""The search behind a few compiled programs: any batch is padded to one of a handful of shapes."""

import numpy as np
import tensorflow as tf

from keras_transformer.decoding.search import SearchResult, greedy_search
from keras_transformer.special_tokens import PAD

ROWS = (1, 8, 64)
"""Numbers of rows that programs are compiled for."""

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
"""Source and target lengths that programs are compiled for."""


class CompiledSearch:
    """Greedy search compiled by XLA, one program for each bucket of shapes.

    It is not tracked by `tf.Module`, so its programs stay out of a SavedModel.

    Args:
        model: what `greedy_search` takes.
        start_id, end_id: ids that begin and end a target.
        jit_compile: compile with XLA; otherwise a plain graph.
    """

    def __init__(self, model, *, start_id, end_id, jit_compile=True):
        def search(source, row_limits, max_length):
            return greedy_search(
                model,
                source,
                max_length,
                start_id=start_id,
                end_id=end_id,
                row_limits=row_limits,
            )

        self._longest = model.max_length
        self._search = tf.function(search, jit_compile=jit_compile)
        self._programs = {}  # (rows, source length, target length) -> compiled search

    def __call__(self, source, row_limits) -> SearchResult:
        """Translates a batch of any shape.

        Args:
            source: NumPy token ids, ``(batch, source)``, at most `max_length` of the model long.
            row_limits: most target tokens of each row, NumPy ``(batch,)``, likewise.

        Returns:
            a `SearchResult` of NumPy arrays with ``batch`` rows.
        """
        batch, length = source.shape
        shape = (
            _bucket(batch, ROWS),
            min(_bucket(length, LENGTHS), self._longest),
            min(_bucket(int(np.max(row_limits)), LENGTHS), self._longest),
        )
        padded = np.full(shape[:2], PAD, np.int32)
        padded[:batch, :length] = source
        limits = np.zeros(shape[0], np.int32)
        limits[:batch] = row_limits
        found = self._program(*shape)(tf.constant(padded), tf.constant(limits))
        return SearchResult(*(part.numpy()[:batch] for part in found))

    def _program(self, rows, source_length, target_length):
        shape = (rows, source_length, target_length)
        if shape not in self._programs:
            self._programs[shape] = self._search.get_concrete_function(
                tf.TensorSpec((rows, source_length), tf.int32),
                tf.TensorSpec((rows,), tf.int32),
                target_length,
            )
        return self._programs[shape]


def _bucket(size: int, buckets: tuple[int, ...]) -> int:
    """The smallest bucket that holds `size`; beyond the largest, a multiple of that."""
    fitting = [bucket for bucket in buckets if size <= bucket]
    return fitting[0] if fitting else -(-size // buckets[-1]) * buckets[-1]
