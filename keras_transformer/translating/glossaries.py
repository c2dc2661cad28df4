"""Translations that have the terms of a glossary: what lacks some is searched for again.

First where the terms belong: hypotheses are made to begin with their own words up to a term, in the
place of the words that stand for it or where these would be, and go on from there. What still lacks
terms is searched for by constrained beam search, wherever the terms come then.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.text.casing import MARKS
from keras_transformer.decoding.search import SearchResult
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import PAD, RESERVED_TOKENS, UNK
from keras_transformer.translating.batches import BATCH_ROWS

TIMES_IN_PLACE = 2
"""How often hypotheses are made to begin with terms: going on may lose another one."""


def ways_of(config: DecodingConfig, tokenizers) -> tuple[bool, bool]:
    """How a glossary is followed: by translations beside its terms, and by constrained search.

    Args:
        config: whose `glossary_mode` says it; by constrained search unless it does.
        tokenizers: of the model.

    Raises:
        InputError: for translations beside terms where the model has not learned them.
    """
    way = config.glossary_mode or "constrain"
    if way != "constrain" and not tokenizers.terms:
        raise InputError(
            f"decoding.glossary_mode: {way} is for models that have learned terms: train with "
            "training.terms above 0, or set it to constrain."
        )
    return way != "constrain", way != "annotate"


def constrained(config: DecodingConfig) -> DecodingConfig:
    """A configuration for a search for hypotheses with given terms, which draws no samples."""
    return config.without_sampling(beam_size=max(config.beam_size, config.n_best))


def term_tokens(tokenizer) -> dict:
    """What a `ConstrainedBeamSearch` wants to know of the ids of a target tokenizer."""
    with tf.init_scope():
        count = int(tokenizer.get_vocab_size())
        names = tokenizer.lookup(tf.range(count, dtype=tf.int64)[tf.newaxis])[0].numpy()
    names = [name.decode("utf-8", "replace") for name in names]
    # Signs may follow a term.
    goes_on = np.array([any(map(str.isalnum, name)) for name in names])
    begins = np.array([name.startswith("▁") for name in names])
    if begins.any():
        goes_on &= ~begins
        goes_on[: len(RESERVED_TOKENS)] = False
    else:
        goes_on &= np.array([name.startswith("##") for name in names])
    marks = tuple(i for i, name in enumerate(names) if name in MARKS)
    return {"transparent": marks, "continuations": goes_on}


def term_ids(tokenizer, terms: tf.RaggedTensor) -> tf.Tensor:
    """Ids of the terms of each text, padded, int32 ``(batch, terms, length)``.

    Marks of capitals are left out, so that capitals are the model's affair; a term with a letter
    that the vocabulary lacks has no ids.

    Args:
        tokenizer: of the target.
        terms: strings ``(batch, None)``.
    """
    ids = ids_of_terms(tokenizer, terms.flat_values)
    known = ~tf.reduce_any(ids == UNK, axis=1)
    ids = tf.ragged.boolean_mask(ids, ids.with_flat_values(tf.repeat(known, ids.row_lengths())))
    return tf.cast(terms.with_flat_values(ids).to_tensor(PAD), tf.int32)


def ids_of_terms(tokenizer, terms: tf.Tensor) -> tf.RaggedTensor:
    """Ids of terms, ``(n, None)``, without start, end and marks of capitals."""
    ids = tokenizer.tokenize_masked(terms)
    control = tokenizer.start_id, tokenizer.end_id
    count = len(MARKS) if getattr(tokenizer, "case", "keep") == "factored" else 0
    first = len(RESERVED_TOKENS)
    keep = (ids < first) | (ids >= first + count)
    for token in control:
        if token is not None:
            keep &= ids != token
    return tf.ragged.boolean_mask(ids, keep)


def row_arguments(translator, pieces, rows, config) -> dict:
    """What a search for hypotheses with terms is given.

    Args:
        translator: a `Translator`.
        pieces: of texts, with their terms.
        rows: numbers of some of them, ``(n,)``.
        config: a `DecodingConfig`.
    """
    source = tf.gather(pieces.ids, rows)
    ids = term_ids(translator.tokenizers.target, tf.gather(pieces.terms, rows))
    room = tf.math.count_nonzero(ids, axis=(1, 2), dtype=tf.int32)
    limits = translator.limits(source, config)
    limits = tf.where(limits > 0, limits + room, 0)
    return {
        "source": source,
        "limits": tf.minimum(limits, translator.max_target_length(config)),
        "streams": tf.gather(pieces.texts, rows),
        "terms": ids,
    }


class LackingTerms:
    """The pieces of a call whose best hypotheses lack terms, and the searches for better ones.

    Args:
        translator: a `Translator`.
        pieces: of all texts, with their terms.
        config: a `DecodingConfig`.
        prefix: ids that the hypotheses have to begin with, ``(pieces, None)``, if there are any.
    """

    def __init__(self, translator, pieces, config, prefix=None):
        self._translator = translator
        self._pieces = pieces
        self._config = config
        self._prefix = prefix
        self._lacking: dict[int, tuple[np.ndarray, list[bool]]] = {}  # tokens; which terms lack

    def note(self, rows, result: SearchResult, texts) -> None:
        """Takes down which terms the best hypotheses lack.

        Args:
            rows: numbers of pieces, ``(batch,)``.
            result: what was found for them; where nothing was, it is as it was.
            texts: of the best hypotheses, strings ``(batch,)``.
        """
        terms = tf.gather(self._pieces.terms, rows)
        best, found = result.tokens[:, 0].numpy(), result.found[:, 0].numpy()
        lacks = self._translator.programs.lacks_terms(texts, terms).to_list()
        for row, tokens, was_found, of_row in zip(rows, best, found, lacks, strict=True):
            if any(of_row) and (was_found or row not in self._lacking):
                self._lacking[row] = tokens[tokens != PAD], of_row
            elif was_found:
                self._lacking.pop(row, None)

    def searches(self) -> Iterator[tuple[np.ndarray, Callable[[np.ndarray], SearchResult]]]:
        """The searches, one after the other: rows, and what searches for a batch of them.

        What is found is to be noted before the next one.
        """
        for _ in range(TIMES_IN_PLACE):
            if begins := self._begins_with_terms():
                yield np.array(sorted(begins)), functools.partial(self._go_on, begins)
        if self._lacking:
            yield np.array(sorted(self._lacking)), self._constrained

    def _begins_with_terms(self) -> dict[int, np.ndarray]:
        """What the rows that lack terms are to begin with, where these have a place."""
        pieces, programs = self._pieces, self._translator.programs
        lacking, begins = sorted(self._lacking), {}
        for first in range(0, len(lacking), BATCH_ROWS):
            rows = lacking[first : first + BATCH_ROWS]
            tokens, lacks = zip(*(self._lacking[row] for row in rows), strict=True)
            target = tf.RaggedTensor.from_row_lengths(
                np.concatenate(tokens), [len(row) for row in tokens]
            )
            source = tf.gather(pieces.ids, rows)
            fixed = tf.zeros(len(rows), tf.int32)
            if self._prefix is not None:
                fixed = tf.cast(tf.gather(self._prefix, rows).row_lengths(), tf.int32)
            found = programs.terms_in_place(
                source,
                target,
                *programs.token_places(source.to_tensor(), target.to_tensor()),
                tf.gather(pieces.term_sources, rows),
                tf.gather(pieces.terms, rows),
                tf.ragged.constant(lacks, tf.bool, 1),
                fixed,
            )
            begins |= {row: ids for row, ids in zip(rows, found.to_list(), strict=True) if ids}
        return begins

    def _go_on(self, begins, rows) -> SearchResult:
        """Searches for hypotheses with given beginnings."""
        prefix = tf.ragged.constant([begins[row] for row in rows], tf.int64, 1)
        more = self._arguments(rows, prefix)
        del more["terms"]
        return self._translator.searches.search(**more)

    def _constrained(self, rows) -> SearchResult:
        """Searches for hypotheses that have all their terms."""
        prefix = None if self._prefix is None else tf.gather(self._prefix, rows)
        return self._translator.term_searches.search(**self._arguments(rows, prefix))

    def _arguments(self, rows, prefix) -> dict:
        translator, config = self._translator, self._config
        arguments = row_arguments(translator, self._pieces, rows, config)
        arguments["source"] = arguments["source"].to_tensor()
        if self._prefix is not None:
            more = tf.cast(tf.gather(self._prefix, rows).row_lengths(), tf.int32)
            limits = arguments["limits"] + more
            arguments["limits"] = tf.minimum(limits, translator.max_target_length(config))
        if prefix is not None:
            arguments["prefix"] = prefix.to_tensor()
        jit_compile = translator.jit_compile
        return arguments | {"config": constrained(config), "jit_compile": jit_compile}


def search_again(found: SearchResult, lacks, search) -> SearchResult:
    """What was found, with hypotheses of another search where the best lacks terms.

    Args:
        found: a `SearchResult` of all rows.
        lacks: which rows lack terms, bool ``(rows,)``.
        search: searches for rows, whose numbers it is given, int32 ``(n,)``.
    """
    lacking = tf.cast(tf.where(lacks)[:, 0], tf.int32)

    def again():
        other = search(lacking)
        # Where the room was too small for all terms, what there is stays.
        is_found = tf.where(other.found[:, 0])
        rows = tf.gather(lacking, is_found)
        lengths = tf.shape(found.tokens)[2], tf.shape(other.tokens)[2]
        room = tf.maximum(*lengths)
        parts = []
        for one, two in zip(found, other, strict=True):
            if one.shape.rank == 3:
                one, two = (
                    tf.pad(part, [[0, 0], [0, 0], [0, room - length]])
                    for part, length in zip((one, two), lengths, strict=True)
                )
            parts.append(tf.tensor_scatter_nd_update(one, rows, tf.gather_nd(two, is_found)))
        return SearchResult(*parts)

    return tf.cond(tf.size(lacking) > 0, again, lambda: SearchResult(*map(tf.identity, found)))
