"""COMET by its command: what it is given, what comes back, and what is said when it fails.

The command is a stand-in with the options and the output of `unbabel-comet` 2.2.7, which no
environment can have beside TensorFlow; its score is the share of the reference's words.
"""

import json
import os
import sys

import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.errors import InputError
from keras_transformer.translating.comet import comet_scores

SOURCES = ["um gato dorme .", "", "o homem viu\no cachorro ."]
REFERENCES = ["a cat sleeps .", "the girl reads .", "the man saw the dog ."]
ONE = ["a cat sleeps .", "", "the man\tsaw the dog ."]
OTHER = ["a cat .", "the girl .", "the man ."]

SCRIPT = """#!{python}
import argparse, json, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("-s", "--sources")
parser.add_argument("-t", "--translations", nargs="+")
parser.add_argument("-r", "--references")
parser.add_argument("--gpus", type=int)
parser.add_argument("--quiet", action="store_true")
parser.add_argument("--only_system", action="store_true")
parser.add_argument("--to_json")
parser.add_argument("--model")
given = parser.parse_args()
print("Global seed set to 1")
if given.model == "broken":
    sys.exit("RuntimeError: no such model")
if given.model == "silent":
    sys.exit(0)
assert "PYTHONPATH" not in os.environ
def lines(path):
    return [line.strip() for line in open(path, encoding="utf-8").readlines()]
sources, references, found = lines(given.sources), lines(given.references), {{}}
for path in given.translations:
    rows = []
    for src, mt, ref in zip(sources, lines(path), references, strict=True):
        score = len(set(mt.split()) & set(ref.split())) / len(set(ref.split()))
        rows.append({{"src": src, "mt": mt, "ref": ref, "COMET": score}})
    found[path] = rows
json.dump(found, open(given.to_json, "w"))
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The stand-in, on the path."""
    script = tmp_path / "bin" / "comet-score"
    script.parent.mkdir()
    script.write_text(SCRIPT.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")


def test_each_sentence_of_each_system_has_its_score(command):
    found = comet_scores(SOURCES, {"one": ONE, "other": OTHER}, REFERENCES, "some/model")
    assert found["one"]["sentences"] == [1.0, 0.0, 1.0]
    assert found["one"]["score"] == pytest.approx(2 / 3)
    assert found["other"]["sentences"] == [3 / 4, 3 / 4, 3 / 5]
    assert found["other"]["signature"] == "model:some/model"


@pytest.mark.parametrize(("model", "says"), [("broken", "no such model"), ("silent", "Global")])
def test_what_the_command_says_is_said(command, model, says):
    with pytest.raises(InputError, match=f"gave no scores: .*{says}"):
        comet_scores(SOURCES, {"one": ONE}, REFERENCES, model)


def test_a_missing_checkpoint_is_named(command, tmp_path):
    with pytest.raises(InputError, match=r"none\.ckpt: there is no such checkpoint"):
        comet_scores(SOURCES, {"one": ONE}, REFERENCES, str(tmp_path / "none.ckpt"))


def test_a_missing_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="pipx install unbabel-comet"):
        comet_scores(SOURCES, {"one": ONE}, REFERENCES, "some/model")


@pytest.fixture
def files(tmp_path):
    texts = {"a.pt": ["um gato ."] * 3, "a.en": REFERENCES, "one.txt": OTHER, "other.txt": OTHER}
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("compare", [False, True])
def test_evaluate_adds_it(command, files, compare):
    arguments = ["evaluate", "--model", files / "one.txt"]
    arguments += ["--pairs", f"{files / 'a.pt'},{files / 'a.en'}"]
    arguments += ["--comet", "some/model", "--json", files / "scores.json"]
    if compare:
        arguments += ["--compare", files / "other.txt", "--examples", 0]
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("COMET")]
    assert len(lines) == 1 + compare
    assert lines[0].startswith("COMET            0.7000  model:some/model")
    scores = json.loads((files / "scores.json").read_text())["comet"]
    assert scores[str(files / "one.txt")]["sentences"] == [3 / 4, 3 / 4, 3 / 5]
