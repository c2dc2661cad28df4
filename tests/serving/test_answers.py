"""Answers are JSON of the outputs, made in small pieces, never larger than allowed, never late."""

import asyncio
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from tiny_server import running_server

from keras_transformer.serving.answers import PiecedAnswer
from keras_transformer.serving.failures import Failure
from keras_transformer.serving.limits import Room
from keras_transformer.serving.rest_json import write_outputs


def some_outputs(random, rows):
    """Outputs of every type with random sizes, some of them without a number."""
    shape = (rows, *random.integers(0, 6, random.integers(0, 4)).tolist())
    numbers = random.normal(size=shape) * 10.0 ** random.integers(-30, 30, shape)
    words = np.empty(shape, object)
    words.ravel()[:] = [b'caf\xc3\xa9 "%d"\\\n' % i for i in range(words.size)]
    return {
        "float32": numbers.astype(np.float32),
        "float64": numbers,
        "int64": (numbers > 0) * (2**62 + np.arange(numbers.size).reshape(shape)),
        "bool": numbers > 0,
        "words": words,
        "score": np.full(rows, -0.3, np.float32),
    }


def as_python(values):
    if values.dtype == object:
        return np.vectorize(bytes.decode, otypes=[object])(values).tolist()
    return values.tolist()


@pytest.mark.parametrize("seed", range(12))
def test_the_pieces_are_the_json_of_the_outputs(seed):
    random = np.random.default_rng(seed)
    outputs = some_outputs(random, int(random.integers(1, 9)))
    columns = json.loads(b"".join(write_outputs(outputs, row_format=False)))["outputs"]
    assert columns.keys() == outputs.keys()
    for name, values in outputs.items():
        found = np.asarray(columns[name], values.dtype).reshape(values.shape)
        expected = np.asarray(as_python(values), values.dtype).reshape(values.shape)
        np.testing.assert_array_equal(found, expected, err_msg=name)
        assert columns[name] == found.tolist() or values.dtype == np.float32
    rows = json.loads(b"".join(write_outputs(outputs, row_format=True)))["predictions"]
    assert rows == [
        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ]
    one = {"only": outputs["words"]}
    assert json.loads(b"".join(write_outputs(one, row_format=True)))["predictions"] == [
        row["words"] for row in rows
    ]
    assert json.loads(b"".join(write_outputs(one, row_format=False)))["outputs"] == columns["words"]


