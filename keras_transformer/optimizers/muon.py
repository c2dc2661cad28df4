"""Muon: steps of equal length in every direction that a hidden layer's matrix has.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with the length of
a step from Liu et al., "Muon is Scalable for LLM Training" (arXiv 2502.16982, equation 4), so that
the learning rates of Adam fit.
"""

import math
import re

import keras
import tensorflow as tf

from keras_transformer.internals import adam_moments, set_adam_moments
from keras_transformer.optimizers.adam import Adam

_COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the polynomial that draws singular values towards 1, from Jordan et al."""

_RMS = 0.2
"""Root mean square of the numbers of a step at a learning rate of 1, which is about Adam's."""


@keras.saving.register_keras_serializable("keras_transformer")
class Muon(Adam):
    """Muon for the kernels of hidden layers, and `Adam` for all other weights.

    A kernel of several heads counts as one matrix. ``keras.optimizers.Muon`` leaves those to Adam:
    all of attention.

    Args:
        momentum: share of the last step's momentum that is kept.
        exclude_layers: regular expressions; kernels whose path has a match are left to Adam, as the
            kernel that gives logits should be. Embeddings, biases and gains always are.

    The other arguments are those of `Adam`.

    Example:
        >>> optimizer = Muon(0.005, beta_2=0.98, exclude_layers=["final_layer"])
        >>> model.compile(optimizer, loss=masked_loss)
    """

    def __init__(self, learning_rate=0.001, *, momentum=0.95, exclude_layers=(), **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.exclude_layers = list(exclude_layers)

    def build(self, variables):
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        momentums = [self.add_variable_from_reference(v, "momentum") for v in variables]
        velocities = [
            None if self.is_hidden_kernel(v) else self.add_variable_from_reference(v, "velocity")
            for v in variables
        ]
        set_adam_moments(self, momentums, velocities)

    def is_hidden_kernel(self, variable) -> bool:
        """Whether a weight is moved by Muon."""
        if not variable.name.endswith("kernel") or len(variable.shape) < 2:
            return False
        return not any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def update_step(self, gradient, variable, learning_rate):
        momentum, velocity = adam_moments(self, variable)
        if velocity is not None:
            return super().update_step(gradient, variable, learning_rate)
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        momentum.assign(self.momentum * momentum + gradient)
        ahead = gradient + self.momentum * momentum  # Nesterov's
        rows, columns = matrix_shape(variable.shape)
        step = orthogonalized(tf.reshape(ahead, (rows, columns)))
        length = tf.cast(learning_rate, variable.dtype) * (_RMS * max(rows, columns) ** 0.5)
        variable.assign_sub(length * tf.reshape(step, variable.shape))

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "exclude_layers": self.exclude_layers,
        }


def matrix_shape(shape) -> tuple[int, int]:
    """The shape of a kernel as one matrix, with the axes of heads and of their size in one.

    Args:
        shape: of two axes or more, such as ``(width, heads, key_dim)``.

    Returns:
        ``(rows, columns)``, of the ways to divide the axes the one nearest to a square.
    """
    sizes = [math.prod(shape[:axis]) for axis in range(1, len(shape))]
    total = math.prod(shape)
    rows = min(sizes, key=lambda rows: max(rows, total // rows))
    return rows, total // rows


def orthogonalized(matrix, steps=5) -> tf.Tensor:
    """The matrix with singular values near 1 in the place of its own, by Newton and Schulz.

    Args:
        matrix: ``(rows, columns)``.
        steps: iterations; after 5 the singular values are between 0.7 and 1.2, but for those that
            were below a thousandth of the largest.
    """
    a, b, c = _COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else tf.transpose(matrix)
    x = x / (tf.norm(x) + 1e-7)
    for _ in range(steps):
        gram = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * gram + c * tf.matmul(gram, gram), x)
    return x if wide else tf.transpose(x)
