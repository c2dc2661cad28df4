"""Minimum Bayes risk: of several samples, the one that is most like all the others.

Kumar and Byrne 2004 (N04-1022), with samples as both candidates and pseudo-references (Eikema and
Aziz 2020, arXiv 2005.10283). The most probable translation is often an odd one; the risk of a
translation is how unlike it is, on average, to what else the model would say.
"""

from collections.abc import Sequence

import numpy as np

from keras_transformer.config import DecodingConfig
from keras_transformer.translating.translation import Translation, with_alternatives

_ORDER, _BETA_SQUARED = 6, 4
"""Longest n-gram of characters of chrF2, and the weight of recall in it, as sacreBLEU's."""


def expected_utility(texts: Sequence[str], metric="chrf") -> np.ndarray:
    """How like a text is to all texts, itself among them, on average.

    Args:
        texts: samples of one translation, ``(n,)``.
        metric: the utility, ``chrf`` or ``bleu``: chrF2, or BLEU of a sentence with smoothing.

    Returns:
        numbers from 0 to 100, ``(n,)``.
    """
    distinct, which, counts = np.unique(list(texts), return_inverse=True, return_counts=True)
    utilities = chrf_of_pairs if metric == "chrf" else _bleu_of_pairs
    return (utilities(distinct.tolist()) @ counts / len(texts))[which]


def of_least_risk(translation: Translation, config: DecodingConfig) -> Translation:
    """A translation with its alternatives in the order of their risk, the least first.

    Args:
        translation: with ``config.mbr`` samples as its alternatives, one being the only one.
        config: the utility, and how many alternatives are asked for.
    """
    samples = translation.alternatives or [translation]
    utility = expected_utility([sample.text for sample in samples], config.mbr_metric)
    ranked = [samples[i] for i in np.argsort(-utility, kind="stable")]
    return with_alternatives(ranked[: config.n_best], config.n_best)


def chrf_of_pairs(texts: Sequence[str]) -> np.ndarray:
    """chrF2 of every text with every text as its reference (Popović 2015, W15-3049).

    sacreBLEU's numbers; it would count the n-grams of each text again for each pair.

    Args:
        texts: ``(n,)``.

    Returns:
        numbers from 0 to 100, ``(texts, references)``.
    """
    characters = ["".join(text.split()) for text in texts]
    lengths = np.array([len(text) for text in characters])
    codes = np.frombuffer("".join(characters).encode("utf-32-le", "surrogatepass"), np.uint32)
    owners = np.repeat(np.arange(len(texts)), lengths)
    grams = np.zeros(len(codes), np.int64)
    precision, recall, orders = np.zeros((3, len(texts), len(texts)))
    for order in range(1, _ORDER + 1):
        last = codes[order - 1 :].astype(np.int64)
        grams = _numbered(grams[: len(last)] * 2**21 + last)
        inside = owners[: len(last)] == owners[order - 1 :]
        counts = np.zeros((len(texts), grams.max(initial=0) + 1), np.int32)
        np.add.at(counts, (owners[: len(last)][inside], grams[inside]), 1)
        matches = np.stack([np.minimum(row, counts).sum(axis=1) for row in counts])
        totals = np.maximum(lengths - order + 1, 0)
        counted = (totals[:, np.newaxis] > 0) & (totals > 0)
        precision += counted * matches / np.maximum(totals, 1)[:, np.newaxis]
        recall += counted * matches / np.maximum(totals, 1)
        orders += counted
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    both = _BETA_SQUARED * precision + recall
    score = (1 + _BETA_SQUARED) * precision * recall / np.where(both > 0, both, 1)
    return 100 * score


def _numbered(values: np.ndarray) -> np.ndarray:
    """Numbers equal values alike, from 0."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _bleu_of_pairs(texts: Sequence[str]) -> np.ndarray:
    """sacreBLEU's BLEU of every text with every text as its reference, ``(texts, references)``."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)
    return np.array(
        [[metric.sentence_score(text, [other]).score for other in texts] for text in texts]
    )
