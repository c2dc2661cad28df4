"""Runs of models that learn the text of one language, from the command line."""

import functools
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.errors import InputError
from keras_transformer.models.runs import load_run
from keras_transformer.training.run import train
from keras_transformer.training.tasks import score_text
from keras_transformer.translating.generator import Generator
from keras_transformer.translating.translator import Translator

TEXT = [
    f"{who} {does} {what} ."
    for who in ("the cat", "a dog", "my owl", "your fox")
    for does in ("sees", "hears", "likes")
    for what in ("a bee", "the ant", "some fish")
]
SHAPE = """
model: {num_layers: 1, d_model: 32, num_heads: 2, dff: 32, max_length: 32}
tokenizer: {vocab_size: 80}
training: {batch_tokens: 64, max_tokens: 33, warmup_steps: 4, learning_rate: 0.01,
           schedule: inverse_sqrt, dtype: float32}
"""


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "train.txt").write_text("\n".join(TEXT))
    (folder / "valid.txt").write_text("\n".join(TEXT[::5]))
    (folder / "shape.yaml").write_text(SHAPE)
    return folder


def train_arguments(files, family, output, *limits):
    corpus = f"text:{files / 'train.txt'},{files / 'valid.txt'}"
    return (
        *("train", "--dataset", corpus, "--model", family, "--config", files / "shape.yaml"),
        *("--output", output, *limits),
    )


@pytest.fixture(scope="module")
def gpt_run(files):
    run(*train_arguments(files, "gpt", files / "gpt", "--epochs", 8))
    return files / "gpt"


@pytest.fixture(scope="module")
def bert_run(files):
    run(*train_arguments(files, "bert", files / "bert", "--epochs", 2))
    return files / "bert"


def test_a_gpt_learns_the_text_and_goes_on_with_it(gpt_run, monkeypatch):
    monkeypatch.setattr(Generator, "load", functools.cache(Generator.load))  # traced once
    metrics = json.loads((gpt_run / "metrics.json").read_text())
    assert metrics["validation_perplexity"] < 6
    assert metrics["train_texts"] == len(TEXT)
    (line,) = run("generate", "--model", gpt_run, "the cat").splitlines()
    assert line in {text.replace(" .", ".") for text in TEXT}
    several = run("generate", "--model", gpt_run, "a dog", "--beam-size", 3, "--n-best", 2)
    assert [text.split(" ||| ")[0] for text in several.splitlines()] == ["0", "0"]
    answer = json.loads(run("generate", "--model", gpt_run, "--json", "my owl"))
    assert answer["text"].startswith("my owl")
    assert answer["score"] < 0


@pytest.mark.parametrize("family", ["gpt", "bert"])
def test_what_is_evaluated_is_what_training_measured(family, files, request):
    folder = request.getfixturevalue(f"{family}_run")
    metrics = json.loads((folder / "metrics.json").read_text())
    corpus = f"text:{files / 'train.txt'},{files / 'valid.txt'}"
    scores = files / f"{family}.json"
    output = run(
        *("evaluate", "--model", folder, "--dataset", corpus, "--split", "validation"),
        *("--json", scores),
    )
    found = json.loads(scores.read_text())
    assert found["loss"] == pytest.approx(metrics["validation_loss"], rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert f"{found['perplexity']:.2f}" in output
    assert "language: text" in run("info", "--model", folder)


def test_a_mask_has_an_id_of_its_own(bert_run):
    found = load_run(bert_run)
    assert found.model.bert.vocab_size == int(found.tokenizers.target.get_vocab_size()) + 1


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt", "bert"])
def test_a_resumed_run_ends_with_the_same_weights(family, files, tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    run(*train_arguments(files, family, once, "--max-steps", 5))
    run(*train_arguments(files, family, twice, "--max-steps", 2))
    run(*train_arguments(files, family, twice, "--max-steps", 5, "--resume"))
    weights = [load_run(folder).model.get_weights() for folder in (once, twice)]
    for expected, found in zip(*weights, strict=True):
        np.testing.assert_array_equal(expected, found)


def test_a_language_model_does_not_translate_and_bert_does_not_go_on(gpt_run, bert_run):
    assert "use generate" in run("translate", "--model", gpt_run, "x", code=1)
    assert "--model gpt" in run("generate", "--model", bert_run, "x", code=1)
    with pytest.raises(InputError, match="use generate"):
        Translator.load(bert_run)
    with pytest.raises(InputError, match=r"no config\.json"):
        Generator.load(gpt_run.parent / "nowhere")


def test_a_model_that_translates_refuses_one_language_and_writes_nothing(files, tmp_path):
    output = run(
        *("train", "--dataset", f"text:{files / 'train.txt'}", "--output", tmp_path / "run"),
        code=1,
    )
    assert "--model gpt" in output
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_a_language_model_learns_the_targets_of_pairs(tiny_corpus, files, tmp_path):
    from keras_transformer.config import load_changes, preset

    config = preset("quick", "gpt").replace(load_changes(files / "shape.yaml"))
    found = train(tiny_corpus, tmp_path / "run", config.replace({"training": {"max_steps": 2}}))
    assert found.translator.generate([""])[0].text is not None
    scores = score_text(load_run(tmp_path / "run"), tiny_corpus, "validation")
    assert scores["texts"] + scores["dropped_texts"] == len(list(tiny_corpus.validation))


def test_what_is_of_translating_alone_is_refused(files, tmp_path):
    for values, problem in (
        ("word_vectors: {target: x.vec}", "word_vectors"),
        ("training: {select_by: bleu}", "select_by"),
        ("training: {max_tokens: 600}", "max_tokens"),
        ("tokenizer: {shared: false}", "shared"),
        ("model: {num_heads: 3}", "num_heads"),
    ):
        config = tmp_path / "config.yaml"
        config.write_text(values)
        output = run(
            *("train", "--dataset", f"text:{files / 'train.txt'}", "--model", "gpt"),
            *("--config", config, "--output", tmp_path / "run"),
            code=1,
        )
        assert problem in output, values


def test_a_search_or_pairs_do_not_score_a_language_model(gpt_run):
    run("evaluate", "--model", gpt_run, "--pairs", "a,b", code=2)
