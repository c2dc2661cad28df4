"""Pictures show what they are given, with every token labelled, and refuse sizes that disagree."""

from itertools import pairwise
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

import keras_transformer as kt
from keras_transformer.errors import InputError
from keras_transformer.plotting.attention import attention_figure

IN_TOKENS = ["[START]", "este", "é", "um", "$", "problema", "$", "[END]"]
OUT_TOKENS = ["[START]", "this", "is", "a", "problem", "[END]"]


@pytest.fixture(autouse=True)
def _no_window():
    backend = matplotlib.get_backend()
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(backend)


class Tokenizer:
    """Knows one sentence."""

    def tokenize(self, strings):
        assert strings.numpy().tolist() == ["este é um $ problema $".encode()]
        return tf.ragged.constant([list(range(len(IN_TOKENS)))])

    def lookup(self, ids):
        return tf.ragged.constant([[IN_TOKENS[number] for number in row] for row in ids.to_list()])


def attention(heads=8, query=5, key=8):
    weights = np.random.default_rng(0).random((heads, query, key), np.float32)
    return weights / weights.sum(-1, keepdims=True)


def labels(axes):
    return (
        [label.get_text() for label in axes.get_xticklabels()],
        [label.get_text() for label in axes.get_yticklabels()],
    )


def assert_nothing_is_cut(figure):
    """Every label lies within the figure, and no two panels overlap."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [axes.get_tightbbox(canvas.get_renderer()) for axes in figure.axes]
    for box in boxes:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1
    for number, box in enumerate(boxes):
        others = boxes[number + 1 :]
        assert not any(box.overlaps(other) for other in others)


@pytest.mark.parametrize("as_tensors", [False, True])
def test_one_head_on_the_current_axes(as_tensors):
    weights = attention()[0]
    tokens = (IN_TOKENS, OUT_TOKENS)
    if as_tensors:
        weights, tokens = tf.constant(weights, tf.bfloat16), tuple(map(tf.constant, tokens))
    pyplot.figure(figsize=(4, 4))
    axes = pyplot.gca()
    kt.plot_attention_head(*tokens, weights)
    assert labels(axes) == (IN_TOKENS, OUT_TOKENS[1:])
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {90}
    np.testing.assert_allclose(axes.images[0].get_array(), attention()[0], atol=2e-3)
    assert_nothing_is_cut(pyplot.gcf())


@pytest.mark.parametrize(("heads", "rows", "columns"), [(8, 2, 4), (1, 1, 1), (3, 1, 3), (5, 2, 4)])
def test_all_heads_in_a_grid(heads, rows, columns):
    weights = attention(heads)
    figure = kt.plot_attention_weights(
        tf.constant("este é um $ problema $"),
        tf.constant(OUT_TOKENS),
        tf.constant(weights),
        tokenizers=SimpleNamespace(pt=Tokenizer()),
    )
    panels = figure.axes[:-1]  # the last one is the colour bar
    assert len(panels) == heads
    grid = panels[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (rows, columns)
    for number, (axes, head) in enumerate(zip(panels, weights, strict=True), start=1):
        assert labels(axes) == (IN_TOKENS, OUT_TOKENS[1:])
        assert axes.get_xlabel() == (f"Head {number}" if heads > 1 else "")
        np.testing.assert_array_equal(axes.images[0].get_array(), head)
        assert axes.images[0].get_clim() == pytest.approx((0, weights.max()))
    assert_nothing_is_cut(figure)
    assert not pyplot.get_fignums()  # no window, nothing left open


def test_sentence_as_str_and_tokenizer_by_role():
    figure = kt.plot_attention_weights(
        "este é um $ problema $",
        OUT_TOKENS,
        attention(2),
        tokenizers=SimpleNamespace(source=Tokenizer()),
    )
    assert labels(figure.axes[0])[0] == IN_TOKENS


def test_long_sentences_stay_readable():
    words = ["[START]", *(["extraordinariamente", "é", "##mente"] * 16), "[END]"]
    tokenizer = SimpleNamespace(
        tokenize=lambda strings: strings, lookup=lambda ids: tf.ragged.constant([words])
    )
    figure = kt.plot_attention_weights(
        "x",
        words,
        attention(4, len(words) - 1, len(words)),
        tokenizers=SimpleNamespace(source=tokenizer),
    )
    assert_nothing_is_cut(figure)
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 5, 7), "does not fit 5 output tokens .* and 8 source tokens"),
        ((8, 6, 8), r"give weights of shape \(5, 8\)"),
        ((1, 8, 5, 8), "without the batch dimension"),
        ((0, 5, 8), "is not"),
    ],
)
def test_sizes_must_agree(shape, message):
    with pytest.raises(InputError, match=message):
        kt.plot_attention_weights(
            "este é um $ problema $",
            OUT_TOKENS,
            np.zeros(shape),
            tokenizers=SimpleNamespace(pt=Tokenizer()),
        )
    if len(shape) == 3 and shape[0]:
        with pytest.raises(InputError, match=message):
            kt.plot_attention_head(IN_TOKENS, OUT_TOKENS, np.zeros(shape[1:]))


@pytest.mark.parametrize("shape", [(50, 16), (1, 50, 16)])
def test_positional_encoding(shape):
    values = np.sin(np.arange(50 * 16.0)).reshape(shape)
    figure = kt.plot_positional_encoding(tf.constant(values))
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_array(), values.reshape(50, 16))
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("Depth", "Position")
    assert_nothing_is_cut(figure)
    with pytest.raises(InputError, match=r"\(2, 3, 4\)"):
        kt.plot_positional_encoding(np.zeros((2, 3, 4)))


def test_masks_of_both_polarities_look_alike():
    keep = np.tri(5, dtype=bool)
    hidden = (1 - np.tri(5, dtype=np.float32))[None, None]
    figures = [kt.plot_masks(mask) for mask in (keep, hidden, tf.constant(hidden))]
    for figure in figures:
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), keep)
    assert_nothing_is_cut(figures[0])
    with pytest.raises(InputError, match=r"\(2, 5, 5\)"):
        kt.plot_masks(np.zeros((2, 5, 5)))


def test_learning_rate():
    figure = kt.plot_learning_rate(lambda step: 0.5 * step, steps=10)
    steps, rates = figure.axes[0].lines[0].get_data()
    np.testing.assert_array_equal(steps, np.arange(11))
    np.testing.assert_allclose(rates, 0.5 * np.arange(11))
    assert_nothing_is_cut(figure)
    with pytest.raises(InputError, match="steps is 0"):
        kt.plot_learning_rate(lambda step: step, steps=0)


HISTORY = {"loss": [3.0, 2.0], "accuracy": [0.2, 0.4], "val_loss": [3.5, 2.5], "seconds": [1, 2]}


def lines(figure):
    return {
        (axes.get_title(), line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
        for axes in figure.axes
        for line in axes.lines
    }


@pytest.mark.parametrize("kind", ["dictionary", "history", "csv"])
def test_training_curves(tmp_path, kind):
    history = HISTORY
    if kind == "history":
        history = SimpleNamespace(history=HISTORY)
    if kind == "csv":
        history = tmp_path / "training_log.csv"
        history.write_text("epoch,loss,accuracy,val_loss\n0,3.0,0.2,3.5\n1,2.0,0.4,2.5\n")
    figure = kt.plot_training_curves(history)
    assert lines(figure) == {
        ("loss", "training"): ([1, 2], [3.0, 2.0]),
        ("loss", "validation"): ([1, 2], [3.5, 2.5]),
    }
    assert_nothing_is_cut(figure)


def test_training_curves_without_validation():
    figure = kt.plot_training_curves({"loss": [3.0], "masked_accuracy": [0.5]})
    assert set(lines(figure)) == {("loss", "training"), ("masked accuracy", "training")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,loss\n", "no quantities to draw"),
        ("epoch,loss\n0,much\n", r"log\.csv, line 2: loss is 'much' instead of a number"),
        (None, r"log\.csv: cannot be read"),
    ],
)
def test_wrong_training_logs(tmp_path, text, message):
    path = tmp_path / "log.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        kt.plot_training_curves(path)


def test_wrong_history():
    with pytest.raises(InputError, match="a history of type list"):
        kt.plot_training_curves([1, 2])


def test_a_notebook_can_show_a_figure_without_pyplot():
    from IPython.core.formatters import DisplayFormatter

    figure = attention_figure(["[START]", "a"], ["[START]", "b"], np.ones((1, 1, 2)))
    shown, _ = DisplayFormatter().format(figure)
    assert shown["image/png"].startswith(b"\x89PNG")
