"""The attention sub-layers: multi-head attention with residual connection and normalisation.

Attention Is All You Need, section 3.2.3: self-attention of the encoder (`GlobalSelfAttention`) and
of the decoder (`CausalSelfAttention`), and the decoder's attention to the encoder
(`CrossAttention`). A hidden key never changes a result; a query with no visible key gives zero
output, weights and gradients of attention (in the tutorial, the mean of the hidden values).
"""

from dataclasses import dataclass, replace

import keras
import tensorflow as tf

from keras_transformer.internals import is_reachable, keras_mask
from keras_transformer.layers.attention import dot_product, masks
from keras_transformer.layers.attention.multi_head import MultiHeadAttention
from keras_transformer.layers.base import LazyAttentionScores
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.layer_normalization import LayerNormalization


@dataclass(frozen=True)
class _LastCall:
    """Arguments of the last call, from which the attention weights can be computed again.

    Attributes:
        queries, keys: ``(batch, heads, length, key_dim)``.
        masking: as in `dot_product.attention_of_heads`.
    """

    queries: tf.Tensor
    keys: tf.Tensor
    masking: dict

    def weights(self) -> tf.Tensor:
        if not is_reachable(self.queries):
            raise RuntimeError(
                "The attention weights of the last call can be read only within the tf.function "
                "that made it (fit, predict and others make one): call the layer or the model "
                "once more outside of it, or return the weights from it."
            )
        return dot_product.attention_weights_of_heads(self.queries, self.keys, **self.masking)

    def of_head(self, head: int) -> "_LastCall":
        """The same of one head alone."""
        return replace(
            self, queries=self.queries[:, head : head + 1], keys=self.keys[:, head : head + 1]
        )


