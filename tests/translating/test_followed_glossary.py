"""Translations have the terms of a glossary, whatever the model has learned.

The models here have learned nothing, so that no term comes by itself.
"""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.corpora.corpus import Corpus, dataset_of
from keras_transformer.data.text.terms import MARKS, lacks_terms
from keras_transformer.data.tokenizers.pair import Tokenizers, train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.exporting import export
from keras_transformer.exporting.ctranslate2 import export_ctranslate2
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.models.transformer import Transformer
from keras_transformer.training.run import train
from keras_transformer.translating.ctranslate2 import CTranslate2Translator
from keras_transformer.translating.exported import ExportedTranslator
from keras_transformer.translating.graph import GraphTranslation
from keras_transformer.translating.segmentation import tokenize_in_pieces
from keras_transformer.translating.token_words import words_of
from keras_transformer.translating.translator import Translator

GLOSSARY = {"gato": "tomcat", "menina": "little girl", "gato preto": "black cat", "fome": "hunger"}
TEXTS = [
    "O gato dorme. A menina viu o gato preto!",
    "Nada aqui.",
    "O Gato {x} e a MENINA https://a.org",
    "",
    "- fome\n\n  gato gato\n",
]
TERMS = [
    ["tomcat", "little girl", "black cat"],
    [],
    ["tomcat", "little girl"],
    [],
    ["hunger", "tomcat"],
]


def tokenizers_of(tiny_corpus, **options) -> Tokenizers:
    return train_tokenizers(tiny_corpus, vocab_size=500, placeholders=4, **options)


def model_of(tokenizers, kind=Transformer, **sizes):
    keras.utils.set_random_seed(5)
    vocabularies = {
        "input_vocab_size": tokenizers.source.get_vocab_size(),
        "target_vocab_size": tokenizers.target.get_vocab_size(),
    }
    return kind(**sizes, **vocabularies)


SMALL = {"num_layers": 1, "d_model": 16, "num_heads": 2, "dff": 32}
SHORT = DecodingConfig(length_ratio=1.0, length_offset=4)


@pytest.fixture(scope="module", params=["untaught", "taught"])
def translator(request, tiny_corpus):
    taught = request.param == "taught"
    options = {"normalization": "none", "case": "factored", "shared": True} if taught else {}
    tokenizers = tokenizers_of(tiny_corpus, terms=taught, **options)
    model = model_of(tokenizers, **SMALL)
    translator = Translator(tokenizers, model, decoding=SHORT, jit_compile=False)
    translator.translate(["a"])
    for variable in model.trainable_variables:  # so that its choices differ
        variable.assign(variable * 3)
    return translator


def texts_of(found):
    return [translation.text for translation in found]


