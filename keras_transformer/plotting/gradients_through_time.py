"""Backpropagation through time, made visible: how much of the loss reaches each hidden state."""

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.layers.attention import masks
from keras_transformer.layers.recurrent.attention import DotAttention
from keras_transformer.layers.recurrent.cells import make_cell

OPEN_GATES_BIAS = 3.0


def gradient_norms_through_time(cell, x, loss, mask=None, states=None) -> list:
    """Norms of the gradient of a loss with respect to the states of every time step.

    The gradients are total: what a state does to the loss through all later states counts. For the
    vanilla cell and a loss of the last state they follow from ``dL/dh_T`` alone::

        dL/dh_{t-1} = W^T diag(1 - h_t^2) dL/dh_t

    which is a product of as many factors as there are steps, and vanishes or explodes with them.

    Args:
        cell: a cell of `layers.recurrent_cells`, or any that ``keras.layers.RNN`` takes.
        x: ``(batch, seq, width)``, of a length known.
        loss: a function of the first states of all steps, ``(batch, seq, units)``, that gives a
            scalar; an attention over them may be part of it. At hidden positions they are those of
            the step before.
        mask: which positions are real, ``(batch, seq)``; bool means keep, float or integer 1 means
            hidden. A hidden position has a gradient of 0.
        states: the states before the first step; zeros unless given.

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
        raise ValueError(f"Every time step is one of its own here: got a shape of {x.shape}.")
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
    """Norms of the gradient of a loss with respect to the states that attention looks back at.

    What `gradient_norms_through_time` is for a recurrence. Here each state has a way of its own to
    the loss, of one step, whatever its distance; for the dot product with a query ``q``::

        a_j = softmax_j(q^T x_j),  c = sum_j a_j x_j
        dL/dx_j = a_j (g + ((x_j - c)^T g) q)  where  g = dL/dc

    which has no product over the steps between.

    Args:
        attention: called as ``attention(query, x, mask)``; gives ``(context, weights)``. A layer
            of `layers.recurrent_attention` is, and ``lambda q, x, mask: mha(x, x, q, mask=mask)``
            makes one of a `MultiHeadAttention`.
        x: the states, ``(batch, seq, width)``.
        loss: a function of the contexts, ``(batch, query, width)``, that gives a scalar.
        mask: which states are real, ``(batch, seq)`` or ``(batch, query, seq)``; bool means keep,
            float or integer 1 means hidden. A hidden state has a gradient of 0.
        query: the states that look back, ``(batch, query, width)``, which are none of `x`: what the
            loss does to them does not count. The last of `x` unless given, which then does.

    Returns:
        one tensor, float32 ``(batch, seq)``, in a list: attention has one kind of state.
    """
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        context, _ = attention(x[:, -1:] if query is None else query, x, mask)
        value = loss(context)
    gradient = tape.gradient(value, x, unconnected_gradients="zero")
    return [_norm(gradient)]


def gradient_norms_by_architecture(steps=60, units=32, batch=32, seed=1) -> dict[str, np.ndarray]:
    """The norms of fresh networks over the same random inputs, for `plot_gradients_through_time`.

    The loss is the squared length of the last output. Cells have Keras' initial weights: recurrent
    kernels are orthogonal, the LSTM's forget gate has a bias of 1. "Gates open" are cells whose
    forget or update gate has a bias of `OPEN_GATES_BIAS`: gates can learn to keep, which a vanilla
    network cannot. Of the LSTM the memory cell is looked at. Attention is one layer of the scaled
    dot product, whose query is a state of its own, as a decoder's is.

    Args:
        steps: length of the sequences.
        units: width of states and inputs.
        batch: number of sequences.
        seed: of inputs and weights.

    Returns:
        by the name of an architecture, float32 ``(batch, steps)``.
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
    """Lengths of vectors; also of those whose squares float32 would take for 0."""
    gradient = tf.cast(gradient, tf.float32)
    largest = tf.reduce_max(tf.abs(gradient), axis=-1, keepdims=True)
    return largest[..., 0] * tf.norm(tf.math.divide_no_nan(gradient, largest), axis=-1)
