"""What every command does with a Transformer's run it does with that of a recurrent model."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.config import Config, config_from_json
from keras_transformer.errors import InputError
from keras_transformer.exporting import export, export_ctranslate2, export_stablehlo
from keras_transformer.training.run import train
from keras_transformer.translating.translator import Translator

LINES = ["o gato dorme .", "", "a menina lê o livro ."]
RECIPE = {
    "model": {"units": 16, "embedding_size": 8, "dropout_rate": 0.2, "max_length": 96},
    "tokenizer": {"vocab_size": 300},
    "training": {
        "epochs": None,
        "max_steps": 4,
        "batch_tokens": 512,
        "warmup_steps": 4,
        "label_smoothing": 0.1,
        "average_decay": 0.9,
        "clip_norm": 1.0,
        "bleu_sentences": 0,
    },
    "decoding": {"max_length": 12},
}

STRANGER = """
import json, sys
import tensorflow as tf, tensorflow_text
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answer = signature(text=tf.constant(json.load(sys.stdin)))
assert not any(name.startswith("keras_transformer") for name in sys.modules)
print(json.dumps([text.decode() for text in answer["translation"].numpy()]))
"""


def recipe(family, **values):
    return Config().replace(RECIPE | {"model": {"family": family, **RECIPE["model"], **values}})


def command(*arguments, **options):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


@pytest.fixture(scope="module")
def attentive(tiny_corpus, tmp_path_factory):
    """A run with attention before the recurrence and a share of the model's own tokens."""
    config = recipe("gru", attention="additive", scheduled_sampling=0.2)
    return train(tiny_corpus, tmp_path_factory.mktemp("runs") / "attentive", config)


@pytest.fixture(scope="module")
def plain(tiny_corpus, tmp_path_factory):
    """A run without attention."""
    config = recipe("lstm", attention="none").replace({"training": {"max_steps": 1}})
    return train(tiny_corpus, tmp_path_factory.mktemp("runs") / "plain", config)


@pytest.fixture(scope="module")
def exported(attentive, tmp_path_factory):
    return export(attentive.translator, tmp_path_factory.mktemp("m") / "gru", compiled=False)


@pytest.mark.parametrize(
    ("name", "options"),
    [("attentive", {"beam_size": 3}), pytest.param("plain", {}, marks=pytest.mark.slow)],
)
def test_a_run_loads_as_the_translator_that_was_trained(name, options, request):
    run = request.getfixturevalue(name)
    loaded = Translator.load(run.folder)
    live, again = (one.translate(LINES, **options) for one in (run.translator, loaded))
    assert [one.text for one in live] == [one.text for one in again]
    assert [one.score for one in live] == pytest.approx([one.score for one in again], abs=1e-4)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_weights(attentive, tiny_corpus, tmp_path):
    """Dropout, scheduled sampling and the moving average follow from step and checkpoint."""
    config = config_from_json(attentive.folder / "config.json")
    train(tiny_corpus, tmp_path / "run", config.replace({"training": {"max_steps": 2}}))
    resumed = train(tiny_corpus, tmp_path / "run", config, resume=True)
    assert resumed.metrics["steps"] == 4
    whole, parts = (run.translator.transformer.get_weights() for run in (attentive, resumed))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_a_run_goes_on_with_its_own_family_alone(plain, tiny_corpus):
    gru = recipe("gru", attention="none").replace({"training": {"max_steps": 1}})
    for config, named in ((gru, "gru"), (Config(), "transformer")):
        with pytest.raises(InputError, match=f"began with model.family = lstm, not {named}"):
            train(tiny_corpus, plain.folder, config, resume=True)


@pytest.fixture
def asked_for(monkeypatch, tmp_path):
    """The configuration that a command line would train."""
    asked = []
    monkeypatch.setattr(
        "keras_transformer.training.run.train",
        lambda corpus, output, config, **_: asked.append(config),
    )

    def configuration(*arguments, file=None):
        if file is not None:
            (tmp_path / "my.yaml").write_text(json.dumps(file))
            arguments = (*arguments, "--config", tmp_path / "my.yaml")
        answer = command("train", "--dataset", "sample", "--output", tmp_path / "run", *arguments)
        assert answer.exit_code == 0, answer.output
        return asked[-1]

    return configuration


@pytest.mark.parametrize(
    ("arguments", "file", "expected"),
    [
        ([], None, {"family": "transformer", "d_model": 128}),
        (["--model", "gru"], None, {"family": "gru", "attention": "general"}),
        (["--model", "lstm", "--attention", "bahdanau"], None, {"attention": "additive"}),
        (["--model", "gru", "--attention", "none"], None, {"attention": "none"}),
        (["--model", "rnn", "--attention", "dot"], None, {"bidirectional": False}),
        (["--attention", "luong"], {"model": {"family": "lstm"}}, {"family": "lstm"}),
        ([], {"model": {"family": "rnn", "units": 8}}, {"family": "rnn", "units": 8}),
        (
            ["--model", "gru"],
            {"model": {"family": "rnn", "units": 8}},
            {"family": "gru", "units": 8},
        ),
        (["--model", "gru", "--preset", "base"], {"tokenizer": {"shared": True}}, {"units": 512}),
    ],
)
def test_the_command_line_chooses_family_and_attention(arguments, file, expected, asked_for):
    config = asked_for(*arguments, file=file)
    assert config.to_dict()["model"].items() >= expected.items()
    assert (config.training.clip_norm is None) == (config.model.family == "transformer")


