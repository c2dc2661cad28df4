"""Texts of a corpus that a model of it is tried with."""

import pytest
import tensorflow as tf

from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.data.corpora.examples import choose_examples
from keras_transformer.data.corpora.sample import read_sample


def examples_of(sources, normalization="none", **fields):
    pairs = [(source, "target") for source in sources]
    parts = {"validation": pairs}
    return choose_examples(Corpus.from_pairs("c", parts, normalization=normalization, **fields))


def words(count, which=0):
    return " ".join([f"w{which}"] * count)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_they_are_short_lines_of_the_corpus_each_once_and_always_the_same(split):
    sources = [source for source, _ in read_sample()[split]]
    found = examples_of(sources, "ptb-lower")
    assert len(found) == len(set(found)) == 5
    lengths = [len(text.split()) for text in found]
    assert lengths == sorted(lengths)
    assert 4 <= lengths[0] < lengths[-1] <= 15
    assert found == examples_of(sources, "ptb-lower")


def test_their_lengths_are_as_different_as_there_are():
    every = [words(count) for count in range(1, 30)]
    assert [len(text.split()) for text in examples_of(every)] == [4, 7, 10, 12, 15]
    three = [words(count, which) for count in (5, 9, 6) for which in range(7)]
    assert [len(text.split()) for text in examples_of(three)] == [5, 5, 6, 9, 9]
    assert sorted(examples_of(three[:7]))[0] == words(5, 0)
    assert len(set(examples_of(three[:7]))) == 5


def test_they_come_from_different_places_of_the_corpus():
    found = examples_of([words(5, which) for which in range(1000)])
    places = [int(text.split()[0][1:]) for text in found]
    assert max(places) - min(places) > 500


@pytest.mark.parametrize(
    ("style", "source", "text"),
    [
        ("ptb-lower", "não sei , mas temos de tentar .", "Não sei, mas temos de tentar."),
        ("ptb-lower", "`` vamos embora '' , disse ele .", '"Vamos embora", disse ele.'),
        ("none", "Ela lê, mas Ana não .", "Ela lê, mas Ana não ."),
        ("none", " duas frases. Eis a segunda.  ", "duas frases. Eis a segunda."),
    ],
)
def test_they_are_written_as_people_write(style, source, text):
    assert examples_of([source], style, source_language="pt") == [text]


def test_what_is_no_short_plain_line_is_left_out():
    left_out = [
        "",
        "um gato dorme.",
        words(16),
        "duas linhas\ncom seis palavras aqui",
        "duas linhas\u2028com seis palavras aqui",
        "quatro palavras e " + "a" * 500,
        b"um byte \xff que falha aqui",
    ]
    assert examples_of(left_out) == []
    assert examples_of([*left_out, "um gato preto dorme."]) == ["um gato preto dorme."]


def test_equal_texts_are_one():
    sources = ["um gato preto dorme."] * 9 + ["  um gato preto dorme. "]
    assert examples_of(sources) == ["um gato preto dorme."]


def test_scripts_without_spaces_have_examples_too():
    assert examples_of(["她喜欢读书和写信。", "好。", "我" * 40]) == ["她喜欢读书和写信。"]


def test_only_the_beginning_of_a_large_corpus_is_read():
    endless = tf.data.Dataset.from_tensors(("um gato preto dorme.", "x")).repeat()
    assert choose_examples(Corpus("c", validation=endless)) == ["Um gato preto dorme."]
