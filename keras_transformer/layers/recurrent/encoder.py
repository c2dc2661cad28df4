"""The encoder of recurrent models, and the base that it shares with their decoder."""

import keras

from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.embeddings import make_embedding
from keras_transformer.layers.recurrent.stack import RecurrentStack


class EmbeddedStack(keras.layers.Layer):
    """A token embedding, its dropout and a stack of recurrent layers.

    Args:
        kind, units, num_layers, skip_connections: of the stack; see `RecurrentStack`.
        vocab_size: number of tokens.
        bidirectional: run the stack in both directions.
        token_vectors: ``learned`` or ``one_hot``.
        embedding_size: width of learned token vectors; `units` unless given.
        dropout_rate: dropout of the token vectors and between layers.
        embedding: a token embedding to share with another layer.
        embeddings_initializer: initial token vectors.
    """

    def __init__(
        self,
        *,
        kind,
        units,
        num_layers,
        vocab_size,
        bidirectional=False,
        token_vectors="learned",
        embedding_size=None,
        skip_connections=False,
        dropout_rate=0.1,
        embedding=None,
        embeddings_initializer="uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kind = kind
        self.units = int(units)
        self.num_layers = num_layers
        self.vocab_size = int(vocab_size)
        self.token_vectors = token_vectors
        self.embedding_size = int(embedding_size or units)
        self.vector_size = self.vocab_size if token_vectors == "one_hot" else self.embedding_size
        self.skip_connections = skip_connections
        self.dropout_rate = dropout_rate
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.embedding = embedding or make_embedding(
            token_vectors,
            self.vocab_size,
            self.vector_size,
            embeddings_initializer=self.embeddings_initializer,
            dtype=self.dtype_policy,
        )
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)
        self.stack = RecurrentStack(
            kind,
            self.units,
            num_layers=num_layers,
            bidirectional=bidirectional,
            skip_connections=skip_connections,
            dropout_rate=dropout_rate,
            dtype=self.dtype_policy,
        )

    def build(self, ids_shape):
        if not self.embedding.built:  # a shared one may be
            self.embedding.build(ids_shape)
        self.stack.build((*ids_shape, self.vector_size))

    def embed(self, ids, training=None):
        """Token ids, of any shape, to vectors ``(..., vector_size)``."""
        return self.dropout(self.embedding(ids), training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "units": self.units,
            "num_layers": self.num_layers,
            "vocab_size": self.vocab_size,
            "token_vectors": self.token_vectors,
            "embedding_size": self.embedding_size,
            "skip_connections": self.skip_connections,
            "dropout_rate": self.dropout_rate,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


@keras.saving.register_keras_serializable("keras_transformer")
class RecurrentEncoder(EmbeddedStack):
    """Embedding and a stack of recurrent layers over the source.

    Arguments are those of `EmbeddedStack`; `bidirectional` is ``True`` unless given.

    Call arguments:
        ids: token ids, ``(batch, source)``, padded with 0.

    Returns:
        ``(memory, states)``: outputs of the last layer, ``(batch, source, width)``, and for each
        layer its final states, ``(batch, width)`` each.

    Example:
        >>> encoder = RecurrentEncoder(kind="lstm", units=64, num_layers=2, vocab_size=8500)
        >>> memory, states = encoder(tf.constant([[2, 7, 9, 3, 0]]))
        >>> memory.shape, len(states)
        (TensorShape([1, 5, 128]), 2)
    """

    def __init__(self, *, bidirectional=True, **kwargs):
        super().__init__(bidirectional=bidirectional, **kwargs)
        self.bidirectional = bidirectional

    def call(self, ids, training=None):
        dropout_masks = self.stack.draw_dropout(ids, training)
        x = self.embed(ids, training)
        return self.stack.run(x, padding_keep_mask(ids), dropout_masks=dropout_masks)

    def get_config(self):
        return {**super().get_config(), "bidirectional": self.bidirectional}
