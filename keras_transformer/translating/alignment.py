"""Which source words the words of a translation stand for, by the weights of attention.

A finished translation goes through the model once more, and each of its tokens is linked to the
source token to which one head of cross-attention gives the most weight. Words are linked by their
tokens.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.data.batches.pairs import pad_batch
from keras_transformer.data.batches.token_store import TokenizedPairs
from keras_transformer.data.text.placeholders import strings_at
from keras_transformer.data.text.words import word_spans, words_at
from keras_transformer.data.tokenizers.surfaces import surfaces
from keras_transformer.data.tokenizers.token_links import NONE, TokenLinks, spans_of_tokens
from keras_transformer.errors import InputError
from keras_transformer.files import read_json, write_json
from keras_transformer.special_tokens import END, PAD, START
from keras_transformer.translating.batches import BATCH_ROWS

FILE = "alignment.json"
"""Of a run folder: which head aligns."""

LEAST_WEIGHT, LEAST_SHARE = 0.1, 0.5
"""Smallest weight of a link between words, and its smallest share of the target word's best one."""

PAIRS_TO_CHOOSE_BY, FEWEST_WORDS = 128, 30
"""How many pairs tell which head aligns, and how many words of theirs at least."""


class Link(NamedTuple):
    """A source word and a target word that belong together.

    Attributes:
        source, target: numbers of the words, from 0, as `word_spans` counts them.
        weight: the share of the target word's tokens that are linked to the source word, each
            counted by its weight of attention, 0 to 1.
    """

    source: int
    target: int
    weight: float


@dataclass(frozen=True)
class AlignmentHead:
    """The weights of cross-attention that align.

    Attributes:
        layer: number of the decoder layer, from 1.
        head: number of the head, from 1; ``None`` for the mean of all heads.
        ahead: a token has the weights that it was foreseen with, instead of those with which the
            token after it was.
    """

    layer: int
    head: int | None = None
    ahead: bool = False

    def save(self, folder) -> None:
        """Writes ``alignment.json`` into a run folder."""
        write_json(Path(folder) / FILE, asdict(self))

    @classmethod
    def load(cls, folder) -> AlignmentHead | None:
        """Reads ``alignment.json`` of a run folder; ``None`` where there is none.

        Raises:
            InputError: for a damaged one.
        """
        path = Path(folder) / FILE
        if not path.exists():
            return None
        values = read_json(path)
        kinds = {"layer": int, "head": int | None, "ahead": bool}
        if values.keys() != kinds.keys() or any(
            not isinstance(values[name], kind) or (kind is not bool and values[name] is True)
            for name, kind in kinds.items()
        ):
            raise InputError(f"{path}: does not say which head aligns: delete it.")
        return cls(**values)


def word_links(source: str, target: str, links: TokenLinks) -> list[Link]:
    """The links of words, by those of their tokens, in the order of the target words.

    Args:
        source, target: the texts.
        links: of their tokens.
    """
    of_source = words_at(spans_of_tokens(source, links.source), word_spans(source))
    of_target = words_at(spans_of_tokens(target, links.target), word_spans(target))
    shares: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    tokens: dict[int, int] = defaultdict(int)
    for word, place, weight in zip(of_target, links.places, links.weights, strict=True):
        for target_word in word:
            tokens[target_word] += 1
            for source_word in of_source[place] if place != NONE else ():
                shares[target_word][source_word] += weight
    return [
        Link(source_word, target_word, min(1.0, weight / tokens[target_word]))
        for target_word, weights in sorted(shares.items())
        for source_word, weight in sorted(weights.items())
        if weight >= LEAST_WEIGHT * tokens[target_word]
        and weight >= LEAST_SHARE * max(weights.values())
    ]


def token_places(weights, source, target) -> tuple[tf.Tensor, tf.Tensor]:
    """Links tokens to those with the most weight.

    Args:
        weights: of attention, ``(batch, target, source)``.
        source: ids, ``(batch, source)``.
        target: ids, ``(batch, target)``.

    Returns:
        places of source tokens, or `NONE`, int32, and their weights, float32, both
        ``(batch, target)``. What controls a text is linked to nothing.
    """
    says = ~_controls(source)[:, tf.newaxis, :]
    weights = tf.where(says, weights, NONE)
    best = tf.reduce_max(weights, axis=2)
    linked = (best > 0) & ~_controls(target)
    places = tf.argmax(weights, axis=2, output_type=tf.int32)
    return tf.where(linked, places, NONE), tf.where(linked, best, 0.0)


def _controls(ids):
    return (ids == PAD) | (ids == START) | (ids == END)


