"""The model of a configuration is the model that its constructor makes."""

import inspect

import numpy as np
import pytest

from keras_transformer.config import Config, preset
from keras_transformer.config.model import (
    ATTENTIONS,
    RECURRENT,
    BertConfig,
    GPTConfig,
    ModelConfig,
    RecurrentConfig,
)
from keras_transformer.models.bert import Bert
from keras_transformer.models.bert_pretraining import BertPretraining
from keras_transformer.models.families import make_model
from keras_transformer.models.gpt import GPT
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.models.transformer import Transformer

VOCABULARIES = {"input_vocab_size": 13, "target_vocab_size": 11}
SOURCE, TARGET = np.array([[2, 5, 6, 3]]), np.array([[2, 5, 6]])


def test_a_transformer_is_made_as_its_constructor_makes_it():
    shape = ModelConfig(num_layers=1, d_model=8, num_heads=2, dff=16, positions="rotary")
    model = make_model(shape, **VOCABULARIES, dtype="mixed_bfloat16")
    assert type(model) is Transformer
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert model.get_config()["positions"] == "rotary"


@pytest.mark.parametrize("family", RECURRENT)
def test_every_value_reaches_a_recurrent_model(family):
    values = {
        "units": 6,
        "num_layers": 2,
        "embedding_size": 5,
        "bidirectional": False,
        "attention": "concat",
        "attention_units": 7,
        "input_feeding": True,
        "skip_connections": True,
        "dropout_rate": 0.3,
        "scheduled_sampling": 0.2,
        "max_length": 99,
    }
    model = make_model(RecurrentConfig(family=family, **values), **VOCABULARIES)
    assert type(model) is RecurrentSeq2Seq
    assert model.get_config().items() >= {"kind": family, **values}.items()
    assert model((SOURCE, TARGET)).shape == (1, 3, 11)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_attention_of_the_command_line_makes_a_model(name):
    shape = RecurrentConfig(units=6, embedding_size=4, **ATTENTIONS[name])
    model = make_model(shape, **VOCABULARIES)
    assert model((SOURCE, TARGET)).shape == (1, 3, 11)
    assert (model.get_config()["attention"] is None) == (name == "none")


def test_a_context_for_every_step_reaches_the_model():
    shape = RecurrentConfig(units=6, attention="none", context="every_step")
    assert make_model(shape, **VOCABULARIES).get_config()["context"] == "every_step"


def test_every_value_reaches_a_gpt():
    values = {
        "num_layers": 2,
        "d_model": 8,
        "num_heads": 2,
        "dff": 12,
        "max_length": 9,
        "positions": "rotary",
        "dropout_rate": 0.3,
        "attention_dropout_rate": 0.2,
        "residual_dropout_rate": 0.1,
        "norm_first": False,
        "layer_norm_epsilon": 1e-4,
        "tie_output": False,
        "attention_implementation": "blockwise",
    }
    model = make_model(GPTConfig(**values, activation="relu"), **VOCABULARIES)
    assert type(model) is GPT
    assert model.get_config().items() >= values.items()
    assert model.get_config()["activation"] == "relu"
    assert model(TARGET).shape == (1, 3, 11)


def test_every_value_reaches_a_bert_which_has_a_token_more_for_the_mask():
    values = {
        "num_layers": 2,
        "d_model": 8,
        "num_heads": 2,
        "dff": 12,
        "max_length": 9,
        "embedding_size": 4,
        "share_layers": True,
        "dropout_rate": 0.3,
        "attention_dropout_rate": 0.2,
        "layer_norm_epsilon": 1e-4,
        "attention_implementation": "blockwise",
    }
    model = make_model(BertConfig(**values, activation="relu"), **VOCABULARIES)
    assert type(model) is BertPretraining
    assert model.bert.get_config().items() >= values.items()
    assert model(TARGET)["tokens"].shape == (1, 3, 12)


def test_shared_and_tied_embeddings_reach_the_model():
    changes = {
        "model": {
            "family": "gru",
            "units": 6,
            "embedding_size": None,
            "share_embeddings": True,
            "tie_output": True,
        },
        "tokenizer": {"shared": True},
    }
    shape = Config().replace(changes).model
    model = make_model(shape, input_vocab_size=11, target_vocab_size=11)
    assert model.encoder.embedding is model.decoder.embedding
    assert model.final_layer is None


SIZES = "the class has the published size, a configuration one to train on two cores"
TUTORIAL = "the tutorial gives them to the constructor; a configuration has the tutorial's values"
DIFFERENT_DEFAULTS = {
    (ModelConfig, Transformer): {
        **dict.fromkeys(("num_layers", "d_model", "num_heads", "dff"), TUTORIAL),
        "right_padded": "batches of `train` are padded at the end; whoever calls the class may pad "
        "anywhere",
    },
    (RecurrentConfig, RecurrentSeq2Seq): {
        "units": TUTORIAL,
        "embedding_size": "a configuration has about the parameters of the tutorial's Transformer",
        "attention": "the class has Bahdanau's, which came first; a configuration Luong's, which "
        "learns more in the same time (benchmarks/README.md)",
    },
    (GPTConfig, GPT): dict.fromkeys(("num_layers", "d_model", "num_heads", "max_length"), SIZES),
    (BertConfig, Bert): dict.fromkeys(("num_layers", "d_model", "num_heads", "dff"), SIZES),
}
"""Why a value that nobody gives differs between a configuration and the class of its models."""


@pytest.mark.parametrize(("config", "model"), DIFFERENT_DEFAULTS)
def test_defaults_of_configuration_and_class_differ_for_a_reason(config, model):
    parameters = inspect.signature(model).parameters
    fields = {name: field.default for name, field in config.__pydantic_fields__.items()}
    del fields["family"]  # which is the class, or an argument of another name
    different = {name for name, default in fields.items() if parameters[name].default != default}
    assert different == DIFFERENT_DEFAULTS[config, model].keys()


@pytest.mark.parametrize("family", RECURRENT)
def test_the_quick_models_are_about_as_large(family):
    """Within a half of the Transformer's parameters, whatever the cell."""
    sizes = {"input_vocab_size": 1700, "target_vocab_size": 1100}
    transformer = make_model(preset("quick").model, **sizes).count_params()
    recurrent = make_model(preset("quick", family).model, **sizes).count_params()
    assert 0.5 * transformer < recurrent < 1.5 * transformer
