"""CTranslate2 computes what the Keras model does, from a folder that is whole or not there."""

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from keras_transformer import edition_2019
from keras_transformer.cli.command import main
from keras_transformer.config import DecodingConfig
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.decoding.shortlist import Shortlist
from keras_transformer.errors import InputError
from keras_transformer.exporting import CTranslate2Translator, export_ctranslate2
from keras_transformer.models.transformer import Transformer
from keras_transformer.special_tokens import END, RESERVED_TOKENS, START
from keras_transformer.translating.evaluation import evaluate
from keras_transformer.translating.translator import Translator

ctranslate2 = pytest.importorskip("ctranslate2")

SOURCE_SIZE, TARGET_SIZE = 37, 41
SHARED = {"target_vocab_size": SOURCE_SIZE, "share_embeddings": True}

VARIANTS = {
    "post-norm": {"num_layers": 2},
    "pre-norm": {"num_layers": 2, "norm_first": True},
    "tied": {"tie_output": True, "norm_first": True},
    "shared": {**SHARED},
    "shared and tied": {**SHARED, "tie_output": True},
    "interleaved": {"positions": "interleaved", "activation": "tanh"},
    "learned": {"positions": "learned", "norm_first": True},
    "rotary": {"positions": "rotary", "activation": "sigmoid"},
    "rotary, wide heads": {"positions": "rotary", "key_dim": 12, "norm_first": True},
    "no positions": {"positions": "none", "activation": "gelu"},
    "the 2022 tutorial's heads": {"key_dim": 16, "layer_norm_epsilon": 1e-3},
    "odd heads": {"num_heads": 3, "key_dim": 5, "activation": "swish"},
    "depths apart": {"num_encoder_layers": 3, "num_decoder_layers": 2},
    "large epsilon": {"layer_norm_epsilon": 0.1, "norm_first": True},
}


def word_tokenizer(letter, size):
    """One whose words are ``a4``, ``a5`` and so on, with the ids in their names."""
    words = [f"{letter}{i}" for i in range(len(RESERVED_TOKENS), size)]
    return WordPieceTokenizer([*RESERVED_TOKENS, *words], normalization="none")


def random_translator(decoding=None, **changes):
    """A model of random weights, all of which matter, and tokenizers of made-up words."""
    keras.utils.set_random_seed(1)
    arguments = {
        "num_layers": 1,
        "d_model": 16,
        "num_heads": 2,
        "dff": 32,
        "input_vocab_size": SOURCE_SIZE,
        "target_vocab_size": TARGET_SIZE,
        "max_length": 24,
        **changes,
    }
    return _randomised(Transformer(**arguments), decoding)


def _randomised(model, decoding=None):
    generator = np.random.default_rng(2)
    for weight in model.trainable_variables:
        weight.assign(weight + generator.normal(0, 0.3, weight.shape))
    source = word_tokenizer("a", model.encoder.vocab_size)
    shared = model.encoder.pos_embedding.embedding is model.decoder.pos_embedding.embedding
    target = source if shared else word_tokenizer("b", model.decoder.vocab_size)
    return Translator(Tokenizers(source, target), model, decoding=decoding, jit_compile=False)


def random_ids(lengths, size):
    generator = np.random.default_rng(3)
    return [generator.integers(len(RESERVED_TOKENS), size, length).tolist() for length in lengths]


def names(tokenizer, ids):
    rows = tokenizer.lookup(tf.ragged.constant(ids)).to_list()
    return [[name.decode() for name in row] for row in rows]


def load(folder, **options):
    """On one thread: on a busy machine several wait for each other most of the time."""
    return CTranslate2Translator(folder, intra_threads=1, **options)


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    return export_ctranslate2(tiny_run.translator, tmp_path_factory.mktemp("ctranslate2") / "tiny")


