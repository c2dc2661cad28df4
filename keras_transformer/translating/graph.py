"""Translation of string tensors in operations of TensorFlow alone: what exports are made of."""

import functools

import keras
import tensorflow as tf

from keras_transformer.config.decoding import LENGTH_PENALTIES
from keras_transformer.data.text.terms import terms_of_lines
from keras_transformer.data.tokenizers.token_links import NONE
from keras_transformer.decoding.next_tokens import next_tokens
from keras_transformer.decoding.search import SearchResult
from keras_transformer.exporting.format import NOT_FOUND
from keras_transformer.special_tokens import END, PAD, START
from keras_transformer.translating.alignment import texts_of_tokens
from keras_transformer.translating.alternatives import (
    best_distinct,
    checked_count,
    prefix_ids,
    tried_at_once,
    with_candidates,
)
from keras_transformer.translating.batches import BATCH_ROWS
from keras_transformer.translating.glossaries import (
    TIMES_IN_PLACE,
    constrained,
    row_arguments,
    search_again,
    ways_of,
)
from keras_transformer.translating.segmentation import Pieces, with_language

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


def first_pieces(pieces: Pieces) -> tf.Tensor:
    """The number of the first piece of each text, int32 ``(batch,)``."""
    return tf.searchsorted(pieces.texts, tf.range(tf.size(pieces.sentences.tails)))


def sentence_texts(detokenize, tokens, pieces: Pieces, style):
    """Sentences from the tokens of their pieces, strings ``(n, sentences)``.

    Args:
        detokenize: what the target tokenizer does under this name.
        tokens: ids of `n` hypotheses of each piece, ``(pieces, n, length)``.
        pieces: of the texts.
        style: ``human`` or ``corpus``.
    """
    count, n, length = tf.unstack(tf.shape(tokens))
    begins = tf.repeat(pieces.begins, n)
    kept = tf.gather(pieces.kept, tf.repeat(tf.range(count), n))
    texts = detokenize(tf.reshape(tokens, (count * n, length)), style, begins, kept)
    texts = tf.transpose(tf.reshape(texts, (count, n)))
    # Empty pieces leave no trace.
    count = tf.size(pieces.sentences.owners)
    return _joined(texts, pieces.owners, count, " ", where=texts != "")


def joined_texts(detokenize, tokens, pieces: Pieces, style):
    """Texts from the tokens of their pieces, strings ``(batch, n)``; see `sentence_texts`."""
    sentences = pieces.sentences
    found = sentence_texts(detokenize, tokens, pieces, style)
    found = sentences.gaps + found
    joined = _joined(found, sentences.owners, tf.size(sentences.tails), "")
    return tf.transpose(joined + sentences.tails)


def _joined(parts, owners, count, separator, where=None):
    """Strings ``(n, count)`` from their parts, ``(n, parts)``, in order.

    Args:
        parts: strings.
        owners: the number of the string that each part belongs to, ``(parts,)``, in order.
        count: number of strings.
        separator: what is put between two parts.
        where: which parts count, bool ``(n, parts)``; all unless given.
    """
    n = tf.shape(parts)[0]
    rows = tf.range(n)[:, tf.newaxis] * count + owners
    by_row = tf.RaggedTensor.from_value_rowids(
        tf.reshape(parts, [-1]), tf.reshape(rows, [-1]), count * n, validate=False
    )
    if where is not None:
        by_row = tf.ragged.boolean_mask(by_row, by_row.with_flat_values(tf.reshape(where, [-1])))
    joined = tf.strings.reduce_join(by_row, axis=-1, separator=separator)
    return tf.reshape(joined, (n, count))


