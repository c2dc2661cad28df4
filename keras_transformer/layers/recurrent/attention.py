"""Attention of recurrent decoders to the encoder's states (Bahdanau et al. and Luong et al. 2015).

Each score function is a layer with its equation. As in `layers.attention`, a hidden position never
changes a result, and a query with no visible position gives zero context, weights and gradients.
The part of a score that depends on the encoder alone is computed once for all steps
(`project_keys`).
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.attention.dot_product import masked_softmax
from keras_transformer.layers.recurrent.cells import affine


class RecurrentAttention(keras.layers.Layer):
    """Base of the kinds of attention: a softmax of scores, and the memory's mean by its weights.

    ::

        a_ij = softmax_j(e_ij)
        c_i = sum_j a_ij h_j

    A subclass defines the scores ``e_ij`` (`scores`).

    Call arguments:
        query: states of the decoder, ``(batch, query, query width)``.
        memory: states of the encoder, ``(batch, source, memory width)``.
        mask: which of them are real, ``(batch, source)`` or ``(batch, query, source)``; bool means
            keep, float or integer 1 means hidden.

    Returns:
        ``(context, weights)``: ``(batch, query, memory width)`` and ``(batch, query, source)``.
    """

    def project_keys(self, memory) -> tf.Tensor:
        """Projects the memory to keys.

        Args:
            memory: ``(batch, source, memory width)``.

        Returns:
            ``(batch, source, width)``.
        """
        return tf.cast(memory, self.compute_dtype)

    def scores(self, query, keys) -> tf.Tensor:
        """Scores ``e_ij`` of every query and key.

        Args:
            query: ``(batch, query, query width)``.
            keys: from `project_keys`.

        Returns:
            ``(batch, query, source)``.
        """
        raise NotImplementedError

    def call(self, query, memory, mask=None):
        return self.attend(query, self.project_keys(memory), memory, mask)

    def attend(self, query, keys, memory, mask=None):
        """The call, with `keys` from `project_keys`."""
        query, memory = (tf.cast(part, self.compute_dtype) for part in (query, memory))
        if mask is not None:
            mask = tf.convert_to_tensor(mask)
            mask = mask[:, tf.newaxis, :] if mask.shape.rank == 2 else mask
        weights, any_visible = masked_softmax(self.scores(query, keys), mask)
        if any_visible is not None:
            weights *= any_visible
        return tf.matmul(weights, memory), weights


@keras.saving.register_keras_serializable("keras_transformer")
class AdditiveAttention(RecurrentAttention):
    """Scores by a network with one hidden layer (Bahdanau et al. 2015, appendix A.1.2).

    ::

        e_ij = v^T tanh(W s_i + U h_j)

    Args:
        units: width of the hidden layer.

    Example:
        >>> attention = AdditiveAttention(32)
        >>> s, h = tf.random.uniform((1, 4, 16)), tf.random.uniform((1, 7, 24))
        >>> context, weights = attention(s, h)
        >>> context.shape, weights.shape
        (TensorShape([1, 4, 24]), TensorShape([1, 4, 7]))
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = int(units)

    def build(self, query_shape, memory_shape):
        self.query_kernel = self.add_weight(
            shape=(query_shape[-1], self.units), initializer="glorot_uniform", name="query_kernel"
        )
        self.key_kernel = self.add_weight(
            shape=(memory_shape[-1], self.units), initializer="glorot_uniform", name="key_kernel"
        )
        self.score_kernel = self.add_weight(
            shape=(self.units, 1), initializer="glorot_uniform", name="score_kernel"
        )

    def project_keys(self, memory):
        return affine(super().project_keys(memory), self.key_kernel)

    def scores(self, query, keys):
        queries = affine(query, self.query_kernel)
        # (batch, query, 1, units) and (batch, 1, source, units)
        hidden = tf.tanh(queries[:, :, tf.newaxis] + keys[:, tf.newaxis])
        return affine(hidden, self.score_kernel)[..., 0]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("keras_transformer")
