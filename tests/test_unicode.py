"""Texts of Python as UTF-8."""

import pytest

from keras_transformer.errors import InputError
from keras_transformer.unicode import utf8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("olá", "olá"),
        ("\ud83d", "\ufffd"),
        ("a\ud83db", "a\ufffdb"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ude00\ud83d!", "\U0001f600\ufffd!"),
        ("\U0001f600 \ude00", "\U0001f600 \ufffd"),
        ("a\udcff?", "a\ufffd?"),
    ],
)
def test_what_has_no_utf8_is_one_replacement_character(text, expected):
    assert utf8(text) == expected.encode()


def test_bytes_stay_as_they_are():
    assert utf8(b"\xff") == b"\xff"


@pytest.mark.parametrize("thing", [None, 3, ["a"], 1.5])
def test_what_is_no_text_is_refused(thing):
    with pytest.raises(InputError, match=type(thing).__name__):
        utf8(thing)
