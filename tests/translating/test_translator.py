"""From text to text: order, company and form of the input never matter."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.decoding import compiling
from keras_transformer.decoding.search import Search
from keras_transformer.errors import InputError
from keras_transformer.models.transformer import Transformer
from keras_transformer.special_tokens import END, START
from keras_transformer.translating.graph import ExportTranslator
from keras_transformer.translating.translation import BaseTranslator, Translation
from keras_transformer.translating.translator import Translator, print_translation

HOSTILE = [
    "",
    "   ",
    "\t\u00a0",
    "Este é um problema que temos que resolver.",
    "[START] [END] [PAD]",
    "日本語のテキスト 🙂",
    "\x00\x07 a\ufffd",
    "\x00",
    "\x1b[31m\u202e\r\n o gato \x7f\u2028",
    "o gato \ud83d dorme \udc00.",
    b"o gato dorme .",
    b"\xff\xfe o gato \xc3",
    "o " * 300,
    "gato" * 500,
    "o gato " * 5000,
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


@pytest.mark.parametrize("half", [chr(0xD83D), chr(0xDE00), chr(0xDCFF)], ids=ascii)
def test_half_of_a_surrogate_pair_is_the_replacement_character(translator, half):
    texts = [f"o gato {half} dorme .", "o gato \ufffd dorme ."]
    found = translator.translate(texts)
    assert found[0].text == found[1].text
    assert found[0].score == pytest.approx(found[1].score, abs=1e-3)
    called = translator(texts[0])[1].numpy().tolist(), translator(texts[1])[1].numpy().tolist()
    assert called[0] == called[1]


def texts_of(translations):
    return [translation.text for translation in translations]


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


class Echo(BaseTranslator):
    """As a text's translation, the text."""

    def translate(self, lines, **options):
        return [Translation(line, 0.0) for line in lines]


@pytest.mark.parametrize("kind", [Echo, Translator])
def test_long_streams_hold_one_chunk_at_a_time(kind, translator, monkeypatch):
    monkeypatch.setattr(Translator, "translate", Echo.translate)
    read = 0

    def source():
        nonlocal read
        for read in range(1, 5001):
            yield str(read)

    stream = (translator if kind is Translator else Echo()).translate_stream(source(), chunk=64)
    for given, translation in enumerate(stream, 1):
        assert translation.text == str(given)
        assert read - given < 64
    assert given == 5000


@pytest.mark.filterwarnings("ignore:.*translated in pieces")
def test_hostile_lines_give_one_line_each_and_harm_no_other(translator):
    good = "a menina lê o livro ."
    mixed = [line for hostile in HOSTILE for line in (hostile, good)]
    found = translator.translate(mixed)
    assert len(found) == len(mixed)
    assert {t.text for t in found[1::2]} == {translator.translate([good])[0].text}
    assert texts_of(found[0:6:2]) == HOSTILE[:3]  # what has no letter is left as it is
    lines_of_each = [len(line.splitlines()) for line in mixed]
    assert [len(t.text.splitlines()) for t in found] == lines_of_each
    assert all(np.isfinite([t.score, t.normalized_score]).all() for t in found)
    assert all(t.score == t.normalized_score == 0 for t in found[0:6:2])
    as_bytes = translator.translate([HOSTILE[10].decode()])[0].text
    assert found[2 * 10].text == as_bytes
    assert len(found[-2].text.split()) > 500


def test_nothing_in_nothing_out(translator):
    assert translator.translate([]) == []
    assert list(translator.translate_stream(iter([]))) == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"lines": "o gato"}, "lines"),
        ({"lines": {"text": "o gato"}}, "lines"),
        ({"lines": None}, "lines"),
        ({"lines": ["o gato"], "target_prefix": "the"}, "target_prefix"),
        ({"lines": ["o gato"], "target_prefix": False}, "target_prefix"),
        ({"lines": ["o gato"], "first_stream": -1}, "first_stream"),
        ({"lines": ["o gato"], "first_stream": 2**31}, "first_stream"),
        ({"lines": [], "beam_size": 0}, "beam_size"),
        ({"lines": ["o gato"], "beam_size": 2**31}, "beam_size"),
        ({"lines": ["o gato"], "length_offset": 2**40}, "length_offset"),
    ],
)
def test_wrong_texts_and_numbers_are_refused(translator, options, named):
    with pytest.raises(InputError, match=named):
        translator.translate(**options)


