"""Words divided at random: all of their text, by the probabilities of the papers and of peers."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import sentencepiece

from keras_transformer.data.tokenizers.lattice import (
    Lattice,
    PieceSampling,
    max_match_dropout,
    unigram_sampling,
)
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.data.tokenizers.vocabulary import WORD_START

DRAWS = 40_000


def _drawn(lattice, word: int, draws=DRAWS, seed=3) -> Counter:
    """How often each way to divide a word was drawn."""
    pieces, lengths = lattice.draw(np.full(draws, word), np.random.default_rng(seed))
    rows = np.split(pieces, np.cumsum(lengths)[:-1])
    return Counter(tuple(row.tolist()) for row in rows)


def _agree(drawn: Counter, expected: dict[tuple, float]):
    """Compares counts with probabilities, five standard deviations apart at most."""
    assert sum(expected.values()) == pytest.approx(1)
    assert drawn.keys() <= {way for way, share in expected.items() if share > 0}
    draws = drawn.total()
    for way, share in expected.items():
        deviation = math.sqrt(draws * share * (1 - share))
        assert abs(drawn[way] - draws * share) <= 5 * deviation + 1, way


@pytest.fixture(scope="module", params=["wordpiece", "sentencepiece"])
def tokenizer(request, tiny_corpus):
    return train_tokenizers(tiny_corpus, kind=request.param, vocab_size=600).target


def test_pieces_are_those_of_the_word(tokenizer):
    sampling = tokenizer.piece_sampling(0.5)
    words = [
        sampling.start + word for word in ("afternoon", "a", "translates", "zzz", "understood")
    ]
    lattice = Lattice(words, sampling)
    assert lattice.is_free[[0, 2, 4]].all()
    for number in np.flatnonzero(lattice.is_free):
        drawn = _drawn(lattice, number, 500)
        assert len(drawn) > 1
        for way in drawn:
            assert "".join(sampling.texts[piece] for piece in way) == words[number]


VOCABULARY = [" a", " ab", " abc", "a", "b", "bc", "c", "ca", "cab", "abca", " abcab"]


def _scanned(word: str, dropout: float) -> dict[tuple, float]:
    """MaxMatch-Dropout by its algorithm: candidates from the shortest on, a coin for each."""
    if not word:
        return {(): 1.0}
    head = word.startswith(" ")
    found = [end for end in range(1, len(word) + 1) if word[:end] in VOCABULARY]
    ways: dict[tuple, float] = {}
    coins = [(True,) if end == 1 + head else (True, False) for end in found]
    for kept in itertools.product(*coins):
        tossed = kept[1:]  # the shortest, a character, is always kept
        chance = math.prod(1 - dropout if keep else dropout for keep in tossed)
        end = max(end for end, keep in zip(found, kept, strict=True) if keep)
        for rest, share in _scanned(word[end:], dropout).items():
            way = VOCABULARY.index(word[:end]), *rest
            ways[way] = ways.get(way, 0) + chance * share
    return ways


@pytest.mark.parametrize("dropout", [0.1, 0.6])
def test_max_match_dropout_has_the_probabilities_of_its_algorithm(dropout):
    words = [" abcab", " aabca", " a"]
    lattice = Lattice(words, PieceSampling(VOCABULARY, " ", max_match_dropout(dropout)))
    assert lattice.is_free.tolist() == [True, True, False]
    for number in (0, 1):
        expected = _scanned(words[number], dropout)
        assert len(expected) > 3
        _agree(_drawn(lattice, number), expected)


def test_no_draw_ends_where_the_vocabulary_has_no_piece_to_go_on():
    """A vocabulary that others have made may lack single characters."""
    texts = [None, " ab", "c", " a", "bc", " abc"]
    lattice = Lattice([" abc", " abd"], PieceSampling(texts, " ", max_match_dropout(0.5)))
    assert lattice.is_free.tolist() == [True, False]
    _agree(_drawn(lattice, 0), {(5,): 0.5, (1, 2): 0.25, (3, 4): 0.25})
    texts[2] = None
    lattice = Lattice([" abc"], PieceSampling(texts, " ", max_match_dropout(0.5)))
    _agree(_drawn(lattice, 0), {(5,): 0.5, (3, 4): 0.5})


@pytest.fixture(scope="module")
def unigram(tiny_corpus):
    return train_tokenizers(tiny_corpus, kind="sentencepiece", vocab_size=500).target


def _sampled_by_the_library(processor, word: str, alpha: float, draws=20_000) -> Counter:
    drawn = []
    for seed in range(draws):
        sentencepiece.set_random_generator_seed(seed)  # of the next draw
        ids = processor.encode(word, enable_sampling=True, alpha=alpha, nbest_size=-1)
        drawn.append(tuple(ids))
    return Counter(drawn)


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_unigram_sampling_agrees_with_the_library(unigram, dropout):
    """Which samples from the same distribution, in a way of its own."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=unigram._vocabulary_bytes())
    sampling = unigram.piece_sampling(dropout)
    scores = [
        processor.get_score(piece) for piece, text in enumerate(sampling.texts) if text is not None
    ]
    alpha = math.log(1 / dropout) / -np.average(scores, weights=np.exp(scores))
    words = ["neighbours", "understand"]
    lattice = Lattice([WORD_START + word for word in words], sampling)
    for number, word in enumerate(words):
        theirs = _sampled_by_the_library(processor, word, alpha)
        ours = _drawn(lattice, number)
        distance = sum(
            abs(ours[way] / ours.total() - theirs[way] / theirs.total()) for way in ours | theirs
        )
        assert len(theirs) > 10
        assert distance / 2 < 0.03


def test_unigram_sampling_weighs_ways_by_their_probability():
    texts = [" ", " a", "a", "b", "ab", " ab"]
    scores = np.log([0.3, 0.1, 0.15, 0.15, 0.2, 0.1])
    entropy = -(np.exp(scores) * scores).sum()
    lattice = Lattice([" ab"], PieceSampling(texts, " ", unigram_sampling(scores, 0.3)))
    ways = [(5,), (1, 3), (0, 4), (0, 2, 3)]
    weights = np.array([np.exp(scores[list(way)].sum()) for way in ways])
    weights **= math.log(1 / 0.3) / entropy
    _agree(_drawn(lattice, 0), dict(zip(ways, weights / weights.sum(), strict=True)))


def test_long_runs_of_characters_do_not_overflow():
    """Scripts without spaces have sentences for words."""
    texts, scores = [" ", "a", "aa"], [-1.0, -20.0, -40.0]
    lattice = Lattice([" " + "a" * 3000], PieceSampling(texts, " ", unigram_sampling(scores, 1e-9)))
    [(way, count)] = _drawn(lattice, 0, 1).items()
    assert count == 1
    assert sum(len(texts[piece]) for piece in way) == 3001
