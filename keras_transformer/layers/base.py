"""Base classes of encoder and decoder: one layer, a stack of layers, a stack with embedding."""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.activations import get_activation
from keras_transformer.layers.dropout import Dropout, keep_mask
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.layer_normalization import LayerNormalization
from keras_transformer.layers.positional import PositionalEmbedding


class LazyAttentionScores:
    """Mixin that keeps saving from computing the property `last_attn_scores`."""

    def __dir__(self):
        # Keras and TensorFlow read every attribute listed here when they save a layer.
        return [name for name in super().__dir__() if name != "last_attn_scores"]


class TransformerLayer(LazyAttentionScores, keras.layers.Layer):
    """Base of `EncoderLayer` and `DecoderLayer`: their arguments and sub-layers.

    Args:
        d_model: width of the model.
        num_heads: number of attention heads.
        dff: width inside the feed-forward network.
        dropout_rate: dropout of the feed-forward output.
        attention_dropout_rate: dropout of the attention weights; ``None`` means `dropout_rate` (as
            in the 2022 edition; the paper and the 2019 edition have 0).
        residual_dropout_rate: dropout of the attention output before the residual is added (0 in
            the 2022 edition; the paper and the 2019 edition use `dropout_rate`).
        key_dim: size of one head; ``None`` means ``d_model // num_heads`` (the 2022 tutorial used
            `d_model`).
        activation: activation inside the feed-forward network.
        norm_first: pre-norm instead of post-norm.
        layer_norm_epsilon: added to the variance in layer normalisation.
        rotary: rotate queries and keys of self-attention by their positions.
        attention_implementation: one of `dot_product.IMPLEMENTATIONS`; see `MultiHeadAttention`.
    """

    def __init__(
        self,
        *,
        d_model,
        num_heads,
        dff,
        dropout_rate=0.1,
        attention_dropout_rate=None,
        residual_dropout_rate=0.0,
        key_dim=None,
        activation="relu",
        norm_first=False,
        layer_norm_epsilon=1e-6,
        rotary=False,
        attention_implementation="auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if key_dim is None and d_model % num_heads:
            raise InputError(
                f"d_model ({d_model}) is not a multiple of num_heads ({num_heads}). "
                "Change one of them or give key_dim."
            )
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.residual_dropout_rate = residual_dropout_rate
        self.key_dim = key_dim
        self.activation = get_activation(activation)
        self.norm_first = norm_first
        self.layer_norm_epsilon = layer_norm_epsilon
        self.rotary = rotary
        self.attention_implementation = attention_implementation
        self.supports_masking = True

    def layer_arguments(self) -> dict:
        """Arguments for another layer like this one."""
        return {
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "dff": self.dff,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "residual_dropout_rate": self.residual_dropout_rate,
            "key_dim": self.key_dim,
            "activation": self.activation,
            "norm_first": self.norm_first,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "rotary": self.rotary,
            "attention_implementation": self.attention_implementation,
        }

    def attention(self, kind, *, rotary=False):
        """Makes an attention sub-layer of class `kind` with this layer's arguments."""
        attention_dropout = self.attention_dropout_rate
        return kind(
            self.num_heads,
            self.key_dim,
            self.dropout_rate if attention_dropout is None else attention_dropout,
            residual_dropout=self.residual_dropout_rate,
            norm_first=self.norm_first,
            layer_norm_epsilon=self.layer_norm_epsilon,
            rotary=rotary,
            attention_implementation=self.attention_implementation,
            dtype=self.dtype_policy,
        )

    def feed_forward(self):
        """Makes a feed-forward sub-layer with this layer's arguments."""
        return FeedForward(
            self.d_model,
            self.dff,
            self.dropout_rate,
            activation=self.activation,
            norm_first=self.norm_first,
            layer_norm_epsilon=self.layer_norm_epsilon,
            dtype=self.dtype_policy,
        )

    def get_config(self):
        arguments = {
            name: keras.activations.serialize(value) if callable(value) else value
            for name, value in self.layer_arguments().items()
        }
        return {**super().get_config(), **arguments}


class TransformerStack(TransformerLayer):
    """A stack of layers: dropout before them, and with pre-norm a normalisation after them.

    Args:
        num_layers: number of layers.
        layer_dropout_rate: rate at which a whole layer is left out of a training step (LayerDrop,
            Fan et al. 2020, arXiv 1909.11556).

    The other arguments are those of `TransformerLayer`.
    """

    layer_class: type[TransformerLayer]

    def __init__(self, *, num_layers, layer_dropout_rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.layer_dropout_rate = layer_dropout_rate
        # Without a rate there is none, as in models that were saved before.
        self._layer_dropout = Dropout(layer_dropout_rate) if layer_dropout_rate else None
        self.dropout = Dropout(self.dropout_rate, dtype=self.dtype_policy)
        # With pre-norm the sum of all sub-layers is not normalised otherwise.
        self.final_norm = (
            LayerNormalization(epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy)
            if self.norm_first
            else None
        )

    def make_layers(self, count=None) -> list:
        """Makes `count` layers of class `layer_class`; `num_layers` unless given."""
        return [
            self.layer_class(**self.layer_arguments(), dtype=self.dtype_policy)
            for _ in range(self.num_layers if count is None else count)
        ]

    def build_layers(self, layers, *shapes):
        """Builds `layers` and the final normalisation for the shapes of ``x`` and context."""
        for layer in layers:
            layer.build(*shapes)
        if self.final_norm is not None:
            self.final_norm.build(shapes[0])

    def run_layers(self, layers, x, *context, training=None, scores=None, **masks):
        """Runs dropout, layers and final normalisation.

        Args:
            layers: in their order.
            x: ``(batch, seq, d_model)``.
            context: further inputs of every layer.
            training: whether dropout is active.
            scores: a list to append the attention weights of every layer to.
            masks: keyword arguments of every layer.

        Returns:
            ``(batch, seq, d_model)``.
        """
        x = self.dropout(x, training=training)
        for layer in layers:
            output = layer(x, *context, training=training, **masks)
            drops = training and self._layer_dropout is not None
            x = tf.where(self._layer_is_kept(), output, x) if drops else output
            if scores is not None:
                scores.append(layer.last_attn_scores)
        return self.finish(x)

    def _layer_is_kept(self):
        """Whether the next layer takes part in this step, a bool scalar."""
        seed = self._layer_dropout.next_seed()
        return keep_mask((1,), self.layer_dropout_rate, seed)[0]

    def finish(self, x):
        """The final normalisation, with pre-norm; else `x`."""
        return x if self.final_norm is None else self.final_norm(x)

    def get_config(self):
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "layer_dropout_rate": self.layer_dropout_rate,
        }


class TokenStack(TransformerStack):
    """Base of `Encoder` and `Decoder`: a stack with a token embedding before it.

    Args:
        vocab_size: number of tokens; NumPy and TensorFlow integers are accepted.
        positions: one of ``positional.POSITION_KINDS``.
        max_length: longest sequence there are positions for.
        token_vectors: ``learned`` or ``one_hot``; see `PositionalEmbedding`.
        embedding: a token embedding to share; see `PositionalEmbedding`.
        embeddings_initializer: initial token vectors.
        token_dropout_rate: see `PositionalEmbedding`.

    The other arguments are those of `TransformerStack`, without `rotary`, which `positions` sets.
    """

    def __init__(
        self,
        *,
        vocab_size,
        positions="sinusoidal",
        max_length=2048,
        token_vectors="learned",
        embedding=None,
        embeddings_initializer="uniform",
        token_dropout_rate=0.0,
        **kwargs,
    ):
        super().__init__(rotary=positions == "rotary", **kwargs)
        self.vocab_size = int(vocab_size)
        self.positions = positions
        self.max_length = max_length
        self.pos_embedding = PositionalEmbedding(
            self.vocab_size,
            self.d_model,
            positions=positions,
            max_length=max_length,
            token_vectors=token_vectors,
            embedding=embedding,
            embeddings_initializer=embeddings_initializer,
            token_dropout_rate=token_dropout_rate,
            dtype=self.dtype_policy,
        )

    def build_layers(self, layers, *shapes):
        self.pos_embedding.build()
        super().build_layers(layers, *shapes)

    def get_config(self):
        config = {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "positions": self.positions,
            "max_length": self.max_length,
            "token_vectors": self.pos_embedding.token_vectors,
            "embeddings_initializer": keras.initializers.serialize(
                self.pos_embedding.embeddings_initializer
            ),
            "token_dropout_rate": self.pos_embedding.token_dropout_rate,
        }
        del config["rotary"]  # follows from positions
        return config
