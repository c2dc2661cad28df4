"""Which target tokens each source token is translated by, counted in a corpus.

IBM model 1 (Brown et al. 1993, J93-2003): every target token of a pair comes from one of its source
tokens or from none, and how probable that is is estimated in a few rounds of
expectation-maximisation. No order counts, so a corpus is only a list of the pairs of tokens that
occur together.
"""

from typing import NamedTuple

import numpy as np

from keras_transformer.data.batches.base import starts_of
from keras_transformer.data.batches.token_store import TokenizedPairs
from keras_transformer.special_tokens import PAD

ROUNDS = 3
"""Rounds of expectation-maximisation."""

MOST_LINKS = 100_000_000
"""Most pairs of tokens to count: some 100,000 pairs of texts, in 2 GiB and most of a minute. Larger
corpora are counted by a sample of that size."""

_LINKS_AT_ONCE = 4_000_000
_NOTHING = 0  # the source token that target tokens come from which no other explains


class LexicalTable(NamedTuple):
    """The target tokens that translations are made of.

    Attributes:
        candidates: for each source token the ids of its most probable target tokens, the most
            probable first, padded, int32 ``(source vocabulary, most)``. The most frequent target
            tokens are not among them.
        frequent: ids of the most frequent target tokens, the most frequent first, int32.
    """

    candidates: np.ndarray
    frequent: np.ndarray


def lexical_table(
    pairs: TokenizedPairs, source_vocab_size: int, *, most: int, frequent: int, seed=1
) -> LexicalTable:
    """Counts which target tokens each source token is translated by.

    Args:
        pairs: token ids of a corpus.
        source_vocab_size: number of source tokens.
        most: most candidates of a source token.
        frequent: how many of the most frequent target tokens are kept apart.
        seed: of the sample of a large corpus.
    """
    by_frequency = np.argsort(-np.bincount(pairs.target), kind="stable").astype(np.int32)
    by_frequency = by_frequency[: min(frequent, len(np.unique(pairs.target)))]
    apart = np.zeros(int(pairs.target.max()) + 1, bool)
    apart[by_frequency] = True

    links = _Links(pairs, _sample(pairs, seed))
    probabilities = links.probabilities()
    source, target = links.source_ids(), links.target_ids()
    kept = (source != _NOTHING) & ~apart[target]
    source, target, probabilities = source[kept], target[kept], probabilities[kept]
    order = np.lexsort((target, -probabilities, source))
    source, target = source[order], target[order]
    starts = starts_of(np.bincount(source, minlength=source_vocab_size))
    places = np.arange(len(source)) - starts[source]
    candidates = np.full((source_vocab_size, most), PAD, np.int32)
    kept = places < most
    candidates[source[kept], places[kept]] = target[kept]
    return LexicalTable(candidates, by_frequency)


def _sample(pairs: TokenizedPairs, seed) -> np.ndarray:
    """Numbers of the pairs to count, in order."""
    lengths = np.diff(pairs.source_starts) * np.diff(pairs.target_starts)
    order = np.arange(len(pairs))
    if lengths.sum() > MOST_LINKS:
        order = np.random.default_rng(seed).permutation(order)
        order = np.sort(order[: max(1, np.searchsorted(np.cumsum(lengths[order]), MOST_LINKS))])
    return order


class _Links:
    """The pairs of a source and a target token that occur in the same pair of texts.

    Args:
        pairs: token ids of a corpus.
        sample: numbers of the pairs to count.
    """

    def __init__(self, pairs, sample):
        self._width = int(pairs.target.max()) + 1
        lengths = (1 + np.diff(pairs.source_starts)) * np.diff(pairs.target_starts)
        chunk_of = np.cumsum(lengths[sample]) // _LINKS_AT_ONCE
        # Of each chunk, the links by target token: their kinds, and where each token begins.
        self._chunks = []
        kinds_of_chunks = []
        for chunk in np.split(sample, np.flatnonzero(np.diff(chunk_of)) + 1):
            keys, starts = self._keys(pairs, chunk)
            kinds, places = np.unique(keys, return_inverse=True)
            kinds_of_chunks.append(kinds)
            self._chunks.append((places.astype(np.int32), starts))
        self.kinds = np.unique(np.concatenate(kinds_of_chunks))
        for i, kinds in enumerate(kinds_of_chunks):
            places, starts = self._chunks[i]
            self._chunks[i] = np.searchsorted(self.kinds, kinds).astype(np.int32)[places], starts

    def source_ids(self):
        """The source token of each kind of link."""
        return self.kinds // self._width

    def target_ids(self):
        """The target token of each kind of link."""
        return self.kinds % self._width

    def probabilities(self) -> np.ndarray:
        """How probable each target token is, given its source token: float32, one a kind."""
        source = self.source_ids()
        found = np.ones(len(self.kinds), np.float32)  # at first all are alike
        for _ in range(ROUNDS):
            counts = np.zeros(len(self.kinds))
            for places, starts in self._chunks:
                shares = found[places]
                sums = np.add.reduceat(shares, starts)
                shares /= np.repeat(sums, np.diff(np.append(starts, len(shares))))
                counts += np.bincount(places, shares, len(self.kinds))
            found = (counts / np.bincount(source, counts)[source]).astype(np.float32)
        return found

    def _keys(self, pairs, chunk):
        """The links of some pairs, as one number each.

        Returns:
            the numbers, those of one target token one after the other, and where those of each
            begin.
        """
        keys, lengths = [], []
        for i in chunk:
            source = pairs.source[pairs.source_starts[i] : pairs.source_starts[i + 1]]
            target = pairs.target[pairs.target_starts[i] : pairs.target_starts[i + 1]]
            source = np.append(source[1:-1], _NOTHING).astype(np.int64) * self._width
            target = target[1:-1]
            keys.append((target[:, np.newaxis] + source).reshape(-1))
            lengths.append(np.full(len(target), len(source)))
        return np.concatenate(keys), starts_of(np.concatenate(lengths))[:-1]
