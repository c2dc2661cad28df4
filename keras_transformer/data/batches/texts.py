"""Batches of the texts of one language, for models that predict each token from those before it.

`line_batches` gives each text a row of its own. `block_batches` joins the texts, with an end
between them, and cuts the whole into blocks without padding. `TextBatches` groups texts of similar
lengths, as pairs without a source. The labels are the inputs moved on by one token.
"""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from keras_transformer.data.batches.base import EpochBatches, pad_rows, starts_of
from keras_transformer.data.batches.pairs import IDS, Batches
from keras_transformer.data.batches.token_store import tokenized_chunks
from keras_transformer.data.corpora.corpus import SPLITS, Corpus
from keras_transformer.errors import InputError, whole_number
from keras_transformer.special_tokens import PAD


class LanguageBatches(EpochBatches):
    """Batches of texts, all of one shape, in an order that follows from seed and epoch alone.

    Args:
        ids: token ids of all texts, one after the other, ``(tokens,)`` int32.
        starts: where each text begins, and where the last one ends, ``(texts + 1,)``.
        length: tokens in a row.
        batch_size: rows in a batch. Rows of padding fill up the last one.
        blocks: cut rows out of the joined texts, instead of giving each text a row of its own.
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
        super().__init__(shuffle, seed)
        self.length = length
        self.batch_size = batch_size
        self.blocks = blocks
        self.empty = empty
        self.too_long = too_long
        self._ids, self._starts = ids, starts
        self.element_spec = (tf.TensorSpec((batch_size, length), tf.int32),) * 2
        # All but the first token of each stretch of text is predicted.
        texts = len(starts) - 1
        self.tokens = len(ids) - (1 if blocks else texts)
        self._rows = -(-self.tokens // length) if blocks else texts

    def __len__(self) -> int:
        return -(-self._rows // self.batch_size)

    def epoch(self, number, start=0) -> Iterator:
        """Yields ``(inputs, labels)``, int32 ``(batch_size, length)``, padded with 0."""
        ids, starts, ends = self._stretches(number)
        for first in range(start * self.batch_size, self._rows, self.batch_size):
            rows = slice(first, first + self.batch_size)
            batch = pad_rows(ids, starts[rows], ends[rows], (self.batch_size, self.length + 1))
            inputs, labels = batch[:, :-1].copy(), batch[:, 1:].copy()
            inputs[labels == PAD] = PAD  # the last token of a row has nothing after it to predict
            yield inputs, labels

    def _stretches(self, number):
        """The ids of an epoch, and where each row begins and ends in them, last label included."""
        texts = np.arange(len(self._starts) - 1)
        rng = self._shuffler(number)
        if rng is not None:
            rng.shuffle(texts)
        if not self.blocks:
            return self._ids, self._starts[texts], self._starts[texts + 1]
        ids = np.concatenate([self._ids[self._starts[i] : self._starts[i + 1]] for i in texts])
        starts = np.arange(self._rows) * self.length
        if rng is not None:
            rng.shuffle(starts)
        return ids, starts, np.minimum(starts + self.length + 1, len(ids))


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
        starts_of(lengths),
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
    """Batches of blocks of fixed length, cut out of the joined texts as GPT-2 was trained on them.

    Every token but the very first is a label once in an epoch: a row goes on where the one before
    ended. Only the last block is padded. Each text keeps its start and end, so that a model learns
    how texts begin.

    Args:
        documents: texts of any length; strings, or a `tf.data.Dataset` of scalar strings. One
            with nothing in it is left out and counted.
        tokenizer: of one language; its `tokenize` gives start and end.
        length: tokens in a row.
        batch_size, shuffle, seed: as for `LanguageBatches`; both the texts, before they are joined,
            and the blocks are shuffled.

    Returns and raises the same as `line_batches`.
    """
    ids, lengths, empty = _tokenized(documents, tokenizer, length, batch_size)
    if not len(lengths):
        raise InputError("The texts hold nothing: there is nothing to make batches of.")
    return LanguageBatches(
        ids,
        starts_of(lengths),
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
        whole_number(name, value)
    nothing = int(tokenizer.tokenize(tf.constant([""])).row_lengths()[0])
    all_ids, all_lengths, empty = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], 0
    for ids in tokenized_chunks(texts, tokenizer):
        lengths = ids.row_lengths().numpy()
        full = lengths > nothing
        empty += int(np.sum(~full))
        all_ids.append(ids.values.numpy()[np.repeat(full, lengths)].astype(np.int32))
        all_lengths.append(lengths[full])
    return np.concatenate(all_ids), np.concatenate(all_lengths), empty


class TextBatches(Batches):
    """Batches for a model that predicts each token from those before it.

    Arguments are those of `Batches`; `epoch` yields ``(ids, labels)``, int32 ``(rows, length)``:
    the texts without their end, and without their start.
    """

    element_spec = (IDS, IDS)

    def epoch(self, number, start=0) -> Iterator:
        for (_, ids), labels in super().epoch(number, start):
            yield ids, labels


def text_corpus(corpus: Corpus) -> Corpus:
    """The targets of a corpus alone, as pairs with an empty source."""
    language = corpus.target_language
    splits = {split: getattr(corpus, split) for split in SPLITS}
    return replace(
        corpus,
        **{
            split: pairs.map(lambda source, target: (tf.constant(""), target))
            for split, pairs in splits.items()
            if pairs is not None
        },
        source_language=language,
        target_language=language,
        tags=(),
    )


def without_source(tokenizer) -> SimpleNamespace:
    """Tokenizers for `tokenize_pairs` of texts of one language, which have no source."""
    return SimpleNamespace(source=NoTokens(), target=tokenizer)


class NoTokens:
    """A tokenizer that gives no tokens, for the missing source of texts."""

    def tokenize(self, strings) -> tf.RaggedTensor:
        lengths = tf.zeros(tf.shape(strings), tf.int64)
        return tf.RaggedTensor.from_row_lengths(tf.zeros((0,), tf.int64), lengths)
