"""The names of the tutorial's 2019–2021 edition, with that edition's meaning.

``from keras_transformer.edition_2019 import *`` is for notebooks of that time. Classes that the
2022 edition defines differently are subclasses of this package's own; other names are the same
objects. The differences:

* positions are interleaved; dropout acts on attention outputs instead of attention weights;
* masks are arguments; 1 in a float mask is hidden; ``None`` hides nothing, not even the future;
* ``training`` and the masks may be positional arguments, which Keras 3 does not accept;
* decoders and the model also return their attention weights.

A mask of rank 2 is ``(query, key)`` if numeric, as from `create_look_ahead_mask`, and
``(batch, key)`` if bool, as in Keras. Other ranks are those of `masks.over_heads_and_queries`.
"""

import inspect

import keras
import tensorflow as tf

from keras_transformer import layers, models
from keras_transformer.internals import drop_keras_mask
from keras_transformer.layers import (
    MultiHeadAttention,
    create_look_ahead_mask,
    create_masks,
    create_padding_mask,
    get_angles,
    point_wise_feed_forward_network,
    scaled_dot_product_attention,
)
from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.base import TransformerLayer
from keras_transformer.layers.positional import interleaved_positional_encoding
from keras_transformer.models.base import TrainedModel
from keras_transformer.optimizers.schedules import CustomSchedule
from keras_transformer.plotting.attention import plot_attention_head, plot_attention_weights
from keras_transformer.translating import translator
from keras_transformer.translating.graph import ExportTranslator
from keras_transformer.translating.translator import MAX_TOKENS, print_translation

__all__ = [
    "CustomSchedule",
    "Decoder",
    "DecoderLayer",
    "Encoder",
    "EncoderLayer",
    "ExportTranslator",
    "MultiHeadAttention",
    "Transformer",
    "Translator",
    "create_look_ahead_mask",
    "create_masks",
    "create_padding_mask",
    "get_angles",
    "plot_attention_head",
    "plot_attention_weights",
    "point_wise_feed_forward_network",
    "positional_encoding",
    "print_translation",
    "scaled_dot_product_attention",
]

_register = keras.saving.register_keras_serializable("keras_transformer.edition_2019")


def positional_encoding(position, d_model) -> tf.Tensor:
    """Sinusoidal positional encoding, sine and cosine in turn (the paper, section 3.5).

    Args:
        position: number of positions.
        d_model: width of the model.

    Returns:
        float32 ``(1, position, d_model)``.
    """
    return interleaved_positional_encoding(position, d_model)[tf.newaxis]


def _explicit(mask):
    """A mask that hides nothing, for ``None``, for which layers would take the Keras mask."""
    return tf.zeros((1, 1, 1, 1)) if mask is None else mask


def _over_heads(mask):
    """Converts a mask of the edition to one for `masks.over_heads_and_queries`."""
    mask = tf.convert_to_tensor(_explicit(mask))
    is_query_by_key = mask.shape.rank == 2 and mask.dtype != tf.bool
    return mask[tf.newaxis, tf.newaxis] if is_query_by_key else mask


class _Edition2019(TransformerLayer):
    """Base of layers and stacks: calls with positional arguments, and names of the arguments."""

    def __init__(self, d_model, num_heads, dff, rate=0.1, **kwargs):
        super().__init__(
            d_model=d_model,
            num_heads=num_heads,
            dff=dff,
            dropout_rate=rate,
            residual_dropout_rate=rate,
            attention_dropout_rate=0.0,
            layer_norm_epsilon=1e-6,
            **kwargs,
        )

    def __call__(self, *args, **kwargs):
        given = inspect.signature(self.call).bind(*args, **kwargs).arguments
        for name in given:
            if name.endswith("mask"):  # Keras would replace None by its own mask
                given[name] = _explicit(given[name])
        return super().__call__(given.pop("x"), **given)

    def compute_mask(self, *args, **kwargs):
        """None: masks are arguments."""
        return None

    def layer_arguments(self) -> dict:
        return {
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "dff": self.dff,
            "rate": self.dropout_rate,
        }


