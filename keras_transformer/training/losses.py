"""Cross-entropy that does not count padding.

`masked_loss` is the tutorial's function; `MaskedLoss` adds label smoothing. Both are the sum over
the batch's real tokens divided by their number. The average over an epoch that weighs tokens, not
batches, is the metric `MaskedCrossentropy`.
"""

import keras
import tensorflow as tf

from keras_transformer.special_tokens import PAD


def token_losses(label, pred, label_smoothing=0.0):
    """Cross-entropy of every real token.

    Label smoothing gives the label ``1 - label_smoothing`` and spreads the rest evenly over the
    whole vocabulary (Rethinking the Inception Architecture, section 7), which needs neither
    one-hot labels nor a second softmax: the smoothed loss is the plain one plus
    ``label_smoothing * (logit of the label - mean logit)``.

    Args:
        label: token ids, ``(batch, seq)``, integers or the floats Keras makes of them.
        pred: logits, ``(batch, seq, vocab)``, any float dtype.
        label_smoothing: between 0 and 1.

    Returns:
        ``(losses, weights)``, both float32 ``(batch, seq)``; weights are 1 for real tokens and 0
        for padding, where the loss is 0.
    """
    label = tf.cast(label, tf.int32)
    pred = tf.cast(pred, tf.float32)
    weights = tf.cast(label != PAD, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=pred)
    if label_smoothing:
        label_logits = tf.gather(pred, label, axis=-1, batch_dims=2)
        losses += label_smoothing * (label_logits - tf.reduce_mean(pred, axis=-1))
    return losses * weights, weights


def _mean_over_tokens(label, pred, label_smoothing=0.0):
    losses, weights = token_losses(label, pred, label_smoothing)
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(weights))


@keras.saving.register_keras_serializable("keras_transformer")
def masked_loss(label, pred):
    """Mean cross-entropy of the batch's real tokens, for ``compile(loss=masked_loss)``.

    Args:
        label: token ids, ``(batch, seq)``, padded with 0.
        pred: logits, ``(batch, seq, vocab)``.

    Returns:
        float32 scalar; 0 for a batch of nothing but padding.
    """
    return _mean_over_tokens(label, pred)


@keras.saving.register_keras_serializable("keras_transformer")
class MaskedLoss(keras.losses.Loss):
    """`masked_loss` with label smoothing, as an object that saves with the model.

    Args:
        label_smoothing: share of probability spread over the whole vocabulary; 0.1 in the paper.
    """

    def __init__(self, label_smoothing=0.0, name="masked_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is at least 0 and below 1; got {label_smoothing}.")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        return _mean_over_tokens(y_true, y_pred, self.label_smoothing)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
