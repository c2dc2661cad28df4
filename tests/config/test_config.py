"""Configurations refuse what cannot work, and survive being written down."""

import dataclasses
import importlib.resources
import json

import pytest
import yaml

from keras_transformer.config import (
    PRESETS,
    Config,
    ModelConfig,
    config_from_json,
    load_changes,
    preset,
    preset_of_run,
)
from keras_transformer.config.model import FAMILIES, RecurrentConfig
from keras_transformer.errors import InputError


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name, family, tmp_path):
    file, config = tmp_path / "config.json", preset(name, family)
    assert config.model.family == family
    file.write_text(json.dumps({"config": config.to_dict()}))
    assert config_from_json(file) == config
    assert Config().replace(config.to_dict()) == config


def test_the_tutorial_preset_is_the_tutorials_model():
    model = preset("tutorial").model
    assert (model.num_layers, model.d_model, model.dff, model.num_heads) == (4, 128, 512, 8)
    assert model.dropout_rate == 0.1
    assert not model.norm_first


def test_base_and_big_are_the_papers_models():
    base, big = preset("base").model, preset("big").model
    assert (base.num_layers, base.d_model, base.dff, base.num_heads) == (6, 512, 2048, 8)
    assert (big.num_layers, big.d_model, big.dff, big.num_heads) == (6, 1024, 4096, 16)
    assert (base.dropout_rate, big.dropout_rate) == (0.1, 0.3)


def test_replace_changes_what_is_named_and_nothing_else():
    changed = Config().replace({"model": {"num_layers": 2}})
    assert changed.model.num_layers == 2
    assert changed.model.d_model == Config().model.d_model
    assert changed.training == Config().training


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": {"num_layers": 0}}, "model.num_layers"),
        ({"model": {"layers": 2}}, "model.layers"),
        ({"model": {"d_model": 100}}, "model.d_model (100)"),
        ({"model": {"positions": "absolute"}}, "model.positions"),
        ({"model": {"dropout_rate": 1.0}}, "model.dropout_rate"),
        ({"model": 3}, "model"),
        ({"training": {"dtype": "float8"}}, "training.dtype"),
        ({"training": {"max_tokens": 2}}, "training.max_tokens"),
        ({"training": {"batch_tokens": 2**31}}, "training.batch_tokens"),
        ({"training": {"clip_norm": 1e300}}, "training.clip_norm"),
        ({"decoding": {"max_length": 10**30}}, "decoding.max_length"),
        ({"decoding": {"min_length": 2**31}}, "decoding.min_length"),
        ({"decoding": {"beam_size": 1025}}, "decoding.beam_size"),
        ({"decoding": {"length_penalty": 11}}, "decoding.length_penalty"),
        ({"decoding": {"length_ratio": 1e-320}}, "decoding.length_ratio"),
        ({"decoding": {"sampling": True, "temperature": 1e9}}, "decoding.temperature"),
        ({"model": {"share_embeddings": True}}, "tokenizer.shared"),
        ({"tokenizer": {"placeholders": 0}, "decoding": {"keep": ["a"]}}, "decoding.keep"),
        ({"model": {"family": "cnn"}}, "transformer, rnn, lstm, gru"),
        ({"model": {"family": "gru", "d_model": 8}}, "model.d_model"),
        ({"model": {"units": 8}}, "model.units"),
        ({"model": {"family": "gru", "units": 0}}, "model.units"),
        ({"model": {"family": "gru", "scheduled_sampling": 1}}, "model.scheduled_sampling"),
        ({"model": {"family": "gru", "attention": "bahdanau"}}, "model.attention"),
        ({"model": {"family": "gru", "attention": "dot"}}, "model.bidirectional to false"),
        ({"model": {"family": "gru", "context": "every_step"}}, "model.attention to none"),
        (
            {"model": {"family": "gru", "input_feeding": True, "attention": "additive"}},
            "model.input_feeding",
        ),
        ({"model": {"family": "gru", "tie_output": True}}, "model.embedding_size to null"),
        ({"training": {"r_drop": -1}}, "training.r_drop"),
        ({"training": {"r_drop": 5}, "model": {"dropout_rate": 0}}, "model.dropout_rate above 0"),
        (
            {"training": {"r_drop": 5}, "model": {"family": "gpt"}, "tokenizer": {"shared": True}},
            "training.r_drop is for models that translate",
        ),
        ({"model": {"family": "gru", "share_embeddings": True}}, "tokenizer.shared"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(changes, named):
    with pytest.raises(InputError) as error:
        Config().replace(changes, "my.yaml")
    assert str(error.value).startswith("my.yaml: ")
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        "a: 2001-99-99",
        "a: !!timestamp 1",
        "training: {seed: " + "9" * 6000 + "}",
        "[" * 5000,
        "a: &a [*a",
        "model: !!python/object:os.system {}",
    ],
    ids=["no date", "no time", "no number", "too deep", "no end", "no value"],
)
def test_what_is_no_yaml_is_one_line_that_names_the_file(content, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(content)
    for read in (load_changes, config_from_json):
        with pytest.raises(InputError, match=r"my\.yaml") as error:
            read(file)
        assert len(str(error.value).splitlines()) == 1


def test_a_configuration_without_a_family_is_of_a_transformer(tmp_path):
    values = Config().replace({"model": {"num_layers": 2}}).to_dict()
    del values["model"]["family"]
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"config": values}))
    assert config_from_json(file).model == ModelConfig(num_layers=2)


