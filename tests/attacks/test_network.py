"""Whatever clients do on purpose, the others and health are answered, and nothing piles up."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import grpc
import httpx
import pytest
from certificates import make_certificate
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_attacks import ATTACKS, Target
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tiny_server import SERVE, export_tiny, running_server

pytestmark = pytest.mark.slow

LIMITS = {"head_seconds": 2.0, "transfer_seconds": 2.0, "max_connections": 600}
SECONDS = 6.0  # of an attack
PATIENCE = 20.0  # seconds for one answer of a machine that does more than this


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models") / "tiny"
    folder.mkdir()
    export_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def server(export):
    with running_server(export, **LIMITS, max_connections_per_address=300) as running:
        for _ in range(30):
            served(running)
        yield running


def port_of(server):
    return httpx.URL(server.url).port


def served(server, verify=True):
    """Asserts that REST, health and gRPC answer a client on new connections."""
    with httpx.Client(timeout=PATIENCE, verify=verify) as client:
        assert client.get(f"{server.url}/healthz").status_code == 200
        answer = client.post(server.predict, json={"instances": ["a b"]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["translation"] == "b a"
    with grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        status = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status
        assert status == health_pb2.HealthCheckResponse.SERVING
        request = predict_pb2.PredictRequest(model_spec={"name": server.name})
        request.inputs["text"].dtype = 7
        request.inputs["text"].tensor_shape.dim.add(size=1)
        request.inputs["text"].string_val.append(b"a b")
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=PATIENCE)
        assert answer.outputs["translation"].string_val == [b"b a"]


def metric(server, name):
    page = httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


def memory_mib(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def wait_until(condition, seconds=30.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "did not come about"
        time.sleep(0.1)


def run_attack(name, target):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(ATTACKS[name](target))


@contextlib.contextmanager
def attacking(server, name):
    target = Target(port_of(server), int(server.grpc.rpartition(":")[2]), server.name)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=run_attack, args=(name, target), daemon=True)
    process.start()
    try:
        yield
        assert process.is_alive(), "the attack ended by itself"
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("name", ATTACKS)
def test_the_others_are_served_and_nothing_piles_up(server, name):
    memory, files, log = memory_mib(server), descriptors(server), server.log.stat().st_size
    with attacking(server, name):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            served(server)
            assert metric(server, "keras_transformer_connections") <= 600 + 64
            assert memory_mib(server) < memory + 250
    events = server.log.read_text()[log:].splitlines()
    requests = sum('"event": "request"' in line for line in events)
    assert len(events) - requests < 20  # nothing that is said again and again
    wait_until(lambda: metric(server, "keras_transformer_connections") <= 2)
    wait_until(lambda: descriptors(server) <= files + 5)
    assert memory_mib(server) < 1.1 * memory
    served(server)


def test_a_server_under_attack_stops_when_it_is_told_to(export):
    with running_server(export, **LIMITS, drain_seconds=5.0) as server:
        with attacking(server, "slow_heads"), attacking(server, "grpc_watches"):
            time.sleep(3)
            served(server)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
        assert [event for event in server.events() if event["event"] == "stopped"]


def test_out_of_descriptors_the_log_stays_short_and_known_clients_are_served(export):
    with running_server(export) as server, httpx.Client(timeout=PATIENCE) as client:
        assert client.get(f"{server.url}/healthz").status_code == 200
        few = descriptors(server) + 20
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (few, few))
        log = server.log.stat().st_size
        with contextlib.ExitStack() as opened:
            for _ in range(300):
                connection = socket.create_connection(("127.0.0.1", port_of(server)))
                opened.enter_context(connection)
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
            until = time.monotonic() + 4
            while time.monotonic() < until:
                assert client.get(f"{server.url}/healthz").status_code == 200
                answer = client.post(server.predict, json={"instances": ["a b"]})
                assert answer.status_code == 200
                time.sleep(0.2)
            events = server.log.read_text()[log:].splitlines()
            told = [json.loads(line) for line in events if "ulimit" in line]
            assert len(told) == 1
            assert len(events) < 100
        wait_until(lambda: descriptors(server) < few - 10)
        assert httpx.get(f"{server.url}/healthz", timeout=PATIENCE).status_code == 200


@contextlib.contextmanager
def server_with_log(export, standard_error):
    """A server whose log goes elsewhere than into a file."""
    with (
        socket.create_server(("127.0.0.1", 0)) as free,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port, grpc_port = free.getsockname()[1], other.getsockname()[1]
    options = {"saved_model": str(export), "port": port, "grpc_port": grpc_port, "compile": False}
    options["poll_seconds"] = 0.2
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, json.dumps(options)],
        stderr=standard_error,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    url = f"http://127.0.0.1:{port}"
    server = SimpleNamespace(
        process=process,
        url=url,
        grpc=f"127.0.0.1:{grpc_port}",
        predict=f"{url}/v1/models/{export.name}:predict",
        name=export.name,
    )

    def ready():
        assert process.poll() is None
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/readyz").status_code == 200
        return False

    try:
        wait_until(ready, 90)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["not read", "closed", "full", "none"])
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, export, kind):
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "1").symlink_to(export / "1")
    reader, writer = os.pipe()
    with contextlib.ExitStack() as opened:
        standard_error = writer
        if kind == "full":
            standard_error = opened.enter_context(open("/dev/full", "wb"))
        if kind in ("closed", "none"):
            os.close(reader)
        else:
            opened.callback(os.close, reader)
        if kind == "none":
            standard_error = subprocess.DEVNULL
        with server_with_log(folder, standard_error) as server:
            os.close(writer)
            with httpx.Client(timeout=PATIENCE) as client:
                for _ in range(600):  # more lines than a pipe holds
                    answer = client.get(f"{server.url}/v1/models/{'x' * 500}")
                    assert answer.status_code == 404
                served(server)
                (folder / "2").symlink_to(export / "1")
                wait_until(
                    lambda: client.get(f"{server.url}/readyz").json().get("version") == 2, 60
                )
            dropped = metric(server, "keras_transformer_dropped_log_lines_total")
            assert (dropped > 500) == (kind in ("closed", "full"))
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0


def test_clients_that_do_not_agree_on_tls_leave_room_for_others(tmp_path, export):
    files = make_certificate(tmp_path)
    options = {"certificate": str(files.certificate), "key": str(files.key)}
    with running_server(export, **LIMITS, **options) as server, contextlib.ExitStack() as opened:
        context = ssl.create_default_context(cafile=files.certificate)
        for number in range(900):
            connection = socket.socket()
            opened.enter_context(connection)
            connection.bind((f"127.0.0.{2 + number % 4}", 0))
            connection.connect(("127.0.0.1", port_of(server)))
            connection.sendall(b"\x16\x03\x01\x02\x00" if number % 2 else b"")
        for _ in range(10):
            with httpx.Client(timeout=PATIENCE, verify=context) as client:
                assert client.get(f"{server.url}/healthz").status_code == 200
        time.sleep(3)
        page = httpx.get(f"{server.url}/metrics", verify=context).text
        assert "keras_transformer_connections 1.0" in page


class RawTls:
    """A connection whose TLS is done by hand, so that what is below it can be written to."""

    def __init__(self, context, port, source):
        self.socket = socket.socket()
        self.socket.bind((source, 0))
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.received, self.sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.received, self.sent, server_hostname="localhost")
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.socket.sendall(self.sent.read())
                self.received.write(self.socket.recv(65_536))
            else:
                break
        self.socket.sendall(self.sent.read())

    def send(self, content):
        self.tls.write(content)
        self.socket.sendall(self.sent.read())


HEAD = b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"


def garbage_below_tls(client):
    client.socket.sendall(os.urandom(3000))


def garbage_within_tls(client):
    client.send(os.urandom(3000))


def garbage_within_a_body(client):
    client.send(HEAD)
    client.socket.sendall(b"\x17\x03\x03\x00\x40" + os.urandom(64))


def half_closed(client):
    client.socket.shutdown(socket.SHUT_WR)


def half_closed_within_a_body(client):
    client.send(HEAD)
    client.socket.shutdown(socket.SHUT_WR)


def closed_for_tls_alone(client):
    """Says that nothing more comes, and stays."""
    client.send(HEAD)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.socket.sendall(client.sent.read())


AFTER_THE_HANDSHAKE = (
    garbage_below_tls,
    garbage_within_tls,
    garbage_within_a_body,
    half_closed,
    half_closed_within_a_body,
    closed_for_tls_alone,
)


@pytest.mark.parametrize("behave", AFTER_THE_HANDSHAKE, ids=lambda each: each.__name__)
def test_clients_that_misbehave_once_they_agreed_on_tls_are_let_go(tmp_path, export, behave):
    files = make_certificate(tmp_path)
    options = {"certificate": str(files.certificate), "key": str(files.key)}
    with running_server(export, **LIMITS, **options) as server, contextlib.ExitStack() as opened:
        context = ssl.create_default_context(cafile=files.certificate)
        served_over_tls = httpx.Client(timeout=PATIENCE, verify=context)
        opened.enter_context(served_over_tls)
        assert served_over_tls.get(f"{server.url}/healthz").status_code == 200
        files_open, log = descriptors(server), server.log.stat().st_size
        for number in range(200):
            client = RawTls(context, port_of(server), f"127.0.0.{2 + number % 4}")
            opened.callback(client.socket.close)
            with contextlib.suppress(ConnectionError):  # the server was quicker
                behave(client)
            if number % 20 == 0:
                assert served_over_tls.get(f"{server.url}/healthz").status_code == 200
                body = {"instances": ["a b"]}
                answer = served_over_tls.post(server.predict, json=body)
                assert answer.json()["predictions"][0]["translation"] == "b a"

        def connections():
            page = served_over_tls.get(f"{server.url}/metrics").text
            return float(page.split("\nkeras_transformer_connections ")[1].split()[0])

        # They are still open on their side.
        wait_until(lambda: connections() <= 1)
        wait_until(lambda: descriptors(server) <= files_open + 5)
        events = server.log.read_text()[log:].splitlines()
        assert sum('"event": "request"' not in line for line in events) < 20
        assert "Traceback" not in server.log.read_text()


def post(*headers, body="{}"):
    """A request for a prediction."""
    lines = ["POST /v1/models/tiny:predict HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


def get(path, *headers, host="localhost"):
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *headers, "", ""])


STRANGE = {
    "two framings": (post("Transfer-Encoding: chunked", body="0\r\n\r\n"), 400),
    "two lengths": (post("Content-Length: 5"), 400),
    "a stranger's name": (get("/v1/models/tiny", host="evil.example.com"), 421),
    "a stranger's page": (post("Origin: http://evil.example.com"), 403),
    "a form's type": (post("Content-Type: text/plain"), 415),
    "no host": ("GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two hosts": (get("/healthz", "Host: localhost"), 400),
    "a long head": (get("/healthz", f"x: {'y' * 60_000}"), 431),
    "a foreign redirect": (get("/healthz/", host="other.local"), 404),
    "another foreign redirect": (get("//evil.example.com/static"), 404),
    "a wrong method": (get("/healthz").replace("GET", "DELETE"), 405),
    "an upgrade": (get("/healthz", "Connection: upgrade", "Upgrade: websocket"), 200),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "an escape in the path": (get("/v1/models/%1b%5b31m%e2%80%ae"), 404),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_requests_get_one_error_in_json(server, name):
    request, status = STRANGE[name]
    with socket.create_connection(("127.0.0.1", port_of(server)), PATIENCE) as connection:
        connection.sendall(request.encode("latin-1"))
        connection.settimeout(3)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while chunk := connection.recv(65_536):
                answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"location:" not in head.lower()
    assert (b"allow:" in head.lower()) == (status == 405)
    if status != 200:
        assert json.loads(body)["error"]
    assert server.log.read_text().replace("\n", "").isprintable()
