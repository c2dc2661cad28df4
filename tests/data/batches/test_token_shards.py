"""Token shards: the ids of a corpus, whatever made them, and what becomes of damage."""

import json

import numpy as np
import pytest

import keras_transformer as kt
from keras_transformer.data.batches import token_shards
from keras_transformer.data.batches.token_shards import (
    Recipe,
    TokenShards,
    open_token_shards,
    write_token_shards,
)
from keras_transformer.data.batches.token_store import tokenize_pairs
from keras_transformer.data.corpora.corpus import Corpus, dataset_of
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.data.tokenizers.masked import PairOptions
from keras_transformer.errors import InputError

OPTIONS = PairOptions(shared_words=0.3)
MOST = 20


@pytest.fixture(scope="module")
def dataset():
    return dataset_of(read_sample()["train"][:700])


@pytest.fixture(scope="module")
def recipe(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    corpus = Corpus("sample", train=dataset, normalization="none")
    kt.train_tokenizers(corpus, vocab_size=400, placeholders=4).save(folder)
    return Recipe(folder, MOST, OPTIONS)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Shards of 128 pairs in blocks of 16, tokenised 32 at a time."""
    monkeypatch.setattr(token_shards, "SHARD", 128)
    monkeypatch.setattr(token_shards, "BLOCK", 16)
    monkeypatch.setattr(token_shards, "TEXTS_AT_ONCE", 32)


def write(folder, dataset, recipe, key="key", processes=1, say=lambda line: None):
    return write_token_shards(folder, key, dataset, recipe, say, processes)


def assert_same(one, other):
    arrays = one.arrays()
    for name, array in other.arrays().items():
        if name != "dropped":
            np.testing.assert_array_equal(arrays[name], array, err_msg=name)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Laws


def test_shards_hold_what_the_corpus_becomes_in_memory(dataset, recipe, tmp_path):
    shards = write(tmp_path, dataset, recipe)
    expected = tokenize_pairs(dataset, kt.Tokenizers.load(recipe.tokenizers), MOST, OPTIONS)
    assert_same(shards.read(range(shards.blocks)), expected)
    assert len(shards) == len(expected)
    assert shards.dropped == expected.dropped > 0
    assert shards.longest == expected.longest
    assert shards.target_tokens() == expected.target_tokens()
    assert_same(open_token_shards(tmp_path, "key").read(range(shards.blocks)), expected)


def test_blocks_come_in_the_order_asked_for(dataset, recipe, tmp_path):
    shards = write(tmp_path, dataset, recipe)
    order = np.random.default_rng(1).permutation(shards.blocks)[:9]
    some, lengths = shards.read(order), shards.lengths(order)
    for side in ("source", "target"):
        of_all = [getattr(shards.read([block]), side) for block in order]
        np.testing.assert_array_equal(getattr(some, side), np.concatenate(of_all))
        starts = f"{side}_starts"
        np.testing.assert_array_equal(getattr(lengths, starts), getattr(some, starts))


def test_processes_make_the_same_bytes(dataset, recipe, tmp_path):
    write(tmp_path / "one", dataset, recipe)
    write(tmp_path / "two", dataset, recipe, processes=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


class Killed(Exception):
    """Stands in for a process that dies."""


def test_an_interrupted_corpus_goes_on_after_the_last_whole_shard(dataset, recipe, tmp_path):
    write(tmp_path / "whole", dataset, recipe)

    def dies(line):
        if line.startswith("256 "):
            raise Killed

    with pytest.raises(Killed):
        write(tmp_path / "parts", dataset, recipe, say=dies)
    assert open_token_shards(tmp_path / "parts", "key") is None
    said = []
    write(tmp_path / "parts", dataset, recipe, say=said.append)
    assert said[0] == "384 pairs tokenised"
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_many_ids_have_more_bytes(dataset, recipe, tmp_path, monkeypatch):
    few = write(tmp_path / "few", dataset, recipe)
    monkeypatch.setattr(token_shards, "_has_few_ids", lambda recipe: False)
    many = write(tmp_path / "many", dataset, recipe)
    assert_same(few.read(range(few.blocks)), many.read(range(many.blocks)))
    sizes = [(tmp_path / name / "00000.source.npy").stat().st_size for name in ("few", "many")]
    assert sizes[1] > 1.8 * sizes[0]


def test_a_sample_is_spread_over_the_corpus(dataset, recipe, tmp_path):
    shards = write(tmp_path, dataset, recipe)
    assert_same(shards.sample(10**9), shards.read(range(shards.blocks)))
    some = shards.sample(len(shards) // 4)
    assert len(shards) // 8 < len(some) < len(shards) // 2
    assert_same(some, shards.read(range(0, shards.blocks, 4)))


# What is not there, or damaged


def test_another_key_makes_them_anew(dataset, recipe, tmp_path):
    write(tmp_path, dataset, recipe)
    assert open_token_shards(tmp_path, "other") is None
    write(tmp_path, dataset.take(100), recipe, key="other")
    assert len(open_token_shards(tmp_path, "other")) <= 100
    assert open_token_shards(tmp_path, "key") is None


@pytest.mark.parametrize("name", ["lengths.npy", "source.npy", "target.npy"])
def test_a_damaged_block_is_named_and_others_are_read(name, dataset, recipe, tmp_path):
    whole = write(tmp_path, dataset, recipe)
    expected = whole.read([0])
    path = tmp_path / f"00001.{name}"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    shards = TokenShards(tmp_path)
    assert_same(shards.read([0]), expected)
    with pytest.raises(InputError, match=r"00001.*is damaged.*--resume"):
        shards.read(range(shards.blocks))


@pytest.mark.parametrize("name", ["index.json", "00000.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b'{"shards": 2}'])
def test_a_folder_without_its_descriptions_is_made_anew(name, content, dataset, recipe, tmp_path):
    write(tmp_path / "whole", dataset, recipe)
    write(tmp_path / "made", dataset, recipe)
    path = tmp_path / "made" / name
    path.unlink() if content is None else path.write_bytes(content)
    assert open_token_shards(tmp_path / "made", "key") is None
    write(tmp_path / "made", dataset, recipe)
    assert files(tmp_path / "made") == files(tmp_path / "whole")


def test_a_truncated_array_is_damaged(dataset, recipe, tmp_path):
    write(tmp_path, dataset, recipe)
    path = tmp_path / "00000.target.npy"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="is damaged"):
        TokenShards(tmp_path).read([0])


def test_what_is_written_is_known(dataset, recipe, tmp_path):
    """So that later versions read it."""
    write(tmp_path, dataset.take(40), recipe)
    assert json.loads((tmp_path / "index.json").read_text()) == {
        "key": "key",
        "shards": 1,
        "whole": True,
    }
    facts = json.loads((tmp_path / "00000.json").read_text())
    lengths = np.load(tmp_path / "00000.lengths.npy")
    assert facts["pairs"] == len(lengths)
    assert facts["tokens"] == lengths.sum(0).tolist()
    assert [np.load(tmp_path / f"00000.{side}.npy").dtype for side in ("source", "target")] == [
        np.uint16,
        np.uint16,
    ]