def test_large_outputs_come_in_small_pieces_and_numbers_that_are_none_as_python_writes_them():
    values = np.random.default_rng(1).normal(size=(3, 2, 90, 110)).astype(np.float32)
    values[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    for outputs in ({"attention": values}, {"attention": values, "score": values[:, 0, 0, 0]}):
        for row_format in (False, True):
            pieces = list(write_outputs(outputs, row_format=row_format))
            assert len(pieces) > 10
            assert max(map(len, pieces)) < 100_000
            (found,) = json.loads(b"".join(pieces)).values()
            if len(outputs) > 1:
                found = [row["attention"] for row in found] if row_format else found["attention"]
            np.testing.assert_array_equal(np.array(found, np.float32), values)


def test_a_single_number_is_an_output_and_no_rows():
    outputs = {"count": np.array(3)}
    assert b"".join(write_outputs(outputs, row_format=False)) == b'{"outputs":3}'
    with pytest.raises(Failure, match="column format"):
        write_outputs(outputs, row_format=True)


class Connection:
    """What an answer knows of its connection."""

    def __init__(self, group="127.0.0.1"):
        self.group = group
        self.gone = asyncio.Event()

    def abort(self):
        self.gone.set()


def pieced(pieces, executor, seconds=60.0, size=1000, room=None):
    deadline = time.monotonic() + seconds
    room = Room(10_000, 10_000) if room is None else room
    return PiecedAnswer(pieces, size, room, executor, deadline)


def send(answer, took=lambda: asyncio.sleep(0), stays=True):
    """The body that a client gets who takes a piece in its time, and leaves or stays."""
    body = []

    async def receive():
        if stays:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def take(message):
        body.append(message)
        await took()

    scope = {"type": "http", "state": {"connection": Connection()}}
    asyncio.run(answer(scope, receive, take))
    return body


def test_answers_that_nobody_takes_make_room_for_others_oldest_first():
    async def run(executor):
        room = Room(3000, 2000)
        connections = [Connection(group) for group in "aaabb"]

        async def give(connection):
            async def take(message):
                await connection.gone.wait()

            async def receive():
                await connection.gone.wait()
                return {"type": "http.disconnect"}

            answer = pieced(iter([b"x"] * 5), executor, room=room)
            await answer({"type": "http", "state": {"connection": connection}}, receive, take)
            return answer.error

        tasks = []
        for connection in connections:
            tasks.append(asyncio.create_task(give(connection)))
            await asyncio.sleep(0.05)
        assert [connection.gone.is_set() for connection in connections] == [
            True,  # the third of the same address
            True,  # the oldest of the address that has most
            False,
            False,
            False,
        ]
        assert room.held == 3000
        for connection in connections:
            connection.gone.set()
        errors = await asyncio.gather(*tasks)
        assert ["room" in error for error in errors] == [True, True, False, False, False]
        assert room.held == 0

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(run(executor))


def test_an_answer_ends_at_the_deadline_or_when_its_client_goes():
    def pieces():
        for number in range(1000):
            made.append(number)
            yield b"x"

    with ThreadPoolExecutor(1) as executor:
        made = []
        answer = pieced(pieces(), executor)
        body = send(answer)
        assert b"".join(message.get("body", b"") for message in body) == b"x" * 1000
        assert (body[-1]["more_body"], answer.error) == (False, "")

        made = []
        answer = pieced(pieces(), executor, seconds=0.2)
        body = send(answer, took=lambda: asyncio.sleep(0.05))
        assert "deadline" in answer.error
        assert body[-1]["more_body"]  # so the connection is closed, and nobody takes it for whole
        assert len(made) < 20

        made = []
        answer = pieced(pieces(), executor)
        send(answer, stays=False)
        assert "gone" in answer.error
        assert len(made) < 20


@pytest.fixture(scope="module")
def narrow(tiny_export):
    """A server whose answers may have 200,000 bytes."""
    with running_server(tiny_export, max_answer_bytes=200_000, deadline=5) as running:
        yield running


def ask(server, texts, signature="attention", **more):
    content = {"signature_name": signature, "inputs": {"text": texts, **more}}
    return httpx.post(server.predict, json=content, timeout=60)


def test_a_request_whose_answer_would_be_too_large_is_told_so(narrow):
    short, long = "a b c", " ".join("a" * 100)
    assert ask(narrow, [short] * 100).status_code == 200
    assert ask(narrow, [long]).status_code == 413  # 2 * 101 * 102 * 16
    widest = ask(narrow, [short] * 50 + [" ".join("a" * 40)])  # all as wide as the widest
    assert widest.status_code == 413
    assert "--max-answer-bytes" in widest.json()["error"]
    assert "connection" not in widest.headers
    assert ask(narrow, ["a"] * 120, "pairs").status_code == 200
    assert ask(narrow, ["a"] * 140, "pairs").status_code == 413  # 140 * 140 * 12
    beam = {"beam_size": 16, "length_penalty": 1.0, "max_length": 0}
    assert ask(narrow, [long[:150]] * 2, "translate_beam", **beam).status_code == 200
    assert ask(narrow, [long] * 64, "translate_beam", **beam).status_code == 413


def test_an_answer_in_pieces_is_that_of_the_model_and_leaves_the_connection_open(narrow, direct):
    texts = ["a b c d e f g h"] * 40
    expected = direct("attention", texts)["attention"]
    with httpx.Client(timeout=60) as client:
        for _ in range(3):
            content = {"signature_name": "attention", "inputs": {"text": texts}}
            answer = client.post(narrow.predict, json=content)
            assert answer.headers["transfer-encoding"] == "chunked"
            found = np.array(answer.json()["outputs"]["attention"], np.float32)
            np.testing.assert_array_equal(found, expected)


def test_the_deadline_ends_answers_that_nobody_takes(tiny_export):
    with running_server(tiny_export, deadline=1.0) as running:
        port = httpx.URL(running.url).port
        body = json.dumps({"signature_name": "attention", "inputs": [" ".join("a" * 300)] * 3})
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            head = f"POST {httpx.URL(running.predict).path} HTTP/1.1\r\nHost: x\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            give_up = time.monotonic() + 30
            while time.monotonic() < give_up:
                late = [event for event in running.events() if "deadline" in str(event)]
                if late:
                    break
                time.sleep(0.1)
            assert [event["url"] for event in late] == [httpx.URL(running.predict).path]
