"""Recurrent layers: equal to Keras' own, blind to padding and to the future, the same in a loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.recurrent.cells import (
    CELLS,
    GRUCell,
    LSTMCell,
    OutputRecurrentCell,
    RNNCell,
    make_cell,
)
from keras_transformer.layers.recurrent.layer import Recurrent, unroll
from keras_transformer.layers.recurrent.stack import RecurrentStack


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


KINDS = pytest.mark.parametrize("kind", CELLS)
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])

KEEP = np.array([[True] * 6, [True] * 4 + [False] * 2, [False] * 6])
TWINS = {
    "rnn": (RNNCell, keras.layers.SimpleRNNCell, {}),
    "lstm": (LSTMCell, keras.layers.LSTMCell, {}),
    "gru": (GRUCell, keras.layers.GRUCell, {}),
    "gru of the paper": (GRUCell, keras.layers.GRUCell, {"reset_after": False}),
}


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 6, 5)).astype("float32")


def built(layer, width=5):
    layer.build((None, None, width))
    return layer


# Cells


@pytest.mark.parametrize("name", TWINS)
def test_cells_equal_those_of_keras(name, x, randomise):
    ours, theirs, options = TWINS[name]
    twin = keras.layers.RNN(theirs(4, **options), return_sequences=True, return_state=True)
    layer = keras.layers.RNN(ours(4, **options), return_sequences=True, return_state=True)
    layer.build(x.shape)
    twin.build(x.shape)
    assert [w.shape for w in layer.weights] == [w.shape for w in twin.weights]
    assert [w.name for w in layer.weights] == [w.name for w in twin.weights]
    randomise(layer)
    twin.set_weights(layer.get_weights())
    results = zip(layer(x, mask=KEEP), twin(x, mask=KEEP), strict=True)
    for mine, expected in results:
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-5)
    outputs, states = unroll(layer.cell, x, keep=tf.constant(KEEP))
    for mine, expected in zip([outputs, *states], twin(x, mask=KEEP), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-5)


def test_fresh_cells_start_as_those_of_keras_do(x):
    for ours, theirs, options in TWINS.values():
        cell, twin = ours(4, **options), theirs(4, **options)
        cell.build((None, 5))
        twin.build((None, 5))
        np.testing.assert_array_equal(cell.bias, twin.bias)
        recurrent = numbers(cell.recurrent_kernel)
        np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(4), atol=1e-5)


def test_the_lstm_by_its_equations(x, randomise):
    cell = LSTMCell(4)
    cell.build((None, 5))
    randomise(cell)
    (u_i, u_f, u_g, u_o), (w_i, w_f, w_g, w_o) = (
        np.split(numbers(kernel), 4, axis=1) for kernel in (cell.kernel, cell.recurrent_kernel)
    )
    b_i, b_f, b_g, b_o = np.split(numbers(cell.bias), 4)
    h = c = np.zeros((3, 4))
    for x_t in x.transpose(1, 0, 2):
        i = sigmoid(b_i + h @ w_i + x_t @ u_i)
        f = sigmoid(b_f + h @ w_f + x_t @ u_f)
        g = np.tanh(b_g + h @ w_g + x_t @ u_g)
        o = sigmoid(b_o + h @ w_o + x_t @ u_o)
        c = f * c + i * g
        h = o * np.tanh(c)
    _, states = unroll(cell, x)
    np.testing.assert_allclose(states[0], h, atol=1e-5)
    np.testing.assert_allclose(states[1], c, atol=1e-5)


def test_the_recurrence_from_the_output(x, randomise):
    cell = OutputRecurrentCell(4, 3, output_activation="softmax")
    layer = keras.layers.RNN(cell, return_sequences=True)
    layer.build(x.shape)
    randomise(layer)
    kernel, recurrent, bias, out, out_bias = (numbers(weight) for weight in cell.weights)
    o, expected = np.zeros((3, 3)), []
    for x_t in x.transpose(1, 0, 2):
        h = np.tanh(bias + o @ recurrent + x_t @ kernel)
        o = np.exp(h @ out + out_bias)
        o /= o.sum(axis=-1, keepdims=True)
        expected.append(o)
    expected = np.stack(expected, axis=1)
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(unroll(cell, x)[0], expected, rtol=0, atol=1e-5)
    copy = keras.layers.deserialize(keras.layers.serialize(cell))
    assert copy.get_config() == cell.get_config()


def test_cells_stack_in_keras_layers(x):
    layer = keras.layers.RNN([LSTMCell(4), GRUCell(3), RNNCell(2)])
    assert layer(x).shape == (3, 2)
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x), layer(x))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"one of rnn, lstm, gru; got 'elman'"):
        make_cell("elman", 4)
    with pytest.raises(ValueError, match="got units=0"):
        GRUCell(0)
    with pytest.raises(ValueError, match="got num_layers=0"):
        RecurrentStack("gru", 4, num_layers=0)
    stack = built(RecurrentStack("gru", 4, bidirectional=True))
    with pytest.raises(ValueError, match="cannot go on step by step"):
        stack.step(tf.zeros((1, 1, 5)), [[tf.zeros((1, 1, 4))]])


# Layers


@KINDS
@DIRECTIONS
def test_a_layer_equals_keras_own(kind, bidirectional, x, randomise):
    layer = randomise(built(Recurrent(kind, 4, bidirectional=bidirectional)))
    theirs = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
    twin = theirs[kind](4, return_sequences=True)
    if bidirectional:
        twin = keras.layers.Bidirectional(twin)
    twin.build(x.shape)
    twin.set_weights(layer.get_weights())
    real = KEEP[..., np.newaxis]
    expected = np.where(real, twin(x, mask=KEEP), 0)
    np.testing.assert_allclose(np.where(real, layer(x, mask=KEEP), 0), expected, atol=1e-5)


@KINDS
@DIRECTIONS
def test_padding_changes_nothing(kind, bidirectional, dtype_policy, tolerance, x, randomise, rng):
    layer = built(Recurrent(kind, 4, bidirectional=bidirectional, dtype=dtype_policy))
    randomise(layer)
    outputs, states = layer.run(x, KEEP)
    junk = np.concatenate([np.where(KEEP[..., np.newaxis], x, 9), np.full((3, 2, 5), 7.0)], axis=1)
    padded, padded_states = layer.run(junk, np.pad(KEEP, ((0, 0), (0, 2))))
    assert outputs.dtype == layer.compute_dtype
    np.testing.assert_allclose(
        numbers(padded)[:, :6][KEEP], numbers(outputs)[KEEP], rtol=0, atol=tolerance
    )
    alone, alone_states = layer.run(x[1:2, :4])
    np.testing.assert_allclose(numbers(alone)[0], numbers(outputs)[1, :4], rtol=0, atol=tolerance)
    for state, after, short in zip(states, padded_states, alone_states, strict=True):
        np.testing.assert_allclose(numbers(after), numbers(state), rtol=0, atol=tolerance)
        np.testing.assert_allclose(numbers(short)[0], numbers(state)[1], rtol=0, atol=tolerance)
        assert not numbers(state)[2].any()  # nothing read, nothing known


@KINDS
def test_the_future_changes_nothing_in_one_direction(kind, x, randomise):
    changed = np.concatenate([x[:, :3], x[:, 3:] + 1], axis=1)
    layer = randomise(built(RecurrentStack(kind, 4, num_layers=2, skip_connections=True)))
    np.testing.assert_allclose(layer(changed)[:, :3], layer(x)[:, :3], rtol=0, atol=1e-6)
    assert np.abs(layer(changed)[:, 3] - layer(x)[:, 3]).max() > 1e-2
    both = randomise(built(RecurrentStack(kind, 4, bidirectional=True)))
    assert np.abs(both(changed)[:, 0] - both(x)[:, 0]).max() > 1e-4


@KINDS
@DIRECTIONS
def test_many_to_one_is_the_last_real_position(kind, bidirectional, x, randomise):
    many = randomise(built(Recurrent(kind, 4, bidirectional=bidirectional)))
    one = built(Recurrent(kind, 4, bidirectional=bidirectional, return_sequences=False))
    one.set_weights(many.get_weights())
    every, last = numbers(many(x, mask=KEEP)), numbers(one(x, mask=KEEP))
    assert last.shape == (3, 8 if bidirectional else 4)
    np.testing.assert_allclose(last[0, :4], every[0, 5, :4], atol=1e-6)
    np.testing.assert_allclose(last[1, :4], every[1, 3, :4], atol=1e-6)
    np.testing.assert_allclose(last[:2, 4:], every[:2, 0, 4:], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "bidirectional"),
    [
        ("lstm", True),
        ("gru", False),
        slow("lstm", False),
        slow("gru", True),
        slow("rnn", False),
        slow("rnn", True),
    ],
)
def test_through_keras_is_the_same_layer(kind, bidirectional, x, randomise, tmp_path):
    plain = randomise(built(Recurrent(kind, 4, bidirectional=bidirectional)))
    layer = built(Recurrent(kind, 4, bidirectional=bidirectional, through_keras=True))
    assert len(layer.weights) == len(plain.weights)
    layer.set_weights(plain.get_weights())
    keep = KEEP[:2]
    results = layer.run(x[:2], keep), plain.run(x[:2], keep)
    (outputs, states), (expected, expected_states) = results
    np.testing.assert_allclose(numbers(outputs)[keep], numbers(expected)[keep], atol=1e-5)
    for state, same in zip(states, expected_states, strict=True):
        np.testing.assert_allclose(state, same, rtol=0, atol=1e-5)
    compiled = tf.function(lambda x: layer.run(x, keep)[0], jit_compile=True)
    np.testing.assert_allclose(numbers(compiled(x[:2])), numbers(expected), atol=1e-5)

    inputs = keras.Input((None, 5))
    keras.Model(inputs, layer(inputs)).save_weights(tmp_path / "through.weights.h5")
    plain_model = keras.Model(
        inputs, built(Recurrent(kind, 4, bidirectional=bidirectional))(inputs)
    )
    plain_model.load_weights(tmp_path / "through.weights.h5")
    np.testing.assert_array_equal(plain_model(x), plain(x))


def test_the_mask_may_be_keras_own_or_numeric(x, randomise):
    layer = randomise(built(Recurrent("gru", 4, bidirectional=True)))
    expected = layer(x, mask=KEEP)
    carrying = tf.constant(x)
    carrying._keras_mask = tf.constant(KEEP)
    np.testing.assert_array_equal(layer(carrying), expected)
    np.testing.assert_array_equal(layer(x, mask=1.0 - KEEP), expected)


# Stacks


@pytest.mark.parametrize("skip_connections", [False, True], ids=["plain", "skip"])
@KINDS
def test_a_stack_is_its_layers(kind, skip_connections, x, randomise):
    stack = RecurrentStack(kind, 5, num_layers=3, skip_connections=skip_connections)
    randomise(built(stack))
    y = x
    for layer in stack.layers:
        y = layer(y, mask=KEEP) + (y if skip_connections else 0)
    np.testing.assert_allclose(stack(x, mask=KEEP), y, rtol=0, atol=1e-5)


def test_skip_connections_need_one_width(x):
    narrow = built(RecurrentStack("rnn", 4, num_layers=2, skip_connections=True))
    first, second = narrow.layers
    hidden = first(x)
    np.testing.assert_allclose(narrow(x), hidden + second(hidden), rtol=0, atol=1e-6)


@KINDS
def test_steps_equal_the_whole_sequence(kind, dtype_policy, tolerance, x, randomise):
    stack = RecurrentStack(kind, 4, num_layers=2, skip_connections=True, dtype=dtype_policy)
    randomise(built(stack))
    expected, last = stack.run(x)
    states = [
        [tf.zeros((3, 1, 4), stack.compute_dtype)] * len(layer.cells[0].state_sizes)
        for layer in stack.layers
    ]
    for position in range(6):
        output, states = stack.step(x[:, position : position + 1], states)
        np.testing.assert_allclose(
            numbers(output)[:, 0], numbers(expected)[:, position], rtol=0, atol=tolerance
        )
    for state, same in zip(tf.nest.flatten(states), tf.nest.flatten(last), strict=True):
        np.testing.assert_allclose(numbers(state)[:, 0], numbers(same), rtol=0, atol=tolerance)


@pytest.mark.slow
@KINDS
def test_xla_equals_eager_with_gradients(kind, x, randomise):
    stack = randomise(built(RecurrentStack(kind, 4, num_layers=2, bidirectional=True)))

    def loss_and_gradients(x, keep):
        with tf.GradientTape() as tape:
            outputs = stack(x, mask=keep)
            loss = tf.reduce_sum(outputs**2)
        return outputs, tape.gradient(loss, stack.trainable_weights)

    expected, gradients = loss_and_gradients(x, KEEP)
    for jit_compile in (False, True):
        function = tf.function(loss_and_gradients, jit_compile=jit_compile)
        found, found_gradients = function(tf.constant(x), tf.constant(KEEP))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        for gradient, same in zip(found_gradients, gradients, strict=True):
            assert np.abs(same).max() > 1e-6
            np.testing.assert_allclose(gradient, same, rtol=1e-4, atol=1e-4)


def test_a_stack_drops_the_same_at_every_position(x):
    stack = built(RecurrentStack("gru", 4, num_layers=3, dropout_rate=0.5))
    masks = stack.draw_dropout(tf.constant(x), training=True)
    assert [part.shape for part in masks] == [(3, 1, 4)] * 2
    assert set(np.unique(masks[0])) <= {0, 2}
    assert stack.draw_dropout(tf.constant(x), training=False) is None
    np.testing.assert_array_equal(stack(x), stack(x, training=False))
    assert np.abs(stack(x, training=True) - stack(x)).max() > 1e-3


@pytest.mark.parametrize("layer_class", [Recurrent, RecurrentStack])
def test_configs_round_trip(layer_class, x):
    more = {}
    if layer_class is RecurrentStack:
        more = {"num_layers": 2, "skip_connections": True, "dropout_rate": 0.25}
    layer = layer_class(
        "lstm",
        4,
        bidirectional=True,
        return_sequences=False,
        through_keras=True,
        dtype="mixed_bfloat16",
        **more,
    )
    built(layer)
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(numbers(copy(x)), numbers(layer(x)))


def test_a_functional_model_saves_and_loads(x, tmp_path):
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, 5, mask_zero=True)(inputs)
    hidden = RecurrentStack("lstm", 4, num_layers=2, bidirectional=True)(embedded)
    outputs = Recurrent("gru", 3, return_sequences=False)(hidden)
    model = keras.Model(inputs, outputs)
    ids = np.array([[3, 4, 5, 0], [6, 7, 0, 0]])
    np.testing.assert_allclose(model(ids), model(np.pad(ids, ((0, 0), (0, 3)))), atol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "model.keras")(ids), model(ids)
    )
