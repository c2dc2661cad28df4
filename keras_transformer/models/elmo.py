"""ELMo: contextual word vectors from two language models; and a classifier on them.

Design choices: forward and backward language model are separate stacks, because in a bidirectional
stack the second layer would see the word to predict; they share the token embedding and the final
layer; one `fit` on ids trains both. Source: Deep contextualized word representations (arXiv
1802.05365), with a token embedding in place of its convolutions over characters.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.internals import drop_keras_mask
from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.embeddings import make_embedding
from keras_transformer.layers.recurrent.layer import Recurrent
from keras_transformer.layers.scalar_mix import ScalarMix
from keras_transformer.models.base import TokenModel, TrainedModel

DIRECTIONS = ("forward", "backward")


@keras.saving.register_keras_serializable("keras_transformer")
class ELMo(TokenModel):
    """A forward and a backward language model over one embedding (section 3.1).

    `fit` takes ids alone; `labels` makes the labels from them. Compile with a loss of tokens, such
    as `masked_loss`, which is the mean over both directions. The first word has no forward label,
    the last one no backward label.

    Args:
        vocab_size: number of tokens; NumPy and TensorFlow integers are accepted.
        units: width of token vectors and of the states of each direction.
        num_layers: number of recurrent layers of each direction.
        kind: one of `CELLS`; the paper has ``lstm``.
        skip_connections: add the input of every recurrent layer but the first to its output
            (section 3.4).
        dropout_rate: dropout of the token vectors and of the outputs of every recurrent layer.
        through_keras: see `Recurrent`; training with cuDNN is several times faster.

    The other arguments are those of `TokenModel`.

    Call arguments:
        ids: token ids, ``(batch, seq)``, padded with 0.
        training: whether dropout is active.

    Returns:
        logits of each position's token, ``(batch, 2, seq, vocab_size)``: predicted from those
        before it, and from those after it; where there are none, from a vector of zeros.

    Example:
        >>> elmo = ELMo(vocab_size=8000, units=64)
        >>> ids = tf.constant([[2, 7, 9, 3, 0]])
        >>> elmo(ids).shape, len(elmo.features(ids))
        (TensorShape([1, 2, 5, 8000]), 3)
    """

    def __init__(
        self,
        *,
        vocab_size,
        units,
        num_layers=2,
        kind="lstm",
        skip_connections=True,
        dropout_rate=0.1,
        through_keras=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_layers < 1:
            raise InputError(f"A language model has at least one layer; got {num_layers=}.")
        self.vocab_size = int(vocab_size)
        self.units = int(units)
        self.num_layers = num_layers
        self.kind = kind
        self.skip_connections = skip_connections
        self.dropout_rate = dropout_rate
        self.through_keras = through_keras
        self.embedding = make_embedding(
            "learned",
            self.vocab_size,
            self.units,
            embeddings_initializer=self.embeddings_initializer(self.units),
            dtype=self.dtype_policy,
        )
        self.forward_layers, self.backward_layers = (
            [
                Recurrent(
                    kind,
                    self.units,
                    through_keras=through_keras,
                    name=f"{direction}{number}",
                    dtype=self.dtype_policy,
                )
                for number in range(1, num_layers + 1)
            ]
            for direction in DIRECTIONS
        )
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)
        self.final_layer = self.make_final_layer(self.vocab_size)
        self.build((None, None))

    def build(self, ids_shape):
        if self.built:
            return
        vectors_shape = (None, None, self.units)
        self.embedding.build(ids_shape)
        for layer in (*self.forward_layers, *self.backward_layers):
            layer.build(vectors_shape)
        if self.final_layer is not None:
            self.final_layer.build(vectors_shape)
        self.built = True

    @property
    def target_embedding(self):
        return self.embedding

    @property
    def d_model(self) -> int:
        return self.units

    def call(self, ids, training=None):
        logits = drop_keras_mask(self.token_logits(self.decoder_output(ids, training)))
        batch, length = tf.unstack(tf.shape(ids))
        return tf.reshape(logits, (batch, 2, length, self.vocab_size))

    def decoder_output(self, inputs, training=None):
        """Runs the model without its final layer.

        Returns:
            ``(batch, 2 * seq, units)``, first the forward language model, then the backward one.
        """
        forward, backward = tf.split(self.features(inputs, training)[-1], 2, axis=-1)
        # The output at the position before, or after, predicts a token.
        forward = tf.pad(forward[:, :-1], [[0, 0], [1, 0], [0, 0]])
        backward = tf.pad(backward[:, 1:], [[0, 0], [0, 1], [0, 0]])
        # Backward outputs at padding are those of the whole text.
        has_before, has_after = tf.unstack(_has_context(inputs), axis=1)
        forward = tf.where(has_before[..., tf.newaxis], forward, tf.zeros_like(forward))
        backward = tf.where(has_after[..., tf.newaxis], backward, tf.zeros_like(backward))
        return tf.concat([forward, backward], axis=1)

    def features(self, ids, training=None) -> list:
        """Vectors of every layer, for `ScalarMix` (section 3.2).

        Args:
            ids: token ids, ``(batch, seq)``, padded with 0.
            training: whether dropout is active.

        Returns:
            ``num_layers + 1`` tensors ``(batch, seq, 2 * units)``: the token vectors twice, then
            the outputs of each layer, forward and backward concatenated. Unlike the logits, they
            depend on the position's own token.
        """
        ids = tf.convert_to_tensor(ids)
        keep = padding_keep_mask(ids)
        ends = _ends(keep)
        x = tf.convert_to_tensor(self.dropout(self.embedding(ids), training=training))
        forward = self._outputs(self.forward_layers, x, keep, training)
        # Reversed up to the last real position, so that padding is at the end, as cuDNN needs.
        x, keep = _reverse(x, ends), _reverse(keep, ends)
        backward = self._outputs(self.backward_layers, x, keep, training)
        pairs = zip(forward, backward, strict=True)
        return [tf.concat([ahead, _reverse(back, ends)], axis=-1) for ahead, back in pairs]

    def _outputs(self, layers, x, keep, training):
        """`x`, then the outputs of each layer, ``(batch, seq, units)`` each."""
        outputs = [x]
        for number, layer in enumerate(layers):
            y, _ = layer.run(x, keep)
            y = self.dropout(y, training=training)
            x = x + y if self.skip_connections and number else y
            outputs.append(x)
        return outputs

    def labels(self, ids):
        """Labels of the logits.

        Args:
            ids: token ids, ``(batch, seq)``, padded with 0.

        Returns:
            the ids for each direction, ``(batch, 2, seq)``, with 0 where there is no token before,
            or after.
        """
        both = keras.ops.stack([ids, ids], axis=1)
        return keras.ops.where(_has_context(ids), both, keras.ops.zeros_like(both))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        y = self.labels(x) if y is None else y
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        y = self.labels(x) if y is None else y
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "units": self.units,
            "num_layers": self.num_layers,
            "kind": self.kind,
            "skip_connections": self.skip_connections,
            "dropout_rate": self.dropout_rate,
            "through_keras": self.through_keras,
        }


def _has_context(ids):
    """Whether there are real tokens before, and after, each position: bool ``(batch, 2, seq)``."""
    real = keras.ops.cast(padding_keep_mask(ids), "int32")
    count = keras.ops.cumsum(real, axis=1)
    return keras.ops.stack([count > real, count < count[:, -1:]], axis=1)


def _ends(keep):
    """Number of positions up to the last real one, int32 ``(batch,)``."""
    numbers = tf.range(1, tf.shape(keep)[1] + 1)
    return tf.reduce_max(tf.where(keep, numbers, 0), axis=1)


def _reverse(x, ends):
    """Reverses the positions of each row of ``(batch, seq, ...)`` up to its end."""
    return tf.reverse_sequence(x, ends, seq_axis=1)


@keras.saving.register_keras_serializable("keras_transformer")
class ElmoClassifier(TrainedModel):
    """Classifies texts by the mean of a learned mix of ELMo's layers (section 3.2).

    Args:
        elmo: an `ELMo`, which becomes part of this model. Its final layer, which is not used, is
            frozen.
        num_classes: number of classes.
        train_elmo: train the language models, too; ``False`` freezes them, without dropout.
        layer_norm: see `ScalarMix`.
        dropout_rate: dropout of the mean vector of a text.

    Call arguments:
        ids: token ids, ``(batch, seq)``, padded with 0.
        training: whether dropout is active.

    Returns:
        logits, ``(batch, num_classes)``.

    Example:
        >>> classifier = ElmoClassifier(elmo=ELMo(vocab_size=8000, units=64), num_classes=2)
        >>> classifier(tf.constant([[2, 7, 9, 3, 0]])).shape
        TensorShape([1, 2])
    """

    def __init__(
        self, *, elmo, num_classes, train_elmo=False, layer_norm=False, dropout_rate=0.1, **kwargs
    ):
        super().__init__(**kwargs)
        self.elmo = elmo
        self.num_classes = int(num_classes)
        self.train_elmo = train_elmo
        self.layer_norm = layer_norm
        self.dropout_rate = dropout_rate
        elmo.trainable = not train_elmo  # Keras passes only changes on to inner layers
        elmo.trainable = train_elmo
        if elmo.final_layer is not None:
            elmo.final_layer.trainable = False
        self.mix = ScalarMix(layer_norm=layer_norm, dtype=self.dtype_policy)
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)
        self.final_layer = keras.layers.Dense(self.num_classes, dtype=self.dtype_policy)
        self.build((None, None))

    def build(self, ids_shape):
        if self.built:
            return
        width = 2 * self.elmo.units
        self.mix.build([(None, None, width)] * (self.elmo.num_layers + 1))
        self.final_layer.build((None, width))
        self.built = True

    def call(self, ids, training=None):
        mix = self.mix(self.elmo.features(ids, training=training and self.train_elmo))
        keep = tf.cast(padding_keep_mask(ids), tf.float32)[..., tf.newaxis]
        total = tf.reduce_sum(tf.cast(mix, tf.float32) * keep, axis=1)
        mean = tf.math.divide_no_nan(total, tf.reduce_sum(keep, axis=1))
        return self.final_layer(self.dropout(mean, training=training))

    def get_config(self):
        return {
            **super().get_config(),
            "name": self.name,
            "elmo": self.elmo.get_config(),
            "num_classes": self.num_classes,
            "train_elmo": self.train_elmo,
            "layer_norm": self.layer_norm,
            "dropout_rate": self.dropout_rate,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "elmo": ELMo.from_config(config["elmo"])})
