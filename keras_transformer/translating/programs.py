"""What a `Translator` runs as graphs besides searches: tokenising and detokenising."""

import functools

import tensorflow as tf

from keras_transformer.translating.segmentation import Pieces, divide


class Programs:
    """Graphs that a translator runs, in a place that a SavedModel does not look into.

    Args:
        translator: whose tokenizers and `max_source_length` count as they are at the first call.

    """

    def __init__(self, translator):
        self._translator = translator
        self._pieces = {
            sentences: tf.function(
                functools.partial(self._divide, sentences),
                input_signature=[tf.TensorSpec([None], tf.string)],
                autograph=False,
            )
            for sentences in (False, True)
        }
        self._texts = {
            style: tf.function(
                functools.partial(self._detokenize, style),
                input_signature=[
                    tf.TensorSpec([None, None], tf.int64),
                    tf.TensorSpec([None], tf.bool),
                ],
                autograph=False,
            )
            for style in ("corpus", "human")
        }

    def pieces(self, texts, sentences) -> Pieces:
        """What the model translates of texts, ``(batch,)``; see `divide`."""
        return self._pieces[sentences](texts)

    def texts(self, ids, style, begins):
        """Texts of target ids, ``(batch, seq)``; see `Tokenizer.detokenize`."""
        if style not in self._texts:
            return self._detokenize(style, ids, begins)  # which says what is wrong
        return self._texts[style](ids, begins)

    def _divide(self, sentences, texts):
        translator = self._translator
        longest = translator.max_source_length
        return divide(translator.tokenizers, texts, longest, sentences=sentences)

    def _detokenize(self, style, ids, begins):
        return self._translator.tokenizers.target.detokenize(ids, style, begins)
