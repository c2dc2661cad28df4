"""Calls of gRPC that never end as they should cost their client its calls, and nobody else."""

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from raw_http2 import Client

from keras_transformer.serving.calls import Calls, options
from keras_transformer.serving.health import Health
from keras_transformer.serving.metrics import Metrics
from keras_transformer.serving.peers import cut, group_of_peer
from keras_transformer.serving.settings import Settings

ECHO, CHECK, WATCH = (
    "/test.Test/Echo",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
)
CODES = grpc.StatusCode


@asynccontextmanager
async def listening(**given):
    """gRPC with limits, health and a call that gives back its request, after a while if asked to.

    Yields:
        its port, limits and health, and how many calls have ended.
    """
    settings = Settings("none", **{"transfer_seconds": 0.5, "min_rate": 10_000_000} | given)
    limits = Calls(settings, Metrics())
    server = grpc.aio.server(options=options(settings), interceptors=[limits])
    health = Health(("", "service"), settings.transfer_seconds)
    health.set(True)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)

    async def echo(request, context):
        if request.value == b"wait":
            await asyncio.sleep(1.0)
        return request

    handler = grpc.unary_unary_rpc_method_handler(
        echo, BytesValue.FromString, BytesValue.SerializeToString
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("test.Test", {"Echo": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield SimpleNamespace(
            port=port,
            limits=limits,
            health=health,
            echo=channel.unary_unary(ECHO, BytesValue.SerializeToString, BytesValue.FromString),
            stub=health_pb2_grpc.HealthStub(channel),
        )
    await server.stop(0)


async def wait_until(condition, seconds=5.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)


async def healthy(edge):
    """Asserts that health and others are answered at once."""
    answer = await edge.stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert await edge.echo(BytesValue(value=b"a" * 100), timeout=5) == BytesValue(value=b"a" * 100)


def run(test):
    """Makes a test of a coroutine."""

    def wrapped():
        asyncio.run(asyncio.wait_for(test(), 60))

    wrapped.__name__ = test.__name__
    return wrapped


@run
async def test_a_request_that_does_not_come_is_given_up():
    async with listening() as edge, Client(edge.port) as client:
        streams = [client.call(ECHO), client.call(ECHO, b"x" * 1000, part=500), client.call(CHECK)]
        await healthy(edge)
        await wait_until(lambda: all(client.ended(stream) for stream in streams))
        assert len(edge.limits._reading) == 0
        await healthy(edge)


@run
async def test_unfinished_requests_make_room_for_new_ones():
    async with listening(transfer_seconds=30.0) as edge, Client(edge.port) as client:
        streams = [client.call(ECHO, b"x" * 1000, part=500) for _ in range(200)]
        await wait_until(lambda: sum(map(client.ended, streams)) == 200 - 128)
        assert client.ended(streams[0])
        assert not client.ended(streams[-1])
        await healthy(edge)


@run
async def test_calls_have_a_number_in_all_and_health_is_not_among_them():
    async with listening(max_calls=8) as edge:
        waiting = BytesValue(value=b"wait")
        calls = [asyncio.ensure_future(edge.echo(waiting, timeout=5)) for _ in range(4)]
        await wait_until(lambda: edge.limits._running.total() == 4)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.echo(BytesValue(value=b"a"), timeout=5)
        assert caught.value.code() is CODES.RESOURCE_EXHAUSTED
        await edge.stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert await asyncio.gather(*calls) == [waiting] * 4
        await healthy(edge)
        assert edge.limits._running.total() == 0


@run
async def test_an_answer_that_nobody_takes_is_given_up():
    async with listening() as edge, Client(edge.port, window=0) as client:
        content = BytesValue(value=b"x" * 60_000).SerializeToString()
        for _ in range(3):
            client.call(ECHO, content)
        await wait_until(lambda: len(edge.limits._answers) == 3)
        await healthy(edge)
        await asyncio.wait_for(client.closed.wait(), 5)
        await wait_until(lambda: edge.limits._answers.held == 0)
        await healthy(edge)


@run
async def test_answers_that_nobody_takes_make_room():
    content = BytesValue(value=b"x" * 40_000).SerializeToString()
    async with (
        listening(transfer_seconds=30.0, max_body_bytes=4000) as edge,
        Client(edge.port, window=0) as client,
        Client(edge.port, window=0) as other,
    ):
        client.call(ECHO, content)
        await wait_until(lambda: len(edge.limits._answers) == 1)
        for _ in range(3):
            other.call(ECHO, content)
        await asyncio.wait_for(client.closed.wait(), 5)
        assert edge.limits._answers.held <= 64 * 4000
        await healthy(edge)


@run
async def test_watchers_have_a_number():
    async with listening(max_watches=10) as edge:
        request = health_pb2.HealthCheckRequest()
        async with Client(edge.port) as first, Client(edge.port) as second:
            for _ in range(4):
                first.call(WATCH, b"")
            await wait_until(lambda: len(edge.limits._watches) == 4)
            second.call(WATCH, b"")
            await wait_until(lambda: len(edge.limits._watches) == 5)
            watching = aiter(edge.stub.Watch(request))
            assert (await anext(watching)).status == health_pb2.HealthCheckResponse.SERVING
            await asyncio.wait_for(first.closed.wait(), 5)  # the oldest of its address
            assert not second.closed.is_set()
            edge.health.set(False)
            answer = await asyncio.wait_for(anext(watching), 5)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        unknown = edge.stub.Watch(health_pb2.HealthCheckRequest(service="other"))
        answer = await anext(aiter(unknown))
        assert answer.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@run
async def test_a_connection_has_few_watchers_and_keeps_the_rest_of_its_calls():
    async with listening() as edge, Client(edge.port) as client:
        streams = [client.call(WATCH, b"") for _ in range(20)]
        await wait_until(lambda: sum(map(client.ended, streams)) == 12)
        assert not client.closed.is_set()
        check = client.call(CHECK, b"")
        await wait_until(lambda: client.ended(check))
        assert edge.limits._watching.total() == len(edge.limits._watches) == 8


@run
async def test_a_watcher_that_takes_nothing_holds_up_nobody():
    async with listening() as edge, Client(edge.port, window=0) as client:
        client.call(WATCH, b"")
        watching = aiter(edge.stub.Watch(health_pb2.HealthCheckRequest()))
        assert (await anext(watching)).status == health_pb2.HealthCheckResponse.SERVING
        for serving in (False, True):
            edge.health.set(serving)
            answer = await asyncio.wait_for(anext(watching), 0.4)
            assert answer.status == (1 if serving else 2)
        await asyncio.wait_for(client.closed.wait(), 5)
        await wait_until(lambda: len(edge.limits._watches) == 1)
        await healthy(edge)


@run
async def test_connections_are_found_by_their_peer():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    other, _ = await asyncio.open_connection("127.0.0.1", port)
    host, own = writer.get_extra_info("sockname")
    await asyncio.sleep(0.05)
    assert cut(f"ipv4:{host}:{own}")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert not cut(f"ipv4:{host}:1")
    assert not cut("unix:/tmp/socket")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(other.read(), 0.05)
    server.close()


def test_peers_of_grpc_have_addresses():
    assert group_of_peer("ipv4:127.0.0.1:50051") == "127.0.0.1"
    assert group_of_peer("ipv6:%5B2001:db8::5%5D:50051") == "2001:db8::/64"
    assert group_of_peer("unix:/tmp/socket") == "unix:/tmp/socket"
