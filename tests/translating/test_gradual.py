"""What a translator runs besides searches is the same before and after it becomes a graph."""

import pytest
import tensorflow as tf

from keras_transformer.translating import programs
from keras_transformer.translating.programs import Gradual, Programs

TEXTS = [
    "",
    "O gato dorme .",
    "  - O gato {x} dorme.  A menina viu 1234567!\n\n1. Fim.\n",
    "O GATO e A Menina " * 40,
    "日本語。🙂",
]


@pytest.fixture
def counted():
    """A function that counts how often its Python runs."""
    calls = []

    def function(x):
        calls.append(tf.executing_eagerly())
        return x + 1

    return Gradual(function, [tf.TensorSpec([None], tf.int32)]), calls


def test_it_runs_as_it_is_until_a_graph_pays(counted, monkeypatch):
    gradual, calls = counted
    for n in range(3):
        assert gradual(tf.constant([n])).numpy().tolist() == [n + 1]
    assert calls == [True] * 3
    monkeypatch.setattr(programs, "PATIENCE", 0.0)
    for n in range(3):
        assert gradual(tf.constant([n] * (n + 1))).numpy().tolist() == [n + 1] * (n + 1)
    assert calls == [True] * 3 + [False]


def test_in_a_graph_and_after_warming_up_it_is_one(counted):
    gradual, calls = counted
    around = tf.function(lambda x: gradual(x) + gradual(x), autograph=False)
    assert around(tf.constant([1])).numpy().tolist() == [4]
    assert calls == [False]
    gradual.warm_up()
    assert gradual(tf.constant([1, 2])).numpy().tolist() == [2, 3]
    assert calls == [False]


@pytest.mark.parametrize("glossary", [None, {"gato": "tomcat", "menina": "girl"}])
def test_texts_are_divided_and_written_alike_in_a_graph(tiny_run, glossary, monkeypatch):
    translator = tiny_run.translator
    columns = glossary and [tf.constant(list(side)) for side in (glossary, glossary.values())]
    answers = []
    for patience in (1e9, -1.0):  # never, and at once
        monkeypatch.setattr(programs, "PATIENCE", patience)
        one = Programs(translator)
        pieces = one.pieces(tf.constant(TEXTS), translator.decoding, columns)
        ids = tf.cast(pieces.ids.to_tensor(), tf.int64)  # as good as those of any translation
        texts = one.texts(ids, "human", pieces.begins, pieces.kept)
        parts = tf.nest.flatten([pieces, texts], expand_composites=True)
        answers.append([None if part is None else part.numpy().tolist() for part in parts])
    assert answers[0] == answers[1]
