"""Grids, averages and lines of attention show what they are given, and every label can be read."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from keras_transformer.errors import InputError
from keras_transformer.plotting.attention import (
    plot_attention_average,
    plot_attention_grid,
    plot_attention_weights,
)
from keras_transformer.plotting.lines import plot_attention_lines
from keras_transformer.plotting.style import COLOURS

TOKENS = ["[START]", "a", "le", "##i", "$", "sua", "$", "[END]"]


@pytest.fixture(autouse=True)
def _no_window():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before


def attention(*shape):
    weights = np.random.default_rng(5).random(shape).astype("float32") ** 4
    return weights / weights.sum(-1, keepdims=True)


def sentence(length):
    words = ("extraordinariamente", "é", "##mente", "[START]", "▁bom", ",")
    return [words[number % len(words)] for number in range(length)]


def texts(figure):
    """Every text that is drawn, with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = []
    for axes in figure.axes:
        labels = [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())  # labels beyond are not drawn
            places = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
            labels += [label for place, label in places if low <= place <= high]
        found += labels
    renderer = canvas.get_renderer()
    return [(text, text.get_window_extent(renderer)) for text in found if text.get_text()]


def assert_readable(figure):
    """No text is cut at the border, and none lies on another."""
    found = texts(figure)
    for text, box in found:
        inside = box.x0 >= -1 and box.y0 >= -1
        inside &= box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1
        assert inside, text.get_text()
    boxes = np.array([(box.x0, box.y0, box.x1, box.y1) for _, box in found])
    low = np.maximum(boxes[:, np.newaxis, :2], boxes[:, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:], boxes[:, 2:])
    common = np.triu((high - low > 0.5).all(axis=-1), k=1)
    assert not common.any(), [found[i][0].get_text() for i in np.argwhere(common)[0]]


def ticks(axes):
    return [
        [label.get_text() for label in axis.get_ticklabels()] for axis in (axes.yaxis, axes.xaxis)
    ]


# Heat maps


def test_half_of_a_surrogate_pair_is_drawn_as_the_replacement_character(tiny_run):
    tokenizers = tiny_run.translator.tokenizers
    words = tokenizers.source.lookup(tokenizers.source.tokenize(["o \ufffd"]))[0]
    weights = np.ones((1, 2, len(words)))
    figure = plot_attention_weights(
        "o " + chr(0xD83D), ["[START]", "a", "[END]"], weights, tokenizers=tokenizers
    )
    assert len(figure.axes[0].get_xticklabels()) == len(words)


def test_a_grid_of_layers_by_heads():
    weights = attention(2, 3, 5, 8)
    figure = plot_attention_grid(weights, TOKENS[:5], TOKENS)
    panels = np.reshape(figure.axes[:-1], (2, 3))  # the last one is the colour bar
    for layer in range(2):
        for head in range(3):
            axes = panels[layer, head]
            image = axes.images[0]
            np.testing.assert_array_equal(image.get_array(), weights[layer, head])
            assert image.get_clim() == pytest.approx((0, weights.max()))
            queries = TOKENS[:5] if head == 0 else []
            assert ticks(axes) == [queries, TOKENS if layer == 0 else []]
            assert axes.get_ylabel() == (f"Layer {layer + 1}" if head == 0 else "")
            assert axes.get_xlabel() == (f"Head {head + 1}" if layer == 1 else "")
            # The first query is at the top.
            top, bottom = (axes.transData.transform((0, row))[1] for row in (0, 4))
            assert top > bottom
    assert_readable(figure)


def test_a_grid_of_what_was_chosen():
    weights = attention(4, 8, 8, 8)
    figure = plot_attention_grid(weights, TOKENS, layers=[4], heads=[2, 7], hide=["[START]"])
    assert [axes.get_xlabel() for axes in figure.axes[:-1]] == ["Head 2", "Head 7"]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), weights[3, 6, 1:, 1:])
    assert ticks(figure.axes[0]) == [TOKENS[1:], TOKENS[1:]]


@pytest.mark.parametrize("length", [1, 40])
def test_the_labels_of_a_grid_can_be_read(length):
    tokens = sentence(length)
    assert_readable(plot_attention_grid(attention(2, 2, length, length), tokens))


def test_a_picture_too_large_to_print_has_no_tokens():
    figure = plot_attention_grid(attention(1, 10, 40, 40), sentence(40))
    assert figure.get_size_inches()[0] < 15
    assert ticks(figure.axes[0]) == [[], []]
    assert figure.axes[9].get_xlabel() == "Head 10"
    assert_readable(figure)


@pytest.mark.parametrize(
    ("choice", "title"),
    [
        ({}, "Mean of 2 layers, 3 heads each"),
        ({"layers": [2]}, "Mean of 3 heads, layer 2"),
        ({"heads": [3]}, "Mean of 2 layers, head 3"),
        ({"layers": [1], "heads": [2]}, "Layer 1, head 2"),
    ],
)
def test_an_average_is_the_mean_of_what_was_chosen(choice, title):
    weights = attention(2, 3, 5, 8)
    figure = plot_attention_average(weights, TOKENS[:5], TOKENS, **choice)
    axes = figure.axes[0]
    layers, heads = choice.get("layers", [1, 2]), choice.get("heads", [1, 2, 3])
    mean = np.mean([weights[i - 1, j - 1] for i in layers for j in heads], axis=0)
    np.testing.assert_allclose(axes.images[0].get_array(), mean, rtol=1e-6)
    assert axes.get_title() == title
    assert ticks(axes) == [TOKENS[:5], TOKENS]


