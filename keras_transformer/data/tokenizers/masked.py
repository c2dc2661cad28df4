"""Token ids of pairs of texts whose placeholders have the same numbers on both sides."""

import itertools
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.data.alignments import Links, check_links, source_stretches
from keras_transformer.data.text.noise import noisy, seed_of
from keras_transformer.data.text.placeholders import (
    Masked,
    MaskedPair,
    filled,
    mask_like,
    mask_pair,
)
from keras_transformer.data.text.terms import annotate_pair
from keras_transformer.data.text.words import word_spans
from keras_transformer.data.tokenizers.surfaces import BESIDE, surfaces


class PairOptions(NamedTuple):
    """What becomes of pairs before they are tokenised; what follows from chance, from the source.

    Attributes:
        shared_words: share of the pairs in which a word that both sides have is a placeholder too.
            Then the numbers of placeholders do not begin with the first, so that all are learned.
        noise: share of the pairs that `noisy` changes.
        seed: of the noise.
        keep: regular expressions of what is kept besides what always is.
        terms: share of the pairs whose source has for some words their translations beside them;
            see `annotate_pair`. Counts where there are links.
    """

    shared_words: float = 0.0
    noise: float = 0.0
    seed: int = 0
    keep: tuple[str, ...] = ()
    terms: float = 0.0


AS_THEY_ARE = PairOptions()


