"""Trained models in other forms."""

from keras_transformer.exporting.ctranslate2 import export_ctranslate2
from keras_transformer.exporting.saved_model import export
from keras_transformer.exporting.stablehlo import export_stablehlo
from keras_transformer.translating.ctranslate2_translator import CTranslate2Translator

__all__ = ["CTranslate2Translator", "export", "export_ctranslate2", "export_stablehlo"]