@pytest.fixture(scope="module")
def lines(tiny_corpus):
    return [source.decode() for source, _ in tiny_corpus.test.as_numpy_iterator()]


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_both_give_every_target_token_the_same_probability(changes, tmp_path):
    translator = random_translator(**changes)
    model, tokenizers = translator.transformer, translator.tokenizers
    sources = random_ids((4, 9, 1, 20), SOURCE_SIZE)
    sources = [[START, *ids, END] for ids in sources]
    targets = random_ids((3, 11, 20, 6), model.target_vocab_size)

    engine = ctranslate2.Translator(str(export_ctranslate2(translator, tmp_path)), intra_threads=1)
    scored = engine.score_batch(
        names(tokenizers.source, sources), names(tokenizers.target, targets)
    )
    inputs = [[START, *ids] for ids in targets]
    logits = model(
        (tf.ragged.constant(sources).to_tensor(), tf.ragged.constant(inputs).to_tensor()),
        training=False,
    )
    log_probabilities = tf.nn.log_softmax(logits).numpy()
    for row, (answer, ids) in enumerate(zip(scored, targets, strict=True)):
        expected = [log_probabilities[row, i, id] for i, id in enumerate([*ids, END])]
        np.testing.assert_allclose(answer.log_probs, expected, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "shared and tied",
        "rotary, wide heads",
        pytest.param("learned", marks=pytest.mark.slow),
        pytest.param("2019", marks=pytest.mark.slow),
    ],
)
def test_step_by_step_both_choose_the_same_tokens(name, tmp_path):
    """Few of these translations end by themselves, so that the limit of each row counts."""
    decoding = DecodingConfig(length_ratio=1.3, length_offset=2)
    if name == "2019":
        model = edition_2019.Transformer(2, 16, 2, 32, SOURCE_SIZE, TARGET_SIZE, 30, 24)
        translator = _randomised(model, decoding)
    else:
        translator = random_translator(decoding, **VARIANTS[name])
    sources = names(translator.tokenizers.source, random_ids((4, 4, 9, 1, 22), SOURCE_SIZE))
    lines = [" ".join(words) for words in sources]
    loaded = load(export_ctranslate2(translator, tmp_path))
    ours, theirs = translator.translate(lines), loaded.translate(lines)
    assert [one.text for one in theirs] == [one.text for one in ours]
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
    assert {len(one.text.split()) for one in theirs} & {int(1.3 * 6) + 2, int(1.3 * 11) + 2}


def test_a_trained_run_and_its_export_translate_alike(exported, tiny_run, lines):
    loaded = load(exported.parent, inter_threads=2)
    lines = [lines[0], "", *lines[1:], "  ", "日本語 🙂", "[END] \x07"]
    for style in ("human", "corpus"):
        ours = tiny_run.translator.translate(lines, style=style)
        theirs = loaded.translate(iter(lines), style=style)
        assert [one.text for one in theirs] == [one.text for one in ours]
        np.testing.assert_allclose(
            [one.score for one in theirs], [one.score for one in ours], atol=1e-3
        )
    assert loaded.translate([]) == []
    streamed = loaded.translate_stream(lines, chunk=7, style="corpus")
    assert [one.text for one in streamed] == [one.text for one in theirs]


def test_a_shortlist_is_a_vocabulary_map(exported, tiny_run, lines, tmp_path):
    translator = Translator.load(tiny_run.folder)
    size = 2  # so few that translations are others
    translator.shortlist = Shortlist(
        translator.shortlist.candidates.numpy()[:, :size],
        translator.shortlist.frequent[:20],
        translator.shortlist.vocab_size,
    )
    translator.decoding = dataclasses.replace(translator.decoding, shortlist=size)
    short = load(export_ctranslate2(translator, tmp_path / "short"))
    # CTranslate2 lets a sentence have the tokens of its whole batch, as this package does not.
    theirs = [short.translate([line])[0] for line in lines]
    ours = translator.translate(lines)
    assert [one.text for one in theirs] == [one.text for one in ours]
    np.testing.assert_allclose(
        [one.score for one in theirs], [one.score for one in ours], atol=1e-3
    )
    plain = [one.text for one in load(exported).translate(lines)]
    assert [one.text for one in theirs] != plain
    assert [one.text for one in short.translate(lines, use_vmap=False)] == plain
    assert not (exported / "vmap.txt").exists()


def test_it_can_be_evaluated(exported, tiny_run, tiny_corpus):
    ours = evaluate(tiny_run.translator, tiny_corpus.test)
    theirs = evaluate(load(exported), tiny_corpus.test)
    assert theirs["bleu"] == ours["bleu"]
    assert theirs["chrf"] == ours["chrf"]


@pytest.mark.parametrize("length_penalty", [0.0, 0.7])
def test_a_beam_gives_its_best_first(length_penalty, exported, lines):
    loaded = load(exported)
    found = loaded.translate(
        ["", *lines], n_best=3, beam_size=4, length_penalty=length_penalty, style="corpus"
    )
    plain = loaded.translate(lines, beam_size=4, length_penalty=length_penalty, style="corpus")
    empty, *found = found
    assert (empty.text, empty.score, len(empty.alternatives)) == ("", 0, 1)
    for several, one in zip(found, plain, strict=True):
        ranks = [translation.normalized_score for translation in several.alternatives]
        assert ranks == sorted(ranks, reverse=True)
        assert len({translation.text for translation in several.alternatives}) == 3
        assert several.alternatives[0].text == several.text == one.text
        assert several.score == pytest.approx(one.score, abs=1e-4)
        assert one.alternatives is None


