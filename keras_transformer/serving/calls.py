"""Calls of gRPC with limits: how many, whose, and how long each may take for what.

gRPC gives a request's handler to the server when all of the request is there, and calls whose
request never comes, or whose answer is never read, count among all until their connection ends.
So requests are read here, as streams of one message, which is the same to clients:

    request   `Settings.transfer_seconds`; so many at a time, of which the oldest makes room
    call      `Settings.max_calls` at a time, of one address half; health is not among them
    answer    `Settings.transfer_seconds`, and one more for each `Settings.min_rate` bytes; the
              memory of all is bounded, and the oldest makes room
    Watch     of health, few on a connection and `Settings.max_watches` in all, of which the oldest
              makes room

gRPC cannot take back an answer that its client does not take, so the connection is ended.
"""

import asyncio
from collections import Counter

import grpc
from google.protobuf.message import DecodeError, Message

from keras_transformer.serving.failures import Kind
from keras_transformer.serving.limits import Room
from keras_transformer.serving.metrics import Metrics
from keras_transformer.serving.peers import cut, group_of_peer
from keras_transformer.serving.settings import Settings

_HEALTH = "/grpc.health.v1.Health/"
_READING = 256  # requests at a time
_ANSWERS = 64  # of the largest allowed request's size, of all clients together
_WATCHES_EACH = 8  # of one connection
_LATELY = 1.0  # seconds
_BESIDES = 64  # calls of a connection that are refused, or ask for health
_IDLE = 60_000  # milliseconds
_AGE = 600_000
_MALFORMED = object()


def options(settings: Settings) -> list[tuple[str, int]]:
    """Options of gRPC's server that limit connections."""
    handshake = int(settings.head_seconds * 1000)
    grace = int((settings.deadline + settings.transfer_seconds) * 1000)
    return [
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_concurrent_streams", settings.max_calls // 2 + _BESIDES),
        ("grpc.server_handshake_timeout_ms", handshake),
        ("grpc.http2.settings_timeout", handshake),
        ("grpc.max_connection_idle_ms", _IDLE),
        ("grpc.max_connection_age_ms", _AGE),
        ("grpc.max_connection_age_grace_ms", grace),
        ("grpc.keepalive_time_ms", _IDLE // 2),
        ("grpc.keepalive_timeout_ms", handshake),
    ]


class Calls(grpc.aio.ServerInterceptor):
    """The limits of one server's calls.

    Args:
        settings: with the limits.
        metrics: counts what is refused.
    """

    def __init__(self, settings: Settings, metrics: Metrics):
        self._settings = settings
        self._metrics = metrics
        self._reading = Room(_READING, _READING // 2)
        self._watches = Room(settings.max_watches, max(1, settings.max_watches // 2))
        most = settings.max_body_bytes * _ANSWERS
        self._answers = Room(most, most // 2)
        self._running: Counter[str] = Counter()  # by address
        self._watching: Counter[str] = Counter()  # by connection
        self._lately_cut: dict[str, float] = {}

    async def intercept_service(self, continuation, handler_call_details):
        """Gives a handler that keeps to the limits."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        method = handler_call_details.method
        if handler.response_streaming:
            return _streaming(handler, lambda *given: self._watch(handler.unary_stream, *given))
        limited = not method.startswith(_HEALTH)
        return _streaming(handler, lambda *given: self._call(handler.unary_unary, limited, *given))

    async def _call(self, behave, limited: bool, requests, context):
        group = group_of_peer(context.peer())
        request = await self._request(requests, group, context)
        if not limited:
            return await behave(request, context)
        most = self._settings.max_calls
        if self._running[group] >= max(1, most // 2) or self._running.total() >= most:
            await self._refuse(context, Kind.OVERLOADED, "there are too many calls.")
        self._running[group] += 1
        try:
            answer = await behave(request, context)
        finally:
            self._running[group] -= 1
            if not self._running[group]:
                del self._running[group]
        self._time_sending(answer, group, context)
        return answer

    async def _request(self, requests, group: str, context):
        """The one message of a call."""
        loop = asyncio.get_running_loop()
        holder, pushed_out = object(), False

        def make_room() -> None:
            nonlocal pushed_out
            pushed_out = True
            if not timeout.expired():
                timeout.reschedule(loop.time())

        timeout = asyncio.timeout(self._settings.transfer_seconds)
        self._reading.enter(holder, group, make_room)
        try:
            async with timeout:
                self._reading.take(holder)
                request = await anext(aiter(requests))
            if request is not _MALFORMED:
                return request
            kind, message = Kind.INVALID, "the request is not of the message of this call."
        except TimeoutError:
            kind = Kind.OVERLOADED if pushed_out else Kind.SLOW_CLIENT
            message = "the request did not come in time."
        except StopAsyncIteration:
            kind, message = Kind.INVALID, "the call has no request."
        finally:
            self._reading.leave(holder)
        await self._refuse(context, kind, message)

    def _time_sending(self, answer: Message, group: str, context) -> None:
        """Ends the connection if its client does not take the answer."""
        holder, size, peer = object(), answer.ByteSize(), context.peer()

        def give_up() -> None:
            self._cut(peer, "slow_reader")

        seconds = self._settings.transfer_seconds + size / self._settings.min_rate
        timer = asyncio.get_running_loop().call_later(seconds, give_up)
        self._answers.enter(holder, group, give_up)

        def done(context) -> None:
            timer.cancel()
            self._answers.leave(holder)

        context.add_done_callback(done)
        self._answers.take(holder, size)

    async def _watch(self, behave, requests, context) -> None:
        group = group_of_peer(context.peer())
        request = await self._request(requests, group, context)
        holder, peer = object(), context.peer()
        if self._watching[peer] >= _WATCHES_EACH:
            message = f"a connection may watch {_WATCHES_EACH} times."
            await self._refuse(context, Kind.OVERLOADED, message)
        self._watching[peer] += 1
        self._watches.enter(holder, group, lambda: self._cut(peer, "pushed_out"))
        self._watches.take(holder)
        try:
            await behave(request, context)
        except TimeoutError:  # the client does not take what it is sent
            self._cut(peer, "slow_reader")
        finally:
            self._watches.leave(holder)
            self._watching[peer] -= 1
            if not self._watching[peer]:
                del self._watching[peer]

    def _cut(self, peer: str, reason: str) -> None:
        """Ends a connection, of which several calls may ask for it before it has ended."""
        now = asyncio.get_running_loop().time()
        self._lately_cut = {one: at for one, at in self._lately_cut.items() if at > now - _LATELY}
        if peer not in self._lately_cut:
            self._lately_cut[peer] = now
            self._metrics.refused_connections.labels(reason).inc()
            cut(peer)

    async def _refuse(self, context, kind: Kind, message: str) -> None:
        self._metrics.rejected.labels(kind.name.lower()).inc()
        await context.abort(grpc.StatusCode[kind.grpc_code], message)


def _streaming(handler, behave):
    """A handler that takes the request as a stream, with the serializers of another."""
    make = (
        grpc.stream_stream_rpc_method_handler
        if handler.response_streaming
        else grpc.stream_unary_rpc_method_handler
    )

    async def behaviour(requests, context):
        return await behave(requests, context)

    def deserialize(content: bytes):
        try:
            return handler.request_deserializer(content)
        except DecodeError:  # gRPC would call it a fault of the server
            return _MALFORMED

    return make(behaviour, deserialize, handler.response_serializer)
