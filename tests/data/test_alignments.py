"""Files of alignments, their symmetry, and which source tokens a target token is linked to."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.alignments import (
    Alignments,
    align,
    check_links,
    format_links,
    parse_links,
    source_stretches,
    symmetrised,
)
from keras_transformer.data.batches.pairs import Batches, pad_batch
from keras_transformer.data.batches.token_store import cached_pairs, corpus_key, tokenize_pairs
from keras_transformer.data.corpora.corpus import dataset_of
from keras_transformer.data.text.words import token_spans, word_spans, words_at
from keras_transformer.data.tokenizers.masked import PairOptions, tokenize_aligned_pair
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.data.tokenizers.surfaces import surfaces
from keras_transformer.errors import InputError


def test_a_line_there_and_back():
    assert parse_links(" 0-0  2-1 ", "x") == [(0, 0), (2, 1)]
    assert format_links([(0, 0), (2, 1)]) == "0-0 2-1"
    assert parse_links("", "x") == []


@pytest.mark.parametrize("line", ["0:0", "1", "a-b", "0-", "-1-2", "0-0p", "1-99999999", "½-1"])
def test_what_is_no_link(line):
    with pytest.raises(InputError, match=r"f, line 3: .* is no link"):
        parse_links(line, "f, line 3")


def test_a_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("0-0\n\n1-0 0-1\n")
    found = Alignments(path)
    assert (len(found), list(found)) == (3, [[(0, 0)], [], [(1, 0), (0, 1)]])
    found.check_length(3)
    with pytest.raises(InputError, match=r"of 3 pairs, and the corpus has 1,200"):
        found.check_length(1200)
    path.write_bytes(b"0-0\n\xff\n")
    with pytest.raises(InputError, match="line 2"):
        list(Alignments(path))
    assert Alignments(path).digest != found.digest
    with pytest.raises(InputError, match="cannot be read"):
        Alignments(tmp_path / "none")


@pytest.mark.parametrize(
    ("forward", "backward", "expected"),
    [
        ("0-0 1-1", "0-0 1-1", "0-0 1-1"),
        ("0-0 1-1", "0-0", "0-0 1-1"),  # a neighbour with free words
        ("0-0 5-7", "0-0", "0-0 5-7"),  # two words that have none
        ("0-0 1-0", "0-0", "0-0 1-0"),  # a neighbour of a word that has one
        ("0-0 5-0", "0-0", "0-0"),  # far away, of a word that has one
        ("", "", ""),
    ],
)
def test_symmetry(forward, backward, expected):
    links = parse_links(forward, ""), parse_links(backward, "")
    assert format_links(symmetrised(*links)) == expected
    assert format_links(symmetrised(*links[::-1])) == expected


def test_stretches_of_tokens():
    source = "gatos pretos dormem", ["", "gato", "s", "pretos", "dor", "mem", ""]
    target = "black cats sleep !", ["", "black", "cat", "s", "sleep", "!", ""]
    found = source_stretches(source, target, [(0, 1), (1, 0), (2, 2)])
    assert found == [(0, 0), (4, 4), (2, 3), (2, 3), (5, 6), (0, 0), (0, 0)]
    # Of tokens that do not stand together, the longest stretch.
    found = source_stretches(source, target, [(0, 0), (2, 0), (1, 2)])
    assert (found[1], found[4]) == ((2, 3), (4, 4))
    assert source_stretches(source, target, [(3, 0), (0, 9)]) == [(0, 0)] * len(found)


def test_links_to_words_that_are_not_there():
    check_links([(0, 1), (2, 0)], "um dois três", "one two")
    with pytest.raises(InputError, match=r"line 9: has the link 3-0, and the texts have 3 and 2"):
        check_links([(3, 0)], "um dois três", "one two", "line 9")


PAIRS = [
    ("O gato {x} dorme em Lisboa.", "The cat sleeps {x} in Lisboa."),
    ("A menina viu `x = 1` ontem", "The girl saw `x = 1` yesterday"),
    ("O GATO preto", "THE black cat"),
]
LINKS = [
    [(0, 0), (1, 1), (2, 3), (3, 2), (4, 4), (5, 5)],
    [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)],
    [(0, 0), (1, 2), (2, 1)],
]


@pytest.fixture(scope="module", params=["keep", "factored"])
def tokenizers(request, tiny_corpus):
    return train_tokenizers(
        tiny_corpus, vocab_size=400, placeholders=4, normalization="none", case=request.param
    )


@pytest.mark.parametrize(
    "options", [PairOptions(), PairOptions(shared_words=0.999, noise=0.999, seed=2)]
)
def test_words_stay_linked_whatever_becomes_of_the_pair(tokenizers, options):
    columns = [tf.constant(column) for column in zip(*PAIRS, strict=True)]
    source, target, stretches = tokenize_aligned_pair(tokenizers, *columns, LINKS, options)
    assert stretches.shape == (int(tf.size(target.flat_values)), 2)
    of_target = np.split(stretches, target.row_splits.numpy()[1:-1])
    linked = 0
    for (text, other), ids, other_ids, of_tokens, links in zip(
        PAIRS, source.to_list(), target.to_list(), of_target, LINKS, strict=True
    ):
        names = [
            [name.decode() for name in tokenizer.lookup(tf.constant([row]))[0].numpy()]
            for tokenizer, row in ((tokenizers.source, ids), (tokenizers.target, other_ids))
        ]
        kept = dict.fromkeys(range(4))
        words = [
            words_at(token_spans(line, surfaces(row, kept)), word_spans(line))
            for line, row in ((text, names[0]), (other, names[1]))
        ]
        for place, (first, last) in enumerate(of_tokens):
            if not first or not words[1][place] or options.noise:
                continue
            (target_word,) = words[1][place]
            found = {word for token in range(first - 1, last) for word in words[0][token]}
            assert found <= {one for one, two in links if two == target_word}
        linked += (of_tokens[:, 0] > 0).sum()
        assert (of_tokens[:, 1] < len(ids)).all()
        for place, name in enumerate(names[1]):
            if name.startswith("[KEEP_"):  # what both keep is linked to itself
                first, last = of_tokens[place]
                assert name in names[0][first - 1 : last]
    assert linked >= (10 if options.noise else 15)  # the vocabulary has few capitals


def test_noise_takes_words_and_their_links(tokenizers):
    """A final stop may be a word of its own."""
    count = 40  # pairs, some of which lose it
    pair, links = ("O gato dorme .", "The cat sleeps ."), [(0, 0), (1, 1), (2, 2), (3, 3)]
    columns = [tf.constant([f"{side[:-1]}{i} ." for i in range(count)]) for side in pair]
    longer = [*links, (4, 4)]
    options = PairOptions(noise=0.999, seed=2)
    *_, target, stretches = tokenize_aligned_pair(tokenizers, *columns, [longer] * count, options)
    lengths = {len(row) for row in target.to_list()}
    assert len(lengths) > 1
    assert (stretches[:, 0] > 0).any()
    with pytest.raises(InputError, match=r"pair 2: has the link 5-0"):
        tokenize_aligned_pair(tokenizers, *columns, [links, [(5, 0)], *[links] * 38], options)


def test_the_corpus_keeps_stretches_beside_its_tokens(tokenizers, tmp_path):
    path = tmp_path / "a"
    path.write_text("".join(f"{format_links(links)}\n" for links in LINKS))
    alignments, dataset = Alignments(path), dataset_of(PAIRS)
    pairs = tokenize_pairs(dataset, tokenizers, alignments=alignments)
    assert len(pairs.stretches) == len(pairs.target)
    plain = tokenize_pairs(dataset, tokenizers)
    assert plain.stretches is None
    np.testing.assert_array_equal(pairs.target, plain.target)
    key = corpus_key(dataset, tmp_path, 50, alignments=alignments)
    assert key != corpus_key(dataset, tmp_path, 50)
    for _ in range(2):  # written, and read
        again = cached_pairs(
            tmp_path / "t.npz", key, dataset, tokenizers, 50, alignments=alignments
        )
        np.testing.assert_array_equal(again.stretches, pairs.stretches)
    length = int(np.diff(pairs.target_starts)[1])
    some = tokenize_pairs(dataset, tokenizers, length - 1, alignments=alignments)
    assert some.dropped
    assert len(some.stretches) == len(some.target)
    (_, target_in), (target_out, first, last) = pad_batch(pairs, [1, 0], 3, 40, 40)
    assert first.shape == last.shape == target_in.shape == target_out.shape
    start = pairs.target_starts[1]
    np.testing.assert_array_equal(first[0, : length - 1], pairs.stretches[start:][: length - 1, 0])
    assert not first[2].any()
    batches = Batches(pairs, 100, seed=1)
    batch = next(iter(batches.dataset()))
    tf.nest.assert_same_structure(batch, batches.element_spec)
    path.write_text("0-0\n0-99\n\n")
    with pytest.raises(InputError, match=r"a, line 2: has the link 0-99"):
        tokenize_pairs(dataset, tokenizers, alignments=Alignments(path))


def test_the_aligner_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "eflomal", None)
    with pytest.raises(InputError, match=r"keras_transformer\[align\]"):
        align([("a", "b")])


@pytest.mark.skipif(not importlib.util.find_spec("eflomal"), reason="needs the extra [align]")
def test_the_aligner_finds_words_that_go_together():
    words = {"gato": "cat", "menina": "girl", "dorme": "sleeps", "come": "eats", "casa": "house"}
    rng = np.random.default_rng(1)
    pairs, wanted = [], []
    for _ in range(400):
        row = rng.permutation(list(words))[: rng.integers(2, 5)]
        pairs.append((" ".join(row), " ".join(words[word].title() + "," for word in row[::-1])))
        wanted.append({(i, len(row) - 1 - i) for i in range(len(row))})
    lines = align(pairs).splitlines()
    assert len(lines) == len(pairs)
    found = [set(parse_links(line, "")) for line in lines]
    right = sum(len(one & two) for one, two in zip(found, wanted, strict=True))
    assert right > 0.9 * sum(map(len, wanted))
