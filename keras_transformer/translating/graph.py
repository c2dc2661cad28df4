"""Translation of string tensors in operations of TensorFlow alone: what exports are made of."""

import dataclasses

import keras
import tensorflow as tf

from keras_transformer.config.decoding import LENGTH_PENALTIES
from keras_transformer.exporting.format import NOT_FOUND
from keras_transformer.special_tokens import END, START
from keras_transformer.translating.segmentation import tokenize_in_pieces

MOST_BEAMS = 32
"""Largest `beam_size` that callers of a graph may ask for."""


def most_tokens(source: tf.RaggedTensor, length_ratio, length_offset, most):
    """Most target tokens of each source, int32 ``(batch,)``; see `DecodingConfig`.

    A source with nothing but control tokens has none.
    """
    lengths = tf.cast(source.row_lengths(), tf.float32)
    # No step passes what int32 holds, however large the numbers are.
    limits = tf.minimum(tf.cast(tf.minimum(lengths * length_ratio, 2.0**30), tf.int32), most)
    limits += tf.minimum(length_offset, most - limits)
    empty = tf.reduce_all((source == START) | (source == END), axis=1)
    return tf.where(empty, 0, limits)


def first_pieces(owners, count):
    """The number of the first piece of each text, int32 ``(count,)``.

    Args:
        owners: the number of the text that each piece belongs to, ``(pieces,)``.
        count: number of texts.
    """
    return tf.searchsorted(owners, tf.range(count))


def joined_texts(tokenizer, tokens, owners, count, style):
    """Texts from the tokens of their pieces, strings ``(count, n)``; empty pieces leave no trace.

    Args:
        tokenizer: of the target.
        tokens: ids of `n` hypotheses of each piece, ``(pieces, n, length)``.
        owners: the number of the text that each piece belongs to, ``(pieces,)``.
        count: number of texts.
        style: ``human`` or ``corpus``.
    """
    pieces, n, length = tf.unstack(tf.shape(tokens))
    texts = tokenizer.detokenize(tf.reshape(tokens, (pieces * n, length)), style)
    texts = tf.transpose(tf.reshape(texts, (pieces, n)))
    rows = tf.range(n)[:, tf.newaxis] * count + owners  # (n, pieces)
    by_row = tf.RaggedTensor.from_value_rowids(
        tf.reshape(texts, [-1]), tf.reshape(rows, [-1]), count * n
    )
    joined = tf.strings.reduce_join(
        tf.ragged.boolean_mask(by_row, by_row != ""), axis=-1, separator=" "
    )
    return tf.transpose(tf.reshape(joined, (n, count)))


