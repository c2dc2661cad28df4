"""Batches of the text of one language."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.batches.masked import MaskedBatches
from keras_transformer.data.batches.texts import TextBatches, text_corpus, without_source
from keras_transformer.data.batches.token_store import tokenize_pairs
from keras_transformer.data.corpora.corpus import (
    Corpus,
    dataset_of,
    list_pairs,
)
from keras_transformer.data.corpora.load import load_corpus
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, PAD, START

LINES = [f"the {word} sees a {other}" for word in ("cat", "dog", "owl") for other in ("bee", "ant")]


@pytest.fixture(scope="module")
def corpus():
    pairs = dataset_of([("unseen", line) for line in LINES + LINES[:3]])
    return text_corpus(Corpus("c", train=pairs, validation=pairs, target_language="en"))


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train_tokenizers(corpus, vocab_size=60, shared=True).target


@pytest.fixture(scope="module")
def texts(corpus, tokenizer):
    return tokenize_pairs(corpus.train, without_source(tokenizer))


def rows_of(batches, epoch=0):
    """All rows of an epoch without their padding, inputs and labels."""
    rows = []
    for ids, labels in batches.epoch(epoch):
        for row, label in zip(ids, labels, strict=True):
            length = np.count_nonzero(row)
            assert not row[length:].any()
            rows.append((tuple(row[:length]), tuple(label[:length])))
    return rows


def test_only_the_target_of_a_pair_is_left(corpus):
    assert list_pairs(corpus.train)[:2] == [("", LINES[0]), ("", LINES[1])]
    assert corpus.source_language == corpus.target_language == "en"
    assert corpus.test is None


def test_every_text_is_there_once_and_its_labels_are_what_follows(texts, tokenizer):
    wanted = sorted(
        (tuple(row[:-1]), tuple(row[1:]))
        for row in (tokenizer.tokenize([line])[0].numpy() for line in LINES + LINES[:3])
    )
    for static in (False, True):
        batches = TextBatches(texts, 24, seed=1, static_shapes=static)
        assert sorted(rows_of(batches)) == wanted
        assert len(list(batches.epoch(3))) == len(batches)


def test_a_start_leaves_out_what_stands_before_it(texts):
    for batches in (
        TextBatches(texts, 24, seed=1),
        MaskedBatches(texts, 24, seed=1, vocab_size=60),
    ):
        whole, rest = list(batches.epoch(2)), list(batches.epoch(2, start=1))
        assert len(rest) == len(whole) - 1
        for expected, found in zip(whole[1:], rest, strict=True):
            np.testing.assert_array_equal(expected[0], found[0])
            np.testing.assert_array_equal(expected[1], found[1])


def test_masks_hide_what_the_labels_tell_and_nothing_else(texts, tokenizer):
    size = int(tokenizer.get_vocab_size())
    batches = MaskedBatches(texts, 24, seed=1, vocab_size=size)
    hidden = 0
    for ids, labels in batches.epoch(0):
        whole = np.where(labels != PAD, labels, ids)
        assert (whole[:, 0] == START).all()
        assert (np.sum(whole == END, axis=1) == 1).all()
        assert not np.isin(labels, (START, END)).any()
        assert ((ids == size) <= (labels != PAD)).all()
        hidden += np.count_nonzero(labels)
    assert hidden >= len(texts)  # at least one in each


def test_each_epoch_hides_others_and_the_same_again_by_the_same_seed(texts, tokenizer):
    def masks(epoch, seed=1):
        options = {"vocab_size": int(tokenizer.get_vocab_size()), "shuffle": False}
        return [labels for _, labels in MaskedBatches(texts, 24, seed=seed, **options).epoch(epoch)]

    def equal(some, others):
        return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))

    assert equal(masks(0), masks(0))
    assert not equal(masks(0), masks(1))
    assert not equal(masks(0), masks(0, seed=2))


def test_the_dataset_for_fit_gives_the_same(texts):
    batches = TextBatches(texts, 24, seed=1)
    for (ids, labels), expected in zip(batches.dataset(), batches.epoch(0), strict=True):
        tf.debugging.assert_equal(ids, expected[0])
        tf.debugging.assert_equal(labels, expected[1])


def test_text_files_are_a_corpus(tmp_path):
    path, other = tmp_path / "text", tmp_path / "other.txt"
    path.write_text("\n".join([*LINES[:3], "", *LINES[3:]]))
    other.write_text("an owl\n")
    alone, both = load_corpus(f"text:{path}"), load_corpus(f"text:{path},{other}")
    assert list_pairs(both.validation) == [("", "an owl")]
    assert [text for _, text in list_pairs(both.train)] == LINES
    (held_out,) = list_pairs(alone.validation)
    assert sorted([held_out, *list_pairs(alone.train)]) == sorted(("", line) for line in LINES)


@pytest.mark.parametrize("name", ["text:", "text:a,b,c", "text:a,"])
def test_a_name_without_files_says_what_to_give(name):
    with pytest.raises(InputError, match="text:FILE"):
        load_corpus(name)
