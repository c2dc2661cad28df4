"""Masked tokens: the shares of the rule, what is never chosen, repeatable batches, packed pairs."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.batches.masked import mask_tokens
from keras_transformer.data.batches.sentence_pairs import (
    TokenizedSentencePairs,
    masked_language_batches,
    pack_pairs,
    tokenize_sentence_pairs,
)
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import RESERVED_TOKENS

VOCAB_SIZE = 104
MASK = VOCAB_SIZE
OPTIONS = {"vocab_size": VOCAB_SIZE, "length": 12, "batch_size": 3}


@pytest.fixture(scope="module")
def ids():
    """Rows of a start, 60 tokens of which one is unknown, an end, and padding."""
    ids = np.random.default_rng(7).integers(4, VOCAB_SIZE, (1000, 80))
    ids[:, 0], ids[:, 30], ids[:, 61], ids[:, 62:] = 2, 1, 3, 0
    return ids.astype(np.int32)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(7)

    def side():
        lengths = rng.integers(1, 7, 10)
        return tf.RaggedTensor.from_row_lengths(
            rng.integers(4, VOCAB_SIZE, lengths.sum()).astype(np.int32), lengths
        )

    return TokenizedSentencePairs(side(), side(), tf.range(10) % 2)


def listed(dataset):
    return [tf.nest.map_structure(lambda x: x.tolist(), x) for x in dataset.as_numpy_iterator()]


# The rule


@pytest.mark.parametrize("exact", [True, False])
def test_the_shares_of_the_rule(ids, exact):
    masked, labels = (
        x.numpy() for x in mask_tokens(ids, vocab_size=VOCAB_SIZE, seed=(1, 2), exact=exact)
    )
    assert masked.dtype == labels.dtype == ids.dtype
    chosen = labels != 0
    np.testing.assert_array_equal(labels[chosen], ids[chosen])
    np.testing.assert_array_equal(masked[~chosen], ids[~chosen])
    ordinary = (ids > 3).sum(axis=1)
    assert (ordinary == 59).all()
    if exact:
        assert (chosen.sum(axis=1) == 9).all()  # 15 % of 59 are 8.85
    else:
        number = chosen.sum()  # five standard deviations of a binomial of 59,000
        assert abs(number / 59000 - 0.15) < 5 * (0.15 * 0.85 / 59000) ** 0.5
        assert chosen.sum(axis=1).std() > 1
    number = chosen.sum()
    hidden, kept = masked[chosen] == MASK, masked[chosen] == ids[chosen]
    replaced = masked[chosen][~hidden & ~kept]
    for share, expected in (
        (hidden.mean(), 0.8),
        (len(replaced) / number, 0.1 * 99 / 100),  # a random token may be the same
        (kept.mean(), 0.1 + 0.1 / 100),
    ):
        assert abs(share - expected) < 5 * (expected * (1 - expected) / number) ** 0.5
    assert replaced.min() > 3
    assert replaced.max() < MASK
    assert len(np.unique(replaced)) > 95
    # Every place of a row is chosen as often as any other.
    by_place = chosen[:, (ids > 3).all(axis=0)].mean(axis=0)
    assert abs(by_place - chosen.sum() / 59000).max() < 5 * (0.15 * 0.85 / 1000) ** 0.5


def test_special_tokens_are_neither_chosen_nor_drawn(ids):
    ids = np.where(ids == 50, 103, ids)
    special = (0, 1, 2, 3, 4, 77)
    masked, labels = (
        x.numpy()
        for x in mask_tokens(
            ids, vocab_size=VOCAB_SIZE, seed=(1, 2), mask_token=103, special_tokens=special, rate=1
        )
    )
    never = np.isin(ids, (*special, 103))
    assert (labels[never] == 0).all()
    np.testing.assert_array_equal(masked[never], ids[never])
    assert (labels[~never] == ids[~never]).all()
    assert not np.isin(masked[~never], special).any()


def test_a_short_row_has_one_token_to_predict_and_a_row_of_none_has_none():
    ids = tf.constant([[2, 9, 3, 0], [2, 3, 0, 0], [0, 0, 0, 0]])
    masked, labels = mask_tokens(ids, vocab_size=VOCAB_SIZE, seed=(1, 2))
    assert labels.numpy().tolist() == [[0, 9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(masked[1:], ids[1:])


def test_masks_follow_from_the_seed(ids):
    def masked(seed):
        return mask_tokens(ids, vocab_size=VOCAB_SIZE, seed=seed)[0].numpy()

    np.testing.assert_array_equal(masked((1, 2)), masked((1, 2)))
    assert (masked((1, 2)) != masked((1, 3))).mean() > 0.1


def test_what_is_wrong_is_named(ids, pairs):
    with pytest.raises(ValueError, match="rate is above 0"):
        mask_tokens(ids, vocab_size=VOCAB_SIZE, seed=(1, 2), rate=0)
    with pytest.raises(ValueError, match="vocabulary of 4 tokens"):
        mask_tokens(ids, vocab_size=4, seed=(1, 2))
    with pytest.raises(ValueError, match="at least 5; got 4"):
        pack_pairs(pairs.first, pairs.second, length=4)
    with pytest.raises(InputError, match="10 pairs do not fill a batch of 11"):
        masked_language_batches(pairs, **{**OPTIONS, "batch_size": 11, "drop_remainder": True})
    with pytest.raises(InputError, match="no pairs"):
        tokenize_sentence_pairs([], None)


# Packing


@pytest.mark.parametrize(
    ("first", "second", "ids", "segments"),
    [
        ([11], [21], [2, 11, 3, 21, 3, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0]),
        ([11, 12, 13, 14], [21], [2, 11, 12, 13, 14, 3, 21, 3], [0] * 6 + [1] * 2),
        (range(11, 20), range(21, 30), [2, 11, 12, 13, 3, 21, 22, 3], [0] * 5 + [1] * 3),
        ([11, 12], range(21, 30), [2, 11, 12, 3, 21, 22, 23, 3], [0] * 4 + [1] * 4),
        (range(11, 20), [21], [2, 11, 12, 13, 14, 3, 21, 3], [0] * 6 + [1] * 2),
    ],
)
def test_pairs_are_packed_and_the_longer_side_is_cut(first, second, ids, segments):
    sides = (tf.ragged.constant([list(side)], dtype=tf.int32) for side in (first, second))
    packed = pack_pairs(*sides, length=8)
    assert [x.numpy().tolist() for x in packed] == [[ids], [segments]]
    assert packed[0].shape == (1, 8)


def test_texts_alone_are_one_segment():
    texts = tf.ragged.constant([[11], [11, 12, 13, 14, 15]], dtype=tf.int32)
    ids, segments = pack_pairs(texts, length=5, start=101, end=102)
    assert ids.numpy().tolist() == [[101, 11, 102, 0, 0], [101, 11, 12, 13, 102]]
    assert not np.any(segments)


def test_sentences_lose_their_own_start_and_end():
    tokenizer = WordPieceTokenizer([*RESERVED_TOKENS, "a", "b", "c"])
    pairs = tokenize_sentence_pairs([("a b", "c", 1), ("c", "b a", 0)], tokenizer)
    assert pairs.first.to_list() == [[4, 5], [6]]
    assert pairs.second.to_list() == [[6], [5, 4]]
    assert pairs.labels.numpy().tolist() == [1, 0]


# Batches


def test_batches_have_every_pair_once_an_epoch_with_other_masks(pairs):
    batches = masked_language_batches(pairs, **OPTIONS)
    assert len(batches) == 4
    assert tf.nest.map_structure(lambda spec: spec.shape.as_list(), batches.element_spec) == (
        ([None, 12], [None, 12]),
        {"tokens": [None, 12], "next": [None]},
    )
    expected = pack_pairs(pairs.first, pairs.second, length=12)[0].numpy()
    epochs = []
    for _ in range(2):
        predicted = {}  # by the row that the masks were put into
        for (ids, segments), labels in batches.as_numpy_iterator():
            tokens = labels["tokens"]
            assert np.isin(segments, (0, 1)).all()
            assert (tokens > 0).any(axis=1).all()
            whole = np.where(tokens != 0, tokens, ids)
            predicted |= zip(map(tuple, whole.tolist()), tokens.tolist(), strict=True)
        assert set(predicted) == set(map(tuple, expected.tolist()))
        epochs.append(predicted)
    assert epochs[0] != epochs[1]
    assert list(epochs[0]) != list(epochs[1])


def test_batches_follow_from_seed_and_epoch(pairs):
    batches = masked_language_batches(pairs, **OPTIONS, seed=5)
    first, second = listed(batches), listed(batches)
    assert listed(masked_language_batches(pairs, **OPTIONS, seed=5)) == first
    assert listed(masked_language_batches(pairs, **OPTIONS, seed=5, first_epoch=1)) == second
    assert listed(masked_language_batches(pairs, **OPTIONS, seed=6)) != first


def test_batches_in_order_without_labels_of_pairs(pairs):
    batches = masked_language_batches(
        pairs, **OPTIONS, shuffle=False, next_sentence=False, drop_remainder=True
    )
    epochs = [listed(batches) for _ in range(2)]
    assert epochs[0] != epochs[1]
    expected = pack_pairs(pairs.first, pairs.second, length=12)[0].numpy()[:9]
    for epoch in epochs:
        rows = [np.where(np.array(tokens) != 0, tokens, ids) for (ids, _), tokens in epoch]
        np.testing.assert_array_equal(np.concatenate(rows), expected)
