"""Distillation: a table to train on, the same however often the work was interrupted."""

import numpy as np
import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.data.corpora.pair_files import read_pairs
from keras_transformer.errors import InputError
from keras_transformer.translating.distillation import distill
from keras_transformer.translating.translation import Translation

PAIRS = [(f"fonte {i} .", f"source {i} .") for i in range(23)]


class Teacher:
    """Writes what a source is mapped to, or itself in capitals; may stop after some calls."""

    def __init__(self, writes=None, calls=np.inf):
        self.writes, self.calls = writes or {}, calls
        self.asked, self.options = [], []

    def translate(self, lines, **options):
        if self.calls <= 0:
            raise KeyboardInterrupt
        self.calls -= 1
        self.asked += lines
        self.options.append(options)
        found = []
        for line in lines:
            first, *others = self.writes.get(line, [line.upper()])
            others = [Translation(text, -2.0) for text in others]
            found.append(Translation(first, -1.0, alternatives=others))
        return found


@pytest.fixture
def table(tmp_path):
    return tmp_path / "distilled.tsv"


def test_each_source_has_its_translation_and_its_reference(table):
    pairs = [("a", "b"), ("c", "C"), ("e", "f\tg\n h"), ("i", "j")]
    teacher = Teacher({"e": ["one\ttwo\u2028three"], "i": [""]})
    assert distill(teacher, pairs, table) == 6
    expected = [("a", "A"), ("a", "b"), ("c", "C"), ("e", "one two three"), ("e", "f g h")]
    assert read_pairs(str(table)) == [*expected, ("i", "j")]
    assert teacher.options == [{"style": "corpus", "beam_size": 5}]
    table.unlink()
    assert distill(teacher, pairs, table, originals=False, beam_size=2) == 3
    assert read_pairs(str(table)) == [("a", "A"), ("c", "C"), ("e", "one two three")]
    assert list(table.parent.iterdir()) == [table]


def test_the_best_is_the_one_most_like_the_reference(table):
    teacher = Teacher({"a": ["the dog sleeps here", "the cat sleeps there", "a cat"]})
    distill(teacher, [("a", "a cat sleeps there")], table, best_of=3, originals=False)
    assert teacher.options == [{"style": "corpus", "beam_size": 5, "n_best": 3}]
    assert read_pairs(str(table)) == [("a", "the cat sleeps there")]
    table.unlink()
    distill(teacher, [("a", "the dog sleeps now")], table, best_of=8, originals=False)
    assert teacher.options[-1] == {"style": "corpus", "beam_size": 8, "n_best": 8}
    assert read_pairs(str(table)) == [("a", "the dog sleeps here")]


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_interrupted_it_goes_on_and_ends_with_the_same_bytes(calls, table, tmp_path):
    whole = tmp_path / "whole.tsv"
    distill(Teacher(), PAIRS, whole, chunk=5)
    stopped = Teacher(calls=calls)
    with pytest.raises(KeyboardInterrupt):
        distill(stopped, PAIRS, table, chunk=5)
    assert not table.exists()
    with open(f"{table}.unfinished", "ab") as file:
        file.write(b"half a li")  # what a killed process may leave
    rest, seen = Teacher(), []
    distill(rest, PAIRS, table, chunk=4, progress=seen.append)
    assert table.read_bytes() == whole.read_bytes()
    assert stopped.asked + rest.asked == [source for source, _ in PAIRS]
    assert (seen[0], seen[-1]) == (5 * calls, len(PAIRS))
    assert sorted(tmp_path.iterdir()) == [table, whole]


def test_what_was_begun_in_another_way_is_not_gone_on_with(table):
    with pytest.raises(KeyboardInterrupt):
        distill(Teacher(calls=1), PAIRS, table, chunk=5, about={"teacher": "one"})
    before = table.with_name("distilled.tsv.unfinished").read_bytes()
    for changed in ({"about": {"teacher": "two"}}, {"beam_size": 2}, {"originals": False}):
        with pytest.raises(InputError, match=r"distilled\.tsv\.progress: was begun with another"):
            distill(Teacher(), PAIRS, table, **{"about": {"teacher": "one"}, **changed})
    assert table.with_name("distilled.tsv.unfinished").read_bytes() == before
    table.with_name("distilled.tsv.unfinished").write_bytes(b"")
    with pytest.raises(InputError, match="delete both"):
        distill(Teacher(), PAIRS, table, about={"teacher": "one"})


def test_wrong_outputs_are_named(table, tmp_path):
    table.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        distill(Teacher(), PAIRS, table)
    assert table.read_text() == "mine"
    with pytest.raises(InputError, match=r"ends with \.tsv"):
        distill(Teacher(), PAIRS, tmp_path / "pairs.txt")
    with pytest.raises(InputError, match="cannot be written"):
        distill(Teacher(), PAIRS, tmp_path / "none" / "pairs.tsv")
    with pytest.raises(InputError, match="no pair is left"):
        distill(Teacher(), [], tmp_path / "empty.tsv")


def test_the_command_writes_what_a_student_can_be_trained_on(tiny_run, tiny_corpus, tmp_path):
    pairs = [
        (source.decode(), target.decode())
        for source, target in tiny_corpus.test.take(6).as_numpy_iterator()
    ]
    corpus, table = tmp_path / "corpus.tsv", tmp_path / "distilled.tsv"
    corpus.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    command = ["distill", "--teacher", str(tiny_run.folder), "--dataset", f"pairs:{corpus}"]
    command += ["--validation-pairs", str(corpus)]  # else some are held out
    result = CliRunner().invoke(main, [*command, "--output", str(table), "--beam-size", "3"])
    assert result.exit_code == 0, result.output
    sources = [source for source, _ in pairs]
    found = tiny_run.translator.translate(sources, style="corpus", beam_size=3)
    expected = []
    for (source, reference), one in zip(pairs, found, strict=True):
        expected += [(source, text) for text in dict.fromkeys([one.text, reference])]
    assert read_pairs(str(table)) == expected
    assert f"{len(expected)} pairs" in result.output
    again = CliRunner().invoke(main, [*command, "--output", str(table)])
    assert again.exit_code == 1
    assert "exists already" in again.output