def tokenize_pair(
    tokenizers: Any,
    source: tf.Tensor,
    target: tf.Tensor,
    options: PairOptions = AS_THEY_ARE,
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Token ids of pairs, start and end included.

    What both sides keep is the same placeholder on both; what one has alone is text.

    Args:
        tokenizers: `Tokenizers`, or an object with ``.source`` and ``.target``.
        source, target: strings ``(batch,)``; a source may begin with tags.
        options: what becomes of the pairs on the way.
    """
    source, with_tags = _without_tags(tokenizers, source)
    if not getattr(tokenizers, "placeholders", 0) and not options.noise:
        return with_tags(_ids(tokenizers.source, source)), _ids(tokenizers.target, target)
    pairs = _masked_pairs(tokenizers, source, target, options)
    of_source, of_target = _tokenized(tokenizers, pairs)
    return with_tags(of_source), of_target


def _without_tags(tokenizers: Any, source: tf.Tensor):
    """Sources without their tags, and a function that gives their ids those."""
    if not getattr(tokenizers, "tags", ()):
        return source, lambda ids: ids
    source, tags = tokenizers.source.take_tags(source)
    return source, lambda ids: tokenizers.source.with_tags(ids, tags)


def tokenize_aligned_pair(
    tokenizers: Any,
    source: tf.Tensor,
    target: tf.Tensor,
    links: Sequence[Links],
    options: PairOptions = AS_THEY_ARE,
    where: Sequence[str] | None = None,
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, np.ndarray]:
    """`tokenize_pair`, with the source tokens that each target token is linked to.

    Args:
        tokenizers, source, target, options: as for `tokenize_pair`.
        links: of the words of each pair.
        where: what an error about each pair begins with.

    Returns:
        source and target ids, and int32 ``(target tokens, 2)`` as `source_stretches` gives it, of
        all pairs one after the other.

    Raises:
        InputError: for links to words that are not there.
    """
    where = where or [f"pair {number}" for number in range(1, len(links) + 1)]
    texts = (_texts(side) for side in (_without_tags(tokenizers, source)[0], target))
    for of_pair, *pair, place in zip(links, *texts, where, strict=True):
        check_links(of_pair, *pair, place)
    ids, sides = tokenize_with_surfaces(tokenizers, source, target, options, links)
    stretches = [
        stretch
        for of_source, of_target, of_pair in zip(*sides, links, strict=True)
        for stretch in source_stretches(of_source, of_target, of_pair)
    ]
    return *ids, np.asarray(stretches, np.int32).reshape((-1, 2))


def tokenize_with_surfaces(
    tokenizers: Any,
    source: tf.Tensor,
    target: tf.Tensor,
    options: PairOptions = AS_THEY_ARE,
    links: Sequence[Links] | None = None,
) -> tuple[tuple[tf.RaggedTensor, tf.RaggedTensor], list[list[tuple[str, list[str | None]]]]]:
    """`tokenize_pair`, with what each token says.

    Args:
        tokenizers, source, target, options: as for `tokenize_pair`.
        links: of the words of each pair, which terms are chosen by.

    Returns:
        source and target ids; and of each side, for each pair, the text and the `surfaces` of its
        tokens.
    """
    source, with_tags = _without_tags(tokenizers, source)
    pairs = _masked_pairs(tokenizers, source, target, options, links)
    of_source, of_target = _tokenized(tokenizers, pairs)
    ids = with_tags(of_source), of_target
    sides = [
        _texts_and_surfaces(tokenizer.lookup(of_side), of_pairs)
        for tokenizer, of_side, of_pairs in (
            (tokenizers.source, ids[0], [(p.source, p.source_slots, p.source_kept) for p in pairs]),
            (tokenizers.target, ids[1], [(p.target, p.target_slots, p.target_kept) for p in pairs]),
        )
    ]
    return ids, sides


def _texts_and_surfaces(names: tf.RaggedTensor, sides) -> list[tuple[str, list[str | None]]]:
    """One side of pairs, each as a text and what its tokens say.

    Args:
        names: of the tokens, ``(pairs, None)``.
        sides: the masked text of each pair, numbers of its placeholders, and what they stand for.
    """
    return [
        (
            filled(text, kept),
            [
                None if said == BESIDE else said
                for said in surfaces(of_text, dict(zip(slots, kept, strict=True)))
            ],
        )
        for of_text, (text, slots, kept) in zip(_decoded(names), sides, strict=True)
    ]


def _masked_pairs(tokenizers, source, target, options, links=None) -> list[MaskedPair]:
    """Pairs as they are tokenised; arguments are those of `tokenize_with_surfaces`."""
    count, shared_words = getattr(tokenizers, "placeholders", 0), options.shared_words
    sides = [
        _rows(_mask(tokenizer, strings, options.keep) if count else None, strings)
        for strings, tokenizer in ((source, tokenizers.source), (target, tokenizers.target))
    ]
    pairs = []
    links = links if links is not None and options.terms else itertools.repeat(None, len(source))
    for original, of_source, of_target, of_pair in zip(source.numpy(), *sides, links, strict=True):
        first, word = 0, None
        if shared_words and count:
            chance = zlib.crc32(original) / 2**32
            first = zlib.crc32(original, 1) % count
            word = chance / shared_words if chance < shared_words else None
        pair = mask_pair(of_source, of_target, count, first=first, shared_word=word)
        if options.noise or of_pair:
            pair = _changed(pair, of_pair, options, seed_of(options.seed, original))
        pairs.append(pair)
    return pairs


def _changed(pair: MaskedPair, links: Links | None, options: PairOptions, seed: bytes):
    """A pair with noise, and with the translations of terms beside them."""
    noised = noisy(pair, options.noise, seed)
    if links and _keeps_words(pair):
        return annotate_pair(noised, links, options.terms, seed + b" terms")
    return noised


def _keeps_words(pair: MaskedPair) -> bool:
    """Whether the words of a pair have the numbers that they have without placeholders."""
    sides = (pair.source, pair.source_kept), (pair.target, pair.target_kept)
    return all(len(word_spans(text)) == len(word_spans(filled(text, kept))) for text, kept in sides)


def _tokenized(tokenizers, pairs) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    return (
        _with_numbers(
            tokenizers.source,
            [p.annotated or p.source for p in pairs],
            [p.source_slots for p in pairs],
        ),
        _with_numbers(
            tokenizers.target, [p.target for p in pairs], [p.target_slots for p in pairs]
        ),
    )


def tokenize_like(
    tokenizer: Any, texts: tf.Tensor, kept: tf.RaggedTensor, keep: tuple[str, ...] = ()
) -> tf.RaggedTensor:
    """Token ids of texts whose placeholders have given numbers.

    Args:
        tokenizer: has placeholders.
        texts: strings ``(batch,)``.
        kept: what the placeholders of each text stand for, by their numbers, ``(batch, None)``;
            what else would be kept is text.
        keep: regular expressions of the user, by which they were found.
    """
    masked = _rows(tokenizer.mask(texts, keep), texts)
    rows = [
        mask_like(text, strings, tokenizer.placeholders)
        for text, strings in zip(masked, _decoded(kept), strict=True)
    ]
    return _with_numbers(tokenizer, [text for text, _ in rows], [slots for _, slots in rows])


def _rows(masked: Masked | None, texts: tf.Tensor) -> list[tuple[str, list[str]]]:
    """Masked texts, each with what it keeps."""
    kept = [[] for _ in texts] if masked is None else _decoded(masked.kept)
    return list(zip(_texts(texts if masked is None else masked.texts), kept, strict=True))


def _texts(strings: tf.Tensor) -> list[str]:
    return [string.decode("utf-8", "replace") for string in strings.numpy()]


def _decoded(strings: tf.RaggedTensor) -> list[list[str]]:
    return [[string.decode() for string in row] for row in strings.to_list()]


def _with_numbers(tokenizer: Any, texts: list[str], slots: list[list[int]]) -> tf.RaggedTensor:
    """Token ids of masked texts, with the numbers of their placeholders in order."""
    ids = _ids(tokenizer, tf.constant(texts, tf.string))
    numbers = [number for row in slots for number in row]
    if not numbers:
        return ids
    flat = ids.flat_values
    places = tf.where(tokenizer.is_placeholder(flat))
    numbered = tokenizer.first_placeholder + tf.constant(numbers, flat.dtype)
    return ids.with_flat_values(tf.tensor_scatter_nd_update(flat, places, numbered))


def _mask(tokenizer: Any, texts: tf.Tensor, keep: tuple[str, ...]) -> Masked:
    return (tokenizer.corpus_encoder or tokenizer).mask(texts, keep)


def _ids(tokenizer: Any, texts: tf.Tensor) -> tf.RaggedTensor:
    """Token ids of masked texts, whose placeholders may have any numbers."""
    if encoder := getattr(tokenizer, "corpus_encoder", None):
        return encoder.encode(texts)
    if getattr(tokenizer, "placeholders", 0):
        return tokenizer.tokenize_masked(texts)
    return tokenizer.tokenize(texts)
