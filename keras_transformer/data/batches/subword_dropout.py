"""Subword regularisation: the words of the training pairs, divided into pieces anew in each epoch.

The ids of a corpus, which are made once, tell its words: runs of pieces between control tokens. So
an epoch needs no text. Each distinct word has a lattice, and all of its occurrences draw from that
one, an array at a time, which takes a small part of the time of tokenising. Whatever is not a word
stays as it is: placeholders, marks of capitals and of terms, bytes.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_transformer.data.batches.base import EpochBatches, starts_of
from keras_transformer.data.batches.token_store import TokenizedPairs
from keras_transformer.data.tokenizers.lattice import Lattice

PAIRS_AT_ONCE = 8192
"""Number of pairs that are divided in one go."""

_DRAWS = 1
"""Sets the draws of an epoch apart from those that shuffle it."""


class DividedTexts(NamedTuple):
    """Texts whose words were divided at random.

    Attributes:
        ids: int32, those of all texts, one after the other.
        starts: where each text begins, and where the last one ends, int64 ``(texts + 1,)``.
        begins: the same of the words, int64 ``(words + 1,)``.
        is_drawn: which words were divided at random, bool ``(words,)``; the others are as before.
        was_kept: of each token before, whether it is still there.
        is_kept: of each token now, whether it was there before.
    """

    ids: np.ndarray
    starts: np.ndarray
    begins: np.ndarray
    is_drawn: np.ndarray
    was_kept: np.ndarray
    is_kept: np.ndarray


class SideWords:
    """The words of one side of a corpus, and their lattices.

    Args:
        ids: token ids of all texts, int32 ``(tokens,)``.
        starts: where each text begins, and where the last one ends, int64 ``(texts + 1,)``.
        tokenizer: of that side.
        dropout: as for `SubwordTokenizer.piece_sampling`.

    Attributes:
        begins: where each word begins, and where the last one ends, int64 ``(words + 1,)``; an id
            that is not part of a word counts as one.
        first_words: of each text, and the number of words, int64 ``(texts + 1,)``.
        is_sign: which ids say that a word begins and nothing else; these have no links. Bool
            ``(ids,)``.
        numbers: of the words in the lattice, int32 ``(words,)``; -1 for one that stays as it is.
        lattice: of the distinct words.
    """

    def __init__(self, ids, starts, tokenizer, dropout: float):
        self._ids = ids
        sampling = tokenizer.piece_sampling(dropout)
        texts = [text or "" for text in sampling.texts]
        is_piece = np.array([text != "" for text in texts])
        self.is_sign = np.array([text == sampling.start for text in texts])
        goes_on = is_piece & ~np.array([text.startswith(sampling.start) for text in texts])
        is_begin = ~(goes_on[ids] & np.roll(is_piece[ids], 1))
        is_begin[starts[:-1]] = True
        self.begins = np.append(np.flatnonzero(is_begin), len(ids))
        self.first_words = np.searchsorted(self.begins, starts)
        numbers, examples = distinct_words(ids, self.begins)
        self.lattice = Lattice(
            (
                "".join(texts[i] for i in ids[self.begins[word] : self.begins[word + 1]])
                for word in examples
            ),
            sampling,
        )
        self.numbers = np.where(self.lattice.is_free[numbers], numbers, -1).astype(np.int32)

    def words_at(self, tokens) -> np.ndarray:
        """The numbers of the words that tokens are part of, by the numbers of these."""
        return np.searchsorted(self.begins, tokens, side="right") - 1

    def divide(self, first: int, last: int, longest: int, rng) -> DividedTexts:
        """Divides the words of some texts at random.

        Args:
            first, last: numbers of the first text and of the one after the last.
            longest: most tokens of a text; one that would have more stays as it is.
            rng: what the draws follow from.
        """
        words = self.first_words[first : last + 1]
        begins = self.begins[words[0] : words[-1] + 1]
        numbers = self.numbers[words[0] : words[-1]]
        before, free = np.diff(begins), numbers >= 0
        pieces, drawn_lengths = self.lattice.draw(numbers[free], rng)
        lengths = before.copy()
        lengths[free] = drawn_lengths
        texts = np.repeat(np.arange(len(words) - 1), np.diff(words))
        fits = np.bincount(texts, lengths, len(words) - 1) <= longest
        is_drawn = free & fits[texts]
        lengths = np.where(is_drawn, lengths, before)
        was_kept, is_kept = np.repeat(~is_drawn, before), np.repeat(~is_drawn, lengths)
        ids = np.empty(len(is_kept), np.int32)
        ids[is_kept] = self._ids[begins[0] : begins[-1]][was_kept]
        ids[~is_kept] = pieces[np.repeat(is_drawn[free], drawn_lengths)]
        new_begins = starts_of(lengths)
        starts = new_begins[words - words[0]]
        return DividedTexts(ids, starts, new_begins, is_drawn, was_kept, is_kept)


def distinct_words(ids, begins) -> tuple[np.ndarray, np.ndarray]:
    """Numbers words by their ids.

    Args:
        ids: of all words, one after the other, ``(tokens,)``.
        begins: where each word begins, and where the last one ends, ``(words + 1,)``.

    Returns:
        the number of each word, the same for the same ids, ``(words,)``, and for each number a
        word that has it.
    """
    lengths = np.diff(begins)
    size, longest = int(ids.max(initial=0)) + 1, int(lengths.max(initial=1))
    codes = ids[begins[:-1]].astype(np.int64)
    for place in range(1, longest):
        longer = np.flatnonzero(lengths > place)
        extended = codes[longer] * size + ids[begins[longer] + place]
        codes[longer] = np.unique(extended, return_inverse=True)[1]
    _, examples, numbers = np.unique(
        codes * longest + lengths - 1, return_index=True, return_inverse=True
    )
    return numbers, examples


class SubwordDropout:
    """Pairs whose words are divided at random, anew in each epoch.

    What an epoch has follows from the seed and its number alone. A side that would get too long
    stays as it is. So does a word of which alignments link parts to different words, as they do in
    scripts without spaces; all others keep their links.

    Args:
        pairs: from `tokenize_pairs`.
        tokenizers: an object with ``.source`` and ``.target``; that of a side without tokens is not
            asked.
        dropout: as for `SubwordTokenizer.piece_sampling`.
        longest: most tokens of a side, start and end included.
        seed: of the draws.

    Raises:
        InputError: for tokenizers that divide words in one way only.
    """

    def __init__(self, pairs: TokenizedPairs, tokenizers: Any, dropout, longest: int, seed: int):
        self.pairs = pairs
        self._longest = longest
        self._seed = seed
        self._source = None
        if len(pairs.source):
            self._source = SideWords(pairs.source, pairs.source_starts, tokenizers.source, dropout)
        self._target = SideWords(pairs.target, pairs.target_starts, tokenizers.target, dropout)
        if pairs.stretches is not None:
            self._keep_linked_parts()

    def _keep_linked_parts(self):
        """Has words stay as they are whose parts have links of their own."""
        stretches, (source, target) = self.pairs.stretches, (self._source, self._target)
        words = np.repeat(np.arange(len(target.numbers)), np.diff(target.begins))
        differs = (stretches != stretches[target.begins[1:] - 1][words]).any(axis=1)
        target.numbers[words[differs & ~target.is_sign[self.pairs.target]]] = -1
        starts = np.repeat(self.pairs.source_starts[:-1], np.diff(self.pairs.target_starts))
        linked = stretches[:, 0] > 0
        first, last = (starts[linked, np.newaxis] + stretches[linked] - 1).T
        begins = source.begins[:-1] + source.is_sign[self.pairs.source[source.begins[:-1]]]
        for tokens, edges in ((first, begins), (last, source.begins[1:] - 1)):
            words = source.words_at(tokens)
            source.numbers[words[edges[words] != tokens]] = -1

    def chunks(self, epoch: int) -> Iterator[TokenizedPairs]:
        """Yields the pairs of an epoch, `PAIRS_AT_ONCE` at a time."""
        rng = np.random.default_rng([self._seed, epoch, _DRAWS])
        for first in range(0, len(self.pairs), PAIRS_AT_ONCE):
            yield self._divided(first, min(first + PAIRS_AT_ONCE, len(self.pairs)), rng)

    def _divided(self, first: int, last: int, rng) -> TokenizedPairs:
        target = self._target.divide(first, last, self._longest, rng)
        if self._source is None:
            source_ids, source_starts = self.pairs.source, np.zeros(last - first + 1, np.int64)
            return TokenizedPairs(source_ids, source_starts, target.ids, target.starts)
        source = self._source.divide(first, last, self._longest, rng)
        stretches = None
        if self.pairs.stretches is not None:
            stretches = self._moved_stretches(first, source, target)
        return TokenizedPairs(
            source.ids, source.starts, target.ids, target.starts, stretches=stretches
        )

    def _moved_stretches(self, first: int, source: DividedTexts, target: DividedTexts):
        """The links of pairs from number `first` on, whose words were divided."""
        begins = self._target.begins[self._target.first_words[first] :][: len(target.begins)]
        before = self.pairs.stretches[begins[0] : begins[-1]]
        of_words = before[begins[1:] - 1 - begins[0]][target.is_drawn]
        lengths = np.diff(target.begins)[target.is_drawn]
        stretches = np.empty((len(target.ids), 2), np.int32)
        stretches[target.is_kept] = before[target.was_kept]
        stretches[~target.is_kept] = np.repeat(of_words, lengths, axis=0)
        stretches[self._target.is_sign[target.ids]] = 0
        linked = stretches[:, 0] > 0
        texts = np.repeat(np.arange(len(target.starts) - 1), np.diff(target.starts))[linked]
        starts = self.pairs.source_starts[first + texts], source.starts[texts]
        first_word = self._source.first_words[first]
        new_begins = source.begins[:-1] + self._source.is_sign[source.ids[source.begins[:-1]]]
        for side, ends in enumerate((new_begins, source.begins[1:] - 1)):
            tokens = starts[0] + stretches[linked, side] - 1
            words = self._source.words_at(tokens)
            inside = tokens - self._source.begins[words]
            words -= first_word
            moved = np.where(source.is_drawn[words], ends[words], source.begins[words] + inside)
            stretches[linked, side] = moved - starts[1] + 1
        return stretches


def joined_pairs(parts: list[TokenizedPairs]) -> TokenizedPairs:
    """Pairs one after the other as one."""

    def joined(name):
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    def joined_starts(name):
        return starts_of(np.concatenate([np.diff(getattr(part, name)) for part in parts]))

    return TokenizedPairs(
        joined("source"),
        joined_starts("source_starts"),
        joined("target"),
        joined_starts("target_starts"),
        stretches=joined("stretches"),
    )


class SubwordDropoutBatches:
    """Batches of pairs whose words are divided into pieces anew in each epoch.

    Pairs are grouped by the lengths that they have in an epoch, so that epochs differ a little in
    the number of batches; ``len`` is that of the first. The pairs of an epoch are divided between
    the batches of the one before.

    Args:
        dropout: the pairs.
        make: makes the batches of an epoch from its pairs.
    """

    def __init__(self, dropout: SubwordDropout, make: Callable[[TokenizedPairs], EpochBatches]):
        self._dropout = dropout
        self._make = make
        self._begin(0)
        self._number = len(self._batches(0))

    def __len__(self) -> int:
        return self._number

    def count(self, epoch: int) -> int:
        """Number of batches of an epoch."""
        return len(self._batches(epoch))

    def epoch(self, number: int, start=0) -> Iterator:
        """Yields the batches of one epoch; arguments are those of `EpochBatches.epoch`."""
        batches = self._batches(number).epoch(number, start)
        for batch in batches:
            yield batch
            if self._epoch != number + 1:
                self._begin(number + 1)
            self._parts += itertools.islice(self._chunks, 1)

    def _begin(self, epoch: int):
        """Begins to divide the pairs of an epoch."""
        self._epoch, self._chunks = epoch, self._dropout.chunks(epoch)
        self._parts: list[TokenizedPairs] = []

    def _batches(self, epoch: int) -> EpochBatches:
        if self._epoch != epoch:
            self._begin(epoch)
        self._parts += self._chunks
        return self._make(joined_pairs(self._parts))
