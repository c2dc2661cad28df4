"""Translations that have the terms of a glossary: what lacks some is searched for again."""

import numpy as np
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.text.casing import MARKS
from keras_transformer.decoding.search import SearchResult
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import PAD, RESERVED_TOKENS, UNK

TERM_BEAMS = 4, 10
"""Fewest beams of the two searches for a hypothesis with terms: with those that the best one lacks,
and, where that lost others, with all."""


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
    begins = [name.startswith("▁") for name in names]
    if any(begins):
        goes_on = ~np.array(begins)
        goes_on[: len(RESERVED_TOKENS)] = False
    else:
        goes_on = np.array([name.startswith("##") for name in names])
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