def test_a_stream_has_room_for_a_text(translator):
    for chunk in (0, -1, None, "2"):
        with pytest.raises(InputError, match="chunk"):
            list(translator.translate_stream(["o gato"], chunk=chunk))
    with pytest.raises(InputError, match="lines"):
        list(translator.translate_stream("o gato"))
    assert len(list(translator.translate_stream(["o gato"], chunk=10**30))) == 1


def test_sizes_of_a_warm_up_and_of_a_call_are_whole_numbers(translator):
    for size in (0, None, 2.5):
        with pytest.raises(InputError, match="texts"):
            translator.warm_up(size)
        with pytest.raises(InputError, match="max_length"):
            translator("o gato", size)
    assert not translator.jit_compile


@pytest.mark.parametrize("options", [{"length_ratio": 2e9}, {"length_offset": 2**31 - 1}])
def test_no_limit_is_so_high_that_nothing_is_translated(translator, options):
    line = "a menina lê o livro ."
    assert translator.translate([line], **options) == translator.translate([line])


def short_sighted(translator, longest):
    return Translator(
        translator.tokenizers,
        translator.transformer,
        decoding=translator.decoding,
        max_source_length=longest,
    )


def sentences_of(translator, lines, fewest, most):
    """Lines that are one sentence of that many tokens, start and end not counted."""
    lengths = translator.tokenizers.source.tokenize(lines).row_lengths().numpy() - 2
    return [
        line
        for line, length in zip(lines, lengths, strict=True)
        if fewest <= length <= most and line.endswith(" .") and line.count(".") == 1
        if not {"?", "!"} & set(line)
    ]


def test_a_text_beyond_reach_is_translated_in_pieces(translator, lines):
    """Here its sentences, no two of which fit into the 30 tokens there is room for."""
    sentences = sentences_of(translator, lines, 16, 30)[:5]
    assert len(sentences) == 5
    short = short_sighted(translator, 32)
    parts = short.translate(sentences, style="corpus", token_scores=True)
    with pytest.warns(UserWarning, match="1 of 3 texts have more than 32 tokens .* in pieces"):
        found = short.translate(
            [lines[0], " ".join(sentences), ""], style="corpus", attention=True, sentences=False
        )
    whole = found[1]
    assert whole.text == " ".join(part.text for part in parts if part.text)
    assert whole.score == pytest.approx(sum(part.score for part in parts), abs=1e-2)
    assert whole.tokens == [token for part in parts for token in part.tokens]
    assert sum(whole.token_scores) == pytest.approx(whole.score, abs=1e-2)
    assert whole.attention is None
    assert found[0].attention.shape[0] == 4
    assert found[0].text == translator.translate([lines[0]], style="corpus")[0].text


@pytest.mark.filterwarnings("ignore:.*translated in pieces")
def test_pieces_have_alternatives_and_the_first_the_prefix(translator, lines):
    short = short_sighted(translator, 32)
    options = {"target_prefix": ["the girl"], "n_best": 2, "beam_size": 3, "style": "corpus"}
    found = short.translate([" ".join(lines[:8])], **options)[0]
    ranks = [one.normalized_score for one in found.alternatives]
    assert len(ranks) == 2
    assert ranks == sorted(ranks, reverse=True)
    for one in found.alternatives:
        assert one.text.startswith("the girl")