@keras.saving.register_keras_serializable("keras_transformer")
class BaseAttention(LazyAttentionScores, keras.layers.Layer):
    """Base of the attention sub-layers: heads, residual connection and layer normalisation.

    Args:
        num_heads: number of heads.
        key_dim: size of one head; the width of the model divided by `num_heads` unless given.
        dropout: rate at which attention weights are dropped in training.
        residual_dropout: rate at which the output is dropped before the residual is added.
        norm_first: normalise the input of attention (pre-norm) instead of the sum (post-norm).
        layer_norm_epsilon: added to the variance.
        rotary: rotate queries and keys by their positions.
        attention_implementation: as `implementation` of `MultiHeadAttention`.

    After a call, `last_attn_scores` gives the attention weights, ``(batch, heads, query, key)``.
    """

    def __init__(
        self,
        num_heads,
        key_dim=None,
        dropout=0.0,
        *,
        residual_dropout=0.0,
        norm_first=False,
        layer_norm_epsilon=1e-6,
        rotary=False,
        attention_implementation="auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        self.residual_dropout = residual_dropout
        self.norm_first = norm_first
        self.layer_norm_epsilon = layer_norm_epsilon
        self.rotary = rotary
        self.attention_implementation = attention_implementation
        self.mha = MultiHeadAttention(
            None,
            num_heads,
            key_dim=key_dim,
            dropout=dropout,
            rotary=rotary,
            implementation=attention_implementation,
            dtype=self.dtype_policy,
        )
        self.layernorm = LayerNormalization(epsilon=layer_norm_epsilon, dtype=self.dtype_policy)
        self.add = keras.layers.Add(dtype=self.dtype_policy)
        self.dropout_layer = Dropout(residual_dropout, dtype=self.dtype_policy)
        self._last_attention = None
        self.supports_masking = True

    def build(self, x_shape, context_shape=None):
        context_shape = context_shape or x_shape
        self.mha.build(context_shape, context_shape, x_shape)
        self.layernorm.build(x_shape)

    @property
    def last_attn_scores(self):
        """Attention weights of the last call, ``(batch, heads, query, key)``; ``None`` before.

        They are computed when read. Those of a call in a ``tf.function`` can be read only there.
        """
        last = self._last_attention
        return last.weights() if isinstance(last, _LastCall) else last

    @last_attn_scores.setter
    def last_attn_scores(self, weights):
        self._last_attention = weights

    def last_attn_scores_of(self, head: int):
        """Attention weights of one head in the last call, ``(batch, query, key)``.

        Computed when read, as `last_attn_scores`, in proportion to one head. The mask of the call
        must be the same for all heads, as that of padding is.
        """
        last = self._last_attention
        if isinstance(last, _LastCall):
            return last.of_head(head).weights()[:, 0]
        return last[:, head]

    def _attend(self, x, project, mask, *, causal=False, training=None, implementation=None):
        """Runs the sub-layer.

        Args:
            x: ``(batch, query, d_model)``.
            project: function from `x` (normalised with pre-norm) to queries, keys and values.
            mask: a mask or lengths, as for `masks.mask_and_lengths`.
            causal, training: as in the call.
            implementation: overrides this layer's.
        """
        mask, key_lengths = masks.mask_and_lengths(mask)
        masking = {"mask": mask, "key_lengths": key_lengths, "causal": causal}
        queries, keys, values = project(self._attention_input(x))
        output = self.mha.attend(
            queries,
            keys,
            values,
            **masking,
            training=training,
            return_attention_scores=False,
            implementation=implementation,
        )
        self._last_attention = _LastCall(queries, keys, masking)
        return self._add_to(x, output, training)

    def _attention_input(self, x):
        return self.layernorm(x) if self.norm_first else x

    def _add_to(self, x, output, training=None):
        """Residual connection, and with post-norm the normalisation."""
        x = self.add([x, self.dropout_layer(output, training=training)])
        return x if self.norm_first else self.layernorm(x)

    def _self_attention(self, x, x_mask, causal, training):
        """Runs the sub-layer with queries, keys and values from one sequence."""
        mask = keras_mask(x) if x_mask is None else x_mask
        return self._attend(
            x, lambda x: self.mha.project(x, x, x), mask, causal=causal, training=training
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "residual_dropout": self.residual_dropout,
            "norm_first": self.norm_first,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "rotary": self.rotary,
            "attention_implementation": self.attention_implementation,
        }


@keras.saving.register_keras_serializable("keras_transformer")
class CrossAttention(BaseAttention):
    """Attention of the decoder to the encoder's output.

    Call arguments:
        x: ``(batch, target, d_model)``.
        context: output of the encoder, ``(batch, source, d_model)``.
        context_mask: which positions of `context` are real, ``(batch, source)`` bool; or how many
            are, ``(batch,)`` integers; or any mask of `masks.over_heads_and_queries`. The Keras
            mask of `context` unless given.

    Returns:
        ``(batch, target, d_model)``.
    """

    def call(self, x, context, context_mask=None, training=None):
        return self._attend(
            x, lambda x: self.mha.project(context, context, x), context_mask, training=training
        )

    def step(self, x, keys_values, context_mask=None):
        """Runs the sub-layer for one position of every beam, with the context already projected.

        Args:
            x: ``(batch, beams, d_model)``.
            keys_values: from `MultiHeadAttention.project_keys_values`.
            context_mask: as in the call.
        """
        return self._attend(
            x,
            lambda x: (self.mha.project_queries(x), *keys_values),
            context_mask,
            implementation="reference",  # a few queries have few weights
        )


@keras.saving.register_keras_serializable("keras_transformer")
class GlobalSelfAttention(BaseAttention):
    """Self-attention of all positions to all.

    Call arguments:
        x: ``(batch, seq, d_model)``.
        x_mask: which positions are real, ``(batch, seq)`` bool; or how many are, ``(batch,)``
            integers; or any mask of `masks.over_heads_and_queries`. The Keras mask of `x` unless
            given.

    Returns:
        ``(batch, seq, d_model)``.
    """

    def build(self, x_shape):
        super().build(x_shape)

    def call(self, x, x_mask=None, training=None):
        return self._self_attention(x, x_mask, causal=False, training=training)


@keras.saving.register_keras_serializable("keras_transformer")
class CausalSelfAttention(BaseAttention):
    """Self-attention of each position to itself and those before it.

    Call arguments:
        x, x_mask: as for `GlobalSelfAttention`.
        causal: hide the future; ``False`` leaves that to `x_mask`.

    Returns:
        ``(batch, seq, d_model)``.
    """

    def build(self, x_shape):
        super().build(x_shape)

    def call(self, x, x_mask=None, causal=True, training=None):
        return self._self_attention(x, x_mask, causal=causal, training=training)

    def prefill(self, x):
        """Runs the sub-layer and returns the keys and values that `step` continues from.

        Args:
            x: ``(batch, seq, d_model)``, padding at the end only.

        Returns:
            ``(output, cache)``: ``(batch, seq, d_model)``, and the keys and values of `x`, two
            tensors ``(batch * heads, seq, key_dim)``.
        """
        cache = []

        def project(x):
            queries, *keys_values = self.mha.project(x, x, x)
            cache.extend(
                tf.reshape(part, (-1, tf.shape(part)[2], part.shape[3])) for part in keys_values
            )
            return queries, *keys_values

        return self._attend(x, project, None, causal=True), tuple(cache)

    def step(self, x, cache, position, visible, slot=None):
        """Runs the sub-layer for one position of every beam, attending to the cache and itself.

        Args:
            x: ``(batch, beams, d_model)``.
            cache: keys and values so far, two tensors ``(batch * heads, slots, key_dim)``.
                (Batch and heads are one axis because XLA does not write in place into a buffer
                with an axis of size 1.)
            position: scalar int32, the position of `x`, or that of each row, ``(batch, 1)``.
            visible: which slots each beam attends to, its own included, bool, ``(slots,)`` or
                ``(batch, beams, slots)``.
            slot: scalar int32, the slot of the first beam; the other beams have the slots after
                it. ``position * beams`` unless given.

        Returns:
            ``(output, cache)``: ``(batch, beams, d_model)`` and the cache with `x` in it.
        """
        (output, weights), cache = self.mha.step(
            self._attention_input(x), cache, position, visible, slot
        )
        self._last_attention = weights
        return self._add_to(x, output), cache
