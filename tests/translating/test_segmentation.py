"""Pieces hold the whole text, in order, and end where it pauses."""

import random

import pytest
import tensorflow as tf

from keras_transformer.data.text.sentences import whole_texts
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.special_tokens import RESERVED_TOKENS
from keras_transformer.translating.segmentation import (
    Pieces,
    pieces_of,
    tokenize_in_pieces,
    warn_of_pieces,
)

WORDPIECE = ["a", "casa", "##s", "##inha", ".", ",", "!", "?", "…", ";", "[UNK]"]
SENTENCEPIECE = ["▁a", "▁casa", "s", "inha", ".", "▁.", ",", "▁,", "▁", "▁?", "<0x0A>"]


def cut(texts, longest):
    """The pieces of every text, from their names."""
    encoded = [
        [name if isinstance(name, bytes) else name.encode() for name in names] for names in texts
    ]
    names = tf.ragged.constant(encoded, tf.string, ragged_rank=1)
    # Numbers in place of ids: which token of its text each of them is.
    ids = tf.ragged.constant([list(range(len(text))) for text in texts], tf.int64, ragged_rank=1)
    found, owners = pieces_of(ids, names, longest)
    pieces = [[] for _ in texts]
    for owner, piece in zip(owners.numpy(), found.to_list(), strict=True):
        pieces[owner].append(piece)
    return pieces


def pieces(names, longest):
    """The names in each piece of one text."""
    return [[names[i] for i in piece] for piece in cut([names], longest)[0]]


@pytest.mark.parametrize("vocabulary", [WORDPIECE, SENTENCEPIECE], ids=["##", "▁"])
def test_pieces_cover_everything_in_order_and_none_is_too_long(vocabulary):
    generator = random.Random(1)
    texts = [generator.choices(vocabulary, k=generator.randrange(60)) for _ in range(100)]
    for longest in range(1, 20):
        for names, found in zip(texts, cut(texts, longest), strict=True):
            assert [i for piece in found for i in piece] == list(range(len(names)))
            assert all(len(piece) <= longest for piece in found)
            assert all(len(piece) > longest // 2 for piece in found[:-1])
            assert all(found) or not names


@pytest.mark.parametrize("vocabulary", [WORDPIECE, SENTENCEPIECE], ids=["##", "▁"])
def test_no_word_is_cut_where_one_begins(vocabulary):
    """In the second half of the room, that is."""
    generator = random.Random(2)
    texts = [generator.choices(vocabulary, k=40) for _ in range(100)]

    def begins(name):
        return name.startswith("▁") if vocabulary is SENTENCEPIECE else not name.startswith("##")

    for longest in range(2, 12):
        for names, found in zip(texts, cut(texts, longest), strict=True):
            for piece in found[:-1]:
                room = names[piece[0] + longest // 2 + 1 : piece[0] + longest + 1]
                assert begins(names[piece[-1] + 1]) or not any(map(begins, room))


def test_a_text_is_cut_the_same_whatever_the_others():
    generator = random.Random(3)
    texts = [generator.choices(WORDPIECE, k=generator.randrange(60)) for _ in range(30)]
    assert cut(texts, 9) == [cut([text], 9)[0] for text in texts]


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
        assert cut([wordpiece], longest) == cut([sentencepiece], longest)


def test_degenerate_texts():
    assert cut([[]], 5) == [[[]]]
    assert cut([["a"], [], ["a", "##b", "."]], 1) == [[[0]], [[]], [[0], [1], [2]]]
    endless = ["a", *["##a"] * 99]
    assert [len(piece) for piece in cut([endless], 40)[0]] == [40, 40, 20]
    assert cut([[b"\xff\xfe"] * 3], 2) == [[[0, 1], [2]]]
    with pytest.raises(ValueError, match="room for one token"):
        cut([["a", "b"]], 0)


def test_every_piece_has_start_and_end_and_a_text():
    words = [f"a{i}" for i in range(4, 40)]
    tokenizer = WordPieceTokenizer([*RESERVED_TOKENS, *words], normalization="none")
    texts = ["a4 a5", " ".join(words), "", " ".join(words[:9])]
    ids, owners = tokenize_in_pieces(tokenizer, tf.constant(texts), 10)
    nothing = tf.ragged.constant([[]] * ids.shape[0], dtype=tf.string)
    pieces = Pieces(ids, owners, whole_texts(tf.constant(texts)), nothing)
    with pytest.warns(UserWarning, match="2 of 4 texts have more than 10 tokens at a time"):
        warn_of_pieces(pieces, 10, 0)
    with pytest.warns(UserWarning, match="more than 10 tokens or 4 placeholders at a time"):
        warn_of_pieces(pieces, 10, 4)
    whole = tokenizer.tokenize(texts).to_list()
    rows, owners = ids.to_list(), owners.numpy()
    assert owners.tolist() == [0, 1, 1, 1, 1, 1, 2, 3, 3]
    assert max(map(len, rows)) <= 10
    for owner, row in enumerate(whole):
        own = [row for row, its_owner in zip(rows, owners, strict=True) if its_owner == owner]
        assert {(piece[0], piece[-1]) for piece in own} == {(row[0], row[-1])}
        assert [id for piece in own for id in piece[1:-1]] == row[1:-1]


def test_a_graph_cuts_as_eager_code_does():
    tokenizer = WordPieceTokenizer([*RESERVED_TOKENS, *"abcdefgh", "."], normalization="none")
    cutting = tf.function(lambda texts: tokenize_in_pieces(tokenizer, texts, 6))
    for texts in (["a b", ""], ["a b . c d e f g h", "a", "b c d . e f g"], [""]):
        ids, owners = tokenize_in_pieces(tokenizer, tf.constant(texts), 6)
        in_graph, owners_in_graph = cutting(tf.constant(texts))
        assert in_graph.to_list() == ids.to_list()
        assert owners_in_graph.numpy().tolist() == owners.numpy().tolist()
