"""Keras layers: of the Transformer, of recurrent networks, of BERT, GPT, ViT and ELMo."""

from keras_transformer.layers.attention.dot_product import scaled_dot_product_attention
from keras_transformer.layers.attention.masks import (
    create_look_ahead_mask,
    create_masks,
    create_padding_mask,
)
from keras_transformer.layers.attention.multi_head import MultiHeadAttention
from keras_transformer.layers.attention.sublayers import (
    BaseAttention,
    CausalSelfAttention,
    CrossAttention,
    GlobalSelfAttention,
)
from keras_transformer.layers.causal import CausalLayer, CausalStack
from keras_transformer.layers.decoder import Decoder, DecoderLayer
from keras_transformer.layers.encoder import Encoder, EncoderLayer, EncoderStack
from keras_transformer.layers.feed_forward import FeedForward, point_wise_feed_forward_network
from keras_transformer.layers.patches import PatchEmbedding
from keras_transformer.layers.positional import PositionalEmbedding, get_angles, positional_encoding
from keras_transformer.layers.recurrent.attention import (
    AdditiveAttention,
    ConcatAttention,
    DotAttention,
    GeneralAttention,
)
from keras_transformer.layers.recurrent.cells import GRUCell, LSTMCell, OutputRecurrentCell, RNNCell
from keras_transformer.layers.recurrent.decoder import RecurrentDecoder
from keras_transformer.layers.recurrent.encoder import RecurrentEncoder
from keras_transformer.layers.recurrent.layer import Recurrent
from keras_transformer.layers.recurrent.stack import RecurrentStack
from keras_transformer.layers.scalar_mix import ScalarMix
