"""Attention masks: making them, and converting between their two polarities.

The dtype of a mask decides its meaning:

* **bool** masks mean *keep*: ``True`` is a visible position, as in Keras and inside the layers.
* **float or integer** masks mean *hide*: 1 is a hidden position, as in the 2019 edition of the
  tutorial and its `create_padding_mask`, `create_look_ahead_mask` and `create_masks`.

Only `as_keep_mask` converts.

Where all padding is at the end, layers also take **lengths** in place of a mask, integers
``(batch,)``; `mask_and_lengths` distinguishes the two.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.special_tokens import PAD


def create_padding_mask(seq) -> tf.Tensor:
    """Makes a mask that is 1 at padding.

    Args:
        seq: token ids, ``(batch, seq)``.

    Returns:
        float32 ``(batch, 1, 1, seq)``, 1 where `seq` is `PAD`; broadcasts over heads and queries.
    """
    seq = tf.cast(tf.math.equal(seq, PAD), tf.float32)
    return seq[:, tf.newaxis, tf.newaxis, :]


def create_look_ahead_mask(size) -> tf.Tensor:
    """Makes a mask that is 1 at every key after the query.

    Args:
        size: sequence length.

    Returns:
        float32 ``(size, size)``, 1 strictly above the diagonal.
    """
    return 1 - tf.linalg.band_part(tf.ones((size, size)), -1, 0)


def create_masks(inp, tar) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Makes the three masks that the 2019 edition passes to its model.

    Args:
        inp: source token ids, ``(batch, source)``.
        tar: target token ids, ``(batch, target)``.

    Returns:
        ``(enc_padding_mask, combined_mask, dec_padding_mask)`` with shapes
        ``(batch, 1, 1, source)``, ``(batch, 1, target, target)`` and ``(batch, 1, 1, source)``.
        The combined mask hides both the future and the padding of the target.
    """
    padding_mask = create_padding_mask(inp)
    look_ahead_mask = create_look_ahead_mask(tf.shape(tar)[1])
    combined_mask = tf.maximum(create_padding_mask(tar), look_ahead_mask)
    return padding_mask, combined_mask, padding_mask


def as_keep_mask(mask) -> tf.Tensor:
    """Converts any mask to a bool mask, ``True`` where visible.

    Args:
        mask: bool (keep), or float or integer (1 means hidden), of any shape.

    Returns:
        bool tensor of the same shape.
    """
    mask = tf.convert_to_tensor(mask)
    return mask if mask.dtype == tf.bool else tf.math.equal(mask, 0)


def padding_keep_mask(ids) -> tf.Tensor:
    """Mask of the real tokens, bool ``(batch, seq)``."""
    return keras.ops.not_equal(ids, PAD)  # works on the symbols of functional models too


def padding_lengths(ids) -> tf.Tensor:
    """Number of real tokens in each row of `ids`, ``(batch, seq)``: int32 ``(batch,)``."""
    return keras.ops.sum(keras.ops.cast(padding_keep_mask(ids), "int32"), axis=-1)


def causal_keep_mask(query_length, key_length, offset=0) -> tf.Tensor:
    """Causal mask, bool ``(query, key)``, ``True`` where the key is not after the query.

    Args:
        query_length, key_length: integers or scalar tensors.
        offset: position of the first query; likewise.
    """
    positions = tf.range(offset, offset + query_length)
    return positions[:, tf.newaxis] >= tf.range(key_length)[tf.newaxis, :]


def over_heads_and_queries(mask) -> tf.Tensor | None:
    """Reshapes a mask to broadcast with attention weights.

    Args:
        mask: ``(batch, key)``, ``(batch, query, key)``, ``(batch, 1 or heads, query or 1, key)``,
            bool or numeric; or ``None``.

    Returns:
        bool keep mask of rank 4 that broadcasts to ``(batch, heads, query, key)``, or ``None``.

    Raises:
        ValueError: for a mask of another rank.
    """
    if mask is None:
        return None
    keep = as_keep_mask(mask)
    if keep.shape.rank == 2:
        return keep[:, tf.newaxis, tf.newaxis, :]
    if keep.shape.rank == 3:
        return keep[:, tf.newaxis, :, :]
    if keep.shape.rank == 4:
        return keep
    raise InputError(
        "A mask of a sequence has the shape (batch, key), (batch, query, key) or "
        f"(batch, heads, query, key); got {keep.shape}."
    )


def mask_and_lengths(mask) -> tuple:
    """Distinguishes a mask from lengths.

    Args:
        mask: integers ``(batch,)``, how many positions of each row are real, the others being
            padding at the end; or a mask or ``None``, as for `over_heads_and_queries`.

    Returns:
        ``(mask, lengths)``, one of them ``None``: a bool keep mask as `over_heads_and_queries`
        returns it, or int32 ``(batch,)``.
    """
    if mask is not None:
        mask = tf.convert_to_tensor(mask)
        if mask.shape.rank == 1 and mask.dtype.is_integer:
            return None, tf.cast(mask, tf.int32)
    return over_heads_and_queries(mask), None
