"""Slow and greedy clients lose their connections; the others, and health, notice nothing."""

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from keras_transformer.serving import connections
from keras_transformer.serving.bodies import Bodies
from keras_transformer.serving.connections import Connection, Connections, HttpServer
from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.limits import Room, Turns, group_of
from keras_transformer.serving.metrics import Metrics
from keras_transformer.serving.settings import Settings

QUICK = {"head_seconds": 0.6, "transfer_seconds": 0.6, "min_rate": 100_000}
LARGE = b"x" * 30_000_000  # more than the buffers of sockets hold
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"


async def app(scope, receive, send):
    """Answers /large with much, /health when on a reserved connection, others with their body."""
    status, headers = 200, []
    connection = scope["state"]["connection"]
    if scope["path"] == "/large":
        body = LARGE
    elif connection.reserved and scope["path"] != "/health":
        status, body, headers = 503, b"full", [(b"connection", b"close")]
    elif scope["path"] == "/refuse":
        status, body, headers = 404, b"no such thing", [(b"connection", b"close")]
    else:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def listening(**options):
    """The edge of the server with `app` behind it.

    Yields:
        its port, its connections and what it logged.
    """
    settings = Settings("none", **QUICK | options)
    listener = socket.create_server(("127.0.0.1", 0))
    warnings = []
    log = SimpleNamespace(warning=lambda message, **details: warnings.append(message))
    connections = Connections([listener], settings, Metrics(), log)
    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="off", log_config=None, log_level="error"
    )
    server = HttpServer(config, connections)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield SimpleNamespace(
            port=listener.getsockname()[1], connections=connections, warnings=warnings
        )
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, 10)


async def opened(edge, sent=b"", host="127.0.0.1"):
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", edge.port, local_addr=(host, 0), limit=2**16
    )
    writer.write(sent)
    return reader, writer


async def asked(edge, request=GET, host="127.0.0.1"):
    """The answer to a request on a connection of its own, without its end."""
    reader, writer = await opened(edge, request, host)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()
    return answer


async def ended(reader, seconds=5):
    """What a connection still gives until the server ends it."""
    try:
        return await asyncio.wait_for(reader.read(), seconds)
    except ConnectionError:
        return b""


def run(test):
    """Makes a test of a coroutine."""

    def wrapped():
        asyncio.run(asyncio.wait_for(test(), 60))

    wrapped.__name__ = test.__name__
    wrapped.__doc__ = test.__doc__
    return wrapped


@run
async def test_a_head_has_its_time_however_it_trickles():
    async with listening() as edge:
        silent, _ = await opened(edge)
        reader, writer = await opened(edge, b"GET / HTTP/1.1\r\n")
        started = time.monotonic()

        async def trickle():
            for _ in range(30):
                writer.write(b"a: b\r\n")
                await asyncio.sleep(0.1)

        trickling = asyncio.create_task(trickle())
        answer = await ended(reader)
        trickling.cancel()
        assert time.monotonic() - started < 2
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert "error" in json.loads(answer.split(b"\r\n\r\n")[1])
        assert await ended(silent) == b""

        # The second request of a connection has its own time, and waiting for it is allowed.
        reader, writer = await opened(edge, GET)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.9)
        writer.write(GET)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(GET[:20])
        assert (await ended(reader)).startswith(b"HTTP/1.1 408 ")


@run
async def test_no_part_of_an_answer_waits_for_another():
    async with listening() as edge:
        reader, writer = await opened(edge, GET)
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = edge.connections._all
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        writer.close()


@run
async def test_a_client_that_does_not_read_is_cut():
    async with listening() as edge:
        request = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"
        reader, writer = await opened(edge, request)
        started = time.monotonic()
        while edge.connections._all:
            assert time.monotonic() - started < 5
            assert b" 200 " in await asked(edge)
            await asyncio.sleep(0.1)
        assert len(await ended(reader)) < len(LARGE)
        writer.close()
        reader, writer = await opened(edge, request)  # slow, and quicker than asked for
        received = 0
        while received < len(LARGE):
            chunk = await reader.read(2**16)
            assert chunk
            received += len(chunk)
        writer.close()


@run
async def test_what_waits_to_be_sent_is_bounded():
    async with listening(max_body_bytes=1_000_000, transfer_seconds=30.0) as edge:
        request = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"
        clients = [await opened(edge, request) for _ in range(5)]
        give_up = time.monotonic() + 5
        while len(edge.connections._all) == len(clients):
            assert time.monotonic() < give_up
            await asyncio.sleep(0.02)
        unsent = sum(connection.unsent for connection in edge.connections._all)
        assert unsent <= 64_000_000
        for _, writer in clients:
            writer.close()


@pytest.fixture
def lingering_for_long(monkeypatch):
    """How much a refused client sends decides when it is cut off, not how fast this machine is."""
    monkeypatch.setattr(connections, "_LINGERING", 60.0)