def check(found, terms=TERMS):
    ragged = tf.ragged.constant(terms, dtype=tf.string)
    assert not lacks_terms(tf.constant(found), ragged).flat_values.numpy().any(), found


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"beam_size": 3, "n_best": 2}, marks=pytest.mark.slow),
        pytest.param({"sampling": True, "seed": 3}, marks=pytest.mark.slow),
        pytest.param({"sentences": False}, marks=pytest.mark.slow),
        {"glossary_mode": "constrain"},
        pytest.param({"keep": ["x"]}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_translation_has_its_terms(options, translator):
    found = texts_of(translator.translate(TEXTS, glossary=GLOSSARY, **options))
    check(found)
    assert not any(mark in text for text in found for mark in MARKS)
    # What has no term is what it is without a glossary.
    plain = texts_of(translator.translate(TEXTS, **options))
    assert (found[1], found[3]) == (plain[1], plain[3])
    assert "{x}" in found[2]


def test_a_glossary_without_terms_of_the_texts_changes_nothing(translator):
    for glossary in ({}, {"cão": "dog"}):
        found = texts_of(translator.translate(TEXTS, glossary=glossary))
        assert found == texts_of(translator.translate(TEXTS))


@pytest.mark.slow
def test_a_row_does_not_mind_its_batch_mates(translator):
    together = texts_of(translator.translate(TEXTS, glossary=GLOSSARY))
    alone = [translator.translate([text], glossary=GLOSSARY)[0].text for text in TEXTS]
    assert together == alone


@pytest.mark.slow
def test_prefixes_and_terms(translator):
    prefixes = ["the", "", "a girl", "", ""]
    found = texts_of(translator.translate(TEXTS, glossary=GLOSSARY, target_prefix=prefixes))
    check(found)
    assert found[0].lower().startswith("the")


def test_the_graph_says_what_the_live_model_says(translator):
    graph = GraphTranslation(translator)
    run = tf.function(graph.glossary, autograph=False)
    lines = "\n".join(f"{term}\t{other}" for term, other in GLOSSARY.items())
    found = run(tf.constant(TEXTS), tf.constant(f"{lines}\n\r\nnada\tnothing\tdomain\n"))
    live = texts_of(translator.translate(TEXTS, glossary=GLOSSARY | {"nada": "nothing"}))
    assert [text.decode() for text in found["translation"].numpy()] == live
    found = run(tf.constant(TEXTS), tf.constant(""))
    live = texts_of(translator.translate(TEXTS))
    assert [text.decode() for text in found["translation"].numpy()] == live
    with pytest.raises(tf.errors.InvalidArgumentError, match="no term and its translation"):
        run(tf.constant(TEXTS), tf.constant("gato\ttomcat\ngato"))


@pytest.mark.slow
def test_the_export_says_what_the_live_model_says(translator, tmp_path):
    exported = ExportedTranslator(export(translator, tmp_path / "x", compiled=False))
    live = texts_of(translator.translate(TEXTS, glossary=GLOSSARY))
    assert texts_of(exported.translate(TEXTS, glossary=GLOSSARY)) == live
    with pytest.raises(InputError, match="follows a glossary in human style alone"):
        exported.translate(TEXTS, glossary=GLOSSARY, beam_size=2)


@pytest.mark.slow
def test_xla_says_the_same(translator):
    plain = texts_of(translator.translate(TEXTS, glossary=GLOSSARY))
    compiled = Translator(
        translator.tokenizers, translator.transformer, decoding=SHORT, jit_compile=True
    )
    assert texts_of(compiled.translate(TEXTS, glossary=GLOSSARY)) == plain


def test_ctranslate2(translator, tmp_path):
    pytest.importorskip("ctranslate2")
    folder = export_ctranslate2(translator, tmp_path / "x")
    other = CTranslate2Translator(folder)
    if not translator.tokenizers.terms:
        with pytest.raises(InputError, match="has learned no terms"):
            other.translate(TEXTS, glossary=GLOSSARY)
        return
    options = {"glossary": GLOSSARY, "glossary_mode": "annotate"}
    # It places what is kept in its own way, and rounds differently where two tokens are as likely.
    plain = texts_of(translator.translate(TEXTS)), texts_of(other.translate(TEXTS))
    same = [i for i, (one, two) in enumerate(zip(*plain, strict=True)) if one == two]
    assert 4 in same
    live = texts_of(translator.translate(TEXTS, **options))
    found = texts_of(other.translate(TEXTS, glossary=GLOSSARY))
    assert [found[i] for i in same] == [live[i] for i in same]


def test_a_recurrent_model(tiny_corpus):
    tokenizers = tokenizers_of(tiny_corpus)
    model = model_of(tokenizers, RecurrentSeq2Seq, units=16)
    translator = Translator(tokenizers, model, decoding=SHORT, jit_compile=False)
    check(texts_of(translator.translate(TEXTS, glossary=GLOSSARY)))


def test_how_a_glossary_is_followed(translator):
    seen = functools.partial(translator.translate, ["O gato dorme"], glossary={"gato": "tomcat"})
    if translator.tokenizers.terms:
        terms = tf.constant(["gato"]), tf.constant(["tomcat"])
        config = DecodingConfig(glossary_mode="annotate")
        ids = translator.divide(tf.constant(["O gato dorme"]), config, terms).ids
        names = [name.decode() for name in translator.tokenizers.source.lookup(ids)[0].numpy()]
        assert [name for name in names if name in MARKS] == list(MARKS)
        seen(glossary_mode="annotate")  # and whatever it gives
    else:
        for mode in ("annotate", "both"):
            with pytest.raises(InputError, match=f"decoding.glossary_mode: {mode} is for models"):
                seen(glossary_mode=mode)
    assert "tomcat" in seen(glossary_mode="constrain")[0].text.lower()


def test_terms_that_cannot_be_written(translator):
    with pytest.warns(UserWarning, match=r"1 terms of the glossary have letters .* 'Łódź'"):
        found = translator.translate(
            ["O gato e a menina"], glossary={"gato": "Łódź", "menina": "girl"}
        )
    assert "girl" in found[0].text.lower()
    assert "[UNK]" not in found[0].text


@pytest.mark.slow
def test_terms_of_long_sentences(translator):
    """Each piece of a sentence has its own, and no piece begins within a term."""
    text = " ".join(f"o gato viu {i} meninas e a menina" for i in range(30))
    short = Translator(
        translator.tokenizers, translator.transformer, decoding=SHORT, max_source_length=40
    )
    columns = tuple(tf.constant(list(side)) for side in (GLOSSARY, GLOSSARY.values()))
    source = translator.tokenizers.source
    for mode in ("constrain", "both") if translator.tokenizers.terms else ("constrain",):
        config = dataclasses.replace(SHORT, glossary_mode=mode)
        pieces = short.divide(tf.constant([f"O gato. {text}. A menina"]), config, columns)
        assert len(pieces.owners) > 5
        words = words_of(source.lookup(pieces.ids))
        of_words = {b"gato": b"tomcat", b"menina": b"little girl"}
        expected = [[] for _ in pieces.owners]
        for word, row in zip(words.texts.numpy(), words.rows.numpy(), strict=True):
            bare = word.lower().rstrip(b".")
            expected[row] += [of_words[bare]] if bare in of_words else []
        assert pieces.terms.to_list() == expected
        assert sum(map(len, expected)) == 62
        if mode == "both":
            first, _, last = source.term_marks
            for ids, terms in zip(pieces.ids.to_list(), expected, strict=True):
                assert ids.count(first) == ids.count(last) == len(terms)
    with pytest.warns(UserWarning, match="in pieces"):
        check([short.translate([text], glossary=GLOSSARY)[0].text], [["tomcat", "little girl"]])


def test_the_signs_of_terms_are_kept_in_texts(translator):
    text = "o \uf8fa gato \uf8fb x \uf8fc dorme"
    found = translator.translate([text], glossary=GLOSSARY)[0].text
    assert all(found.count(sign) == 1 for sign in "\uf8fa\uf8fb\uf8fc")


def test_annotations_are_tokens(tiny_corpus):
    tokenizers = tokenizers_of(tiny_corpus, terms=True, kind="sentencepiece")
    ids, _ = tokenize_in_pieces(
        tokenizers.source, tf.constant(["o \uf8fa gato \uf8fb cat \uf8fc dorme"]), 64
    )
    names = [name.decode() for name in tokenizers.source.lookup(ids)[0].numpy()]
    places = [names.index(mark) for mark in MARKS]
    assert places == sorted(places)
    assert tokenizers.source.detokenize(ids)[0].numpy() == b"o gato cat dorme"


WORDS = [f"{a}{b}" for a in ("ba", "ce", "di", "fo") for b in ("lar", "men", "nis", "tor")]


def ambiguous_pairs(count, seed):
    """Each word becomes one of two words, by chance: turned round, or that with an x."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        row = rng.permutation(WORDS)[: rng.integers(2, 6)]
        other = [word[::-1] + "x" * int(rng.integers(2)) for word in row]
        pairs.append((" ".join(row), " ".join(other)))
    return pairs


@pytest.fixture(scope="module")
def taught_run(tiny_config, unwatched, tmp_path_factory):
    """A run that has learned terms."""
    folder = tmp_path_factory.mktemp("taught")
    pairs = ambiguous_pairs(600, 1)
    corpus = Corpus(
        "two ways", dataset_of(pairs), dataset_of(ambiguous_pairs(40, 2)), normalization="none"
    )
    links = (" ".join(f"{i}-{i}" for i in range(len(one.split()))) for one, _ in pairs)
    path = folder / "links"
    path.write_text("".join(f"{line}\n" for line in links))
    changes = {"max_steps": 250, "terms": 0.9, "alignments": str(path)}
    tokenizer = {"vocab_size": 300, "shared": True}
    config = tiny_config.replace({"training": changes, "tokenizer": tokenizer})
    return train(corpus, folder / "run", config)


def test_a_model_learns_to_follow_terms(taught_run):
    """Of two translations that are as frequent it takes the one that is asked for."""
    sources, _ = zip(*ambiguous_pairs(30, 7), strict=True)
    translator = Translator.load(taught_run.folder)
    shares = []
    for end in ("", "x"):
        glossary = {word: word[::-1] + end for word in WORDS}
        found = translator.translate(sources, glossary=glossary, glossary_mode="annotate")
        asked = [{glossary[word] for word in source.split()} for source in sources]
        had = sum(
            len(terms & set(other.text.lower().split()))
            for terms, other in zip(asked, found, strict=True)
        )
        shares.append(had / sum(map(len, asked)))
    assert min(shares) > 0.6, shares


def test_a_run_that_starts_from_one_without_terms(tiny_config, tiny_run, tiny_corpus, tmp_path):
    config = tiny_config.replace({"training": {"terms": 0.1, "max_steps": 1}})
    with pytest.raises(InputError, match="a vocabulary with ids for the signs of terms"):
        train(tiny_corpus, tmp_path / "run", config, init_from=tiny_run.folder)
