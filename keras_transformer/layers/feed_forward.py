"""The position-wise feed-forward network (Attention Is All You Need, section 3.3)."""

import keras
import tensorflow as tf

from keras_transformer.layers.activations import get_activation
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.layer_normalization import LayerNormalization
from keras_transformer.layers.shapes import batch_and_length


def point_wise_feed_forward_network(
    d_model, dff, activation="relu", *, convolution=False, dtype=None
) -> keras.Sequential:
    """Makes the feed-forward network, equation 2: ``max(0, x W1 + b1) W2 + b2``.

    Args:
        d_model: width of the output.
        dff: width of the hidden layer.
        activation: activation of the hidden layer.
        convolution: make two convolutions of kernel size 1 instead of dense layers, as the paper
            mentions; the same function of the same weights.
        dtype: dtype or dtype policy of the layers.

    Returns:
        a model from ``(batch, seq, d_model)`` to ``(batch, seq, d_model)``.
    """

    def layer(width, activation=None):
        if convolution:
            return keras.layers.Conv1D(width, 1, activation=activation, dtype=dtype)
        return keras.layers.Dense(width, activation=activation, dtype=dtype)

    return keras.Sequential([layer(dff, activation), layer(d_model)])


@keras.saving.register_keras_serializable("keras_transformer")
class FeedForward(keras.layers.Layer):
    """The feed-forward sub-layer with its residual connection and layer normalisation.

    Args:
        d_model: width of the model.
        dff: width of the hidden layer.
        dropout_rate: rate at which the output is dropped before the residual is added.
        activation: activation of the hidden layer.
        norm_first: normalise the input (pre-norm) instead of the sum (post-norm).
        layer_norm_epsilon: added to the variance.

    Call arguments:
        x: ``(batch, seq, d_model)``.

    Returns:
        ``(batch, seq, d_model)``.
    """

    def __init__(
        self,
        d_model,
        dff,
        dropout_rate=0.1,
        *,
        activation="relu",
        norm_first=False,
        layer_norm_epsilon=1e-6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.d_model = d_model
        self.dff = dff
        self.dropout_rate = dropout_rate
        self.activation = get_activation(activation)
        self.norm_first = norm_first
        self.layer_norm_epsilon = layer_norm_epsilon
        self.seq = point_wise_feed_forward_network(
            d_model, dff, self.activation, dtype=self.dtype_policy
        )
        self.seq.add(Dropout(dropout_rate, dtype=self.dtype_policy))
        self.seq.supports_masking = True  # works position by position, whatever the mask
        self.add = keras.layers.Add(dtype=self.dtype_policy)
        self.layer_norm = LayerNormalization(epsilon=layer_norm_epsilon, dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, x_shape):
        self.seq.build(tuple(x_shape))
        self.layer_norm.build(x_shape)

    def call(self, x, training=None):
        if self.norm_first:
            return self.add([x, self._network(self.layer_norm(x), training)])
        return self.layer_norm(self.add([x, self._network(x, training)]))

    def _network(self, x, training):
        """What `seq` computes, with all positions in one axis.

        With three dimensions Keras computes a dense layer by a dozen operations for shapes.
        """
        hidden, output, dropout = self.seq.layers
        shape = batch_and_length(x)
        y = output(hidden(tf.reshape(x, (-1, x.shape[-1]))))
        return dropout(tf.reshape(y, (*shape, self.d_model)), training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "d_model": self.d_model,
            "dff": self.dff,
            "dropout_rate": self.dropout_rate,
            "activation": keras.activations.serialize(self.activation),
            "norm_first": self.norm_first,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }
