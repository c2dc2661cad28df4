"""Tokenizers of checkpoints give the ids that `transformers` gives, shifted where 0 is a token."""

import json

import numpy as np
import pytest
import tensorflow as tf
from learned_models import albert_model, write_byte_level
from tokenizers import Tokenizer

from keras_transformer.errors import InputError
from keras_transformer.interop.tokenizer_files import (
    load_huggingface_tokenizer,
    save_huggingface_tokenizer,
)

LINES = [
    "the old man reads a book and the young woman sings",
    "the cat sleeps on the table while the dog runs in the garden",
    "we do not know where they went, but they will come back soon.",
]
TEXTS = [
    "The old man reads, doesn't he?",
    "Crème brûlée  for\ttwo – 東京",
    "",
    "a [MASK] sleeps <|endoftext|> here",
]
CLASSES = {"bert": "BertTokenizer", "albert": "AlbertTokenizer", "gpt2": "GPT2Tokenizer"}


def write_wordpiece(folder):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted({*"".join(LINES), *"',?."} - {" "})
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), "the", "old", "##ead"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def write_unigram(folder):
    (folder / "spiece.model").write_bytes(albert_model(LINES, 50))


WRITERS = {
    "bert": write_wordpiece,
    "albert": write_unigram,
    "gpt2": lambda folder: write_byte_level(folder, LINES),
}


@pytest.fixture(scope="module", params=WRITERS)
def folder(request, tmp_path_factory):
    """A checkpoint's folder with the older files of a tokenizer alone."""
    folder = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](folder)
    (folder / "config.json").write_text(json.dumps({"model_type": request.param}))
    return folder


def kind_of(folder):
    return json.loads((folder / "config.json").read_text())["model_type"]


def test_ids_are_those_of_the_peer(folder, peers, tmp_path):
    kind, ours = kind_of(folder), load_huggingface_tokenizer(folder)
    theirs = getattr(peers, CLASSES[kind]).from_pretrained(folder)
    save_huggingface_tokenizer(ours, tmp_path)
    again = getattr(peers, CLASSES[kind]).from_pretrained(tmp_path)
    for text, row in zip(TEXTS, ours.tokenize(TEXTS).to_list(), strict=True):
        expected = theirs(text)["input_ids"]
        assert again(text)["input_ids"] == expected
        if kind == "gpt2":
            expected = [token + 1 for token in (*expected, theirs.eos_token_id)]
        assert row == expected


def test_pairs_and_their_segments(folder, peers):
    kind, ours = kind_of(folder), load_huggingface_tokenizer(folder)
    if kind == "gpt2":
        with pytest.raises(InputError, match="no pairs"):
            ours.tokenize_pairs(["a"], ["b"])
        return
    ids, segments = ours.tokenize_pairs(TEXTS[:2], TEXTS[1:3])
    theirs = getattr(peers, CLASSES[kind]).from_pretrained(folder)
    theirs = theirs(TEXTS[:2], TEXTS[1:3], return_token_type_ids=True)
    assert ids.to_list() == theirs["input_ids"]
    assert segments.to_list() == theirs["token_type_ids"]


def test_texts_come_back(folder):
    ours = load_huggingface_tokenizer(folder)
    ids = ours.tokenize(["the old man", "a book"])
    found = ours.detokenize(ids.to_tensor()).numpy()
    assert found.tolist() == [b"the old man", b"a book"]
    assert ours.detokenize(tf.zeros((0, 3), tf.int64)).shape == (0,)


def test_ids_beyond_the_vocabulary_have_no_text(folder):
    ours = load_huggingface_tokenizer(folder)
    inside = ours.tokenize(["the old man"])[0].numpy().tolist()
    beyond = [-(2**63), -1, ours.vocab_size, 2**32, 2**63 - 1]
    assert ours.detokenize([[*beyond, *inside]]).numpy().tolist() == [b"the old man"]
    assert ours.lookup([beyond]).to_list() == [[b"[UNK]"] * len(beyond)]


def test_names_of_ids(folder):
    ours = load_huggingface_tokenizer(folder)
    size = int(ours.get_vocab_size())
    (names,) = ours.lookup(tf.range(size + 1)[tf.newaxis]).to_list()
    assert names[ours.end_id] in (b"[SEP]", b"<|endoftext|>")
    assert names[0] in (b"[PAD]", b"<pad>")
    if kind_of(folder) == "gpt2":
        assert (ours.start_id, ours.unknown_id) == (None, None)
    else:
        assert names[ours.start_id] == b"[CLS]"
        assert names[ours.unknown_id] in (b"[UNK]", b"<unk>")
    ends = [token for token in (ours.start_id, ours.end_id) if token is not None]
    assert ours.tokenize([""]).to_list() == [ends]
    assert names[size] == b"[UNK]"
    assert len(set(names[:size])) == size


def test_graphs_give_what_eager_calls_give(folder):
    ours = load_huggingface_tokenizer(folder)
    dataset = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2).map(ours.tokenize)
    found = [row for batch in dataset for row in batch.to_list()]
    assert found == ours.tokenize(TEXTS).to_list()


def test_saved_and_loaded(folder, tmp_path):
    ours = load_huggingface_tokenizer(folder)
    ours.save(tmp_path)
    again = load_huggingface_tokenizer(tmp_path)
    assert again.kind == ours.kind
    assert again.tokenize(TEXTS).to_list() == ours.tokenize(TEXTS).to_list()


def test_whole_texts_whatever_the_file_says_of_lengths(folder, tmp_path):
    ours = load_huggingface_tokenizer(folder)
    ours.save(tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    library.enable_truncation(2)
    library.enable_padding(length=9)
    library.save(str(tmp_path / "tokenizer.json"))
    again = load_huggingface_tokenizer(tmp_path)
    assert again.tokenize(TEXTS).to_list() == ours.tokenize(TEXTS).to_list()


def test_cased_text_stays_cased(tmp_path):
    write_wordpiece(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    )
    ours = load_huggingface_tokenizer(tmp_path)
    names = ours.lookup(ours.tokenize(["the The"])).to_list()[0]
    assert names == [b"[CLS]", b"the", b"[UNK]", b"[SEP]"]


def test_wrong_files_are_refused_with_their_names(tmp_path):
    def refused(message):
        with pytest.raises(InputError, match=message) as error:
            load_huggingface_tokenizer(tmp_path)
        assert str(tmp_path) in str(error.value)

    refused("no tokenizer for a checkpoint of None")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    refused(r"vocab\.txt")
    pieces = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    refused(r"\[PAD\] at id 1")
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "a"]))
    refused(r"lacks \[CLS\]")
    (tmp_path / "tokenizer.json").write_text("{}")
    refused("cannot be read")
    (tmp_path / "tokenizer.json").unlink()
    write_wordpiece(tmp_path)
    tokenizer = load_huggingface_tokenizer(tmp_path)
    with pytest.raises(InputError, match="vector of strings"):
        tokenizer.tokenize(np.array([["a"]]))