def search_in_batches(
    search, source: tf.RaggedTensor, limits, streams, seed=0, terms=None, prefix=None
) -> SearchResult:
    """Searches for any number of rows, `BATCH_ROWS` of like lengths at a time.

    So memory is bounded, and XLA compiles programs for those sizes alone.

    Args:
        search: a `Search`.
        source: token ids, ``(rows, None)``.
        limits, streams, seed, terms, prefix: as for `Search`.
    """
    order = tf.argsort(source.row_lengths(), direction="DESCENDING", stable=True)
    count, longest = tf.size(order), tf.reduce_max(tf.concat([limits, [1]], 0))

    def more(i, found):
        return (i == 0) | (i * BATCH_ROWS < count)

    def one_batch(i, found):
        rows = order[i * BATCH_ROWS : (i + 1) * BATCH_ROWS]
        ids, most = tf.gather(source, rows).to_tensor(), tf.gather(limits, rows)
        more = {"terms": terms, "prefix": prefix}
        more = {name: tf.gather(ids, rows) for name, ids in more.items() if ids is not None}
        result = search(ids, most, seed=seed, streams=tf.gather(streams, rows), **more)
        room = [[0, 0], [0, 0], [0, longest - tf.shape(result.tokens)[2]]]
        result = result._replace(
            tokens=tf.pad(result.tokens, room, constant_values=PAD),
            token_scores=tf.pad(result.token_scores, room),
        )
        return i + 1, SearchResult(
            *(array.write(i, part) for array, part in zip(found, result, strict=True))
        )

    arrays = SearchResult(
        *(
            tf.TensorArray(dtype, 0, dynamic_size=True, infer_shape=False)
            for dtype in (tf.int64, tf.float32, tf.float32, tf.float32)
        )
    )
    _, found = tf.while_loop(more, one_batch, (tf.constant(0), arrays), parallel_iterations=1)
    places = tf.argsort(order)
    ranks = SearchResult(3, 2, 2, 3)
    return SearchResult(
        *(
            tf.ensure_shape(tf.gather(array.concat(), places), [None] * rank)
            for array, rank in zip(found, ranks, strict=True)
        )
    )


