"""What clients of a server may do to it on purpose: one function for each attack.

Each runs until it is cancelled, from addresses of its own on the loopback (127.0.0.2 and on), and
bounds what it opens and how quickly. `benchmarks/serving.py --attack` measures what a well-behaved
client notices of them, and `tests/attacks` asserts that it is served.
"""

import asyncio
import contextlib
import itertools
import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

CONNECTIONS = 1000  # of an attack at a time
RATE = 200  # new connections a second
ADDRESSES = 4


@dataclass(frozen=True)
class Target:
    """A server on the loopback.

    Attributes:
        port: of REST.
        grpc_port: of gRPC.
        name: of the model.
    """

    port: int
    grpc_port: int
    name: str


async def keep_open(port: int, behave, count: int = CONNECTIONS) -> None:
    """Keeps connections open that each do the same; those that the server ends come again.

    Args:
        port: to connect to.
        behave: called with the number of a connection, its reader and its writer.
        count: of connections.
    """
    pace = asyncio.Lock()

    async def keep(number: int) -> None:
        while True:
            async with pace:
                await asyncio.sleep(1 / RATE)
            writer = None
            try:
                source = (f"127.0.0.{2 + number % ADDRESSES}", 0)
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, local_addr=source, limit=2**10
                )
                await behave(number, reader, writer)
            except (OSError, EOFError):
                await asyncio.sleep(0.5)
            finally:
                if writer is not None:
                    writer.transport.abort()

    await asyncio.gather(*(keep(number) for number in range(count)))


def head(target: Target, length: int, path: str | None = None) -> bytes:
    path = path or f"/v1/models/{target.name}:predict"
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


async def slow_heads(target: Target) -> None:
    """Heads of requests of which a few bytes come now and then."""

    async def behave(number, reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        while not reader.at_eof():
            writer.write(b"x: y\r\n")
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(100), 1.0)

    await keep_open(target.port, behave)


async def silent_connections(target: Target) -> None:
    """More connections than there are places, on which nothing is ever sent."""

    async def behave(number, reader, writer):
        await reader.read()

    await keep_open(target.port, behave, 3 * CONNECTIONS)


async def slow_bodies(target: Target) -> None:
    """Bodies of which nearly all comes at once, and the rest never."""
    body = json.dumps({"instances": ["a" * 1000] * 200}).encode()

    async def behave(number, reader, writer):
        writer.write(head(target, len(body) + 1000) + body)
        await reader.read()

    await keep_open(target.port, behave, 200)


async def bodies_of_nobody(target: Target) -> None:
    """Unfinished bodies for a model that does not exist."""

    async def behave(number, reader, writer):
        writer.write(head(target, 1_000_000, "/v1/models/nobody:predict") + b"[" * 60_000)
        await reader.read()

    await keep_open(target.port, behave, 200)


async def slow_readers(target: Target) -> None:
    """Large answers, asked for again and again on connections that are not read."""
    request = f"GET /v1/models/{target.name}/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    async def behave(number, reader, writer):
        for _ in range(2000):
            writer.write(request)
            await writer.drain()  # until the server stops reading, too
        await asyncio.Event().wait()

    await keep_open(target.port, behave, 100)


async def requests_without_end(target: Target) -> None:
    """Pipelined requests for what is cheapest, as quickly as one connection takes them."""
    request = b"GET /v1/models/nobody HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def behave(number, reader, writer):
        while True:
            writer.write(request)
            await writer.drain()
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.05)

    await keep_open(target.port, behave, 10)


async def _ask(target: Target, contents, count: int) -> None:
    """Connections that ask one request after the other, and read the answers.

    Args:
        target: to ask.
        contents: called with the number of a connection; gives the contents of its requests.
        count: of connections.
    """

    async def behave(number, reader, writer):
        for content in contents(number):
            body = json.dumps(content).encode()
            writer.write(head(target, len(body)) + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"content-length:" in answer:
                await reader.readexactly(int(answer.split(b"content-length:")[1].split()[0]))
                continue
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
            await reader.readuntil(b"\r\n")

    await keep_open(target.port, behave, count)


async def large_answers(target: Target) -> None:
    """Attention of as many texts as a request may have, each of letters alone: much from little."""
    content = {"signature_name": "attention", "inputs": [" ".join("a" * 120)] * 256}
    await _ask(target, lambda number: itertools.repeat(content), 1)


async def odd_beams(target: Target) -> None:
    """Beams of all sizes, for which no program of XLA is there."""

    def contents(number):
        for i in itertools.count():
            beam = {"beam_size": 7 + i % 10, "length_penalty": 1.0, "max_length": 0}
            inputs = {"text": [f"uma pergunta {i}"] * (1 + i % 3), **beam}
            yield {"signature_name": "translate_beam", "inputs": inputs}

    await _ask(target, contents, 2)


# --------------------------------------------------------------------------------------------- gRPC

_HEADERS, _SETTINGS, _PING, _DATA = 1, 4, 6, 0
_ACK = _END_STREAM = 1
_END_HEADERS = 4


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _headers(path: str) -> bytes:
    """Headers of a call, in HPACK without a table."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    fields |= {"content-type": "application/grpc", "te": "trailers"}
    return b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )


async def _calls(target: Target, path: str, data: bytes, flags: int, streams: int) -> None:
    """Connections with as many calls as the server allows, which grant no bytes of answers."""

    async def behave(number, reader, writer):
        window = struct.pack(">HI", 4, 0)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, payload=window))
        for stream in range(1, 2 * streams, 2):
            writer.write(_frame(_HEADERS, _END_HEADERS, stream, _headers(path)))
            if data or flags:
                writer.write(_frame(_DATA, flags, stream, data))
            await asyncio.sleep(0.001)
            if writer.is_closing():  # by the server
                return
        while True:
            start = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(start[:3], "big"))
            if start[3] in (_SETTINGS, _PING) and not start[4] & _ACK:
                answer = payload if start[3] == _PING else b""
                writer.write(_frame(start[3], _ACK, 0, answer))

    await keep_open(target.grpc_port, behave, 20)


async def grpc_watches(target: Target) -> None:
    """Streams that watch health, by the thousand."""
    empty = struct.pack(">BI", 0, 0)
    await _calls(target, "/grpc.health.v1.Health/Watch", empty, _END_STREAM, 300)


async def grpc_unfinished_calls(target: Target) -> None:
    """Calls whose request never comes to its end."""
    part = struct.pack(">BI", 0, 1000) + b"x" * 500
    await _calls(target, "/tensorflow.serving.PredictionService/Predict", part, 0, 300)


ATTACKS: dict[str, Callable[[Target], Awaitable[None]]] = {
    attack.__name__: attack
    for attack in (
        slow_heads,
        silent_connections,
        slow_bodies,
        bodies_of_nobody,
        slow_readers,
        requests_without_end,
        large_answers,
        odd_beams,
        grpc_watches,
        grpc_unfinished_calls,
    )
}
"""The attacks by name. ``log_not_read`` and ``log_disk_full`` are the benchmark's own."""
