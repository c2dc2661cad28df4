"""What vanishes with the distance in time and what does not, in numbers and in the picture."""

import numpy as np
import pytest
import tensorflow as tf
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_transformer.errors import InputError
from keras_transformer.layers import MultiHeadAttention
from keras_transformer.layers.recurrent.attention import DotAttention
from keras_transformer.plotting.gradients import (
    gradient_norms_by_architecture,
    gradient_norms_through_attention,
    plot_gradients_through_time,
)

STEPS = 24


@pytest.fixture(scope="module")
def norms():
    return gradient_norms_by_architecture(steps=STEPS, units=16, batch=16)


@pytest.fixture
def states():
    return np.random.default_rng(7).normal(size=(3, 9, 4)).astype("float32")


@pytest.fixture
def query():
    return np.random.default_rng(8).normal(size=(3, 1, 4)).astype("float32")


def length(contexts):
    return tf.reduce_sum(contexts**2)


def fading(norms):
    """Norm at the first step by that at the last, the median of the batch."""
    return np.median(norms[:, 0] / norms[:, -1])


def test_gradients_vanish_in_recurrence_and_not_in_attention(norms):
    assert {values.shape for values in norms.values()} == {(16, STEPS)}
    assert fading(norms["RNN"]) < 1e-4
    assert fading(norms["LSTM"]) > 10 * fading(norms["RNN"])
    assert fading(norms["LSTM, gates open"]) > 0.2
    assert fading(norms["GRU, gates open"]) > 100 * fading(norms["GRU"])
    assert 0.3 < fading(norms["Attention"]) < 3


def test_attention_has_no_trend_and_the_vanilla_network_a_straight_one(norms):
    def slope(values):
        return np.polyfit(np.arange(STEPS), np.log(values).mean(0), 1)[0]

    assert abs(slope(norms["Attention"])) < 0.05
    assert slope(norms["RNN"]) > 0.4


def test_dot_attention_by_its_closed_form(states, query):
    (norms,) = gradient_norms_through_attention(DotAttention(), states, length, query=query)
    q = query[:, 0].astype("float64")
    exponentials = np.exp(np.einsum("bd,bsd->bs", q, states))
    weights = exponentials / exponentials.sum(1, keepdims=True)
    context = np.einsum("bs,bsd->bd", weights, states)
    g = 2 * context
    along = np.einsum("bsd,bd->bs", states - context[:, np.newaxis], g)
    gradients = weights[..., np.newaxis] * (
        g[:, np.newaxis] + along[..., np.newaxis] * q[:, np.newaxis]
    )
    np.testing.assert_allclose(norms, np.linalg.norm(gradients, axis=-1), rtol=1e-4)


def test_hidden_states_have_no_gradient_and_change_none(states, query):
    mask = np.arange(9)[np.newaxis] < [[9], [5], [5]]
    attention = DotAttention()
    (norms,) = gradient_norms_through_attention(attention, states, length, mask, query)
    assert not norms[1:, 5:].numpy().any()
    (alone,) = gradient_norms_through_attention(attention, states[1:, :5], length, query=query[1:])
    np.testing.assert_allclose(norms[1:, :5], alone, rtol=1e-5)


def test_without_a_query_the_last_state_looks_back(states):
    (norms,) = gradient_norms_through_attention(DotAttention(), states, length)
    (apart,) = gradient_norms_through_attention(
        DotAttention(), states, length, query=states[:, -1:]
    )
    np.testing.assert_allclose(norms[:, :-1], apart[:, :-1], rtol=1e-5)
    assert np.abs(norms[:, -1] - apart[:, -1]).min() > 1e-6


def test_several_heads_are_attention_too(states):
    heads = MultiHeadAttention(d_model=4, num_heads=2)
    (norms,) = gradient_norms_through_attention(
        lambda q, x, mask: heads(v=x, k=x, q=q, mask=mask), states, length
    )
    assert norms.shape == (3, 9)
    assert (norms.numpy() > 0).all()


def test_a_line_for_each_architecture(norms):
    open_before = pyplot.get_fignums()
    figure = plot_gradients_through_time(norms)
    (axes,) = figure.axes
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == list(norms)
    assert axes.get_yscale() == "log"
    for line, values in zip(lines, norms.values(), strict=True):
        distances, relative = line.get_data()
        np.testing.assert_array_equal(distances, np.arange(STEPS))
        assert relative[0] == 1
        np.testing.assert_allclose(relative[-1], fading(values), rtol=0.5)
    looks = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in lines}
    assert len(looks) == len({look[2] for look in looks}) == len(norms)
    assert pyplot.get_fignums() == open_before


def test_nothing_is_cut_and_the_legend_hides_nothing(norms):
    figure = plot_gradients_through_time(norms)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (legend,), (axes,) = figure.legends, figure.axes
    boxes = [part.get_tightbbox(canvas.get_renderer()) for part in (legend, axes)]
    assert not boxes[0].overlaps(boxes[1])
    for box in boxes:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1


def test_a_line_ends_where_norms_are_too_small_for_their_format(recwarn):
    norms = np.ones((2, 5))
    norms[:, :2] = 0
    (line,) = plot_gradients_through_time({"RNN": norms}).axes[0].get_lines()
    assert np.isnan(line.get_ydata()).tolist() == [False] * 3 + [True] * 2
    assert not recwarn.list


@pytest.mark.parametrize(
    ("norms", "complaint"),
    [
        ({}, "norms of 0 architectures"),
        ({str(number): np.ones((1, 3)) for number in range(9)}, "norms of 9 architectures"),
        ({"RNN": np.ones(4)}, r"norms of RNN of shape \(4,\)"),
        ({"RNN": np.ones((0, 4))}, r"norms of RNN of shape \(0, 4\)"),
        ({"RNN": np.zeros((1, 4))}, "norms of RNN: some are 0 at the last step"),
    ],
)
def test_what_cannot_be_drawn_is_named(norms, complaint):
    with pytest.raises(InputError, match=complaint):
        plot_gradients_through_time(norms)
