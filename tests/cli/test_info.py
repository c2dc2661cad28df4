"""``info`` reads what an export says of itself, and neither its model nor TensorFlow."""

import subprocess
import sys

import pytest

from keras_transformer.exporting.format import write_about
from keras_transformer.files import make_folder, write_json

WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
from keras_transformer.cli import main
main()
"""


def info(folder):
    """The lines that a new process writes, in which TensorFlow cannot be imported."""
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, "info", "--model", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def saved_model(tmp_path):
    folder = tmp_path / "model" / "3"
    make_folder(folder / "assets.extra")
    (folder / "saved_model.pb").write_bytes(b"no model")
    languages = {"source_language": "pt", "target_language": "en"}
    write_about(
        folder,
        **languages,
        max_source_length=77,
        compiled_rows=[1],
        compiled_length=32,
        examples=["O gato."],
    )
    return folder


def test_of_a_saved_model(saved_model):
    done = info(saved_model.parent)
    assert done.returncode == 0, done.stderr
    first, form, *lines = done.stdout.splitlines()
    assert first == f"exported model: {saved_model}"
    assert form == "form: SavedModel, 0.0 MB"
    assert lines == ["languages: pt to en", "max_source_length: 77", "example: O gato."]


def test_of_one_that_says_nothing_of_itself(saved_model):
    (saved_model / "assets.extra" / "keras_transformer.json").unlink()
    done = info(saved_model)
    assert done.stdout.splitlines()[2:] == ["languages: unknown to unknown"]


def test_of_a_model_of_ctranslate2(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"no model")
    write_json(tmp_path / "limits.json", {"max_source_length": 90})
    make_folder(tmp_path / "tokenizers")
    sides = {"source": {"language": "en"}, "target": {"language": "de"}}
    write_json(tmp_path / "tokenizers" / "tokenizers.json", sides)
    assert info(tmp_path).stdout.splitlines()[1:] == [
        "form: CTranslate2, 0.0 MB",
        "languages: en to de",
        "max_source_length: 90",
    ]


def test_of_another_folder_is_one_clear_error(tmp_path):
    done = info(tmp_path)
    assert done.returncode == 1
    assert "is neither a run folder" in done.stderr
    assert "Traceback" not in done.stderr
