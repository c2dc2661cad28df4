"""The encoder (Attention Is All You Need, section 3.1).

`Encoder` takes token ids; `EncoderStack` takes vectors, such as those of BERT's embedding or of the
patches of an image.
"""

import keras

from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.attention.sublayers import BaseAttention, GlobalSelfAttention
from keras_transformer.layers.base import TokenStack, TransformerLayer, TransformerStack


@keras.saving.register_keras_serializable("keras_transformer")
class EncoderLayer(TransformerLayer):
    """Self-attention and feed-forward network.

    Arguments are those of `TransformerLayer`.

    Call arguments:
        x: ``(batch, seq, d_model)``.
        x_mask: which positions are real, ``(batch, seq)`` bool; or how many are, ``(batch,)``
            integers; or any mask of `masks.over_heads_and_queries`. The Keras mask of `x` unless
            given.

    Returns:
        ``(batch, seq, d_model)``; `last_attn_scores` gives the attention weights.

    Example:
        >>> layer = EncoderLayer(d_model=512, num_heads=8, dff=2048)
        >>> layer(tf.random.uniform((64, 43, 512))).shape
        TensorShape([64, 43, 512])
    """

    attention_class: type[BaseAttention] = GlobalSelfAttention

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.self_attention = self.attention(self.attention_class, rotary=self.rotary)
        self.ffn = self.feed_forward()

    def build(self, x_shape):
        self.self_attention.build(x_shape)
        self.ffn.build(x_shape)

    @property
    def last_attn_scores(self):
        """Attention weights of the last call, ``(batch, heads, seq, seq)``."""
        return self.self_attention.last_attn_scores

    def call(self, x, x_mask=None, training=None):
        x = self.self_attention(x, x_mask=x_mask, training=training)
        return self.ffn(x, training=training)


@keras.saving.register_keras_serializable("keras_transformer")
class EncoderStack(TransformerStack):
    """A stack of encoder layers over vectors.

    Args:
        share_layers: run one layer, with one set of weights, `num_layers` times (ALBERT, arXiv
            1909.11942, section 3.1).

    The other arguments are those of `TransformerStack`.

    Call arguments:
        x: ``(batch, seq, d_model)``.
        x_mask: as for `EncoderLayer`.
        return_attention_scores: also return the attention weights.

    Returns:
        ``(batch, seq, d_model)``; with `return_attention_scores` also a list of the weights of
        every layer, each ``(batch, heads, seq, seq)``.

    Example:
        >>> stack = EncoderStack(num_layers=4, d_model=512, num_heads=8, dff=2048)
        >>> stack(tf.random.uniform((64, 43, 512))).shape
        TensorShape([64, 43, 512])
    """

    layer_class = EncoderLayer

    def __init__(self, *, share_layers=False, **kwargs):
        super().__init__(**kwargs)
        self.share_layers = share_layers
        self.enc_layers = self.make_layers(1 if share_layers else None)

    def build(self, x_shape):
        self.build_layers(self.enc_layers, x_shape)

    def call(self, x, x_mask=None, training=None, return_attention_scores=False):
        scores = [] if return_attention_scores else None
        layers = self.layers_in_order()
        x = self.run_layers(layers, x, x_mask=x_mask, training=training, scores=scores)
        return (x, scores) if return_attention_scores else x

    def layers_in_order(self) -> list:
        """The layers in the order in which they run; a shared one is listed several times."""
        return self.enc_layers * self.num_layers if self.share_layers else self.enc_layers

    def get_config(self):
        return {**super().get_config(), "share_layers": self.share_layers}


@keras.saving.register_keras_serializable("keras_transformer")
class Encoder(TokenStack):
    """Token embedding and a stack of encoder layers.

    Arguments are those of `TokenStack`.

    Call arguments:
        x: token ids, ``(batch, seq)``.
        x_mask: which positions are real, ``(batch, seq)`` bool; or how many are, ``(batch,)``
            integers; or any mask of `masks.over_heads_and_queries`. ``x != 0`` unless given.

    Returns:
        ``(batch, seq, d_model)``, carrying the Keras mask ``x != 0``.

    Example:
        >>> encoder = Encoder(num_layers=4, d_model=512, num_heads=8, dff=2048, vocab_size=8500)
        >>> encoder(tf.constant([[2, 7, 9, 3, 0]])).shape
        TensorShape([1, 5, 512])
    """

    layer_class = EncoderLayer

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.enc_layers = self.make_layers()

    def build(self, x_shape):
        self.build_layers(self.enc_layers, (*x_shape, self.d_model))

    def compute_mask(self, x, mask=None):
        return padding_keep_mask(x)

    def call(self, x, x_mask=None, training=None):
        if x_mask is None:
            x_mask = padding_keep_mask(x)
        x = self.pos_embedding(x, training=training)
        return self.run_layers(self.enc_layers, x, x_mask=x_mask, training=training)
