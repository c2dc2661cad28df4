"""What a `Translator` runs as graphs besides searches: tokenising and detokenising."""

import functools

import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.text.terms import lacking_terms
from keras_transformer.translating.graph import GraphTranslation
from keras_transformer.translating.segmentation import Pieces


class Programs:
    """Graphs that a translator runs, in a place that a SavedModel does not look into.

    Args:
        translator: whose tokenizers and `max_source_length` count as they are at the first call.

    """

    def __init__(self, translator):
        self._translator = translator
        # Each way to divide makes a graph.
        self._pieces = functools.lru_cache(maxsize=16)(self._divider)
        self._places = tf.function(
            lambda source, target: translator.token_places(source, target),
            input_signature=[tf.TensorSpec([None, None], tf.int64)] * 2,
            autograph=False,
        )
        of_texts = [
            tf.TensorSpec([None, None], tf.int64),
            tf.TensorSpec([None], tf.bool),
            tf.RaggedTensorSpec([None, None], tf.string),
        ]
        self.lacking_terms = tf.function(
            self._lacking_terms,
            input_signature=[*of_texts, tf.RaggedTensorSpec([None, None], tf.string)],
            autograph=False,
        )
        self._texts = {
            style: tf.function(
                functools.partial(self._detokenize, style),
                input_signature=of_texts,
                autograph=False,
            )
            for style in ("corpus", "human")
        }

    def token_places(self, source, target):
        """The source token that each token of translations belongs to; see `Translator`."""
        return self._places(source, target)

    def pieces(self, texts, config, glossary=None) -> Pieces:
        """What the model translates of texts, ``(batch,)``, by a `DecodingConfig`.

        Args:
            texts: strings.
            config: see `Translator.divide`.
            glossary: terms and their translations, strings ``(n,)`` both, if there is one.
        """
        kind = DecodingConfig(
            sentences=config.sentences, keep=config.keep, glossary_mode=config.glossary_mode
        )
        # The static shape of the call would be inferred half into the graph, and contradict itself.
        texts = tf.compat.v1.placeholder_with_default(texts, [None])
        return self._pieces(kind, glossary is not None)(texts, *(glossary or ()))

    @functools.cached_property
    def alternatives(self):
        """`GraphTranslation.alternatives`, traced once."""
        return tf.function(
            GraphTranslation(self._translator).alternatives,
            input_signature=[
                tf.TensorSpec((None,), tf.string),
                tf.TensorSpec((), tf.string),
                tf.TensorSpec((), tf.int32),
            ],
            autograph=False,
        )

    def texts(self, ids, style, begins, kept):
        """Texts of target ids, ``(batch, seq)``; see `Tokenizer.detokenize`."""
        if style not in self._texts:
            return self._detokenize(style, ids, begins, kept)  # which says what is wrong
        return self._texts[style](ids, begins, kept)

    def _lacking_terms(self, ids, begins, kept, terms):
        """The terms that texts of target ids lack; see `texts` and `data.text.terms`."""
        return lacking_terms(self.texts(ids, "human", begins, kept), terms)

    def _divider(self, config, with_glossary):
        def pieces(texts, *glossary):
            return self._translator.divide(texts, config, glossary or None)

        signature = [tf.TensorSpec([None], tf.string)] * (3 if with_glossary else 1)
        return tf.function(pieces, input_signature=signature, autograph=False)

    def _detokenize(self, style, ids, begins, kept):
        return self._translator.tokenizers.target.detokenize(ids, style, begins, kept)
