"""However a server is told to stop, it stops in time, and everybody who waits is told in JSON."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc
from tiny_server import SERVE, export_tiny, running_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return export_tiny(folder, seconds=45.0)


@pytest.fixture
def folder(export, tmp_path):
    """A folder with a model whose batch of "wait" takes 45 s."""
    shutil.copytree(export, tmp_path / "tiny" / "1")
    return tmp_path / "tiny"


def call(server):
    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = server.name
        request.inputs["text"].CopyFrom(tf.make_tensor_proto(["wait"]))
        try:
            stub.Predict(request, timeout=60)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def unfinished(server):
    """A connection with half of a body."""
    url = httpx.URL(server.predict)
    connection = socket.create_connection((url.host, url.port))
    head = f"POST {url.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
    connection.sendall(head.encode() + b'{"instances"')
    return connection


@pytest.mark.parametrize(
    ("signals", "drain_seconds"),
    [
        ([signal.SIGTERM], 2),
        ([signal.SIGHUP], 2),
        ([signal.SIGINT, signal.SIGINT], 300),
        ([signal.SIGTERM, signal.SIGHUP, signal.SIGTERM], 300),
        ([signal.SIGTERM] * 50, 300),
    ],
)
def test_everyone_who_waits_is_told(folder, signals, drain_seconds):
    with (
        running_server(
            folder, drain_seconds=drain_seconds, deadline=60, workers=2, max_batch_size=1
        ) as server,
        ThreadPoolExecutor(12) as threads,
    ):
        content = {"instances": ["wait"]}
        posts = [
            threads.submit(httpx.post, server.predict, json=content, timeout=60) for _ in range(6)
        ]
        calls = [threads.submit(call, server) for _ in range(2)]
        give_up = time.monotonic() + 20
        while "active_requests 8.0" not in httpx.get(f"{server.url}/metrics").text:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        with unfinished(server) as connection:
            time.sleep(0.3)
            started = time.monotonic()
            for number in signals:
                server.process.send_signal(number)
                time.sleep(0.2 if len(signals) < 10 else 0.001)
            assert server.process.wait(20) == 0
            assert time.monotonic() - started < 15
            connection.settimeout(5)
            assert connection.recv(65536).startswith(b"HTTP/1.1 503")
        for post in posts:
            answer = post.result()
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/json"
            assert "error" in answer.json()
        assert {one.result() for one in calls} == {grpc.StatusCode.UNAVAILABLE}
        assert [event for event in server.events() if event["event"] == "stopped"]
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_server_stops_while_it_loads(tmp_path, number):
    folder = tmp_path / "tiny"
    folder.mkdir()
    version = export_tiny(folder, seconds=30.0)
    request = predict_pb2.PredictRequest()
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["wait"]))  # to warm up with
    log = prediction_log_pb2.PredictLog(request=request)
    with tf.io.TFRecordWriter(str(version / "assets.extra/tf_serving_warmup_requests")) as writer:
        writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
    options = {"saved_model": str(folder), "port": 0, "grpc_port": 0, "json_logs": True}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, json.dumps(options)], stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stderr:
            if '"LOADING"' in line:
                break
        time.sleep(3)
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 0
        assert time.monotonic() - started < 10
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_server_that_was_started_to_survive_a_hangup_does(folder):
    code = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SERVE
    options = {"saved_model": str(folder), "port": 0, "grpc_port": None, "json_logs": True}
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(options)], stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stderr:
            if '"ready"' in line:
                break
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
