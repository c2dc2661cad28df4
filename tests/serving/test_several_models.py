"""Several models in one server: each by its name, and LibreTranslate's clients by its languages."""

import json

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tiny_server import export_tiny, running_server

from keras_transformer.errors import InputError
from keras_transformer.serving.settings import Settings


@pytest.fixture(scope="module")
def folders(tiny_export, tmp_path_factory):
    """The tiny export, and one that translates in the other direction and says so."""
    back = tmp_path_factory.mktemp("saved_models") / "back"
    back.mkdir()
    version = export_tiny(back, version=7, mark="back ")
    about = {"source_language": "en", "target_language": "pt"}
    (version / "assets.extra" / "keras_transformer.json").write_text(json.dumps(about))
    return tiny_export, back


@pytest.fixture(scope="module")
def both(folders):
    first, second = folders
    with running_server(first, more_models=[str(second)], labels={"stable": 1}) as running:
        yield running


@pytest.fixture
def client(both):
    with httpx.Client(base_url=both.url, timeout=30) as client:
        yield client


def test_each_model_answers_to_its_name(both, client):
    for name, version, answer in (("tiny", "1", "b a"), ("back", "7", "back b a")):
        path = f"/v1/models/{name}"
        [status] = client.get(path).json()["model_version_status"]
        assert (status["version"], status["state"]) == (version, "AVAILABLE")
        assert client.get(f"{path}/metadata").json()["model_spec"]["name"] == name
        for rest in ("", f"/versions/{version}"):
            found = client.post(f"{path}{rest}:predict", json={"instances": ["a b"]})
            assert found.json()["predictions"][0]["translation"] == answer
    assert client.get("/v1/models/other").status_code == 404
    assert client.get("/v1/models/back/versions/1").status_code == 404
    ask = {"instances": ["a b"]}
    assert client.post("/v1/models/tiny/labels/stable:predict", json=ask).status_code == 200
    assert client.post("/v1/models/back/labels/stable:predict", json=ask).status_code == 404
    assert client.get("/page/config.json").json()["model"] == "tiny"
    metrics = client.get("/metrics").text
    for name, version in (("tiny", 1), ("back", 7)):
        label = f'{{model="{name}",version="{version}"}} 1.0'
        assert f"keras_transformer_model_version{label}" in metrics


def test_grpc_asks_each_by_its_name(both):
    with grpc.insecure_channel(both.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for name, answer in (("tiny", b"b a"), ("back", b"back b a")):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.inputs["text"].CopyFrom(tf.make_tensor_proto(np.array([b"a b"], object)))
            found = stub.Predict(request, timeout=20)
            assert found.outputs["translation"].string_val == [answer]
            assert found.model_spec.name == name
            asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
            asked.model_spec.name = name
            assert stub.GetModelMetadata(asked, timeout=20).model_spec.name == name


def test_the_pair_of_languages_chooses_the_model(client):
    assert client.get("/languages").json() == [
        {"code": "pt", "name": "Portuguese", "targets": ["en"]},
        {"code": "en", "name": "English", "targets": ["pt"]},
    ]
    for source, target, answer in (("pt", "en", "b a"), ("en", "pt", "back b a")):
        fields = {"q": "a b", "source": source, "target": target}
        assert client.post("/translate", json=fields).json()["translatedText"] == answer
    for text, target in (
        ("Este é um problema que temos que resolver.", "en"),
        ("This is a problem that we have to solve.", "pt"),
    ):
        fields = {"q": text, "source": "auto", "target": target}
        answer = client.post("/translate", json=fields).json()
        assert {answer["detectedLanguage"]["language"], target} == {"pt", "en"}
        assert answer["translatedText"].startswith("back ") is (target == "pt")
    fields = {"q": "This is a problem.", "source": "auto", "target": "en"}
    answer = client.post("/translate", json=fields).json()
    assert answer["detectedLanguage"]["language"] == "pt"  # which alone has that target
    fields = {"q": "a", "source": "auto", "target": "xx"}
    assert client.post("/translate", json=fields).status_code == 400


def test_both_stop_without_a_word(folders):
    first, second = folders
    with running_server(first, more_models=[str(second)]) as server:
        server.process.terminate()
        assert server.process.wait(20) == 0
        states = [
            (event["model"], event["state"])
            for event in server.events()
            if event["event"] == "version"
        ]
    assert {("tiny", "AVAILABLE"), ("back", "AVAILABLE")} <= set(states)


@pytest.mark.parametrize("other", ["a/tiny", "a/b c", "/"])
def test_names_are_distinct_and_fit_into_paths(other):
    with pytest.raises(InputError, match="--saved-model"):
        Settings("models/tiny", more_models=[other])
