"""Trained models in other forms."""

from keras_transformer.exporting.saved_model import export

__all__ = ["export"]