def test_greedy_is_the_beam_of_one_and_options_win_over_the_configuration(translator, lines):
    greedy = texts_of(translator.translate(lines))
    assert texts_of(translator.translate(lines, beam_size=1)) == greedy
    configured = Translator(
        translator.tokenizers, translator.transformer, decoding=DecodingConfig(beam_size=3)
    )
    beam = texts_of(configured.translate(lines))
    assert texts_of(translator.translate(lines, beam_size=3)) == beam
    assert texts_of(configured.translate(lines, beam_size=1)) == greedy
    assert beam != greedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 4}, r"options of the search: decoding\.beams: "),
        ({"beam_size": 0}, "beam_size"),
        ({"beam_size": "many"}, "beam_size"),
        ({"n_best": 3}, r"n_best \(3\) is more than decoding\.beam_size"),
        ({"sampling": True, "beam_size": 2}, "sampling has no beams"),
        ({"temperature": 0.5}, "temperature, top_k and top_p are of sampling"),
        ({"sampling": True, "top_p": 1.5}, "top_p"),
        ({"length_penalty_kind": "none"}, "length_penalty_kind"),
        ({"target_prefix": ["a", "b"]}, "2 target prefixes for 1 texts"),
    ],
)
def test_wrong_options_are_named(options, message, translator):
    with pytest.raises(InputError, match=message) as error:
        translator.translate(["o gato dorme ."], **options)
    assert "\n" not in str(error.value)


def test_alternatives_come_best_first_and_the_first_is_the_translation(translator, lines):
    plain = translator.translate(lines, beam_size=3, style="corpus")
    several = translator.translate(
        ["", *lines], beam_size=3, n_best=3, style="corpus", token_scores=True
    )
    empty, *several = several
    assert (empty.text, texts_of(empty.alternatives)) == ("", [""])
    for one, best in zip(several, plain, strict=True):
        ranks = [alternative.normalized_score for alternative in one.alternatives]
        assert ranks == sorted(ranks, reverse=True)
        assert len({tuple(alternative.tokens) for alternative in one.alternatives}) == 3
        first = one.alternatives[0]
        assert (first.text, first.score) == (one.text, one.score)
        assert one.text == best.text
        assert one.score == pytest.approx(best.score, abs=1e-3)
        assert best.alternatives is None


@pytest.mark.parametrize(
    "options", [{}, {"beam_size": 3, "n_best": 2}, {"sampling": True}], ids=str
)
def test_the_scores_of_the_tokens_sum_to_the_score(options, translator, lines):
    found = translator.translate([*lines, ""], token_scores=True, **options)
    for one in [alternative for t in found for alternative in t.alternatives or [t]]:
        assert one.tokens[0] == "[START]"
        assert len(one.token_scores) == len(one.tokens) - 1
        assert sum(one.token_scores) == pytest.approx(one.score, abs=1e-3)
        assert all(score <= 1e-6 for score in one.token_scores)
    assert translator.translate(lines[:1])[0].token_scores is None


