"""Cells of recurrent networks, each with its equations.

A cell computes one step of a recurrence. The product of inputs with ``U`` does not depend on the
state and is computed for a whole sequence at once (`project`); the rest runs step by step
(`advance`). Weights have the names, shapes and order of Keras' cells.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError


def affine(x, kernel, bias=None) -> tf.Tensor:
    """``x kernel + bias`` along the last axis of `x`, ``(..., width)``, in the dtype of `x`."""
    x = tf.convert_to_tensor(x)
    kernel = tf.cast(tf.convert_to_tensor(kernel), x.dtype)
    # With two axes, as in loops, `tensordot` would spend more time on shapes than on numbers.
    y = tf.matmul(x, kernel) if x.shape.rank == 2 else tf.tensordot(x, kernel, 1)
    return y if bias is None else y + tf.cast(tf.convert_to_tensor(bias), x.dtype)


class RecurrentCell(keras.layers.Layer):
    """Base of the cells, any of which works in ``keras.layers.RNN``.

    A subclass computes the new states from those before (`advance`).

    Args:
        units: width of the hidden state.

    Call arguments:
        inputs: one position of every sequence, ``(batch, width)``.
        states: list of the states before, ``(batch, units)`` each.

    Returns:
        ``(output, states)``: the first of the new states, and all of them.
    """

    blocks = 1
    """Number of matrices that are concatenated in the kernel, and in the recurrent kernel."""

    # Keras' layers check these before they call cuDNN.
    activation = staticmethod(keras.activations.tanh)
    recurrent_activation = staticmethod(keras.activations.sigmoid)
    dropout = recurrent_dropout = 0.0

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        if units <= 0:
            raise InputError(f"A recurrent cell has at least one unit; got units={units}.")
        self.units = int(units)

    @property
    def state_size(self):
        """Width of the state, or a list of the widths of several."""
        return self.units

    @property
    def state_sizes(self) -> list:
        """Widths of all states."""
        size = self.state_size
        return list(size) if isinstance(size, list) else [size]

    @property
    def output_size(self) -> int:
        return self.state_sizes[0]

    def build(self, input_shape):
        columns = self.blocks * self.units
        self.kernel = self.add_weight(
            shape=(input_shape[-1], columns), initializer="glorot_uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.output_size, columns), initializer="orthogonal", name="recurrent_kernel"
        )
        self.bias = self.add_weight(
            shape=self.bias_shape(), initializer=self.initial_bias, name="bias"
        )

    def bias_shape(self) -> tuple:
        return (self.blocks * self.units,)

    def initial_bias(self, shape, dtype=None) -> tf.Tensor:
        return tf.zeros(shape, dtype)

    def project(self, x) -> tf.Tensor:
        """Projects the input: ``b + U x``.

        Args:
            x: ``(..., width)``.

        Returns:
            ``(..., blocks * units)``.
        """
        return affine(x, self.kernel, self.bias)

    def advance(self, projected, states) -> list:
        """Computes one step of the recurrence.

        Args:
            projected: from `project` at one position, ``(..., blocks * units)``.
            states: the states before it, ``(..., units)`` each.

        Returns:
            the new states; the first is the output.
        """
        raise NotImplementedError

    def call(self, inputs, states, training=None):
        several = isinstance(states, list | tuple)
        new_states = self.advance(self.project(inputs), list(states) if several else [states])
        return new_states[0], new_states if several else new_states[0]

    def get_initial_state(self, batch_size=None) -> list:
        """States of zeros, ``(batch_size, units)`` each."""
        return [tf.zeros((batch_size, size), self.compute_dtype) for size in self.state_sizes]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("keras_transformer")
class RNNCell(RecurrentCell):
    """The simple recurrent cell (Elman 1990), as ``keras.layers.SimpleRNNCell``.

    ::

        h_t = tanh(b + W h_{t-1} + U x_t)

    Example:
        >>> layer = keras.layers.RNN(RNNCell(16))
        >>> layer(tf.random.uniform((2, 7, 5))).shape
        TensorShape([2, 16])
    """

    def advance(self, projected, states):
        (h,) = states
        return [tf.tanh(projected + affine(h, self.recurrent_kernel))]


@keras.saving.register_keras_serializable("keras_transformer")
class LSTMCell(RecurrentCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), as ``keras.layers.LSTMCell``.

    ::

        i_t = sigmoid(b_i + W_i h_{t-1} + U_i x_t)     input gate
        f_t = sigmoid(b_f + W_f h_{t-1} + U_f x_t)     forget gate
        g_t = tanh(b_g + W_g h_{t-1} + U_g x_t)        candidate
        o_t = sigmoid(b_o + W_o h_{t-1} + U_o x_t)     output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    The forget gate's bias starts at 1, so that a fresh cell remembers. The states are ``h`` and
    ``c``.
    """

    blocks = 4

    @property
    def state_size(self):
        return [self.units, self.units]

    def initial_bias(self, shape, dtype=None):
        is_forget_gate = tf.range(shape[0]) // self.units == 1
        return tf.cast(is_forget_gate, dtype or tf.float32)

    def advance(self, projected, states):
        h, c = states
        gates = projected + affine(h, self.recurrent_kernel)
        i, f, g, o = tf.split(gates, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        return [h, c]


@keras.saving.register_keras_serializable("keras_transformer")
class GRUCell(RecurrentCell):
    """Gated recurrent unit (Cho et al. 2014), as ``keras.layers.GRUCell``.

    ::

        z_t = sigmoid(b_z + W_z h_{t-1} + U_z x_t)              update gate
        r_t = sigmoid(b_r + W_r h_{t-1} + U_r x_t)              reset gate
        g_t = tanh(b_g + r_t * (d_g + W_g h_{t-1}) + U_g x_t)   candidate
        h_t = z_t * h_{t-1} + (1 - z_t) * g_t

    Args:
        units: width of the hidden state.
        reset_after: apply the reset gate after the product with ``W_g``, as above and in cuDNN;
            ``False`` applies it before, ``W_g (r_t * h_{t-1})``, as in the paper.
    """

    blocks = 3

    def __init__(self, units, *, reset_after=True, **kwargs):
        super().__init__(units, **kwargs)
        self.reset_after = reset_after

    def bias_shape(self):
        # As in Keras, ``W h`` has its own bias where the reset gate applies to it.
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def project(self, x):
        return affine(x, self.kernel, self.bias[0] if self.reset_after else self.bias)

    def advance(self, projected, states):
        (h,) = states
        x_gates, x_g = tf.split(projected, [2 * self.units, self.units], axis=-1)
        if self.reset_after:
            recurrent = affine(h, self.recurrent_kernel, self.bias[1])
            h_gates, h_g = tf.split(recurrent, [2 * self.units, self.units], axis=-1)
        else:
            h_gates = affine(h, self.recurrent_kernel[:, : 2 * self.units])
        z, r = tf.split(tf.sigmoid(x_gates + h_gates), 2, axis=-1)
        if self.reset_after:
            g = tf.tanh(x_g + r * h_g)
        else:
            g = tf.tanh(x_g + affine(r * h, self.recurrent_kernel[:, 2 * self.units :]))
        return [z * h + (1 - z) * g]

    def get_config(self):
        return {**super().get_config(), "reset_after": self.reset_after}


@keras.saving.register_keras_serializable("keras_transformer")
class OutputRecurrentCell(RecurrentCell):
    """A cell whose recurrence runs from the output to the next hidden state (Jordan 1986).

    ::

        h_t = tanh(b + W o_{t-1} + U x_t)
        o_t = activation(c + V h_t)

    It is weaker than the others: only the output is remembered. With the outputs of the training
    data as ``o_{t-1}``, all steps can be trained in parallel, the origin of teacher forcing (Deep
    Learning, section 10.2.1).

    Args:
        units: width of the hidden state.
        output_units: width of the output, which is the only state.
        output_activation: activation of the output; ``None`` for none.
    """

    def __init__(self, units, output_units, *, output_activation=None, **kwargs):
        super().__init__(units, **kwargs)
        self.output_units = int(output_units)
        self.output_activation = keras.activations.get(output_activation)

    @property
    def state_size(self):
        return self.output_units

    def build(self, input_shape):
        super().build(input_shape)
        self.output_kernel = self.add_weight(
            shape=(self.units, self.output_units),
            initializer="glorot_uniform",
            name="output_kernel",
        )
        self.output_bias = self.add_weight(
            shape=(self.output_units,), initializer="zeros", name="output_bias"
        )

    def advance(self, projected, states):
        (o,) = states
        h = tf.tanh(projected + affine(o, self.recurrent_kernel))
        return [self.output_activation(affine(h, self.output_kernel, self.output_bias))]

    def get_config(self):
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "output_activation": keras.activations.serialize(self.output_activation),
        }


CELLS = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}
"""Cells by name."""


def make_cell(kind, units, **kwargs) -> RecurrentCell:
    """Makes the cell that is named `kind` in `CELLS`.

    Raises:
        ValueError: for another name.
    """
    if kind not in CELLS:
        raise InputError(f"A kind of cell is one of {', '.join(CELLS)}; got {kind!r}.")
    return CELLS[kind](units, **kwargs)
