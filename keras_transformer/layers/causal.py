"""The decoder-only stack of GPT.

Improving Language Understanding by Generative Pre-Training (Radford et al. 2018), section 3.1: the
decoder of Attention Is All You Need without cross-attention. `prefill` runs it over a whole prompt
and `step` over one position after it, with cached keys and values; both return what the call
returns at these positions.
"""

import keras
import tensorflow as tf

from keras_transformer.layers.attention.sublayers import CausalSelfAttention
from keras_transformer.layers.cache import with_own_slots
from keras_transformer.layers.encoder import EncoderLayer, EncoderStack


@keras.saving.register_keras_serializable("keras_transformer")
class CausalLayer(EncoderLayer):
    """An `EncoderLayer` with causal self-attention.

    Example:
        >>> layer = CausalLayer(d_model=512, num_heads=8, dff=2048)
        >>> layer(tf.random.uniform((64, 43, 512))).shape
        TensorShape([64, 43, 512])
    """

    attention_class = CausalSelfAttention

    def prefill(self, x):
        """Runs the layer over a prompt; see `CausalSelfAttention.prefill`.

        Returns:
            ``(output, cache)`` with an output of ``(batch, seq, d_model)``.
        """
        x, cache = self.self_attention.prefill(x)
        return self.ffn(x), cache

    def step(self, x, position, cache, visible, slot):
        """Runs the layer for one position of every beam; see `CausalSelfAttention.step`.

        Returns:
            ``(output, cache)`` with an output of ``(batch, beams, d_model)``.
        """
        x, cache = self.self_attention.step(x, cache, position, visible, slot)
        return self.ffn(x), cache


@keras.saving.register_keras_serializable("keras_transformer")
class CausalStack(EncoderStack):
    """An `EncoderStack` of causal layers, which also continues prompts step by step.

    Prompts of different lengths are padded at the end to `prompt` positions. Their keys and values
    are in the first `prompt` slots of the cache, once for all beams of a row; those of step ``p``
    and beam ``b`` are in the slot ``prompt + p * beams + b``.

    Example:
        >>> stack = CausalStack(num_layers=4, d_model=512, num_heads=8, dff=2048)
        >>> stack(tf.random.uniform((64, 43, 512))).shape
        TensorShape([64, 43, 512])
    """

    layer_class = CausalLayer

    def prefill(self, x, lengths):
        """Runs the stack over prompts.

        Args:
            x: ``(batch, prompt, d_model)``, padded at the end.
            lengths: number of real positions of each row, integers ``(batch,)``.

        Returns:
            ``(output, encoded)``: the output of the call, ``(batch, prompt, d_model)``; and nested
            tensors for `initial_cache`, ``keys_values`` of every layer,
            ``(batch * heads, prompt, key_dim)``, and ``mask``, which positions are real,
            ``(batch, prompt)`` bool.
        """
        keys_values = []
        for layer in self.layers_in_order():
            x, cache = layer.prefill(x)
            keys_values.append(cache)
        mask = tf.sequence_mask(lengths, tf.shape(x)[1])
        return self.finish(x), {"keys_values": keys_values, "mask": mask}

    def initial_cache(self, encoded, beam_size=1) -> dict:
        """The cache before the first step, with room for no step.

        Args:
            encoded: from `prefill`.
            beam_size: number of beams of each row, a number or a tensor.

        Returns:
            a cache as in `layers.cache`: ``context`` has the ``mask`` of `prefill`; ``steps`` has
            ``keys_values``, those of the prompts first, and ``past``.
        """
        mask = encoded["mask"]
        past = tf.tile(mask[:, tf.newaxis], (1, beam_size, 1))
        return {
            "context": {"mask": mask},
            "steps": {"keys_values": encoded["keys_values"], "past": past},
        }

    def places(self, position, cache):
        """Positions of a step in the texts, int32 ``(batch, 1)``.

        Args:
            position: scalar int32, the number of the step.
            cache: as for `step`.
        """
        lengths = tf.reduce_sum(tf.cast(cache["context"]["mask"], tf.int32), axis=1, keepdims=True)
        return lengths + position

    def step(self, x, position, cache):
        """Runs the stack for one position of every beam, attending to the cache.

        Args:
            x: vectors of the step, ``(batch, beams, d_model)``.
            position: scalar int32, the number of the step, less than the room of the cache.
            cache: from `cache.grow` or the step before.

        Returns:
            ``(output, cache)``: ``(batch, beams, d_model)`` and the cache with `x` in it.
        """
        context, steps = cache["context"], cache["steps"]
        slot = tf.shape(context["mask"])[1] + position * tf.shape(x)[1]
        places = self.places(position, cache)
        past = with_own_slots(steps["past"], slot)
        written = []
        for layer, layer_cache in zip(self.layers_in_order(), steps["keys_values"], strict=True):
            x, layer_cache = layer.step(x, places, layer_cache, past, slot)
            written.append(layer_cache)
        return self.finish(x), {"context": context, "steps": {"keys_values": written, "past": past}}
