"""From texts to what a model translates: sentences, and pieces of those that are too long for it.

Operations of TensorFlow alone, so that an exported model divides as the live one does.
"""

import functools
import warnings
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.data.text.casing import MARKS
from keras_transformer.data.text.sentences import Sentences, split_sentences, whole_texts
from keras_transformer.data.text.strings import begins_run
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, START

_SENTENCE_ENDS = ".!?…。！？؟।"
_CLAUSE_ENDS = ",;:—–،、"


class Pieces(NamedTuple):
    """What a model translates of some texts.

    Attributes:
        ids: token ids of the pieces, each with start and end, ``(pieces, None)``.
        owners: the number of the sentence that each belongs to, int32 ``(pieces,)``, in order.
        sentences: of the texts; the texts themselves where they are not divided.
    """

    ids: tf.RaggedTensor
    owners: tf.Tensor
    sentences: Sentences

    @property
    def texts(self) -> tf.Tensor:
        """The number of the text that each piece belongs to, int32 ``(pieces,)``, in order."""
        return tf.gather(self.sentences.owners, self.owners)

    @property
    def begins(self) -> tf.Tensor:
        """Whether each piece begins its sentence, bool ``(pieces,)``."""
        return begins_run(self.owners)


def divide(tokenizers: Any, strings: tf.Tensor, longest: int, *, sentences: bool) -> Pieces:
    """Divides texts into what a model translates.

    Args:
        tokenizers: what `as_tokenizers` returns.
        strings: ``(batch,)``.
        longest: most tokens of a piece, start and end included.
        sentences: divide texts into sentences; else only those that are too long are cut.
    """
    if sentences:
        found = split_sentences(strings, tokenizers.source_language)
    else:
        found = whole_texts(strings)
    return Pieces(*tokenize_in_pieces(tokenizers.source, found.texts, longest), found)


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
    ids = tokenizer.tokenize(strings)
    lengths = ids.row_lengths()

    def whole():
        return ids, tf.range(tf.size(lengths))

    def cut():
        # Sources of some models have an end alone.
        inner = tf.ragged.boolean_mask(ids, (ids != START) & (ids != END))
        parts, owners = pieces_of(inner, tokenizer.lookup(inner), longest - 2)
        rows = tf.gather(ids, owners)
        starts, ends = (tf.ragged.boolean_mask(rows, rows == token) for token in (START, END))
        return tf.concat([starts, parts, ends], axis=1), owners

    return tf.cond(tf.reduce_any(lengths > longest), cut, whole)


def warn_of_pieces(pieces: Pieces, longest: int) -> None:
    """Warns if there are sentences in pieces.

    Args:
        pieces: of texts.
        longest: most tokens of a piece.
    """
    counts = np.bincount(pieces.owners.numpy())
    if long := np.unique(pieces.sentences.owners.numpy()[np.flatnonzero(counts > 1)]).size:
        count = int(tf.size(pieces.sentences.tails))
        warnings.warn(
            f"{long} of {count} texts have more than {longest} tokens at a time: they are "
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
        ids.flat_values, tf.cast(piece, tf.int64), tf.cast(tf.reduce_sum(counts), tf.int64)
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
    begins = (begins | leads) & ~last
    # The end of a text is that of a word too.
    after = tf.concat(
        [names.with_flat_values(begins)[:, 1:], tf.ones_like(names[:, :1], tf.bool)], 1
    )
    level = tf.where(
        tf.strings.regex_full_match(flat, f"(?s:.*)[{_SENTENCE_ENDS}]"),
        3,
        tf.where(tf.strings.regex_full_match(flat, f"(?s:.*)[{_CLAUSE_ENDS}]"), 2, 1),
    )
    return names.with_flat_values(tf.where(after.flat_values & ~leads, level, 0))


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
