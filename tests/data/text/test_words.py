"""Tokens are found in what they were made of, and in what they were written as."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_transformer.data.text.words import token_spans, word_spans, words_at


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("O gato  preto.\n", ["O", "gato", "preto."]),
        ("日本語 abc。", ["日", "本", "語", "abc。"]),
        ("  ", []),
        ("", []),
    ],
)
def test_words(text, words):
    assert [text[start:end] for start, end in word_spans(text)] == words


@given(st.text())
def test_words_are_what_white_space_parts(text):
    spans = word_spans(text)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_tokens_are_found_whatever_normalisation_did():
    text = "O  Gato PRETO, né? {x} ﬁm"
    surfaces = ["", "o", "gato", "pre", "to", ",", "ne", "?", "{x}", "fi", "m", ""]
    spans = token_spans(text, surfaces)
    found = [text[slice(*span)] if span else None for span in spans]
    expected = [None, "O", "Gato", "PRE", "TO", ",", "né", "?", "{x}", "ﬁ", "m", None]
    assert found == expected
    words = [list(touched) for touched in words_at(spans, word_spans(text))]
    assert words == [[], [0], [1], [2], [2], [2], [3], [3], [4], [5], [5], []]


def test_what_is_not_there_costs_nobody_their_place():
    text = "um texto com desconhecidas palavras aqui"
    surfaces = ["um", "texto", "com", None, "palavras", "ausente", "aqui"]
    found = [text[slice(*span)] if span else None for span in token_spans(text, surfaces)]
    assert found == ["um", "texto", "com", None, "palavras", None, "aqui"]
    far = "a" + "b" * 30 + "c"
    assert token_spans(far, ["a", "c"]) == [(0, 1), None]
    assert token_spans(far, ["a", None, "c"]) == [(0, 1), None, (31, 32)]


def test_a_token_of_several_words_touches_all_of_them():
    text = "veja `x = 1` agora"
    spans = token_spans(text, ["veja", "`x = 1`", "agora"])
    touched = [list(words) for words in words_at(spans, word_spans(text))]
    assert touched == [[0], [1, 2, 3], [4]]


@given(st.text(), st.lists(st.none() | st.text()))
def test_spans_are_in_order_and_inside(text, surfaces):
    spans = token_spans(text, surfaces)
    assert len(spans) == len(surfaces)
    last = 0
    for start, end in filter(None, spans):
        assert 0 <= start < end <= len(text)
        assert start >= last - 1  # one character may be folded to several
        last = end