@_register
class EncoderLayer(_Edition2019, layers.EncoderLayer):
    """Self-attention and feed-forward network.

    Args:
        d_model: width of the model.
        num_heads: number of attention heads.
        dff: width inside the feed-forward network.
        rate: dropout of the output of both sub-layers.

    Call arguments, by position or by name:
        x: ``(batch, seq, d_model)``.
        training: whether dropout is active.
        mask: hidden positions, such as ``(batch, 1, 1, seq)``.

    Returns:
        ``(batch, seq, d_model)``.

    Example:
        >>> layer = EncoderLayer(512, 8, 2048)
        >>> layer(tf.random.uniform((64, 43, 512)), False, None).shape
        TensorShape([64, 43, 512])
    """

    def call(self, x, training, mask):
        return super().call(x, x_mask=_over_heads(mask), training=training)


@_register
class DecoderLayer(_Edition2019, layers.DecoderLayer):
    """Masked self-attention, cross-attention to the encoder's output and feed-forward network.

    Args:
        d_model, num_heads, dff, rate: as for `EncoderLayer`.

    Call arguments, by position or by name:
        x: ``(batch, target, d_model)``.
        enc_output: output of the encoder, ``(batch, source, d_model)``.
        training: whether dropout is active.
        look_ahead_mask: target positions hidden from self-attention, such as ``(target, target)``
            or ``(batch, 1, target, target)``; ``None`` does not hide the future.
        padding_mask: source positions hidden from cross-attention, such as
            ``(batch, 1, 1, source)``.

    Returns:
        ``(output, attn_weights_block1, attn_weights_block2)``: ``(batch, target, d_model)`` and
        the weights of self- and cross-attention, ``(batch, heads, target, target)`` and
        ``(batch, heads, target, source)``.
    """

    def build(self, x_shape, enc_output_shape=None):
        super().build(x_shape, enc_output_shape)

    def call(self, x, enc_output, training, look_ahead_mask, padding_mask):
        x = super().call(
            x,
            enc_output,
            x_mask=_over_heads(look_ahead_mask),
            context_mask=_over_heads(padding_mask),
            causal=False,
            training=training,
        )
        block1 = self.causal_self_attention.last_attn_scores
        return x, block1, self.cross_attention.last_attn_scores


@_register
class Encoder(_Edition2019, layers.Encoder):
    """Token embedding, positions and a stack of encoder layers.

    Args:
        num_layers: number of layers.
        d_model, num_heads, dff: as for `EncoderLayer`.
        input_vocab_size: number of tokens.
        maximum_position_encoding: longest sequence there are positions for.
        rate: dropout of the embeddings and of the output of every sub-layer.

    Call arguments, by position or by name:
        x: token ids, ``(batch, seq)``.
        training: whether dropout is active.
        mask: hidden positions, such as ``(batch, 1, 1, seq)``.

    Returns:
        ``(batch, seq, d_model)``.
    """

    layer_class = EncoderLayer

    def __init__(
        self,
        num_layers,
        d_model,
        num_heads,
        dff,
        input_vocab_size,
        maximum_position_encoding=2048,
        rate=0.1,
        **kwargs,
    ):
        super().__init__(
            d_model,
            num_heads,
            dff,
            rate,
            num_layers=num_layers,
            vocab_size=input_vocab_size,
            positions="interleaved",
            max_length=maximum_position_encoding,
            **kwargs,
        )

    def call(self, x, training, mask):
        x = self.dropout(drop_keras_mask(self.pos_embedding(x)), training=training)
        for layer in self.enc_layers:
            x = layer(x, training, mask)
        return x

    def get_config(self):
        return {
            **TransformerLayer.get_config(self),
            "num_layers": self.num_layers,
            "input_vocab_size": self.vocab_size,
            "maximum_position_encoding": self.max_length,
        }


