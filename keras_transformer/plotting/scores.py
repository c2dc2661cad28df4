"""Attention weights of one sentence: computing them, selecting some, and the sharpest heads.

Layers and heads are numbered from 1, as in the names of layers and the titles of pictures.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_transformer.data.text.strings import string_tensor
from keras_transformer.errors import InputError
from keras_transformer.plotting.style import as_texts
from keras_transformer.translating.segmentation import divide

KINDS = {
    "encoder": "encoder_layer{}",
    "decoder": "decoder_layer{}_block1",
    "cross": "decoder_layer{}_block2",
}
"""Names of layers in the dictionary of a `Transformer`, by kind of attention."""

PADDING = ("[PAD]",)

_WORD_MARKS = "▁Ġ"  # first characters of words, in SentencePiece and byte-level BPE


@dataclass(frozen=True)
class SentenceAttention:
    """The attention weights of a translation.

    Attributes:
        source_tokens: start and end included.
        target_tokens: likewise.
        scores: weights by the names of layers, `(1, heads, query, key)` each. The queries of the
          decoder are the target tokens without the end; pictures of cross-attention label them
          with the tokens that they predict, as in the tutorial.
    """

    source_tokens: list[str]
    target_tokens: list[str]
    scores: dict[str, np.ndarray]

    def tokens(self, kind: str) -> tuple[list[str], list[str]]:
        """Labels of the queries and of the keys of a kind of attention."""
        given, predicted = self.target_tokens[:-1], self.target_tokens[1:]
        return {
            "encoder": (self.source_tokens, self.source_tokens),
            "decoder": (given, given),
            "cross": (predicted, self.source_tokens),
        }[kind]


def sentence_attention(translator: Any, sentence: str) -> SentenceAttention:
    """Translates a sentence and returns the attention weights of all layers.

    Args:
        translator: a `Translator` of a model in memory.
        sentence: the source text.

    Returns:
        a `SentenceAttention`, for the argument `scores` of the functions that draw attention.

    Raises:
        InputError: for an exported model, which has no such weights, and for a sentence without a
          translation.
    """
    if not hasattr(translator, "transformer"):
        raise InputError(
            f"a {type(translator).__name__} gives no weights of all layers: load the run folder"
        )
    source = translator.tokenizers.source
    # One sentence makes a batch of one: ids are (1, key). Of a text in pieces, the translator gives
    # weights of the first.
    ids = divide(
        translator.tokenizers,
        string_tensor([sentence]),
        translator.max_source_length,
        sentences=translator.decoding.sentences,
    ).ids
    _, tokens, _ = translator(sentence)
    scores = translator.attention_model.last_attention_scores()
    if len(tokens) < 2:
        raise InputError(f"{sentence!r}: nothing was translated: there is no attention to draw")
    return SentenceAttention(
        as_texts(source.lookup(ids[:1])[0]),
        as_texts(tokens),
        {name: np.asarray(weights, np.float32) for name, weights in scores.items()},
    )


@dataclass(frozen=True)
class SelectedAttention:
    """Attention weights to draw.

    Attributes:
        weights: float32 `(layers, heads, query, key)`.
        query_tokens, key_tokens: `(query,)` and `(key,)`.
        layers, heads: numbers of the selected layers and heads, from 1.
        layer_names: for titles, such as "Layer 1".
    """

    weights: np.ndarray
    query_tokens: list[str]
    key_tokens: list[str]
    layers: list[int]
    heads: list[int]
    layer_names: list[str]


def select_attention(
    scores: Any,
    query_tokens: Any = None,
    key_tokens: Any = None,
    *,
    attention: str | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    row: int = 0,
    hide: Collection[str] = PADDING,
) -> SelectedAttention:
    """Selects layers, heads and tokens of attention weights in any form.

    Args:
        scores: the second result of ``model(..., return_attention_scores=True)``, a dictionary or
          a list of the weights of the layers, `(batch, heads, query, key)` each; or a
          `SentenceAttention`; or a `Translation` with attention, which is that of the last layer;
          or an array, `(layers, heads, query, key)` or `(heads, query, key)`.
        query_tokens: tokens of the queries, `(query,)`; needed where `scores` holds no tokens.
        key_tokens: tokens of the keys, `(key,)`; the same unless given.
        attention: kind of the weights in a dictionary: ``encoder``, ``decoder`` (its
          self-attention) or ``cross``.
        layers: numbers of layers, from 1; all unless given.
        heads: numbers of heads, likewise.
        row: row of the batch.
        hide: tokens to leave out, such as ``("[PAD]", "[START]", "[END]")``. The weights of the
          others do not change, so that a query's may sum to less than 1.

    Raises:
        InputError: when something is missing or does not fit.
    """
    last_only = False
    if isinstance(scores, SentenceAttention):
        attention = _kind(attention, scores.scores)
        of_queries, of_keys = scores.tokens(attention)
        query_tokens = of_queries if query_tokens is None else query_tokens
        key_tokens = of_keys if key_tokens is None else key_tokens
        scores = scores.scores
    elif hasattr(scores, "source_tokens"):
        if scores.attention is None or not scores.tokens:
            raise InputError("a translation without attention: translate with attention=True")
        query_tokens = scores.tokens[1:] if query_tokens is None else query_tokens
        key_tokens = scores.source_tokens if key_tokens is None else key_tokens
        scores = scores.attention
        last_only = True
    weights = _stacked(scores, attention, row)
    if query_tokens is None:
        raise InputError("weights without tokens: give query_tokens, and key_tokens if they differ")
    query_tokens = as_texts(query_tokens)
    key_tokens = query_tokens if key_tokens is None else as_texts(key_tokens)
    if weights.shape[2:] != (len(query_tokens), len(key_tokens)):
        raise InputError(
            f"attention of {weights.shape[2]} queries to {weights.shape[3]} keys does not fit "
            f"{len(query_tokens)} query tokens and {len(key_tokens)} key tokens: give a token for "
            "each, padding included"
        )
    layer_numbers = _numbers(layers, weights.shape[0], "layer")
    head_numbers = _numbers(heads, weights.shape[1], "head")
    queries = [i for i, token in enumerate(query_tokens) if token not in hide]
    keys = [i for i, token in enumerate(key_tokens) if token not in hide]
    if not queries or not keys:
        raise InputError(f"all tokens are hidden: hide fewer than {', '.join(sorted(hide))}")
    places = np.ix_(
        [number - 1 for number in layer_numbers],
        [number - 1 for number in head_numbers],
        queries,
        keys,
    )
    return SelectedAttention(
        weights[places],
        [query_tokens[i] for i in queries],
        [key_tokens[i] for i in keys],
        layer_numbers,
        head_numbers,
        ["Last layer"] if last_only else [f"Layer {number}" for number in layer_numbers],
    )


def _kind(attention: str | None, scores: Mapping[str, Any]) -> str:
    """Checks the kind of attention in a model's dictionary."""
    if attention is None and set(scores) == {"decoder"}:
        return "cross"  # a recurrent model has no other
    if attention not in KINDS:
        raise InputError(
            f"attention is {attention!r}: choose among the layers of the model with one of "
            f"{', '.join(map(repr, KINDS))}"
        )
    return attention