def texts_of_tokens(tokenizer, ids: tf.RaggedTensor, kept: tf.RaggedTensor) -> tf.RaggedTensor:
    """Names of tokens, with what placeholders stand for in their place.

    Args:
        tokenizer: of the ids.
        ids: ``(batch, None)``.
        kept: strings of the placeholders by their numbers, ``(batch, None)``.
    """
    names = tokenizer.lookup(ids)
    if not tokenizer.placeholders:
        return names
    numbers = ids.flat_values - tf.cast(tokenizer.first_placeholder, ids.dtype)
    is_placeholder = tokenizer.is_placeholder(ids.flat_values)
    number = tf.where(is_placeholder, tf.cast(numbers, tf.int64), -1)
    strings = strings_at(kept, ids.value_rowids(), number)
    return names.with_flat_values(tf.where(is_placeholder, strings, names.flat_values))


def head_weights(model, source, target, start_id: int, head: AlignmentHead | None) -> tf.Tensor:
    """The weights of attention that align finished translations.

    Args:
        model: a `Transformer`, or another model with `cross_attention_scores`.
        source: ids, ``(batch, source)``.
        target: ids of the translations, without the start, ``(batch, target)``.
        start_id: of the target.
        head: which weights; the mean of the heads of the last layer unless given.

    Returns:
        float32 ``(batch, target, source)``.
    """
    inputs = tf.pad(target, [[0, 0], [1, 0]], constant_values=start_id)[:, :-1]
    if head is None:
        scores = model.cross_attention_scores(source, inputs)
        return tf.reduce_mean(tf.cast(scores, tf.float32), axis=1)
    model((source, inputs), training=False)
    weights = model.last_cross_attention(head.layer, head.head)
    # The last token, the end of most translations, is no input.
    return weights if head.ahead else tf.pad(weights[:, 1:], [[0, 0], [0, 1], [0, 0]])


def choose_head(model, pairs: TokenizedPairs, tokenizers) -> AlignmentHead:
    """The head of a `Transformer`, or the mean of a layer's, that aligns best what needs no
    dictionary.

    Of the words that both sides of a pair have once, as names, numbers and placeholders are, a head
    that aligns gives most weight to the same word. What does so most often is taken; of equal ones
    that of the last layer, its mean first. Where too few words are there to tell, the mean of the
    heads of the last layer but one with which a token was foreseen, which Garg et al. 2019 found
    to align best.

    Args:
        model: a `Transformer`.
        pairs: the first `PAIRS_TO_CHOOSE_BY` count.
        tokenizers: of the pairs.
    """
    layers = model.decoder.num_layers
    hits: dict[AlignmentHead, int] = defaultdict(int)
    words = 0
    indices = np.arange(min(len(pairs), PAIRS_TO_CHOOSE_BY))
    for rows in np.array_split(indices, -(-len(indices) // BATCH_ROWS)):
        lengths = (
            int(np.diff(starts)[rows].max())
            for starts in (pairs.source_starts, pairs.target_starts)
        )
        (source, target), *_ = pad_batch(pairs, rows, len(rows), *lengths)
        places = _words_of_both(tokenizers, source, target)
        words += len(places)
        row, of_source, of_target = places.T
        model((tf.constant(source), tf.constant(target)), training=False)
        for layer in range(1, layers + 1):
            scores = model.decoder.dec_layers[layer - 1].last_attn_scores
            scores = np.asarray(scores, np.float32)  # (batch, heads, target, source)
            best = np.concatenate([scores.mean(axis=1, keepdims=True), scores], 1).argmax(axis=-1)
            for ahead in (False, True):
                found = best[row, :, of_target - ahead] == of_source[:, np.newaxis]
                for head, count in enumerate(found.sum(axis=0)):
                    hits[AlignmentHead(layer, head or None, ahead)] += int(count)
    if words < FEWEST_WORDS:
        return AlignmentHead(max(1, layers - 1), ahead=True)
    return max(hits, key=lambda head: (hits[head], head.layer, -(head.head or 0)))


def _words_of_both(tokenizers, source, target) -> np.ndarray:
    """Row, source place and target place of the tokens that both sides of a row have once."""
    names = [
        tokenizer.lookup(tf.RaggedTensor.from_tensor(ids, padding=PAD)).to_list()
        for tokenizer, ids in ((tokenizers.source, source), (tokenizers.target, target))
    ]
    places = [
        (row, of_source.index(name), of_target.index(name))
        for row, (of_source, of_target) in enumerate(zip(*names, strict=True))
        for name in sorted(set(of_source) & set(of_target))
        if of_source.count(name) == of_target.count(name) == 1 and _is_word(name)
    ]
    return np.asarray(places, np.int64).reshape((-1, 3))


def _is_word(name: bytes) -> bool:
    """Whether a token says something of its own, placeholders included."""
    text = name.decode("utf-8", "replace")
    (said,) = surfaces([text], {})
    is_placeholder = said is None and text.startswith("[KEEP_")
    return is_placeholder or any(character.isalnum() for character in said or "")
