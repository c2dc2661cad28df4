"""Attention weights of one sentence, whatever they come from, ready to be drawn.

Layers and heads are counted from 1 here, as the names of layers and the titles of pictures do.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_transformer.errors import InputError
from keras_transformer.plotting.style import as_texts

KINDS = {
    "encoder": "encoder_layer{}",
    "decoder": "decoder_layer{}_block1",
    "cross": "decoder_layer{}_block2",
}
"""Names of layers in the dictionary of a `Transformer`, by the kind of their attention."""

PADDING = ("[PAD]",)


@dataclass(frozen=True)
class SentenceAttention:
    """All that a model looked at as it translated a sentence.

    Attributes:
        source_tokens: start and end included.
        target_tokens: likewise.
        scores: weights by the names of layers, `(1, heads, query, key)` each. A query of the
          decoder is a target token that it was given, the end left out; the picture of
          cross-attention labels it by the token that it predicted, as the tutorial does.
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
    """Translates a sentence and keeps the attention of all layers.

    Args:
        translator: a `Translator` of a model in memory.
        sentence: the source text.

    Returns:
        a `SentenceAttention`, which the functions that draw attention take as `scores`.

    Raises:
        InputError: for an exported model, which gives no such weights, and for a sentence without
          a translation.
    """
    if not hasattr(translator, "transformer"):
        raise InputError(
            f"a {type(translator).__name__} gives no weights of all layers: load the run folder"
        )
    source = translator.tokenizers.source
    # One sentence makes a batch of one: ids are (1, key).
    source_tokens = as_texts(source.lookup(source.tokenize([sentence]))[0])
    _, tokens, _ = translator(sentence)
    scores = translator.transformer.last_attention_scores()
    if len(tokens) < 2:
        raise InputError(f"{sentence!r}: nothing was translated: there is no attention to draw")
    return SentenceAttention(
        source_tokens[: translator.max_source_length],
        as_texts(tokens),
        {name: np.asarray(weights, np.float32) for name, weights in scores.items()},
    )


@dataclass(frozen=True)
class Chosen:
    """Attention weights that are to be drawn.

    Attributes:
        weights: float32 `(layers, heads, query, key)`.
        query_tokens, key_tokens: `(query,)` and `(key,)`.
        layers, heads: numbers, from 1, of the layers and heads that were chosen.
        layer_names: for titles, as "Layer 1".
    """

    weights: np.ndarray
    query_tokens: list[str]
    key_tokens: list[str]
    layers: list[int]
    heads: list[int]
    layer_names: list[str]


def choose(
    scores: Any,
    query_tokens: Any = None,
    key_tokens: Any = None,
    *,
    attention: str | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    row: int = 0,
    hide: Collection[str] = PADDING,
) -> Chosen:
    """Brings attention weights of any form into one.

    Args:
        scores: what ``model(..., return_attention_scores=True)`` gives beside its output: a
          dictionary, or a list of the layers' weights, `(batch, heads, query, key)` each; or a
          `SentenceAttention`; or a `Translation` with attention, which has that of the last layer;
          or an array, `(layers, heads, query, key)` or `(heads, query, key)`.
        query_tokens: the tokens that look, `(query,)`; known of the two with tokens of their own.
        key_tokens: the tokens that are looked at, `(key,)`; the same unless given.
        attention: which weights of a dictionary: ``encoder``, ``decoder`` (its self-attention) or
          ``cross``.
        layers: numbers of layers, from 1; all unless given.
        heads: numbers of heads, likewise.
        row: of the batch.
        hide: tokens that are left out, such as ``("[PAD]", "[START]", "[END]")``. Weights on them
          are not given to others: what is left of a row sums to less than 1.

    Returns:
        the weights, with their tokens.

    Raises:
        InputError: when something is missing, or does not fit.
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
    return Chosen(
        weights[places],
        [query_tokens[i] for i in queries],
        [key_tokens[i] for i in keys],
        layer_numbers,
        head_numbers,
        ["Last layer"] if last_only else [f"Layer {number}" for number in layer_numbers],
    )


def _kind(attention: str | None, scores: Mapping[str, Any]) -> str:
    """The kind of attention in a model's dictionary."""
    if attention is None and set(scores) == {"decoder"}:
        return "cross"  # a recurrent model has no other
    if attention not in KINDS:
        raise InputError(
            f"attention is {attention!r}: choose among the layers of the model with one of "
            f"{', '.join(map(repr, KINDS))}"
        )
    return attention


def _stacked(scores: Any, attention: str | None, row: int) -> np.ndarray:
    """float32 `(layers, heads, query, key)` of one sentence."""
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
    """`(heads, query, key)` of one sentence, from those of a batch or of itself."""
    if weights.ndim == 4:
        if not 0 <= row < len(weights):
            raise InputError(f"row {row} of a batch of {len(weights)}: give one that is there")
        weights = weights[row]
    if weights.ndim != 3 or not weights.size:
        raise InputError(
            f"attention of shape {weights.shape}: give (heads, query, key) for each layer"
        )
    return weights


def _numbers(chosen: Sequence[int] | None, count: int, what: str) -> list[int]:
    numbers = list(range(1, count + 1)) if chosen is None else [int(number) for number in chosen]
    if not numbers or any(not 1 <= number <= count for number in numbers):
        raise InputError(f"{what}s {numbers} of {count}: give numbers from 1 to {count}")
    return numbers
