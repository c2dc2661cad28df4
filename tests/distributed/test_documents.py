"""What docs/scale.md shows of Beam runs."""

import os
import shlex

import documentation_blocks as documents
import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main

pytestmark = pytest.mark.usefixtures("unwatched")


def blocks(language):
    found = documents.all_blocks(language)
    return [
        one for one in found if (one.document, one.section) == ("docs/scale.md", "Many machines")
    ]


@pytest.fixture
def place(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("runs")
    os.symlink(tiny_run.folder, "runs/pt_en")
    os.mkdir("texts")
    return tmp_path


def test_the_pipeline(place, capfd):
    (block,) = blocks("python")
    exec(compile(block.text, str(block), "exec"), {})
    keys = {line[2] for line in capfd.readouterr().out.splitlines() if line.startswith("('")}
    assert keys == {"a", "b"}


def test_the_command(place):
    (place / "texts" / "a.pt").write_text("o gato dorme .\nbom dia !\n")
    command, *_ = blocks("sh")
    words = shlex.split(command.text.replace("\\\n", " ").replace(".pt.gz", ".pt"))
    # In this process, whose programs are compiled already.
    words = [word for word in words if "direct_" not in word and word != "--runner-option"]
    done = CliRunner().invoke(main, words[1:])
    assert done.exit_code == 0, done.output
    assert len((place / "translated" / "en-00000-000000.txt").read_text().splitlines()) == 2
