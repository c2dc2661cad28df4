"""Where to cut a text that is too long for a model."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_SENTENCE_ENDS = {".", "!", "?", "…", "。", "！", "？", "؟", "।"}
_CLAUSE_ENDS = {",", ";", ":", "—", "–", "،", "、"}


def tokenize_in_pieces(
    tokenizer: Any, strings: tf.Tensor, longest: int
) -> tuple[tf.RaggedTensor, np.ndarray]:
    """Token ids of texts, those of too long ones in pieces, with a warning.

    Args:
        tokenizer: the source side of what `as_tokenizers` returns.
        strings: ``(batch,)``.
        longest: most tokens of a piece, start and end included.

    Returns:
        ids ``(pieces, None)``, each piece with start and end; and the number of the text that each
        belongs to, ``(pieces,)``.
    """
    ids = tokenizer.tokenize(strings)
    lengths = ids.row_lengths().numpy()
    if (lengths <= longest).all():
        return ids, np.arange(len(lengths))
    warnings.warn(
        f"{np.count_nonzero(lengths > longest)} of {len(lengths)} texts have more than "
        f"{longest} tokens: they are translated in pieces.",
        stacklevel=3,
    )
    pieces, owners = [], []
    for owner, row in enumerate(np.split(ids.flat_values.numpy(), np.cumsum(lengths)[:-1])):
        cuts = [(0, len(row) - 2)]
        if len(row) > longest:
            names = tokenizer.lookup(tf.constant(row)[tf.newaxis])[0].numpy()
            cuts = pieces_of(names[1:-1], longest - 2)
        for start, stop in cuts:
            pieces.append(np.concatenate([row[:1], row[1 + start : 1 + stop], row[-1:]]))
            owners.append(owner)
    lengths = [len(piece) for piece in pieces]
    return tf.RaggedTensor.from_row_lengths(np.concatenate(pieces), lengths), np.array(owners)


def pieces_of(tokens: Sequence[bytes], longest: int) -> list[tuple[int, int]]:
    """Cuts tokens into pieces that are as long as possible and end where a text pauses.

    A piece ends after the last sentence that it has room for; failing that, after the last clause;
    failing that, after the last word; failing that, anywhere. The second half of the room is
    searched for each of these, so that no piece is needlessly short.

    Args:
        tokens: names of the tokens, without start and end: ``##`` marks the inside of a word, or
            ``▁`` the beginning of one.
        longest: most tokens of a piece.

    Returns:
        ``(start, stop)`` of every piece; the whole where it is short enough.

    Raises:
        ValueError: when `longest` leaves no room.
    """
    if longest < 1:
        raise ValueError(f"A piece has room for one token or more; got {longest}.")
    names = [token.decode("utf-8", errors="replace") for token in tokens]
    marks_beginnings = any(name.startswith("▁") for name in names)

    def begins_word(i):
        return names[i].startswith("▁") if marks_beginnings else not names[i].startswith("##")

    def ends_with(i, marks):
        return names[i].lstrip("▁")[-1:] in marks and begins_word_or_end(i + 1)

    def begins_word_or_end(i):
        return i == len(names) or begins_word(i)

    pieces, start = [], 0
    while len(names) - start > longest:
        stops = range(start + longest, start + longest // 2, -1)
        pauses = (
            lambda stop: ends_with(stop - 1, _SENTENCE_ENDS),
            lambda stop: ends_with(stop - 1, _CLAUSE_ENDS),
            begins_word,
        )
        stop = next(
            (stop for is_pause in pauses for stop in stops if is_pause(stop)), start + longest
        )
        pieces.append((start, stop))
        start = stop
    pieces.append((start, len(names)))
    return pieces
