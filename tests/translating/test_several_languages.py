"""Models of several target languages: a tag before a text says which one, everywhere the same."""

import subprocess
import sys

import pytest
import tensorflow as tf
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.config import DecodingConfig
from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.data.corpora.mixture import CorpusPart, mix_corpora
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.edition_2019 import ExportTranslator
from keras_transformer.errors import InputError
from keras_transformer.exporting import export
from keras_transformer.exporting.ctranslate2 import export_ctranslate2
from keras_transformer.training.run import train
from keras_transformer.translating.ctranslate2 import CTranslate2Translator
from keras_transformer.translating.translator import Translator

TEXTS = [
    "o gato dorme . a menina viu a minha mãe !",
    "",
    "  recuado",
    "a casa é muito muito " + "grande " * 80,
]

pytestmark = pytest.mark.usefixtures("unwatched")


@pytest.fixture(scope="module")
def corpus():
    pairs = read_sample()["train"][:300]
    forward = Corpus.from_pairs("forward", {"train": pairs[:280], "validation": pairs[280:]})
    back = [pair[::-1] for pair in pairs]
    backward = Corpus.from_pairs(
        "backward",
        {"train": back[:280], "validation": back[280:]},
        source_language="en",
        target_language="pt",
    )
    return mix_corpora([forward, CorpusPart(backward, tags=["<back>"])])


@pytest.fixture(scope="module")
def run(unwatched, corpus, tiny_config, tmp_path_factory):
    config = tiny_config.replace({"training": {"max_steps": 12, "max_tokens": 40}})
    return train(corpus, tmp_path_factory.mktemp("several") / "run", config)


@pytest.fixture(scope="module")
def translator(run):
    found = Translator.load(run.folder, jit_compile=False)
    for variable in found.transformer.trainable_variables:  # so that its choices differ
        variable.assign(variable * 2)
    return found


def texts_of(found):
    return [translation.text for translation in found]


def test_the_run_knows_its_tags(run):
    tokenizers = run.translator.tokenizers
    assert tokenizers.tags == ("<2en>", "<2pt>", "<back>")
    assert (tokenizers.source_language, tokenizers.target_language) == ("mul", "mul")
    assert all(example.startswith("<2") for example in run.translator.examples)


@pytest.mark.parametrize("options", [{}, {"beam_size": 3}, {"sentences": False}])
def test_to_a_language_is_as_with_its_tag(options, translator):
    for language in ("en", "pt"):
        tagged = [f"<2{language}> {text}" for text in TEXTS]
        found = texts_of(translator.translate(TEXTS, to=language, **options))
        assert found == texts_of(translator.translate(tagged, **options))
        assert found[1] == ""  # there is nothing to translate
    # The tag of a text counts.
    mixed = [f"<2pt> {TEXTS[0]}", TEXTS[0]]
    alone = [translator.translate(TEXTS[:1], to=language, **options) for language in ("pt", "en")]
    found = translator.translate(mixed, to="en", **options)
    assert texts_of(found) == [texts_of(one)[0] for one in alone]


def test_each_sentence_and_each_piece_has_the_tag(translator):
    config = DecodingConfig(to="pt")
    pieces = translator.divide(tf.constant(TEXTS), config)
    names = translator.tokenizers.source.lookup(pieces.ids).to_list()
    is_empty = [len(row) == 2 for row in names]
    assert is_empty.count(True) == 1
    assert len(names) > len(TEXTS) + 2
    for row, empty in zip(names, is_empty, strict=True):
        assert empty or row[1] == b"[<2pt>]"
        assert len(row) <= translator.max_source_length


def test_no_translation_has_a_tag(translator):
    tags = set(translator.tokenizers.target.tag_ids)
    assert tags <= set(translator.new_search(translator.decoding).forbidden)


def test_the_export_translates_to_its_language(translator, tmp_path, subtests):
    translator.decoding = DecodingConfig(to="pt")
    try:
        expected = texts_of(translator.translate(TEXTS))
        with subtests.test("a SavedModel"):
            folder = export(translator, tmp_path / "export")
            program = (
                "import sys, tensorflow as tf, tensorflow_text\n"
                "signature = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
                "found = signature(text=tf.constant(sys.argv[2:]))['translation'].numpy()\n"
                "sys.stdout.buffer.write(b'\\n--\\n'.join(found))"
            )
            texts = [*TEXTS, f"<2en> {TEXTS[0]}"]
            found = subprocess.run(
                [sys.executable, "-c", program, str(folder), *texts],
                capture_output=True,
                check=True,
                cwd=tmp_path,
            ).stdout.decode()
            *found, other = found.split("\n--\n")
            assert found == expected
            assert other == translator.translate(texts[-1:])[0].text
        with subtests.test("CTranslate2"):
            folder = tmp_path / "ct2"
            export_ctranslate2(translator, folder)
            of_peer = CTranslate2Translator(folder)
            assert texts_of(of_peer.translate(TEXTS)) == expected
            others = of_peer.translate(TEXTS, to="en")
            assert texts_of(others) == texts_of(translator.translate(TEXTS, to="en"))
        with subtests.test("as in the tutorial"):
            exported = ExportTranslator(translator)
            expected = translator.translate(TEXTS[:1], style="corpus")[0].text
            assert exported(TEXTS[0]).numpy().decode() == expected
    finally:
        translator.decoding = DecodingConfig()


def test_a_language_has_to_be_said(translator, tmp_path):
    with pytest.raises(InputError, match="translates to en, pt: say to which"):
        translator.translate(["o gato"])
    with pytest.raises(InputError, match="choose one of these"):
        translator.translate(["o gato"], to="fr")
    with pytest.raises(InputError, match="say to which"):
        export(translator, tmp_path / "export")
    with pytest.raises(InputError, match="say to which"):
        ExportTranslator(translator)
    with pytest.raises(InputError, match="say to which"):
        translator.align([("o gato", "the cat")])


def test_other_models_have_one_language(tiny_run):
    translator = tiny_run.translator
    assert translator.translate(["o gato"], to="en") == translator.translate(["o gato"])
    with pytest.raises(InputError, match="choose that, or leave it out"):
        translator.translate(["o gato"], to="es")


def test_commands(run, tmp_path):
    def lines_of(*arguments):
        return CliRunner().invoke(main, ["translate", "--model", str(run.folder), *arguments])

    found = lines_of("--to", "en", "o gato dorme .")
    assert found.exit_code == 0
    assert found.stdout == lines_of("<2en> o gato dorme .").stdout
    refused = lines_of("o gato dorme .")
    assert refused.exit_code == 1
    assert "say to which (--to" in refused.stderr
    arguments = ["export", "--model", str(run.folder), "--format", "ctranslate2"]
    exported = CliRunner().invoke(
        main, [*arguments, "--to", "en", "--output", str(tmp_path / "ct2")]
    )
    assert exported.exit_code == 0, exported.output
    (version,) = (tmp_path / "ct2").iterdir()
    ahead = CTranslate2Translator(version).translate(["o gato dorme ."])
    assert found.stdout == f"{ahead[0].text}\n"
    refused = CliRunner().invoke(main, [*arguments, "--to", "fr", "--output", str(tmp_path / "no")])
    assert refused.exit_code == 1
    assert "translates to en, pt" in refused.stderr


def test_tokenizers_have_to_know_the_tags(corpus, tiny_run, tiny_config, tmp_path):
    with pytest.raises(InputError, match="sources have the tag <2en>"):
        train(corpus, tmp_path / "run", tiny_config, tokenizers=tiny_run.translator.tokenizers)
