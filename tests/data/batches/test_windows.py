"""Batches of windows: every pair once an epoch, in an order that seed and epoch alone decide."""

import itertools

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.data.batches import token_shards, windows
from keras_transformer.data.batches.pairs import Batches
from keras_transformer.data.batches.subword_dropout import SubwordDropout, SubwordDropoutBatches
from keras_transformer.data.batches.token_shards import Recipe, write_token_shards
from keras_transformer.data.batches.windows import WindowedBatches
from keras_transformer.data.corpora.corpus import Corpus, dataset_of
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.data.tokenizers.masked import PairOptions

BATCH_TOKENS = 128
BLOCK = 16
WINDOW = 96


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_shards, "SHARD", 256)
        patch.setattr(token_shards, "BLOCK", BLOCK)
        patch.setattr(windows, "BLOCK", BLOCK)
        patch.setattr(token_shards, "TEXTS_AT_ONCE", 64)
        yield


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    pairs = read_sample()["train"][:700]
    corpus = Corpus("sample", train=dataset_of(pairs), normalization="none")
    kt.train_tokenizers(corpus, vocab_size=400, placeholders=4).save(folder)
    return folder


@pytest.fixture(scope="module")
def shards(tokenizers, small, tmp_path_factory):
    dataset = dataset_of(read_sample()["train"][:700])
    recipe = Recipe(tokenizers, 40, PairOptions())
    folder = tmp_path_factory.mktemp("shards")
    return write_token_shards(folder, "key", dataset, recipe, lambda line: None, 1)


@pytest.fixture(params=[False, True], ids=["tight", "static"])
def make(request, shards):
    def make(seed=7, window=WINDOW, **options):
        def batches_of(pairs):
            return Batches(pairs, BATCH_TOKENS, seed=seed, static_shapes=request.param)

        return WindowedBatches(shards, batches_of, seed=seed, window=window, **options)

    return make


def rows(batch):
    """The pairs of a batch, without padding."""
    (source, _), target = batch
    return [
        (tuple(one[one > 0].tolist()), tuple(other[other > 0].tolist()))
        for one, other in zip(source, target, strict=True)
        if one.any()
    ]


def pairs_of(batches):
    return [row for batch in batches for row in rows(batch)]


def same(one, other):
    arrays = [[*inputs, target] for batches in (one, other) for inputs, target in batches]
    half = len(arrays) // 2
    return len(arrays) % 2 == 0 and all(
        np.array_equal(a, b)
        for first, second in zip(arrays[:half], arrays[half:], strict=True)
        for a, b in zip(first, second, strict=True)
    )


# Laws


def test_an_epoch_has_every_pair_once(make, shards):
    whole = shards.read(range(shards.blocks))
    expected = pairs_of(Batches(whole, BATCH_TOKENS, shuffle=False).epoch(0))
    assert len(expected) == len(shards)
    for shuffle in (True, False):
        assert sorted(pairs_of(make(shuffle=shuffle).epoch(3))) == sorted(expected)


def test_the_number_of_batches_is_that_of_every_epoch(make):
    batches = make()
    assert {len(list(batches.epoch(epoch))) for epoch in range(4)} == {len(batches)}


def test_order_follows_from_seed_and_epoch_alone(make):
    one, other = make(), make()
    list(other.epoch(0))
    assert same(list(one.epoch(5)), list(other.epoch(5)))
    assert not same(list(one.epoch(5)), list(one.epoch(6)))
    assert not same(list(one.epoch(5)), list(make(seed=8).epoch(5)))


def test_an_epoch_goes_on_anywhere(make):
    batches = make()
    whole = list(batches.epoch(2))
    for start in range(len(whole) + 1):
        assert same(list(make().epoch(2, start)), whole[start:])


def test_windows_that_are_done_are_not_read(make, shards, monkeypatch):
    batches = make()
    read, whole = [], shards.read
    monkeypatch.setattr(shards, "read", lambda blocks: read.append(blocks) or whole(blocks))
    monkeypatch.setattr(shards, "lengths", lambda blocks: pytest.fail("planned"))
    next(batches.epoch(0, len(batches) - 1))
    assert len(read) == 1


def test_one_window_is_shuffled_as_in_memory(make, shards):
    """Up to the order of its blocks, which is that of the corpus where nothing is shuffled."""
    batches = make(shuffle=False, window=10**6)
    whole = shards.read(range(shards.blocks))
    assert sorted(pairs_of(batches.epoch(0))) == sorted(
        pairs_of(Batches(whole, BATCH_TOKENS, seed=7).epoch(0))
    )


def test_windows_have_pairs_of_all_parts(make, shards):
    """Not just neighbours: else a corpus that is sorted would be learned in that order."""
    batches = make()
    places = {row: place for place, row in enumerate(pairs_of_corpus(shards))}
    first = [places[row] for row in pairs_of(list(batches.epoch(0))[: len(batches) // 7])]
    assert np.std(first) > len(shards) / 8


def pairs_of_corpus(shards):
    whole = shards.read(range(shards.blocks))
    sides = [
        [tuple(ids[a:b].tolist()) for a, b in itertools.pairwise(starts)]
        for ids, starts in (
            (whole.source, whole.source_starts),
            (whole.target, whole.target_starts),
        )
    ]
    return [(one, other[1:]) for one, other in zip(*sides, strict=True)]


@pytest.mark.parametrize("epoch", [0, 1])
def test_words_divided_anew_go_on_anywhere(shards, tokenizers, epoch):
    loaded = kt.Tokenizers.load(tokenizers)

    def make():
        def batches_of(pairs):
            return Batches(pairs, BATCH_TOKENS, seed=7)

        def draw(pairs):
            dropout = SubwordDropout(pairs, loaded, 0.3, 60, 7)
            return SubwordDropoutBatches(dropout, batches_of)

        return WindowedBatches(shards, batches_of, draw=draw, seed=7, window=WINDOW)

    whole = list(make().epoch(epoch))
    assert len(pairs_of(whole)) == len(shards)
    assert set(pairs_of(whole)) != set(pairs_of_corpus(shards))
    for start in range(0, len(whole), 5):
        assert same(list(make().epoch(epoch, start)), whole[start:])


# What is kept


def test_numbers_of_batches_are_kept(make, shards, tmp_path, monkeypatch):
    facts = tmp_path / "windows.json"
    expected = len(make(facts=facts))
    with monkeypatch.context() as patch:
        patch.setattr(shards, "lengths", lambda blocks: pytest.fail("planned anew"))
        assert len(make(facts=facts)) == expected
    for content in ("", "{}", '{"key": "other", "batches": [3]}'):
        facts.write_text(content)
        assert len(make(facts=facts)) == expected
    assert len(make(facts=facts, plan="another")) == expected
