"""Configuration of a run: model, tokenizer, training and decoding, and its presets."""

from keras_transformer.config.decoding import DecodingConfig
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
    TokenizerConfig,
    TrainingConfig,
    WordVectorsConfig,
    change_decoding,
    config_from_json,
    family_of,
    is_run,
    load_changes,
    preset,
    preset_of_run,
)
