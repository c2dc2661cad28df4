"""Tokenizers write what is not translated as ids of its own, and put it back."""

import json
import shutil

import pytest
import tensorflow as tf

from keras_transformer.data.text.placeholders import KEPT
from keras_transformer.data.tokenizers.base import SubwordTokenizer
from keras_transformer.data.tokenizers.masked import PairOptions, tokenize_like, tokenize_pair
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.wordpiece import BertTokenizer, WordPieceTokenizer
from keras_transformer.errors import InputError

TEXTS = [
    "Visite https://example.com/a?b=c. OLHE O {name} ABC {b}DEF e (%s)!",
    "",
    "{name} é bom",
    "MEU ARQUIVO %s É BOM. Olá %PRODUCTNAME",
    "{a}{b} {c}.",
]
LINES = [*TEXTS, *(f"a{chr(i)}" for i in range(33, 127)), "é É í Á á"]


@pytest.fixture(scope="module", params=[WordPieceTokenizer, SentencePieceTokenizer])
def kind(request) -> type[SubwordTokenizer]:
    return request.param


@pytest.fixture(scope="module", params=["keep", "factored", "lower"])
def tokenizer(request, kind) -> SubwordTokenizer:
    return kind.train(
        LINES, vocab_size=600, normalization="none", case=request.param, placeholders=4
    )


def test_text_comes_back_with_what_it_keeps(tokenizer):
    masked = tokenizer.mask(tf.constant(TEXTS))
    ids = tokenizer.tokenize(TEXTS)
    assert tokenizer.tokenize_masked(masked.texts).to_list() == ids.to_list()
    texts = tokenizer.detokenize(ids, kept=masked.kept).numpy()
    found = [text.decode() for text in texts]
    if tokenizer.case != "lower":
        assert found == TEXTS
    assert [text.lower() for text in found] == [text.lower() for text in TEXTS]
    kept = zip(found, masked.kept.to_list(), strict=True)
    assert all(string.decode() in text for text, row in kept for string in row)


def test_placeholders_are_numbered_in_each_text(tokenizer):
    names = tokenizer.lookup(tokenizer.tokenize(TEXTS)).to_list()
    found = [[name for name in row if name.startswith(b"[KEEP_")] for row in names]
    assert [len(row) for row in found] == [4, 0, 1, 2, 3]
    assert all(row == [b"[KEEP_%d]" % (i + 1) for i in range(len(row))] for row in found)
    assert names[4].count(b"[JOIN]") == 2  # {a}{b} and {c}.


def test_without_what_they_stand_for_placeholders_have_names(tokenizer):
    text = tokenizer.detokenize(tokenizer.tokenize([TEXTS[4]])).numpy()[0].decode()
    assert text == "[KEEP_1][KEEP_2] [KEEP_3]."


def test_no_text_spells_a_placeholder(tokenizer):
    texts = ["[KEEP_1] [JOIN]", "[keep_1][join]"]
    ids = tokenizer.tokenize(texts).flat_values
    assert not tf.reduce_any(tokenizer.is_placeholder(ids))
    assert not tf.reduce_any(ids == tokenizer.first_placeholder - 1)
    private = tf.constant([f"a {KEPT} b"])
    found = tokenizer.detokenize(tokenizer.tokenize(private), kept=tokenizer.mask(private).kept)
    assert found.numpy()[0] == private.numpy()[0]


def test_capitals_of_a_span_go_on_after_a_placeholder(kind):
    tokenizer = kind.train(
        LINES, vocab_size=600, normalization="none", case="factored", placeholders=4
    )
    texts = ["OLHE O %s ABC DEF {b} ABC e", "Olhe O %s Abc Def {b} Abc e"]
    names = tokenizer.lookup(tokenizer.tokenize(texts)).to_list()
    for row, mark in zip(names, (b"[UPPER_ON]", b"[TITLE_ON]"), strict=True):
        assert row.count(mark) == row.count(b"[SPAN_OFF]") == 1
    kept = tokenizer.mask(tf.constant(texts)).kept
    found = tokenizer.detokenize(tokenizer.tokenize(texts), kept=kept).numpy()
    assert [text.decode() for text in found] == texts


