"""The exported folder answers as the live model does, without this package, and is never torn."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_transformer.errors import InputError
from keras_transformer.exporting import export
from keras_transformer.translation import ExportedTranslator
from keras_transformer.translator import Translator

STRANGER = """
import json, sys
import tensorflow as tf, tensorflow_text
signatures = tf.saved_model.load(sys.argv[1]).signatures
answers = {"serving_default": [], "corpus_style": []}
for batch in json.load(sys.stdin):
    for name in answers:
        answer = signatures[name](tf.constant(batch, tf.string))
        answers[name].append([text.decode() for text in answer["translation"].numpy()])
assert not any(name.startswith("keras_transformer") for name in sys.modules)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    return export(tiny_run.translator, tmp_path_factory.mktemp("saved_models") / "tiny")


@pytest.fixture(scope="module")
def lines(tiny_corpus):
    return [source.decode() for source, _ in tiny_corpus.test.as_numpy_iterator()]


def test_a_strangers_process_gets_the_live_models_answers(exported, tiny_run, lines, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(exported)
    batches = [lines[:1], lines[:7], lines, [], ["", "  ", "日本語 🙂", "[END] \x07"]]
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(moved)],
        input=json.dumps(batches),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    for name, style in (("serving_default", "human"), ("corpus_style", "corpus")):
        assert answers[name] == [
            [translation.text for translation in tiny_run.translator.translate(batch, style=style)]
            for batch in batches
        ]


def test_the_loaded_export_answers_as_the_run_does(exported, tiny_run, lines):
    loaded = Translator.load(exported)
    assert isinstance(loaded, ExportedTranslator)
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


def test_nothing_in_it_must_be_compiled(exported):
    """TensorFlow Serving refuses functions that must be compiled by XLA."""
    content = SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    functions = content.meta_graphs[0].graph_def.library.function
    assert len(functions) > 10
    for function in functions:
        for name in ("_XlaMustCompile", "_XlaCompile"):
            assert not function.attr[name].b, function.signature.name
        assert not any(node.op in ("PyFunc", "EagerPyFunc") for node in function.node_def)


def test_versions_count_up_and_the_highest_is_loaded(exported, tiny_run, monkeypatch):
    folder = exported.parent
    assert exported.name == "1"
    monkeypatch.setattr(tf.saved_model, "save", lambda module, path, signatures: _pretend(path))
    assert export(tiny_run.translator, folder, version=9).name == "9"
    assert export(tiny_run.translator, folder).name == "10"
    opened = []
    monkeypatch.setattr(ExportedTranslator, "__init__", lambda self, path: opened.append(path))
    Translator.load(folder)
    assert opened == [folder / "10"]


def _pretend(path):
    with open(f"{path}/saved_model.pb", "w") as file:
        file.write("pretended")


def test_a_version_is_overwritten_only_when_asked(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.saved_model, "save", lambda module, path, signatures: _pretend(path))
    version = tmp_path / "model" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        export(tiny_run.translator, tmp_path / "model", version=1)
    assert (version / "saved_model.pb").read_text() == "precious"
    export(tiny_run.translator, tmp_path / "model", version=1, overwrite=True)
    assert (version / "saved_model.pb").read_text() == "pretended"
    assert [path.name for path in version.parent.iterdir()] == ["1"]


def test_a_failed_export_leaves_what_was_there(tiny_run, tmp_path, monkeypatch):
    version = tmp_path / "model" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("precious")

    def fail(module, path, signatures):
        _pretend(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="No space"):
        export(tiny_run.translator, tmp_path / "model", version=1, overwrite=True)
    assert (version / "saved_model.pb").read_text() == "precious"
    assert [path.name for path in version.parent.iterdir()] == ["1"]


def test_a_folder_that_cannot_be_written_is_named(tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        export(tiny_run.translator, tmp_path / "file" / "model")


def test_a_saved_model_of_another_kind_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(InputError, match="not written by export"):
        Translator.load(tmp_path)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be loaded"):
        Translator.load(tmp_path)