def _stacked(scores: Any, attention: str | None, row: int) -> np.ndarray:
    """Weights of one sentence, float32 `(layers, heads, query, key)`."""
    if isinstance(scores, Mapping):
        found = _by_name(scores, _kind(attention, scores))
        if not found:
            raise InputError(
                f"no weights of {attention} attention among {', '.join(scores)}: choose another"
            )
    elif isinstance(scores, list | tuple):
        found = scores
    else:
        weights = np.asarray(scores, np.float32)
        found = [weights] if weights.ndim == 3 else list(weights)
    layers = [_of_row(np.asarray(layer, np.float32), row) for layer in found]
    if not layers or len({layer.shape for layer in layers}) > 1:
        shapes = ", ".join(sorted({str(layer.shape) for layer in layers})) or "no layer"
        raise InputError(f"attention of {shapes}: give layers that are alike, at least one")
    return np.stack(layers)


def _by_name(scores: Mapping[str, Any], kind: str) -> list[Any]:
    if set(scores) == {"decoder"} and kind == "cross":
        return [scores["decoder"]]
    numbers = range(1, len(scores) + 1)
    names = [KINDS[kind].format(number) for number in numbers]
    return [scores[name] for name in names if name in scores]


def _of_row(weights: np.ndarray, row: int) -> np.ndarray:
    """Weights of one sentence, `(heads, query, key)`, from a batch or as they are."""
    if weights.ndim == 4:
        if not 0 <= row < len(weights):
            raise InputError(f"row {row} of a batch of {len(weights)}: give one that is there")
        weights = weights[row]
    if weights.ndim != 3 or not weights.size:
        raise InputError(
            f"attention of shape {weights.shape}: give (heads, query, key) for each layer"
        )
    return weights