@pytest.mark.usefixtures("lingering_for_long")
@run
async def test_a_refused_client_gets_its_answer_though_it_still_sends():
    async with listening() as edge:
        head = b"POST /refuse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n"
        reader, writer = await opened(edge, head)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        for _ in range(20):  # what comes now is read, and dropped
            writer.write(b"x" * 50_000)
            await writer.drain()
        assert b" 404 " in answer
        assert b"no such thing" in await ended(reader)
        reader, writer = await opened(edge, head)
        for _ in range(200):
            writer.write(b"x" * 50_000)  # but not for ever
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(until_closed(writer), 5)


async def until_closed(writer):
    await writer.drain()
    await writer.wait_closed()


@run
async def test_what_waits_for_a_request_makes_room():
    async with listening(max_connections=8, max_connections_per_address=4) as edge:
        kept = [await opened(edge, POST, "127.0.0.9") for _ in range(2)]
        first = [await opened(edge, b"GET /", "127.0.0.2") for _ in range(4)]
        more = [await opened(edge, b"GET /", "127.0.0.2") for _ in range(2)]
        for reader, _ in first[:2]:
            assert await ended(reader) == b""
        assert len(edge.connections._all) == 6
        others = [await opened(edge, b"GET /", "127.0.0.3") for _ in range(4)]
        await asyncio.sleep(0.05)
        assert len(edge.connections._all) == 8  # those of the first address had to go
        for number in range(10):
            assert b" 200 " in await asked(edge, host=f"127.0.1.{number}")
        for reader, writer in kept:
            writer.write(b"y" * 1000)
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        for _, writer in [*kept, *first, *more, *others]:
            writer.close()


@run
async def test_clients_who_are_known_stay_before_strangers():
    async with listening(max_connections=3) as edge:
        reader, writer = await opened(edge, GET)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        strangers = [await opened(edge, b"GET /") for _ in range(5)]
        await asyncio.sleep(0.05)
        assert len(edge.connections._all) == 3
        writer.write(GET)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        for _, other in [(reader, writer), *strangers]:
            other.close()


@run
async def test_health_is_answered_when_every_connection_is_at_work():
    async with listening(max_connections=4) as edge:
        busy = [await opened(edge, POST) for _ in range(4)]
        await asyncio.sleep(0.1)
        for _ in range(3):
            assert b" 200 " in await asked(edge)
            assert b" 503 " in await asked(edge, POST + b"y" * 1000)
        idle = [await opened(edge, b"G") for _ in range(150)]  # more than the reserve
        await asyncio.sleep(0.1)
        assert b" 200 " in await asked(edge)
        assert len(edge.connections._all) <= 4 + 64
        for reader, writer in busy:
            writer.write(b"y" * 1000)
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        for _, writer in busy + idle:
            writer.close()


@run
async def test_no_descriptors_are_a_pause_and_one_line():
    async with listening() as edge:
        (listener,) = edge.connections._listeners
        calls = []

        class Exhausted:
            def accept(self):
                calls.append(1)
                raise OSError(24, "Too many open files")

            def fileno(self):
                return listener.fileno()

            def close(self):
                listener.close()

        edge.connections._loop.remove_reader(listener)
        exhausted = Exhausted()
        edge.connections._listeners[0] = exhausted
        edge.connections._loop.add_reader(listener, edge.connections._accept, exhausted)
        waiting = [await opened(edge) for _ in range(20)]
        await asyncio.sleep(1.2)
        assert 2 <= len(calls) <= 6
        assert len(edge.warnings) == 1
        assert "ulimit -n" in edge.warnings[0]
        for _, writer in waiting:
            writer.close()


@run
async def test_many_requests_of_one_client_do_not_hold_up_the_others():
    async with listening() as edge:
        flood = [await opened(edge, GET * 200, "127.0.0.2") for _ in range(50)]
        for _ in range(5):
            assert b" 200 " in await asked(edge)
        assert edge.connections.later_turns._queues
        for reader, _ in flood:  # and all are answered, in the end
            for _ in range(200):
                assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        for _, writer in flood:
            writer.close()


@run
async def test_what_is_no_http_gets_one_error_in_json():
    async with listening() as edge:
        for request, status in (
            (b"nonsense\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nlong: " + b"x" * 100_000, b"431"),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", b"400"),
            (b"\x16\x03\x01\x02\x00", b"400"),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"400"),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nb\0: c\r\n\r\n", b"400"),
            (b"GET /" + b"a" * 5000 + b"\0 HTTP/1.1\r\n\r\n", b"400"),
        ):
            reader, writer = await opened(edge, request)
            answer = await ended(reader)
            assert answer.startswith(b"HTTP/1.1 " + status), (request[:60], answer)
            assert "error" in json.loads(answer.split(b"\r\n\r\n")[1])
            assert len(answer) < 1000
            writer.close()


