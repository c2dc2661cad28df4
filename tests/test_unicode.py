"""Texts of Python as UTF-8."""

import numpy as np
import pytest

from keras_transformer.errors import InputError
from keras_transformer.unicode import utf8, utf8_list


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


def test_an_error_about_what_is_no_text_is_one_line():
    with pytest.raises(InputError) as caught:
        utf8(np.zeros((2, 2)))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("texts", ["sol", b"sol", None, 3, {"text": "sol"}, [None], [["sol"]]])
def test_several_texts_are_a_list_of_texts(texts):
    assert utf8_list(iter(["sol", b"\xff"]), "lines") == [b"sol", b"\xff"]
    with pytest.raises(InputError, match=r"^(lines are several texts|a text is)"):
        utf8_list(texts, "lines")
