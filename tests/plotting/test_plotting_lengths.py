"""Pictures of scores by length and of losses by time draw what is given."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_transformer.errors import InputError
from keras_transformer.plotting.lengths import (
    plot_losses_by_time,
    plot_scores_by_length,
)


def scores(*numbers):
    words = ("1-10", "11-20", "21+")
    parts = zip(words, numbers, strict=True)
    return [{"words": name, "sentences": 1234, "bleu": number} for name, number in parts]


def by_characters(*numbers):
    return [{**part, "unit": "characters"} for part in scores(*numbers)]


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_the_axis_says_what_was_counted(unit):
    parts = [{**part, "unit": unit} for part in scores(1.0, 2.0, 3.0)]
    (axes,) = plot_scores_by_length({"GRU": parts}).axes
    assert axes.get_xlabel() == f"{unit.capitalize()} of the source (sentences)"


def test_a_line_of_scores_for_each_system():
    open_before = pyplot.get_fignums()
    given = {f"system {number}": scores(30.0, 20.0 - number, None) for number in range(8)}
    figure = plot_scores_by_length(given)
    (axes,) = figure.axes
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == list(given)
    for number, line in enumerate(lines):
        np.testing.assert_array_equal(line.get_ydata(), [30, 20 - number, np.nan])
    looks = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in lines}
    assert len(looks) == len({look[2] for look in looks}) == len(given)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1-10\n(1,234)", "11-20\n(1,234)", "21+\n(1,234)"]
    assert pyplot.get_fignums() == open_before


@pytest.mark.parametrize("highest", [0.0, 0.5, 100.0])
def test_the_highest_marker_has_room(highest):
    (axes,) = plot_scores_by_length({"GRU": scores(0.97 * highest, None, highest)}).axes
    low, high = axes.get_ylim()
    assert low == 0
    assert high > 1.03 * highest


def test_losses_are_drawn_over_minutes():
    figure = plot_losses_by_time({"GRU": ([60, 120, 180], [5, 4, 3.5]), "LSTM": ([90], [6])})
    first, second = figure.axes[0].get_lines()
    np.testing.assert_array_equal(first.get_xydata(), [(1, 5), (2, 4), (3, 3.5)])
    np.testing.assert_array_equal(second.get_xydata(), [(1.5, 6)])


def test_nothing_is_cut_and_the_legend_hides_nothing():
    names = ("GRU, attention of Bahdanau", "Transformer, 4 layers")
    for figure in (
        plot_scores_by_length(dict.fromkeys(names, scores(1.0, 2.0, 3.0))),
        plot_losses_by_time(dict.fromkeys(names, ([1, 600], [9, 2]))),
    ):
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


@pytest.mark.parametrize(
    ("draw", "given", "complaint"),
    [
        (plot_scores_by_length, {}, "0 systems"),
        (plot_losses_by_time, {str(number): ([1], [1]) for number in range(9)}, "9 systems"),
        (plot_scores_by_length, {"a": scores(1, 2, 3), "b": scores(1, 2, 3)[:2]}, "different"),
        (plot_scores_by_length, {"a": scores(1, 2, 3), "b": by_characters(1, 2, 3)}, "different"),
        (plot_losses_by_time, {"GRU": ([1, 2], [3])}, r"GRU: seconds of shape \(2,\)"),
        (plot_losses_by_time, {"GRU": ([], [])}, r"GRU: seconds of shape \(0,\)"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, given, complaint):
    with pytest.raises(InputError, match=complaint):
        draw(given)
