"""A learned weighted mean of a network's layers (ELMo, arXiv 1802.05365)."""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.layer_normalization import LayerNormalization


@keras.saving.register_keras_serializable("keras_transformer")
class ScalarMix(keras.layers.Layer):
    """A learned weighted mean of layers, times a learned scalar (section 3.2, equation 1).

    ::

        mix_t = gamma * sum_j softmax(s)_j h_{t, j}

    Initially it is the mean: ``s`` is 0 and ``gamma`` 1.

    Args:
        layer_norm: normalise the vectors of each layer first.
        layer_norm_epsilon: added to the variance.

    Call arguments:
        layers: a list of tensors of one shape, ``(..., width)``.

    Returns:
        ``(..., width)``.

    Raises:
        ValueError: for no layers, another number than it was built for, or different widths.

    Example:
        >>> mix = ScalarMix()
        >>> mix([tf.zeros((2, 5, 8)), tf.ones((2, 5, 8))]).numpy().max()
        0.5
    """

    def __init__(self, *, layer_norm=False, layer_norm_epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.layer_norm = layer_norm
        self.layer_norm_epsilon = layer_norm_epsilon
        self.norms = []

    def build(self, layer_shapes):
        if not layer_shapes or not isinstance(layer_shapes[0], tuple | list):
            raise InputError(f"A mix takes a list of layers; got the shape {layer_shapes}.")
        if len({shape[-1] for shape in layer_shapes}) > 1:
            raise InputError(
                "A mix takes layers of one width; got "
                f"{', '.join(str(shape[-1]) for shape in layer_shapes)}. Project them to one."
            )
        self.number = len(layer_shapes)
        self.scalars = self.add_weight(
            shape=(self.number,), initializer="zeros", name="scalars", autocast=False
        )
        self.gamma = self.add_weight(shape=(), initializer="ones", name="gamma", autocast=False)
        if self.layer_norm:
            self.norms = [
                LayerNormalization(epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy)
                for _ in layer_shapes
            ]
            for norm, shape in zip(self.norms, layer_shapes, strict=True):
                norm.build(shape)

    def call(self, layers):
        if len(layers) != self.number:
            raise InputError(
                f"This mix was built for {self.number} layers; got {len(layers)}. Give those of "
                "the same model."
            )
        if self.layer_norm:
            layers = [norm(layer) for norm, layer in zip(self.norms, layers, strict=True)]
        weights = tf.unstack(self.layer_weights())
        layers = [tf.convert_to_tensor(layer) for layer in layers]
        return tf.add_n(
            [tf.cast(w, layer.dtype) * layer for w, layer in zip(weights, layers, strict=True)]
        )

    def layer_weights(self) -> tf.Tensor:
        """Factors of the layers, ``gamma softmax(s)``, ``(number of layers,)``."""
        scalars = tf.convert_to_tensor(self.scalars)
        return tf.convert_to_tensor(self.gamma) * tf.nn.softmax(scalars)

    def get_config(self):
        return {
            **super().get_config(),
            "layer_norm": self.layer_norm,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }
