"""How far two passes of a model over one batch differ, since dropout dropped other units in each.

Liang et al., "R-Drop: Regularized Dropout for Neural Networks" (arXiv 2106.14448): a loss that
draws the two distributions of every token to each other, so that a model learns to do without any
of its units.
"""

import tensorflow as tf

from keras_transformer.special_tokens import PAD


def divergences(logits) -> tf.Tensor:
    """Divergence of the two distributions of every token, for a loss of the mean of both passes.

    Of one token it is a quarter of ``KL(p1, p2) + KL(p2, p1)`` in each of the two rows, half of the
    paper's penalty in all (equation 3), as half of the paper's two cross-entropies is their mean.

    Args:
        logits: float32 ``(2 * n, ..., vocab)``, of both passes, one after the other.

    Returns:
        float32 ``(2 * n, ...)``, the same in both halves.
    """
    rows = tf.reshape(logits, (-1, logits.shape[-1]))

    @tf.custom_gradient
    def compute(rows):
        found, slopes = divergences_with_slopes(rows, tf.nn.softmax(rows))

        def gradient(upstream):
            mean = tf.add_n(tf.split(upstream, 2)) / 2
            return slopes * tf.tile(mean, [2])[:, tf.newaxis]

        return found, gradient

    return tf.reshape(compute(rows), tf.shape(logits)[:-1])


def mean_divergence(label, logits) -> tf.Tensor:
    """Mean of `divergences` over the real tokens, a float32 scalar.

    Args:
        label: token ids, ``(2 * batch, seq)``, padded with 0.
        logits: ``(2 * batch, seq, vocab)``.
    """
    real = tf.cast(tf.cast(label, tf.int32) != PAD, tf.float32)
    found = divergences(tf.cast(logits, tf.float32)) * real
    return tf.math.divide_no_nan(tf.reduce_sum(found), tf.reduce_sum(real))


def divergences_with_slopes(logits, probabilities) -> tuple[tf.Tensor, tf.Tensor]:
    """`divergences`, and the gradient of their sum.

    Args:
        logits: float32 ``(2 * n, vocab)``.
        probabilities: their softmax.

    Returns:
        ``(2 * n,)`` and ``(2 * n, vocab)``.
    """
    (first, second), (logits_1, logits_2) = (tf.split(part, 2) for part in (probabilities, logits))
    # What normalises the distributions drops out of the sums below: 1 - 1 = 0 of it remains.
    ratio = logits_1 - logits_2
    apart = first - second
    mean_1, mean_2 = (
        tf.reduce_sum(part * ratio, axis=-1, keepdims=True) for part in (first, second)
    )
    slope_1 = 0.5 * (first * (ratio - mean_1) + apart)
    slope_2 = 0.5 * (second * (mean_2 - ratio) - apart)
    found = 0.25 * (mean_1 - mean_2)[:, 0]
    return tf.concat([found, found], 0), tf.concat([slope_1, slope_2], 0)
