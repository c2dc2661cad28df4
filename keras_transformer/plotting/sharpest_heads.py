"""Words among tokens, and the attention heads that look sharply from one.

The paper's figure 4 is made of such heads: two that find what "its" stands for.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_transformer.errors import InputError
from keras_transformer.plotting.scores import choose

_WORD_MARKS = "▁Ġ"  # of SentencePiece and of byte pairs: a word begins here


def positions_of(tokens: Sequence[str], word: str | int) -> list[int]:
    """Where a word stands among tokens.

    Args:
        tokens: the tokens, `(tokens,)`.
        word: a token; or a word of several pieces, of WordPiece (``##``), SentencePiece (``▁``) or
          the byte pairs of GPT-2 (``Ġ``); or a position, from 0.

    Returns:
        the positions of its pieces.

    Raises:
        InputError: when it is not there, or in several places.
    """
    if not isinstance(word, str):
        if not 0 <= word < len(tokens):
            raise InputError(f"position {word} of {len(tokens)} tokens: give one that is there")
        return [int(word)]
    places = [[i] for i, token in enumerate(tokens) if token == word] or _spans(tokens, word)
    if len(places) == 1:
        return places[0]
    if places:
        starts = ", ".join(str(place[0]) for place in places)
        raise InputError(f"{word!r} stands at the positions {starts}: give one of these numbers")
    raise InputError(f"{word!r} is none of the words: {' '.join(tokens)}")


def _spans(tokens: Sequence[str], word: str) -> list[list[int]]:
    """Positions of the pieces of a word, once for each place where it stands."""
    pieces = [token.removeprefix("##").lstrip(_WORD_MARKS) for token in tokens]
    with_marks = any(token.startswith(tuple(_WORD_MARKS)) for token in tokens)

    def goes_on(position):
        """Whether a token is not the first one of a word."""
        if position == len(tokens) or not position:
            return False
        token = tokens[position]
        inside = with_marks and not token.startswith(tuple(_WORD_MARKS)) and token.isalnum()
        return token.startswith("##") or inside

    found = []
    for start in range(len(tokens)):
        end = start + 1
        while goes_on(end):
            end += 1
        if not goes_on(start) and "".join(pieces[start:end]) == word:
            found.append(list(range(start, end)))
    return found


class SharpHead(NamedTuple):
    """How sharply one head looks from a word.

    Attributes:
        layer, head: numbers from 1.
        entropy: of its weights, in bits; 0 is all on one token.
        looks_at: the token with the highest weight.
        weight: on that token.
    """

    layer: int
    head: int
    entropy: float
    looks_at: str
    weight: float


def sharpest_heads(
    scores: Any,
    query_tokens: Any = None,
    key_tokens: Any = None,
    *,
    word: str | int,
    number: int = 2,
    looks_at: str | int | None = None,
    aside: Collection[str | int] = (),
    **choice: Any,
) -> list[SharpHead]:
    """The heads whose weights of a word have the lowest entropy, such as those for "its".

    In the paper's figure 4 two such heads find what a pronoun stands for.

    Args:
        scores, query_tokens, key_tokens: as for `choose`.
        word: as for `positions_of`; the mean over the pieces of a word counts.
        number: how many heads, at most.
        looks_at: a key, likewise, that the heads are to look at most, such as what a pronoun stands
          for; any unless given.
        aside: keys, as tokens or as positions from 0, which the heads are not to look at most: many
          heads look sharply at the word itself, the one before it or the end of the sentence.
        choice: `attention`, `layers`, `heads`, `row` and `hide` of `choose`.

    Returns:
        the sharpest first; fewer than `number` where there are no more.

    Raises:
        InputError: as for `choose` and `positions_of`, and for a `number` below 1.
    """
    if number < 1:
        raise InputError(f"number is {number}: give at least 1")
    chosen = choose(scores, query_tokens, key_tokens, **choice)
    places = positions_of(chosen.query_tokens, word)
    weights = chosen.weights[:, :, places].astype(np.float64).mean(axis=2)  # (layers, heads, key)
    # What is hidden counts as one more token, or a head that looks there would seem sharp.
    hidden = np.clip(1 - weights.sum(axis=-1), 0, 1)
    entropies = _bits(weights).sum(axis=-1) + _bits(hidden)
    wanted = range(weights.shape[-1])
    if looks_at is not None:
        wanted = positions_of(chosen.key_tokens, looks_at)
    found = []
    for place in np.argsort(entropies, axis=None, kind="stable"):
        layer, head = np.unravel_index(place, entropies.shape)
        at = int(weights[layer, head].argmax())
        weight = float(weights[layer, head, at])
        token = chosen.key_tokens[at]
        if weight > hidden[layer, head] and at in wanted and not {at, token} & set(aside):
            entropy = float(entropies[layer, head])
            found.append(
                SharpHead(chosen.layers[layer], chosen.heads[head], entropy, token, weight)
            )
    return found[:number]


def _bits(probabilities: np.ndarray) -> np.ndarray:
    """What each probability adds to an entropy; nothing where it is 0."""
    logarithms = np.log2(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return -probabilities * logarithms
