"""Keras layers of the Transformer, and of the recurrent networks before it."""

from keras_transformer.layers.attention import (
    BaseAttention,
    CausalSelfAttention,
    CrossAttention,
    GlobalSelfAttention,
)
from keras_transformer.layers.decoder import Decoder, DecoderLayer
from keras_transformer.layers.encoder import Encoder, EncoderLayer
from keras_transformer.layers.feed_forward import FeedForward, point_wise_feed_forward_network
from keras_transformer.layers.fused_attention import scaled_dot_product_attention
from keras_transformer.layers.masks import (
    create_look_ahead_mask,
    create_masks,
    create_padding_mask,
)
from keras_transformer.layers.multi_head_attention import MultiHeadAttention
from keras_transformer.layers.positional import (
    PositionalEmbedding,
    get_angles,
    positional_encoding,
)
from keras_transformer.layers.recurrent import Recurrent
from keras_transformer.layers.recurrent_attention import (
    AdditiveAttention,
    ConcatAttention,
    DotAttention,
    GeneralAttention,
)
from keras_transformer.layers.recurrent_cells import (
    GRUCell,
    LSTMCell,
    OutputRecurrentCell,
    RNNCell,
)
from keras_transformer.layers.recurrent_decoder import RecurrentDecoder
from keras_transformer.layers.recurrent_encoder import RecurrentEncoder
from keras_transformer.layers.recurrent_stack import RecurrentStack

__all__ = [
    "AdditiveAttention",
    "BaseAttention",
    "CausalSelfAttention",
    "ConcatAttention",
    "CrossAttention",
    "Decoder",
    "DecoderLayer",
    "DotAttention",
    "Encoder",
    "EncoderLayer",
    "FeedForward",
    "GRUCell",
    "GeneralAttention",
    "GlobalSelfAttention",
    "LSTMCell",
    "MultiHeadAttention",
    "OutputRecurrentCell",
    "PositionalEmbedding",
    "RNNCell",
    "Recurrent",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "RecurrentStack",
    "create_look_ahead_mask",
    "create_masks",
    "create_padding_mask",
    "get_angles",
    "point_wise_feed_forward_network",
    "positional_encoding",
    "scaled_dot_product_attention",
]
