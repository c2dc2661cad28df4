"""Adam in one pass over the weights."""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.internals import adam_moments


@keras.saving.register_keras_serializable("keras_transformer")
class Adam(keras.optimizers.Adam):
    """Keras' Adam, computed by TensorFlow's own kernel.

    The same formula and the same state; Keras composes it of a dozen operations, each of which
    passes over all weights. Arguments are those of ``keras.optimizers.Adam``, without `amsgrad`;
    with `weight_decay` it is ``keras.optimizers.AdamW``.

    Raises:
        ValueError: for `amsgrad`.

    Example:
        >>> optimizer = Adam(CustomSchedule(d_model=128), beta_2=0.98, epsilon=1e-9)
        >>> model.compile(optimizer, loss=masked_loss)

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (arXiv 1412.6980).
    """

    def __init__(self, learning_rate=0.001, **kwargs):
        super().__init__(learning_rate, **kwargs)
        if self.amsgrad:
            raise InputError("amsgrad is not supported: use keras.optimizers.Adam for it.")

    def update_step(self, gradient, variable, learning_rate):
        momentum, velocity = adam_moments(self, variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), variable.dtype),
        )
