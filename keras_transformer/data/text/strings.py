"""Texts as tensors of strings."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from keras_transformer.unicode import utf8


def string_tensor(texts: Any) -> tf.Tensor:
    """Texts as a tensor of UTF-8 strings; see `utf8` for what has none.

    Args:
        texts: a str or bytes, nested lists or an array of them, or a tensor of strings.
    """
    if not isinstance(texts, str | bytes | list | tuple | np.ndarray):
        return tf.convert_to_tensor(texts, tf.string)
    array = np.array(texts, dtype=object)
    encoded = np.empty(array.shape, dtype=object)
    for place, text in np.ndenumerate(array):
        encoded[place] = utf8(text) if isinstance(text, str) else text
    return tf.convert_to_tensor(encoded, tf.string)


def begins_run(values: tf.Tensor) -> tf.Tensor:
    """Which values differ from the one before, as the first does, bool of the same length."""
    return tf.concat([tf.ones_like(values[:1], tf.bool), values[1:] != values[:-1]], 0)


def valid_utf8(text: tf.Tensor) -> tf.Tensor:
    """Strings with U+FFFD, the replacement character, for bytes that are no UTF-8."""
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")


def parts_of(text: tf.Tensor, pattern: str) -> tf.RaggedTensor:
    """Texts in parts: what an expression finds, and what stands between, ``(batch, None)``.

    Args:
        text: strings ``(batch,)``; each is its parts, one after the other.
        pattern: in the syntax of RE2.
    """
    parts, _, ends = tf_text.regex_split_with_offsets(text, pattern, pattern)
    # NUL ends a text for the library.
    nothing = tf.zeros([ends.nrows(), 1], tf.int64)
    end = tf.ensure_shape(tf.reduce_max(tf.concat([nothing, ends], 1), axis=1), text.shape)
    rest = tf.strings.substr(text, tf.cast(end, tf.int32), tf.strings.length(text))
    rest = tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(rest, rest != ""), tf.cast(rest != "", tf.int64), validate=False
    )
    return tf.concat([parts, rest], axis=1)
