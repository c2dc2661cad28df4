"""Keras layers of the Transformer."""

from keras_transformer.layers.attention import (
    BaseAttention,
    CausalSelfAttention,
    CrossAttention,
    GlobalSelfAttention,
    MultiHeadAttention,
    scaled_dot_product_attention,
)
from keras_transformer.layers.decoder import Decoder, DecoderLayer
from keras_transformer.layers.encoder import Encoder, EncoderLayer
from keras_transformer.layers.feed_forward import FeedForward, point_wise_feed_forward_network
from keras_transformer.layers.masks import (
    create_look_ahead_mask,
    create_masks,
    create_padding_mask,
)
from keras_transformer.layers.positional import (
    PositionalEmbedding,
    get_angles,
    positional_encoding,
)

__all__ = [
    "BaseAttention",
    "CausalSelfAttention",
    "CrossAttention",
    "Decoder",
    "DecoderLayer",
    "Encoder",
    "EncoderLayer",
    "FeedForward",
    "GlobalSelfAttention",
    "MultiHeadAttention",
    "PositionalEmbedding",
    "create_look_ahead_mask",
    "create_masks",
    "create_padding_mask",
    "get_angles",
    "point_wise_feed_forward_network",
    "positional_encoding",
    "scaled_dot_product_attention",
]
