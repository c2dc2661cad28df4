"""The exported folder answers as the live model does, without this package, and is never torn."""

import dataclasses
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_transformer.decoding.buckets import ROWS, SOURCE_ROOM
from keras_transformer.decoding.shortlist import Shortlist
from keras_transformer.errors import InputError
from keras_transformer.exporting import export
from keras_transformer.exporting.format import read_about
from keras_transformer.exporting.model_card import model_card
from keras_transformer.exporting.saved_model import _ServingModule
from keras_transformer.exporting.warm_up_requests import write_warm_up_requests
from keras_transformer.translating.batches import BATCH_ROWS
from keras_transformer.translating.exported import ExportedTranslator
from keras_transformer.translating.translator import Translator

STRANGER = """
import json, sys
import tensorflow as tf, tensorflow_text
signatures = tf.saved_model.load(sys.argv[1]).signatures
answers = {}
for name, batches in json.load(sys.stdin).items():
    answers[name] = []
    for batch in batches:
        answer = signatures[name](text=tf.constant(batch, tf.string))
        answers[name].append([text.decode() for text in answer["translation"].numpy()])
assert not any(name.startswith("keras_transformer") for name in sys.modules)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    return export(tiny_run.translator, tmp_path_factory.mktemp("saved_models") / "tiny")


@pytest.fixture(scope="module")
def loaded(exported):
    return Translator.load(exported)


@pytest.fixture(scope="module")
def model(exported):
    return tf.saved_model.load(str(exported))  # its signatures live as long as it does


@pytest.fixture(scope="module")
def lines(tiny_corpus):
    return [source.decode() for source, _ in tiny_corpus.test.as_numpy_iterator()]


def test_a_strangers_process_gets_the_live_models_answers(exported, tiny_run, lines, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(exported)
    long = " ".join(lines[:12])
    batches = [lines[:1], lines[:7], lines, [], ["", "  ", "日本語 🙂", "[END] \x07", long]]
    # Each size of a batch is compiled anew, which takes seconds.
    compiled = [lines[:7], []]
    asked = {"serving_default": batches, "corpus_style": batches, "serving_xla": compiled}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(moved)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    styles = {"serving_default": "human", "corpus_style": "corpus", "serving_xla": "human"}
    for name, style in styles.items():
        for batch, found in zip(asked[name], answers[name], strict=True):
            live = tiny_run.translator.translate(batch, style=style)
            differ = [
                (one.text, other)
                for one, other in zip(live, found, strict=True)
                if one.text != other
            ]
            # That process optimises its graphs: sums are rounded otherwise, and ties go elsewhere.
            assert len(differ) <= len(batch) // 20, differ


AS_TENSORFLOW_SERVING_LOADS_IT = """
import json, sys
import tensorflow as tf, tensorflow_text
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    graph = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
    signature = graph.signature_def["serving_default"]
    answer = session.run(
        signature.outputs["translation"].name,
        {signature.inputs["text"].name: json.load(sys.stdin)},
    )
