"""Tokenizers of every kind: any text has ids in range, its own, and any ids have a text."""

import json

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from learned_models import albert_model, sentencepiece_model, write_byte_level
from strategies import WORDS, examples, known_lines, result_or_error, texts

from keras_transformer.data.text.normalization import STYLES, humanize, normalize
from keras_transformer.data.tokenizers.adapter import TokenizerAdapter
from keras_transformer.data.tokenizers.base import SubwordTokenizer
from keras_transformer.data.tokenizers.marian import MarianTokenizer
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.wordpiece import BertTokenizer, WordPieceTokenizer
from keras_transformer.interop.tokenizer_files import load_huggingface_tokenizer
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START

pytestmark = pytest.mark.slow

LINES = [*known_lines(200), "olá, não! 1,000 €", "it's a test (of sorts)."]
any_text = texts | st.binary(max_size=20)


def learned_sentencepiece():
    return sentencepiece_model(LINES, 70, hard_vocab_limit=False, num_threads=1)


def wordpiece(folder, style):
    return WordPieceTokenizer.train(LINES, vocab_size=100, normalization=style)


def sentence_pieces(folder, style):
    return SentencePieceTokenizer.train(LINES, vocab_size=400, normalization=style)


def bert_of_2021(folder):
    return BertTokenizer(wordpiece(folder, "ptb-lower").vocabulary)


def marian(folder, is_target):
    model = learned_sentencepiece()
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    learned = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    return MarianTokenizer(model, [*RESERVED_TOKENS, ">>pt<<", *learned], is_target)


class Converter(tf.Module):
    """A side of the tutorial's converter."""

    def __init__(self, tokenizer):
        super().__init__()
        for name in ("tokenize", "detokenize", "lookup", "get_vocab_size"):
            setattr(self, name, getattr(tokenizer, name))


def adapted(folder):
    return TokenizerAdapter(Converter(bert_of_2021(folder)))


def library(folder, kind):
    """A tokenizer in the files of a checkpoint."""
    folder = folder / kind
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    if kind == "bert":
        letters = sorted({*"".join(LINES)} - {" "})
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *WORDS]
        (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    elif kind == "albert":
        model = albert_model(LINES, 70, num_threads=1)
        (folder / "spiece.model").write_bytes(model)
    else:
        write_byte_level(folder, LINES)
    return load_huggingface_tokenizer(folder)


MAKERS = {
    "wordpiece": lambda folder: wordpiece(folder, "ptb-lower"),
    "wordpiece as it is": lambda folder: wordpiece(folder, "none"),
    "sentencepiece": lambda folder: sentence_pieces(folder, "ptb-lower"),
    "sentencepiece as it is": lambda folder: sentence_pieces(folder, "none"),
    "bert of the tutorial": bert_of_2021,
    "converter": adapted,
    "marian source": lambda folder: marian(folder, False),
    "marian target": lambda folder: marian(folder, True),
    "bert": lambda folder: library(folder, "bert"),
    "albert": lambda folder: library(folder, "albert"),
    "gpt2": lambda folder: library(folder, "gpt2"),
}


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request, tmp_path_factory):
    return MAKERS[request.param](tmp_path_factory.mktemp("tokenizer"))


def decoded(strings):
    return [string.decode("utf-8") for string in strings.numpy()]


@examples(50)
@given(lines=st.lists(any_text, max_size=5), padding=st.integers(0, 3))
def test_any_text_has_ids_in_range_that_are_its_own(tokenizer, lines, padding):
    size = int(tokenizer.get_vocab_size())
    ids = tokenizer.tokenize(lines)
    assert ids.dtype == tf.int64
    rows = ids.to_list()
    assert len(rows) == len(lines)
    for line, row in zip(lines, rows, strict=True):
        assert all(0 <= token < size for token in row)
        assert tokenizer.tokenize([line]).to_list() == [row]
        assert tokenizer.tokenize(line).to_list() == [row]
        if isinstance(tokenizer, SubwordTokenizer):
            assert row[-1] == END
            assert not {PAD, START, END} & set(row[1 if tokenizer.start_id else 0 : -1])
    for style in ("corpus", "human"):
        found = decoded(tokenizer.detokenize(ids, style))
        assert len(found) == len(lines)
        padded = tf.pad(ids.to_tensor(), [[0, 0], [0, padding]])
        assert decoded(tokenizer.detokenize(padded, style)) == found
        for row, text in zip(rows, found, strict=True):
            assert decoded(tokenizer.detokenize([row], style)) == [text]
    names = tokenizer.lookup(ids)
    assert names.row_lengths().numpy().tolist() == ids.row_lengths().numpy().tolist()


@examples(40)
@given(
    rows=st.lists(
        st.lists(st.integers(-3, 420) | st.sampled_from([-(2**63), 2**31, 2**63 - 1]), max_size=6),
        max_size=3,
    )
)
def test_any_ids_have_a_text(tokenizer, rows):
    if isinstance(tokenizer, TokenizerAdapter):  # a converter of others, which may refuse them
        rows = [[token % 90 for token in row] for row in rows]
    ids = tf.RaggedTensor.from_row_lengths(
        tf.constant([token for row in rows for token in row], tf.int64), [len(row) for row in rows]
    )
    for style in ("corpus", "human"):
        assert len(tokenizer.detokenize(ids, style).numpy()) == len(rows)
    assert tokenizer.lookup(ids).row_lengths().numpy().tolist() == [len(row) for row in rows]


@examples(200)
@given(lines=st.lists(any_text, min_size=1, max_size=4), style=st.sampled_from(STYLES))
def test_normalising_twice_is_normalising_once(lines, style):
    once = normalize(lines, style)
    found = decoded(once)
    assert decoded(normalize(once, style)) == found
    assert not any("\0" in text or "\n" in text for text in found)
    for line, text in zip(lines, found, strict=True):
        assert decoded(normalize([line], style)) == [text]
    assert len(decoded(humanize(once, style))) == len(lines)


@examples(40)
@given(
    lines=st.lists(any_text, max_size=6),
    kind=st.sampled_from([WordPieceTokenizer, SentencePieceTokenizer]),
    vocab_size=st.integers(-2, 400) | st.sampled_from([10**6, 2**31, 2**70]),
    style=st.sampled_from([*STYLES, "none", "other"]),
)
def test_what_is_learned_from_any_text_reads_it(tmp_path_factory, lines, kind, vocab_size, style):
    found = result_or_error(kind.train, lines, vocab_size=vocab_size, normalization=style)
    if found is None:
        return
    assert 0 < found.vocab_size <= max(vocab_size, 4)
    ids = found.tokenize(lines)
    assert np.all((ids.flat_values >= 0) & (ids.flat_values < found.vocab_size))
    folder = tmp_path_factory.mktemp("learned")
    found.save(folder)
    again = kind.load(folder)
    assert again.tokenize(lines).to_list() == ids.to_list()
    assert decoded(again.detokenize(ids)) == decoded(found.detokenize(ids))
