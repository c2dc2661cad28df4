"""Scores of translations in parts: by the length of the source, and by how frequent words are.

A single context vector fails on long sentences, and a small corpus on rare words. One score of a
whole test set hides both.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from keras_transformer.data.text.scripts import is_unspaced
from keras_transformer.errors import InputError
from keras_transformer.translating.evaluation import bleu_metric, bleu_tokenizer, corpus_scores

LENGTH_LIMITS = (10, 20, 30, 40)
"""Largest number of source words, or characters, in each bucket but the last."""

COUNT_LIMITS = (0, 1, 2, 3, 4, 9, 99, 999)
"""Largest count of a word in each bucket but the last, those of compare-mt."""


def scores_by_length(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    limits: Sequence[int] = LENGTH_LIMITS,
    *,
    language: str | None = None,
    tokenize: str | None = None,
) -> list[dict[str, Any]]:
    """Computes BLEU by the number of words in the source, or of characters.

    Args:
        sources: the source sentences; words are separated by spaces. Characters are counted, spaces
          left out, where most letters of all sources are of scripts without spaces between words.
        hypotheses: their translations in the corpus' style.
        references: the corpus' target sentences.
        limits: largest number of words or characters in each bucket but the last, rising.
        language: the code of the target language, as for `corpus_scores`.
        tokenize: the tokenizer of BLEU, likewise. All buckets have the same: unless given, that of
          the language or of the script of all references.

    Returns:
        ``{"words", "unit", "sentences", "bleu"}`` for each bucket, the shortest first: its lengths,
        such as ``11-20`` or ``41+``, what was counted, ``words`` or ``characters``, its number of
        sentences, and their corpus BLEU, None without sentences.

    Raises:
        InputError: when the numbers of sentences differ, the limits do not rise from 1 on, or
            sacreBLEU lacks the tokenizer.
    """
    if len({len(sources), len(hypotheses), len(references)}) > 1:
        raise InputError(
            f"{len(sources):,} sources, {len(hypotheses):,} translations and {len(references):,} "
            "references: give exactly one of each for each sentence"
        )
    limits = tuple(limits)
    if not limits or limits[0] < 1 or any(low >= high for low, high in pairwise(limits)):
        raise InputError(f"limits {limits} of the lengths: give whole numbers that rise from 1 on")
    words = [source.split() for source in sources]
    unit = "words"
    if is_unspaced("".join(sources)):
        words, unit = ["".join(parts) for parts in words], "characters"
    tokenize = tokenize or bleu_tokenizer(references, language)
    # A limit belongs to the bucket below it.
    places = np.searchsorted(limits, [len(parts) for parts in words], side="left")
    scores = []
    for place, name in enumerate(_bucket_names((0, *limits))):
        chosen = np.flatnonzero(places == place)
        bleu = None
        if len(chosen):
            texts = ([lines[i] for i in chosen] for lines in (hypotheses, references))
            bleu = corpus_scores(*texts, tokenize=tokenize)["bleu"]["score"]
        scores.append({"words": name, "unit": unit, "sentences": len(chosen), "bleu": bleu})
    return scores


def scores_by_frequency(
    systems: Sequence[Sequence[str]],
    references: Sequence[str],
    text: Iterable[str] | None = None,
    *,
    tokenize: str,
) -> list[dict[str, Any]]:
    """Computes how well systems translate words, by how often these occur.

    A word of a translation is right where the reference has it, as often as the reference has it.
    F1 is the harmonic mean of the share of right ones among the words of the translations and among
    those of the references (Neubig et al. 2019, arXiv 1903.07926, section 3.1).

    Args:
        systems: the translations of each system, in the corpus' style, `(systems, lines)`.
        references: the corpus' target sentences.
        text: lines of the target language in which words are counted, such as what the systems
            have learned; the references unless given.
        tokenize: sacreBLEU's name of the tokenizer that tells what a word is.

    Returns:
        ``{"count", "words", "f1"}`` for each bucket, the rarest words first: how often they occur,
        such as ``5-9`` or ``1000+``, how many words of the references these are, and F1 of each
        system in per cent, None without such words in the references.

    Raises:
        InputError: when sacreBLEU lacks the tokenizer.
    """
    tokenizer = bleu_metric(tokenize).tokenizer

    def words_of(line: str) -> Counter[str]:
        return Counter(tokenizer(line.rstrip()).split())

    def totals(lines: Iterable[Counter[str]]) -> np.ndarray:
        """The number of words in each bucket."""
        words = _sum(lines)
        places = np.searchsorted(COUNT_LIMITS, [counts[word] for word in words], side="left")
        return np.bincount(places, list(words.values()), len(COUNT_LIMITS) + 1)

    wanted = [words_of(line) for line in references]
    counts = _sum(wanted if text is None else map(words_of, text))
    in_references = totals(wanted)
    f1 = []
    for lines in systems:
        outputs = [words_of(line) for line in lines]
        right = totals(one & other for one, other in zip(outputs, wanted, strict=True))
        f1.append(200 * right / np.maximum(totals(outputs) + in_references, 1))
    return [
        {
            "count": name,
            "words": int(in_references[place]),
            "f1": [float(scores[place]) if in_references[place] else None for scores in f1],
        }
        for place, name in enumerate(_bucket_names((-1, *COUNT_LIMITS)))
    ]


def _sum(bags: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for bag in bags:
        total.update(bag)
    return total


def _bucket_names(limits: Sequence[int]) -> list[str]:
    """Names of what is above each limit, up to the next one."""
    names = [
        str(high) if high == low + 1 else f"{low + 1}-{high}" for low, high in pairwise(limits)
    ]
    return [*names, f"{limits[-1] + 1}+"]
