"""From texts to batches for a model that predicts each token from those before it.

Texts are tokenised once. Then each stands in a row of its own (`line_batches`), or they follow one
another, an end between them, and the whole is cut into blocks without any padding
(`block_batches`). The labels are the inputs moved on by one token.
"""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.special_tokens import PAD

_TEXTS_AT_ONCE = 2048


class LanguageBatches:
    """Batches of one shape, in an order that follows from the seed and the epoch alone.

    Args:
        ids: token ids of all texts, one after the other, ``(tokens,)`` int32.
        starts: where each text begins, and where the last one ends, ``(texts + 1,)``.
        length: tokens in a row.
        batch_size: rows in a batch. Rows of padding fill up the last one.
        blocks: cut rows out of the texts in a row, instead of giving each text its own.
        shuffle: shuffle texts and rows, differently in each epoch.
        seed: of the shuffling; ``None`` for one that is never the same.
        empty: number of texts that were left out because there was nothing in them.
        too_long: number of texts that were left out because they do not fit in a row.

    Attributes:
        tokens: number of labels in an epoch, padding not counted.
    """

    def __init__(
        self,
        ids,
        starts,
        *,
        length,
        batch_size,
        blocks,
        shuffle=True,
        seed=None,
        empty=0,
        too_long=0,
    ):
        self.length = length
        self.batch_size = batch_size
        self.blocks = blocks
        self.shuffle = shuffle
        self.empty = empty
        self.too_long = too_long
        self._ids, self._starts = ids, starts
        self._seed = np.random.SeedSequence(seed).entropy
        # All but the first token of each stretch of text is predicted.
        texts = len(starts) - 1
        self.tokens = len(ids) - (1 if blocks else texts)
        self._rows = -(-self.tokens // length) if blocks else texts

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-self._rows // self.batch_size)

    def epoch(self, number, start=0) -> Iterator:
        """The batches of one epoch.

        Args:
            number: of the epoch, from 0.
            start: number of batches to leave out at its beginning.

        Yields:
            ``(inputs, labels)``, int32 ``(batch_size, length)``, padded with 0.
        """
        ids, starts, ends = self._stretches(number)
        for first in range(start * self.batch_size, self._rows, self.batch_size):
            rows = slice(first, first + self.batch_size)
            yield self._padded(ids, starts[rows], ends[rows])

    def _stretches(self, number):
        """Where each row of an epoch begins and ends in ids, its last label among them."""
        texts = np.arange(len(self._starts) - 1)
        rng = np.random.default_rng([self._seed, number]) if self.shuffle else None
        if rng is not None:
            rng.shuffle(texts)
        if not self.blocks:
            return self._ids, self._starts[texts], self._starts[texts + 1]
        ids = np.concatenate([self._ids[self._starts[i] : self._starts[i + 1]] for i in texts])
        starts = np.arange(self._rows) * self.length
        if rng is not None:
            rng.shuffle(starts)
        return ids, starts, np.minimum(starts + self.length + 1, len(ids))

    def _padded(self, ids, starts, ends):
        batch = np.full((self.batch_size, self.length + 1), PAD, np.int32)
        places = starts[:, np.newaxis] + np.arange(self.length + 1)
        real = places < ends[:, np.newaxis]
        batch[: len(starts)][real] = ids[places[real]]
        inputs, labels = batch[:, :-1].copy(), batch[:, 1:].copy()
        inputs[labels == PAD] = PAD  # the last token of a row has nothing after it to predict
        return inputs, labels

    def dataset(self, first_epoch=0) -> tf.data.Dataset:
        """The batches for ``fit``; each time through is the next epoch, from `first_epoch` on."""
        numbers = itertools.count(first_epoch)
        ids = tf.TensorSpec((self.batch_size, self.length), tf.int32)
        dataset = tf.data.Dataset.from_generator(
            lambda: self.epoch(next(numbers)), output_signature=(ids, ids)
        )
        return dataset.apply(tf.data.experimental.assert_cardinality(len(self))).prefetch(4)


def line_batches(
    lines, tokenizer, *, length, batch_size, shuffle=True, seed=None
) -> LanguageBatches:
    """Batches with one text in each row, padded at its end.

    Args:
        lines: texts; strings, or a `tf.data.Dataset` of scalar strings.
        tokenizer: of one language; its `tokenize` gives start and end.
        length: tokens in a row. A text of more than ``length + 1`` tokens, start and end included,
            is left out and counted, as is one with nothing in it.
        batch_size, shuffle, seed: as for `LanguageBatches`.

    Returns:
        the batches; their `dataset` is for ``fit``.

    Raises:
        ValueError: for a length or batch size below 1.
        InputError: when no text is left.

    Example:
        >>> batches = line_batches(lines, tokenizer, length=64, batch_size=32, seed=1)
        >>> model.fit(batches.dataset(), epochs=3)
        >>> batches.too_long, batches.empty
    """
    ids, lengths, empty = _tokenized(lines, tokenizer, length, batch_size)
    fits = lengths <= length + 1
    ids, lengths = ids[np.repeat(fits, lengths)], lengths[fits]
    if not len(lengths):
        raise InputError(
            f"No text has at most {length + 1} tokens and something in it: raise length, or give "
            "other texts."
        )
    return LanguageBatches(
        ids,
        _starts(lengths),
        length=length,
        batch_size=batch_size,
        blocks=False,
        shuffle=shuffle,
        seed=seed,
        empty=empty,
        too_long=int(np.sum(~fits)),
    )


def block_batches(
    documents, tokenizer, *, length, batch_size, shuffle=True, seed=None
) -> LanguageBatches:
    """Batches of blocks cut out of texts that follow one another, as GPT-2 was trained on them.

    Every token but the very first is a label once in an epoch: where a row ends, the next one of
    the text goes on. Only the last block is padded. Each text keeps its start and end, so that a
    model knows how texts begin.

    Args:
        documents: texts of any length; strings, or a `tf.data.Dataset` of scalar strings. One
            with nothing in it is left out and counted.
        tokenizer: of one language; its `tokenize` gives start and end.
        length: tokens in a row.
        batch_size, shuffle, seed: as for `LanguageBatches`; shuffled are the texts, before they
            are cut, and the blocks.

    Returns:
        the batches; their `dataset` is for ``fit``.

    Raises:
        ValueError: for a length or batch size below 1.
        InputError: when no text is left.
    """
    ids, lengths, empty = _tokenized(documents, tokenizer, length, batch_size)
    if not len(lengths):
        raise InputError("The texts hold nothing: there is nothing to make batches of.")
    return LanguageBatches(
        ids,
        _starts(lengths),
        length=length,
        batch_size=batch_size,
        blocks=True,
        shuffle=shuffle,
        seed=seed,
        empty=empty,
    )


def _tokenized(texts, tokenizer, length, batch_size):
    """Ids of the texts with something in them, the length of each, and how many have nothing."""
    for name, value in (("length", length), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} is at least 1; got {value}.")
    nothing = int(tokenizer.tokenize(tf.constant([""])).row_lengths()[0])
    all_ids, all_lengths, empty = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], 0
    for chunk in _chunks(texts):
        ids = tokenizer.tokenize(tf.constant(chunk, tf.string))
        lengths = ids.row_lengths().numpy()
        full = lengths > nothing
        empty += int(np.sum(~full))
        all_ids.append(ids.values.numpy()[np.repeat(full, lengths)].astype(np.int32))
        all_lengths.append(lengths[full])
    return np.concatenate(all_ids), np.concatenate(all_lengths), empty


def _chunks(texts: Iterable) -> Iterator[list]:
    if isinstance(texts, str | bytes):
        raise InputError("A corpus is several texts; got one: put it in a list.")
    texts = texts.as_numpy_iterator() if isinstance(texts, tf.data.Dataset) else iter(texts)
    while chunk := list(itertools.islice(texts, _TEXTS_AT_ONCE)):
        yield chunk


def _starts(lengths) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
