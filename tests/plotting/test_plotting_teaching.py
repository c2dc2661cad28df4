"""Pictures of positions and masks show what the layers are given."""

import numpy as np
import pytest
import tensorflow as tf
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_transformer.errors import InputError
from keras_transformer.layers.attention.masks import create_look_ahead_mask, create_padding_mask
from keras_transformer.layers.positional import positional_encoding
from keras_transformer.plotting.teaching import plot_masks, plot_positional_encoding

TOKENS = ["[START]", "isto", "é", "[END]", "[PAD]"]


@pytest.fixture(autouse=True)
def _no_window():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before


def assert_nothing_is_cut(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [axes.get_tightbbox(canvas.get_renderer()) for axes in figure.axes]
    for number, box in enumerate(boxes):
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_how_like_a_position_the_others_are():
    encoding = positional_encoding(40, 64)
    figure = plot_positional_encoding(encoding, 25)
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_array(), encoding)
    marked, line = figure.axes[1].lines
    assert marked.get_xdata()[0] == 25
    positions, cosines = line.get_data()
    np.testing.assert_array_equal(positions, np.arange(40))
    # A pair of a sine and a cosine of one rate has the cosine of the angle between the positions.
    rates = 10000.0 ** (-np.arange(0, 64, 2) / 64)
    expected = np.cos((np.arange(40)[:, np.newaxis] - 25) * rates).mean(axis=1)
    np.testing.assert_allclose(cosines, expected, atol=1e-6)
    assert_nothing_is_cut(figure)


def test_the_colours_reach_as_far_as_the_values():
    """Learned positions are small, and a picture of white would show nothing."""
    values = np.array([[0.02, -0.05], [0.01, 0.0]])
    mesh = plot_positional_encoding(values).axes[0].collections[0]
    assert mesh.get_clim() == (-0.05, 0.05)
    plot_positional_encoding(np.zeros((2, 2)))


@pytest.mark.parametrize("position", [-1, 40])
def test_a_position_that_is_not_there(position):
    with pytest.raises(InputError, match=f"position {position} of an encoding of 40: give 0 to 39"):
        plot_positional_encoding(np.ones((40, 4)), position)


def test_masks_side_by_side():
    padding = create_padding_mask(tf.constant([[2, 5, 6, 3, 0]]))
    ahead = create_look_ahead_mask(5)
    both = tf.maximum(padding, ahead)
    figure = plot_masks({"Padding": padding, "Look-ahead": ahead, "Both": both}, TOKENS)
    expected = [np.tile([1, 1, 1, 1, 0], (5, 1)), np.tri(5)]
    expected.append(expected[0] * expected[1])
    for axes, name, visible in zip(
        figure.axes, ("Padding", "Look-ahead", "Both"), expected, strict=True
    ):
        np.testing.assert_array_equal(axes.images[0].get_array(), visible)
        assert axes.get_title() == name
        for axis in (axes.xaxis, axes.yaxis):
            assert [label.get_text() for label in axis.get_ticklabels()] == TOKENS
    assert figure.get_suptitle() == "Visible keys (filled)"
    assert_nothing_is_cut(figure)


def test_queries_and_keys_of_two_languages():
    mask = np.array([[True, True, False]] * 2)
    (axes,) = plot_masks(mask, ["a", "b"], ["o", "p", "[PAD]"]).axes
    np.testing.assert_array_equal(axes.images[0].get_array(), mask)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["o", "p", "[PAD]"]


def test_long_sentences_of_masks():
    tokens = ["extraordinariamente"] * 40
    assert_nothing_is_cut(plot_masks({"One": np.tri(40), "Two": np.tri(40)}, tokens))


@pytest.mark.parametrize(
    ("mask", "tokens", "complaint"),
    [
        ({}, None, "no masks"),
        ({"Padding": np.ones((2, 1, 5))}, None, r"mask of shape \(2, 1, 5\)"),
        (np.tri(5), TOKENS[:4], r"mask of shape \(5, 5\) does not fit 4 query tokens and 4 key"),
    ],
)
def test_masks_that_do_not_fit(mask, tokens, complaint):
    with pytest.raises(InputError, match=complaint):
        plot_masks(mask, tokens)
