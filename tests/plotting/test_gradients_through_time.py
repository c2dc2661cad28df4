"""Gradients through time: the closed form, finite differences, and what vanishes where."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.recurrent.attention import DotAttention
from keras_transformer.layers.recurrent.cells import CELLS, RNNCell, make_cell
from keras_transformer.plotting.gradients import gradient_norms_through_time

STEPS = 6


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(7)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, STEPS, 3)).astype("float32")


def built(kind, rng, **kwargs):
    cell = make_cell(kind, 4, **kwargs)
    cell.build((None, 3))
    for weight in cell.weights:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return cell


def last_of(hidden):
    return tf.reduce_sum(hidden[:, -1] ** 2)


def test_the_vanilla_cell_by_its_closed_form(x, rng):
    cell = built("rnn", rng)
    (norms,) = gradient_norms_through_time(cell, x, last_of)
    kernel, recurrent, bias = (weight.numpy() for weight in cell.weights)
    hidden = [np.zeros((2, 4))]
    for position in range(STEPS):
        hidden.append(np.tanh(bias + hidden[-1] @ recurrent + x[:, position] @ kernel))
    gradient = 2 * hidden[-1]
    assert norms.shape == (2, STEPS)
    for position in reversed(range(STEPS)):
        np.testing.assert_allclose(
            norms[:, position], np.linalg.norm(gradient, axis=-1), rtol=1e-4, atol=1e-6
        )
        # h_{t-1} W is a row times a matrix, so its transpose comes back
        gradient = (gradient * (1 - hidden[position + 1] ** 2)) @ recurrent.T


@pytest.mark.parametrize("kind", CELLS)
def test_finite_differences_give_the_same(kind, x, rng):
    """A small change of the state after a step, and the loss that the rest of the way makes."""
    cell = built(kind, rng, dtype="float64")
    x = x.astype("float64")
    norms = gradient_norms_through_time(cell, x, last_of)

    def loss_after(position, states):
        for inputs in tf.unstack(x[:, position + 1 :], axis=1):
            _, states = cell(inputs, states)
        return float(tf.reduce_sum(states[0] ** 2))

    states = cell.get_initial_state(2)
    for position in range(STEPS - 1):
        _, states = cell(x[:, position], states)
        gradient = np.zeros((2, 4))
        for row, unit in np.ndindex(2, 4):
            nudge = np.zeros((2, 4))
            nudge[row, unit] = 1e-5
            up = loss_after(position, [states[0] + nudge, *states[1:]])
            down = loss_after(position, [states[0] - nudge, *states[1:]])
            gradient[row, unit] = (up - down) / 2e-5
        np.testing.assert_allclose(
            norms[0][:, position], np.linalg.norm(gradient, axis=-1), rtol=1e-4, atol=1e-7
        )


def test_the_lstm_has_two_states(x, rng):
    of_h, of_c = gradient_norms_through_time(built("lstm", rng), x, last_of)
    assert of_h.shape == of_c.shape == (2, STEPS)
    assert (of_c.numpy() > 0).all()


@pytest.mark.parametrize("kind", CELLS)
def test_padding_has_no_gradient_and_changes_none(kind, x, rng):
    cell = built(kind, rng)
    mask = np.array([[True] * STEPS, [True] * 4 + [False] * 2])
    norms = gradient_norms_through_time(cell, x, last_of, mask)
    alone = gradient_norms_through_time(cell, x[1:, :4], last_of)
    for padded, short in zip(norms, alone, strict=True):
        assert not padded[1, 4:].numpy().any()
        np.testing.assert_allclose(padded[1, :4], short[0], rtol=1e-4, atol=1e-6)
        assert (padded[0].numpy() > 0).all()


def test_a_cell_of_keras_is_as_good(x, rng):
    cell = built("gru", rng)
    twin = keras.layers.GRUCell(4)
    twin.build((None, 3))
    twin.set_weights(cell.get_weights())
    ours, theirs = (gradient_norms_through_time(each, x, last_of)[0] for each in (cell, twin))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_gates_and_attention_carry_what_the_vanilla_cell_loses(rng):
    x = rng.normal(size=(4, 60, 3)).astype("float32")

    def share_of_first_step(kind, loss=last_of):
        keras.utils.set_random_seed(7)
        cell = make_cell(kind, 16)
        cell.build((None, 3))
        cell.recurrent_kernel.assign(0.5 * cell.recurrent_kernel)  # its largest stretch is a half
        norms = gradient_norms_through_time(cell, x, loss)[-1].numpy()
        return (norms[:, 0] / norms.max(axis=1)).mean()

    attention = DotAttention()

    def attended(hidden):
        context, _ = attention(hidden[:, -1:], hidden)
        return tf.reduce_sum(context**2)

    vanilla = share_of_first_step("rnn")
    assert vanilla < 1e-15
    assert share_of_first_step("lstm") > 1e3 * vanilla
    assert share_of_first_step("rnn", attended) > 1e-3


def test_an_unknown_length_is_refused(rng):
    cell = RNNCell(4)
    cell.build((None, 3))
    function = tf.function(
        lambda x: gradient_norms_through_time(cell, x, last_of)[0],
        input_signature=[tf.TensorSpec((None, None, 3))],
    )
    with pytest.raises(ValueError, match="Every time step"):
        function.get_concrete_function()
