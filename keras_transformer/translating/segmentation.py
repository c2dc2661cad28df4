"""From texts to what a model translates: sentences, and pieces of those that are too long for it.

Operations of TensorFlow alone, so that an exported model divides as the live one does.
"""

import functools
import warnings
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.data.text.casing import MARKS
from keras_transformer.data.text.placeholders import count_kept, fill, mask
from keras_transformer.data.text.sentences import Sentences, split_sentences, whole_texts
from keras_transformer.data.text.strings import begins_run
from keras_transformer.data.text.tags import (
    MOST_TAGS,
    has_language_tag,
    language_tag,
    languages_of_tags,
)
from keras_transformer.data.text.terms import MARKS as TERM_MARKS
from keras_transformer.data.text.terms import annotate
from keras_transformer.data.tokenizers.surfaces import PLACEHOLDER
from keras_transformer.data.tokenizers.token_links import NONE
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, START
from keras_transformer.translating.token_words import first_words, terms_of_words, words_of

_SENTENCE_ENDS = ".!?…。！？؟।"
_CLAUSE_ENDS = ",;:—–،、"


class Pieces(NamedTuple):
    """What a model translates of some texts.

    Attributes:
        ids: token ids of the pieces, each with start and end, ``(pieces, None)``.
        owners: the number of the sentence that each belongs to, int32 ``(pieces,)``, in order.
        sentences: of the texts; the texts themselves where they are not divided.
        kept: what the placeholders of each piece stand for, by their numbers, strings
            ``(pieces, None)``.
        terms: translations of terms that each is to have, likewise; ``None`` without a glossary.
        term_sources: those terms as the pieces have them, likewise.
    """

    ids: tf.RaggedTensor
    owners: tf.Tensor
    sentences: Sentences
    kept: tf.RaggedTensor
    terms: tf.RaggedTensor | None = None
    term_sources: tf.RaggedTensor | None = None

    @property
    def texts(self) -> tf.Tensor:
        """The number of the text that each piece belongs to, int32 ``(pieces,)``, in order."""
        return tf.gather(self.sentences.owners, self.owners)

    @property
    def begins(self) -> tf.Tensor:
        """Whether each piece begins its sentence, bool ``(pieces,)``."""
        return begins_run(self.owners)


def divide(
    tokenizers: Any,
    strings: tf.Tensor,
    longest: int,
    *,
    sentences: bool,
    keep: tuple[str, ...] = (),
    glossary: tuple[tf.Tensor, tf.Tensor] | None = None,
    beside: bool = False,
    to: str | None = None,
) -> Pieces:
    """Divides texts into what a model translates.

    Args:
        tokenizers: what `as_tokenizers` returns.
        strings: ``(batch,)``.
        longest: most tokens of a piece, start and end included.
        sentences: divide texts into sentences; else only those that are too long are cut.
        keep: patterns of what is not translated, besides what never is; see `DecodingConfig`.
        glossary: terms and their translations, strings ``(n,)`` both.
        beside: write these translations beside the terms; see `annotate`.
        to: the language to translate to, of a model of several; texts with a tag of a language are
            translated to that.

    Raises:
        InputError: for a pattern that is none, where the tokenizers have no placeholders, and for a
            language that the model has no tag of.
    """
    kept, language = None, tokenizers.source_language
    longest -= MOST_TAGS if tokenizers.source.tags else 0
    strings, tags = tokenizers.source.take_tags(with_language(tokenizers, strings, to))
    if tokenizers.placeholders:
        strings, kept = tokenizers.source.mask(strings, keep)
    elif keep:
        raise InputError(
            "This model has no placeholders, so that it cannot keep text as it is: leave out "
            "keep, or train with tokenizer.placeholders above 0."
        )
    found = split_sentences(strings, language) if sentences else whole_texts(strings)
    texts, of_terms = found.texts, (None, None)
    if glossary is not None:
        annotated = annotate(texts, *glossary)
        texts = annotated.texts if beside else texts
    ids, owners = tokenize_in_pieces(tokenizers.source, texts, longest)
    if tokenizers.source.tags:
        of_pieces = tf.gather(tags, tf.gather(found.owners, owners))
        ids = _with_tags(tokenizers.source, ids, of_pieces)
    if glossary is not None:
        sources, translations = _terms_of_pieces(
            tokenizers.source, annotated.sources, annotated.terms, ids, owners
        )
        of_terms = translations, sources
    if kept is None:
        nothing = tf.RaggedTensor.from_row_lengths(
            tf.constant([], tf.string), 0 * ids.row_lengths(), validate=False
        )
        return Pieces(ids, owners, found, nothing, *of_terms)
    found, of_sentences = _with_kept(found, kept)
    count = tf.reduce_sum(tf.cast(tokenizers.source.is_placeholder(ids), tf.int64), axis=1)
    of_pieces = tf.RaggedTensor.from_row_lengths(of_sentences, count, validate=False)
    return Pieces(ids, owners, found, of_pieces, *of_terms)


