"""The cache of token ids: the same ids, or made anew."""

from functools import partial

import numpy as np
import pytest

from keras_transformer.data.batches import token_store
from keras_transformer.data.batches.token_store import (
    cached_pairs,
    corpus_key,
    kept_corpus_key,
    tokenize_pairs,
)
from keras_transformer.data.corpora.corpus import dataset_of
from keras_transformer.data.tokenizers.masked import PairOptions
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.training.tasks import task_of

OPTIONS = [(), (0.1,), (0.0, 0.1, 1), (0.0, 0.1, 2), (0.1, 0.1, 1), (0.0, 0.0, 0, ("a",))]


@pytest.fixture(scope="module")
def tokenizers(tiny_corpus):
    return train_tokenizers(tiny_corpus, vocab_size=300)


@pytest.fixture
def folder(tokenizers, tmp_path):
    tokenizers.save(tmp_path / "tokenizers")
    return tmp_path


def _same(one, other):
    for (name, array), (_, again) in zip(one.arrays().items(), other.arrays().items(), strict=True):
        np.testing.assert_array_equal(array, again, err_msg=name)


def test_what_is_read_is_what_was_tokenised(tiny_corpus, tokenizers, folder, monkeypatch):
    expected = tokenize_pairs(tiny_corpus.train, tokenizers, 20)
    assert expected.dropped
    path = folder / "train.npz"
    _same(cached_pairs(path, "key", tiny_corpus.train, tokenizers, 20), expected)
    monkeypatch.setattr(token_store, "tokenize_pairs", lambda *_: pytest.fail("tokenised"))
    _same(cached_pairs(path, "key", tiny_corpus.train, tokenizers, 20), expected)


@pytest.mark.parametrize("damage", ["other key", "half", "empty", "no file"])
def test_what_does_not_fit_is_tokenised_anew(tiny_corpus, tokenizers, folder, damage):
    path = folder / "train.npz"
    expected = cached_pairs(path, "key", tiny_corpus.train, tokenizers, 20)
    key = "other" if damage == "other key" else "key"
    if damage == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no file":
        path.unlink()
    _same(cached_pairs(path, key, tiny_corpus.train, tokenizers, 20), expected)
    with np.load(path) as arrays:
        assert str(arrays["key"]) == key


def test_nothing_is_written_unless_asked(tiny_corpus, tokenizers, folder):
    cached_pairs(folder / "t.npz", "key", tiny_corpus.train, tokenizers, 20, write=False)
    assert not (folder / "t.npz").exists()


def test_the_key_knows_the_text_the_tokenizers_and_the_limit(tiny_corpus, folder, tmp_path):
    pairs = [("a", "b"), ("c", "d")]
    key = corpus_key(dataset_of(pairs), folder / "tokenizers", 20)
    assert key == corpus_key(dataset_of(pairs), folder / "tokenizers", 20)
    others = [
        corpus_key(dataset_of(pairs), folder / "tokenizers", 21),
        corpus_key(dataset_of([("a", "b"), ("c", "e")]), folder / "tokenizers", 20),
        corpus_key(dataset_of([("a", "b c"), ("c", "d")]), folder / "tokenizers", 20),
    ]
    train_tokenizers(tiny_corpus, vocab_size=301).save(folder / "tokenizers")
    others.append(corpus_key(dataset_of(pairs), folder / "tokenizers", 20))
    assert len({key, *others}) == 5


def test_the_key_knows_what_becomes_of_pairs(folder):
    pairs, tokenizers = dataset_of([("a", "b")]), folder / "tokenizers"
    keys = {corpus_key(pairs, tokenizers, 20, PairOptions(*values)) for values in OPTIONS}
    assert len(keys) == len(OPTIONS)
    assert corpus_key(pairs, tokenizers, 20) in keys  # as version 0.1 made it


def test_training_alone_has_noise_and_words_of_both_sides(tiny_corpus, tiny_config):
    plain = train_tokenizers(tiny_corpus, vocab_size=300)
    kept = train_tokenizers(tiny_corpus, vocab_size=300, placeholders=4)
    config = tiny_config.replace({"training": {"noise": 0.2, "shared_words": 0.3, "seed": 7}})
    task = task_of(tiny_corpus, config)
    assert task.pair_options("train", kept) == PairOptions(0.3, 0.2, 7)
    assert task.pair_options("train", plain) == PairOptions(0.0, 0.2, 7)
    assert task.pair_options("validation", kept) == PairOptions()
    digits = task_of(tiny_corpus, config.replace({"decoding": {"keep": ["[0-9]+"]}}))
    assert digits.pair_options("train", kept) == PairOptions(0.3, 0.2, 7, ("[0-9]+",))
    assert digits.pair_options("validation", kept) == PairOptions(keep=("[0-9]+",))
    assert digits.pair_options("validation", plain) == PairOptions()
    quiet = task_of(tiny_corpus, tiny_config.replace({"training": {"shared_words": 0.0}}))
    assert quiet.pair_options("train", plain) == PairOptions()
    noisy = tokenize_pairs(tiny_corpus.train, plain, options=PairOptions(0.0, 0.9, 1))
    pairs = tokenize_pairs(tiny_corpus.train, plain)
    assert len(noisy) == len(pairs)
    assert len(noisy.source) > len(pairs.source)  # what is mistyped has more pieces


def test_a_corpus_of_the_same_files_is_not_read_again(tiny_corpus, folder, monkeypatch):
    key_of = partial(kept_corpus_key, folder / "train.json")
    settings = folder / "tokenizers", 20
    expected = corpus_key(tiny_corpus.train, *settings)
    assert key_of("", tiny_corpus.train, *settings) == expected
    assert not (folder / "train.json").exists()
    assert key_of("a.tsv, 12 bytes", tiny_corpus.train, *settings) == expected
    others = [
        ("a.tsv, 13 bytes", *settings),
        ("a.tsv, 12 bytes", settings[0], 21),
        ("a.tsv, 12 bytes", *settings, PairOptions(0.1)),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(token_store, "corpus_key", lambda *_: pytest.fail("read"))
        assert key_of("a.tsv, 12 bytes", None, *settings) == expected
        for files, *changed in others:
            with pytest.raises(pytest.fail.Exception, match="read"):
                key_of(files, None, *changed)
    for content in (b"", b"[]", b"{}"):
        (folder / "train.json").write_bytes(content)
        assert key_of("a.tsv, 12 bytes", tiny_corpus.train, *settings) == expected
