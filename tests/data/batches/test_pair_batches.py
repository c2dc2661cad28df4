"""Batches: every pair once, shifted targets, few shapes, little padding, repeatable order."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.batches.pairs import (
    BUCKET_LENGTHS,
    Batches,
    make_batches,
    pad_batch,
    plan_batches,
    plan_tight_batches,
    rows_of,
)
from keras_transformer.data.batches.token_store import TokenizedPairs, tokenize_pairs
from keras_transformer.data.corpora.corpus import dataset_of
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.errors import InputError


@pytest.fixture(scope="module")
def tokenizers(tiny_corpus):
    return train_tokenizers(tiny_corpus, vocab_size=300)


@pytest.fixture(scope="module")
def pairs(tiny_corpus, tokenizers):
    return tokenize_pairs(tiny_corpus.train, tokenizers)


def _rows(batches):
    """Every real row of every batch, as (source, target with start and end) tuples of ids."""
    rows = []
    for (source, target_in), target_out in batches:
        for s, i, o in zip(source.numpy(), target_in.numpy(), target_out.numpy(), strict=True):
            if s.any():
                length = np.count_nonzero(i)
                np.testing.assert_array_equal(i[1:length], o[: length - 1])
                assert not i[length:].any()
                assert not o[length:].any()
                rows.append((tuple(s[s != 0]), (*i[:length], o[length - 1])))
    return rows


def test_every_pair_occurs_once_in_an_epoch(pairs):
    found = _rows(Batches(pairs, 512, seed=1).dataset())
    expected = [
        (
            tuple(pairs.source[pairs.source_starts[i] : pairs.source_starts[i + 1]]),
            tuple(pairs.target[pairs.target_starts[i] : pairs.target_starts[i + 1]]),
        )
        for i in range(len(pairs))
    ]
    assert sorted(found) == sorted(expected)


def test_targets_begin_with_start_and_end_with_end(pairs):
    for _, target in _rows(Batches(pairs, 512, shuffle=False).dataset()):
        assert target[0] == 2
        assert target[-1] == 3


def test_epochs_differ_and_a_seed_repeats_them(pairs):
    one, other = Batches(pairs, 512, seed=7).dataset(), Batches(pairs, 512, seed=7).dataset()
    epochs = [_rows(one), _rows(one)]
    assert epochs[0] != epochs[1]
    assert epochs == [_rows(other), _rows(other)]
    assert epochs[0] != _rows(Batches(pairs, 512, seed=8).dataset())


def test_without_shuffling_the_order_is_always_the_same(pairs):
    batches = Batches(pairs, 512, shuffle=False).dataset()
    assert _rows(batches) == _rows(batches)


def test_shapes_are_few_and_within_the_token_budget(pairs):
    batches = Batches(pairs, 512, seed=1, static_shapes=True).dataset()
    shapes = [source.shape for (source, _), _ in batches]
    assert len(shapes) == batches.cardinality()
    for rows, length in set(map(tuple, shapes)):
        assert length in BUCKET_LENGTHS
        assert rows == rows_of(length, 512)
        assert rows * length <= 512


def _ids(batches):
    return [[part.tolist() for part in (*inputs, labels)] for inputs, labels in batches]


def test_an_epoch_can_be_entered_anywhere(pairs):
    batches = Batches(pairs, 512, seed=3)
    whole = _ids(batches.epoch(4))
    assert len(whole) == len(batches)
    for start in (0, 1, len(whole) - 1, len(whole)):
        assert _ids(Batches(pairs, 512, seed=3).epoch(4, start)) == whole[start:]


def test_a_dataset_can_begin_with_any_epoch(pairs):
    dataset = Batches(pairs, 512, seed=3).dataset(first_epoch=2)
    first = [[ids.numpy().tolist() for ids in (*inputs, labels)] for inputs, labels in dataset]
    assert first == _ids(Batches(pairs, 512, seed=3).epoch(2))


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_get_equal_shares(pairs, replicas):
    alone, shared = Batches(pairs, 512, seed=3), Batches(pairs, 512, seed=3, rows_multiple=replicas)
    for one, other in zip(alone.epoch(0), shared.epoch(0), strict=True):
        assert len(other[1]) % replicas == 0
        rows = len(one[1])
        np.testing.assert_array_equal(other[1][:rows], one[1])
        assert not other[1][rows:].any()


@pytest.mark.parametrize("seed", [None, 0])
def test_tight_plans_hold_every_index_once_within_the_budget(seed):
    rng = np.random.default_rng(3)
    source, target = rng.integers(1, 130, 1000), rng.integers(1, 130, 1000)
    plan = plan_tight_batches(
        source, target, 2048, seed if seed is None else np.random.default_rng(seed)
    )
    assert sorted(np.concatenate(plan)) == list(range(1000))
    for indices in plan:
        assert len(indices) * max(source[indices].max(), target[indices].max()) <= 2048
    assert len(plan) == len(plan_tight_batches(source, target, 2048, np.random.default_rng(7)))


def test_tight_batches_hold_hardly_any_padding():
    rng = np.random.default_rng(3)
    target = rng.integers(5, 60, 20_000)
    source = np.maximum(target + rng.integers(-5, 6, 20_000), 1)
    plan = plan_tight_batches(source, target, 4096, rng)
    for lengths, share in ((source, 0.9), (target, 0.95)):
        padded = sum(len(indices) * lengths[indices].max() for indices in plan)
        assert lengths.sum() / padded > share


def test_batches_are_as_wide_as_their_longest_pairs(pairs):
    for (source, target_in), target_out in Batches(pairs, 512, seed=1).epoch(0):
        for ids in (source, target_in, target_out):
            assert ids[:, -1].any()


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)])
def test_plans_hold_every_index_once_in_batches_long_enough(rng):
    lengths = np.random.default_rng(3).integers(1, 130, 1000)
    plan = plan_batches(lengths, 2048, rng)
    assert sorted(np.concatenate([indices for indices, _ in plan])) == list(range(1000))
    partial = 0
    for indices, length in plan:
        assert lengths[indices].max() <= length
        partial += len(indices) < rows_of(length, 2048)
    assert partial <= 1


def test_little_is_padding():
    lengths = np.random.default_rng(3).integers(5, 60, 20_000)
    plan = plan_batches(lengths, 4096, np.random.default_rng(0))
    padded = sum(rows_of(length, 4096) * length for _, length in plan)
    assert lengths.sum() / padded > 0.85


def test_a_pair_longer_than_the_budget_still_makes_a_batch():
    assert [list(indices) for indices, _ in plan_batches(np.array([40]), 16)] == [[0]]


def test_a_pair_beyond_every_bucket_is_refused():
    with pytest.raises(InputError, match="max_tokens"):
        plan_batches(np.array([BUCKET_LENGTHS[-1] + 1]), 4096)


def test_long_pairs_are_left_out_and_counted(tiny_corpus, tokenizers, pairs):
    kept = tokenize_pairs(tiny_corpus.train, tokenizers, max_tokens=16)
    assert kept.dropped > 0
    assert len(kept) + kept.dropped == len(pairs)
    assert max(np.diff(kept.source_starts).max(), np.diff(kept.target_starts).max()) <= 16


def test_a_corpus_of_nothing_is_refused(tokenizers):
    long = dataset_of([("o gato viu o cachorro .", "the cat saw the dog .")])
    with pytest.raises(InputError, match="at most 2 tokens"):
        tokenize_pairs(long, tokenizers, max_tokens=2)
    with pytest.raises(InputError, match="no pair"):
        tokenize_pairs(long.take(0), tokenizers)


def test_a_batch_by_hand():
    pairs = TokenizedPairs(
        source=np.array([2, 5, 3, 2, 6, 7, 3], np.int32),
        source_starts=np.array([0, 3, 7]),
        target=np.array([2, 8, 9, 3, 2, 3], np.int32),
        target_starts=np.array([0, 4, 6]),
    )
    (source, target_in), target_out = pad_batch(
        pairs, [1, 0], rows=3, source_length=4, target_length=4
    )
    assert source.tolist() == [[2, 6, 7, 3], [2, 5, 3, 0], [0, 0, 0, 0]]
    assert target_in.tolist() == [[2, 0, 0, 0], [2, 8, 9, 0], [0, 0, 0, 0]]
    assert target_out.tolist() == [[3, 0, 0, 0], [8, 9, 3, 0], [0, 0, 0, 0]]
    assert pairs.lengths().tolist() == [3, 4]
    assert pairs.target_tokens() == 4


def test_make_batches_goes_from_strings_to_batches(tiny_corpus, tokenizers, pairs):
    batches = make_batches(tiny_corpus.train, tokenizers, batch_tokens=512, seed=1)
    assert _rows(batches) == _rows(Batches(pairs, 512, seed=1).dataset())
    (source, target_in), target_out = next(iter(batches))
    assert source.dtype == target_in.dtype == target_out.dtype == tf.int32
