"""Texts of several sentences: each is translated for itself, and the rest comes back as it was."""

import json
import re
import warnings

import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig, config_from_json
from keras_transformer.data.text.sentences import split_sentences
from keras_transformer.exporting import export
from keras_transformer.translating.batches import BATCH_ROWS
from keras_transformer.translating.documents.translate import translate_document
from keras_transformer.translating.exported import ExportedTranslator
from keras_transformer.translating.graph import ExportTranslator, GraphTranslation
from keras_transformer.translating.translator import Translator

SHAPED = "\n  - O gato dorme.  A menina viu o gato!\r\n\r\n1. O Sr. Silva\tdorme.\n***\n"
WITHOUT_LETTERS = ["", "  ", "\n\t\n", "42 %", "— … —", "😀"]


@pytest.fixture(scope="module")
def translator(tiny_run):
    return tiny_run.translator


@pytest.fixture(scope="module")
def exported(tmp_path_factory, translator):
    folder = tmp_path_factory.mktemp("exported") / "model"
    return ExportedTranslator(export(translator, folder, compiled=False))


def texts_of(found):
    return [translation.text for translation in found]


def translated_one_by_one(translator, text, **options):
    found = split_sentences(text)
    sentences = [sentence.decode() for sentence in found.texts.numpy()]
    gaps = [gap.decode() for gap in found.gaps.numpy()]
    parts = texts_of(translator.translate(sentences, sentences=False, **options))
    joined = "".join(gap + part for gap, part in zip(gaps, parts, strict=True))
    return joined + found.tails.numpy()[0].decode()


def test_a_text_is_its_sentences_and_what_stands_between_them(translator):
    texts = [SHAPED, "O gato dorme .", f"  {SHAPED} A menina dorme", *WITHOUT_LETTERS]
    for options in ({}, {"style": "corpus"}, {"beam_size": 2}):
        found = texts_of(translator.translate(texts, **options))
        assert found == [translated_one_by_one(translator, text, **options) for text in texts]
    assert found[3:] == WITHOUT_LETTERS
    assert found[0].startswith("\n  - ")
    assert "\r\n\r\n1. " in found[0]
    assert found[0].endswith("\n***\n")


def test_scores_add_up_and_alternatives_are_those_of_all_sentences(translator):
    (whole,) = translator.translate([SHAPED], beam_size=3, n_best=2)
    sentences = [text.decode() for text in split_sentences(SHAPED).texts.numpy()]
    parts = translator.translate(sentences, beam_size=3, n_best=2)
    assert whole.score == pytest.approx(sum(part.score for part in parts), abs=1e-3)
    for rank in (0, 1):
        text = whole.alternatives[rank].text
        assert all(part.alternatives[rank].text in text for part in parts)


def test_the_export_the_call_and_the_live_translator_agree(translator, exported):
    texts = [SHAPED, "O gato dorme.", *WITHOUT_LETTERS, f"{SHAPED}{SHAPED}"]
    live = texts_of(translator.translate(texts))
    assert texts_of(exported.translate(texts)) == live
    assert texts_of(exported.translate(texts, beam_size=2)) == texts_of(
        translator.translate(texts, beam_size=2)
    )
    corpus = texts_of(translator.translate(texts, style="corpus"))
    assert texts_of(exported.translate(texts, style="corpus")) == corpus
    called, _, _ = translator(texts)
    module = ExportTranslator(translator)
    for found in (called, module(tf.constant(texts))):
        assert [text.decode() for text in found.numpy()] == corpus
    assert translator(SHAPED)[0].numpy().decode() == corpus[0]