class GraphTranslation:
    """A translator as functions of tensors, in operations of TensorFlow alone.

    Texts too long for the model are translated in pieces. It is no `tf.Module`: a module that
    keeps one does not save its programs.

    Args:
        translator: a `Translator`.
        jit_compile: compile the searches with XLA.
    """

    def __init__(self, translator, *, jit_compile=False):
        self.translator = translator
        self.jit_compile = jit_compile
        self._config = translator.decoding
        self._search = translator.new_search(self._config, jit_compile=jit_compile)

    def translate(self, text, style) -> dict:
        """The best translations.

        Args:
            text: strings, ``(batch,)``.
            style: ``human`` or ``corpus``.

        Returns:
            ``translation``, strings ``(batch,)``; ``score``, float32 ``(batch,)``, sums of the
            logarithmic probabilities of their tokens.
        """
        source, owners, limits = self._sources(text)
        found = self._search(source.to_tensor(), limits, seed=self._config.seed)
        return self._best(text, found, owners, style)

    def translate_beam(self, text, beam_size, length_penalty, max_length) -> dict:
        """All translations of a beam search, in human style.

        Args:
            text: strings, ``(batch,)``.
            beam_size: scalar int32, from 1 to `MOST_BEAMS`.
            length_penalty: scalar float32, within `LENGTH_PENALTIES`.
            max_length: scalar int32, most target tokens; 0 for the translator's own limits.

        Returns:
            the best first and each ``(batch, beam_size)``: ``translations``; ``scores``, sums of
            the logarithmic probabilities; ``normalized_scores``, those divided by the length
            penalty. An empty string and -1e9 stand where fewer were found.
        """
        allowed = (beam_size >= 1) & (beam_size <= MOST_BEAMS)
        message = f"beam_size is not between 1 and {MOST_BEAMS}, it is:"
        positive = tf.debugging.Assert(max_length >= 0, ["max_length is below 0:", max_length])
        least, most = LENGTH_PENALTIES
        ranks = tf.debugging.Assert(
            (length_penalty >= least) & (length_penalty <= most),
            [f"length_penalty is not between {least} and {most}, it is:", length_penalty],
        )
        with tf.control_dependencies(
            [tf.debugging.Assert(allowed, [message, beam_size]), positive, ranks]
        ):
            beam_size, max_length = tf.identity(beam_size), tf.identity(max_length)
            length_penalty = tf.identity(length_penalty)
        source, owners, limits = self._sources(text)
        limits = tf.where(max_length > 0, tf.minimum(limits, max_length), limits)
        search = self.translator.new_search(
            dataclasses.replace(
                self._config,
                beam_size=1,
                n_best=1,
                sampling=False,
                temperature=1.0,
                top_k=None,
                top_p=None,
            ),
            jit_compile=self.jit_compile,
            beam_size=beam_size,
            length_penalty=length_penalty,
        )
        found = search(source.to_tensor(), limits)
        texts = self._texts(text, found.tokens, owners, "human")
        # Nothing is found for an empty piece, whose translation is empty.
        missing = ~found.found & (tf.range(beam_size) > 0)
        missing = tf.math.segment_max(tf.cast(missing, tf.int32), owners) > 0
        ranks = tf.where(found.found, found.ranks, 0.0)
        return {
            "translations": tf.where(missing, "", texts),
            "scores": tf.where(missing, NOT_FOUND, tf.math.segment_sum(found.scores, owners)),
            "normalized_scores": tf.where(missing, NOT_FOUND, tf.math.segment_sum(ranks, owners)),
        }

    def attention(self, text) -> dict:
        """The best translations, with tokens and attention weights.

        Args:
            text: strings, ``(batch,)``.

        Returns:
            what `translate` does in human style, and of the first piece of every text
            ``source_tokens``, ``(batch, source)``, and ``target_tokens``, ``(batch, target)``,
            padded with empty strings, and ``attention``, ``(batch, heads, target - 1, source)``,
            the cross-attention weights of the last layer.
        """
        translator = self.translator
        source, owners, limits = self._sources(text)
        found = self._search(source.to_tensor(), limits, seed=self._config.seed)
        first = first_pieces(owners, tf.size(text))
        source, target = tf.gather(source, first), tf.gather(found.tokens[:, 0], first)
        return {
            **self._best(text, found, owners, "human"),
            "source_tokens": translator.tokenizers.source.lookup(source).to_tensor(),
            "target_tokens": translator.target_tokens(target).to_tensor(),
            "attention": translator.attention_weights(source.to_tensor(), target),
        }

    def tokenize(self, text) -> dict:
        """Tokens of texts with start and end, ``tokens`` and ``ids``, ``(batch, longest)``."""
        ids = self.translator.tokenizers.source.tokenize(text)
        return {
            "tokens": self.translator.tokenizers.source.lookup(ids).to_tensor(),
            "ids": tf.cast(ids.to_tensor(), tf.int64),
        }

    def _sources(self, text):
        """Token ids of the pieces, the text of each and their most target tokens."""
        translator = self.translator
        source, owners = tokenize_in_pieces(
            translator.tokenizers.source, text, translator.max_source_length
        )
        return source, owners, translator.limits(source, self._config)

    def _best(self, text, found, owners, style):
        return {
            "translation": self._texts(text, found.tokens[:, :1], owners, style)[:, 0],
            "score": tf.math.segment_sum(found.scores[:, 0], owners),
        }

    def _texts(self, text, tokens, owners, style):
        tokenizer = self.translator.tokenizers.target
        return joined_texts(tokenizer, tokens, owners, tf.size(text), style)


def variables_of(model) -> list[tf.Variable]:
    """The variables of a model, for a module to save in its place.

    A SavedModel with a whole Keras model inside holds every variable twice, and TensorFlow Serving,
    which loads it as a graph of TensorFlow 1, restores the ones that nothing uses.
    """
    return [v.value if isinstance(v, keras.Variable) else v for v in model.variables]


class ExportTranslator(tf.Module):
    """A translator ready for `tf.saved_model.save`, as in the tutorial.

    Called with strings of any shape it gives the translations, in the corpus' style, in the same
    shape.

    Args:
        translator: a `Translator`.
    """

    def __init__(self, translator):
        super().__init__()
        self.tokenizers = translator.tokenizers
        self.weights = variables_of(translator.transformer)
        self._translation = GraphTranslation(translator, jit_compile=bool(translator.jit_compile))

    @property
    def translator(self):
        return self._translation.translator

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string)])
    def __call__(self, sentence):
        found = self._translation.translate(tf.reshape(sentence, [-1]), "corpus")
        return tf.reshape(found["translation"], tf.shape(sentence))
