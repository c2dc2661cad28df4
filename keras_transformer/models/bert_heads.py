"""Fine-tuning BERT: classification of texts and of tokens, and question answering.

Each model is a dropout and a dense layer on the output of `Bert`, or of any model with the same
output, and is trained together with it (BERT, section 3.2 and figure 4).
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.attention.masks import padding_keep_mask, padding_lengths
from keras_transformer.layers.dropout import Dropout
from keras_transformer.models.base import TrainedModel
from keras_transformer.models.bert import BertOutput, WithBert, bert_dense, ids_and_segments
from keras_transformer.special_tokens import END

_HIDDEN = -1e9  # logit of padding, finite so that no loss is NaN


class BertHead(WithBert, TrainedModel):
    """Base of the heads: a dropout and a dense layer on the output of `bert`.

    Args:
        bert: a `Bert`, or any model with the same output and a `d_model`.
        width: number of logits.
        dropout_rate: dropout before the dense layer.
    """

    def __init__(self, bert, *, width, dropout_rate=0.1, **kwargs):
        kwargs.setdefault("dtype", bert.dtype_policy)
        super().__init__(**kwargs)
        self.bert = bert
        self.dropout_rate = dropout_rate
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)
        self.classifier = bert_dense(width, dtype=self.dtype_policy)
        self.build((None, None))

    def build(self, input_shape):
        if self.built:
            return
        self.classifier.build((None, None, self.bert.d_model))
        self.built = True

    def logits_of(self, x, training):
        """``(..., d_model)`` to ``(..., width)``."""
        return self.classifier(self.dropout(x, training=training))

    def get_config(self):
        return {**super().get_config(), "dropout_rate": self.dropout_rate}


@keras.saving.register_keras_serializable("keras_transformer")
class LastTokenReader(TrainedModel):
    """Wraps a `GPT` for the heads: the vector of a text is that of its last token.

    Source: Improving Language Understanding by Generative Pre-Training (Radford et al. 2018),
    section 3.2.

    Args:
        gpt: a `GPT`, or any model with its `decoder_output` and `d_model`.

    Call arguments:
        ids: token ids, ``(batch, seq)``, padded with 0 at the end.
        training: whether dropout is active.

    Returns:
        a `BertOutput`.

    Example:
        >>> classifier = SequenceClassifier(LastTokenReader(gpt), num_classes=3)
    """

    def __init__(self, gpt, **kwargs):
        kwargs.setdefault("dtype", gpt.dtype_policy)
        super().__init__(**kwargs)
        self.gpt = gpt
        self.build((None, None))

    def build(self, input_shape):
        self.built = True

    @property
    def d_model(self) -> int:
        return self.gpt.d_model

    def call(self, ids, training=None):
        vectors = self.gpt.decoder_output(ids, training=training)
        # A row of padding only has no last token; its first vector is taken.
        last = tf.maximum(padding_lengths(ids) - 1, 0)
        return BertOutput(vectors, tf.gather(vectors, last, batch_dims=1))

    def get_config(self):
        return {
            **super().get_config(),
            "name": self.name,
            "gpt": keras.saving.serialize_keras_object(self.gpt),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        gpt = keras.saving.deserialize_keras_object(config["gpt"], custom_objects)
        return cls(**{**config, "gpt": gpt})


@keras.saving.register_keras_serializable("keras_transformer")
class SequenceClassifier(BertHead):
    """Classifies texts by their pooled vectors.

    Args:
        bert: a `Bert` with a pooler, or any model with the same output.
        num_classes: number of classes; 1 for regression.
        dropout_rate: dropout before the dense layer.

    Call arguments:
        inputs: as for `Bert`.
        training: whether dropout is active.

    Returns:
        logits, ``(batch, num_classes)``.

    Example:
        >>> classifier = SequenceClassifier(bert, num_classes=3)
        >>> classifier.compile(keras.optimizers.AdamW(2e-5),
        ...                    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> classifier.fit((ids, segments), classes)
    """

    def __init__(self, bert, *, num_classes, **kwargs):
        if getattr(bert, "pooler", True) is None:
            raise InputError(
                "SequenceClassifier needs the vectors of whole texts: make the Bert with "
                "pooler=True."
            )
        super().__init__(bert, width=num_classes, **kwargs)
        self.num_classes = num_classes

    def call(self, inputs, training=None):
        return self.logits_of(self.bert(inputs, training=training).pooled, training)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable("keras_transformer")
class TokenClassifier(BertHead):
    """Classifies tokens, for example as named entities.

    `masked_loss` and `masked_accuracy` ignore the label 0: it is for padding and for tokens without
    a class, such as the later pieces of a word. `num_classes` includes it.

    Arguments are those of `SequenceClassifier`.

    Returns:
        logits, ``(batch, seq, num_classes)``.

    Example:
        >>> tagger = TokenClassifier(bert, num_classes=10)
        >>> tagger.compile("adam", loss=masked_loss, metrics=[masked_accuracy])
        >>> tagger.fit(ids, classes_of_tokens)
    """

    def __init__(self, bert, *, num_classes, **kwargs):
        super().__init__(bert, width=num_classes, **kwargs)
        self.num_classes = num_classes

    def call(self, inputs, training=None):
        return self.logits_of(self.bert(inputs, training=training).sequence, training)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable("keras_transformer")
class SpanPredictor(BertHead):
    """Predicts where the answer to a question begins and ends in a text (BERT, section 4.2).

    The question is the first segment, the text the second. Logits of padding are -1e9. Arguments
    are those of `SequenceClassifier`, without `num_classes`.

    Returns:
        a dictionary of logits of the first and of the last token, ``start`` and ``end``, each
        float32 ``(batch, seq)``.

    Example:
        >>> reader = SpanPredictor(bert)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> reader.compile("adam", loss={"start": loss, "end": loss})
        >>> reader.fit((ids, segments), {"start": first_tokens, "end": last_tokens})
        >>> starts, ends, scores = reader.answers((ids, segments))
    """

    def __init__(self, bert, **kwargs):
        super().__init__(bert, width=2, **kwargs)

    def call(self, inputs, training=None):
        logits = self.logits_of(self.bert(inputs, training=training).sequence, training)
        real = padding_keep_mask(ids_and_segments(inputs)[0])
        start, end = tf.unstack(tf.cast(logits, tf.float32), axis=-1)
        return {"start": tf.where(real, start, _HIDDEN), "end": tf.where(real, end, _HIDDEN)}

    def answers(self, inputs, *, max_length=30, end_token=END) -> tuple:
        """Finds the best answers within the second segments.

        Args:
            inputs: ``(ids, segments)``, as for `Bert`.
            max_length: most tokens of an answer.
            end_token: the id that ends a segment; never part of an answer.

        Returns:
            as from `best_spans`.
        """
        ids, segments = (tf.convert_to_tensor(part) for part in inputs)
        logits = self((ids, segments), training=False)
        inside = padding_keep_mask(ids) & (segments == 1) & (ids != end_token)
        return best_spans(logits["start"], logits["end"], inside, max_length=max_length)


def best_spans(start, end, inside, *, max_length=30) -> tuple:
    """Finds the span of each row with the largest sum of its start and end logit.

    Args:
        start, end: logits of the first and of the last token, ``(batch, seq)``.
        inside: where spans may lie, bool ``(batch, seq)``.
        max_length: most tokens of a span.

    Returns:
        ``(starts, ends, scores)``: first and last token, int32 ``(batch,)`` each, and the sums,
        float32 ``(batch,)``, minus infinity where nothing is inside.
    """
    start, end = tf.cast(start, tf.float32), tf.cast(end, tf.float32)
    inside = tf.convert_to_tensor(inside)
    length = tf.shape(start)[1]
    positions = tf.range(length)
    further = positions[tf.newaxis, :] - positions[:, tf.newaxis]  # (start, end)
    allowed = (further >= 0) & (further < max_length)
    allowed &= inside[:, :, tf.newaxis] & inside[:, tf.newaxis, :]  # (batch, start, end)
    sums = tf.where(allowed, start[:, :, tf.newaxis] + end[:, tf.newaxis, :], -float("inf"))
    sums = tf.reshape(sums, (-1, length * length))
    best = tf.argmax(sums, axis=-1, output_type=tf.int32)
    return best // length, best % length, tf.reduce_max(sums, axis=-1)
