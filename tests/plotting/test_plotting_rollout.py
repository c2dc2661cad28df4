"""The roll-out of attention: a distribution over the input, by hand and in the picture."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_transformer.errors import InputError
from keras_transformer.plotting.rollout import attention_rollout, plot_attention_rollout


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def weights(rng, *shape):
    exponentials = np.exp(rng.normal(size=shape))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.fixture
def scores(rng):
    """Of three layers, two images, four heads, a class token and 2 x 3 patches."""
    return [weights(rng, 2, 4, 7, 7) for _ in range(3)]


def test_rows_are_distributions(scores):
    rollout = attention_rollout(scores)
    assert rollout.shape == (2, 7, 7)
    assert (rollout >= 0).all()
    np.testing.assert_allclose(rollout.sum(axis=-1), 1)


def test_heads_that_look_at_themselves_move_nothing(scores):
    themselves = np.broadcast_to(np.eye(7), (2, 4, 7, 7))
    np.testing.assert_allclose(attention_rollout([themselves] * 3)[0], np.eye(7))
    still = attention_rollout([scores[0], themselves, scores[1]])
    np.testing.assert_allclose(still, attention_rollout(scores[:2]))


def test_a_row_that_sees_nothing_keeps_its_own(scores):
    scores[0][:, :, 3] = 0  # as a query without a visible key has it
    np.testing.assert_allclose(attention_rollout(scores[:1])[:, 3], [np.eye(7)[3]] * 2)


def test_two_layers_by_hand(rng):
    first, second = weights(rng, 1, 2, 2), weights(rng, 1, 2, 2)
    expected = (second[0] + np.eye(2)) / 2 @ (first[0] + np.eye(2)) / 2
    np.testing.assert_allclose(attention_rollout([first, second]), expected)


def test_images_are_independent(scores):
    alone = attention_rollout([layer[1] for layer in scores])
    np.testing.assert_allclose(alone, attention_rollout(scores)[1])


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        ([], "no attention weights to roll out"),
        ([np.ones((2, 3, 4))], r"attention weights of shape \(2, 3, 4\)"),
        ([np.ones((3, 3))], r"attention weights of shape \(3, 3\)"),
        ([np.ones((1, 3, 3)), np.ones((1, 4, 4))], "over 4 and over 3 positions"),
    ],
)
def test_what_cannot_be_rolled_out_is_named(scores, complaint):
    with pytest.raises(InputError, match=complaint):
        attention_rollout(scores)


# The picture


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title()]


@pytest.mark.parametrize("class_token", [True, False])
def test_the_picture_shows_where_it_looked(class_token, rng):
    image = np.full((8, 12), 0.5)
    rollout = np.full((6 + class_token, 6 + class_token), 0.01)
    rollout[:, class_token + 4] = 0.7  # the second patch of the second row
    open_before = pyplot.get_fignums()
    figure = plot_attention_rollout(image, rollout, patch_size=4, title="A nine")
    assert pyplot.get_fignums() == open_before
    pictures = [axes.get_images()[0].get_array() for axes in panels(figure)]
    assert [picture.shape[:2] for picture in pictures] == [(8, 12)] * 3
    for picture in pictures[1:]:
        rows, columns = np.nonzero(picture == picture.max())
        assert set(rows) <= set(range(4, 8))
        assert set(columns) <= set(range(4, 8))
    # Dim, not black, where it did not look.
    assert 0.05 < pictures[1].min() < 0.1
    np.testing.assert_allclose(pictures[1].max(), 0.5)


def test_colours_are_kept_and_bytes_are_understood(rng):
    image = rng.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    figure = plot_attention_rollout(image, np.full((4, 4), 0.25), patch_size=2)
    shown, lit = (axes.get_images()[0].get_array() for axes in panels(figure)[:2])
    np.testing.assert_allclose(shown, image / 255)
    np.testing.assert_allclose(lit, image / 255)  # all patches alike: no shade


def test_nothing_is_cut(rng):
    figure = plot_attention_rollout(
        rng.random((16, 8)), attention_rollout([weights(rng, 2, 9, 9)]), patch_size=4, title="Tall"
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        box = axes.get_tightbbox(canvas.get_renderer())
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1


@pytest.mark.parametrize(
    ("image", "rollout", "complaint"),
    [
        (np.zeros((4, 4, 2)), np.eye(5), r"image of shape \(4, 4, 2\)"),
        (np.full((4, 4), 16.0), np.eye(5), "pixels from 16 to 16"),
        (np.full((4, 4), np.nan), np.eye(5), "pixels from nan to nan"),
        (np.zeros((4, 4)), np.ones((2, 5, 5)), r"roll-out of shape \(2, 5, 5\)"),
        (np.zeros((4, 4)), np.eye(6), "over 6 positions does not fit an image of 4 x 4"),
        (np.zeros((4, 5)), np.eye(5), "does not fit an image of 4 x 5 in patches of 2 x 2"),
    ],
)
def test_what_does_not_fit_is_named(image, rollout, complaint):
    with pytest.raises(InputError, match=complaint):
        plot_attention_rollout(image, rollout, patch_size=2)
