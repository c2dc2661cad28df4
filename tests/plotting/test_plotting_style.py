"""Colours that everyone can tell apart, and tokens as labels."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from keras_transformer.plotting.style import COLOURS, DASHES, label_inches, token_label

# What protanopes and deuteranopes see of linear red, green and blue: Viénot, Brettel and Mollon,
# "Digital video colourmaps for checking the legibility of displays by dichromats" (1999).
LMS = np.array(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
)
SEEN = {
    "everyone": np.eye(3),
    "protanopes": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
    "deuteranopes": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
}


@pytest.mark.parametrize("eyes", SEEN)
def test_no_two_colours_look_alike(eyes):
    linear = np.array([to_rgb(colour) for colour in COLOURS]) ** 2.2
    lms = SEEN[eyes] @ LMS @ linear.T
    seen = np.clip(np.linalg.solve(LMS, lms), 0, 1).T ** (1 / 2.2)
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 0.12
    # None of them is lost on white paper.
    assert (seen @ (0.2126, 0.7152, 0.0722)).max() < 0.75


def test_a_dash_for_each_colour():
    assert len(set(COLOURS)) == len(set(map(str, DASHES))) == len(COLOURS) == len(DASHES) == 8


@pytest.mark.parametrize(
    ("token", "label"),
    [
        ("##ção", "##ção"),
        ("▁mundo", "▁mundo"),
        ("a\nb\t", "a\\nb\\t"),
        ("a\ud83d", "a\ufffd"),
        ("नमस्\u200dते", "नमस्\u200dते"),  # a joiner is part of the script
        ("x" * 31, "x" * 29 + "…"),
        ("x" * 30, "x" * 30),
    ],
)
def test_tokens_as_labels(token, label):
    assert token_label(token) == label


def test_letters_that_are_squares_have_more_room():
    assert label_inches(["我们必须"]) == pytest.approx(4 * 8.33 / 72)
    assert label_inches(["abcd", "ab"]) < label_inches(["我们必须", "ab"])