def test_the_signature_of_sentences_and_that_of_tokens(translator, exported):
    texts = tf.constant([SHAPED, "", "O gato dorme."])
    answer = {
        name: part.numpy() for name, part in exported._signatures["sentences"](text=texts).items()
    }
    for row, text in enumerate(answer["translation"]):
        pairs = zip(answer["gaps"][row], answer["target_sentences"][row], strict=True)
        assert b"".join(gap + part for gap, part in pairs) + answer["tail"][row] == text
    assert [len([s for s in row if s]) for row in answer["source_sentences"]] == [3, 0, 1]
    pieces = GraphTranslation(translator)._pieces(texts)
    tokens = exported._signatures["tokenize"](text=texts)
    assert tokens["pieces"].numpy().tolist() == [3, 1, 1]
    assert tokens["longest"].numpy().max() == pieces.ids.row_lengths().numpy().max()


def test_more_sentences_than_a_batch_has_rows(translator, exported):
    text = " ".join(f"O gato {'preto ' * (i % 5)}viu a menina." for i in range(2 * BATCH_ROWS + 7))
    assert texts_of(exported.translate([text, "A menina."])) == texts_of(
        translator.translate([text, "A menina."])
    )


def test_only_long_sentences_are_warned_of(translator):
    many = "O gato dorme. " * 60
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        translator.translate([many])
    with pytest.warns(UserWarning, match="1 of 2 texts"):
        translator.translate(["o gato " * 100, many])


def test_a_prefix_begins_the_first_sentence(translator):
    (found,) = translator.translate(["  O gato. A menina."], target_prefix=["the cat"])
    assert found.text.startswith("  The cat")
    rest = translator.translate(["A menina."])[0].text
    assert found.text.endswith(f" {rest}")


def test_samples_follow_from_the_place_of_the_text(translator):
    options = {"sampling": True, "seed": 5}
    alone = translator.translate(["O gato dorme."], **options)[0].text
    together = translator.translate(["O gato dorme.", "Um. Dois. Três."], **options)
    assert together[0].text == alone
    streamed = translator.translate_stream(["Um. Dois. Três.", "O gato dorme."], chunk=1, **options)
    assert texts_of(streamed) == texts_of(
        translator.translate(["Um. Dois. Três.", "O gato dorme."], **options)
    )


def test_lines_of_files_lose_their_line_ends(translator):
    lines = ["O gato dorme.\n", "\n", "A menina.\r\n", "Um.\nDois.\n"]
    found = texts_of(translator.translate_stream(lines))
    assert [text.count("\n") for text in found] == [0, 0, 0, 2]


def test_runs_of_version_0_1_translate_texts_as_they_are(tiny_run, tmp_path):
    content = json.loads((tiny_run.folder / "config.json").read_text())
    assert config_from_json(tiny_run.folder / "config.json").decoding.sentences
    del content["config"]["decoding"]["sentences"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert not config_from_json(tmp_path / "config.json").decoding.sentences


def test_undivided_is_as_it_was(tiny_run):
    loaded = Translator.load(tiny_run.folder)
    (found,) = loaded.translate(["  O gato. A menina.  "], sentences=False, style="corpus")
    assert found.text == found.text.strip()
    undivided = DecodingConfig(sentences=False)
    assert len(loaded.programs.pieces(tf.constant(["O gato. A menina."]), undivided).owners) == 1


def test_documents_are_translated_by_runs_and_by_exports(translator, exported):
    document = "  - O gato dorme.  A menina viu o gato!\r\n\r\n1. A menina lê.\rfim"
    lines = document.splitlines(keepends=True)
    expected = "".join(texts_of(translator.translate(lines)))
    page = '<html lang="pt"><p>O <b>gato</b> dorme.<br>A menina.</p><pre>O gato</pre>'
    gato, menina = texts_of(translator.translate(["O gato dorme.", "A menina."]))
    pages = []
    for either in (translator, exported):
        assert translate_document(either, document) == expected
        pages.append(translate_document(either, page, "html"))
    assert pages[0] == pages[1]
    assert re.fullmatch(
        r'<html lang="en"><p>(.*)<b>(.*)</b>(.*)<br>(.*)</p><pre>O gato</pre>', pages[0]
    )
    assert re.sub("</?(b|p)>", "", pages[0]) == (
        f'<html lang="en">{gato}<br>{menina}<pre>O gato</pre>'
    )
