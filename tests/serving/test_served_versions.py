"""Which version answers, which stay beside it, and when one that failed is tried again."""

import asyncio
import shutil
import time
from types import SimpleNamespace

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tiny_server import export_tiny, running_server

from keras_transformer.errors import InputError
from keras_transformer.serving import versions as module
from keras_transformer.serving.failures import Failure
from keras_transformer.serving.versions import State, Versions


class Loading(Versions):
    """Versions that need no TensorFlow: a version loads unless it is in `broken`."""

    def __init__(self, folder, **options):
        self.tries, self.broken = [], set()
        defaults = {"name": "tiny", "compile": False, "workers": 1, "max_batch_size": 4}
        super().__init__(folder, **defaults | options)

    def _load(self, folder):
        version = int(folder.name)
        self.tries.append((version, time.monotonic()))
        if version in self.broken:
            raise InputError(f"{folder}: no memory.")
        return SimpleNamespace(version=version, users=0, close=lambda: None)

    def states(self):
        return {version: status.state.name for version, status in self.statuses.items()}


@pytest.fixture
def folder(tmp_path):
    for version in (1, 2, 3):
        add(tmp_path, version)
    return tmp_path


def add(folder, version):
    (folder / str(version)).mkdir()
    (folder / str(version) / "saved_model.pb").touch()


def test_a_version_that_failed_is_tried_again_after_growing_pauses(folder):
    async def run():
        versions = Loading(folder, retry_seconds=0.2)
        versions.broken = {3}
        await versions.update()
        assert versions.current.version == 2
        give_up = time.monotonic() + 20
        while len(versions.tries) < 5:  # of 3, of 2, and three more of 3
            await versions.update()
            assert versions.statuses[3].state is State.END
            assert "log" in versions.statuses[3].error
            assert "no memory" in versions.statuses[3].reason
            await asyncio.sleep(0.01)
            assert time.monotonic() < give_up
        moments = [moment for version, moment in versions.tries if version == 3]
        first, second, third = np.diff(moments)
        assert first >= 0.2
        assert second >= 0.4
        assert third >= 0.8
        versions.broken = set()
        (folder / "3" / "saved_model.pb").write_bytes(b"other")  # need not wait
        await versions.update()
        assert versions.current.version == 3
        assert versions.statuses[3].error == ""
        versions.close()

    asyncio.run(run())


def test_pauses_end_and_begin_anew_with_other_files(folder, monkeypatch):
    monkeypatch.setattr(module, "_MOST_PAUSE", 0.3)

    async def run():
        versions = Loading(folder, retry_seconds=0.2)
        versions.broken = {3}
        for _ in range(200):
            await versions.update()
            await asyncio.sleep(0.01)
        assert len([version for version, _ in versions.tries if version == 3]) >= 4
        versions.close()

    asyncio.run(run())


def test_kept_versions_serve_beside_the_highest_and_stay(folder):
    async def run():
        versions = Loading(folder, kept={1, 3, 7}, retry_seconds=60)
        await versions.update()
        assert versions.states() == {3: "AVAILABLE", 1: "AVAILABLE"}
        add(folder, 4)
        await versions.update()
        assert versions.states() == {4: "AVAILABLE", 3: "AVAILABLE", 1: "AVAILABLE"}
        for version in (None, 1, 3, 4):
            with versions.using(version) as model:
                assert model.version == (version or 4)
        with pytest.raises(Failure), versions.using(2):
            pass
        add(folder, 5)
        versions.broken = {7}
        await versions.update()
        assert versions.states()[4] == "END"
        add(folder, 7)
        await versions.update()
        assert versions.current.version == 5
        assert versions.states()[7] == "END"
        assert len(versions.tries) == len({version for version, _ in versions.tries})
        versions.close()

    asyncio.run(run())


def test_a_kept_version_that_becomes_the_highest_is_not_loaded_twice(folder):
    async def run():
        versions = Loading(folder, kept={2}, retry_seconds=0.05)
        versions.broken = {3}
        await versions.update()
        assert versions.current.version == 2
        versions.broken = set()
        await asyncio.sleep(0.1)
        await versions.update()
        assert versions.states() == {3: "AVAILABLE", 2: "AVAILABLE"}
        assert [version for version, _ in versions.tries] == [3, 2, 3]
        versions.close()

    asyncio.run(run())


def test_labels_are_names_of_versions_in_both_interfaces(tiny_export, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_export / "1", folder / "1")
    export_tiny(folder, version=2, mark="new ")
    with running_server(folder, labels={"stable": 1, "canary": 2, "none": 9}) as running:
        path = f"{running.url}/v1/models/tiny"
        for label, mark in (("stable", ""), ("canary", "new ")):
            answer = httpx.post(f"{path}/labels/{label}:predict", json={"instances": ["a b"]})
            assert answer.json()["predictions"][0]["translation"] == f"{mark}b a"
            version = {"stable": "1", "canary": "2"}[label]
            (status,) = httpx.get(f"{path}/labels/{label}").json()["model_version_status"]
            assert (status["version"], status["state"]) == (version, "AVAILABLE")
            metadata = httpx.get(f"{path}/labels/{label}/metadata").json()
            assert metadata["model_spec"]["version"] == version
        assert httpx.get(f"{path}/labels/none").status_code == 404
        other = httpx.get(f"{path}/labels/other")
        assert other.status_code == 404
        assert "stable, canary" in other.json()["error"]
        assert "stable" not in httpx.get(f"{running.url}/v1/models/no/labels/other").text
        with grpc.insecure_channel(running.grpc) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "tiny"
            request.inputs["text"].CopyFrom(tf.make_tensor_proto(["a b"]))
            for label, mark in (("stable", b""), ("canary", b"new ")):
                request.model_spec.version_label = label
                answer = stub.Predict(request, timeout=20)
                assert answer.outputs["translation"].string_val[0] == mark + b"b a"
            request.model_spec.version_label = "other"
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(request, timeout=20)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        missing = [event for event in running.events() if event.get("label")]
        assert [event["label"] for event in missing] == ["none"]
