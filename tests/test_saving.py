"""A fresh process loads whatever of this package Keras can meet in a file."""

import json
import subprocess
import sys

import keras
import pytest

import keras_transformer as kt

FRESH_PROCESS = """
import importlib, json, pkgutil, sys
import keras
import keras_transformer

load_model = keras_transformer.load_model


def registered():
    names = keras.saving.get_custom_objects()
    return sorted(name for name in names if name.startswith("keras_transformer"))


def below(cls):
    return {cls}.union(*map(below, cls.__subclasses__()))


given = json.load(sys.stdin)
answer = {"by load_model": registered(), "again": {}, "compiled": {}}
for name, config in given["configs"].items():
    again = keras.saving.deserialize_keras_object(config)
    answer["again"][name] = keras.saving.serialize_keras_object(again)
for path in given["files"]:
    try:
        answer["compiled"][path] = load_model(path).get_compile_config()
    except TypeError as error:
        answer["compiled"][path] = str(error)

answer["not imported"] = []
for module in pkgutil.walk_packages(keras_transformer.__path__, "keras_transformer."):
    if module.name != "keras_transformer.__main__":
        try:
            importlib.import_module(module.name)
        except ImportError:  # of an extra that is not installed
            answer["not imported"].append(module.name)
answer["by all modules"] = registered()
bases = (
    keras.Layer,
    keras.Loss,
    keras.Metric,
    keras.Optimizer,
    keras.Initializer,
    keras.constraints.Constraint,
    keras.regularizers.Regularizer,
    keras.optimizers.schedules.LearningRateSchedule,
)
known = set(keras.saving.get_custom_objects().values())
answer["classes without a name"] = sorted(
    cls.__name__
    for base in bases
    for cls in below(base)
    if cls.__module__.startswith("keras_transformer") and not below(cls).intersection(known)
)
print(json.dumps(answer))
"""

SIZES = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 8}
LAYER = {"d_model": 8, "num_heads": 2, "dff": 8}
RECURRENT = {"kind": "gru", "num_layers": 1, "units": 4}
VOCABULARIES = {"input_vocab_size": 9, "target_vocab_size": 9}
ATTENTION = {"num_heads": 2, "key_dim": 4}
ARGUMENTS = {
    "Adam": lambda: {"learning_rate": kt.CustomSchedule(8), "clipnorm": 1.0},
    "AdditiveAttention": {"units": 4},
    "AttentionalVector": {"units": 4},
    "BaseAttention": ATTENTION,
    "Bert": {"vocab_size": 9, **SIZES, "activation": "gelu_tanh"},
    "BertEmbedding": {"vocab_size": 9, "d_model": 8},
    "BertPretraining": lambda: {"bert": kt.Bert(vocab_size=9, **SIZES)},
    "CausalLayer": LAYER,
    "CausalSelfAttention": ATTENTION,
    "CausalStack": {**SIZES, "activation": "gelu_tanh"},
    "ConcatAttention": {"units": 4},
    "CrossAttention": ATTENTION,
    "CustomSchedule": {"d_model": 8, "warmup_steps": 10},
    "Decoder": {**SIZES, "vocab_size": 9},
    "DecoderLayer": LAYER,
    "DotAttention": {"scaled": True},
    "Dropout": {"rate": 0.1},
    "ELMo": {"vocab_size": 9, "units": 4},
    "ElmoClassifier": lambda: {"elmo": kt.ELMo(vocab_size=9, units=4), "num_classes": 2},
    "Encoder": {**SIZES, "vocab_size": 9},
    "EncoderLayer": LAYER,
    "EncoderStack": SIZES,
    "FeedForward": {"d_model": 8, "dff": 8, "activation": "gelu_tanh"},
    "GPT": {"vocab_size": 9, **SIZES},
    "GRUCell": {"units": 4, "reset_after": False},
    "GeneralAttention": {},
    "GlobalSelfAttention": ATTENTION,
    "LSTMCell": {"units": 4},
    "LastTokenReader": lambda: {"gpt": kt.GPT(vocab_size=9, **SIZES)},
    "LayerNormalization": {"epsilon": 1e-3},
    "MaskedAccuracy": {"name": "accuracy"},
    "MaskedCrossentropy": {"label_smoothing": 0.1},
    "MaskedLoss": {"label_smoothing": 0.1, "r_drop": 5.0},
    "MultiHeadAttention": {"d_model": 8, "num_heads": 2},
    "Muon": {"learning_rate": 0.01, "momentum": 0.9, "exclude_layers": ["last"]},
    "OneHot": {"vocab_size": 9},
    "OutputRecurrentCell": {"units": 4, "output_units": 3, "output_activation": "tanh"},
    "PatchEmbedding": {"patch_size": 4, "d_model": 8},
    "PatchPositions": {"grid": (2, 2)},
    "PositionalEmbedding": {"vocab_size": 9, "d_model": 8},
    "RNNCell": {"units": 4},
    "Recurrent": {"kind": "lstm", "units": 4, "bidirectional": True},
    "RecurrentDecoder": {**RECURRENT, "vocab_size": 9, "attention": "general"},
    "RecurrentEncoder": {**RECURRENT, "vocab_size": 9},
    "RecurrentSeq2Seq": {"units": 4, **VOCABULARIES},
    "RecurrentStack": RECURRENT,
    "ScalarMix": {"layer_norm": True},
    "SequenceClassifier": lambda: {"bert": kt.Bert(vocab_size=9, **SIZES), "num_classes": 2},
    "SpanPredictor": lambda: {"bert": kt.Bert(vocab_size=9, **SIZES)},
    "TokenClassifier": lambda: {"bert": kt.Bert(vocab_size=9, **SIZES), "num_classes": 2},
    "Transformer": {**SIZES, **VOCABULARIES},
    "ViT": {**SIZES, "image_size": 8, "patch_size": 4, "num_classes": 2},
    "gelu_tanh": None,  # functions are themselves
    "masked_accuracy": None,
    "masked_loss": None,
}
ARGUMENTS_2019 = {
    "Decoder": {**SIZES, "target_vocab_size": 9},
    "DecoderLayer": LAYER,
    "Encoder": {**SIZES, "input_vocab_size": 9},
    "EncoderLayer": LAYER,
    "Transformer": {**SIZES, **VOCABULARIES},
}
EXAMPLES = {f"keras_transformer>{name}": given for name, given in ARGUMENTS.items()} | {
    f"keras_transformer.edition_2019>{name}": given for name, given in ARGUMENTS_2019.items()
}
"""Arguments that an example of each registered class is made with."""

