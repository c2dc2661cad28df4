"""``evaluate --compare``: models and files of translations, side by side."""

import json

import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.translating.comparison.compare import compare_translations
from keras_transformer.translating.comparison.page import comparison_page
from keras_transformer.translating.comparison.tables import as_text
from keras_transformer.translating.translator import Translator

SOURCES = ["um gato dorme .", "a menina lê o livro .", "o homem viu o cachorro preto ."]
REFERENCES = ["a cat sleeps .", "the girl reads the book .", "the man saw the black dog ."]
ONE = ["a cat sleeps .", "the girl reads a book .", "the man saw the dog ."]
OTHER = ["a cat sleep .", "the girl book .", "the man saw the black dog ."]


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


@pytest.fixture
def files(tmp_path):
    """A folder with a test set and the translations of two systems."""
    texts = {"a.pt": SOURCES, "a.en": REFERENCES, "one.txt": ONE, "other.txt": OTHER}
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def compared(files):
    """The options that compare these systems."""
    return [
        *("--model", files / "one.txt", "--compare", files / "other.txt"),
        *("--pairs", f"{files / 'a.pt'},{files / 'a.en'}"),
    ]


def test_files_are_compared_without_a_model(run, files, compared):
    written = ["--json", files / "scores.json", "--html", files / "page.html"]
    answer = run(*compared, *written)
    assert answer.exit_code == 0, answer.stderr
    names = {str(files / "one.txt"): ONE, str(files / "other.txt"): OTHER}
    expected = compare_translations(SOURCES, REFERENCES, names)
    assert answer.stdout.splitlines() == list(as_text(expected))
    assert (files / "page.html").read_text(encoding="utf-8") == comparison_page(expected)
    scores = json.loads((files / "scores.json").read_text())
    assert scores["comparison"] == expected
    assert scores["bleu"]["score"] == expected["metrics"]["bleu"]["scores"][0]
    assert "seconds" not in scores


def test_a_file_is_scored_as_a_model_is(run, files):
    answer = run("--model", files / "one.txt", "--pairs", f"{files / 'a.pt'},{files / 'a.en'}")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.endswith("\n3 sentences\n")
    assert "chrF2" in answer.stdout


def test_a_model_is_compared_with_its_own_translations(run, files, tiny_run, monkeypatch):
    """What --output wrote before has the same scores as the model, to the last digit."""
    monkeypatch.setattr(Translator, "load", lambda path, **options: tiny_run.translator)
    pairs = ["--pairs", f"{files / 'a.pt'},{files / 'a.en'}"]
    model = ["--model", tiny_run.folder, "--max-length", 9]
    answer = run(*model, *pairs, "--output", files / "mine.txt")
    assert answer.exit_code == 0, answer.stderr
    answer = run(*model, *pairs, "--compare", files / "mine.txt")
    assert answer.exit_code == 0, answer.stderr
    assert "\n3 sentences; the translations of 0 differ.\nIn BLEU they are equal." in answer.stdout


def test_the_training_text_and_the_number_of_examples_are_as_asked(run, files, compared):
    (files / "train.en").write_text("a cat .\n" * 5)
    answer = run(*compared, "--training-text", files / "train.en", "--examples", 1)
    assert "F1 of words by their count in the training text" in answer.stdout
    shown = [line for line in answer.stdout.splitlines() if line.startswith(" reference")]
    assert len(shown) == 2


def test_words_are_counted_in_the_training_pairs_of_a_dataset(run, compared, monkeypatch):
    pairs = list(zip(SOURCES, REFERENCES, strict=True))
    corpus = Corpus.from_pairs("toy", {"train": pairs * 400, "test": pairs})
    monkeypatch.setattr("keras_transformer.data.load_corpus", lambda *_, **__: corpus)
    answer = run(*compared[:4], "--dataset", "toy")
    assert answer.exit_code == 0, answer.stderr
    table = answer.stdout.partition("count in the training text\n")[2].splitlines()
    assert [line.split()[0] for line in table[:3]] == ["count", "100-999", "1000+"]


@pytest.mark.parametrize("more", [["--beam-size", 2], ["--compile"], ["--examples", -1]])
def test_options_that_mean_nothing_are_wrong_usage(run, compared, more):
    answer = run(*compared, *more)
    assert answer.exit_code == 2, answer.output


@pytest.mark.parametrize("option", [["--html", "x"], ["--training-text", "x"], ["--examples", 3]])
def test_options_of_a_comparison_need_one(run, files, option):
    answer = run("--model", files / "one.txt", "--pairs", "a,b", *option)
    assert answer.exit_code == 2
    assert "are of a --compare" in answer.stderr


def test_a_system_is_not_compared_with_itself(run, files, compared):
    answer = run(*compared[:3], files / "one.txt", *compared[4:])
    assert answer.exit_code == 2
    assert "give two systems" in answer.stderr


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("other.txt", "one line\n", "other.txt: has 1 translations for 3 sentences"),
        ("other.txt", "\n\n\n", "other.txt: the file is empty"),
        ("a.en", "a\n\nb\n", "a.en, line 2: empty side of a pair"),
        ("a.en", "a\nb\n", "has 3 lines but"),
        ("other.txt", None, "other.txt: is neither a run"),
        ("train.en", None, "train.en: no such file"),
    ],
)
def test_wrong_files_are_one_line(run, files, compared, name, content, says):
    (files / "train.en").write_text("a cat .\n")
    if content is None:
        (files / name).unlink()
    else:
        (files / name).write_text(content)
    answer = run(*compared, "--training-text", files / "train.en")
    assert answer.exit_code == 1
    assert says in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stdout == ""


def test_too_many_lines_are_refused_before_they_are_translated(run, files, compared, monkeypatch):
    monkeypatch.setattr("keras_transformer.translating.comparison.significance._MOST_LINES", 2)
    answer = run("--model", "/nowhere", *compared[2:])
    assert answer.exit_code == 1
    assert "3 lines to compare: the tests take at most 2" in answer.stderr
