"""Whatever a model gives, what is not translated comes back once and byte for byte.

The models here have learned nothing, so that they would leave out, repeat and invent anything.
"""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.text.placeholders import mask
from keras_transformer.data.tokenizers.pair import Tokenizers, train_tokenizers
from keras_transformer.decoding.tokens import LOWEST, copy_once
from keras_transformer.errors import InputError
from keras_transformer.exporting import export
from keras_transformer.exporting.ctranslate2 import export_ctranslate2
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.models.transformer import Transformer
from keras_transformer.translating.ctranslate2 import CTranslate2Translator
from keras_transformer.translating.exported import ExportedTranslator
from keras_transformer.translating.graph import ExportTranslator, GraphTranslation
from keras_transformer.translating.translator import Translator

TEXTS = [
    "O gato dorme em https://example.com/a?b=c. A menina viu {name} e %(count)d!",
    "Sem nada .",
    "{a}{b} ({c}) {d}, {e} e {f} {g} {h} {i} dorme `x  =  1`",  # more than the vocabulary has
    "😀 O gato 😀 dorme 😀",
    "https://example.com/x",
    "",
    "  - {x}\n\n\t1234567 gatos &amp; %s\r\n",
    "O  gato\u00a0{x}\u2003dorme {x} {x}.",
]


@pytest.fixture(scope="module")
def tokenizers(tiny_corpus) -> Tokenizers:
    return train_tokenizers(tiny_corpus, vocab_size=500, placeholders=4)


@pytest.fixture(scope="module")
def translator(tokenizers) -> Translator:
    keras.utils.set_random_seed(5)
    model = Transformer(
        num_layers=1,
        d_model=16,
        num_heads=2,
        dff=32,
        input_vocab_size=tokenizers.source.get_vocab_size(),
        target_vocab_size=tokenizers.target.get_vocab_size(),
    )
    config = DecodingConfig(length_ratio=1.0, length_offset=4)
    translator = Translator(tokenizers, model, decoding=config, jit_compile=False)
    translator.translate(["a"])
    for variable in model.trainable_variables:  # so that its choices differ
        variable.assign(variable * 3)
    return translator


@pytest.fixture(scope="module")
def tiny_translator(tiny_corpus, translator) -> Translator:
    """Without placeholders."""
    return Translator(train_tokenizers(tiny_corpus, vocab_size=400), translator.transformer)


def kept_of(text):
    return [part.decode() for part in mask(tf.constant([text])).kept.to_list()[0]]


def check(texts, found):
    for text, translation in zip(texts, found, strict=True):
        wanted, given = kept_of(text), kept_of(translation)
        assert sorted(wanted) == sorted(given), (text, translation)
        assert not re.search(r"\[(KEEP|JOIN)", translation)


def texts_of(found):
    return [other.text for one in found for other in one.alternatives or [one]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beam_size": 3, "n_best": 3},
        {"sampling": True, "n_best": 2, "top_k": 400},
        {"style": "corpus"},
        {"sentences": False},
        {"min_length": 3, "no_repeat_ngram": 2},
        {"forbid_unknown": True, "max_length": 12},
    ],
    ids=str,
)
def test_everything_is_kept_once(translator, options):
    found = translator.translate(TEXTS, **options)
    texts = [text for text in TEXTS for _ in range(options.get("n_best", 1))]
    if options.get("beam_size"):  # there may be fewer
        texts = [text for text, one in zip(TEXTS, found, strict=True) for _ in one.alternatives]
    check(texts, texts_of(found))


def test_words_of_unknown_letters_come_back_and_nothing_unknown_does(translator):
    texts = ["O gato 北京 dorme .", "Москва город , O gato", "A menina Søren"]
    found = texts_of(translator.translate(texts, beam_size=3, n_best=3))
    for number, word in enumerate(("北京", "Москва город", "Søren")):
        assert all(text.count(word) == 1 for text in found[3 * number : 3 * number + 3])
    assert not any("[UNK]" in text for text in found)


def test_shape_stays(translator):
    found = texts_of(translator.translate([TEXTS[4], TEXTS[6]]))
    assert found[0] == TEXTS[4]
    assert found[1].startswith("  - {x}\n\n\t")
    assert found[1].endswith("\r\n")


def test_xla_gives_the_same(translator):
    compiled = Translator(
        translator.tokenizers,
        translator.transformer,
        decoding=translator.decoding,
        jit_compile=True,
    )
    for options in ({}, {"beam_size": 2}):
        assert texts_of(compiled.translate(TEXTS, **options)) == texts_of(
            translator.translate(TEXTS, **options)
        )


def test_exports_give_the_same(translator, tmp_path):
    live = texts_of(translator.translate(TEXTS))
    exported = ExportedTranslator(export(translator, tmp_path / "model", compiled=False))
    assert texts_of(exported.translate(TEXTS)) == live
    beams = texts_of(exported.translate(TEXTS, beam_size=2))
    assert beams == texts_of(translator.translate(TEXTS, beam_size=2))
    check(TEXTS, beams)
    corpus = texts_of(translator.translate(TEXTS, style="corpus"))
    check(TEXTS, [text.decode() for text in translator(TEXTS)[0].numpy()])  # it has other limits
    called = ExportTranslator(translator)(tf.constant(TEXTS))
    assert [text.decode() for text in called.numpy()] == corpus
    signature = exported._signatures["sentences"]
    answer = {name: value.numpy() for name, value in signature(text=tf.constant(TEXTS)).items()}
    for i, text in enumerate(TEXTS):
        gaps, sentences = answer["gaps"][i], answer["source_sentences"][i]
        shape = b"".join(gap + part for gap, part in zip(gaps, sentences, strict=True))
        assert (shape + answer["tail"][i]).decode() == text


