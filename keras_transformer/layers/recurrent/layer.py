"""Recurrent layers: a cell run along a sequence, in one direction or both.

The state does not change at hidden positions.
"""

import keras
import tensorflow as tf

from keras_transformer.internals import compiled_by_xla, keras_mask, keras_recurrent_layer
from keras_transformer.layers.attention import masks
from keras_transformer.layers.recurrent.cells import make_cell


def unroll(cell, x, states=None, keep=None, *, projected_context=None, reverse=False):
    """Runs a cell along a sequence.

    Args:
        cell: a `RecurrentCell`.
        x: ``(batch, seq, width)``, at least one position long.
        states: the states before the first position; zeros unless given.
        keep: which positions are real, ``(batch, seq)`` bool; all unless given. The states do not
            change at the others.
        projected_context: added to the cell's projection of `x`,
            ``(batch, seq or 1, blocks * units)``.
        reverse: run from the last position to the first.

    Returns:
        ``(outputs, states)``: ``(batch, seq, output_size)``, in the order of `x`, and the states
        after the last step.
    """
    projected = cell.project(x)
    if projected_context is not None:
        projected += projected_context
    elements = [tf.transpose(projected, (1, 0, 2))]
    if keep is not None:
        elements.append(tf.transpose(keep))
    if states is None:
        states = cell.get_initial_state(tf.shape(x)[0])

    def step(states, now):
        new_states = cell.advance(now[0], list(states))
        if keep is not None:
            real = now[1][:, tf.newaxis]
            new_states = [tf.where(real, *pair) for pair in zip(new_states, states, strict=True)]
        return tuple(new_states)

    all_states = tf.scan(step, tuple(elements), tuple(states), reverse=reverse)
    last = [part[0 if reverse else -1] for part in all_states]
    return tf.transpose(all_states[0], (1, 0, 2)), last


@keras.saving.register_keras_serializable("keras_transformer")
class Recurrent(keras.layers.Layer):
    """One recurrent layer, in one direction or both.

    Args:
        kind: one of `CELLS`.
        units: width of the hidden state of each direction.
        bidirectional: also run a second cell from the last position to the first, and concatenate
            both outputs.
        return_sequences: return the output at every position; ``False`` returns the last one.
        through_keras: run Keras' own layer over the same weights, which calls cuDNN on a GPU where
            XLA does not compile. cuDNN needs all padding at the end, and at least one real
            position in every row.

    Call arguments:
        x: ``(batch, seq, width)``.
        mask: which positions are real, ``(batch, seq)``, as in `attention.masks`; the Keras mask
            of `x` unless given. At the others the output is that of the real position before.

    Returns:
        ``(batch, seq, width)`` or ``(batch, width)``; the width is `units`, or twice `units` with
        two directions.
    """

    def __init__(
        self,
        kind,
        units,
        *,
        bidirectional=False,
        return_sequences=True,
        through_keras=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kind = kind
        self.units = int(units)
        self.bidirectional = bidirectional
        self.return_sequences = return_sequences
        self.through_keras = through_keras
        self.supports_masking = True
        directions = ("forward", "backward") if bidirectional else ("forward",)
        self.cells = [
            make_cell(kind, units, dtype=self.dtype_policy, name=name) for name in directions
        ]
        if through_keras:
            self.keras_layers = [self._keras_layer(cell) for cell in self.cells]

    def _keras_layer(self, cell):
        return keras_recurrent_layer(
            self.kind,
            cell,
            return_sequences=True,
            return_state=True,
            go_backwards=cell.name == "backward",
            name=f"{cell.name}_through_keras",
            dtype=self.dtype_policy,
        )

    @property
    def width(self) -> int:
        """Width of the output."""
        return self.units * len(self.cells)

    def build(self, x_shape):
        for cell in self.cells:
            cell.build((x_shape[0], x_shape[-1]))
        if self.through_keras:
            for layer in self.keras_layers:
                layer.build(x_shape)

    def compute_mask(self, x, mask=None):
        return mask if self.return_sequences else None

    def call(self, x, mask=None, training=None):
        outputs, states = self.run(x, keras_mask(x) if mask is None else mask)
        return outputs if self.return_sequences else states[0]

    def run(self, x, mask=None, states=None):
        """Runs the layer and returns outputs and final states.

        Args:
            x, mask: as in the call.
            states: the initial states, concatenated over directions; zeros unless given.

        Returns:
            ``(outputs, states)``: ``(batch, seq, width)``, and a list of ``(batch, width)``.
        """
        x = tf.cast(x, self.compute_dtype)
        keep = None if mask is None else masks.as_keep_mask(mask)
        results = []
        for number, cell in enumerate(self.cells):
            own = None
            if states is not None:
                own = [tf.split(state, len(self.cells), axis=-1)[number] for state in states]
            results.append(self._run_direction(cell, number, x, own, keep))
        if len(results) == 1:
            return results[0]
        outputs, all_states = zip(*results, strict=True)
        both = [tf.concat(pair, axis=-1) for pair in zip(*all_states, strict=True)]
        return tf.concat(outputs, axis=-1), both

    def _run_direction(self, cell, number, x, states, keep):
        backwards = number == 1
        if not self.through_keras or compiled_by_xla():
            return unroll(cell, x, states, keep, reverse=backwards)
        outputs, *states = self.keras_layers[number](x, initial_state=states, mask=keep)
        return (tf.reverse(outputs, [1]) if backwards else outputs), states

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "units": self.units,
            "bidirectional": self.bidirectional,
            "return_sequences": self.return_sequences,
            "through_keras": self.through_keras,
        }