print(json.dumps([text.decode() for text in answer]))
"""


@pytest.mark.slow
def test_a_session_of_tensorflow_1_gets_them_too(exported, tiny_run, lines):
    """TensorFlow Serving loads it so."""
    done = subprocess.run(
        [sys.executable, "-c", AS_TENSORFLOW_SERVING_LOADS_IT, str(exported)],
        input=json.dumps(lines[:9]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        translation.text for translation in tiny_run.translator.translate(lines[:9])
    ]


def test_the_loaded_export_answers_as_the_run_does(loaded, tiny_run, lines):
    assert isinstance(loaded, ExportedTranslator)
    assert loaded.examples == tiny_run.translator.examples
    for style in ("human", "corpus"):
        live = tiny_run.translator.translate(lines[:9], style=style, attention=True)
        for one, two in zip(
            live, loaded.translate(lines[:9], style=style, attention=True), strict=True
        ):
            assert (one.text, one.tokens, one.source_tokens) == (
                two.text,
                two.tokens,
                two.source_tokens,
            )
            assert one.score == pytest.approx(two.score, abs=1e-3)
            np.testing.assert_allclose(one.attention, two.attention, atol=1e-4)
    assert loaded.translate(lines[:1])[0].attention is None
    odd = ["o gato \ud83d dorme .", b"o gato dorme ."]
    assert [one.text for one in loaded.translate(odd)] == [
        one.text for one in tiny_run.translator.translate(odd)
    ]


def test_the_loaded_export_aligns_as_the_run_does(loaded, tiny_run, lines):
    live = tiny_run.translator.translate(lines[:9], alignment=True)
    for one, two in zip(live, loaded.translate(lines[:9], alignment=True), strict=True):
        assert (one.text, one.token_links.places) == (two.text, two.token_links.places)
        assert [link[:2] for link in one.alignment] == [link[:2] for link in two.alignment]
    for options in ({"style": "corpus"}, {"attention": True}):
        with pytest.raises(InputError, match="alignments of translations in human style alone"):
            loaded.translate(["a"], alignment=True, **options)


@pytest.mark.filterwarnings("ignore:.*translated in pieces")
def test_of_a_long_text_an_export_gives_what_calling_the_translator_does(loaded, tiny_run, lines):
    long = " ".join(lines[:12])
    text, tokens, attention = tiny_run.translator(long)
    exported = loaded.translate([long], style="corpus", attention=True)[0]
    assert exported.text == text.numpy().decode()
    assert exported.tokens == [token.decode() for token in tokens.numpy()]
    np.testing.assert_allclose(exported.attention, attention[0], atol=1e-4)
    live = tiny_run.translator.translate([long], style="corpus")[0]
    assert (live.text, live.attention) == (exported.text, None)


def reachable_nodes(meta_graph, signature):
    """All nodes that run when a signature is called, those of functions included."""
    functions = {
        function.signature.name: function for function in meta_graph.graph_def.library.function
    }
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    names = [part.name for part in meta_graph.signature_def[signature].outputs.values()]
    waiting, seen, called = [name.split(":")[0] for name in names], set(), set()
    found = []

    def visit(node):
        found.append(node)
        for value in node.attr.values():
            for called_name in [value.func.name, *(func.name for func in value.list.func)]:
                if called_name and called_name not in called:
                    called.add(called_name)
                    for inner in functions[called_name].node_def:
                        visit(inner)

    while waiting:
        name = waiting.pop().lstrip("^").split(":")[0]
        if name not in seen:
            seen.add(name)
            visit(nodes[name])
            waiting.extend(nodes[name].input)
    return found, [functions[name] for name in called]


def test_only_the_compiled_twins_must_be_compiled(exported):
    """TensorFlow Serving refuses functions that must be compiled by XLA."""
    content = SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    [meta_graph] = content.meta_graphs
    others = {"alignment", "alternatives", "glossary", "sentences", "tokenize"}
    plain = {"serving_default", "corpus_style", "translate_beam", "attention"} | others
    compiled = {"serving_xla", "corpus_style_xla", "translate_beam_xla", "attention_xla"}
    assert set(meta_graph.signature_def) - {"__saved_model_init_op"} == plain | compiled
    for signature in plain | compiled:
        nodes, functions = reachable_nodes(meta_graph, signature)
        assert len(nodes) > 5
        assert not any(node.op in ("PyFunc", "EagerPyFunc", "PyFuncStateless") for node in nodes)
        must_compile = any(
            part.attr[name].b
            for part in nodes + functions
            for name in ("_XlaMustCompile", "_XlaCompile")
        )
        assert must_compile == (signature in compiled), signature


@pytest.mark.slow
def test_the_compiled_twins_give_the_same(exported, loaded, lines):
    compiled = ExportedTranslator(exported, jit_compile=True)
    long = " ".join(lines[:12])
    for options in ({"attention": True}, {"style": "corpus"}, {"beam_size": 3, "n_best": 3}):
        for one, two in zip(
            loaded.translate([*lines[:5], "", long], **options),
            compiled.translate([*lines[:5], "", long], **options),
            strict=True,
        ):
            assert one.text == two.text
            assert one.score == pytest.approx(two.score, abs=1e-3)
            if options.get("attention"):
                np.testing.assert_allclose(one.attention, two.attention, atol=1e-4)
            if "n_best" in options:
                assert [other.text for other in one.alternatives] == [
                    other.text for other in two.alternatives
                ]


def test_the_beams_of_an_export_are_the_live_models(loaded, tiny_run, lines):
    texts = [*lines[:7], "", " ".join(lines[:12]), "日本語"]
    for options in (
        {"beam_size": 1},
        {"beam_size": 4, "n_best": 4},
        {"beam_size": 4, "max_length": 4},
        {"beam_size": 2, "length_penalty": 0.0},
    ):
        live = tiny_run.translator.translate(texts, **options)
        for one, two in zip(live, loaded.translate(texts, **options), strict=True):
            assert one.text == two.text
            assert one.score == pytest.approx(two.score, abs=1e-3)
            assert one.normalized_score == pytest.approx(two.normalized_score, abs=1e-3)
            assert [other.text for other in one.alternatives or []] == [
                other.text for other in two.alternatives or []
            ]


def test_what_an_export_cannot_do_is_refused(loaded, lines):
    for options in (
        {"sampling": True},
        {"beam_size": 2, "style": "corpus"},
        {"beam_size": 0},
        {"length_penalty": 11, "beam_size": 2},
    ):
        with pytest.raises(InputError, match=next(iter(options))):
            loaded.translate(lines[:2], **options)
    for options in ({"max_length": 0}, {"length_penalty": float("nan")}, {"beam_size": True}):
        with pytest.raises(InputError, match=next(iter(options))):
            loaded.translate(lines[:2], **{"beam_size": 2, **options})
    with pytest.raises(InputError, match="n_best"):
        loaded.translate(lines[:2], beam_size=2, n_best=3)


def test_tokens_are_those_of_the_tokenizer(model, tiny_run, lines):
    answer = model.signatures["tokenize"](text=tf.constant(lines[:5]))
    tokenizer = tiny_run.translator.tokenizers.source
    ids = tokenizer.tokenize(tf.constant(lines[:5]))
    np.testing.assert_array_equal(answer["ids"], ids.to_tensor())
    np.testing.assert_array_equal(answer["tokens"], tokenizer.lookup(ids).to_tensor())


def test_an_export_has_the_shortlist_that_it_searches_by(exported, tiny_run, lines, tmp_path):
    translator = Translator.load(tiny_run.folder)
    size = 2  # so few that translations are others
    translator.shortlist = Shortlist(
        translator.shortlist.candidates.numpy()[:, :size],
        translator.shortlist.frequent[:20],
        translator.shortlist.vocab_size,
    )
    translator.decoding = dataclasses.replace(translator.decoding, shortlist=size)
    folder = export(translator, tmp_path / "short")
    live = [one.text for one in translator.translate(lines)]
    assert live != [one.text for one in tiny_run.translator.translate(lines)]
    for jit_compile in (False, True):
        short = ExportedTranslator(folder, jit_compile=jit_compile)
        assert [one.text for one in short.translate(lines)] == live
    with pytest.raises(InputError, match="leave out shortlist"):
        short.translate(lines, shortlist=3)

    def table(folder):
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        return any("shortlist" in name for name in reader.get_variable_to_shape_map())

    assert table(folder)
    assert not table(exported)


@pytest.mark.slow
def test_half_the_bytes_give_nearly_the_same_scores(exported, loaded, tiny_run, lines, tmp_path):
    half = export(tiny_run.translator, tmp_path / "half", weights="float16", compiled=False)

    def size(folder):
        return (folder / "variables" / "variables.data-00000-of-00001").stat().st_size

    assert size(half) < 0.6 * size(exported)
    full = loaded.translate(lines)
    halved = ExportedTranslator(half).translate(lines)
    same = [(one, two) for one, two in zip(full, halved, strict=True) if one.text == two.text]
    assert len(same) > 0.8 * len(lines)
    assert max(abs(one.score - two.score) for one, two in same) < 0.1
    assert any(one.score != two.score for one, two in same)
    with pytest.raises(InputError, match="without programs for XLA"):
        ExportedTranslator(half, jit_compile=True)
    with pytest.raises(ValueError, match="got 'int3'"):
        export(tiny_run.translator, tmp_path / "other", weights="int3")


def test_what_stands_beside_the_model(exported, tiny_run):
    card = (exported / "README.md").read_text()
    assert "# Translation from pt to en" in card
    assert f"{tiny_run.translator.transformer.count_params():,}" in card
    extra = json.loads((exported / "assets.extra" / "keras_transformer.json").read_text())
    assert extra["max_source_length"] == tiny_run.translator.max_source_length
    assert (extra["source_language"], extra["target_language"]) == ("pt", "en")
    assert extra["compiled_rows"] == [rows for rows in ROWS if rows <= BATCH_ROWS]
    assert extra["compiled_length"] == SOURCE_ROOM
    assert extra["examples"] == tiny_run.translator.examples != []
    assert not list(exported.rglob("*.tmp*"))


def test_the_card_of_a_run_tells_of_its_training_and_scores(tiny_run, tmp_path):
    translator = Translator.load(tiny_run.folder)
    metric = {"score": 12.345, "signature": "nrefs:1|tok:13a"}
    scores = dict.fromkeys(("bleu", "bleu_none", "chrf"), metric)
    scores |= {"sentences": 1193, "test_set": "the test set"}
    card = model_card(translator, tmp_path, [scores])
    assert "corpus: `tiny`" in card
    assert "200 steps" in card
    assert "| the test set, 1,193 sentences | BLEU | 12.35 | `nrefs:1 tok:13a` |" in card


@pytest.mark.slow
def test_the_warm_up_requests_are_ones_the_model_answers(exported, model):
    predict_log = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    asked = set()
    records = tf.data.TFRecordDataset(str(exported / "assets.extra" / "tf_serving_warmup_requests"))
    for record in records.as_numpy_iterator():
        request = predict_log.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        asked.add(request.model_spec.signature_name)
        inputs = {name: tf.constant(value) for name, value in inputs.items()}
        model.signatures[request.model_spec.signature_name](**inputs)
    assert asked == {"serving_default", "corpus_style", "attention", "tokenize", "translate_beam"}


def test_without_the_protos_the_warm_up_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.warns(UserWarning, match=r"keras_transformer\[serve\]"):
        write_warm_up_requests(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_versions_count_up_and_the_highest_is_loaded(
    exported, tiny_run, monkeypatch, pretended_saving
):
    folder = exported.parent
    assert exported.name == "1"
    assert export(tiny_run.translator, folder, version=9).name == "9"
    assert export(tiny_run.translator, folder).name == "10"
    opened = []
    monkeypatch.setattr(
        ExportedTranslator, "__init__", lambda self, path, jit_compile: opened.append(path)
    )
    Translator.load(folder)
    assert opened == [folder / "10"]


@pytest.fixture
def pretended_saving(monkeypatch):
    """Saving writes a file that says so, at once."""
    monkeypatch.setattr(_ServingModule, "signatures", lambda self, compiled: {})
    monkeypatch.setattr(tf.saved_model, "save", lambda module, path, signatures: _pretend(path))


def _pretend(path):
    with open(f"{path}/saved_model.pb", "w") as file:
        file.write("pretended")


def test_a_version_is_overwritten_only_when_asked(tiny_run, tmp_path, pretended_saving):
    version = tmp_path / "model" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        export(tiny_run.translator, tmp_path / "model", version=1)
    assert (version / "saved_model.pb").read_text() == "precious"
    export(tiny_run.translator, tmp_path / "model", version=1, overwrite=True)
    assert (version / "saved_model.pb").read_text() == "pretended"
    assert [path.name for path in version.parent.iterdir()] == ["1"]


def test_an_export_logs_no_name_but_its_own(tiny_run, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(_ServingModule, "signatures", lambda self, compiled: {})
    with caplog.at_level(logging.INFO, tf.get_logger().name):
        tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
        export(tiny_run.translator, tmp_path / "model")
        tf.saved_model.save(tf.Module(), str(tmp_path / "another"))
    assert ["other" in message for message in caplog.messages] == [True, True], caplog.messages


def test_examples_are_those_given_or_the_translators_or_none(tiny_run, tmp_path, pretended_saving):
    translator = Translator.load(tiny_run.folder)
    translator.examples = ["Um gato."]
    for given, expected in ((None, ["Um gato."]), ([], []), (("<hr>", "Dois."), ["<hr>", "Dois."])):
        folder = export(translator, tmp_path, examples=given)
        assert read_about(folder)["examples"] == expected
        of_corpus = "- texts of it in this folder: 1, as examples, in `assets.extra/"
        assert (of_corpus in (folder / "README.md").read_text()) == (given is None)
    with pytest.raises(InputError, match="example 1 is not a text"):
        export(translator, tmp_path / "other", examples=[b"Um gato."])
    assert not (tmp_path / "other").exists()


def test_a_failed_export_leaves_what_was_there(tiny_run, tmp_path, monkeypatch, pretended_saving):
    version = tmp_path / "model" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("precious")

    def fail(module, path, signatures):
        _pretend(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(InputError, match=r"No space left on device.*free some space"):
        export(tiny_run.translator, tmp_path / "model", version=1, overwrite=True)
    assert (version / "saved_model.pb").read_text() == "precious"
    assert [path.name for path in version.parent.iterdir()] == ["1"]


def test_a_folder_that_cannot_be_written_is_named(tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        export(tiny_run.translator, tmp_path / "file" / "model")  # before anything is traced


def test_a_saved_model_of_another_kind_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(InputError, match="not written by export"):
        Translator.load(tmp_path)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be loaded"):
        Translator.load(tmp_path)