class GraphTranslation:
    """A translator as functions of tensors, in operations of TensorFlow alone.

    Texts are divided as `divide` does, into sentences where the translator's `decoding` says so. It
    is no `tf.Module`: a module that keeps one does not save its programs.

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
        pieces = self._pieces(text)
        return self._best(self._found(pieces), pieces, style)

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
        pieces = self._pieces(text)
        limits = self.translator.limits(pieces.ids, self._config)
        limits = tf.where(max_length > 0, tf.minimum(limits, max_length), limits)
        search = self.translator.new_search(
            self._config.without_sampling(beam_size=1, n_best=1),
            jit_compile=self.jit_compile,
            beam_size=beam_size,
            length_penalty=length_penalty,
        )
        owners = pieces.texts
        found = search_in_batches(search, pieces.ids, limits, owners)
        texts = self._texts(found.tokens, pieces, "human")
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
        pieces = self._pieces(text)
        found, first = self._found(pieces), first_pieces(pieces)
        source, target = tf.gather(pieces.ids, first), tf.gather(found.tokens[:, 0], first)
        return {
            **self._best(found, pieces, "human"),
            "source_tokens": translator.tokenizers.source.lookup(source).to_tensor(),
            "target_tokens": translator.target_tokens(target).to_tensor(),
            "attention": translator.attention_weights(source.to_tensor(), target),
        }

    def alignment(self, text) -> dict:
        """The best translations in human style, with their tokens and what belongs together.

        Args:
            text: strings, ``(batch,)``.

        Returns:
            what `sentences` does, and of all pieces of a text one after the other
            ``source_tokens``, ``(batch, source)``, and ``target_tokens``, ``(batch, target)``,
            padded with empty strings, what placeholders stand for in their place;
            ``alignment``, int32 ``(batch, target)``, the number of the source token that each
            target token belongs to, from 1, or 0; ``alignment_weights``, float32, of attention; and
            how many tokens each sentence has, ``source_sentence_tokens`` and
            ``target_sentence_tokens``, int32 ``(batch, longest)``.
        """
        return self._aligned(self._pieces(text))

    def _aligned(self, pieces) -> dict:
        """What `alignment` gives, of pieces."""
        tokenizers = self.translator.tokenizers
        found, owners = self._found(pieces), tf.cast(pieces.texts, tf.int64)
        count = tf.size(pieces.sentences.tails, tf.int64)
        best = found.tokens[:, 0]
        target = tf.RaggedTensor.from_tensor(best, padding=PAD)
        places, weights = self._token_places(pieces.ids, best)
        starts = pieces.ids.row_starts()
        before = tf.cast(
            starts - tf.gather(starts, tf.gather(first_pieces(pieces), owners)), tf.int32
        )
        places = tf.where(places == NONE, 0, places + 1 + before[:, tf.newaxis])

        def of_texts(parts):
            rows = tf.gather(owners, parts.value_rowids())
            return tf.RaggedTensor.from_value_rowids(
                parts.flat_values, rows, count, validate=False
            ).to_tensor()

        def of_targets(values):
            return of_texts(tf.RaggedTensor.from_tensor(values, target.row_lengths()))

        def of_sentences(parts):
            lengths = tf.cast(parts.row_lengths(), tf.int32)
            return self._by_text(tf.math.segment_sum(lengths, pieces.owners), pieces)

        return {
            **self._sentences(found, pieces),
            "source_tokens": of_texts(texts_of_tokens(tokenizers.source, pieces.ids, pieces.kept)),
            "target_tokens": of_texts(texts_of_tokens(tokenizers.target, target, pieces.kept)),
            "alignment": of_targets(places),
            "alignment_weights": of_targets(weights),
            "source_sentence_tokens": of_sentences(pieces.ids),
            "target_sentence_tokens": of_sentences(target),
        }

    def _token_places(self, source, target):
        """`Translator.token_places` of any number of rows, `BATCH_ROWS` at a time.

        Args:
            source: ids, ``(rows, None)``.
            target: ids, ``(rows, target)``.
        """
        count = tf.shape(target)[0]

        def one_batch(i, arrays):
            rows = slice(i * BATCH_ROWS, (i + 1) * BATCH_ROWS)
            found = self.translator.token_places(source[rows].to_tensor(), target[rows])
            return i + 1, [a.write(i, part) for a, part in zip(arrays, found, strict=True)]

        arrays = [
            tf.TensorArray(dtype, 0, dynamic_size=True, infer_shape=False)
            for dtype in (tf.int32, tf.float32)
        ]
        _, arrays = tf.while_loop(
            lambda i, arrays: (i == 0) | (i * BATCH_ROWS < count),
            one_batch,
            (tf.constant(0), arrays),
            parallel_iterations=1,
        )
        return [tf.ensure_shape(array.concat(), (None, None)) for array in arrays]

    def sentences(self, text) -> dict:
        """The best translations in human style, with the sentences of each.

        Args:
            text: strings, ``(batch,)``.

        Returns:
            ``translation``, ``(batch,)``, which is ``gaps`` and ``target_sentences`` in turn and
            then ``tail``; ``source_sentences``, ``target_sentences`` and ``gaps``, padded with
            empty strings, ``(batch, longest)``; ``tail``, ``(batch,)``.
        """
        pieces = self._pieces(text)
        return self._sentences(self._found(pieces), pieces)

    def glossary(self, text, glossary) -> dict:
        """`alignment`, with given translations of terms.

        Source tokens have the translations beside their terms, where the model has learned that.

        Args:
            text: strings, ``(batch,)``.
            glossary: scalar string, lines of a term and its translation, parted by a tab; the
                first of equal terms counts.
        """
        terms = terms_of_lines(glossary)
        pieces = self.translator.programs.pieces(text, self._config, terms)
        return self._aligned(pieces)

    def alternatives(self, text, prefix, count) -> dict:
        """Other translations that begin alike and go on with different words, in human style.

        After the prefix come the likeliest next tokens, and after each of them what greedy search
        finds.

        Args:
            text: strings, ``(batch,)``; of one in several sentences the first has alternatives.
            prefix: scalar string, what the translations begin with, up to a word.
            count: scalar int32, from 1 to `alternatives.MOST_ALTERNATIVES`.

        Returns:
            the best first and each ``(batch, count)``: ``translations`` and ``scores``, sums of
            logarithmic probabilities. An empty string and -1e9 stand where fewer were found.
        """
        count, translator = checked_count(count), self.translator
        pieces, search = self._pieces(text), self._greedy
        owners, first = pieces.texts, first_pieces(pieces)
        is_first = tf.gather(first, owners) == tf.range(tf.size(owners))
        gap = tf.gather(pieces.sentences.gaps, tf.gather(pieces.owners, tf.gather(first, owners)))
        prefixes, size = tf.fill(tf.shape(gap), prefix), tf.strings.length(gap)
        has_gap = tf.strings.substr(prefixes, tf.zeros_like(size), size) == gap
        begin = tf.where(has_gap, size, 0)
        after = tf.strings.substr(prefixes, begin, tf.strings.length(prefixes) - begin)
        start = prefix_ids(
            translator.tokenizers, tf.where(is_first, after, ""), pieces.kept, self._config.keep
        )
        most = translator.max_target_length(self._config)
        start = start[:, : most - 1]  # nothing begins with what is longer
        candidates, usable = next_tokens(
            search, tf.gather(pieces.ids, first), tf.gather(start, first), tried_at_once(count)
        )
        tried = tf.shape(candidates)[1]
        candidates = tf.where(is_first[:, tf.newaxis], tf.gather(candidates, owners), 0)
        limits = translator.limits(pieces.ids, self._config)
        usable &= tf.gather(limits > 0, first)[:, tf.newaxis]
        more = tf.cast(start.row_lengths(), tf.int32) + 1
        limits = tf.where(limits > 0, tf.minimum(limits + more, most), 0)
        found = search_in_batches(
            search,
            tf.gather(pieces.ids, tf.repeat(tf.range(tf.size(owners)), tried)),
            tf.repeat(limits, tried),
            tf.repeat(owners, tried),
            prefix=with_candidates(start, candidates),
        )
        tokens = tf.reshape(found.tokens[:, 0], (tf.size(owners), tried, -1))
        scores = tf.reshape(found.scores[:, 0], (tf.size(owners), tried))
        texts, scores = (
            self._texts(tokens, pieces, "human"),
            tf.math.segment_sum(scores, owners),
        )
        return best_distinct(texts, scores, usable, prefix, count)

    @functools.cached_property
    def _greedy(self):
        """A greedy search in the place of what is configured."""
        return self._search_by(self._config.without_sampling(beam_size=1, n_best=1))

    def _search_by(self, config):
        """A search by another configuration; the same one for the same."""
        if config == self._config:
            return self._search
        return self.translator.new_search(config, jit_compile=self.jit_compile)

    def tokenize(self, text) -> dict:
        """Tokens of texts, and what the model makes of them.

        Args:
            text: strings, ``(batch,)``.

        Returns:
            ``tokens`` and ``ids`` with start and end, ``(batch, longest)``; ``pieces``, the number
            of pieces that each is translated in, and ``longest``, most tokens of one of them, int32
            ``(batch,)``.
        """
        ids = self.translator.tokenizers.source.tokenize(text)
        pieces = self._pieces(text)
        lengths = tf.cast(pieces.ids.row_lengths(), tf.int32)
        return {
            "tokens": self.translator.tokenizers.source.lookup(ids).to_tensor(),
            "ids": tf.cast(ids.to_tensor(), tf.int64),
            "pieces": tf.math.segment_sum(tf.ones_like(pieces.texts), pieces.texts),
            "longest": tf.math.segment_max(lengths, pieces.texts),
        }

    def _pieces(self, text) -> Pieces:
        """What the model translates of texts, ``(batch,)``."""
        return self.translator.programs.pieces(text, self._config)

    def _found(self, pieces) -> SearchResult:
        """What the search that is configured finds for each piece."""
        limits = self.translator.limits(pieces.ids, self._config)
        found = search_in_batches(
            self._search, pieces.ids, limits, pieces.texts, seed=self._config.seed
        )
        if pieces.terms is None or not ways_of(self._config, self.translator.tokenizers)[1]:
            return found

        for _ in range(TIMES_IN_PLACE):
            found = self._again(found, pieces, self._go_on)
        return self._again(found, pieces, self._constrained)

    def _again(self, found, pieces, search) -> SearchResult:
        """Searches once more for the pieces whose best hypotheses lack terms.

        Args:
            found: a `SearchResult`.
            pieces: of texts.
            search: is given the pieces, numbers of rows, their best hypotheses and which of their
                terms these lack.
        """
        best = found.tokens[:, 0]
        programs = self.translator.programs
        texts = programs.texts(best, "human", pieces.begins, pieces.kept)
        lacks = programs.lacks_terms(texts, pieces.terms)

        def again(rows):
            return search(pieces, rows, tf.gather(best, rows), tf.gather(lacks, rows))

        return search_again(found, tf.reduce_any(lacks, axis=1), again)

    def _go_on(self, pieces, rows, target, lacks) -> SearchResult:
        """Searches for hypotheses that begin with terms in their places."""
        source = tf.gather(pieces.ids, rows)
        begins = self.translator.programs.terms_in_place(
            source,
            tf.RaggedTensor.from_tensor(target, padding=PAD),
            *self._token_places(source, target),
            tf.gather(pieces.term_sources, rows),
            tf.gather(pieces.terms, rows),
            lacks,
            tf.zeros_like(rows),
        )
        more = row_arguments(self.translator, pieces, rows, self._config)
        del more["terms"]
        more["limits"] = tf.where(begins.row_lengths() > 0, more["limits"], 0)
        return search_in_batches(self._unsampled, prefix=begins.to_tensor(), **more)

    def _constrained(self, pieces, rows, target, lacks) -> SearchResult:
        """Searches for hypotheses that have all their terms."""
        more = row_arguments(self.translator, pieces, rows, self._config)
        return search_in_batches(self._term_search, **more)

    @functools.cached_property
    def _unsampled(self):
        """The search that is configured, without sampling."""
        return self._search_by(constrained(self._config))

    @functools.cached_property
    def _term_search(self):
        """The search for what lacks terms."""
        config = constrained(self._config)
        return self.translator.new_term_search(config, jit_compile=self.jit_compile)

    def _best(self, found, pieces, style):
        return {
            "translation": self._texts(found.tokens[:, :1], pieces, style)[:, 0],
            "score": tf.math.segment_sum(found.scores[:, 0], pieces.texts),
        }

    def _sentences(self, found, pieces):
        """What `sentences` gives, of what was found for the pieces."""
        detokenize = self.translator.programs.texts
        translated = sentence_texts(detokenize, found.tokens[:, :1], pieces, "human")[0]
        return {
            **self._best(found, pieces, "human"),
            "source_sentences": self._by_text(pieces.sentences.texts, pieces),
            "target_sentences": self._by_text(translated, pieces),
            "gaps": self._by_text(pieces.sentences.gaps, pieces),
            "tail": pieces.sentences.tails,
        }

    def _by_text(self, values, pieces):
        """A value of each sentence as rows of texts, padded, ``(batch, longest)``."""
        sentences = pieces.sentences
        count = tf.size(sentences.tails)
        return tf.RaggedTensor.from_value_rowids(
            values, sentences.owners, count, validate=False
        ).to_tensor()

    def _texts(self, tokens, pieces, style):
        return joined_texts(self.translator.programs.texts, tokens, pieces, style)


def variables_of(model) -> list[tf.Variable]:
    """The variables of a model, for a module to save in its place.

    A SavedModel with a whole Keras model inside holds every variable twice, and TensorFlow Serving,
    which loads it as a graph of TensorFlow 1, restores the ones that nothing uses.
    """
    return [v.value if isinstance(v, keras.Variable) else v for v in model.variables]


def check_language(translator) -> None:
    """Refuses to export a model of several languages that does not say to which it translates.

    Raises:
        InputError: without `decoding.to`.
    """
    with_language(translator.tokenizers, tf.constant(["a"]), translator.decoding.to)


class ExportTranslator(tf.Module):
    """A translator ready for `tf.saved_model.save`, as in the tutorial.

    Called with strings of any shape it gives the translations, in the corpus' style, in the same
    shape.

    Args:
        translator: a `Translator`.
    """

    def __init__(self, translator):
        super().__init__()
        check_language(translator)
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
