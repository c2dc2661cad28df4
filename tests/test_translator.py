"""From text to text: order, company and form of the input never matter."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.translator import ExportTranslator, Translator, print_translation

HOSTILE = [
    "",
    "   ",
    "\t\u00a0",
    "Este é um problema que temos que resolver.",
    "[START] [END] [PAD]",
    "日本語のテキスト 🙂",
    "\x00\x07 a\ufffd",
    "o " * 300,
]


@pytest.fixture(scope="module")
def translator(tiny_run):
    return tiny_run.translator


@pytest.fixture(scope="module")
def lines(tiny_corpus):
    return [source.decode() for source, _ in tiny_corpus.test.as_numpy_iterator()]


def test_a_text_is_translated_alike_alone_and_in_company(translator, lines):
    together = translator.translate(lines)
    for i in (0, 7, 39):
        alone = translator.translate([lines[i]])[0]
        assert alone.text == together[i].text
        assert alone.score == pytest.approx(together[i].score, abs=1e-3)


def test_the_order_of_the_input_is_kept(translator, lines):
    shuffled = np.random.default_rng(0).permutation(len(lines))
    straight = [translation.text for translation in translator.translate(lines)]
    mixed = [translation.text for translation in translator.translate([lines[i] for i in shuffled])]
    assert mixed == [straight[i] for i in shuffled]
    assert len(set(straight)) > 3


def test_a_stream_equals_a_list(translator, lines):
    streamed = translator.translate_stream(iter(lines), chunk=7)
    assert [t.text for t in streamed] == [t.text for t in translator.translate(lines)]


def test_a_stream_reads_no_further_than_its_chunk(translator):
    read = []

    def source():
        for i in range(100):
            read.append(i)
            yield "o gato dorme ."

    next(translator.translate_stream(source(), chunk=5))
    assert len(read) == 5


@pytest.mark.filterwarnings("ignore:.*more than 96 tokens")
def test_hostile_lines_give_one_line_each_and_harm_no_other(translator):
    good = "a menina lê o livro ."
    mixed = [line for hostile in HOSTILE for line in (hostile, good)]
    found = translator.translate(mixed)
    assert len(found) == len(mixed)
    assert {t.text for t in found[1::2]} == {translator.translate([good])[0].text}
    assert [t.text for t in found[0:6:2]] == ["", "", ""]
    assert all("\n" not in t.text for t in found)


def test_nothing_in_nothing_out(translator):
    assert translator.translate([]) == []


def test_a_text_beyond_the_models_reach_is_told(translator):
    with pytest.warns(UserWarning, match="more than 96 tokens"):
        translator.translate(["o gato " * 100])


def test_styles_differ_only_in_spacing(translator, lines):
    for corpus, human in zip(
        translator.translate(lines, style="corpus"), translator.translate(lines), strict=True
    ):
        assert corpus.text.replace(" ", "") == human.text.replace(" ", "")
        assert corpus.text.endswith(" .") == (human.text[-1:] == "." and corpus.text != ".")


def test_attention_fits_the_tokens_of_each_text(translator):
    texts = ["a menina lê o livro .", "", "o gato preto viu a vizinha do professor ontem ."]
    for text, found in zip(texts, translator.translate(texts, attention=True), strict=True):
        assert found.attention.shape == (4, len(found.tokens) - 1, len(found.source_tokens))
        assert found.tokens[0] == found.source_tokens[0] == "[START]"
        assert found.source_tokens[-1] == "[END]"
        np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-5)
        alone = translator.translate([text], attention=True)[0]
        np.testing.assert_allclose(alone.attention, found.attention, atol=1e-4)


def test_calling_gives_the_tutorials_three_values(translator):
    text, tokens, attention = translator(tf.constant("a menina lê o livro ."))
    assert text.shape == ()
    assert tokens[0] == b"[START]"
    source_length = translator.tokenizers.source.tokenize(["a menina lê o livro ."]).shape[1]
    assert attention.shape[:3] == (1, 4, len(tokens) - 1)
    assert attention.shape[3] == source_length or source_length is None
    assert text == translator("a menina lê o livro .")[0]


def test_calling_with_many_equals_calling_with_each(translator, lines):
    texts, tokens, attention = translator(lines[:5])
    assert texts.shape == (5,)
    assert attention.shape[:2] == (5, 4)
    for i in range(5):
        text, own_tokens, own_attention = translator(lines[i])
        assert text == texts[i]
        assert own_tokens.numpy().tolist() == tokens[i].numpy().tolist()
        _, _, queries, keys = own_attention.shape
        np.testing.assert_allclose(own_attention[0], attention[i, :, :queries, :keys], atol=1e-4)


def test_calling_in_a_graph_equals_calling_eagerly(translator, lines):
    in_graph = tf.function(translator.__call__, input_signature=[tf.TensorSpec([None], tf.string)])
    for graph, eager in zip(in_graph(tf.constant(lines[:4])), translator(lines[:4]), strict=True):
        if isinstance(eager, tf.RaggedTensor):
            assert graph.to_list() == eager.to_list()
        elif eager.dtype == tf.string:
            assert graph.numpy().tolist() == eager.numpy().tolist()
        else:
            np.testing.assert_allclose(graph, eager, atol=1e-4)


def test_calling_obeys_the_length_it_is_given(translator):
    _, tokens, _ = translator("a menina lê o livro .", max_length=3)
    assert len(tokens) <= 4


def test_calling_refuses_a_matrix(translator):
    with pytest.raises(ValueError, match="vector of strings"):
        translator([["a", "b"]])


def test_the_export_form_keeps_the_shape_of_its_input(translator, lines):
    exported = ExportTranslator(translator)
    expected = [t.text for t in translator.translate(lines[:4], style="corpus")]
    assert exported(tf.constant(lines[0])).numpy().decode() == expected[0]
    assert [text.decode() for text in exported(tf.constant(lines[:4])).numpy()] == expected
    matrix = exported(tf.reshape(tf.constant(lines[:4]), (2, 2)))
    assert matrix.shape == (2, 2)
    assert matrix[1, 1].numpy().decode() == expected[3]


def test_print_translation_prints_the_three_lines(capsys):
    print_translation("olá .", tf.constant("hello ."), "hi .")
    assert capsys.readouterr().out.splitlines() == [
        "Input:         : olá .",
        "Prediction     : hello .",
        "Ground truth   : hi .",
    ]


def test_loading_names_what_is_wrong(tmp_path, tiny_run):
    with pytest.raises(InputError, match="neither a run folder"):
        Translator.load(tmp_path)
    with pytest.raises(InputError, match="neither a run folder"):
        Translator.load(tmp_path / "missing")
    for name in ("config.json", "tokenizers"):
        (tmp_path / name).symlink_to(tiny_run.folder / name)
    with pytest.raises(InputError, match=r"model\.weights\.h5: is missing"):
        Translator.load(tmp_path)
    (tmp_path / "model.weights.h5").write_bytes(b"not hdf5")
    with pytest.raises(InputError, match=r"model\.weights\.h5: does not fit"):
        Translator.load(tmp_path)
