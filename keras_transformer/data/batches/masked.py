"""Masked tokens to predict, and batches of pairs of sentences with them (BERT, section 3.1).

Everything that happens to a batch is TensorFlow, drawn from the seed, the epoch and the batch
alone: each epoch hides other tokens, and a training that goes on hides what it would have hidden.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START

RATE = 0.15
"""Share of the tokens that are predicted (BERT, section 3.1, task 1)."""

MASKED, RANDOM = 0.8, 0.1
"""Shares of these that are hidden by the mask, and by another token; the rest is left as it is."""

SPECIAL_TOKENS = tuple(range(len(RESERVED_TOKENS)))


def mask_tokens(
    ids,
    *,
    vocab_size,
    seed,
    mask_token=None,
    special_tokens=SPECIAL_TOKENS,
    rate=RATE,
    exact=True,
) -> tuple:
    """Chooses tokens to predict, and hides most of them (BERT, section 3.1, task 1).

    Of the chosen tokens 80 % become the mask, 10 % a random token, and 10 % stay.

    Args:
        ids: token ids, integers ``(batch, seq)``, padded with 0.
        vocab_size: number of tokens, not counting a mask that has the id after the last one.
        seed: integers ``(2,)``.
        mask_token: id of the mask; ``None`` means `vocab_size`, for tokenizers of this package,
            and the model needs one token more than the tokenizer then.
        special_tokens: ids that are never chosen, and no random token either.
        rate: share of the other tokens that are chosen.
        exact: choose that share of each row, rounded, at least one; otherwise each token by
            itself with that probability.

    Returns:
        ``(masked, labels)`` of the shape and dtype of `ids`: what the model sees, and the chosen
        tokens with 0 everywhere else.

    Raises:
        ValueError: for a rate outside of 0 and 1, and a vocabulary of nothing but special tokens.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate is above 0 and at most 1; got {rate}.")
    ids = tf.convert_to_tensor(ids)
    mask_token = int(vocab_size if mask_token is None else mask_token)
    special = sorted({PAD, mask_token, *special_tokens})
    ordinary = np.setdiff1d(np.arange(vocab_size), special)
    if not len(ordinary):
        raise ValueError(f"A vocabulary of {vocab_size} tokens has none that is not special.")
    seeds = [
        tf.random.fold_in(tf.cast(seed, tf.int64), number, alg="philox") for number in (0, 1, 2)
    ]
    eligible = tf.reduce_all(ids[..., tf.newaxis] != tf.constant(special, ids.dtype), axis=-1)
    chosen = _chosen(_uniform(ids, seeds[0]), eligible, rate, exact)
    fate = _uniform(ids, seeds[1])
    draws = tf.random.stateless_uniform(
        tf.shape(ids), seeds[2], maxval=len(ordinary), dtype=tf.int32, alg="philox"
    )
    hidden = tf.where(
        fate < MASKED,
        tf.constant(mask_token, ids.dtype),
        tf.where(fate < MASKED + RANDOM, tf.gather(tf.constant(ordinary, ids.dtype), draws), ids),
    )
    return tf.where(chosen, hidden, ids), tf.where(chosen, ids, tf.zeros_like(ids))


def _uniform(like, seed):
    return tf.random.stateless_uniform(tf.shape(like), seed, alg="philox")


def _chosen(chance, eligible, rate, exact):
    """bool ``(batch, seq)``, from numbers between 0 and 1."""
    if not exact:
        return eligible & (chance < rate)
    number = tf.reduce_sum(tf.cast(eligible, tf.int32), axis=-1, keepdims=True)
    wanted = tf.cast(tf.floor(rate * tf.cast(number, tf.float32) + 0.5), tf.int32)
    wanted = tf.minimum(tf.maximum(wanted, 1), number)
    # The rank of each position by its chance, those that may not be chosen behind all others.
    order = tf.argsort(tf.where(eligible, chance, 2.0), axis=-1, stable=True)
    return tf.argsort(order, axis=-1, stable=True) < wanted


def pack_pairs(first, second=None, *, length, start=START, end=END) -> tuple:
    """Puts tokenised texts, alone or in pairs, into rows: ``start first end second end``.

    Of a pair that is too long, the ends are cut, first from the longer side (as in BERT's own
    preparation of data).

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
        raise ValueError(f"length must be at least {2 * texts + 1}; got {length}.")
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
    ragged = [
        tf.concat(
            [
                tf.cast(tokenizer.tokenize(list(side[i : i + 2048]))[:, 1:-1], tf.int32)
                for i in range(0, len(side), 2048)
            ],
            axis=0,
        )
        for side in sides
    ]
    return TokenizedSentencePairs(*ragged, tf.constant(labels, tf.int32))


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
    """Batches for the `fit` of a `BertPretraining`, with other masks in each epoch.

    Args:
        pairs: from `tokenize_sentence_pairs`.
        vocab_size, mask_token, special_tokens, rate, exact: as for `mask_tokens`.
        length, start, end: as for `pack_pairs`.
        batch_size: number of pairs in a batch.
        seed: of the order and of the masks.
        next_sentence: give the labels of the pairs too.
        shuffle: in another order in each epoch.
        drop_remainder: leave out a last batch of fewer pairs, as programs compiled by XLA like.
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

    # The only Python of it all: it counts how often the data set was begun.
    numbers = tf.data.Dataset.from_generator(
        lambda: [next(epochs)], output_signature=tf.TensorSpec((), tf.int64)
    )
    dataset = numbers.flat_map(plan).map(make_batch, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches)).prefetch(4)
