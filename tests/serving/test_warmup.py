"""A version answers its own and representative requests before it serves, or does not serve."""

import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from keras_transformer.errors import InputError
from keras_transformer.exporting.format import ABOUT_FILE, WARM_UP_FILE
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.warmup import warm_up


@pytest.fixture(scope="module")
def loaded(tiny_export):
    return LoadedModel(tiny_export / "1")


@pytest.fixture
def asked(loaded, monkeypatch):
    """What the model is asked: signatures, numbers of texts, scalars."""
    asked, warm = [], loaded.warm

    def remember(signature, texts, scalars, **options):
        asked.append((signature.name, len(texts), dict(scalars)))
        return warm(signature, texts, scalars, **options)

    monkeypatch.setattr(loaded, "warm", remember)
    return asked


@pytest.fixture
def version(tmp_path, tiny_export):
    return shutil.copytree(tiny_export / "1", tmp_path / "1")


def write_requests(version, *requests):
    path = version / WARM_UP_FILE
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def test_every_signature_answers_and_a_compiled_one_in_all_its_sizes(loaded, asked, version):
    assert loaded.compiled == {"serving_default"}
    assert warm_up(loaded, version, max_batch_size=16) == len(asked)
    assert {name for name, _, _ in asked} == {
        "serving_default",
        "corpus_style",
        "attention",
        "translate_beam",
        "sentences",
        "alignment",
        "glossary",
        "tokenize",
        "pairs",
    }
    assert {rows for name, rows, _ in asked if name == "serving_default"} == {1, 4, 16}
    (scalars,) = (scalars for name, _, scalars in asked if name == "translate_beam")
    assert scalars == {"beam_size": 4, "length_penalty": 1.0, "max_length": 0}


@pytest.mark.parametrize(
    ("about", "rows"),
    [
        ('{"source_language": "pt", "target_language": "en"}', (1, 4, 16, 64, 256)),  # of 0.1
        ('{"compiled_rows": [2, 8]}', (2, 8)),
        ('{"compiled_rows": [0, "all"]}', (1, 4, 16, 64, 256)),
        ("[]", (1, 4, 16, 64, 256)),
    ],
)
def test_the_sizes_of_compiled_signatures_are_those_that_the_export_names(about, rows, version):
    (version / ABOUT_FILE).write_text(about)
    model = LoadedModel(version)
    assert model.row_buckets(model.signatures["serving_default"]) == rows
    assert model.row_buckets(model.signatures["corpus_style"]) == ()


def test_the_models_own_requests_come_first(loaded, asked, version):
    beam = {"beam_size": np.int32(2), "length_penalty": np.float32(0), "max_length": np.int32(9)}
    write_requests(version, ("", {"text": ["a"] * 3}), ("translate_beam", {"text": ["b"]} | beam))
    warm_up(loaded, version, max_batch_size=4)
    assert asked[:2] == [("serving_default", 3, {}), ("translate_beam", 1, beam)]


@pytest.mark.parametrize(
    "request_",
    [("none", {"text": ["a"]}), ("", {"text": ["fail"]}), ("", {"other": [1.0]})],
)
def test_a_model_that_cannot_answer_its_own_requests_is_broken(loaded, version, request_):
    write_requests(version, request_)
    with pytest.raises(InputError, match=str(version)):
        warm_up(loaded, version, max_batch_size=4)


def test_aside_no_program_is_waited_for_and_own_requests_are_answered(version, monkeypatch):
    loaded = LoadedModel(version)
    begun, go = threading.Event(), threading.Event()
    call = loaded._call

    def late(functions, *arguments):
        if functions is loaded._twins:
            begun.set()
            assert go.wait(20)
        return call(functions, *arguments)

    monkeypatch.setattr(loaded, "_call", late)
    warm_up(loaded, version, max_batch_size=4, aside=True)
    assert begun.wait(20)
    assert not loaded.programs.sizes
    go.set()
    give_up = time.monotonic() + 20
    while {size.rows for size in loaded.programs.sizes} != {1, 4}:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    write_requests(version, ("", {"text": ["a"]}), ("", {"text": ["fail"]}))
    with pytest.raises(InputError, match=str(version)):
        warm_up(loaded, version, max_batch_size=4, aside=True)


def test_a_damaged_file_is_named(loaded, version):
    (version / WARM_UP_FILE).write_bytes(b"no record at all, whatever one makes of it")
    with pytest.raises(InputError, match=WARM_UP_FILE.name):
        warm_up(loaded, version, max_batch_size=4)


def test_nobody_waits_for_a_server_that_stops(loaded, asked, version):
    warm_up(loaded, version, max_batch_size=4, given_up=lambda: len(asked) >= 2)
    assert len(asked) == 2
