"""Corpora, tokenizers and batches."""

from keras_transformer.data.batching import make_batches
from keras_transformer.data.corpora import Corpus, load_corpus
from keras_transformer.data.tokenizers import (
    Tokenizers,
    as_tokenizers,
    train_tokenizers,
    tutorial_tokenizers,
)

__all__ = [
    "Corpus",
    "Tokenizers",
    "as_tokenizers",
    "load_corpus",
    "make_batches",
    "train_tokenizers",
    "tutorial_tokenizers",
]
