"""The decoder: tokens of the target so far and the encoder's output in, next-token vectors out.

Attention Is All You Need, section 3.1. `step` does the work of one position with cached keys and
values; it gives what the call gives at that position.
"""

import keras
import tensorflow as tf

from keras_transformer.layers.attention import CausalSelfAttention, CrossAttention
from keras_transformer.layers.base import TransformerLayer, TransformerStack
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.masks import padding_keep_mask


@keras.saving.register_keras_serializable("keras_transformer")
class DecoderLayer(TransformerLayer):
    """Causal self-attention, attention to the encoder's output, then the feed-forward network.

    Arguments are those of `TransformerLayer`.

    Call arguments:
        x: ``(batch, target, d_model)``.
        context: output of the encoder, ``(batch, source, d_model)``.
        x_mask: which positions of `x` are real, ``(batch, target)`` bool, or any mask of
            `masks.over_heads_and_queries`; the Keras mask of `x` unless given.
        context_mask: the same for `context`, ``(batch, source)``.
        causal: hide the future; ``False`` leaves that to `x_mask`.

    Returns:
        ``(batch, target, d_model)``; the cross-attention weights are kept in `last_attn_scores`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.causal_self_attention = self.attention(CausalSelfAttention, rotary=self.rotary)
        self.cross_attention = self.attention(CrossAttention)
        self.ffn = FeedForward(
            self.d_model,
            self.dff,
            self.dropout_rate,
            activation=self.activation,
            norm_first=self.norm_first,
            layer_norm_epsilon=self.layer_norm_epsilon,
            dtype=self.dtype_policy,
        )

    def build(self, x_shape, context_shape=None):
        self.causal_self_attention.build(x_shape)
        self.cross_attention.build(x_shape, context_shape or x_shape)
        self.ffn.build(x_shape)

    @property
    def last_attn_scores(self):
        """Cross-attention weights of the last call, ``(batch, heads, target, source)``."""
        return self.cross_attention.last_attn_scores

    def call(self, x, context, x_mask=None, context_mask=None, causal=True, training=None):
        x = self.causal_self_attention(x, x_mask=x_mask, causal=causal, training=training)
        x = self.cross_attention(x, context, context_mask=context_mask, training=training)
        return self.ffn(x, training=training)

    def step(self, x, position, self_cache, context_cache, context_mask):
        """One position; see `Decoder.step`.

        Returns:
            ``(output, self_cache)`` with an output of ``(batch, 1, d_model)``.
        """
        x, self_cache = self.causal_self_attention.step(x, self_cache, position)
        x = self.cross_attention.attend(x, context_cache, context_mask)
        return self.ffn(x), self_cache


@keras.saving.register_keras_serializable("keras_transformer")
class Decoder(TransformerStack):
    """Embedding and a stack of decoder layers.

    Arguments are those of `TransformerStack`.

    Call arguments:
        x: token ids, ``(batch, target)``.
        context: output of the encoder, ``(batch, source, d_model)``.
        x_mask: which positions of `x` are real, ``(batch, target)`` bool, or any mask of
            `masks.over_heads_and_queries`; ``x != 0`` unless given.
        context_mask: the same for `context`, ``(batch, source)``; Keras fills it in when
            `context` carries a mask.
        causal: hide the future; ``False`` leaves that to `x_mask`.

    Returns:
        ``(batch, target, d_model)``.

    Example:
        >>> decoder = Decoder(num_layers=4, d_model=512, num_heads=8, dff=2048, vocab_size=8000)
        >>> decoder(x=tf.constant([[2, 7, 9]]), context=tf.random.uniform((1, 5, 512))).shape
        TensorShape([1, 3, 512])
    """

    layer_class = DecoderLayer

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dec_layers = self.make_layers()

    def build(self, x_shape, context_shape=None):
        shape = (*x_shape, self.d_model)
        self.build_stack(self.dec_layers, shape, context_shape or shape)

    @property
    def last_attn_scores(self):
        """Cross-attention weights of the last layer, ``(batch, heads, target, source)``."""
        return self.dec_layers[-1].last_attn_scores

    def compute_mask(self, x, mask=None):
        return padding_keep_mask(x)

    def call(self, x, context, x_mask=None, context_mask=None, causal=True, training=None):
        if x_mask is None:
            x_mask = padding_keep_mask(x)
        x = self.dropout(self.pos_embedding(x), training=training)
        for layer in self.dec_layers:
            x = layer(
                x,
                context,
                x_mask=x_mask,
                context_mask=context_mask,
                causal=causal,
                training=training,
            )
        return self.finish(x)

    def initial_cache(self, context, context_mask, max_length) -> dict:
        """Cache for decoding up to `max_length` positions of one batch.

        Args:
            context: output of the encoder, ``(batch, source, d_model)``.
            context_mask: which positions of it are real, ``(batch, source)`` bool.
            max_length: number of positions there is room for.

        Returns:
            nested tensors: ``context`` (the cross-attention keys and values of every layer and
            their mask; constant) and ``steps`` (the self-attention keys and values of every
            layer, ``(batch, heads, max_length, key_dim)``, zeros; each step writes one position).
        """
        keys_values = [
            layer.cross_attention.mha.project_keys_values(context, context)
            for layer in self.dec_layers
        ]
        keys = keys_values[0][0]
        empty = tf.zeros((tf.shape(keys)[0], keys.shape[1], max_length, keys.shape[3]), keys.dtype)
        return {
            "context": {"keys_values": keys_values, "mask": context_mask},
            "steps": [(empty, empty) for _ in self.dec_layers],
        }

    def step(self, tokens, position, cache):
        """One position of every row, attending to the cached ones.

        Args:
            tokens: token ids at `position`, ``(batch,)``.
            position: scalar int32.
            cache: from `initial_cache` or the step before.

        Returns:
            ``(output, cache)``: ``(batch, 1, d_model)`` and the cache with `tokens` in it.
        """
        context = cache["context"]
        x = self.pos_embedding(tokens[:, tf.newaxis], position=position)
        steps = []
        for layer, self_cache, keys_values in zip(
            self.dec_layers, cache["steps"], context["keys_values"], strict=True
        ):
            x, self_cache = layer.step(x, position, self_cache, keys_values, context["mask"])
            steps.append(self_cache)
        return self.finish(x), {"context": context, "steps": steps}
