"""Batches of pairs of sentences with masked tokens, as BERT was pretrained on (section 3.1)."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_transformer.data.batches.masked import RATE, SPECIAL_TOKENS, mask_tokens
from keras_transformer.data.batches.token_store import tokenized_chunks
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, PAD, START


def pack_pairs(first, second=None, *, length, start=START, end=END) -> tuple:
    """Puts tokenised texts, alone or in pairs, into rows: ``start first end second end``.

    The longer text of a pair that is too long is cut at its end, then both (as BERT's own
    preparation of data does).

    Args:
        first: `tf.RaggedTensor` of token ids, ``(batch, None)``, without start and end.
        second: likewise, or ``None``.
        length: of the rows.
        start: id before the first text, BERT's ``[CLS]``.
        end: id after each text, BERT's ``[SEP]``.

    Returns:
        ``(ids, segments)``, both ``(batch, length)`` of the dtype of `first`: padded with 0, and
        1 for the second text and its end.

    Raises:
        ValueError: for rows too short for a token of each text.
    """
    texts = 1 if second is None else 2
    room = length - 1 - texts
    if room < texts:
        raise InputError(f"length must be at least {2 * texts + 1}; got {length}.")
    column = tf.ones((first.nrows(), 1), first.dtype)
    if second is None:
        kept = tf.minimum(first.row_lengths(), room)
        parts = [start * column, _cut(first, kept), end * column]
    else:
        lengths = first.row_lengths(), tf.cast(second.row_lengths(), first.row_splits.dtype)
        kept = tf.minimum(lengths[0], tf.maximum(room - lengths[1], (room + 1) // 2))
        second = _cut(second, tf.minimum(lengths[1], room - kept))
        parts = [start * column, _cut(first, kept), end * column, second, end * column]
    ids = tf.concat(parts, axis=1).to_tensor(default_value=PAD, shape=(None, length))
    places = tf.range(length, dtype=kept.dtype)
    in_second = (places >= kept[:, tf.newaxis] + 2) & (ids != PAD)
    return ids, tf.cast(in_second, ids.dtype)


def _cut(ragged, lengths):
    """The first tokens of each row."""
    return tf.RaggedTensor.from_tensor(ragged.to_tensor(), lengths=lengths)


class TokenizedSentencePairs(NamedTuple):
    """Token ids of pairs of sentences.

    Attributes:
        first, second: int32 `tf.RaggedTensor` of ``(pairs, None)``, without start and end.
        labels: int32 ``(pairs,)``.
    """

    first: tf.RaggedTensor
    second: tf.RaggedTensor
    labels: tf.Tensor


def tokenize_sentence_pairs(pairs: Sequence, tokenizer) -> TokenizedSentencePairs:
    """Tokenises pairs such as those of `documents.next_sentence_pairs`.

    Args:
        pairs: ``(first, second, label)``, two strings and an integer each.
        tokenizer: one side of `Tokenizers`, or anything whose `tokenize` gives ragged ids with
            one id for the start and one for the end.

    Raises:
        InputError: for no pairs.
    """
    if not len(pairs):
        raise InputError("there are no pairs of sentences to make batches of: give documents")
    *sides, labels = zip(*pairs, strict=True)
    first, second = (
        tf.concat(
            [tf.cast(ids[:, 1:-1], tf.int32) for ids in tokenized_chunks(side, tokenizer)], axis=0
        )
        for side in sides
    )
    return TokenizedSentencePairs(first, second, tf.constant(labels, tf.int32))


def masked_language_batches(
    pairs: TokenizedSentencePairs,
    *,
    vocab_size,
    length=128,
    batch_size=32,
    seed=1,
    mask_token=None,
    start=START,
    end=END,
    special_tokens=SPECIAL_TOKENS,
    rate=RATE,
    exact=True,
    next_sentence=True,
    shuffle=True,
    drop_remainder=False,
    first_epoch=0,
) -> tf.data.Dataset:
    """Batches for the `fit` of a `BertPretraining`, masked anew in each epoch.

    Args:
        pairs: from `tokenize_sentence_pairs`.
        vocab_size, mask_token, special_tokens, rate, exact: as for `mask_tokens`.
        length, start, end: as for `pack_pairs`.
        batch_size: number of pairs in a batch.
        seed: of the order and of the masks.
        next_sentence: give the labels of the pairs too.
        shuffle: in another order in each epoch.
        drop_remainder: leave out a last batch of fewer pairs, for which XLA would compile anew.
        first_epoch: number of the epoch to begin with, for a training that goes on.

    Returns:
        `tf.data.Dataset` of ``((ids, segments), {"tokens": labels, "next": labels})``, int32
        ``(batch, length)`` three times and ``(batch,)``, or of ``((ids, segments), labels)``
        without `next_sentence`. Each time through is the next epoch; the cardinality is the number
        of batches.

    Raises:
        InputError: for fewer pairs than a batch has, where a last batch is left out.
    """
    number = int(pairs.labels.shape[0])
    batches = number // batch_size if drop_remainder else -(-number // batch_size)
    if not batches:
        raise InputError(f"{number} pairs do not fill a batch of {batch_size}: lower batch_size")
    epochs = itertools.count(first_epoch)

    def plan(epoch):
        """Seeds and indices of the batches of an epoch."""
        epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        indices = tf.range(number)
        if shuffle:
            indices = tf.random.experimental.stateless_shuffle(indices, epoch_seed, alg="philox")
        plan = tf.data.Dataset.from_tensor_slices(indices).batch(batch_size, drop_remainder)
        return plan.enumerate().map(
            lambda batch, indices: (tf.random.fold_in(epoch_seed, batch, alg="philox"), indices)
        )

    def make_batch(batch_seed, indices):
        first, second = tf.gather(pairs.first, indices), tf.gather(pairs.second, indices)
        ids, segments = pack_pairs(first, second, length=length, start=start, end=end)
        ids, labels = mask_tokens(
            ids,
            vocab_size=vocab_size,
            seed=batch_seed,
            mask_token=mask_token,
            special_tokens=(*special_tokens, start, end),
            rate=rate,
            exact=exact,
        )
        if next_sentence:
            labels = {"tokens": labels, "next": tf.gather(pairs.labels, indices)}
        return (ids, segments), labels

    # Python only counts the epochs; the rest runs in TensorFlow.
    numbers = tf.data.Dataset.from_generator(
        lambda: [next(epochs)], output_signature=tf.TensorSpec((), tf.int64)
    )
    dataset = numbers.flat_map(plan).map(make_batch, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches)).prefetch(4)
