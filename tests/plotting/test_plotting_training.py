"""Pictures of training: rates as the schedules give them, the loss that label smoothing makes."""

import numpy as np
import pytest
import tensorflow as tf
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_transformer.errors import InputError
from keras_transformer.losses.masked import MaskedLoss
from keras_transformer.optimizers.schedules import CustomSchedule
from keras_transformer.plotting.training import (
    plot_label_smoothing,
    plot_learning_rate,
    plot_training_curves,
)


@pytest.fixture(autouse=True)
def _no_window():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before


def assert_nothing_is_cut(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        box = axes.get_tightbbox(canvas.get_renderer())
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1


def test_schedules_side_by_side():
    schedules = {
        "512": CustomSchedule(512, warmup_steps=20),
        "one step at a time": lambda step: min(float(step), 5.0),
        "constant": lambda step: 0.25,
    }
    figure = plot_learning_rate(schedules, steps=60)
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines] == list(schedules)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == list(schedules)
    steps = np.arange(61)
    expected = 512**-0.5 * np.minimum(np.maximum(steps, 1) ** -0.5, steps * 20**-1.5)
    np.testing.assert_allclose(lines[0].get_ydata(), expected, rtol=1e-5)
    np.testing.assert_array_equal(lines[1].get_ydata(), np.minimum(steps, 5))
    np.testing.assert_array_equal(lines[2].get_ydata(), [0.25] * 61)
    looks = {(line.get_color(), str(line.get_linestyle())) for line in lines}
    assert len({colour for colour, _ in looks}) == len({dashes for _, dashes in looks}) == 3
    assert_nothing_is_cut(figure)


def test_one_schedule_needs_no_legend():
    assert plot_learning_rate(lambda step: step, 3).axes[0].get_legend() is None


@pytest.mark.parametrize("number", [0, 9])
def test_too_few_or_too_many_lines(number):
    with pytest.raises(InputError, match=f"{number} schedules to draw: give 1 to 8"):
        plot_learning_rate({str(i): float for i in range(number)})
    with pytest.raises(InputError, match=f"{number} smoothings to draw: give 1 to 8"):
        plot_label_smoothing([0.1] * number)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_label_smoothing_is_that_of_the_loss(smoothing):
    vocab_size = 7
    figure = plot_label_smoothing([smoothing], vocab_size)
    line, lowest = figure.axes[0].lines
    given, drawn = line.get_data()

    def loss(probability):
        rest = (1 - probability) / (vocab_size - 1)
        logits = np.log(np.full((1, 1, vocab_size), max(rest, 1e-30)))
        logits[..., 3] = np.log(probability)
        label = tf.constant([[3]])
        return float(MaskedLoss(label_smoothing=smoothing)(label, tf.constant(logits, tf.float32)))

    (best,) = lowest.get_xdata()
    places = range(0, len(given), 57)
    expected = [loss(given[place]) - loss(best) for place in places]
    np.testing.assert_allclose(drawn[list(places)], expected, atol=1e-5)
    assert (drawn >= 0).all()


def test_a_line_for_each_smoothing():
    figure = plot_label_smoothing()
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["0", "0.1", "0.2"]
    assert_nothing_is_cut(figure)


@pytest.mark.parametrize(("smoothings", "vocab_size"), [([1.0], 10), ([-0.1], 10), ([0.1], 1)])
def test_smoothing_that_makes_no_sense(smoothings, vocab_size):
    with pytest.raises(InputError, match="give shares from 0 to below 1"):
        plot_label_smoothing(smoothings, vocab_size)


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_count_from_one_whoever_wrote_the_log(tmp_path, first):
    log = tmp_path / "training_log.csv"
    log.write_text(f"epoch,loss,val_loss\n{first},3,4\n{first + 1},2,3\n")
    for path in (log, tmp_path):
        training, validation = plot_training_curves(path).axes[0].lines
        np.testing.assert_array_equal(training.get_xydata(), [(1, 3), (2, 2)])
        np.testing.assert_array_equal(validation.get_xydata(), [(1, 4), (2, 3)])
    assert training.get_linestyle() != validation.get_linestyle()
    assert training.get_marker() != validation.get_marker()


def test_a_folder_without_a_log(tmp_path):
    with pytest.raises(InputError, match=r"training_log\.csv: cannot be read"):
        plot_training_curves(tmp_path)