async def chunks(*parts, pause=0.0):
    for part in parts:
        yield part
        await asyncio.sleep(pause)


@run
async def test_bodies_have_a_size_a_rate_and_a_deadline():
    bodies = Bodies(Settings("none", max_body_bytes=1000, transfer_seconds=0.2, min_rate=1000))
    too_large = Failure(Kind.TOO_LARGE, "too large")

    async def read(*parts, pause=0.0, seconds=5.0):
        deadline = time.monotonic() + seconds
        try:
            return await bodies.read(chunks(*parts, pause=pause), "a", deadline, too_large)
        except Failure as failure:
            return failure.kind

    assert await read(b"ab", b"c") == b"abc"
    assert await read(b"a" * 600, b"b" * 600) is Kind.TOO_LARGE
    assert await read(*[b"a"] * 100, pause=0.01) is Kind.SLOW_CLIENT
    assert await read(*[b"a" * 20] * 40, pause=0.01) == b"a" * 800
    assert await read(*[b"a" * 20] * 40, pause=0.01, seconds=0.1) is Kind.SLOW_CLIENT


@run
async def test_unfinished_bodies_make_room_for_new_ones():
    bodies = Bodies(Settings("none", max_body_bytes=1000, transfer_seconds=5.0))
    too_large = Failure(Kind.TOO_LARGE, "too large")
    deadline = time.monotonic() + 5

    def unfinished(group):
        parts = chunks(b"a" * 990, b"", pause=9)
        return asyncio.create_task(bodies.read(parts, group, deadline, too_large))

    tasks = [unfinished("greedy") for _ in range(100)]
    await asyncio.sleep(0.1)
    assert sum(not task.done() for task in tasks) == 32
    assert {task.exception().kind for task in tasks if task.done()} == {Kind.OVERLOADED}
    for group in ("a", "greedy"):
        body = await bodies.read(chunks(b"b" * 900), group, deadline, too_large)
        assert body == b"b" * 900
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@run
async def test_groups_have_their_turns():
    for rests in (False, True):
        await turns_are_taken(rests)


async def turns_are_taken(rests):
    turns, begun = Turns(asyncio.get_running_loop(), 2, rests=rests), []

    def ask(group, number):
        if turns.take(group, lambda: begun.append((group, number))):
            begun.append((group, number))

    for number in range(6):
        ask("a", number)
    ask("b", 0)
    assert begun == [("a", 0), ("a", 1)]
    while len(begun) == 2:
        await asyncio.sleep(0)
    assert begun[2:] == [("a", 2), ("b", 0)]
    ask("b", 1)
    while len(begun) < 8:
        await asyncio.sleep(0)
    assert begun[4:] == [("a", 3), ("b", 1), ("a", 4), ("a", 5)]
    await asyncio.sleep(0.05)
    ask("b", 2)
    assert begun[-1] == ("b", 2)  # at once, as nobody waits


def test_room_is_shared_between_groups():
    room, gone = Room(10, 6), []
    for number, group in enumerate("aaabbb"):
        room.enter(number, group, lambda number=number: gone.append(number))
        room.take(number, 2)
    assert gone == [0]  # 12 of 10, and both have as much
    room.take(5, 2)
    assert gone == [0, 3]
    room.leave(1)
    room.leave(1)
    room.enter(6, "c", lambda: gone.append(6))
    room.take(6, 8)  # more than one may have
    assert gone == [0, 3, 6]
    assert room.held == 8
    for number in range(7):
        room.leave(number)
    assert (room.held, len(room)) == (0, 0)


def test_one_client_is_an_address_or_an_ipv6_network():
    assert group_of("127.0.0.1") == group_of("::ffff:127.0.0.1")
    assert group_of("2001:db8::1") == group_of("2001:db8::2:3") != group_of("2001:db8:0:1::1")
    assert group_of("fe80::1%eth0") == group_of("fe80::2")
    assert group_of(None) == ""


@run
async def test_uvicorn_has_the_names_that_it_does_not_promise():
    async with listening() as edge:
        _, writer = await opened(edge, POST)
        await asyncio.sleep(0.1)
        (connection,) = edge.connections._all
        for name in ("conn", "cycle", "flow", "transport"):
            assert name in vars(connection)
        for name in ("disconnected", "message_event", "response_started", "response_complete"):
            assert name in vars(connection.cycle)
        for name in (
            *("handle_events", "on_response_complete", "send_400_response", "shutdown"),
            "_unset_keepalive_if_required",
        ):
            assert callable(vars(H11Protocol)[name])
        for name in ("capture_signals", "startup", "shutdown"):
            assert callable(vars(uvicorn.Server)[name])
        writer.close()