@_register
class Decoder(_Edition2019, layers.Decoder):
    """Token embedding, positions and a stack of decoder layers.

    Args:
        target_vocab_size: number of tokens.
        num_layers, d_model, num_heads, dff, maximum_position_encoding, rate: as for `Encoder`.

    Call arguments, by position or by name:
        x: token ids, ``(batch, target)``.
        enc_output, training, look_ahead_mask, padding_mask: as for `DecoderLayer`.

    Returns:
        ``(x, attention_weights)``: ``(batch, target, d_model)`` and a dictionary of the weights of
        layer 1, 2, …: ``decoder_layer1_block1`` (self-attention), ``decoder_layer1_block2``
        (cross-attention) and so on, each ``(batch, heads, query, key)``.
    """

    layer_class = DecoderLayer

    def __init__(
        self,
        num_layers,
        d_model,
        num_heads,
        dff,
        target_vocab_size,
        maximum_position_encoding=2048,
        rate=0.1,
        **kwargs,
    ):
        super().__init__(
            d_model,
            num_heads,
            dff,
            rate,
            num_layers=num_layers,
            vocab_size=target_vocab_size,
            positions="interleaved",
            max_length=maximum_position_encoding,
            **kwargs,
        )

    def build(self, x_shape, enc_output_shape=None):
        super().build(x_shape, enc_output_shape)

    def call(self, x, enc_output, training, look_ahead_mask, padding_mask):
        attention_weights = {}
        x = self.dropout(drop_keras_mask(self.pos_embedding(x)), training=training)
        for i, layer in enumerate(self.dec_layers, 1):
            x, block1, block2 = layer(x, enc_output, training, look_ahead_mask, padding_mask)
            attention_weights[f"decoder_layer{i}_block1"] = block1
            attention_weights[f"decoder_layer{i}_block2"] = block2
        return x, attention_weights

    def get_config(self):
        return {
            **TransformerLayer.get_config(self),
            "num_layers": self.num_layers,
            "target_vocab_size": self.vocab_size,
            "maximum_position_encoding": self.max_length,
        }


