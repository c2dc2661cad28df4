"""A stack of recurrent layers, run over a whole sequence or step by step."""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.internals import keras_mask
from keras_transformer.layers.attention import masks
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.recurrent.layer import Recurrent, unroll


@keras.saving.register_keras_serializable("keras_transformer")
class RecurrentStack(keras.layers.Layer):
    """A stack of recurrent layers, each of which reads the outputs of the one below.

    Args:
        kind, units, bidirectional, return_sequences, through_keras: as for `Recurrent`.
        num_layers: number of layers.
        skip_connections: add the input of a layer to its output where both have one width.
        dropout_rate: dropout between layers, with one mask for all positions of a sequence (Gal
            and Ghahramani 2016).

    Call arguments and result are those of `Recurrent`.
    """

    def __init__(
        self,
        kind,
        units,
        *,
        num_layers=1,
        bidirectional=False,
        skip_connections=False,
        dropout_rate=0.0,
        return_sequences=True,
        through_keras=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_layers < 1:
            raise InputError(f"A stack has at least one layer; got num_layers={num_layers}.")
        self.kind = kind
        self.units = int(units)
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.skip_connections = skip_connections
        self.dropout_rate = dropout_rate
        self.return_sequences = return_sequences
        self.through_keras = through_keras
        self.supports_masking = True
        self.layers = [
            Recurrent(
                kind,
                units,
                bidirectional=bidirectional,
                through_keras=through_keras,
                dtype=self.dtype_policy,
            )
            for _ in range(num_layers)
        ]
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)

    @property
    def width(self) -> int:
        """Width of the output."""
        return self.layers[0].width

    def build(self, x_shape):
        self.input_width = x_shape[-1]
        for layer in self.layers:
            layer.build(x_shape)
            x_shape = (*x_shape[:-1], layer.width)

    def compute_mask(self, x, mask=None):
        return mask if self.return_sequences else None

    def call(self, x, mask=None, training=None):
        mask = keras_mask(x) if mask is None else mask
        outputs, states = self.run(x, mask, dropout_masks=self.draw_dropout(x, training))
        if self.return_sequences:
            return outputs
        # The final state has no position whose input a skip connection could add.
        return states[-1][0]

    def draw_dropout(self, x, training=None):
        """Draws the dropout masks of a call.

        Args:
            x: tensor whose first axis is the batch.
            training: whether dropout is active.

        Returns:
            factors of the inputs of every layer but the first, ``(batch, 1, width)`` each; or
            ``None``.
        """
        if not training or not self.dropout_rate or self.num_layers == 1:
            return None
        ones = tf.ones((tf.shape(x)[0], 1, self.width), self.compute_dtype)
        return [self.dropout(ones, training=True) for _ in self.layers[1:]]

    def run(self, x, mask=None, states=None, dropout_masks=None, projected_context=None):
        """Runs the stack and returns outputs and final states.

        Args:
            x, mask: as in the call.
            states: for each layer the initial states; zeros unless given.
            dropout_masks: from `draw_dropout`.
            projected_context: added to the projection of `x` in the first layer, for a stack with
                one direction; see `unroll`.

        Returns:
            ``(outputs, states)``: ``(batch, seq, width)``, and for each layer a list of
            ``(batch, width)``.
        """
        x = tf.cast(x, self.compute_dtype)

        def one_layer(layer, x, states):
            if projected_context is None or layer is not self.layers[0]:
                return layer.run(x, mask, states)
            keep = None if mask is None else masks.as_keep_mask(mask)
            return unroll(layer.cells[0], x, states, keep, projected_context=projected_context)

        states = states or [None] * self.num_layers
        return self._through_layers(one_layer, x, states, dropout_masks)

    def project(self, x) -> tf.Tensor:
        """Projects the input of the first layer of a stack with one direction.

        Args:
            x: ``(..., width)``.

        Returns:
            ``(..., blocks * units)``; see `RecurrentCell.project`.
        """
        return self.layers[0].cells[0].project(tf.cast(x, self.compute_dtype))

    def step(self, x, states, dropout_masks=None, projected=None):
        """Runs a stack with one direction for one position.

        Args:
            x: ``(..., width)``, for every row or every beam.
            states: for each layer the states before, ``(..., units)`` each.
            dropout_masks: from `draw_dropout`, without the axis of positions where `x` has none.
            projected: from `project` of `x`, with anything else that enters the first layer added.

        Returns:
            ``(outputs, states)``: ``(..., units)``, and the new states.

        Raises:
            ValueError: with two directions.
        """
        if self.bidirectional:
            raise InputError("A bidirectional stack cannot go on step by step: it reads the end.")

        def one_layer(layer, x, states):
            (cell,) = layer.cells
            first = projected is not None and layer is self.layers[0]
            new_states = cell.advance(projected if first else cell.project(x), states)
            return new_states[0], new_states

        x = tf.cast(x, self.compute_dtype)
        return self._through_layers(one_layer, x, states, dropout_masks)

    def _through_layers(self, one_layer, x, states, dropout_masks):
        new_states = []
        for number, (layer, before) in enumerate(zip(self.layers, states, strict=True)):
            if number and dropout_masks is not None:
                x *= dropout_masks[number - 1]
            outputs, after = one_layer(layer, x, before)
            skip = self.skip_connections and (number or self.input_width == self.width)
            x = x + outputs if skip else outputs
            new_states.append(after)
        return x, new_states

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "units": self.units,
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "skip_connections": self.skip_connections,
            "dropout_rate": self.dropout_rate,
            "return_sequences": self.return_sequences,
            "through_keras": self.through_keras,
        }
