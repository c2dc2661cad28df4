"""Positional encodings (sinusoidal, learned, rotary), and the embedding that adds them.

Sources: Attention Is All You Need, section 3.5 (sinusoids); RoFormer, section 3.2, arXiv
2104.09864 (rotations).
"""

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.embeddings import make_embedding

POSITION_KINDS = ("sinusoidal", "interleaved", "learned", "rotary", "none")
"""``sinusoidal``: sines then cosines (2022 edition); ``interleaved``: sine and cosine in turn (the
paper, 2019 edition); ``learned``: a trained vector for each position; ``rotary``: queries and keys
of self-attention are rotated; ``none``: no positions."""


def get_angles(pos, i, d_model) -> np.ndarray:
    """Angles of the sinusoids, ``pos / 10000^(2 (i // 2) / d_model)``.

    Args:
        pos: positions, any shape that broadcasts with `i`.
        i: dimensions, 0 to ``d_model - 1``.
        d_model: width of the model.

    Returns:
        float64 angles in radians.
    """
    exponents = (2 * (np.asarray(i) // 2)) / np.float64(d_model)
    return np.asarray(pos) * (1 / np.power(10000.0, exponents))


def _sines_and_cosines(length: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 sines ``(length, ceil(depth / 2))`` and cosines ``(length, depth // 2)``."""
    positions = np.arange(length)[:, np.newaxis]
    dimensions = np.arange(depth)[np.newaxis, :]
    angles = get_angles(positions, dimensions, depth)
    return np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])


def positional_encoding(length, depth) -> tf.Tensor:
    """Sinusoidal positional encoding, all sines before all cosines (2022 edition).

    Args:
        length: number of positions.
        depth: width of the model.

    Returns:
        float32 ``(length, depth)``.
    """
    return tf.cast(np.concatenate(_sines_and_cosines(length, depth), axis=-1), tf.float32)


def interleaved_positional_encoding(length, depth) -> tf.Tensor:
    """`positional_encoding` with sine and cosine in turn, as in the paper."""
    encoding = np.empty((length, depth))
    encoding[:, 0::2], encoding[:, 1::2] = _sines_and_cosines(length, depth)
    return tf.cast(encoding, tf.float32)


def rotate(x, position=None) -> tf.Tensor:
    """Rotates each pair of dimensions ``(i, i + depth // 2)`` by the angle of the position.

    The product of a rotated query and a rotated key depends only on the distance of their
    positions.

    Args:
        x: ``(batch, heads, seq, depth)``, `depth` even.
        position: one position for all of `seq`, a number or scalar tensor; or ``(batch, seq)``;
            0, 1, 2 ... unless given.

    Returns:
        tensor of the shape and dtype of `x`.
    """
    depth = x.shape[-1]
    rates = get_angles(1, np.arange(0, depth, 2), depth).astype(np.float32)  # (depth / 2,)
    positions = tf.range(tf.shape(x)[-2]) if position is None else position
    positions = tf.cast(positions, tf.float32)
    if positions.shape.rank == 2:
        positions = positions[:, tf.newaxis]  # the same for all heads
    angles = positions[..., tf.newaxis] * rates  # (seq, depth / 2), of one position (depth / 2,)
    sines, cosines = tf.cast(tf.sin(angles), x.dtype), tf.cast(tf.cos(angles), x.dtype)
    first, second = tf.split(x, 2, axis=-1)
    return tf.concat([first * cosines - second * sines, second * cosines + first * sines], axis=-1)


@keras.saving.register_keras_serializable("keras_transformer")
class PositionalEmbedding(keras.layers.Layer):
    """Token embedding plus positional encoding (Attention Is All You Need, sections 3.4 and 3.5).

    Args:
        vocab_size: number of tokens; id 0 is padding.
        d_model: width of the model.
        positions: one of `POSITION_KINDS`. ``rotary`` and ``none`` add nothing here.
        max_length: number of positions.
        token_vectors: ``learned``, or ``one_hot``, which needs a `d_model` of `vocab_size`.
        scale: multiply the embedding by ``sqrt(d_model)``, unlike BERT and GPT.
        embedding: a token embedding to share with another layer. It is not part of the
            configuration.
        embeddings_initializer: initial token vectors.
        token_dropout_rate: rate at which the whole vector of a token, but not its position, is
            dropped in training ("word dropout", Gal and Ghahramani 2016, arXiv 1512.05287).

    Call arguments:
        x: token ids, ``(batch, seq)``.
        position: one position for all tokens, a number or scalar tensor; or ``(batch, seq)``;
            0, 1, 2 ... unless given.

    Returns:
        ``(batch, seq, d_model)``, carrying the Keras mask ``x != 0``.

    Raises:
        ValueError: for a sequence longer than `max_length`, where the length is known.

    Example:
        >>> embed = PositionalEmbedding(vocab_size=8000, d_model=512)
        >>> embed(tf.constant([[5, 6, 0]])).shape
        TensorShape([1, 3, 512])
    """

    def __init__(
        self,
        vocab_size,
        d_model,
        *,
        positions="sinusoidal",
        max_length=2048,
        token_vectors="learned",
        scale=True,
        embedding=None,
        embeddings_initializer="uniform",
        token_dropout_rate=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if positions not in POSITION_KINDS:
            raise InputError(f"positions is one of {', '.join(POSITION_KINDS)}; got {positions!r}.")
        self.vocab_size = int(vocab_size)  # from NumPy or TensorFlow, too
        self.d_model = int(d_model)
        self.positions = positions
        self.max_length = int(max_length)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.token_vectors = token_vectors
        self.scale = scale
        self.token_dropout_rate = token_dropout_rate
        # Without a rate there is none, as in models that were saved before.
        self._token_dropout = Dropout(token_dropout_rate) if token_dropout_rate else None
        self.embedding = embedding or make_embedding(
            token_vectors,
            self.vocab_size,
            self.d_model,
            embeddings_initializer=self.embeddings_initializer,
            dtype=self.dtype_policy,
        )
        if positions == "sinusoidal":
            self.pos_encoding = positional_encoding(self.max_length, self.d_model)
        elif positions == "interleaved":
            self.pos_encoding = interleaved_positional_encoding(self.max_length, self.d_model)

    def build(self, input_shape=None):
        if not self.embedding.built:
            self.embedding.build(input_shape)
        if self.positions == "learned":
            self.pos_encoding = self.add_weight(
                shape=(self.max_length, self.d_model), initializer="uniform", name="pos_encoding"
            )

    def compute_mask(self, x, mask=None):
        return padding_keep_mask(x)

    def call(self, x, position=None, training=None):
        length = x.shape[1]
        # With positions of their own, tokens side by side, such as those of beams, are no sequence.
        limited = position is None and self.positions not in ("rotary", "none")
        if limited and length is not None and length > self.max_length:
            raise InputError(
                f"A sequence of {length} tokens is longer than the {self.max_length} positions "
                "this layer was made for. Shorten the sequence or give a larger max_length."
            )
        encoding = (
            self._encoding(0, tf.shape(x)[1]) if position is None else self._encoding(position, 1)
        )
        x = self.embedding(x)
        if self.scale:
            # This factor sets the relative scale of the embedding and the positional encoding.
            x *= tf.cast(tf.math.sqrt(tf.cast(self.d_model, tf.float32)), x.dtype)
        if training and self._token_dropout is not None:
            of_tokens = tf.ones((*tf.unstack(tf.shape(x)[:2]), 1), x.dtype)
            x *= self._token_dropout(of_tokens, training=True)
        return x if encoding is None else x + tf.cast(encoding, x.dtype)

    def _encoding(self, position, length):
        if self.positions in ("rotary", "none"):
            return None
        table = tf.convert_to_tensor(self.pos_encoding)
        if tf.is_tensor(position) and position.shape.rank:
            return tf.gather(table, position)  # (batch, seq, d_model)
        return tf.slice(table, [position, 0], [length, self.d_model])  # (seq, d_model)

    def get_config(self):
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "d_model": self.d_model,
            "positions": self.positions,
            "max_length": self.max_length,
            "token_vectors": self.token_vectors,
            "scale": self.scale,
            "token_dropout_rate": self.token_dropout_rate,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