def _with_tags(tokenizer: Any, ids: tf.RaggedTensor, tags: tf.RaggedTensor) -> tf.RaggedTensor:
    """Ids of pieces with the tags of their texts; where nothing is to be translated, without."""
    is_full = tf.reduce_any((ids != START) & (ids != END), axis=1)
    of_full = tags.with_flat_values(tf.gather(is_full, tags.value_rowids()))
    return tokenizer.with_tags(ids, tf.ragged.boolean_mask(tags, of_full))


def with_language(tokenizers: Any, strings: tf.Tensor, to: str | None) -> tf.Tensor:
    """Texts with the tag of a language before those that have none.

    Args:
        tokenizers: what `as_tokenizers` returns.
        strings: ``(batch,)``.
        to: code of the language; each text needs a tag where a model has some and this is ``None``.

    Raises:
        InputError: for a language that the model has no tag of, and, but within a graph, for a text
            without a language.
    """
    tags = tokenizers.source.tags
    languages = languages_of_tags(tags)
    if to is not None and to not in (languages or [tokenizers.target_language]):
        raise InputError(
            f"decoding.to = {to}: this model translates to "
            f"{', '.join(languages) or tokenizers.target_language}: choose "
            f"{'one of these' if len(languages) > 1 else 'that, or leave it out'} (--to)."
        )
    if not languages:
        return strings
    has_tag = has_language_tag(strings, tags)
    if to is not None:
        return tf.where(has_tag, strings, tf.strings.join([language_tag(to), " ", strings]))
    if tf.executing_eagerly() and not tf.reduce_all(has_tag | (tf.strings.strip(strings) == "")):
        raise InputError(
            f"this model translates to {', '.join(languages)}: say to which (--to, decoding.to), "
            f"or begin each text with a tag such as {language_tag(languages[0])}."
        )
    return strings


