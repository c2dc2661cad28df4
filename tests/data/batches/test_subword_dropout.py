"""Pairs divided anew in each epoch: the same text in other pieces, as seed and epoch say."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.alignments import Alignments, source_stretches
from keras_transformer.data.batches import subword_dropout
from keras_transformer.data.batches.pairs import Batches
from keras_transformer.data.batches.subword_dropout import (
    SubwordDropout,
    SubwordDropoutBatches,
    distinct_words,
    joined_pairs,
)
from keras_transformer.data.batches.texts import TextBatches, without_source
from keras_transformer.data.batches.token_store import tokenize_pairs
from keras_transformer.data.corpora.corpus import dataset_of, list_pairs
from keras_transformer.data.text.words import word_spans
from keras_transformer.data.tokenizers.marian import MarianTokenizer
from keras_transformer.data.tokenizers.masked import PairOptions
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.data.tokenizers.surfaces import surfaces
from keras_transformer.errors import InputError

LONGEST = 64


@pytest.fixture(scope="module", params=["wordpiece", "sentencepiece"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module", params=[("ptb-lower", None, 0), ("none", "factored", 8)])
def tokenizers(request, kind, tiny_corpus):
    style, case, placeholders = request.param
    return train_tokenizers(
        tiny_corpus,
        kind=kind,
        vocab_size=700,
        normalization=style,
        case=case,
        placeholders=placeholders,
        terms=placeholders > 0,
    )


@pytest.fixture(scope="module")
def lines(tiny_corpus):
    """Pairs, some of which have what is not translated and characters of no piece."""
    pairs = [
        ("Visite https://a.example/b, {name}!", "Visit https://a.example/b, {name}!"),
        ("O GATO e o ☃ viu: {a}{b}", "THE CAT and the ☃ saw: {a}{b}"),
    ]
    return [*pairs, *list_pairs(tiny_corpus.train)]


@pytest.fixture(scope="module")
def pairs(lines, tokenizers):
    options = PairOptions(shared_words=0.3, noise=0.2, seed=1)
    return tokenize_pairs(dataset_of(lines), tokenizers, LONGEST, options)


def _epoch(pairs, tokenizers, epoch=0, dropout=0.3, longest=LONGEST, seed=1):
    return joined_pairs(
        list(SubwordDropout(pairs, tokenizers, dropout, longest, seed).chunks(epoch))
    )


def _sides(pairs) -> list[tf.RaggedTensor]:
    return [
        tf.RaggedTensor.from_row_splits(ids, starts)
        for ids, starts in (
            (pairs.source, pairs.source_starts),
            (pairs.target, pairs.target_starts),
        )
    ]


def test_the_text_is_the_same_and_so_is_whatever_is_no_word(pairs, tokenizers):
    drawn = _epoch(pairs, tokenizers)
    assert len(drawn.source) > 1.05 * len(pairs.source)
    for tokenizer, before, after in zip(
        (tokenizers.source, tokenizers.target), _sides(pairs), _sides(drawn), strict=True
    ):
        np.testing.assert_array_equal(
            tokenizer.detokenize(before).numpy(), tokenizer.detokenize(after).numpy()
        )
        control = len(tokenizer.control_tokens)
        for one, other in zip(before.to_list(), after.to_list(), strict=True):
            assert [i for i in one if i < control] == [i for i in other if i < control]


def test_seed_and_epoch_decide(pairs, tokenizers):
    def is_same(one, other):
        return np.array_equal(one.source, other.source) and np.array_equal(one.target, other.target)

    first = _epoch(pairs, tokenizers, 3)
    assert is_same(first, _epoch(pairs, tokenizers, 3))
    assert not is_same(first, _epoch(pairs, tokenizers, 4))
    assert not is_same(first, _epoch(pairs, tokenizers, 3, seed=2))


def test_more_dropout_divides_more_texts_otherwise(pairs, tokenizers):
    before = _sides(pairs)[1].to_list()
    shares = [
        np.mean([a != b for a, b in zip(before, _sides(drawn)[1].to_list(), strict=True)])
        for drawn in (_epoch(pairs, tokenizers, 0, p) for p in (1e-6, 0.01, 0.1, 0.9))
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.2  # of the unigram model's, where two ways are nearly as likely
    assert shares[-1] > 0.9


def test_no_side_gets_too_long(pairs, tokenizers):
    longest = int(pairs.lengths().max()) + 1
    drawn = _epoch(pairs, tokenizers, 0, 0.9, longest)
    unbounded = _epoch(pairs, tokenizers, 0, 0.9, 10_000)
    too_long = 0
    for before, after, free in zip(*map(_sides, (pairs, drawn, unbounded)), strict=True):
        for one, other, longer in zip(
            *(side.to_list() for side in (before, after, free)), strict=True
        ):
            assert len(other) <= longest
            assert other == (longer if len(longer) <= longest else one)
            too_long += len(longer) > longest
    assert too_long > 10


@pytest.mark.parametrize("text", ["ascii", "without spaces"])
def test_links_are_those_of_the_pieces_that_were_drawn(text, kind, lines, tmp_path):
    lines = lines[2:400]
    if text == "without spaces":
        swap = str.maketrans(
            "abcdefghijklmnopqrstuvwxyz", "安本草春道東海花火木水金土山川田中村上下大小人日月年"
        )
        lines = [(one.lower().translate(swap).replace(" ", ""), other) for one, other in lines]
    counts = [min(len(word_spans(side)) for side in pair) for pair in lines]
    path = tmp_path / "links"
    path.write_text("".join(" ".join(f"{i}-{n - 1 - i}" for i in range(n)) + "\n" for n in counts))
    corpus = SimpleNamespace(train=dataset_of(lines), normalization="none")
    tokenizers = train_tokenizers(corpus, kind=kind, vocab_size=400, case="factored")
    pairs = tokenize_pairs(corpus.train, tokenizers, alignments=Alignments(path))
    drawn = _epoch(pairs, tokenizers, 0, 0.3, 1000)
    assert len(drawn.target) > 1.05 * len(pairs.target) or text != "ascii"
    names = [
        tokenizer.lookup(side).to_list()
        for tokenizer, side in zip(
            (tokenizers.source, tokenizers.target), _sides(drawn), strict=True
        )
    ]
    expected = []
    for pair, count, *of_pair in zip(lines, counts, *names, strict=True):
        says = [surfaces([name.decode() for name in side], {}) for side in of_pair]
        links = [(i, count - 1 - i) for i in range(count)]
        expected += source_stretches(*zip(pair, says, strict=True), links)
    assert np.count_nonzero(drawn.stretches[:, 0]) > len(lines)
    np.testing.assert_array_equal(drawn.stretches, expected)


def _batches(pairs, tokenizers, **options):
    return SubwordDropoutBatches(
        SubwordDropout(pairs, tokenizers, 0.3, LONGEST, 5),
        lambda pairs: Batches(pairs, 512, seed=5, **options),
    )


def _lists(batches):
    return [[ids.tolist() for ids in (*inputs, labels)] for inputs, labels in batches]


@pytest.mark.parametrize("static_shapes", [False, True])
def test_batches_are_those_of_the_epochs_pairs(pairs, tokenizers, static_shapes, monkeypatch):
    monkeypatch.setattr(subword_dropout, "PAIRS_AT_ONCE", 150)
    batches = _batches(pairs, tokenizers, static_shapes=static_shapes)
    drawn = _epoch(pairs, tokenizers, 1, seed=5)
    wanted = _lists(Batches(drawn, 512, seed=5, static_shapes=static_shapes).epoch(1))
    assert len(batches) == len(_lists(batches.epoch(0)))
    assert _lists(batches.epoch(1)) == wanted  # divided between the batches of the first
    for start in (0, 3, len(wanted)):
        again = _batches(pairs, tokenizers, static_shapes=static_shapes)
        assert _lists(again.epoch(1, start)) == wanted[start:]


def test_an_epoch_that_was_left_is_entered_again(pairs, tokenizers, monkeypatch):
    monkeypatch.setattr(subword_dropout, "PAIRS_AT_ONCE", 150)
    batches = _batches(pairs, tokenizers)
    left = batches.epoch(0)
    next(left), next(left)
    left.close()
    whole = _lists(_batches(pairs, tokenizers).epoch(0))
    assert _lists(batches.epoch(0, 2)) == whole[2:]


def test_texts_of_one_language(lines, kind, tiny_corpus):
    tokenizer = train_tokenizers(tiny_corpus, kind=kind, vocab_size=700, shared=True).target
    sides = without_source(tokenizer)
    texts = tokenize_pairs(dataset_of([("", line) for _, line in lines]), sides)
    drawn = _epoch(texts, sides)
    before, after = (tokenizer.detokenize(_sides(pairs)[1]).numpy() for pairs in (texts, drawn))
    np.testing.assert_array_equal(before, after)
    assert len(drawn.target) > 1.05 * len(texts.target)
    rows = [len(ids) for ids, _ in TextBatches(drawn, 512, seed=1).epoch(0)]
    assert sum(rows) == len(texts)


def test_distinct_words_have_numbers_of_their_own():
    rng = np.random.default_rng(4)
    words = [tuple(rng.integers(0, 3, rng.integers(1, 5)).tolist()) for _ in range(500)]
    begins = np.cumsum([0, *map(len, words)])
    numbers, examples = distinct_words(np.array(sum(words, ()), np.int32), begins)
    assert len(examples) == len(set(words))
    assert [words[examples[number]] for number in numbers] == words


def test_a_vocabulary_that_divides_in_one_way_is_refused(pairs):
    marian = MarianTokenizer.__new__(MarianTokenizer)
    sides = SimpleNamespace(source=marian, target=marian)
    with pytest.raises(InputError, match=r"subword_dropout.*not for those of marian: set it to 0"):
        SubwordDropout(pairs, sides, 0.1, LONGEST, 1)