IN_NO_FILE = {
    "_KeptRows",  # stands on a weight, which saves no constraint
    "_KerasGRU",  # made anew by `Recurrent`, as are its like
    "_KerasLSTM",
}


def example(name):
    made_of, registered = EXAMPLES[name], keras.saving.get_registered_object(name)
    if made_of is None or registered is None:
        return registered
    return registered(**(made_of() if callable(made_of) else made_of))


def compiled_models() -> dict:
    """Models that are compiled with all that this package has for it, by the names of files."""
    names = ("functions", "objects", "muon")
    models = {name: kt.Transformer(**SIZES, **VOCABULARIES) for name in names}
    models["functions"].compile(
        kt.Adam(kt.CustomSchedule(8)), loss=kt.masked_loss, metrics=[kt.masked_accuracy]
    )
    models["objects"].compile(
        kt.Adam(0.01, weight_decay=0.1),
        loss=kt.MaskedLoss(0.1),
        metrics=[kt.MaskedAccuracy(), kt.MaskedCrossentropy(0.1)],
    )
    models["muon"].compile(
        kt.Muon(0.01, exclude_layers=["dense"]), loss=kt.MaskedLoss(0.1, r_drop=5.0)
    )
    return models


def as_json(value):
    return json.loads(json.dumps(value))


@pytest.fixture(scope="module")
def configs():
    assert kt.load_model  # registers
    return {name: as_json(keras.saving.serialize_keras_object(example(name))) for name in EXAMPLES}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The compiled models by their files."""
    folder = tmp_path_factory.mktemp("compiled")
    models = {str(folder / f"{name}.keras"): model for name, model in compiled_models().items()}
    for path, model in models.items():
        model.save(path)
    return models


@pytest.fixture(scope="module")
def found(configs, compiled):
    """What a process found that knows this package by `load_model` alone, and then all of it."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS],
        input=json.dumps({"configs": configs, "files": list(compiled)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_load_model_registers_what_any_module_registers(found):
    """Where this fails, import the module that registers the name in `saving`."""
    assert found["by load_model"] == found["by all modules"]


def test_each_registered_name_has_an_example(found):
    assert found["by all modules"] == sorted(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_fresh_process_makes_the_same_object_of_its_config(found, configs, name):
    assert found["again"][name] == configs[name]


def test_a_fresh_process_loads_models_as_they_were_compiled(found, compiled):
    for path, model in compiled.items():
        assert found["compiled"][path] == as_json(model.get_compile_config())


def test_every_class_of_keras_is_registered(found):
    """Where this fails, register the class, or say above why no file can name it."""
    assert set(found["classes without a name"]) == IN_NO_FILE
