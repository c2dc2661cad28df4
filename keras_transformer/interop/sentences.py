"""Vectors of whole sentences, for comparing their meanings."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from keras_transformer.data.text.strings import string_tensor
from keras_transformer.errors import InputError
from keras_transformer.layers.attention.masks import padding_keep_mask


def sentence_embeddings(
    model, tokenizer, texts: Iterable[str], *, max_length: int | None = None, batch_size=32
) -> np.ndarray:
    """Computes normalised mean vectors of sentences (Sentence-BERT, arXiv 1908.10084).

    The scalar product of two is their cosine similarity.

    Args:
        model: a `Bert`.
        tokenizer: whose ids the model knows; the last of them ends a text.
        texts: sentences.
        max_length: most tokens that are read of each, the end included; as many as the model has
            positions for unless given.
        batch_size: most sentences at a time.

    Returns:
        float32 ``(texts, d_model)``, in the order of `texts`.

    Raises:
        InputError: for a tokenizer that gives ids which the model has no vectors for.

    Example:
        >>> bert = load_huggingface("checkpoints/all-MiniLM-L6-v2")
        >>> tokenizer = load_huggingface_tokenizer("checkpoints/all-MiniLM-L6-v2")
        >>> vectors = sentence_embeddings(bert, tokenizer, ["good morning", "hello"])
        >>> float(vectors[0] @ vectors[1])
    """
    texts = list(texts)
    found = np.zeros((len(texts), model.d_model), np.float32)
    if not texts:
        return found
    longest = min(max_length or model.max_length, model.max_length)
    ids = _shortened(tokenizer.tokenize(string_tensor(texts)), longest)
    most = int(tf.reduce_max(ids.flat_values))
    if most >= model.vocab_size:
        raise InputError(
            f"the tokenizer gives the id {most}, the model has vectors for {model.vocab_size}: "
            "give the tokenizer of the model."
        )
    # Sentences of like lengths side by side: padding is not work.
    order = np.argsort(-ids.row_lengths().numpy(), kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        found[rows] = _vectors(model, tf.gather(ids, rows).to_tensor()).numpy()
    return found


def _shortened(ids: tf.RaggedTensor, longest: int) -> tf.RaggedTensor:
    """Cuts rows to at most `longest` tokens, of which the last is the one that ends the text."""
    return tf.concat([ids[:, :longest][:, :-1], ids[:, -1:]], axis=1)


def _vectors(model, ids):
    x = tf.cast(model(ids, training=False).sequence, tf.float32)
    real = tf.cast(padding_keep_mask(ids), tf.float32)[..., tf.newaxis]
    mean = tf.reduce_sum(x * real, axis=1) / tf.maximum(tf.reduce_sum(real, axis=1), 1.0)
    return tf.math.l2_normalize(mean, axis=-1)
