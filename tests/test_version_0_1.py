"""What version 0.1 wrote works on: runs, exports and ``.keras`` files answer as they did then.

`version_0_1/make.py` wrote the files with the code of that version. They are unpacked for each
session, so nothing here writes to them.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import keras
import pytest
from click.testing import CliRunner
from version_0_1 import questions

import keras_transformer as kt
from keras_transformer.cli import main

HERE = Path(__file__).parent / "version_0_1"
ANSWERS = json.loads((HERE / "answers.json").read_text(encoding="utf-8"))
NEAR = {"rel": 1e-3, "abs": 1e-4}
"""How far processors may differ."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder of version 0.1's files; tests must not write into it."""
    folder = tmp_path_factory.mktemp("version_0_1")
    with tarfile.open(HERE / "files.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(autouse=True)
def in_folder(files, monkeypatch):
    """The corpus of the runs is named as it was when they began."""
    monkeypatch.chdir(files)


def assert_same(found, expected):
    """The same structure and texts, and numbers that are near enough."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        near = isinstance(expected, float)
        if isinstance(expected, str):  # human style has had capitals since
            found, expected = found.lower(), expected.lower()
        assert found == (pytest.approx(expected, **NEAR) if near else expected)


@pytest.mark.parametrize("name", sorted(ANSWERS["translators"]))
def test_a_translator_says_what_it_said(files, name):
    if name == "ctranslate2":
        pytest.importorskip("ctranslate2")
    assert_same(questions.ask_translator(files / name), ANSWERS["translators"][name])


def test_a_generator_goes_on_as_it_did(files):
    assert_same(questions.ask_generator(files / "runs/gpt"), ANSWERS["generator"])


@pytest.mark.parametrize("name", sorted(ANSWERS["tokenizers"]))
def test_tokenizers_give_the_same_tokens(files, name):
    found = questions.ask_tokenizers(files / "runs" / name / "tokenizers")
    assert_same(found, ANSWERS["tokenizers"][name])


@pytest.mark.parametrize("name", sorted(ANSWERS["language_models"]))
def test_a_language_model_scores_as_it_did(files, name, tmp_path):
    command = ["evaluate", "--model", f"runs/{name}", "--dataset", f"pairs:{questions.PAIRS}"]
    command += ["--split", "validation", "--json", str(tmp_path / "scores.json")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "scores.json").read_text())
    assert_same(found, ANSWERS["language_models"][name])


def test_the_command_line_translates_with_a_run_in_a_fresh_process(files):
    command = [sys.executable, "-m", "keras_transformer", "translate", "--json"]
    done = subprocess.run(
        [*command, "--model", files / "runs/transformer", *questions.SOURCES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = ANSWERS["translators"]["runs/transformer"]["greedy"]
    assert_same(
        [{"text": one["text"], "score": one["normalized_score"]} for one in found], expected
    )


@pytest.mark.parametrize(("name", "limits"), [("unfinished", {}), ("gpt", {"epochs": 16})])
def test_a_run_is_resumed_and_ends_as_it_would_have(files, name, limits, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(files / "runs" / name, folder)
    metrics, expected = questions.resume(folder, **limits), ANSWERS["resumed"][name]
    assert_same({**metrics, "seconds": expected["seconds"]}, expected)
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    with (folder / "training_log.csv").open() as log:
        epochs = [line["epoch"] for line in csv.DictReader(log)]
    assert epochs == [str(epoch) for epoch in range(1, limits.get("epochs", 2) + 1)]


@pytest.fixture(scope="module")
def of_models(files):
    """What a fresh process answers that loads the ``.keras`` files."""
    done = subprocess.run(
        [sys.executable, questions.__file__, files / "models"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_are_answers_to_every_file_of_keras(files):
    assert {path.stem for path in files.glob("models/*")} == ANSWERS["models"].keys()


@pytest.mark.parametrize("name", sorted(ANSWERS["models"]))
def test_a_fresh_process_loads_a_file_of_keras(of_models, name):
    assert_same(of_models[name], ANSWERS["models"][name])


def test_every_name_in_files_of_keras_is_known():
    assert kt.load_model  # registers
    assert set(ANSWERS["registered"]) <= set(keras.saving.get_custom_objects())
