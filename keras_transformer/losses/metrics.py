"""Metrics that weigh every real token of an epoch alike, however it was batched."""

import abc

import keras
import tensorflow as tf

from keras_transformer.losses.masked import token_losses
from keras_transformer.special_tokens import PAD


def predicted_tokens(logits):
    """The id with the largest logit; where several are equal, the lowest of their ids.

    Args:
        logits: ``(..., vocab)``.

    Returns:
        int32 ids, ``(...)``.
    """
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def token_matches(label, pred):
    """Which real tokens were predicted; arguments are those of `masked_accuracy`.

    Returns:
        ``(matches, weights)``, both float32 ``(batch, seq)``: matches are 1 where the label is the
        predicted token, weights 1 for real tokens; for padding both are 0.
    """
    label = tf.cast(label, tf.int32)
    weights = tf.cast(label != PAD, tf.float32)
    return tf.cast(predicted_tokens(pred) == label, tf.float32) * weights, weights


@keras.saving.register_keras_serializable("keras_transformer")
def masked_accuracy(label, pred):
    """Share of the batch's real tokens that were predicted, for ``compile(metrics=[...])``.

    Args:
        label: token ids, ``(batch, seq)``, padded with 0.
        pred: logits, ``(batch, seq, vocab)``.

    Returns:
        float32 scalar; 0 for a batch of nothing but padding.
    """
    matches, weights = token_matches(label, pred)
    return tf.math.divide_no_nan(tf.reduce_sum(matches), tf.reduce_sum(weights))


class _MeanOverTokens(keras.metrics.Metric, abc.ABC):
    """Sum over all tokens since the last reset, divided by their number."""

    def __init__(self, name, **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable((), "zeros", dtype="float32", name="total")
        self.tokens = self.add_variable((), "zeros", dtype="float32", name="tokens")

    @abc.abstractmethod
    def _values(self, y_true, y_pred):
        """``(values, weights)`` of every token; padding has weight 0."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        values, weights = self._values(y_true, y_pred)
        if sample_weight is not None:
            sample_weight = tf.cast(sample_weight, tf.float32)
            values, weights = values * sample_weight, weights * sample_weight
        self.total.assign_add(tf.reduce_sum(values))
        self.tokens.assign_add(tf.reduce_sum(weights))

    def result(self):
        return tf.math.divide_no_nan(
            tf.convert_to_tensor(self.total), tf.convert_to_tensor(self.tokens)
        )


@keras.saving.register_keras_serializable("keras_transformer")
class MaskedAccuracy(_MeanOverTokens):
    """Share of the real tokens that were predicted.

    Args:
        name: name in the logs; the same as the function's unless given.
    """

    def __init__(self, name="masked_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def _values(self, y_true, y_pred):
        return token_matches(y_true, y_pred)


@keras.saving.register_keras_serializable("keras_transformer")
class MaskedCrossentropy(_MeanOverTokens):
    """Mean cross-entropy of the real tokens.

    Named ``loss`` it takes the place of Keras' own running loss in the logs, which averages over
    batches and so gives a token of a short batch more weight.

    Args:
        label_smoothing: as for `MaskedLoss`; 0 gives the logarithm of the perplexity.
        name: name in the logs.
    """

    def __init__(self, label_smoothing=0.0, name="masked_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def _values(self, y_true, y_pred):
        return token_losses(y_true, y_pred, self.label_smoothing)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
