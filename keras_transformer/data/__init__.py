"""Corpora, tokenizers and batches."""

from keras_transformer.data.batches.pairs import make_batches
from keras_transformer.data.corpora.corpus import Corpus, load_corpus
from keras_transformer.data.tokenizers.pair import (
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
