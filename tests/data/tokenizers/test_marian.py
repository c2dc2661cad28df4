"""Marian's tokenizers: ids from a vocabulary of their own, a start on one side alone."""

import subprocess
import sys

import pytest
import sentencepiece
from learned_models import sentencepiece_model

from keras_transformer.data.tokenizers.marian import MarianTokenizer
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, RESERVED_TOKENS, START, UNK

LINES = ["the old man reads a book .", "she sings a song to the man ."] * 20
TEXTS = [*LINES[:2], ">>pt<< the man", "spelt </s> [START] [END]", "Ünknown 漢字", ""]


@pytest.fixture(scope="module")
def model():
    return sentencepiece_model(LINES, 60, hard_vocab_limit=False, num_threads=1)


@pytest.fixture(scope="module")
def tokenizers(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    learned = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    pieces = [*RESERVED_TOKENS, ">>pt<<", *learned]
    sides = [MarianTokenizer(model, pieces, is_target) for is_target in (False, True)]
    return Tokenizers(*sides, "en", "pt")


def test_a_source_has_an_end_and_a_target_a_start_too(tokenizers):
    source, target = tokenizers.source, tokenizers.target
    assert (source.start_id, source.end_id, source.unknown_id) == (None, END, UNK)
    assert (target.start_id, target.end_id, target.unknown_id) == (START, END, UNK)
    sources, targets = (side.tokenize(TEXTS).to_list() for side in (source, target))
    assert [[START, *row] for row in sources] == targets
    for row in sources:
        assert row[-1] == END
        assert not {START, END} & set(row[:-1])
    assert sources[-1] == [END]


def test_pieces_and_texts(tokenizers):
    ids = tokenizers.target.tokenize(TEXTS[:3])
    assert ids[2, 1] == 4  # the code of a language is one token
    assert tokenizers.target.lookup(ids)[0, 1].numpy().decode().startswith("▁")
    texts = [text.decode() for text in tokenizers.target.detokenize(ids).numpy()]
    assert texts[:2] == TEXTS[:2]
    assert tokenizers.source.detokenize(ids).numpy()[0].decode() == TEXTS[0]


def test_a_text_comes_to_the_model_as_it_is(model, tokenizers):
    """Normalising it is the model's work; nobody does it before."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    known = set(tokenizers.source.pieces)
    for text in (
        "  the\tman ",
        "a\x00b\x01c\x85d\u200b",
        " >>pt<< the",
        "\u3000a\u00a0b",
        "\ufffd",
    ):
        (row,) = tokenizers.source.tokenize([text])
        found = [name.decode() for name in tokenizers.source.lookup([row])[0].numpy()]
        pieces = processor.encode(text, out_type=str)
        assert found == [*(p if p in known else "[UNK]" for p in pieces), "[END]"]
    (whole,) = tokenizers.source.tokenize([">>a\nb<<the"]).to_list()
    assert whole == [UNK, *tokenizers.source.tokenize(["the"]).to_list()[0]]


def test_a_fresh_process_reads_what_was_saved(tokenizers, tmp_path):
    tokenizers.save(tmp_path)
    program = (
        "import sys, keras_transformer as kt; tokenizers = kt.Tokenizers.load(sys.argv[1]);"
        "print([tokenizers.en.tokenize(['the man']), tokenizers.pt.tokenize(['a book'])])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = tokenizers.en.tokenize(["the man"]), tokenizers.pt.tokenize(["a book"])
    assert done.stdout.strip() == str(list(expected))


def test_wrong_vocabularies(model):
    with pytest.raises(InputError, match=r"begin with \[PAD\]"):
        MarianTokenizer(model, ["a", "b"], True)
    with pytest.raises(InputError, match="not a SentencePiece model"):
        MarianTokenizer(b"nonsense", RESERVED_TOKENS, True)
    with pytest.raises(InputError, match="not the vocabulary of a Marian checkpoint"):
        MarianTokenizer.from_bytes(b"{}", "none")
