"""Runs that start from word vectors: kept rows stay, interruptions change nothing."""

import numpy as np
import pytest
import tensorflow as tf
from dying import DiesAt, Killed
from kill_and_resume import differences

from keras_transformer.config import Config
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.layers.embeddings import OneHot, token_embedding
from keras_transformer.training.initial_vectors import FILE
from keras_transformer.training.run import train
from keras_transformer.translating.translator import Translator

pytest.importorskip("gensim")

WIDTH = 8


@pytest.fixture(scope="module")
def tokenizers(tiny_corpus):
    return train_tokenizers(tiny_corpus, vocab_size=800)


def words_of(tokenizer):
    """Some words that are whole tokens."""
    size = tokenizer.get_vocab_size()
    names = [name.decode() for name in tokenizer.lookup(tf.range(size)[tf.newaxis])[0].numpy()]
    return [name for name in names if name.isalpha() and len(name) > 3][:4]


@pytest.fixture
def files(tmp_path, tokenizers):
    """A file for each side, and the vectors in them."""
    numbers = np.random.default_rng(3)
    paths, vectors = {}, {}
    for side in ("source", "target"):
        words = words_of(getattr(tokenizers, side))
        assert len(words) == 4
        vectors[side] = {word: numbers.normal(size=WIDTH).astype("float32") for word in words}
        lines = [f"{word} {' '.join(map(str, row))}" for word, row in vectors[side].items()]
        paths[side] = tmp_path / f"{side}.vec"
        paths[side].write_text("\n".join([f"{len(words)} {WIDTH}", *lines]) + "\n")
    return paths, vectors


def recipe(paths, freeze, **model) -> Config:
    return Config().replace(
        {
            "model": {"family": "gru", "units": 12, "embedding_size": WIDTH, **model},
            "word_vectors": {side: str(path) for side, path in paths.items()} | {"freeze": freeze},
            "training": {
                "epochs": None,
                "max_steps": 4,
                "batch_tokens": 256,
                "warmup_steps": 2,
                "learning_rate": 0.05,
                "bleu_sentences": 0,
                "checkpoint_minutes": 1e-9,  # after every step
            },
        }
    )


def row_of(run, side, word):
    tokenizer = getattr(run.translator.tokenizers, side)
    (number,) = tokenizer.tokenize([word])[0].numpy()[1:-1]
    return token_embedding(run.translator.transformer, side).embeddings[number].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["found", "none", "all"])
def test_training_changes_what_is_not_frozen(freeze, files, tiny_corpus, tokenizers, tmp_path):
    paths, vectors = files
    run = train(tiny_corpus, tmp_path / "run", recipe(paths, freeze), tokenizers=tokenizers)
    for side, given in vectors.items():
        same = [np.array_equal(row_of(run, side, word), row) for word, row in given.items()]
        assert all(same) == (freeze != "none"), side
    start = np.load(tmp_path / "run" / FILE)
    for side in vectors:
        now = token_embedding(run.translator.transformer, side).embeddings.numpy()
        others = ~start[f"{side}_found"]
        assert np.array_equal(now[others], start[f"{side}_matrix"][others]) == (freeze == "all")
    # The run is whole without the files.
    loaded = Translator.load(tmp_path / "run")
    line = ["o gato dorme ."]
    assert loaded.translate(line)[0].text == run.translator.translate(line)[0].text


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["found", "all"])
def test_an_interrupted_run_ends_alike_without_the_files(
    freeze, files, tiny_corpus, tokenizers, tmp_path
):
    paths, _ = files
    config = recipe(paths, freeze)
    train(tiny_corpus, tmp_path / "whole", config, tokenizers=tokenizers)
    with pytest.raises(Killed):
        train(tiny_corpus, tmp_path / "run", config, tokenizers=tokenizers, callbacks=[DiesAt(2)])
    for path in paths.values():
        path.unlink()
    train(tiny_corpus, tmp_path / "run", resume=True)
    weights = (tmp_path / name / "model.weights.h5" for name in ("whole", "run"))
    assert not differences(*weights)


def test_what_does_not_fit_is_named(files, tiny_corpus, tokenizers, tmp_path):
    paths, _ = files
    wide = recipe(paths, "none", embedding_size=16)
    with pytest.raises(InputError, match=r"word_vectors.source: .*embedding_size=8"):
        train(tiny_corpus, tmp_path / "run", wide, tokenizers=tokenizers)
    with pytest.raises(InputError, match="one file of word vectors"):
        recipe(paths, "none").replace(
            {"model": {"share_embeddings": True}, "tokenizer": {"shared": True}}
        )
    with pytest.raises(InputError, match=r"model.token_vectors to learned"):
        recipe(paths, "none", token_vectors="one_hot")


@pytest.mark.slow
def test_one_hot_vectors_train(tiny_corpus, tokenizers, tmp_path):
    config = recipe({}, "none", token_vectors="one_hot")
    run = train(tiny_corpus, tmp_path / "run", config, tokenizers=tokenizers)
    model = run.translator.transformer
    assert isinstance(token_embedding(model, "source"), OneHot)
    first, *_ = model.encoder.weights
    assert first.shape[0] == tokenizers.source.get_vocab_size()
    (translation,) = Translator.load(tmp_path / "run").translate(["o gato dorme ."])
    assert translation.text == run.translator.translate(["o gato dorme ."])[0].text
