"""What writers and readers of exports agree on."""

import json
import subprocess
import sys

import pytest

from keras_transformer.exporting.format import (
    ABOUT_FILE,
    EXTRA_FOLDER,
    find_version,
    read_about,
    translation_title,
    version_folders,
    write_about,
    xla_name,
)


def test_importing_it_imports_no_tensorflow():
    code = (
        "import sys, keras_transformer.exporting.format;"
        "sys.exit('tensorflow' in sys.modules or 'keras_transformer.translating' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("signature", "compiled"),
    [("serving_default", "serving_xla"), ("corpus_style", "corpus_style_xla")],
)
def test_names_of_compiled_signatures(signature, compiled):
    assert xla_name(signature) == compiled


def test_a_title_names_the_languages_that_are_known():
    assert translation_title("pt", "en") == "Translation from pt to en"
    assert translation_title("unknown", "en") == "Translation to en"
    assert translation_title("unknown", "unknown") == "Translation"


def test_what_is_written_is_read(tmp_path):
    (tmp_path / EXTRA_FOLDER).mkdir()
    about = {"source_language": "pt", "target_language": "en", "max_source_length": 9}
    write_about(tmp_path, **about, compiled_rows=(1, 2), compiled_length=8)
    sizes = {"compiled_rows": (1, 2), "compiled_length": 8}
    assert read_about(tmp_path) == about | sizes


@pytest.mark.parametrize("content", [None, "broken", "[]", "{}", json.dumps({"compiled_rows": []})])
def test_an_export_that_names_no_sizes_has_those_of_version_0_1(content, tmp_path):
    (tmp_path / EXTRA_FOLDER).mkdir()
    if content is not None:
        (tmp_path / ABOUT_FILE).write_text(content)
    sizes = {"compiled_rows": (1, 4, 16, 64, 256), "compiled_length": 32}
    assert read_about(tmp_path) == sizes


def test_the_highest_version_that_has_the_file_is_found(tmp_path):
    for name in ("1", "2", "10", "11", "other", "\u0663", str(2**63), "9" * 200):
        (tmp_path / name).mkdir()
    for name in ("1", "2", "10"):
        (tmp_path / name / "saved_model.pb").touch()
    assert [folder.name for folder in version_folders(tmp_path)] == ["1", "2", "10", "11"]
    assert find_version(tmp_path, "model.bin", "saved_model.pb") == tmp_path / "10"
    assert find_version(tmp_path / "2", "saved_model.pb") == tmp_path / "2"
    assert find_version(tmp_path, "model.bin") is None
    assert find_version(tmp_path / "missing", "model.bin") is None
