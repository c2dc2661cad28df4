"""What a `Translator` runs as graphs besides searches: tokenising and detokenising."""

import functools

import tensorflow as tf

from keras_transformer.translating.graph import most_tokens
from keras_transformer.translating.segmentation import tokenize_in_pieces


class Programs:
    """Graphs that a translator runs, in a place that a SavedModel does not look into.

    Args:
        translator: whose tokenizers and `max_source_length` count as they are at the first call.

    Attributes:
        sources: from texts, ``(batch,)``, length ratio, length offset and most target tokens, to
            ids in pieces, the number of the text of each piece, and its `most_tokens`.
    """

    def __init__(self, translator):
        self._translator = translator

        def sources(texts, length_ratio, length_offset, most):
            ids, owners = tokenize_in_pieces(
                translator.tokenizers.source, texts, translator.max_source_length
            )
            return ids, owners, most_tokens(ids, length_ratio, length_offset, most)

        numbers = [tf.TensorSpec([], dtype) for dtype in (tf.float32, tf.int32, tf.int32)]
        self.sources = tf.function(
            sources,
            input_signature=[tf.TensorSpec([None], tf.string), *numbers],
            autograph=False,
        )
        self._texts = {
            style: tf.function(
                functools.partial(self._detokenize, style),
                input_signature=[tf.TensorSpec([None, None], tf.int64)],
                autograph=False,
            )
            for style in ("corpus", "human")
        }

    def texts(self, ids, style):
        """Texts of target ids, ``(batch, seq)``, in a style of `Tokenizer.detokenize`."""
        if style not in self._texts:
            return self._detokenize(style, ids)  # which says what is wrong
        return self._texts[style](ids)

    def _detokenize(self, style, ids):
        return self._translator.tokenizers.target.detokenize(ids, style)