def _numbers(numbers: Sequence[int] | None, count: int, what: str) -> list[int]:
    numbers = [int(number) for number in (range(1, count + 1) if numbers is None else numbers)]
    if not numbers or any(not 1 <= number <= count for number in numbers):
        raise InputError(f"{what}s {numbers} of {count}: give numbers from 1 to {count}")
    return numbers


def token_positions(tokens: Sequence[str], word: str | int) -> list[int]:
    """Finds the positions of the pieces of a word among tokens.

    Args:
        tokens: `(tokens,)`.
        word: a token; or a word of several pieces, of WordPiece (``##``), SentencePiece (``▁``) or
          GPT-2's byte-level BPE (``Ġ``); or a position, from 0.

    Raises:
        InputError: when the word is missing, or occurs more than once.
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
    """Positions of the pieces of a word, for each place where it occurs."""
    pieces = [token.removeprefix("##").lstrip(_WORD_MARKS) for token in tokens]
    with_marks = any(token.startswith(tuple(_WORD_MARKS)) for token in tokens)

    def continues(position):
        """Whether a token continues a word."""
        if position == len(tokens) or not position:
            return False
        token = tokens[position]
        inside = with_marks and not token.startswith(tuple(_WORD_MARKS)) and token.isalnum()
        return token.startswith("##") or inside

    found = []
    for start in range(len(tokens)):
        end = start + 1
        while continues(end):
            end += 1
        if not continues(start) and "".join(pieces[start:end]) == word:
            found.append(list(range(start, end)))
    return found


class SharpHead(NamedTuple):
    """A head whose attention from a word is concentrated on few tokens.

    Attributes:
        layer, head: numbers from 1.
        entropy: entropy of the weights, in bits; 0 if one token has all of it.
        looks_at: the token with the highest weight.
        weight: its weight.
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
    **selection: Any,
) -> list[SharpHead]:
    """Finds the heads whose attention from a word has the lowest entropy.

    Figure 4 of the paper shows two such heads for the word "its", which find its antecedent.

    Args:
        scores, query_tokens, key_tokens: as for `select_attention`.
        word: as for `token_positions`; weights are averaged over the pieces of a word.
        number: largest number of heads.
        looks_at: the key, likewise, that must have the highest weight, such as the antecedent of a
          pronoun; any unless given.
        aside: keys, as tokens or as positions from 0, that must not have the highest weight, such
          as the word itself, the one before it or the end of the sentence.
        selection: `attention`, `layers`, `heads`, `row` and `hide` of `select_attention`.

    Returns:
        the heads, lowest entropy first; fewer than `number` where there are no more.

    Raises:
        InputError: as for `select_attention` and `token_positions`, and for a `number` below 1.
    """
    if number < 1:
        raise InputError(f"number is {number}: give at least 1")
    selected = select_attention(scores, query_tokens, key_tokens, **selection)
    places = token_positions(selected.query_tokens, word)
    weights = selected.weights[:, :, places].astype(np.float64).mean(axis=2)  # (layers, heads, key)
    # Hidden tokens count as one more token, or a head that attends to them would seem sharp.
    hidden = np.clip(1 - weights.sum(axis=-1), 0, 1)
    entropies = _bits(weights).sum(axis=-1) + _bits(hidden)
    wanted = range(weights.shape[-1])
    if looks_at is not None:
        wanted = token_positions(selected.key_tokens, looks_at)
    found = []
    for place in np.argsort(entropies, axis=None, kind="stable"):
        layer, head = np.unravel_index(place, entropies.shape)
        at = int(weights[layer, head].argmax())
        weight = float(weights[layer, head, at])
        token = selected.key_tokens[at]
        if weight > hidden[layer, head] and at in wanted and not {at, token} & set(aside):
            entropy = float(entropies[layer, head])
            found.append(
                SharpHead(selected.layers[layer], selected.heads[head], entropy, token, weight)
            )
    return found[:number]


def _bits(probabilities: np.ndarray) -> np.ndarray:
    """Contribution of each probability to the entropy; 0 where it is 0."""
    logarithms = np.log2(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return -probabilities * logarithms