def _terms_of_pieces(
    tokenizer: Any, sources: tf.RaggedTensor, terms: tf.RaggedTensor, ids: tf.RaggedTensor, owners
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """The terms of each piece and their translations, ``(pieces, None)``.

    A term of a sentence in several pieces is in the one that has its first word.

    Args:
        tokenizer: of the pieces.
        sources, terms: of each sentence, ``(sentences, None)``.
        ids: of the pieces, ``(pieces, None)``.
        owners: the number of the sentence of each piece, int32 ``(pieces,)``.
    """

    def of_whole():
        return sources, terms

    def of_parts():
        words = words_of(tokenizer.lookup(ids))
        of_sentences = words._replace(rows=tf.gather(tf.cast(owners, tf.int64), words.rows))
        first = first_words(of_sentences, sources, terms_of_words(of_sentences, sources))
        piece = tf.gather(tf.concat([[NONE], words.rows], 0), first + 1)
        pieces = tf.math.unsorted_segment_sum(tf.ones_like(owners), owners, sources.nrows())
        in_whole = tf.gather(pieces == 1, sources.value_rowids())
        whole = tf.searchsorted(tf.cast(owners, tf.int64), sources.value_rowids())
        piece = tf.where(in_whole, tf.cast(whole, tf.int64), piece)
        is_there = piece != NONE
        return tuple(
            tf.RaggedTensor.from_value_rowids(
                tf.boolean_mask(part.flat_values, is_there),
                tf.boolean_mask(piece, is_there),
                ids.nrows(),
                validate=False,
            )
            for part in (sources, terms)
        )

    return tf.cond(ids.nrows() == sources.nrows(), of_whole, of_parts)


def sentences_of(strings: tf.Tensor, language: str | None) -> Sentences:
    """`split_sentences`, with what is not translated as part of a word, or between sentences.

    Args:
        strings: texts, ``(batch,)``.
        language: code of their language.
    """
    masked = mask(strings)
    return _with_kept(split_sentences(masked.texts, language), masked.kept)[0]


def _with_kept(found: Sentences, kept: tf.RaggedTensor) -> tuple[Sentences, tf.Tensor]:
    """Sentences of masked texts with what they keep, and that of all sentences in order.

    Args:
        found: their sentences.
        kept: what was masked in each text, ``(batch, None)``.
    """
    first = kept.row_starts()
    in_gaps, in_texts, in_tails = (
        tf.cast(count_kept(part), tf.int64) for part in (found.gaps, found.texts, found.tails)
    )
    # Every text is gaps and sentences in turn, and its tail.
    of_both = tf.cumsum(in_gaps + in_texts, exclusive=True)
    tails_before = tf.gather(tf.cumsum(in_tails, exclusive=True), found.owners)
    gap_starts = of_both + tails_before

    def ranges(starts, counts):
        places = tf.ragged.range(starts, starts + counts)
        return places.with_flat_values(tf.gather(kept.flat_values, places.flat_values))

    of_texts = ranges(gap_starts + in_gaps, in_texts)
    tail_starts = first + kept.row_lengths() - in_tails
    filled = found._replace(
        texts=fill(found.texts, of_texts),
        gaps=fill(found.gaps, ranges(gap_starts, in_gaps)),
        tails=fill(found.tails, ranges(tail_starts, in_tails)),
    )
    return filled, of_texts.flat_values


def tokenize_in_pieces(
    tokenizer: Any, strings: tf.Tensor, longest: int
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Token ids of texts, those of too long ones in pieces.

    Args:
        tokenizer: the source side of what `as_tokenizers` returns.
        strings: ``(batch,)``.
        longest: most tokens of a piece, start and end included.

    Returns:
        ids ``(pieces, None)``, each piece with start and end; and the number of the text that each
        belongs to, int32 ``(pieces,)``, in order.
    """
    masked = tokenizer.placeholders > 0
    ids = tokenizer.tokenize_masked(strings) if masked else tokenizer.tokenize(strings)
    lengths = ids.row_lengths()

    def whole():
        return ids, tf.range(tf.size(lengths))

    def cut():
        # Sources of some models have an end alone.
        inner = tf.ragged.boolean_mask(ids, (ids != START) & (ids != END))
        parts, owners = inner, tf.range(tf.size(lengths))
        if masked:
            parts, owners = _with_few_placeholders(tokenizer, inner)
        parts, of_parts = pieces_of(parts, tokenizer.lookup(parts), longest - 2)
        owners = tf.gather(owners, of_parts)
        if masked:
            parts = tokenizer.numbered(parts)
        rows = tf.gather(ids, owners)
        starts, ends = (tf.ragged.boolean_mask(rows, rows == token) for token in (START, END))
        return tf.concat([starts, parts, ends], axis=1), owners

    too_long = tf.reduce_any(lengths > longest)
    if masked:
        count = tf.reduce_sum(tf.cast(tokenizer.is_placeholder(ids), tf.int32), axis=1)
        too_long |= tf.reduce_any(count > tokenizer.placeholders)
    return tf.cond(too_long, cut, whole)


def _with_few_placeholders(
    tokenizer: Any, ids: tf.RaggedTensor
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Cuts texts before a placeholder that the vocabulary has no number for.

    Args:
        tokenizer: of the texts.
        ids: without start and end, ``(batch, None)``.

    Returns:
        as `pieces_of`.
    """
    flat, rows = ids.flat_values, ids.value_rowids()
    number = tokenizer.placeholders_before(ids)
    cuts = tokenizer.is_placeholder(flat) & (number > 0) & (number % tokenizer.placeholders == 0)
    of_each = tf.ragged.boolean_mask(ids, ids.with_flat_values(cuts)).row_lengths() + 1
    part = rows + tf.cumsum(tf.cast(cuts, tf.int64))
    parts = tf.RaggedTensor.from_value_rowids(flat, part, tf.reduce_sum(of_each), validate=False)
    return parts, tf.repeat(tf.range(tf.size(of_each)), of_each)


def warn_of_pieces(pieces: Pieces, longest: int, placeholders: int) -> None:
    """Warns if there are sentences in pieces.

    Args:
        pieces: of texts.
        longest: most tokens of a piece.
        placeholders: most placeholders of a piece.
    """
    counts = np.bincount(pieces.owners.numpy())
    if long := np.unique(pieces.sentences.owners.numpy()[np.flatnonzero(counts > 1)]).size:
        count = int(tf.size(pieces.sentences.tails))
        warnings.warn(
            f"{long} of {count} texts have more than {longest} tokens"
            f"{f' or {placeholders} placeholders' if placeholders else ''} at a time: they are "
            "translated in pieces.",
            stacklevel=3,
        )


def pieces_of(
    ids: tf.RaggedTensor, names: tf.RaggedTensor, longest: int
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Cuts texts into pieces that are as long as possible and end where a text pauses.

    A piece ends after the last sentence that it has room for; failing that, after the last clause;
    failing that, after the last word; failing that, anywhere. The second half of the room is
    searched for each of these, so that no piece is needlessly short.

    Args:
        ids: token ids without start and end, ``(batch, None)``.
        names: names of the tokens: ``##`` marks the inside of a word, or ``▁`` the beginning of
            one.
        longest: most tokens of a piece.

    Returns:
        the pieces, ``(pieces, None)``; and the number of the text that each belongs to, int32
        ``(pieces,)``. An empty text is one empty piece.

    Raises:
        ValueError: when `longest` leaves no room.
    """
    if longest < 1:
        raise InputError(f"A piece has room for one token or more; got {longest}.")
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    cuts = _cuts(_pauses(names).to_tensor(), lengths, longest)
    owners = tf.cast(ids.value_rowids(), tf.int32)
    counts = 1 + tf.reduce_sum(tf.cast(cuts, tf.int32), axis=1)
    before = tf.cumsum(tf.cast(cuts, tf.int32), axis=1, exclusive=True)
    first = tf.cumsum(counts, exclusive=True)
    piece = (
        tf.gather(first, owners)
        + tf.ragged.boolean_mask(before, tf.sequence_mask(lengths, tf.shape(before)[1])).flat_values
    )
    pieces = tf.RaggedTensor.from_value_rowids(
        ids.flat_values,
        tf.cast(piece, tf.int64),
        tf.cast(tf.reduce_sum(counts), tf.int64),
        validate=False,
    )
    return pieces, tf.repeat(tf.range(tf.size(lengths)), counts)


def _pauses(names: tf.RaggedTensor) -> tf.RaggedTensor:
    """How good it is to cut after each token: 3 ends a sentence, 2 a clause, 1 a word, else 0."""
    flat = names.flat_values
    marked = tf.strings.regex_full_match(flat, "▁(?s:.*)")
    inside = tf.strings.regex_full_match(flat, "##(?s:.*)")
    begins = tf.where(tf.reduce_any(marked), marked, ~inside)
    # Marks of capitals belong to the word that follows, but for the last of several.
    *leading, last = [flat == mark for mark in MARKS]
    leads = functools.reduce(tf.logical_or, leading)
    begins = (begins | leads | tf.strings.regex_full_match(flat, PLACEHOLDER)) & ~last
    # Nothing is cut from what it is joined to.
    joins = flat == "[JOIN]"
    # A term and its translation stay together.
    opens, closes = (tf.cast(flat == mark, tf.int32) for mark in (TERM_MARKS[0], TERM_MARKS[-1]))
    within = tf.cumsum(opens) > tf.cumsum(closes)
    begins &= ~joins & ~tf.concat([tf.zeros_like(joins[:1]), joins[:-1]], 0)
    leads |= joins
    # The end of a text is that of a word too.
    after = tf.concat(
        [names.with_flat_values(begins)[:, 1:], tf.ones_like(names[:, :1], tf.bool)], 1
    )
    level = tf.where(
        tf.strings.regex_full_match(flat, f"(?s:.*)[{_SENTENCE_ENDS}]"),
        3,
        tf.where(tf.strings.regex_full_match(flat, f"(?s:.*)[{_CLAUSE_ENDS}]"), 2, 1),
    )
    return names.with_flat_values(tf.where(after.flat_values & ~leads & ~within, level, 0))


def _cuts(pauses, lengths, longest: int):
    """After which tokens a text is cut, bool ``(batch, tokens)``.

    Args:
        pauses: see `_pauses`, ``(batch, tokens)``.
        lengths: of the texts, ``(batch,)``.
        longest: most tokens of a piece.
    """
    columns = tf.range(tf.shape(pauses)[1])
    offsets = tf.range(longest // 2, longest)  # of the last token of a piece

    def unfinished(starts, cuts):
        return tf.reduce_any(lengths - starts > longest)

    def one_piece(starts, cuts):
        working = lengths - starts > longest
        places = tf.minimum(starts[:, tf.newaxis] + offsets, tf.shape(pauses)[1] - 1)
        # The best pause, and of equal ones the last.
        ranks = tf.gather(pauses, places, batch_dims=1) * longest + offsets
        best = longest // 2 + tf.argmax(ranks, axis=1, output_type=tf.int32)
        last = tf.where(working, starts + best, -1)
        cuts |= columns == last[:, tf.newaxis]
        return tf.where(working, last + 1, starts), cuts

    state = tf.zeros_like(lengths), tf.zeros_like(pauses, tf.bool)
    return tf.while_loop(unfinished, one_piece, state)[1]
