"""A server of `localhost` with a certificate, asked by curl and by a client of gRPC."""

import json
import socket
import ssl
import subprocess
import time

import grpc
import httpx
import pytest
from certificates import make_certificate
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tiny_server import running_server


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def server(tiny_export, files):
    options = {"certificate": str(files.certificate), "key": str(files.key)}
    with running_server(tiny_export, host="localhost", head_seconds=2.0, **options) as running:
        yield running


def curl(server, *arguments):
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "20", *arguments],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def port_of(server):
    return httpx.URL(server.url).port


def test_curl_gets_answers_from_every_address(server, files):
    assert server.url.startswith("https://")
    hosts = ["localhost", "127.0.0.1"]
    (listening,) = [event for event in server.events() if event["event"] == "listening"]
    if "[::1]" in listening["rest"] + listening.get("also", ""):
        hosts.append("[::1]")
    for host in hosts:
        url = f"https://{host}:{port_of(server)}/v1/models/{server.name}:predict"
        body = json.dumps({"instances": ["a b c"]})
        code, output, error = curl(server, "--cacert", str(files.certificate), "-d", body, url)
        assert code == 0, error
        assert json.loads(output)["predictions"][0]["translation"] == "c b a"
    url = f"https://localhost:{port_of(server)}/healthz"
    code, _, error = curl(server, url)
    assert code == 60, error  # nobody vouches for it
    old = curl(server, "--cacert", str(files.certificate), "--tls-max", "1.1", url)
    assert old[0] != 0


def test_large_bodies_and_refusals_pass_through_tls(server, files):
    url = f"https://localhost:{port_of(server)}/v1/models"
    body = ["--data-binary", "@-", "-o", "-", "-w", "%{http_code}"]
    done = subprocess.run(
        ["curl", "--silent", "--cacert", str(files.certificate), *body, f"{url}/tiny:predict"],
        input=json.dumps({"instances": ["a " * 2000] * 100}).encode(),
        capture_output=True,
    )
    assert done.stdout.endswith(b"200")
    done = subprocess.run(
        ["curl", "--silent", "--cacert", str(files.certificate), *body, f"{url}/other:predict"],
        input=b"x" * 500_000,
        capture_output=True,
    )
    assert done.stdout.endswith(b"404")


def test_a_client_that_does_not_agree_on_tls_is_given_up(server):
    with socket.create_connection(("127.0.0.1", port_of(server))) as silent:
        silent.settimeout(10)
        started = time.monotonic()
        assert silent.recv(100) == b""
        assert 1 < time.monotonic() - started < 5
    with socket.create_connection(("127.0.0.1", port_of(server))) as plain:
        plain.settimeout(10)
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" not in plain.recv(1000)


def test_grpc_speaks_tls_alone(server, files):
    credentials = grpc.ssl_channel_credentials(files.certificate.read_bytes())
    port = server.grpc.rpartition(":")[2]
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        request = predict_pb2.PredictRequest(model_spec={"name": server.name})
        request.inputs["text"].dtype = 7
        request.inputs["text"].tensor_shape.dim.add(size=1)
        request.inputs["text"].string_val.append(b"a b")
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=30)
        assert answer.outputs["translation"].string_val == [b"b a"]
    with (
        grpc.insecure_channel(f"localhost:{port}") as channel,
        pytest.raises(grpc.RpcError),
    ):
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)


def test_a_new_certificate_is_served_without_a_new_start(server, files):
    def served():
        return ssl.get_server_certificate(("127.0.0.1", port_of(server)), timeout=10)

    first = served()
    assert first.strip() == files.certificate.read_text().strip()
    make_certificate(files.certificate.parent)
    give_up = time.monotonic() + 20
    while served() == first:
        assert time.monotonic() < give_up
        time.sleep(0.1)
    assert served().strip() == files.certificate.read_text().strip()
    test_grpc_speaks_tls_alone(server, files)
