"""Small requests with large answers: attention of many texts, padding, beams of long texts."""

import json
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tiny_server import export_tiny, gather, running_server

pytestmark = pytest.mark.slow

BEAM = {"beam_size": 16, "length_penalty": 1.0, "max_length": 0}
SMALL_AND_GREEDY = {
    "attention of letters": ("attention", [" ".join("a" * 120)] * 256, {}),
    "attention of one long text and many short ones": (
        "attention",
        [" ".join("a" * 2400)] + ["a"] * 255,
        {},
    ),
    "tokens of one long text and many short ones": (
        "tokenize",
        [" ".join("a" * 2400)] + ["a"] * 255,
        {},
    ),
    "beams of long texts": ("translate_beam", ["b" * 4000] * 256, BEAM),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models") / "tiny"
    folder.mkdir()
    export_tiny(folder)
    with running_server(folder, max_body_bytes=2**21, max_answer_bytes=2**22) as running:
        yield running


def memory_mib(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def ask(server, signature, texts, more):
    content = {"signature_name": signature, "inputs": {"text": texts, **more}}
    return httpx.post(server.predict, json=content, timeout=60)


@pytest.mark.parametrize("attack", SMALL_AND_GREEDY)
def test_a_small_request_gets_no_enormous_answer_and_keeps_nobody_waiting(server, attack):
    httpx.get(f"{server.url}/healthz")
    before = memory_mib(server)
    health, ended = [], threading.Event()

    def look():
        with httpx.Client(timeout=30) as client:
            while not ended.wait(0.02):
                started = time.monotonic()
                assert client.get(f"{server.url}/healthz").status_code == 200
                health.append(time.monotonic() - started)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        answers = [ask(server, *SMALL_AND_GREEDY[attack]) for _ in range(3)]
    finally:
        ended.set()
        looking.join()
    for answer in answers:
        assert answer.status_code == 413, answer.text[:200]
        assert "--max-answer-bytes" in answer.json()["error"]
    assert max(health) < 2, "the event loop was held"
    assert memory_mib(server) < before + 300
    assert ask(server, "serving_default", ["a b"], {}).status_code == 200


def test_answers_that_nobody_reads_take_bounded_memory(server):
    """Tokens of one long text and many short ones are made in no time, and take memory at once."""
    url = httpx.URL(server.predict)
    texts = [" ".join("a" * 600)] + ["a"] * 255  # 256 * 602 tokens and ids, 3.7 MB of JSON
    body = json.dumps({"signature_name": "tokenize", "inputs": texts})
    head = f"POST {url.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    assert ask(server, "tokenize", texts, {}).status_code == 200
    before = memory_mib(server)
    with ExitStack() as opened:
        for _ in range(150):
            connection = opened.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((url.host, url.port))
            connection.sendall((head + body).encode())
        most = 0.0
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            most = max(most, memory_mib(server))
            assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
            time.sleep(0.1)
    assert most < before + 300  # of 150 answers that take 8 MB each
    assert ask(server, "serving_default", ["a b"], {}).status_code == 200


def test_many_answers_of_the_largest_size_come_whole_while_health_answers(server):
    texts = [" ".join("a" * 60)] * 32  # 32 * 2 * 61 * 62 numbers, 3.9 MB as they are counted
    content = {"signature_name": "attention", "inputs": {"text": texts}}

    async def one(client):
        return await client.post(server.predict, json=content)

    async def health(client):
        started = time.monotonic()
        assert (await client.get(f"{server.url}/healthz")).status_code == 200
        return time.monotonic() - started

    client = httpx.AsyncClient(timeout=120)
    calls = [one(client) for _ in range(6)] + [health(client) for _ in range(20)]
    found = gather(calls)
    for answer in found[:6]:
        assert answer.status_code == 200
        weights = json.loads(answer.content)["outputs"]["attention"]
        assert (len(weights), len(weights[0]), len(weights[0][0][0])) == (32, 2, 62)
    assert max(found[6:]) < 2