def test_ctranslate2(translator, tmp_path):
    pytest.importorskip("ctranslate2")
    found = CTranslate2Translator(export_ctranslate2(translator, tmp_path / "model"))
    check(TEXTS, texts_of(found.translate(TEXTS)))
    several = found.translate(TEXTS, beam_size=3, n_best=2)
    check(
        [t for t, one in zip(TEXTS, several, strict=True) for _ in one.alternatives],
        texts_of(several),
    )
    assert "gato dorme" in found.translate(["O gato dorme bem"], keep=["gato dorme"])[0].text


def test_recurrent_models(tokenizers):
    keras.utils.set_random_seed(1)
    model = RecurrentSeq2Seq(
        units=16,
        input_vocab_size=tokenizers.source.get_vocab_size(),
        target_vocab_size=tokenizers.target.get_vocab_size(),
    )
    check(TEXTS, texts_of(Translator(tokenizers, model).translate(TEXTS, max_length=40)))


def test_patterns_of_the_user(translator):
    texts = ["O gato dorme .", "A Menina viu o gato !", "nada"]
    keep = ["gato dorme", "[Mm]enina"]
    found = texts_of(translator.translate(texts, keep=keep))
    assert found[0].count("gato dorme") == 1
    assert found[1].count("Menina") == 1
    kept = Translator(
        translator.tokenizers,
        translator.transformer,
        decoding=DecodingConfig(length_ratio=1.0, length_offset=4, keep=tuple(keep)),
    )
    graph = GraphTranslation(kept)
    in_graph = tf.function(lambda text: graph.translate(text, "human"), autograph=False)
    answer = in_graph(tf.constant(texts))["translation"].numpy()
    assert [text.decode() for text in answer] == found
    with pytest.raises(InputError, match="regular expression"):
        translator.translate(texts, keep=["("])


def test_models_without_placeholders_say_so(tiny_translator):
    with pytest.raises(InputError, match="no placeholders"):
        tiny_translator.translate(["a"], keep=["b"])


def test_a_target_prefix_has_the_numbers_of_the_source(translator):
    text = "O gato {x} viu {y}"
    (found,) = translator.translate([text], target_prefix=["{y} the cat"], style="corpus")
    assert found.text.startswith("{y} the cat")
    assert found.text.count("{y}") == found.text.count("{x}") == 1
    (found,) = translator.translate(["O gato 1 viu"], target_prefix=["1 the cat"], keep=["[0-9]"])
    assert found.text.count("1") == 1


def test_tokens_have_names_and_scores(translator):
    (found,) = translator.translate(["O gato {x}"], token_scores=True)
    assert found.tokens.count("[KEEP_1]") == 1
    assert "[KEEP_1]" in found.source_tokens
    assert np.isfinite(found.token_scores).all()


IDS = range(5, 8)
END = 3


def logits_of(*best, beams=1):
    logits = np.zeros((1, beams, 10), np.float32)
    for rank, i in enumerate(best):
        logits[..., i] = 10 - rank
    return tf.constant(logits)


def best_of(logits, tokens, required, room, joined=False):
    so_far, position = tf.constant([[list(tokens) + [0] * (4 - len(tokens))]]), len(tokens)
    required, joined = tf.constant([[i in required for i in IDS]]), tf.constant([joined])
    room = tf.constant([room])
    found = copy_once(logits, so_far, position, required, joined, room, IDS, END).numpy()[0, 0]
    return int(found.argmax()), found


def test_the_end_waits_for_what_is_missing():
    logits = logits_of(END, 4)
    assert best_of(logits, [4, 6], [5, 6], 9)[0] == 5
    assert best_of(logits, [5, 6], [5, 6], 9)[0] == END
    assert best_of(logits, [], [], 9)[0] == END
    best, found = best_of(logits_of(4, END), [4], [5, 6], 9)
    assert best == 4  # the end is not what the model wants
    assert found[END] == LOWEST


def test_a_placeholder_comes_once_and_only_if_the_source_has_it():
    best, found = best_of(logits_of(5, 6, 7, 4), [5], [5, 6], 9)
    assert best == 6
    assert found[5] == found[7] == LOWEST
    assert best_of(logits_of(5, 6, 7, 4), [], [], 9)[0] == 4


def test_two_placeholders_become_one_word_only_where_the_source_joins_two():
    wanted = logits_of(6, 9, END)
    assert best_of(wanted, [5, 4], [5, 6], 9)[0] == 9  # 4 joins
    assert best_of(wanted, [5, 4], [5, 6], 9, joined=True)[0] == 6
    assert best_of(wanted, [8, 4], [5, 6], 9)[0] == 6  # nothing to be joined to
    assert best_of(wanted, [5, 8], [5, 6], 9)[0] == 6
    assert best_of(wanted, [4], [5, 6], 9)[0] == 6
    assert best_of(wanted, [5, 4], [5, 6], 2)[0] == 6  # no room for anything else


def test_the_last_room_is_for_what_is_missing():
    assert best_of(logits_of(4, 8), [], [5, 6], 3)[0] == 5
    assert best_of(logits_of(4, 8), [5], [5, 6], 2)[0] == 6
    assert best_of(logits_of(4, 8), [], [5, 6], 4)[0] == 4