@pytest.mark.parametrize("length", [1, 40])
def test_the_labels_of_an_average_can_be_read(length):
    tokens = sentence(length)
    assert_readable(plot_attention_average(attention(2, 2, length, length), tokens))


# Lines


def drawn(figure):
    """Lines as (weight's share, colour, y at the left, y at the right); squares by position."""
    lines, squares = figure.axes[0].collections
    found = [
        (width, tuple(colour), segment[0][1], segment[1][1])
        for width, colour, segment in zip(
            lines.get_linewidths(), lines.get_colors(), lines.get_segments(), strict=True
        )
    ]
    boxes = [path.get_extents() for path in squares.get_paths()]
    order = {x: column for column, x in enumerate(sorted({round(box.x0, 3) for box in boxes}))}
    shades = {
        (order[round(box.x0, 3)], round((box.y0 + box.y1) / 2)): tuple(colour)
        for box, colour in zip(boxes, squares.get_facecolors(), strict=True)
    }
    return found, shades


def test_lines_of_one_word():
    weights = attention(2, 3, 8, 8)
    figure = plot_attention_lines(weights, TOKENS, word="sua", heads=[3, 1])
    of_word = weights[1][[2, 0], 5]  # (heads, key)
    shares = of_word / of_word.max()
    lines, squares = drawn(figure)
    thickest = max(width for width, *_ in lines)
    seen = np.zeros_like(shares)
    for width, colour, left, right in lines:
        head = COLOURS.index(next(name for name in COLOURS if to_rgba(name)[:3] == colour[:3]))
        key = round(right)
        assert round(left) == 5
        assert left - 5 == pytest.approx(right - key)  # heads keep their order
        assert colour[3] == pytest.approx(0.2 + 0.8 * shares[head, key], rel=1e-5)
        seen[head, key] = width / thickest
    np.testing.assert_allclose(seen, np.where(shares < 0.04, 0, shares), rtol=1e-5)
    widths = [width for width, *_ in lines]
    assert widths == sorted(widths)  # the strong ones on top
    for head in range(2):
        for key in range(8):
            expected = to_rgba(COLOURS[head], shares[head, key])
            assert squares[head, key] == pytest.approx(expected, abs=1e-5)
    labels = [text.get_text() for text, _ in texts(figure)]
    assert f"Thickest line: weight {of_word.max():.2f}" in labels
    assert {"Layer 2, head", "3", "1"} <= set(labels)


def test_the_word_that_looks_stands_out():
    figure = plot_attention_lines(attention(3, 8, 8), TOKENS, word="lei")
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold"]
    assert bold == ["le", "##i"]
    assert {round(left) for _, _, left, _ in drawn(figure)[0]} == {2, 3}


def test_lines_of_all_words_and_between_languages():
    weights = attention(1, 5, 8)
    figure = plot_attention_lines(weights, TOKENS[:5], TOKENS)
    lines, squares = drawn(figure)
    assert {round(left) for _, _, left, _ in lines} == set(range(5))
    mean = weights[0].mean(axis=0)
    assert squares[0, 3][3] == pytest.approx(mean[3] / mean.max(), rel=1e-5)
    columns = {}
    for text in figure.axes[0].texts[:13]:
        columns.setdefault(text.get_horizontalalignment(), []).append(text.get_text())
    assert columns == {"right": TOKENS[:5], "left": TOKENS}
    # The first token is at the top.
    heights = [box.y0 for text, box in texts(figure) if text.get_text() in TOKENS]
    assert all(upper > lower for upper, lower in pairwise(heights[:5]))


def test_the_heads_of_a_layer():
    weights = attention(2, 3, 8, 8)
    _, last = drawn(plot_attention_lines(weights, TOKENS, word=5))
    _, first = drawn(plot_attention_lines(weights, TOKENS, word=5, layer=1))
    assert last[0, 0] != first[0, 0]
    np.testing.assert_allclose(
        first[2, 6][3], weights[0, 2, 5, 6] / weights[0, :, 5].max(), rtol=1e-5
    )


def test_attention_to_nothing_is_no_line():
    lines, _ = drawn(plot_attention_lines(np.zeros((2, 8, 8)), TOKENS, word=1))
    assert lines == []


@pytest.mark.parametrize(("length", "heads"), [(1, 1), (40, 8)])
def test_the_labels_of_lines_can_be_read(length, heads):
    figure = plot_attention_lines(attention(heads, length, length), sentence(length), word=0)
    assert_readable(figure)
    # Nothing but lines between the columns.
    left, right = (figure.axes[0].transData.transform((x, 0))[0] for x in (0, 2.6))
    assert right > left + 100
    for text, box in texts(figure)[: 2 * length]:
        assert box.x1 <= left or box.x0 >= right, text.get_text()


def test_more_heads_than_colours_are_refused():
    with pytest.raises(InputError, match=r"9 heads have more lines .* at most 8 with heads="):
        plot_attention_lines(attention(9, 8, 8), TOKENS, word=1)
    with pytest.raises(InputError, match="'le' stands at the positions"):
        plot_attention_lines(attention(2, 3, 3), ["le", "a", "le"], word="le")
