"""Token ids of a corpus: what is done for each word, is done once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transformer.data.text.placeholders import Masked

MOST_WORDS = 2**20
"""Words whose ids are kept; when there are more, they are looked for anew."""

_TEXTS = tf.TensorSpec([None], tf.string)


class CorpusEncoder:
    """Gives many texts the ids that a tokenizer gives them, in less time.

    The words of a corpus come again and again: to look their ids up takes a fraction of the time in
    which they are divided into pieces. What else is done to texts is done in graphs, whose
    operations on ragged tensors cost less than those of eager code.

    Args:
        tokenizer: a `SubwordTokenizer` with `has_marks`, whose words are divided one by one.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._marked_words = tf.function(
            tokenizer.marked_words, input_signature=[_TEXTS], autograph=False
        )
        self._masks: dict[tuple[str, ...], Callable[[tf.Tensor], Masked]] = {}
        self._clear()

    def mask(self, texts: tf.Tensor, keep: tuple[str, ...] = ()) -> Masked:
        """What `mask` of the tokenizer gives; arguments are those of that."""
        if keep not in self._masks:
            self._masks[keep] = tf.function(
                lambda texts: self._tokenizer.mask(texts, keep),
                input_signature=[_TEXTS],
                autograph=False,
            )
        return self._masks[keep](texts)

    def encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """What `tokenize_masked` of the tokenizer gives, with the first number in all placeholders.

        Args:
            texts: (batch,) strings; not within a graph.

        Returns:
            (batch, None) ids, int64.
        """
        words, *marks = self._marked_words(texts)
        ids, lengths = self._ids_of(words.flat_values.numpy().tolist())
        splits = words.row_splits.numpy()
        if marks[0] is not None:
            before, after = (side.numpy() for side in marks)
            ids, lengths = _between(before, ids, lengths, after)
        of_texts = np.diff(np.concatenate([[0], np.cumsum(lengths)])[splits])
        start, end = (
            np.full(len(of_texts), token or 0)
            for token in (self._tokenizer.start_id, self._tokenizer.end_id)
        )
        ids, lengths = _between(start, ids, of_texts, end)
        return tf.RaggedTensor.from_row_lengths(ids, lengths, validate=False)

    def _ids_of(self, words: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of words one after the other, and how many each has."""
        numbers = self._numbers
        if new := [word for word in dict.fromkeys(words) if word not in numbers]:
            if len(numbers) + len(new) > MOST_WORDS:
                self._clear()
                numbers, new = self._numbers, list(dict.fromkeys(words).keys() - self._numbers)
            self._add(new)
        places = np.fromiter(map(numbers.__getitem__, words), np.int64, len(words))
        lengths = self._lengths[places]
        return _stretches(self._ids, self._starts[places], lengths), lengths

    def _clear(self):
        signs = self._tokenizer.signs
        self._numbers = {sign.encode(): number for number, sign in enumerate(signs)}
        self._ids = np.array(list(signs.values()), np.int64)
        self._lengths = np.ones(len(signs), np.int64)
        self._starts = np.arange(len(signs))

    def _add(self, words: list[bytes]):
        pieces = self._tokenizer.split_words(tf.constant(words, tf.string))
        known = len(self._numbers)
        self._numbers.update(zip(words, range(known, known + len(words)), strict=True))
        starts = len(self._ids) + pieces.row_starts().numpy()
        self._ids = np.concatenate([self._ids, pieces.flat_values.numpy()])
        self._lengths = np.concatenate([self._lengths, pieces.row_lengths().numpy()])
        self._starts = np.concatenate([self._starts, starts])


def _stretches(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Stretches of an array, one after the other."""
    ends = np.cumsum(lengths)
    shifts = np.repeat(starts - (ends - lengths), lengths)
    return values[np.arange(len(shifts)) + shifts]


def _between(
    before: np.ndarray, ids: np.ndarray, lengths: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of ids with one id before and one after each of them.

    Args:
        before, after: for each stretch, 0 for none.
        ids: of all stretches, one after the other.
        lengths: of the stretches.

    Returns:
        as `ids` and `lengths`.
    """
    has_before, has_after = before > 0, after > 0
    wholes = has_before + lengths + has_after
    ends = np.cumsum(wholes)
    found = np.empty(ends[-1] if len(ends) else 0, np.int64)
    is_mark = np.zeros(len(found), bool)
    for has_mark, marks, places in (
        (has_before, before, ends - wholes),
        (has_after, after, ends - 1),
    ):
        found[places[has_mark]] = marks[has_mark]
        is_mark[places[has_mark]] = True
    found[~is_mark] = ids
    return found, wholes
