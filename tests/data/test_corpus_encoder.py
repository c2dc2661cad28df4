"""Encoding a corpus: the same ids as one text after the other, whatever is in it."""

import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.data.batches.token_store import tokenize_pairs
from keras_transformer.data.corpora.corpus import dataset_of
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.data.text.placeholders import JOIN, KEPT
from keras_transformer.data.tokenizers import corpus_encoder

TEXTS = [
    "",
    "O GATO viu o cachorro?",
    "TODAS AS LETRAS SÃO GRANDES, E Quase Todas As Palavras Também",
    f"veja {KEPT}{JOIN}, por favor {KEPT}",
    "palavrasemfimquenaoexiste çédille  e\tbrancos ",
    "o gato o gato o gato",
]


@pytest.fixture(scope="module")
def corpus():
    pairs = read_sample()["train"][:600]
    return kt.Corpus("sample", train=dataset_of(pairs), normalization="none")


@pytest.fixture(scope="module", params=["wordpiece", "sentencepiece"])
def kind(request):
    return request.param


@pytest.fixture(scope="module", params=["lower", "keep", "factored"])
def tokenizer(request, corpus, kind):
    options = {"vocab_size": 400, "case": request.param, "placeholders": 4}
    return kt.train_tokenizers(corpus, kind, **options).source


def test_a_batch_is_encoded_as_each_text_is(tokenizer):
    found = tokenizer.corpus_encoder.encode(tf.constant(TEXTS))
    for text, ids in zip(TEXTS, found.to_list(), strict=True):
        [expected] = tokenizer.tokenize_masked(tf.constant([text])).to_list()
        is_placeholder = tokenizer.is_placeholder(tf.constant(expected))
        expected = np.where(is_placeholder, tokenizer.first_placeholder, expected)
        np.testing.assert_array_equal(ids, expected)


def test_what_is_kept_is_that_of_the_tokenizer(tokenizer):
    texts = tf.constant([*TEXTS, "http://a.org/b e Жук", b"\0x 1234567 \0 nada", "x99"])
    for keep in ((), (r"x\d+",)):
        found, expected = (each.mask(texts, keep) for each in (tokenizer.corpus_encoder, tokenizer))
        assert found.texts.numpy().tolist() == expected.texts.numpy().tolist()
        assert found.kept.to_list() == expected.kept.to_list()


def test_a_table_that_is_full_begins_anew(tokenizer, monkeypatch):
    encoder = corpus_encoder.CorpusEncoder(tokenizer)
    expected = tokenizer.corpus_encoder.encode(tf.constant(TEXTS)).to_list()
    monkeypatch.setattr(corpus_encoder, "MOST_WORDS", 12)
    for _ in range(2):
        for text, ids in zip(TEXTS, expected, strict=True):
            assert encoder.encode(tf.constant([text])).to_list() == [ids]
    assert len(encoder._numbers) <= max(12, 2 + max(len(text.split()) for text in TEXTS))


def test_pairs_do_not_depend_on_what_is_tokenised_with_them(corpus, kind, monkeypatch):
    tokenizers = kt.train_tokenizers(corpus, kind, vocab_size=400, case="factored", placeholders=4)
    whole = tokenize_pairs(corpus.train.take(100), tokenizers, 20)
    monkeypatch.setattr("keras_transformer.data.batches.token_store.TEXTS_AT_ONCE", 7)
    parts = tokenize_pairs(corpus.train.take(100), tokenizers, 20)
    assert whole.dropped == parts.dropped > 0
    for one, other in zip(whole.arrays().values(), parts.arrays().values(), strict=True):
        np.testing.assert_array_equal(one, other)
