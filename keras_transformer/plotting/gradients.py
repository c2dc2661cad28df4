"""Vanishing gradients: how much of the last step's loss reaches the steps before it.

The norms of gradients through recurrent networks and through attention, and their picture.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from keras_transformer.errors import InputError
from keras_transformer.layers.attention import masks
from keras_transformer.layers.recurrent.attention import DotAttention
from keras_transformer.layers.recurrent.cells import make_cell
from keras_transformer.plotting.style import (
    BLACK,
    BLUE,
    GREEN,
    PINK,
    SKY_BLUE,
    VERMILION,
    add_legend,
    new_figure,
)

OPEN_GATES_BIAS = 3.0
"""Bias of the gates of the cells that are called "gates open"."""

# Dashes and markers distinguish the lines in grey print.
_STYLES = (
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": VERMILION, "linestyle": "--", "marker": "s"},
    {"color": GREEN, "linestyle": "-.", "marker": "^"},
    {"color": VERMILION, "linestyle": ":", "marker": "D"},
    {"color": GREEN, "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": BLACK, "linestyle": "-", "marker": "*"},
    {"color": PINK, "linestyle": "--", "marker": "P"},
    {"color": SKY_BLUE, "linestyle": "-.", "marker": "X"},
)
_MARKS = 8  # on a line


def gradient_norms_through_time(cell, x, loss, mask=None, states=None) -> list:
    """Computes norms of the gradient of a loss with respect to the states of every time step.

    The gradients are total: they include the effect through all later states. For the simple cell
    and a loss of the last state::

        dL/dh_{t-1} = W^T diag(1 - h_t^2) dL/dh_t

    a product with a factor for every step, which vanishes or explodes with their number.

    Args:
        cell: a cell of `layers.recurrent.cells`, or any for ``keras.layers.RNN``.
        x: ``(batch, seq, width)``, of known length.
        loss: function from the first state at all steps, ``(batch, seq, units)``, to a scalar; may
            contain an attention. Hidden positions have the state of the step before.
        mask: which positions are real, ``(batch, seq)``; bool means keep, float or integer 1 means
            hidden. Gradients at hidden positions are 0.
        states: the initial states; zeros unless given.

    Returns:
        for each state of the cell (the LSTM has ``h`` and ``c``) float32 ``(batch, seq)``.

    Example:
        >>> from keras_transformer.layers.recurrent.cells import RNNCell
        >>> x = tf.random.normal((1, 50, 8))
        >>> (norms,) = gradient_norms_through_time(
        ...     RNNCell(16), x, lambda h: tf.reduce_sum(h[:, -1] ** 2))
        >>> norms.shape
        TensorShape([1, 50])
    """
    x = tf.convert_to_tensor(x)
    if x.shape[1] is None:
        raise InputError(f"Every time step is one of its own here: got a shape of {x.shape}.")
    keep = None if mask is None else masks.as_keep_mask(mask)
    carried = states or cell.get_initial_state(batch_size=tf.shape(x)[0])
    with tf.GradientTape() as tape:
        tape.watch(x)  # records all that follows from it, with or without trainable weights
        of_steps, hidden = [], []
        for position, inputs in enumerate(tf.unstack(x, axis=1)):
            _, new_states = cell(inputs, carried)
            of_steps.append(new_states)
            if keep is not None:
                real = keep[:, position, tf.newaxis]
                pairs = zip(new_states, carried, strict=True)
                new_states = [tf.where(real, *pair) for pair in pairs]
            carried = new_states
            hidden.append(carried[0])
        value = loss(tf.stack(hidden, axis=1))
    gradients = tape.gradient(value, of_steps, unconnected_gradients="zero")
    return [
        tf.stack([_norm(part) for part in of_state], axis=1)
        for of_state in zip(*gradients, strict=True)
    ]


def gradient_norms_through_attention(attention, x, loss, mask=None, query=None) -> list:
    """Computes norms of the gradient of a loss with respect to the states under an attention.

    Like `gradient_norms_through_time` for a recurrence. Through attention every state is one step
    from the loss; for the dot product with a query ``q``::

        a_j = softmax_j(q^T x_j),  c = sum_j a_j x_j
        dL/dx_j = a_j (g + ((x_j - c)^T g) q)  where  g = dL/dc

    without a product over steps.

    Args:
        attention: function ``attention(query, x, mask)`` to ``(context, weights)``, such as a layer
            of `layers.recurrent.attention`, or ``lambda q, x, mask: mha(x, x, q, mask=mask)`` for a
            `MultiHeadAttention`.
        x: the states, ``(batch, seq, width)``.
        loss: function from the contexts, ``(batch, query, width)``, to a scalar.
        mask: which states are real, ``(batch, seq)`` or ``(batch, query, seq)``; bool means keep,
            float or integer 1 means hidden. Gradients at hidden states are 0.
        query: ``(batch, query, width)``; the last state of `x` unless given, whose gradient then
            includes that of the query.

    Returns:
        a list of one tensor, float32 ``(batch, seq)``.
    """
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        context, _ = attention(x[:, -1:] if query is None else query, x, mask)
        value = loss(context)
    gradient = tape.gradient(value, x, unconnected_gradients="zero")
    return [_norm(gradient)]


def gradient_norms_by_architecture(steps=60, units=32, batch=32, seed=1) -> dict[str, np.ndarray]:
    """Computes the norms of untrained architectures, for `plot_gradients_through_time`.

    All have the same random inputs; the loss is the squared length of the last output. Cells have
    Keras' initial weights: orthogonal recurrent kernels, a bias of 1 for the LSTM's forget gate.
    "Gates open" are cells whose forget or update gate has a bias of `OPEN_GATES_BIAS`, which
    training can reach. The norms of the LSTM are those of its memory cell. Attention is a scaled
    dot product with a separate query, like that of a decoder.

    Args:
        steps: length of the sequences.
        units: width of states and inputs.
        batch: number of sequences.
        seed: of inputs and weights.

    Returns:
        float32 ``(batch, steps)`` by the name of the architecture.
    """
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x, query = (rng.normal(size=(batch, length, units)).astype(np.float32) for length in (steps, 1))

    def loss(states):
        return tf.reduce_sum(states[:, -1] ** 2)

    norms = {}
    for name, kind, gate_bias in (
        ("RNN", "rnn", None),
        ("GRU", "gru", None),
        ("LSTM", "lstm", None),
        ("GRU, gates open", "gru", OPEN_GATES_BIAS),
        ("LSTM, gates open", "lstm", OPEN_GATES_BIAS),
    ):
        cell = make_cell(kind, units)
        cell.build(x[:, 0].shape)
        if gate_bias is not None:
            _open_gates(cell, gate_bias)
        norms[name] = gradient_norms_through_time(cell, x, loss)[-1].numpy()
    attention = DotAttention(scaled=True)
    (of_states,) = gradient_norms_through_attention(attention, x, loss, query=query)
    return {**norms, "Attention": of_states.numpy()}


def _open_gates(cell, bias):
    """Sets the bias of an LSTM's forget gates, or of a GRU's update gates."""
    block = 1 if cell.blocks == 4 else 0
    values = cell.bias.numpy()
    of_input = values[0] if values.ndim == 2 else values  # a second row of the GRU stays 0
    of_input[block * cell.units : (block + 1) * cell.units] = bias
    cell.bias.assign(values)


def _norm(gradient):
    """Lengths of vectors, also of those whose squares underflow in float32."""
    gradient = tf.cast(gradient, tf.float32)
    largest = tf.reduce_max(tf.abs(gradient), axis=-1, keepdims=True)
    return largest[..., 0] * tf.norm(tf.math.divide_no_nan(gradient, largest), axis=-1)


def plot_gradients_through_time(norms: Mapping[str, Any]) -> Figure:
    """Draws the norms of the gradient of the last step's loss by the distance in time.

    A line is the median over the batch, relative to the norm at the last step, in a band with half
    of the batch. A straight line down is a gradient that vanishes exponentially.

    Args:
        norms: `(batch, seq)` by the name of the architecture, the last step last. A line ends where
          the norms are 0, since the axis is logarithmic.

    Raises:
        InputError: when there is nothing to draw, more than eight lines, or norms of another shape.
    """
    if not 0 < len(norms) <= len(_STYLES):
        raise InputError(f"norms of {len(norms)} architectures: give those of 1 to {len(_STYLES)}")
    figure = new_figure(7.5, 4.5)
    axes = figure.add_subplot()
    for (name, values), style in zip(norms.items(), _STYLES, strict=False):
        values = _relative(name, values)
        distances = np.arange(values.shape[1])
        quartiles = np.quantile(values, (0.25, 0.5, 0.75), axis=0, method="nearest")
        low, middle, high = np.where(quartiles > 0, quartiles, np.nan)
        axes.fill_between(distances, low, high, color=style["color"], alpha=0.15, linewidth=0)
        every = max(1, len(distances) // _MARKS)
        axes.plot(distances, middle, label=name, markevery=every, markersize=5, **style)
    axes.set_yscale("log")
    axes.set(
        xlabel="Distance from the last step", ylabel="Norm of the gradient, relative to that step's"
    )
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    add_legend(figure, axes)
    return figure


def _relative(name: str, values: Any) -> np.ndarray:
    """Norms by distance from the last step, whose norm is 1."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size:
        raise InputError(f"norms of {name} of shape {values.shape}: give them as (batch, seq)")
    values = values[:, ::-1]
    if not (values[:, 0] > 0).all():
        raise InputError(
            f"norms of {name}: some are 0 at the last step: take a loss that depends on its state"
        )
    return values / values[:, :1]
