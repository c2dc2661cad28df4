"""The decoder (Attention Is All You Need, section 3.1).

`step` runs it for one position with cached keys and values, and returns what the call returns at
that position.
"""

import keras
import tensorflow as tf

from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.attention.sublayers import CausalSelfAttention, CrossAttention
from keras_transformer.layers.base import TokenStack, TransformerLayer
from keras_transformer.layers.cache import initial_steps, with_own_slots


@keras.saving.register_keras_serializable("keras_transformer")
class DecoderLayer(TransformerLayer):
    """Causal self-attention, cross-attention to the encoder's output and feed-forward network.

    Arguments are those of `TransformerLayer`.

    Call arguments:
        x: ``(batch, target, d_model)``.
        context: output of the encoder, ``(batch, source, d_model)``.
        x_mask: which positions of `x` are real, ``(batch, target)`` bool; or how many are,
            ``(batch,)`` integers; or any mask of `masks.over_heads_and_queries`. The Keras mask of
            `x` unless given.
        context_mask: the same for `context`.
        causal: hide keys after the query; with ``False`` `x_mask` must.

    Returns:
        ``(batch, target, d_model)``; `last_attn_scores` gives the cross-attention weights.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.causal_self_attention = self.attention(CausalSelfAttention, rotary=self.rotary)
        self.cross_attention = self.attention(CrossAttention)
        self.ffn = self.feed_forward()

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

    def step(self, x, position, self_cache, visible, context_cache, context_mask):
        """Runs the layer for one position; see `Decoder.step` and `CausalSelfAttention.step`.

        Returns:
            ``(output, self_cache)`` with an output of ``(batch, beams, d_model)``.
        """
        x, self_cache = self.causal_self_attention.step(x, self_cache, position, visible)
        x = self.cross_attention.step(x, context_cache, context_mask)
        return self.ffn(x), self_cache


@keras.saving.register_keras_serializable("keras_transformer")
class Decoder(TokenStack):
    """Token embedding and a stack of decoder layers.

    Arguments are those of `TokenStack`.

    Call arguments:
        x: token ids, ``(batch, target)``.
        context: output of the encoder, ``(batch, source, d_model)``.
        x_mask: which positions of `x` are real, ``(batch, target)`` bool; or how many are,
            ``(batch,)`` integers; or any mask of `masks.over_heads_and_queries`. ``x != 0`` unless
            given.
        context_mask: the same for `context`; the Keras mask of `context` unless given.
        causal: hide keys after the query; with ``False`` `x_mask` must.

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
        self.build_layers(self.dec_layers, shape, context_shape or shape)

    @property
    def last_attn_scores(self):
        """Cross-attention weights of the last layer, ``(batch, heads, target, source)``."""
        return self.dec_layers[-1].last_attn_scores

    def compute_mask(self, x, mask=None):
        return padding_keep_mask(x)

    def call(self, x, context, x_mask=None, context_mask=None, causal=True, training=None):
        if x_mask is None:
            x_mask = padding_keep_mask(x)
        return self.run_layers(
            self.dec_layers,
            self.pos_embedding(x, training=training),
            context,
            x_mask=x_mask,
            context_mask=context_mask,
            causal=causal,
            training=training,
        )

    def initial_cache(self, context, context_mask, beam_size=1) -> dict:
        """The cache before the first step, with room for no position.

        Args:
            context: output of the encoder, ``(batch, source, d_model)``.
            context_mask: which positions of it are real, ``(batch, source)`` bool.
            beam_size: number of beams of each row; a tensor means several.

        Returns:
            a cache as in `layers.cache`: ``context`` has the cross-attention ``keys_values`` of
            every layer, ``(batch, heads, source, key_dim)``, and their ``mask``; ``steps`` has
            those of self-attention, with ``past`` for several beams only.
        """
        keys_values = [
            layer.cross_attention.mha.project_keys_values(context, context)
            for layer in self.dec_layers
        ]
        keys = keys_values[0][0]
        batch, heads, key_dim = tf.shape(keys)[0], keys.shape[1], keys.shape[3]
        steps = initial_steps(len(self.dec_layers), batch, heads, key_dim, keys.dtype, beam_size)
        return {"context": {"keys_values": keys_values, "mask": context_mask}, "steps": steps}

    def step(self, tokens, position, cache):
        """Runs the decoder for one position of every beam, attending to the cache.

        Args:
            tokens: token ids at `position`, ``(batch, beams)``.
            position: scalar int32, less than the room of the cache.
            cache: from `cache.grow` or the step before.

        Returns:
            ``(output, cache)``: ``(batch, beams, d_model)`` and the cache with `tokens` in it.
        """
        context, steps = cache["context"], dict(cache["steps"])
        visible = tf.range(tf.shape(steps["keys_values"][0][0])[1]) <= position
        if "past" in steps:
            slot = position * tf.shape(tokens)[1]
            visible = steps["past"] = with_own_slots(steps["past"], slot)
        x = self.pos_embedding(tokens, position=position)
        written = []
        for layer, self_cache, keys_values in zip(
            self.dec_layers, steps["keys_values"], context["keys_values"], strict=True
        ):
            x, self_cache = layer.step(
                x, position, self_cache, visible, keys_values, context["mask"]
            )
            written.append(self_cache)
        steps["keys_values"] = written
        return self.finish(x), {"context": context, "steps": steps}
