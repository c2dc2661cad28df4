"""Errors of wrong input."""

import math

import numpy as np
import pytest

from keras_transformer.errors import InputError, whole_number


def test_a_whole_number_of_any_kind_is_an_int():
    assert whole_number("chunk", np.int64(3)) == 3
    assert type(whole_number("chunk", np.int32(3))) is int


@pytest.mark.parametrize("value", [0, 9, 10**30, True, "3", 2.0, math.nan, None, np.ones((2, 2))])
def test_what_counts_nothing_is_refused_in_one_line(value):
    with pytest.raises(InputError, match="chunk is a whole number of at least 1 and") as caught:
        whole_number("chunk", value, 1, 8)
    assert len(str(caught.value).splitlines()) == 1


def test_an_error_is_one_line_and_not_endless():
    assert str(InputError("a\nb\r\nc\x1ed\u2028e")) == "a b c d e"
    error = str(InputError("my.yaml: " + "x" * 10_000 + ": leave it out."))
    assert error.startswith("my.yaml: xxx")
    assert error.endswith("xxx: leave it out.")
    assert len(error) == 1500
