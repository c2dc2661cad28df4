"""Tags before texts: ids of their own, which no text yields and no translation has."""

import pytest
import tensorflow as tf

from keras_transformer.data.text.tags import take_tags
from keras_transformer.data.tokenizers.base import SubwordTokenizer
from keras_transformer.data.tokenizers.masked import tokenize_aligned_pair, tokenize_pair
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.errors import InputError

TAGS = ("<2en>", "<2pt-BR>", "<web>")
LINES = ["olá mundo, eu sou um gato", "o gato dorme na casa", "Bom dia, mundo", "< 2 en > web"] * 5
TEXTS = ["olá mundo", "O gato", "", "um <2en> gato", "  recuado {x}"]


def learn(kind, **options) -> SubwordTokenizer:
    return kind.train(LINES, vocab_size=300, tags=TAGS, **options)


@pytest.fixture(
    scope="module",
    params=[
        {"normalization": "none", "case": "factored", "placeholders": 4, "terms": True},
        {"normalization": "none"},
        {"normalization": "ptb-lower"},
    ],
    ids=["factored", "none", "ptb-lower"],
)
def options(request):
    return request.param


@pytest.fixture(scope="module", params=[WordPieceTokenizer, SentencePieceTokenizer])
def tokenizer(request, options):
    return learn(request.param, **options)


def test_a_tag_is_one_id_after_the_start(tokenizer):
    plain = tokenizer.tokenize(TEXTS).to_list()
    for number, tag in enumerate(TAGS):
        tagged = tokenizer.tokenize([f"{tag} {text}" for text in TEXTS]).to_list()
        expected = [[ids[0], tokenizer.first_tag + number, *ids[1:]] for ids in plain]
        assert tagged == expected
    several = tokenizer.tokenize(["<2en> <web>o gato"])
    assert tokenizer.lookup(several).to_list()[0][1:3] == [b"[<2en>]", b"[<web>]"]


def test_no_text_yields_a_tag_and_no_tag_is_text(tokenizer):
    ids = tokenizer.tokenize(["um <2en> gato", "[<2en>] gato", "<2es> gato", "<2EN> gato"])
    assert not set(ids.flat_values.numpy()) & set(tokenizer.tag_ids)
    texts = ["olá mundo", "o gato"]
    tagged = tokenizer.tokenize([f"<web> {text}" for text in texts])
    assert [text.decode() for text in tokenizer.detokenize(tagged).numpy()] == texts


def test_files_keep_tags(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    other = type(tokenizer).load(tmp_path)
    assert other.tags == TAGS
    texts = ["<2en> olá", "gato"]
    assert other.tokenize(texts).to_list() == tokenizer.tokenize(texts).to_list()


def test_what_stands_before_a_text():
    texts = ["<2en> a", " <2en><web>  b", "a <2en>", "<2es> a", "<2en>", "", "<web> " * 5 + "a"]
    left, numbers = take_tags(tf.constant(texts), TAGS)
    assert [text.decode() for text in left.numpy()] == [
        "a",
        " b",
        "a <2en>",
        "<2es> a",
        "",
        "",
        "<web> a",
    ]
    assert numbers.to_list() == [[0], [0, 2], [], [], [0], [], [2, 2, 2, 2]]
    left, numbers = take_tags(tf.constant(texts), ())
    assert left.numpy().tolist() == [text.encode() for text in texts]
    assert numbers.to_list() == [[]] * len(texts)


def test_pairs_are_tokenised_with_the_tags_of_their_sources(options):
    tokenizer = learn(WordPieceTokenizer, **options)
    tokenizers = Tokenizers(tokenizer, tokenizer)
    source, target = ["o gato", "eu sou {x}"], ["olá mundo", "um gato {x}"]
    plain = tokenize_pair(tokenizers, tf.constant(source), tf.constant(target))
    tagged = tf.constant([f"<2en> <web> {text}" for text in source])
    found = tokenize_pair(tokenizers, tagged, tf.constant(target))
    tags = [tokenizer.first_tag, tokenizer.first_tag + 2]
    assert found[0].to_list() == [[ids[0], *tags, *ids[1:]] for ids in plain[0].to_list()]
    assert found[1].to_list() == plain[1].to_list()


def test_links_are_of_words_without_tags(options):
    tokenizer = learn(WordPieceTokenizer, **options)
    tokenizers = Tokenizers(tokenizer, tokenizer)
    source, target, links = ["o gato"], ["um gato"], [[(0, 0), (1, 1)]]
    arguments = tf.constant(target), links
    *_, plain = tokenize_aligned_pair(tokenizers, tf.constant(source), *arguments)
    *_, found = tokenize_aligned_pair(tokenizers, tf.constant([f"<web> {source[0]}"]), *arguments)
    assert found.tolist() == [[place + (place > 0) for place in row] for row in plain.tolist()]


def test_wrong_tags_are_refused():
    for tag in ("web", "<a b>", "<>", "<" + "a" * 41 + ">", 3):
        with pytest.raises(InputError, match="is no tag"):
            WordPieceTokenizer.train(LINES, vocab_size=300, tags=[tag])