class DotAttention(RecurrentAttention):
    """Scores by the dot product of states of one width (Luong et al. 2015, section 3.1, "dot").

    ::

        e_ij = s_i^T h_j                     dot
        e_ij = s_i^T h_j / sqrt(width)       scaled

    Args:
        scaled: divide by the square root of the width (Attention Is All You Need, equation 1).
    """

    def __init__(self, *, scaled=False, **kwargs):
        super().__init__(**kwargs)
        self.scaled = scaled

    def build(self, query_shape, memory_shape):
        if query_shape[-1] != memory_shape[-1]:
            raise InputError(
                "Dot attention compares states of one width; got queries of width "
                f"{query_shape[-1]} and a memory of width {memory_shape[-1]}. Change one of them "
                "or use general attention."
            )

    def scores(self, query, keys):
        if self.scaled:
            query = query / tf.cast(query.shape[-1] ** 0.5, query.dtype)
        return tf.matmul(query, keys, transpose_b=True)

    def get_config(self):
        return {**super().get_config(), "scaled": self.scaled}


@keras.saving.register_keras_serializable("keras_transformer")
class GeneralAttention(RecurrentAttention):
    """Scores by a bilinear form (Luong et al. 2015, section 3.1, "general").

    ::

        e_ij = s_i^T W h_j
    """

    def build(self, query_shape, memory_shape):
        self.kernel = self.add_weight(
            shape=(memory_shape[-1], query_shape[-1]), initializer="glorot_uniform", name="kernel"
        )

    def project_keys(self, memory):
        return affine(super().project_keys(memory), self.kernel)

    def scores(self, query, keys):
        return tf.matmul(query, keys, transpose_b=True)


@keras.saving.register_keras_serializable("keras_transformer")
class ConcatAttention(RecurrentAttention):
    """Scores by a network over both states together (Luong et al. 2015, section 3.1, "concat").

    ::

        e_ij = v^T tanh(W [s_i; h_j])

    The same function as `AdditiveAttention`, whose two matrices are one here, initialised as one.

    Args:
        units: width of the hidden layer.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = int(units)

    def build(self, query_shape, memory_shape):
        self.query_width = query_shape[-1]
        self.kernel = self.add_weight(
            shape=(query_shape[-1] + memory_shape[-1], self.units),
            initializer="glorot_uniform",
            name="kernel",
        )
        self.score_kernel = self.add_weight(
            shape=(self.units, 1), initializer="glorot_uniform", name="score_kernel"
        )

    def project_keys(self, memory):
        return affine(super().project_keys(memory), self.kernel[self.query_width :])

    def scores(self, query, keys):
        queries = affine(query, self.kernel[: self.query_width])
        hidden = tf.tanh(queries[:, :, tf.newaxis] + keys[:, tf.newaxis])
        return affine(hidden, self.score_kernel)[..., 0]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


SCORES = ("additive", "dot", "general", "concat", "scaled_dot")
"""Names of the score functions."""


def make_attention(score, units, **kwargs) -> RecurrentAttention:
    """Makes the attention layer with a score function of `SCORES`.

    Args:
        score: name of the score function.
        units: width of the hidden layer of additive and concat scores.

    Raises:
        ValueError: for another name.
    """
    if score == "additive":
        return AdditiveAttention(units, **kwargs)
    if score == "concat":
        return ConcatAttention(units, **kwargs)
    if score == "general":
        return GeneralAttention(**kwargs)
    if score in ("dot", "scaled_dot"):
        return DotAttention(scaled=score == "scaled_dot", **kwargs)
    raise InputError(f"A score of attention is one of {', '.join(SCORES)}; got {score!r}.")


@keras.saving.register_keras_serializable("keras_transformer")
class AttentionalVector(keras.layers.Layer):
    """Joins a context vector and a decoder state (Luong et al. 2015, equation 5).

    ::

        s'_i = tanh(W_c [c_i; s_i])

    Args:
        units: width of the vector.

    Call arguments:
        context: ``(batch, query, memory width)``.
        state: ``(batch, query, query width)``.

    Returns:
        ``(batch, query, units)``.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = int(units)

    def build(self, context_shape, state_shape):
        self.kernel = self.add_weight(
            shape=(context_shape[-1] + state_shape[-1], self.units),
            initializer="glorot_uniform",
            name="kernel",
        )

    def call(self, context, state):
        return tf.tanh(affine(tf.concat([context, state], axis=-1), self.kernel))

    def get_config(self):
        return {**super().get_config(), "units": self.units}
