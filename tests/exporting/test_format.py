"""What writers and readers of exports agree on."""

import json
import subprocess
import sys

import pytest

from keras_transformer.errors import InputError
from keras_transformer.exporting.format import (
    ABOUT_FILE,
    EXTRA_FOLDER,
    MOST_EXAMPLE_CHARACTERS,
    MOST_EXAMPLES,
    check_examples,
    find_version,
    read_about,
    translation_title,
    usable_examples,
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
    about["examples"] = ["Um gato.", "日本語 🙂"]
    write_about(tmp_path, **about, compiled_rows=(1, 2), compiled_length=8)
    sizes = {"compiled_rows": (1, 2), "compiled_length": 8}
    assert read_about(tmp_path) == about | sizes
    about["examples"] = []
    no_examples = {name: value for name, value in about.items() if name != "examples"}
    write_about(tmp_path, **no_examples, compiled_rows=(1, 2), compiled_length=8)
    assert read_about(tmp_path) == about | sizes


@pytest.mark.parametrize("content", [None, "broken", "[]", "{}", json.dumps({"compiled_rows": []})])
def test_an_export_that_names_no_sizes_has_those_of_version_0_1(content, tmp_path):
    (tmp_path / EXTRA_FOLDER).mkdir()
    if content is not None:
        (tmp_path / ABOUT_FILE).write_text(content)
    sizes = {"compiled_rows": (1, 4, 16, 64, 256), "compiled_length": 32}
    assert read_about(tmp_path) == sizes | {"examples": []}


@pytest.mark.parametrize("code", [5, None, ["pt"], {"pt": 1}, "\ud800"])
def test_a_language_that_is_no_text_is_missing(code, tmp_path):
    (tmp_path / EXTRA_FOLDER).mkdir()
    content = {"source_language": code, "target_language": "en"}
    (tmp_path / ABOUT_FILE).write_text(json.dumps(content))
    about = read_about(tmp_path)
    assert "source_language" not in about
    assert about["target_language"] == "en"


LONG = "a" * MOST_EXAMPLE_CHARACTERS
NO_EXAMPLES = [
    5,
    None,
    True,
    float("nan"),
    ["Um gato."],
    {"Um gato.": 1},
    "",
    " \n",
    LONG + "a",
    "half of a character: \ud83d",
]


@pytest.mark.parametrize("content", [*NO_EXAMPLES[:4], "Um gato.", {"0": "Um gato."}])
def test_examples_in_no_list_are_none(content):
    assert usable_examples(content) == []


def test_of_damaged_examples_the_good_ones_are_left(tmp_path):
    assert usable_examples(["Um gato.", *NO_EXAMPLES, LONG, "Um gato."]) == ["Um gato.", LONG]
    many = [f"gato {number}" for number in range(10_000)]
    assert usable_examples(many) == many[:MOST_EXAMPLES]
    (tmp_path / EXTRA_FOLDER).mkdir()
    content = {"examples": [*NO_EXAMPLES, "<b>Um</b> gato."]}
    (tmp_path / ABOUT_FILE).write_text(json.dumps(content))
    assert read_about(tmp_path)["examples"] == ["<b>Um</b> gato."]


@pytest.mark.parametrize("example", NO_EXAMPLES)
def test_a_caller_is_told_of_an_example_that_is_none(example):
    assert check_examples(iter(("Um gato.", LONG))) == ["Um gato.", LONG]
    with pytest.raises(InputError, match="example 2 is not a text of 1 to 500 characters"):
        check_examples(["Um gato.", example])


def test_a_caller_is_told_of_examples_that_are_no_list_or_too_many():
    for examples in ("Um gato.", b"Um gato.", 5):
        with pytest.raises(InputError, match="a list of texts; got"):
            check_examples(examples)
    with pytest.raises(InputError, match="21 examples are more than 20"):
        check_examples(["Um gato."] * (MOST_EXAMPLES + 1))


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