def test_a_score_is_the_sum_over_the_tokens(exported, tiny_run, lines):
    """Whatever the penalty; so both translators say the same about the same translation."""
    ours = tiny_run.translator.translate(lines, beam_size=4, length_penalty=0.7)
    theirs = load(exported).translate(lines, beam_size=4, length_penalty=0.7)
    pairs = [pair for pair in zip(ours, theirs, strict=True) if pair[0].text == pair[1].text]
    assert len(pairs) > len(lines) // 2
    for one, other in pairs:
        assert one.score == pytest.approx(other.score, abs=1e-3)


def test_options_that_it_lacks_are_named(exported):
    loaded = load(exported)
    for options in ({"attention": True}, {"n_best": 3}, {"beam_size": 0}, {"patience": "long"}):
        with pytest.raises(InputError, match=f"CTranslate2 refuses .*{next(iter(options))}=") as e:
            loaded.translate(["o gato dorme ."], **options)
        assert "\n" not in str(e.value)
    for options in ({"length_penalty": float("nan")}, {"max_length": 0}, {"beam_size": 1.5}):
        with pytest.raises(InputError, match=next(iter(options))):
            loaded.translate(["o gato dorme ."], **options)


def test_loading_knows_it_by_its_file(exported):
    for folder in (exported, exported.parent):
        loaded = Translator.load(folder)
        assert isinstance(loaded, CTranslate2Translator)
        assert loaded.folder == exported


@pytest.mark.parametrize(
    "quantization", ["int8", "int8_float32", "int16", "float16", "bfloat16", "float32"]
)
def test_quantised_weights_translate_much_alike(quantization, exported, tiny_run, lines, tmp_path):
    if quantization == "bfloat16":
        pytest.importorskip("torch", reason="ctranslate2 leaves bfloat16 to it")
    folder = export_ctranslate2(tiny_run.translator, tmp_path, quantization=quantization)
    if quantization != "float32":
        assert _size(folder) < 0.7 * _size(exported)
    loaded = load(folder)  # in float32 where the processor lacks the type
    exact = load(exported).translate(lines)
    rounded = loaded.translate(lines)
    assert all(np.isfinite(one.score) for one in rounded)
    if not _exact_products_of_bytes():
        return  # there so small a model says other things
    same = sum(one.text == other.text for one, other in zip(exact, rounded, strict=True))
    assert same >= 0.6 * len(lines)


def _exact_products_of_bytes() -> bool:
    """Whether the processor adds products of 8 bits without losing any."""
    processor = Path("/proc/cpuinfo")
    return not processor.exists() or "vnni" in processor.read_text()


def _size(folder):
    return (folder / "model.bin").stat().st_size


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
def test_the_readme_translates_without_this_package(kind, tiny_run, lines, tmp_path):
    translator = tiny_run.translator
    if kind == "sentencepiece":
        tokenizer = SentencePieceTokenizer.train(lines, vocab_size=400)
        size = tokenizer.vocab_size
        model = Transformer(
            num_layers=1, d_model=16, num_heads=2, dff=32, max_length=48,
            input_vocab_size=size, target_vocab_size=size, norm_first=True,
        )  # fmt: skip
        translator = Translator(Tokenizers(tokenizer, tokenizer), model, jit_compile=False)
    folder = export_ctranslate2(translator, tmp_path)
    code = (folder / "README.md").read_text(encoding="utf-8").split("```")[3]
    code = code.removeprefix("python\n").replace('text = "..."', f"text = {lines[3]!r}")
    code += '\nimport sys\nassert not {"keras_transformer", "tensorflow"} & set(sys.modules)\n'
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    expected = translator.translate(lines[3:4], style="corpus")[0].text
    assert done.stdout.decode().strip() == expected


def test_texts_beyond_reach_are_translated_in_pieces(tmp_path):
    translator = random_translator(DecodingConfig(max_length=7), max_length=8, norm_first=True)
    loaded = load(export_ctranslate2(translator, tmp_path))
    lines = ["a5", " ".join(f"a{i}" for i in range(4, 20)), "\ud800"]
    with pytest.warns(UserWarning, match="1 of 3 texts have more than 8 tokens"):
        theirs = loaded.translate(lines)
    with warnings.catch_warnings(action="ignore"):
        ours = translator.translate(lines)
    assert [one.text for one in theirs] == [one.text for one in ours]
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)


