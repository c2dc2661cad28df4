"""Attention of every form comes to the same numbers; words and the heads that look from them."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.corpora.corpus import dataset_of
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.models.transformer import Transformer
from keras_transformer.plotting.scores import (
    SentenceAttention,
    select_attention,
    sentence_attention,
    sharpest_heads,
    token_positions,
)
from keras_transformer.translating.translation import Translation
from keras_transformer.translating.translator import Translator

SOURCE = ["[START]", "o", "gato", "[END]"]
TARGET = ["[START]", "the", "cat", "[END]"]


def attention(*shape):
    weights = np.random.default_rng(3).random(shape).astype("float32")
    return weights / weights.sum(-1, keepdims=True)


@pytest.fixture
def scores():
    """Of a model with two layers and three heads, and a batch of two sentences."""
    shapes = {"encoder_layer{}": (4, 4), "decoder_layer{}_block1": (3, 3)}
    shapes["decoder_layer{}_block2"] = (3, 4)
    names = [(name.format(i), shape) for name, shape in shapes.items() for i in (1, 2)]
    return {
        name: attention(2, 3, *shape) + 0.01 * number for number, (name, shape) in enumerate(names)
    }


# Every form


@pytest.mark.parametrize("row", [0, 1])
def test_a_dictionary_of_a_model(scores, row):
    for kind, name, tokens in (
        ("encoder", "encoder_layer{}", (SOURCE, SOURCE)),
        ("decoder", "decoder_layer{}_block1", (TARGET[:-1], TARGET[:-1])),
        ("cross", "decoder_layer{}_block2", (TARGET[1:], SOURCE)),
    ):
        found = select_attention(scores, *tokens, attention=kind, row=row)
        expected = np.stack([scores[name.format(i)][row] for i in (1, 2)])
        np.testing.assert_array_equal(found.weights, expected)
        assert (found.query_tokens, found.key_tokens) == tokens
        assert found.layer_names == ["Layer 1", "Layer 2"]


def test_a_sentence_knows_its_tokens(scores):
    sentence = SentenceAttention(SOURCE, TARGET, scores)
    for kind, tokens in (
        ("encoder", (SOURCE, SOURCE)),
        ("decoder", (TARGET[:-1], TARGET[:-1])),
        ("cross", (TARGET[1:], SOURCE)),
    ):
        found = select_attention(sentence, attention=kind)
        assert (found.query_tokens, found.key_tokens) == tokens
        expected = select_attention(scores, *tokens, attention=kind).weights
        np.testing.assert_array_equal(found.weights, expected)


def test_lists_arrays_tensors_and_translations(scores):
    layers = [scores["encoder_layer1"], scores["encoder_layer2"]]
    expected = select_attention(scores, SOURCE, attention="encoder").weights
    for same in (
        layers,
        [tf.constant(layer) for layer in layers],
        [layer[0] for layer in layers],
        np.stack([layer[0] for layer in layers]),
    ):
        np.testing.assert_array_equal(select_attention(same, tf.constant(SOURCE)).weights, expected)
    weights = scores["decoder_layer2_block2"][0]
    translation = Translation("", 0.0, TARGET, SOURCE, weights)
    found = select_attention(translation)
    np.testing.assert_array_equal(found.weights, weights[np.newaxis])
    assert (found.query_tokens, found.key_tokens) == (TARGET[1:], SOURCE)
    assert found.layer_names == ["Last layer"]
    np.testing.assert_array_equal(
        select_attention(weights, TARGET[1:], SOURCE).weights, found.weights
    )


def test_the_attention_of_a_recurrent_model_is_the_only_one(scores):
    weights = scores["decoder_layer1_block2"]
    found = select_attention({"decoder": weights}, TARGET[1:], SOURCE)
    np.testing.assert_array_equal(found.weights[0], weights[0])


def test_layers_heads_and_tokens_are_chosen(scores):
    everything = select_attention(scores, SOURCE, attention="encoder").weights
    hide = ("[PAD]", "[START]", "[END]")
    found = select_attention(
        scores, SOURCE, attention="encoder", layers=[2], heads=(3, 1), hide=hide
    )
    np.testing.assert_array_equal(found.weights, everything[1:][:, [2, 0], 1:3, 1:3])
    assert (found.layers, found.heads) == ([2], [3, 1])
    assert found.query_tokens == found.key_tokens == ["o", "gato"]


def test_padding_is_hidden_unless_asked_for():
    tokens = ["[START]", "o", "[END]", "[PAD]"]
    weights = attention(2, 4, 4)
    np.testing.assert_array_equal(select_attention(weights, tokens).weights[0], weights[:, :3, :3])
    np.testing.assert_array_equal(select_attention(weights, tokens, hide=()).weights[0], weights)


def test_the_attention_of_a_translator_of_all_layers():
    """The last layer is what translating returns, and every row is a distribution."""
    lines = read_sample()["train"][:20]
    corpus = SimpleNamespace(train=dataset_of(lines))
    tokenizers = train_tokenizers(corpus, vocab_size=200)
    keras.utils.set_random_seed(1)
    model = Transformer(
        num_layers=1,
        d_model=16,
        num_heads=4,
        dff=16,
        input_vocab_size=tokenizers.source.get_vocab_size(),
        target_vocab_size=tokenizers.target.get_vocab_size(),
        max_length=24,
    )
    decoding = DecodingConfig(max_length=5)
    translator = Translator(tokenizers, model, decoding=decoding, jit_compile=False)
    text = lines[0][0]
    seen = sentence_attention(translator, text)
    _, tokens, cross = translator(text)
    assert seen.target_tokens == [token.decode() for token in tokens.numpy()]
    assert seen.source_tokens[0] == "[START]"
    assert seen.source_tokens[-1] == "[END]"
    np.testing.assert_allclose(select_attention(seen, attention="cross").weights, cross, atol=1e-6)
    for kind in ("encoder", "decoder", "cross"):
        weights = select_attention(seen, attention=kind).weights
        assert weights.shape[:2] == (1, 4)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    with pytest.warns(UserWarning, match="in pieces"):
        first_piece = sentence_attention(translator, " ".join(source for source, _ in lines[:4]))
    assert first_piece.source_tokens[-1] == "[END]"
    assert 3 < len(first_piece.source_tokens) <= 24
    for kind in ("encoder", "decoder", "cross"):
        select_attention(first_piece, attention=kind)  # which weights and tokens must fit


def test_an_exported_model_has_no_weights_of_all_layers():
    with pytest.raises(InputError, match="a SimpleNamespace gives no weights of all layers"):
        sentence_attention(SimpleNamespace(), "olá")


@pytest.mark.parametrize(
    ("given", "choice", "complaint"),
    [
        ((SOURCE,), {}, "attention is None: choose .* 'encoder', 'decoder', 'cross'"),
        ((SOURCE,), {"attention": "self"}, "attention is 'self'"),
        ((), {"attention": "encoder"}, "weights without tokens"),
        ((SOURCE[:3],), {"attention": "encoder"}, "4 queries to 4 keys does not fit 3 query"),
        ((SOURCE,), {"attention": "encoder", "row": 2}, "row 2 of a batch of 2"),
        ((SOURCE,), {"attention": "encoder", "layers": [0]}, r"layers \[0\] of 2"),
        ((SOURCE,), {"attention": "encoder", "heads": [1, 4]}, r"heads \[1, 4\] of 3"),
        ((SOURCE,), {"attention": "encoder", "heads": []}, r"heads \[\] of 3"),
        ((SOURCE,), {"attention": "encoder", "hide": SOURCE}, "all tokens are hidden"),
    ],
)
def test_what_does_not_fit_is_named(scores, given, choice, complaint):
    with pytest.raises(InputError, match=complaint):
        select_attention(scores, *given, **choice)


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        ([], "attention of no layer"),
        (np.ones((4, 4)), "attention of shape"),
        ([np.ones((2, 3, 3)), np.ones((2, 4, 4))], r"\(2, 3, 3\), \(2, 4, 4\): give layers"),
        (Translation("", 0.0), "a translation without attention"),
    ],
)
def test_what_is_no_attention_is_named(scores, complaint):
    with pytest.raises(InputError, match=complaint):
        select_attention(scores, SOURCE)


# Words


@pytest.mark.parametrize(
    ("tokens", "word", "positions"),
    [
        (["a", "le", "##i", "é"], "lei", [1, 2]),
        (["a", "le", "##i", "le"], "le", None),  # a token, twice
        (["le", "##is", "le", "##i"], "lei", [2, 3]),  # not the beginning of another word
        (["▁a", "▁le", "i", "."], "lei", [1, 2]),
        (["▁le", "i", "s", "▁le", "i"], "lei", [3, 4]),
        (["Ġmake", "Ġdiff", "icult"], "difficult", [1, 2]),
        (["▁a", "▁lei"], "▁lei", [1]),
        (["a", "a"], 1, [1]),
        (["a", "b"], 2, None),
        (["a", "b"], "c", None),
    ],
)
def test_where_words_stand(tokens, word, positions):
    if positions is None:
        with pytest.raises(InputError):
            token_positions(tokens, word)
    else:
        assert token_positions(tokens, word) == positions


def test_a_word_in_several_places_is_refused_with_their_numbers():
    with pytest.raises(InputError, match="'que' stands at the positions 1, 3: give one"):
        token_positions(["o", "que", "é", "que"], "que")


# Sharp heads


@pytest.fixture
def made():
    """Two layers of three heads and five tokens; "its" is at 3. Its entropies are known."""
    weights = np.full((2, 3, 5, 5), 0.2)
    weights[0, 1, 3] = [0, 1, 0, 0, 0]  # 0 bits, at "law"
    weights[1, 2, 3] = [0, 0.5, 0, 0, 0.5]  # 1 bit, at "law" first
    weights[1, 0, 3] = [0.75, 0, 0.25, 0, 0]  # 0.811 bits, at the start
    weights[0, 2, 3] = 0  # a row that sees nothing
    return weights, ["[START]", "law", "and", "its", "[END]"]


def test_the_sharpest_heads_come_first(made):
    found = sharpest_heads(*made, word="its", number=4)
    assert [(head.layer, head.head) for head in found[:3]] == [(1, 2), (2, 1), (2, 3)]
    assert [head.looks_at for head in found[:3]] == ["law", "[START]", "law"]
    np.testing.assert_allclose(
        [head.entropy for head in found], [0, 0.811278, 1, np.log2(5)], atol=1e-6
    )
    assert [head.weight for head in found[:3]] == [1, 0.75, 0.5]


def test_heads_by_what_they_look_at(made):
    def heads(**choice):
        return [(head.layer, head.head) for head in sharpest_heads(*made, word=3, **choice)]

    assert heads(looks_at="law", number=9) == [(1, 2), (2, 3)]
    assert heads(aside=["[START]"]) == [(1, 2), (2, 3)]
    assert heads(aside=[1, 0], number=9) == []
    assert heads(layers=[2]) == [(2, 1), (2, 3)]


def test_a_head_that_looks_at_hidden_tokens_is_not_sharp(made):
    found = sharpest_heads(*made, word="its", number=2, hide=("[START]", "[END]"))
    assert [(head.layer, head.head) for head in found] == [(1, 2)]


def test_at_least_one_head(made):
    with pytest.raises(InputError, match="number is 0"):
        sharpest_heads(*made, word="its", number=0)
