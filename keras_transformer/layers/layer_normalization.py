"""Layer normalisation (arXiv 1607.06450) over the last axis, with a custom gradient.

``keras.layers.LayerNormalization`` is the same function of weights with the same names. Its
gradient, one operation after the other, reads the tensor about twice as often.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_transformer")
class LayerNormalization(keras.layers.Layer):
    """Normalises every vector to mean 0 and variance 1, scales it by `gamma` and adds `beta`.

    Args:
        epsilon: added to the variance.

    Call arguments:
        inputs: ``(..., width)``; half precision is computed in float32.

    Returns:
        tensor of the shape of `inputs`.
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma", autocast=False)
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta", autocast=False)

    def call(self, inputs):
        dtype = tf.float64 if inputs.dtype == tf.float64 else tf.float32
        gamma, beta = tf.cast(self.gamma, dtype), tf.cast(self.beta, dtype)
        return _normalize(inputs, gamma, beta, self.epsilon)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def _normalize(inputs, gamma, beta, epsilon):
    @tf.custom_gradient
    def compute(inputs, gamma, beta):
        x = tf.cast(inputs, gamma.dtype)
        centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        scale = tf.math.rsqrt(variance + epsilon)
        normal = centred * scale

        def gradient(upstream):
            upstream = tf.cast(upstream, gamma.dtype)
            batch_axes = list(range(upstream.shape.rank - 1))
            product = upstream * normal
            slope = upstream * gamma
            # The result does not depend on the mean and the variance of the inputs.
            slope -= tf.reduce_mean(slope, axis=-1, keepdims=True)
            slope -= normal * tf.reduce_mean(product * gamma, axis=-1, keepdims=True)
            return (
                tf.cast(slope * scale, inputs.dtype),
                tf.reduce_sum(product, axis=batch_axes),
                tf.reduce_sum(upstream, axis=batch_axes),
            )

        return tf.cast(normal * gamma + beta, inputs.dtype), gradient

    return compute(inputs, gamma, beta)
