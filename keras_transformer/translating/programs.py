"""What a `Translator` runs as graphs besides searches: tokenising and detokenising."""

import functools

import tensorflow as tf

from keras_transformer.translating.segmentation import tokenize_in_pieces


class Programs:
    """Graphs that a translator runs, in a place that a SavedModel does not look into.

    Args:
        translator: whose tokenizers and `max_source_length` count as they are at the first call.

    Attributes:
        sources: from texts, ``(batch,)``, to ids in pieces and the number of the text of each
            piece; see `tokenize_in_pieces`.
    """

    def __init__(self, translator):
        self._translator = translator
        self.sources = tf.function(
            lambda texts: tokenize_in_pieces(
                translator.tokenizers.source, texts, translator.max_source_length
            ),
            input_signature=[tf.TensorSpec([None], tf.string)],
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