@_register
class Transformer(models.Transformer):
    """The Transformer of the edition, in both forms of its call.

    ``transformer([inp, tar], training)`` masks padding and the future itself;
    ``transformer(inp, tar, training, enc_padding_mask, look_ahead_mask, dec_padding_mask)`` takes
    the masks. Decoding with a cache is inherited.

    Args:
        num_layers: number of encoder layers, and of decoder layers.
        d_model, num_heads, dff: as for `EncoderLayer`.
        input_vocab_size: number of source tokens; NumPy and TensorFlow integers are accepted.
        target_vocab_size: number of target tokens; likewise.
        pe_input: longest source; 2048 unless given.
        pe_target: longest target; likewise.
        rate: dropout of the embeddings and of the output of every sub-layer.

    Returns:
        ``(logits, attention_weights)``: ``(batch, target, target_vocab_size)`` and the dictionary
        of `Decoder`.

    Example:
        >>> transformer = Transformer(2, 64, 4, 128, 8500, 8000, pe_input=1000, pe_target=1000)
        >>> inp, tar = tf.constant([[2, 7, 9, 3, 0]]), tf.constant([[2, 5, 6]])
        >>> logits, attention_weights = transformer([inp, tar], False)
        >>> logits, attention_weights = transformer(inp, tar, False, *create_masks(inp, tar))
        >>> attention_weights["decoder_layer2_block2"].shape
        TensorShape([1, 4, 3, 5])
    """

    def __init__(
        self,
        num_layers,
        d_model,
        num_heads,
        dff,
        input_vocab_size,
        target_vocab_size,
        pe_input=None,
        pe_target=None,
        rate=0.1,
        **kwargs,
    ):
        # The constructor of the parent would make the stacks of the 2022 edition.
        TrainedModel.__init__(self, **kwargs)
        shape = {"num_layers": num_layers, "d_model": d_model, "num_heads": num_heads, "dff": dff}
        shared = {**shape, "rate": rate, "dtype": self.dtype_policy}
        self.encoder = Encoder(
            input_vocab_size=input_vocab_size, maximum_position_encoding=pe_input or 2048, **shared
        )
        self.decoder = Decoder(
            target_vocab_size=target_vocab_size,
            maximum_position_encoding=pe_target or 2048,
            **shared,
        )
        self.final_layer = keras.layers.Dense(int(target_vocab_size), dtype=self.dtype_policy)
        self.right_padded = False
        self.build(((None, None), (None, None)))

    def __call__(self, *args, **kwargs):
        if "inputs" in kwargs or (args and isinstance(args[0], list | tuple)):
            given = inspect.signature(self.call).bind(*args, **kwargs).arguments
            return super().__call__(given.pop("inputs"), **given)
        return self._call_with_masks(*args, **kwargs)

    def _call_with_masks(
        self, inp, tar, training, enc_padding_mask, look_ahead_mask, dec_padding_mask
    ):
        """The call of 2019: all masks are arguments, and None hides nothing."""
        return super().__call__(
            (inp, tar),
            training=training,
            enc_padding_mask=_explicit(enc_padding_mask),
            look_ahead_mask=_explicit(look_ahead_mask),
            dec_padding_mask=_explicit(dec_padding_mask),
        )

    def call(
        self,
        inputs,
        training=None,
        enc_padding_mask=None,
        look_ahead_mask=None,
        dec_padding_mask=None,
    ):
        inp, tar = inputs
        padding_mask, future_mask = self.create_masks(inp, tar)
        enc_padding_mask = padding_mask if enc_padding_mask is None else enc_padding_mask
        look_ahead_mask = future_mask if look_ahead_mask is None else look_ahead_mask
        dec_padding_mask = padding_mask if dec_padding_mask is None else dec_padding_mask
        enc_output = self.encoder(inp, training, enc_padding_mask)
        x, attention_weights = self.decoder(
            tar, enc_output, training, look_ahead_mask, dec_padding_mask
        )
        return self.final_layer(x), attention_weights

    def create_masks(self, inp, tar) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes the first two masks of `create_masks`, of the source and of the target."""
        padding_mask, look_ahead_mask, _ = create_masks(inp, tar)
        return padding_mask, look_ahead_mask

    @property
    def max_length(self) -> int:
        """Longest source and longest target."""
        return min(self.encoder.max_length, self.decoder.max_length)

    def encode(self, source):
        context_mask = padding_keep_mask(source)
        return self.encoder(source, False, context_mask), context_mask

    def get_config(self):
        return {
            **keras.Model.get_config(self),
            **self.encoder.layer_arguments(),
            "num_layers": self.encoder.num_layers,
            "input_vocab_size": self.encoder.vocab_size,
            "target_vocab_size": self.decoder.vocab_size,
            "pe_input": self.encoder.max_length,
            "pe_target": self.decoder.max_length,
        }


class Translator(translator.Translator):
    """A `Translator` whose call returns the attention weights of every decoder layer.

    Args:
        tokenizers: as for the parent.
        transformer: a `Transformer` of either edition.
        decoding: limits of the search.

    Example:
        >>> translator = Translator(tokenizers, transformer)
        >>> text, tokens, attention_weights = translator(tf.constant("este é um problema."))
        >>> plot_attention_weights(sentence, tokens, attention_weights["decoder_layer4_block2"][0],
        ...                        tokenizers=tokenizers)
    """

    def __call__(self, sentence, max_length=MAX_TOKENS):
        """Translates as the parent does; the third result is the dictionary of `Decoder`."""
        text, tokens, _ = super().__call__(sentence, max_length)
        scores = self.attention_model.last_attention_scores()
        return text, tokens, {key: scores[key] for key in scores if key.startswith("decoder")}