@pytest.mark.parametrize("beam_size", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_translation_begins_with_its_prefix(beam_size, translator, lines):
    options = {"beam_size": beam_size, "style": "corpus", "token_scores": True}
    plain = translator.translate(lines, **options)
    prefixes = ["the teacher", "", "when my friend is", ""] * (len(lines) // 4)
    found = translator.translate(lines, target_prefix=prefixes, **options)
    tokenizer = translator.tokenizers.target
    expected = tokenizer.lookup(tokenizer.tokenize(prefixes)[:, 1:-1]).to_list()
    for one, free, prefix, tokens in zip(found, plain, prefixes, expected, strict=True):
        assert one.tokens[1 : 1 + len(tokens)] == [token.decode() for token in tokens]
        assert one.text.startswith(prefix)
        if not prefix:
            assert one.text == free.text
            assert one.score == pytest.approx(free.score, abs=1e-3)
    streamed = translator.translate_stream(lines, chunk=7, target_prefix=iter(prefixes), **options)
    assert texts_of(streamed) == texts_of(found)


def test_what_greedy_search_writes_anyway_is_a_prefix_that_changes_nothing(translator, lines):
    plain = translator.translate(lines, style="corpus", token_scores=True)
    prefixes = [" ".join(one.text.split()[:3]) for one in plain]
    found = translator.translate(lines, style="corpus", target_prefix=prefixes)
    for one, free in zip(found, plain, strict=True):
        if free.tokens[-1] == "[END]":
            assert one.text == free.text
            assert one.score == pytest.approx(free.score, abs=1e-3)


def test_no_translation_is_longer_than_it_may_be(translator, lines):
    for options in ({}, {"beam_size": 3}, {"target_prefix": ["the teacher of the girl"] * 40}):
        for one in translator.translate(lines, max_length=4, token_scores=True, **options):
            assert len(one.tokens) - 1 <= 4
    for options in ({"length_ratio": 0.5, "length_offset": 1},):
        for one in translator.translate(lines, token_scores=True, **options):
            assert len(one.tokens) - 1 <= len(one.source_tokens) // 2 + 1


@pytest.mark.slow
def test_unknown_words_can_be_forbidden(translator, lines):
    """Almost every word is as likely as any other at this temperature."""
    options = {"sampling": True, "temperature": 100.0, "n_best": 6, "token_scores": True}

    def tokens(**more):
        found = translator.translate(lines, **options, **more)
        return {token for t in found for one in t.alternatives for token in one.tokens}

    assert "[UNK]" in tokens()
    assert not {"[UNK]", "[PAD]"} & tokens(forbid_unknown=True)


def test_a_sample_follows_from_the_seed_and_the_place_of_its_text(translator, lines):
    options = {"sampling": True, "seed": 3}
    together = texts_of(translator.translate(lines, **options))
    assert texts_of(translator.translate(lines, **options)) == together
    assert texts_of(translator.translate(lines, sampling=True, seed=4)) != together
    others = ["o gato dorme ."] * 5 + lines[5:6] + [" ".join(lines[:4])]
    assert translator.translate(others, **options)[5].text == together[5]
    alone = translator.translate(lines[5:6], first_stream=5, **options)[0]
    assert alone.text == together[5]
    assert texts_of(translator.translate_stream(iter(lines), chunk=3, **options)) == together
    same = texts_of(translator.translate(lines[:1] * 6, **options))
    assert len(set(same)) > 1


def test_several_samples_come_best_first(translator, lines):
    found = translator.translate(lines[:8], sampling=True, n_best=4)
    for one in found:
        ranks = [alternative.normalized_score for alternative in one.alternatives]
        assert len(ranks) == 4
        assert ranks == sorted(ranks, reverse=True)
    assert any(len(set(texts_of(one.alternatives))) > 1 for one in found)


@pytest.fixture(scope="module")
def uncompiled(translator):
    return Search(translator.transformer, start_id=START, end_id=END, jit_compile=False)


@pytest.mark.parametrize(
    ("jit_compile", "gpus", "patience", "expected"),
    [
        (None, [], 60.0, False),
        (None, [], -1.0, True),
        (None, ["a GPU"], 60.0, True),
        (False, ["a GPU"], -1.0, False),
        (True, [], 60.0, True),
    ],
)
def test_searches_are_compiled_when_it_pays(
    jit_compile, gpus, patience, expected, translator, uncompiled, monkeypatch
):
    asked = []

    def recorded(*_, jit_compile, **__):
        asked.append(jit_compile)
        return uncompiled

    monkeypatch.setattr(Translator, "new_search", recorded)
    monkeypatch.setattr(compiling, "PATIENCE", patience)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus)
    fresh = Translator(
        translator.tokenizers,
        translator.transformer,
        **({} if jit_compile is None else {"jit_compile": jit_compile}),
    )
    fresh.translate(["o gato dorme ."])
    assert asked == [expected]


def test_styles_differ_only_in_spacing(translator, lines):
    for corpus, human in zip(
        translator.translate(lines, style="corpus"), translator.translate(lines), strict=True
    ):
        assert corpus.text.replace(" ", "") == human.text.replace(" ", "").lower()
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


def test_calling_translates_a_long_text_in_pieces_as_translate_and_exports_do(translator, lines):
    """Its sentences, no two of which fit into the 30 tokens there is room for."""
    sentences = sentences_of(translator, lines, 16, 30)[:3]
    short = Translator(
        translator.tokenizers,
        translator.transformer,
        decoding=DecodingConfig(max_length=20, sentences=False),
        max_source_length=32,
    )
    whole = " ".join(sentences)
    with pytest.warns(UserWarning, match="1 of 1 texts have more than 32 tokens .* in pieces"):
        text, tokens, attention = short(whole, max_length=20)
    firsts = [short(sentence, max_length=20) for sentence in sentences]
    assert text == b" ".join(first[0].numpy() for first in firsts)
    assert tokens.numpy().tolist() == firsts[0][1].numpy().tolist()
    np.testing.assert_allclose(attention, firsts[0][2], atol=1e-4)

    batch = [whole, lines[0], ""]
    with pytest.warns(UserWarning, match="1 of 3"):
        eagerly = short(batch, max_length=20)
    in_graph = tf.function(lambda texts: short(texts, max_length=20))(tf.constant(batch))
    with pytest.warns(UserWarning, match="1 of 3"):
        translated = texts_of(short.translate(batch, style="corpus"))
    exported = ExportTranslator(short)(tf.constant(batch))
    assert translated[0] == text.numpy().decode()
    for found in (eagerly[0], in_graph[0], exported):
        assert [one.decode() for one in found.numpy()] == translated
    assert in_graph[1].to_list() == eagerly[1].to_list()
    assert eagerly[1][0].numpy().tolist() == tokens.numpy().tolist()
    np.testing.assert_allclose(in_graph[2], eagerly[2], atol=1e-4)
    np.testing.assert_allclose(
        eagerly[2][:1, :, : attention.shape[2], : attention.shape[3]], attention, atol=1e-4
    )


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
    with pytest.raises(InputError, match=r"model\.weights\.h5: is damaged"):
        Translator.load(tmp_path)


COUNT_PROGRAMS = """
import json, os, sys
from pathlib import Path
from keras_transformer import Translator

folder, options = sys.argv[1], json.loads(sys.argv[2])

def programs():
    written = Path(os.environ["XLA_FLAGS"].partition("=")[2])
    return len(list(written.glob("*_round_*.before_optimizations.txt")))

translator = Translator.load(folder, jit_compile=True)
traces, decode_step = [], translator.transformer.decode_step

def traced(*arguments):
    traces.append(arguments)
    return decode_step(*arguments)

translator.transformer.decode_step = traced
translator.warm_up(4, target_length=50, **options)
counts = [programs()]
for texts in (["o gato dorme ."], ["a menina lê .", "sim .", "."], ["não ."] * 4, ["."] * 5):
    translator.translate(texts, **options)
    counts.append(programs())
print(json.dumps([counts, len(traces)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"beam_size": 3}, {"sampling": True}], ids=str)
def test_nothing_is_compiled_after_a_warm_up(options, tiny_run, tmp_path):
    completed = subprocess.run(
        [sys.executable, "-c", COUNT_PROGRAMS, tiny_run.folder, json.dumps(options)],
        env={**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    (warm, *later, more_rows), traces = json.loads(completed.stdout)
    assert warm > 0
    assert later == [warm] * 3
    assert more_rows > warm
    assert traces == 2  # one of the first round, one of the others


def test_a_target_without_a_start_is_refused(translator):
    class Endings:
        def tokenize(self, strings):
            return tf.ragged.constant([[END]] * len(strings), tf.int64)

    tokenizers = Tokenizers(Endings(), Endings())
    with pytest.raises(InputError, match="no start and end"):
        Translator(tokenizers, translator.transformer)


def test_a_warm_up_settles_whether_searches_are_compiled(translator):
    fresh = Translator(translator.tokenizers, translator.transformer, jit_compile=False)
    assert fresh.warm_up() > 0
    assert fresh.jit_compile is False
    with pytest.raises(InputError, match="beams"):
        fresh.warm_up(beams=4)


def test_a_tokenizer_with_more_ids_than_the_model_knows_is_refused(translator):
    tokenizers = translator.tokenizers
    sizes = {"input_vocab_size": int(tokenizers.source.get_vocab_size())}
    sizes["target_vocab_size"] = int(tokenizers.target.get_vocab_size())
    small = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 8}
    for side, name in (("source", "input_vocab_size"), ("target", "target_vocab_size")):
        model = Transformer(**small, **{**sizes, name: sizes[name] - 1})
        with pytest.raises(InputError, match=f"The {side} tokenizer has {sizes[name]} ids"):
            Translator(tokenizers, model)
    rounded_up = Transformer(**small, **{name: size + 5 for name, size in sizes.items()})
    assert isinstance(Translator(tokenizers, rounded_up)("bom dia")[0].numpy(), bytes)
