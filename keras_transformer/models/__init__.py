"""Keras models made of the layers."""

from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.models.transformer import Transformer

__all__ = ["RecurrentSeq2Seq", "Transformer"]
