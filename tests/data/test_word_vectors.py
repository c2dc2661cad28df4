"""Word vectors: every format gives the same, every token gets a row, wrong files are named."""

import gzip
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.tokenizers.marian import MarianTokenizer
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.vocabulary import WORD_START, learn_sentencepiece
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.data.word_vectors import read_word_vectors, word_vector_rows
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import PAD, RESERVED_TOKENS

KeyedVectors = pytest.importorskip("gensim.models").KeyedVectors

WORDS = ("de", "casa", "Lisboa", "ONU", "ção", "é", "a")
WIDTH = 5


@pytest.fixture
def vectors():
    numbers = np.random.default_rng(7).normal(0.3, 0.2, (len(WORDS), WIDTH)).astype("float32")
    return keyed(WORDS, numbers)


def keyed(words, numbers):
    keyed = KeyedVectors(vector_size=np.shape(numbers)[1])
    keyed.add_vectors(list(words), numbers)
    return keyed


def wordpiece(*pieces):
    return WordPieceTokenizer([*RESERVED_TOKENS, *pieces])


class SentencePieces(SentencePieceTokenizer):
    """Has the pieces it is told, as a trained model would not."""

    def __init__(self, *pieces):
        self.tokens = [*RESERVED_TOKENS, *pieces]
        self.vocab_size = len(self.tokens)

    def _pieces(self, ids):
        return tf.gather(tf.constant(self.tokens), ids)


def marian(*pieces):
    model = learn_sentencepiece(["casa de"], 280)
    return MarianTokenizer(model, [*RESERVED_TOKENS, *pieces], is_target=True)


def text_of(vectors, first_line=True):
    lines = [f"{len(vectors)} {WIDTH}"] if first_line else []
    # fastText ends every line with a space
    lines += [
        f"{word} " + "".join(f"{number:.9g} " for number in vectors[word])
        for word in vectors.index_to_key
    ]
    return ("\n".join(lines) + "\n").encode()


def written(path, vectors, layout):
    if layout == "word2vec text":
        vectors.save_word2vec_format(str(path), binary=False)
    elif layout == "word2vec binary":
        vectors.save_word2vec_format(str(path), binary=True)
    else:
        path.write_bytes(text_of(vectors, first_line=layout == "fastText"))
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", ["word2vec text", "word2vec binary", "fastText", "GloVe"])
@pytest.mark.parametrize("name", ["vectors.bin", "vectors.vec"])
def test_a_format_shows_in_the_content_not_in_the_name(tmp_path, vectors, layout, packed, name):
    path = written(tmp_path / name, vectors, layout)
    if packed:
        plain, path = path.read_bytes(), tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress(plain))
    read = read_word_vectors(path)
    assert read.index_to_key == list(WORDS)
    np.testing.assert_allclose(read.vectors, vectors.vectors, rtol=1e-6)


@pytest.mark.parametrize("layout", ["word2vec binary", "fastText"])
def test_a_limit_keeps_the_first_words(tmp_path, vectors, layout):
    path = written(tmp_path / "vectors", vectors, layout)
    assert read_word_vectors(path, limit=3).index_to_key == list(WORDS[:3])