def test_ids_that_the_tokenizer_lacks_get_names(tmp_path):
    translator = random_translator()
    translator.tokenizers = Tokenizers(word_tokenizer("a", 30), word_tokenizer("b", 12))
    folder = export_ctranslate2(translator, tmp_path)
    vocabulary = json.loads((folder / "target_vocabulary.json").read_text())
    assert len(vocabulary) == TARGET_SIZE
    assert vocabulary[11:13] == ["b11", "[UNUSED 12]"]
    ours = translator.translate(["a4 a5 a6", "a7"])
    assert [one.text for one in load(folder).translate(["a4 a5 a6", "a7"])] == [
        one.text for one in ours
    ]


def test_versions_count_up_and_an_old_one_is_safe(exported, tmp_path):
    translator = random_translator()
    assert exported.name == "1"
    assert export_ctranslate2(translator, tmp_path, version=9).name == "9"
    tenth = export_ctranslate2(translator, tmp_path)
    assert tenth.name == "10"
    assert load(tmp_path).folder == tenth
    (tenth / "mark").write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        export_ctranslate2(translator, tmp_path, version=10)
    assert (tenth / "mark").exists()
    export_ctranslate2(translator, tmp_path, version=10, overwrite=True)
    assert not (tenth / "mark").exists()
    assert sorted(os.listdir(tmp_path)) == ["10", "9"]


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    translator = random_translator()

    def fail(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(translator.tokenizers, "save", fail)
    with pytest.raises(InputError, match=r"No space left on device.*free some space"):
        export_ctranslate2(translator, tmp_path)
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        export_ctranslate2(translator, tmp_path / "file" / "model")


@pytest.mark.parametrize(
    ("changes", "tokenizers", "quantization", "message"),
    [
        ({"activation": "elu"}, None, None, "no activation 'elu'"),
        ({}, None, "int4", "quantization 'int4': choose one of int8, "),
        ({}, ("a", 50), None, "source tokenizer has 50 tokens, the model 37"),
        ({}, ("[UNUSED 36]", 36), None, None),
    ],
)
def test_what_cannot_be_exported_is_named(changes, tokenizers, quantization, message, tmp_path):
    translator = random_translator(**changes)
    if message is None:  # the tokenizer has the very name that a missing token would get
        words = [*RESERVED_TOKENS, tokenizers[0], *(f"a{i}" for i in range(5, tokenizers[1]))]
        source = WordPieceTokenizer(words, normalization="none")
        message = "source vocabulary repeats"
    elif tokenizers:
        source = word_tokenizer(*tokenizers)
    else:
        source = translator.tokenizers.source
    translator.tokenizers = Tokenizers(source, translator.tokenizers.target)
    with pytest.raises(InputError, match=message):
        export_ctranslate2(translator, tmp_path, quantization=quantization)
    assert os.listdir(tmp_path) == []


def test_other_models_are_refused(tmp_path):
    translator = random_translator()
    translator.transformer = keras.Sequential()
    with pytest.raises(InputError, match="Sequential has no CTranslate2 form"):
        export_ctranslate2(translator, tmp_path)


def test_a_missing_ctranslate2_names_the_extra(tiny_run, exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(InputError, match=r'pip install "keras_transformer\[ctranslate2\]"'):
        export_ctranslate2(tiny_run.translator, tmp_path)
    with pytest.raises(InputError, match=r"keras_transformer\[ctranslate2\]"):
        load(exported)


def test_folders_of_another_kind_are_refused(exported, tiny_run, tmp_path):
    with pytest.raises(InputError, match=r"it has no model\.bin"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"it has no model\.bin"):
        load(tiny_run.folder)
    with pytest.raises(InputError, match="cannot be loaded"):
        load(exported, compute_type="int7")
    folder = export_ctranslate2(random_translator(), tmp_path)
    (folder / "model.bin").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"model\.bin: is damaged"):
        load(folder)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        load(folder)


def test_the_command_exports_in_either_form(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(Translator, "load", lambda path: tiny_run.translator)

    def run(*options):
        arguments = ["export", "--model", str(tiny_run.folder), "--output", str(tmp_path / "m")]
        return CliRunner().invoke(main, [*arguments, *options])

    done = run("--format", "ctranslate2", "--quantization", "int8")
    assert done.stdout == f"{tmp_path / 'm' / '1'}\n", done.stderr
    assert (tmp_path / "m" / "1" / "model.bin").is_file()
    wrong = run("--format", "ctranslate2", "--quantization", "int4")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (1, 1)
    wrong = run("--quantization", "int8")
    assert wrong.exit_code == 2
    assert "--format ctranslate2" in wrong.stderr
