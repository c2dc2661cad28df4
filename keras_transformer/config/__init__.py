"""Configuration of a run: model, tokenizer, training and decoding, and its presets."""

from keras_transformer.config.model import (
    ATTENTIONS,
    FAMILIES,
    LANGUAGE_MODELS,
    RECURRENT,
    BertConfig,
    GPTConfig,
    ModelConfig,
    RecurrentConfig,
)
from keras_transformer.config.run import (
    PRESETS,
    Config,
    DecodingConfig,
    TokenizerConfig,
    TrainingConfig,
    WordVectorsConfig,
    config_from_json,
    load_changes,
    preset,
)

__all__ = [
    "ATTENTIONS",
    "FAMILIES",
    "LANGUAGE_MODELS",
    "PRESETS",
    "RECURRENT",
    "BertConfig",
    "Config",
    "DecodingConfig",
    "GPTConfig",
    "ModelConfig",
    "RecurrentConfig",
    "TokenizerConfig",
    "TrainingConfig",
    "WordVectorsConfig",
    "config_from_json",
    "load_changes",
    "preset",
]