def test_files_and_graphs(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = type(tokenizer).load(tmp_path)
    assert again.placeholders == 4
    graph = tf.function(again.tokenize, input_signature=[tf.TensorSpec([None], tf.string)])
    assert graph(TEXTS).to_list() == tokenizer.tokenize(TEXTS).to_list()
    description = json.loads((tmp_path / "tokenizer.json").read_text())
    for wrong in (65, -1, "four"):
        (tmp_path / "tokenizer.json").write_text(json.dumps({**description, "placeholders": wrong}))
        with pytest.raises(InputError, match="placeholders"):
            type(tokenizer).load(tmp_path)


def test_files_of_version_0_1_have_none(tmp_path, kind):
    tokenizer = kind.train(LINES, vocab_size=600, normalization="none")
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    description = json.loads(path.read_text())
    del description["placeholders"]
    path.write_text(json.dumps(description))
    again = kind.load(tmp_path)
    assert again.placeholders == 0
    assert again.tokenize(TEXTS).to_list() == tokenizer.tokenize(TEXTS).to_list()
    shutil.rmtree(tmp_path)


def test_the_tutorials_converter_has_none():
    with pytest.raises(InputError, match="goes on with"):
        BertTokenizer(["[PAD]", "[UNK]", "[START]", "[END]", "a"], placeholders=2)


def tokenizers_of(tokenizer) -> Tokenizers:
    return Tokenizers(tokenizer, tokenizer, "pt", "en")


def names_of(tokenizer, ids):
    rows = tokenizer.lookup(ids).to_list()
    return [[name.decode() for name in row if b"KEEP" in name] for row in rows]


def test_both_sides_have_the_same_placeholders(tokenizer, kind):
    without = kind.train(LINES, vocab_size=600, normalization="none", case=tokenizer.case)
    for sides in ((tokenizer, without), (without, tokenizer)):
        with pytest.raises(InputError, match=r"got [04] and [04] of them"):
            Tokenizers(*sides)


def test_pairs_are_numbered_alike(tokenizer):
    source = tf.constant(["a {x} e {y}", "só {z}", "a"])
    target = tf.constant(["{y} a {x}", "no", "b {w}"])
    ids = tokenize_pair(tokenizers_of(tokenizer), source, target)
    assert names_of(tokenizer, ids[0]) == [["[KEEP_1]", "[KEEP_2]"], [], []]
    assert names_of(tokenizer, ids[1]) == [["[KEEP_2]", "[KEEP_1]"], [], []]
    digits = PairOptions(keep=("[0-9]+",))
    ids = tokenize_pair(
        tokenizers_of(tokenizer), tf.constant(["1,5 e {y}"]), tf.constant(["{y} a 1.5, 7"]), digits
    )
    assert names_of(tokenizer, ids[0]) == [["[KEEP_1]", "[KEEP_2]", "[KEEP_3]"]]
    assert names_of(tokenizer, ids[1]) == [["[KEEP_3]", "[KEEP_1]", "[KEEP_2]"]]


def test_words_of_both_sides_and_noise(tokenizer):
    words = [f"abcd{i:03}x" for i in range(200)]
    source = tf.constant([f"a {word} é" for word in words])
    target = tf.constant([f"the {word} is" for word in words])
    options = PairOptions(shared_words=0.25, noise=0.5, seed=3)
    ids = tokenize_pair(tokenizers_of(tokenizer), source, target, options)
    again = tokenize_pair(tokenizers_of(tokenizer), source, target, options)
    other = tokenize_pair(tokenizers_of(tokenizer), source, target, options._replace(seed=4))
    assert [side.to_list() for side in ids] == [side.to_list() for side in again]
    assert ids[0].to_list() != other[0].to_list()
    found = [names_of(tokenizer, side) for side in ids]
    assert found[0] == found[1]
    numbers = [name for row in found[0] for name in row]
    assert 30 < len(numbers) < 70
    assert set(numbers) == {f"[KEEP_{i + 1}]" for i in range(4)}  # all are learned


def test_ids_with_the_numbers_of_a_source(tokenizer):
    kept = tf.ragged.constant([["{x}", "{y}"], []], dtype=tf.string)
    ids = tokenize_like(tokenizer, tf.constant(["a {y} {z}", "{x}"]), kept)
    assert names_of(tokenizer, ids) == [["[KEEP_2]"], []]
    kept = tf.ragged.constant([["12", "7"]], dtype=tf.string)
    ids = tokenize_like(tokenizer, tf.constant(["b 7 12"]), kept, keep=("[0-9]+",))
    assert names_of(tokenizer, ids) == [["[KEEP_2]", "[KEEP_1]"]]
