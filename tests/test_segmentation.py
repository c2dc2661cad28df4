"""Pieces hold the whole text, in order, and end where it pauses."""

import random

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.subwords import WordPieceTokenizer
from keras_transformer.segmentation import pieces_of, tokenize_in_pieces
from keras_transformer.special_tokens import RESERVED_TOKENS

WORDPIECE = ["a", "casa", "##s", "##inha", ".", ",", "!", "?", "…", ";", "[UNK]"]
SENTENCEPIECE = ["▁a", "▁casa", "s", "inha", ".", "▁.", ",", "▁,", "▁", "▁?", "<0x0A>"]


def pieces(names, longest):
    """The pieces themselves."""
    encoded = [name.encode() for name in names]
    return [names[start:stop] for start, stop in pieces_of(encoded, longest)]


@pytest.mark.parametrize("vocabulary", [WORDPIECE, SENTENCEPIECE], ids=["##", "▁"])
def test_pieces_cover_everything_in_order_and_none_is_too_long(vocabulary):
    generator = random.Random(1)
    for _ in range(300):
        names = generator.choices(vocabulary, k=generator.randrange(60))
        longest = generator.randrange(1, 20)
        found = pieces_of([name.encode() for name in names], longest)
        assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])]
        assert found[-1][1] == len(names)
        assert all(stop - start <= longest for start, stop in found)
        assert all(stop - start > longest // 2 for start, stop in found[:-1])


@pytest.mark.parametrize("vocabulary", [WORDPIECE, SENTENCEPIECE], ids=["##", "▁"])
def test_no_word_is_cut_where_one_begins(vocabulary):
    """In the second half of the room, that is."""
    generator = random.Random(2)
    for _ in range(300):
        names = ["▁a" if "▁a" in vocabulary else "a", *generator.choices(vocabulary, k=40)]
        longest = generator.randrange(2, 12)

        def begins(i, names=names):
            marked = any(name.startswith("▁") for name in names)
            return names[i].startswith("▁") if marked else not names[i].startswith("##")

        for start, stop in pieces_of([name.encode() for name in names], longest)[:-1]:
            room = range(start + longest // 2 + 1, start + longest + 1)
            assert begins(stop) or not any(begins(i) for i in room)


def test_a_piece_ends_with_the_last_sentence_it_has_room_for():
    names = ["o", "gato", ",", "a", ".", "o", "cão", ".", "o", "rato", ",", "e", "a"]
    assert pieces(names, 10) == [names[:8], names[8:]]
    assert pieces(names, 8) == [names[:8], names[8:]]
    assert pieces(names, 7) == [names[:5], names[5:11], names[11:]]
    for mark in "!?…。！？؟।":
        marked = [mark if name == "." else name for name in names]
        assert pieces(marked, 10) == [marked[:8], marked[8:]]


def test_a_sentence_in_the_first_half_is_no_place_to_cut():
    names = ["a", ".", "o", "cão", "preto", ",", "e", "o", "gato", "dorme"]
    assert pieces(names, 8) == [names[:6], names[6:]]


def test_without_a_sentence_a_clause_and_without_a_clause_a_word():
    names = ["o", "gato", "e", "o", "cão", ",", "o", "rato", "e", "a"]
    assert pieces(names, 8) == [names[:6], names[6:]]
    names = ["o", "gato", "##s", "casa", "##s", "##inha", "##s", "a"]
    assert pieces(names, 5) == [names[:3], names[3:]]


def test_a_full_stop_inside_a_word_ends_no_sentence():
    assert pieces(["▁o", "▁3", ".", "14", "▁a", "▁e"], 5) == [
        ["▁o", "▁3", ".", "14", "▁a"],
        ["▁e"],
    ]
    assert pieces(["o", "3", "##.", "##14", "a", "e"], 5) == [["o", "3", "##.", "##14", "a"], ["e"]]


def test_both_kinds_of_names_are_cut_alike():
    wordpiece = ["o", "gat", "##o", ".", "a", "casa", "##s", "são", ",", "e"]
    sentencepiece = ["▁o", "▁gat", "o", "▁.", "▁a", "▁casa", "s", "▁são", "▁,", "▁e"]
    for longest in range(1, 11):
        assert pieces_of([name.encode() for name in wordpiece], longest) == pieces_of(
            [name.encode() for name in sentencepiece], longest
        )


def test_degenerate_texts():
    assert pieces_of([], 5) == [(0, 0)]
    assert pieces_of([b"a"], 1) == [(0, 1)]
    assert pieces_of([b"a", b"##b", b"."], 1) == [(0, 1), (1, 2), (2, 3)]
    endless = [b"a", *[b"##a"] * 99]
    assert pieces_of(endless, 40) == [(0, 40), (40, 80), (80, 100)]
    assert pieces_of([b"\xff\xfe"] * 3, 2) == [(0, 2), (2, 3)]
    with pytest.raises(ValueError, match="room for one token"):
        pieces_of([b"a", b"b"], 0)


def test_every_piece_has_start_and_end_and_a_text():
    words = [f"a{i}" for i in range(4, 40)]
    tokenizer = WordPieceTokenizer([*RESERVED_TOKENS, *words], normalization="none")
    texts = ["a4 a5", " ".join(words), "", " ".join(words[:9])]
    with pytest.warns(UserWarning, match="2 of 4 texts have more than 10 tokens"):
        ids, owners = tokenize_in_pieces(tokenizer, tf.constant(texts), 10)
    whole = tokenizer.tokenize(texts).to_list()
    rows = ids.to_list()
    assert owners.tolist() == [0, 1, 1, 1, 1, 1, 2, 3, 3]
    assert max(map(len, rows)) <= 10
    for owner, row in enumerate(whole):
        own = [rows[i] for i in np.flatnonzero(owners == owner)]
        assert {(piece[0], piece[-1]) for piece in own} == {(row[0], row[-1])}
        assert [id for piece in own for id in piece[1:-1]] == row[1:-1]