def test_the_command_line_goes_on_with_the_family_of_the_run(plain, asked_for, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes((plain.folder / "config.json").read_bytes())
    assert asked_for("--resume", "--max-steps", 9).model == plain_shape()
    same = asked_for("--resume", "--model", "lstm", "--attention", "none", "--max-steps", 9)
    assert same.model == plain_shape()


def plain_shape():
    return recipe("lstm", attention="none").model


@pytest.mark.parametrize("more", [[], ["--model", "transformer"]])
def test_attention_is_of_recurrent_models(more, tmp_path):
    answer = command(
        *("train", "--dataset", "sample", "--output", tmp_path / "run", "--attention", "luong"),
        *more,
    )
    assert answer.exit_code == 2
    assert "--model rnn, lstm or gru" in answer.stderr


@pytest.fixture
def loaded_once(attentive, monkeypatch):
    """Commands take the translator that is there, whose search is traced already."""
    load = Translator.load

    def load_once(path, **options):
        return attentive.translator if path == attentive.folder else load(path, **options)

    monkeypatch.setattr(Translator, "load", load_once)


@pytest.mark.usefixtures("loaded_once")
def test_info_translate_and_evaluate_know_the_run(attentive, tmp_path):
    answer = command("info", "--model", attentive.folder)
    assert f"parameters: {attentive.metrics['parameters']:,}" in answer.stdout
    assert "model: family=gru, units=16" in answer.stdout
    lines = command("translate", "--model", attentive.folder, *LINES)
    assert lines.exit_code == 0, lines.output
    assert lines.stdout.count("\n") == 3
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("o gato dorme .\tthe cat sleeps .\n", encoding="utf-8")
    scored = command("evaluate", "--model", attentive.folder, "--pairs", pairs)
    assert scored.exit_code == 0, scored.output
    assert "1 sentences" in scored.stdout


@pytest.mark.usefixtures("loaded_once")
def test_attention_is_drawn_where_there_is_one(attentive, plain, tmp_path):
    picture = tmp_path / "a.png"
    arguments = ("--output", picture, "a menina lê o livro .")
    drawn = command("plot", "--model", attentive.folder, *arguments)
    assert drawn.exit_code == 0, drawn.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.unlink()
    refused = command("plot", "--model", plain.folder, *arguments)
    assert refused.exit_code == 1
    assert "--attention luong or bahdanau" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not picture.exists()


def test_the_weights_of_attention_have_one_head_and_sum_to_one(attentive):
    found = attentive.translator.translate(LINES, attention=True)[2]
    assert found.attention.shape == (1, len(found.tokens) - 1, len(found.source_tokens))
    np.testing.assert_allclose(found.attention.sum(-1), 1, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_an_export_answers_as_the_live_model(attentive, exported):
    loaded = Translator.load(exported)
    for options in ({}, {"beam_size": 3}):
        live = attentive.translator.translate(LINES, **options)
        again = loaded.translate(LINES, **options)
        assert [one.text for one in live] == [one.text for one in again]
    live, again = (t.translate(LINES, attention=True)[0] for t in (attentive.translator, loaded))
    np.testing.assert_allclose(live.attention, again.attention, rtol=0, atol=1e-5)
    card = (exported / "README.md").read_text()
    assert "A recurrent model (GRU, additive attention) exported" in card


@pytest.mark.slow
def test_an_export_needs_nothing_of_this_package(attentive, exported, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(exported)],
        input=json.dumps(LINES),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = [translation.text for translation in attentive.translator.translate(LINES)]
    assert json.loads(done.stdout) == expected


@pytest.mark.slow
def test_a_model_without_attention_is_exported_in_half_precision(plain, tmp_path):
    folder = export(plain.translator, tmp_path / "m", compiled=False, weights="float16")
    found = Translator.load(folder).translate(LINES)
    assert len(found) == 3
    assert found[1].text == ""
    assert "A recurrent model (LSTM, without attention)" in (folder / "README.md").read_text()


@pytest.mark.parametrize("form", [export_ctranslate2, export_stablehlo])
def test_engines_of_transformers_name_the_export_that_there_is(form, attentive, tmp_path):
    with pytest.raises(InputError, match=r"has no .* form: .*--format saved_model"):
        form(attentive.translator, tmp_path / "m")
    assert not list(tmp_path.iterdir())
