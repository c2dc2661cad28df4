"""Cross-entropy that does not count padding.

`masked_loss` is the tutorial's function; `MaskedLoss` adds label smoothing. Both are the sum over
the batch's real tokens divided by their number. The average over an epoch that weighs tokens, not
batches, is the metric `MaskedCrossentropy`.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
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
    rows = tf.reshape(pred, (-1, pred.shape[-1]))
    losses = _cross_entropy(rows, tf.reshape(label, (-1,)), label_smoothing)
    return tf.reshape(losses, tf.shape(label)) * weights, weights


def _cross_entropy(logits, label, label_smoothing):
    """Smoothed cross-entropy of ``(tokens, vocab)`` logits, with its own gradient.

    The probabilities of the forward pass serve the gradient too. On a CPU this softmax is several
    times faster than TensorFlow's sparse cross-entropy.
    """

    @tf.custom_gradient
    def compute(logits):
        vocab_size = tf.cast(tf.shape(logits)[-1], tf.float32)
        probabilities = tf.nn.softmax(logits)
        at_label = tf.stack([tf.range(tf.shape(label)[0]), label], axis=-1)
        # The log of the sum of exponentials, from the one probability that cannot underflow.
        log_normalizer = tf.reduce_max(logits, axis=-1) - tf.math.log(
            tf.reduce_max(probabilities, axis=-1)
        )
        losses = log_normalizer - (1 - label_smoothing) * tf.gather_nd(logits, at_label)
        if label_smoothing:
            losses -= label_smoothing * tf.reduce_mean(logits, axis=-1)

        def gradient(upstream):
            scale = upstream[:, tf.newaxis]
            slope = probabilities * scale
            if label_smoothing:
                slope -= (label_smoothing / vocab_size) * scale
            return tf.tensor_scatter_nd_sub(slope, at_label, (1 - label_smoothing) * upstream)

        return losses, gradient

    return compute(logits)


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
    """`masked_loss` with label smoothing and R-Drop, as an object that saves with the model.

    Args:
        label_smoothing: share of probability spread over the whole vocabulary; 0.1 in the paper.
        r_drop: weight of `losses.r_drop.divergences`, 5 in the paper of R-Drop. The models of this
            package then pass each batch twice in `fit`, and add them to this loss.
    """

    def __init__(self, label_smoothing=0.0, name="masked_loss", *, r_drop=0.0, **kwargs):
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing is at least 0 and below 1; got {label_smoothing}.")
        if r_drop < 0:
            raise InputError(f"r_drop is at least 0; got {r_drop}.")
        self.label_smoothing = label_smoothing
        self.r_drop = r_drop

    def call(self, y_true, y_pred):
        return _mean_over_tokens(y_true, y_pred, self.label_smoothing)

    def get_config(self):
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "r_drop": self.r_drop,
        }
