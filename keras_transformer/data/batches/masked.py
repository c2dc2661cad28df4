"""Masked tokens to predict, and batches of texts with them (BERT, section 3.1).

Which tokens are masked follows from the seed, the epoch and the batch alone: it differs from epoch
to epoch, and a resumed training masks what an uninterrupted one would have masked.
"""

import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_transformer.data.batches.pairs import IDS, Batches
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import PAD, RESERVED_TOKENS

RATE = 0.15
"""Share of the tokens that are predicted (BERT, section 3.1, task 1)."""

MASKED, RANDOM = 0.8, 0.1
"""Shares of these that the mask, and a random token, replaces; the rest is left as it is."""

SPECIAL_TOKENS = tuple(range(len(RESERVED_TOKENS)))


def mask_tokens(
    ids, *, vocab_size, seed, mask_token=None, special_tokens=SPECIAL_TOKENS, rate=RATE, exact=True
) -> tuple:
    """Chooses tokens to predict and masks most of them (BERT, section 3.1, task 1).

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
        raise InputError(f"rate is above 0 and at most 1; got {rate}.")
    ids = tf.convert_to_tensor(ids)
    mask_token = int(vocab_size if mask_token is None else mask_token)
    special = sorted({PAD, mask_token, *special_tokens})
    ordinary = np.setdiff1d(np.arange(vocab_size), special)
    if not len(ordinary):
        raise InputError(f"A vocabulary of {vocab_size} tokens has none that is not special.")
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
    """Which tokens to predict, bool ``(batch, seq)``, from random numbers between 0 and 1."""
    if not exact:
        return eligible & (chance < rate)
    number = tf.reduce_sum(tf.cast(eligible, tf.int32), axis=-1, keepdims=True)
    wanted = tf.cast(tf.floor(rate * tf.cast(number, tf.float32) + 0.5), tf.int32)
    wanted = tf.minimum(tf.maximum(wanted, 1), number)
    # The rank of each position by its chance, those that may not be chosen behind all others.
    order = tf.argsort(tf.where(eligible, chance, 2.0), axis=-1, stable=True)
    return tf.argsort(order, axis=-1, stable=True) < wanted


class MaskedBatches(Batches):
    """Batches for a model that predicts masked tokens from those around them.

    Args:
        pairs, batch_tokens: as for `Batches`.
        vocab_size: number of tokens; the mask has the id after the last.
        seed: of the masks and of the shuffling.
        **options: the other arguments of `Batches`.

    `epoch` yields ``(ids, labels)``, int32 ``(rows, length)``: the texts with some tokens masked,
    and those tokens with 0 everywhere else.
    """

    element_spec = (IDS, IDS)

    def __init__(self, pairs, batch_tokens, *, vocab_size, seed=1, **options):
        super().__init__(pairs, batch_tokens, seed=seed, **options)
        self.seed = seed
        self._mask = tf.function(
            functools.partial(mask_tokens, vocab_size=vocab_size),
            reduce_retracing=True,
            autograph=False,
        )

    def epoch(self, number, start=0) -> Iterator:
        epoch_seed = tf.constant([self.seed, number], tf.int64)
        for batch, ((_, ids), labels) in enumerate(super().epoch(number, start), start):
            whole = tf.concat([ids[:, :1], labels], axis=1)  # the text with its start and its end
            seed = tf.random.fold_in(epoch_seed, batch, alg="philox")
            masked, hidden = self._mask(tf.constant(whole), seed=seed)
            yield masked.numpy(), hidden.numpy()