def test_another_family_begins_from_its_own_defaults():
    small = Config().replace({"model": {"num_layers": 2, "d_model": 64}})
    assert small.replace({"model": {"family": "transformer"}}) == small
    recurrent = small.replace({"model": {"family": "lstm", "units": 32}})
    assert recurrent.model == RecurrentConfig(family="lstm", units=32)
    assert recurrent.training == small.training
    assert recurrent.replace({"model": {"num_layers": 3}}).model == RecurrentConfig(
        family="lstm", units=32, num_layers=3
    )
    assert recurrent.replace({"model": {"family": "transformer"}}).model == ModelConfig()


def test_key_dim_lifts_the_need_for_a_multiple():
    assert ModelConfig(d_model=100, num_heads=8, key_dim=16).key_dim == 16


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(InputError, match="tutorial, small, fast, base, big, quick"):
        preset("huge")


def test_changes_are_read_from_yaml_and_json(tmp_path):
    (tmp_path / "a.yaml").write_text("model: {num_layers: 2}\n")
    (tmp_path / "a.json").write_text('{"model": {"num_layers": 2}}')
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_changes(tmp_path / "a.yaml") == {"model": {"num_layers": 2}}
    assert load_changes(tmp_path / "a.json") == {"model": {"num_layers": 2}}
    assert load_changes(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize("content", [b"model: [", b"just text", b"\xff\xfe\x00"])
def test_a_file_that_is_no_configuration_is_named(tmp_path, content):
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"wrong\.yaml"):
        load_changes(file)
    with pytest.raises(InputError, match=r"missing\.yaml"):
        load_changes(tmp_path / "missing.yaml")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"config": {"model": {"num_layers": -1}}}'])
def test_a_damaged_run_configuration_is_named(tmp_path, content):
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(InputError, match=r"config\.json"):
        config_from_json(file)


def test_the_preset_of_a_run_follows_from_corpus_and_family():
    assert preset_of_run("sample", {}) == preset("quick")
    assert preset_of_run("pairs:a,b", {}) == preset("small")
    gru = {"model": {"family": "gru"}}
    assert preset_of_run("sample", gru, "base") == preset("base", "gru")
    # What is wrong with a family is said by whoever applies the changes.
    assert preset_of_run("sample", {"model": {"family": "cnn"}}) == preset("quick")
    assert preset_of_run("sample", {"model": None}) == preset("quick")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_file_has_sections_and_kinds_of_models_alone(name):
    file = importlib.resources.files("keras_transformer.config") / "presets" / f"{name}.yaml"
    sections = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    kinds = {"transformer", "recurrent", "language_model"}
    assert sections.keys() <= {field.name for field in dataclasses.fields(Config)} | kinds
