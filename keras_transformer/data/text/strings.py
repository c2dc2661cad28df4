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
    # NUL ends a text for the library; what it finds is taken from the text as it is.
    without_nul = tf.strings.regex_replace(text, r"\x{0}", "\x01")
    parts, begins, ends = tf_text.regex_split_with_offsets(without_nul, pattern, pattern)
    first, last = (tf.cast(side.flat_values, tf.int32) for side in (begins, ends))
    texts = tf.gather(text, parts.value_rowids())
    return parts.with_flat_values(tf.strings.substr(texts, first, last - first))
