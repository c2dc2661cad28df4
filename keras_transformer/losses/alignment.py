"""The loss that teaches a head of cross-attention which source words a target word stands for.

Guided alignment (Chen et al. 2016; Garg et al. 2019), with each target token's source tokens as one
stretch.
"""

import tensorflow as tf

_LEAST = 1e-9  # of the weights whose logarithm is taken


def alignment_loss(weights, first, last):
    """Sum over linked target tokens of the negative logarithm of the weight of their source tokens.

    Args:
        weights: of attention, ``(batch, target, source)``.
        first, last: integers ``(batch, target)``, the first and the last source token that each
            target token stands for, counted from 1; 0 for one that is linked to none.

    Returns:
        scalar float32.
    """
    weights = tf.cast(weights, tf.float32)
    places = tf.range(1, tf.shape(weights)[2] + 1, dtype=first.dtype)
    first, last = first[..., tf.newaxis], last[..., tf.newaxis]
    right = tf.reduce_sum(tf.where((places >= first) & (places <= last), weights, 0.0), axis=-1)
    losses = -tf.math.log(tf.maximum(right, _LEAST))
    return tf.reduce_sum(tf.where(first[..., 0] > 0, losses, 0.0))
