"""What a `Translator` runs as graphs besides searches: tokenising and detokenising."""

import functools
import math
import time
from collections.abc import Callable

import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.text.terms import lacks_terms
from keras_transformer.translating.graph import GraphTranslation
from keras_transformer.translating.segmentation import Pieces
from keras_transformer.translating.terms_in_place import terms_in_place

PATIENCE = 3.0
"""Seconds of running without a graph after which tracing one, which takes about as long, pays."""


class Gradual:
    """A function of tensors that becomes a graph once that pays.

    So a first sentence does not wait for a graph that no second one needs. In a graph around it it
    is one from the start, and shared by all its callers.

    Args:
        function: works eagerly and in a graph.
        signature: specifications of its arguments.
    """

    def __init__(self, function: Callable, signature: list):
        self._function = function
        self._graph = tf.function(function, input_signature=signature, autograph=False)
        self._seconds = 0.0

    def __call__(self, *arguments):
        if not tf.executing_eagerly() or self._seconds > PATIENCE:
            return self._graph(*arguments)
        start = time.perf_counter()
        result = self._function(*arguments)
        self._seconds += time.perf_counter() - start
        return result

    def warm_up(self) -> None:
        """Has the next call make the graph."""
        self._seconds = math.inf


class Programs:
    """What a translator runs besides searches, in a place that a SavedModel does not look into.

    Args:
        translator: whose tokenizers and `max_source_length` are to stay as they are.
    """

    def __init__(self, translator):
        self._translator = translator
        # Each way to divide makes a graph.
        self._dividers = functools.lru_cache(maxsize=16)(self._divider)
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
        of_terms = tf.RaggedTensorSpec([None, None], tf.string)
        self.lacks_terms = tf.function(
            lacks_terms,
            input_signature=[tf.TensorSpec([None], tf.string), of_terms],
            autograph=False,
        )
        self.terms_in_place = tf.function(
            self._terms_in_place,
            input_signature=[
                tf.RaggedTensorSpec([None, None], tf.int64),
                tf.RaggedTensorSpec([None, None], tf.int64),
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None, None], tf.float32),
                of_terms,
                of_terms,
                tf.RaggedTensorSpec([None, None], tf.bool),
                tf.TensorSpec([None], tf.int32),
            ],
            autograph=False,
        )
        self._texts = {
            style: Gradual(functools.partial(self._detokenize, style), of_texts)
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
        # The static shape of the call would be inferred half into the graph, and contradict itself.
        texts = tf.compat.v1.placeholder_with_default(texts, [None])
        return self._divider_of(config, glossary is not None)(texts, *(glossary or ()))

    def warm_up(self, config) -> None:
        """Makes the graphs that texts go through, by a `DecodingConfig`, without a glossary."""
        for program in (self._divider_of(config, False), self._texts["human"]):
            program.warm_up()
        ids = tf.cast(self.pieces(tf.constant([""]), config).ids.to_tensor(), tf.int64)
        self.texts(ids, "human", tf.constant([True]), tf.ragged.constant([[]], tf.string))

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

    def _terms_in_place(self, *arguments):
        """What hypotheses are to begin with to have terms; see `terms_in_place`."""
        return terms_in_place(self._translator.tokenizers, *arguments)

    def _divider_of(self, config, with_glossary) -> Gradual:
        kind = DecodingConfig(
            sentences=config.sentences,
            keep=config.keep,
            glossary_mode=config.glossary_mode,
            to=config.to,
        )
        return self._dividers(kind, with_glossary)

    def _divider(self, config, with_glossary) -> Gradual:
        def pieces(texts, *glossary):
            return self._translator.divide(texts, config, glossary or None)

        return Gradual(pieces, [tf.TensorSpec([None], tf.string)] * (3 if with_glossary else 1))

    def _detokenize(self, style, ids, begins, kept):
        return self._translator.tokenizers.target.detokenize(ids, style, begins, kept)
