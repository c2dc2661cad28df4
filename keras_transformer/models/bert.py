"""BERT and ALBERT: encoders of texts.

Design choices: one class for both, since ALBERT is BERT with a factorised embedding and shared
layers; the model takes ids and segments only; tasks are models around it, in `bert_pretraining` and
`bert_heads`. Sources: BERT (arXiv 1810.04805), ALBERT (arXiv 1909.11942).
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.attention.masks import padding_keep_mask, padding_lengths
from keras_transformer.layers.encoder import EncoderStack
from keras_transformer.layers.layer_normalization import LayerNormalization
from keras_transformer.layers.positional import PositionalEmbedding
from keras_transformer.models.base import TrainedModel

INITIAL_STDDEV = 0.02
"""Standard deviation of the initial weights, as published with both models."""


def _bert(num_layers, d_model):
    heads = {"num_heads": d_model // 64, "dff": 4 * d_model}
    return {"vocab_size": 30522, "num_layers": num_layers, "d_model": d_model, **heads}


def _albert(num_layers, d_model, num_heads):
    return {
        "vocab_size": 30000,
        "num_layers": num_layers,
        "d_model": d_model,
        "num_heads": num_heads,
        "dff": 4 * d_model,
        "embedding_size": 128,
        "share_layers": True,
        "activation": "gelu_tanh",
        "dropout_rate": 0.0,
        "attention_dropout_rate": 0.0,
    }


PRESETS = {
    "bert-tiny": _bert(2, 128),
    "bert-mini": _bert(4, 256),
    "bert-small": _bert(4, 512),
    "bert-medium": _bert(8, 512),
    "bert-base": _bert(12, 768),
    "bert-large": _bert(24, 1024),
    "albert-base": _albert(12, 768, 12),
    "albert-large": _albert(24, 1024, 16),
    "albert-xlarge": _albert(24, 2048, 16),
    "albert-xxlarge": _albert(12, 4096, 64),
}
"""Published sizes: BERT's uncased English ones (arXiv 1908.08962, table 1; BERT, section 3) and
those of ALBERT's second version (ALBERT, table 1)."""


def initialize_truncated_normal(layer, stddev=INITIAL_STDDEV) -> None:
    """Draws the kernels and embeddings of a layer or model from a truncated normal distribution.

    Args:
        layer: a built layer or model; its biases and normalisation weights do not change.
        stddev: standard deviation, before values beyond twice of it are drawn again.
    """
    for weight in layer.trainable_weights:
        if weight.name in ("kernel", "embeddings", "pos_encoding"):
            # One initializer would give all weights of a shape the same values.
            initializer = keras.initializers.TruncatedNormal(stddev=stddev)
            weight.assign(initializer(weight.shape, weight.dtype))


def bert_dense(width, **kwargs) -> keras.layers.Dense:
    """A dense layer with BERT's initializer."""
    initializer = keras.initializers.TruncatedNormal(stddev=INITIAL_STDDEV)
    return keras.layers.Dense(width, kernel_initializer=initializer, **kwargs)


class BertOutput(NamedTuple):
    """Output of `Bert`.

    Attributes:
        sequence: a vector for each token, ``(batch, seq, d_model)``.
        pooled: a vector for each text, ``(batch, d_model)``; ``None`` without a pooler.
    """

    sequence: tf.Tensor
    pooled: tf.Tensor | None