def test_a_word_cut_within_a_letter_stops_nothing(tmp_path, vectors):
    path = tmp_path / "vectors.vec"
    path.write_bytes(text_of(vectors).replace("é".encode(), "é".encode()[:1]))
    assert "casa" in read_word_vectors(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"Once upon a time\nthere was\n", "holds no word vectors"),
        (b"", "holds no word vectors"),
        (b"\x1f\x8b\x00\x01", "holds no word vectors"),
        ((0x2F4F16BA).to_bytes(4, "little") + bytes(40), r"give the \.vec"),
        (b"0 5\n", "holds no vectors"),
        (b"2 3\nde 1 2 3\n", "unexpected end"),
        (b"2 3\nde 1 2 3\ncasa 1 2\n", "cannot be read as word vectors"),
        (b"2 3\nde 1 2 3\ncasa 1 2 x\n", "cannot be read as word vectors"),
        (b"2 3\nde \x00\x01", "damaged or cut short"),
    ],
)
def test_what_is_no_file_of_vectors_is_named(tmp_path, content, complaint):
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as caught:
        read_word_vectors(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_packed_file_cut_short_is_named(tmp_path, vectors):
    path = tmp_path / "vectors.vec.gz"
    path.write_bytes(gzip.compress(text_of(vectors))[:-30])
    with pytest.raises(InputError, match=r"vectors\.vec\.gz: cannot be read"):
        read_word_vectors(path)


@pytest.mark.parametrize("rest", [b"de 0.1 0.2\n", b"de \x00\x00\x80\x3f\x00\x00"])
def test_a_first_line_that_promises_too_much_takes_no_memory(tmp_path, rest):
    path = tmp_path / "vectors.vec"
    path.write_bytes(b"7000000 300\n" + rest)
    with pytest.raises(InputError, match="promises 7,000,000 words of 300 numbers"):
        read_word_vectors(path)


def test_a_missing_file_and_a_missing_library_have_their_remedies(tmp_path, vectors, monkeypatch):
    with pytest.raises(InputError, match=r"nowhere\.vec: there is no such file"):
        read_word_vectors(tmp_path / "nowhere.vec")
    path = written(tmp_path / "vectors.vec", vectors, "fastText")
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(InputError, match=r"keras_transformer\[word_vectors\]"):
        read_word_vectors(path)


# Rows


def test_found_tokens_get_their_vectors_and_the_others_draw(vectors):
    rows = word_vector_rows(wordpiece("casa", "xyz", "##ção", "de"), vectors)
    assert rows.matrix.dtype == np.float32
    assert rows.matrix.shape == (8, WIDTH)
    assert rows.found.tolist() == [False] * 4 + [True, False, False, True]
    assert rows.coverage == 0.5
    np.testing.assert_array_equal(rows.matrix[4], vectors["casa"])
    np.testing.assert_array_equal(rows.matrix[7], vectors["de"])
    assert not rows.matrix[PAD].any()
    assert np.abs(rows.matrix[5] - rows.matrix[6]).max() > 0


@pytest.mark.parametrize(
    ("token", "word"),
    [("casa", "casa"), ("CASA", "casa"), ("lisboa", "Lisboa"), ("onu", "ONU"), ("A", "a")],
)
def test_case_is_a_fallback(vectors, token, word):
    rows = word_vector_rows(wordpiece(token), vectors)
    np.testing.assert_array_equal(rows.matrix[4], vectors[word])


def test_the_spelling_itself_comes_first():
    both = keyed(["Porto", "porto"], np.eye(2, WIDTH))
    rows = word_vector_rows(wordpiece("porto", "Porto"), both)
    np.testing.assert_array_equal(rows.matrix[4:], np.eye(2, WIDTH)[::-1])


@pytest.mark.parametrize(
    "tokenizer",
    [
        wordpiece("casa", "##de"),
        SentencePieces(f"{WORD_START}casa", "de"),
        marian(f"{WORD_START}casa", "de"),
    ],
)
def test_a_piece_within_a_word_is_no_word(vectors, tokenizer):
    assert word_vector_rows(tokenizer, vectors).found[4:].tolist() == [True, False]
    rows = word_vector_rows(tokenizer, vectors, continuations=True)
    np.testing.assert_array_equal(rows.matrix[4:], [vectors["casa"], vectors["de"]])


def test_vectors_of_pieces_are_told_from_vectors_of_words():
    pieces = keyed([f"{WORD_START}casa", "s", WORD_START, "Casa"], np.eye(4, WIDTH))
    tokenizer = SentencePieces(f"{WORD_START}casa", "s", WORD_START, f"{WORD_START}zz", "casa")
    # Half of what is marked is not more than half: these pass for words.
    assert word_vector_rows(tokenizer, pieces).found[4:].tolist() == [True] + [False] * 4
    pieces.add_vectors([f"{WORD_START}zz"], np.ones((1, WIDTH)))
    rows = word_vector_rows(tokenizer, pieces)
    assert rows.found[4:].tolist() == [True] * 4 + [False]
    np.testing.assert_array_equal(rows.matrix[4:7], np.eye(3, WIDTH))


def test_numbers_written_with_hashes_are_no_pieces():
    words = keyed(["##th", "casa"], np.eye(2, WIDTH))
    rows = word_vector_rows(wordpiece("casa", "##th", "##s", "##ing"), words)
    assert rows.found[4:].tolist() == [True, False, False, False]


def test_reserved_tokens_are_no_words():
    words = keyed([*RESERVED_TOKENS, "casa"], np.ones((5, WIDTH)))
    assert word_vector_rows(wordpiece("casa"), words).found.tolist() == [False] * 4 + [True]


def test_draws_have_the_mean_and_deviation_of_what_was_found():
    rng = np.random.default_rng(7)
    words = [f"w{number}" for number in range(2000)]
    numbers = rng.normal([-2, 0, 3], [0.1, 1, 2], (2000, 3))
    rows = word_vector_rows(
        wordpiece(*words, *(f"x{n}" for n in range(2000))), keyed(words, numbers)
    )
    drawn = rows.matrix[2004:]
    np.testing.assert_allclose(drawn.mean(0), [-2, 0, 3], atol=0.2)
    np.testing.assert_allclose(drawn.std(0), [0.1, 1, 2], rtol=0.1)


def test_draws_follow_the_seed_alone(vectors):
    tokenizer = wordpiece("casa", "xyz", "de")
    first, again, other = (
        word_vector_rows(tokenizer, vectors, seed=seed).matrix for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other)[5].max() > 0
    np.testing.assert_array_equal(first[4], other[4])


def test_one_vector_is_enough(vectors):
    rows = word_vector_rows(wordpiece("casa", "xyz"), vectors)
    assert np.isfinite(rows.matrix).all()
    assert np.abs(rows.matrix[5] - vectors["casa"]).max() > 1e-3


def test_a_wanted_deviation_is_one_factor_for_all(vectors):
    tokenizer = wordpiece("casa", "xyz", "de")
    plain = word_vector_rows(tokenizer, vectors).matrix
    scaled = word_vector_rows(tokenizer, vectors, standard_deviation=0.05).matrix
    assert scaled[[4, 6]].std() == pytest.approx(0.05, rel=1e-5)
    np.testing.assert_allclose(scaled * (plain[4, 0] / scaled[4, 0]), plain, rtol=1e-4)


def test_a_file_serves_as_vectors_and_another_language_is_named(tmp_path, vectors):
    path = written(tmp_path / "vectors.vec", vectors, "fastText")
    np.testing.assert_allclose(
        word_vector_rows(wordpiece("casa"), path).matrix[4], vectors["casa"], rtol=1e-6
    )
    with pytest.raises(InputError, match=r"vectors\.vec: not one of the 5 tokens"):
        word_vector_rows(wordpiece("Haus"), path)


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
def test_a_trained_tokenizer_finds_its_words(tiny_corpus, kind):
    tokenizer = train_tokenizers(tiny_corpus, kind=kind, vocab_size=800).source
    words = ["de", "a", "o"]
    rows = word_vector_rows(tokenizer, keyed(words, np.eye(3, WIDTH)))
    for word, vector in zip(words, np.eye(3, WIDTH), strict=True):
        (ids,) = tokenizer.tokenize(word).to_list()
        assert len(ids) == 3  # start, the word, end
        np.testing.assert_array_equal(rows.matrix[ids[1]], vector)