@keras.saving.register_keras_serializable("keras_transformer")
class BertEmbedding(keras.layers.Layer):
    """Sum of token, position and segment embedding, normalised (BERT, figure 2).

    Args:
        vocab_size: number of tokens; id 0 is padding.
        d_model: width of the output.
        embedding_size: width of the embeddings, `d_model` unless given; a dense layer projects
            another width to `d_model` (ALBERT, section 3.1).
        max_length: number of positions.
        num_segments: number of segments.
        layer_norm_epsilon: added to the variance.

    Call arguments:
        ids: token ids, ``(batch, seq)``.
        segments: the segment of each token, ``(batch, seq)``; all 0 unless given.

    Returns:
        ``(batch, seq, d_model)``.
    """

    def __init__(
        self,
        *,
        vocab_size,
        d_model,
        embedding_size=None,
        max_length=512,
        num_segments=2,
        layer_norm_epsilon=1e-12,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocab_size = int(vocab_size)
        self.d_model = d_model
        self.embedding_size = embedding_size or d_model
        self.max_length = max_length
        self.num_segments = num_segments
        self.layer_norm_epsilon = layer_norm_epsilon
        dtype = self.dtype_policy
        self.pos_embedding = PositionalEmbedding(
            self.vocab_size,
            self.embedding_size,
            positions="learned",
            max_length=max_length,
            scale=False,
            dtype=dtype,
        )
        self.segment_embedding = keras.layers.Embedding(
            num_segments, self.embedding_size, dtype=dtype
        )
        self.layer_norm = LayerNormalization(epsilon=layer_norm_epsilon, dtype=dtype)
        self.projection = (
            None if self.embedding_size == d_model else keras.layers.Dense(d_model, dtype=dtype)
        )

    def build(self, ids_shape, segments_shape=None):
        vectors_shape = (*ids_shape, self.embedding_size)
        self.pos_embedding.build(ids_shape)
        self.segment_embedding.build(ids_shape)
        self.layer_norm.build(vectors_shape)
        if self.projection is not None:
            self.projection.build(vectors_shape)

    def call(self, ids, segments=None):
        segments = tf.zeros_like(ids) if segments is None else segments
        # The sum does not carry the Keras mask.
        x = self.layer_norm(self.pos_embedding(ids) + self.segment_embedding(segments))
        return x if self.projection is None else self.projection(x)

    def get_config(self):
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "d_model": self.d_model,
            "embedding_size": self.embedding_size,
            "max_length": self.max_length,
            "num_segments": self.num_segments,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }


@keras.saving.register_keras_serializable("keras_transformer")
class Bert(TrainedModel):
    """BERT or ALBERT, without a head (BERT, section 3; ALBERT, section 3.1).

    The defaults are those of BERT's base size; `preset` makes the other sizes.

    Args:
        vocab_size: number of tokens; NumPy and TensorFlow integers are accepted.
        num_layers: number of encoder layers.
        d_model: width of the model.
        num_heads: number of attention heads.
        dff: width inside the feed-forward networks.
        max_length: longest text there are positions for.
        num_segments: number of segments.
        embedding_size: width of the embeddings; see `BertEmbedding`.
        share_layers: use one set of weights for all layers, as in ALBERT.
        dropout_rate: dropout of the embeddings and of the outputs of sub-layers.
        attention_dropout_rate: dropout of the attention weights.
        activation: activation inside the feed-forward networks: ``gelu`` in BERT, ``gelu_tanh``
            in ALBERT's second version.
        layer_norm_epsilon: added to the variance in layer normalisation.
        pooler: compute a vector of each text from that of its first token.
        attention_implementation: one of `dot_product.IMPLEMENTATIONS`; see `MultiHeadAttention`.
        right_padded: all padding is at the end of rows; see `Transformer`.
        initial_stddev: standard deviation of the initial weights, truncated normal. The published
            0.02 is for a width of 768; it corresponds to 0.05 for a width of 128.

    Call arguments:
        inputs: token ids, ``(batch, seq)``, padded with 0; or ``(ids, segments)`` of one shape.
            Segments are 0 unless given.
        training: whether dropout is active.
        return_attention_scores: also return the attention weights.

    Returns:
        `BertOutput`; with `return_attention_scores` also a list of the weights of every layer,
        each ``(batch, heads, seq, seq)``. `predict` returns a dictionary.

    Example:
        >>> bert = Bert(vocab_size=8000, num_layers=2, d_model=64, num_heads=4, dff=128)
        >>> output = bert((tf.constant([[2, 7, 3, 9, 3, 0]]), tf.constant([[0, 0, 0, 1, 1, 0]])))
        >>> output.sequence.shape, output.pooled.shape
        (TensorShape([1, 6, 64]), TensorShape([1, 64]))
    """

    def __init__(
        self,
        *,
        vocab_size,
        num_layers=12,
        d_model=768,
        num_heads=12,
        dff=3072,
        max_length=512,
        num_segments=2,
        embedding_size=None,
        share_layers=False,
        dropout_rate=0.1,
        attention_dropout_rate=0.1,
        activation="gelu",
        layer_norm_epsilon=1e-12,
        pooler=True,
        attention_implementation="auto",
        right_padded=False,
        initial_stddev=INITIAL_STDDEV,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.right_padded = right_padded
        self.initial_stddev = initial_stddev
        self.embedding = BertEmbedding(
            vocab_size=vocab_size,
            d_model=d_model,
            embedding_size=embedding_size,
            max_length=max_length,
            num_segments=num_segments,
            layer_norm_epsilon=layer_norm_epsilon,
            dtype=self.dtype_policy,
        )
        self.encoder = EncoderStack(
            num_layers=num_layers,
            d_model=d_model,
            num_heads=num_heads,
            dff=dff,
            share_layers=share_layers,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            residual_dropout_rate=dropout_rate,
            activation=activation,
            layer_norm_epsilon=layer_norm_epsilon,
            attention_implementation=attention_implementation,
            dtype=self.dtype_policy,
        )
        self.pooler = (
            keras.layers.Dense(d_model, activation="tanh", dtype=self.dtype_policy)
            if pooler
            else None
        )
        self.build((None, None))
        initialize_truncated_normal(self, initial_stddev)

    @classmethod
    def preset(cls, name, **changes):
        """Makes a model of a published size with new weights.

        Args:
            name: one of `PRESETS`.
            changes: arguments to change, such as `vocab_size`.

        Raises:
            ValueError: for another name.
        """
        if name not in PRESETS:
            raise InputError(f"A size is one of {', '.join(PRESETS)}; got {name!r}.")
        return cls(**{**PRESETS[name], **changes})

    def build(self, input_shape):
        if self.built:
            return
        vectors_shape = (*input_shape, self.d_model)
        self.embedding.build(input_shape)
        self.encoder.build(vectors_shape)
        if self.pooler is not None:
            self.pooler.build((None, self.d_model))
        self.built = True

    @property
    def d_model(self) -> int:
        return self.encoder.d_model

    @property
    def vocab_size(self) -> int:
        return self.embedding.vocab_size

    @property
    def max_length(self) -> int:
        """Longest text."""
        return self.embedding.max_length

    def call(self, inputs, training=None, return_attention_scores=False):
        ids, segments = ids_and_segments(inputs)
        x = self.encoder(
            self.embedding(ids, segments),
            x_mask=padding_lengths(ids) if self.right_padded else padding_keep_mask(ids),
            training=training,
            return_attention_scores=return_attention_scores,
        )
        x, scores = x if return_attention_scores else (x, None)
        output = BertOutput(x, None if self.pooler is None else self.pooler(x[:, 0]))
        return (output, scores) if return_attention_scores else output

    def predict_step(self, data):
        """Predicts as Keras does; returns a dictionary without ``None``, for `predict` to join."""
        output = super().predict_step(data)
        return {name: x for name, x in output._asdict().items() if x is not None}

    def get_config(self):
        embedding, encoder = self.embedding.get_config(), self.encoder.get_config()
        of_encoder = ("num_layers", "d_model", "num_heads", "dff", "share_layers", "dropout_rate")
        of_encoder += ("attention_dropout_rate", "activation", "attention_implementation")
        of_embedding = ("vocab_size", "max_length", "num_segments", "embedding_size")
        return {
            **super().get_config(),
            "name": self.name,
            **{name: encoder[name] for name in of_encoder},
            **{name: embedding[name] for name in (*of_embedding, "layer_norm_epsilon")},
            "pooler": self.pooler is not None,
            "right_padded": self.right_padded,
            "initial_stddev": self.initial_stddev,
        }


def ids_and_segments(inputs) -> tuple:
    """The two inputs of `Bert`; segments are ``None`` where not given."""
    return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs, None)


class WithBert:
    """Mixin of models that contain another one, `bert`, and save it in their configuration."""

    def get_config(self):
        return {
            **super().get_config(),
            "name": self.name,
            "bert": keras.saving.serialize_keras_object(self.bert),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        bert = keras.saving.deserialize_keras_object(config["bert"], custom_objects)
        return super().from_config({**config, "bert": bert})
