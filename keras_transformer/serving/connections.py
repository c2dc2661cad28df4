"""HTTP connections with limits: how many, whose, and how long each may take for what.

uvicorn speaks HTTP. It has a timer for connections on which nothing happens between two requests,
and none for clients that are slow on purpose, so this module adds them:

    head      of a request: `Settings.head_seconds`, however it trickles
    body      read in `app.py`, by the same rule as answers are sent
    answer    `Settings.transfer_seconds`, and one more for each `Settings.min_rate` bytes that the
              client has taken; what waits for all clients together is bounded too
    refusal   what a client still sends after its request was refused is read and dropped for some
              seconds, for closing at once would destroy the answer on its way

Few requests are begun in a round of the event loop, those of different addresses in turn; fewer
still of those that a client sends before it has the answer to the last.

A connection that finds no place pushes out one that waits for a request: the oldest of the address
that has the most. Where all are at work it is one of few more that may ask for health alone.

uvicorn promises none of the names that are used here (0.30 and 0.54 have them): `H11Protocol`, its
arguments, its attributes `conn`, `cycle`, `flow` and `transport`, its methods `handle_events`,
`on_response_complete`, `send_400_response`, `shutdown` and `_unset_keepalive_if_required`; of its
cycle `disconnected`, `message_event`, `response_started` and `response_complete`; of `Server`
`capture_signals`, `server_state`, `startup` and `shutdown`.
"""

import asyncio
import contextlib
import errno
import json
import socket
import sys
import time
from collections import Counter
from http import HTTPStatus

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from keras_transformer.serving.limits import Turns, group_of
from keras_transformer.serving.plain import plain
from keras_transformer.serving.tls import Certificate

_SWEEP = 0.25  # seconds between looks at all timers
_LINGERING = 2.0  # seconds in which what follows a refused request is dropped
_MOST_LINGERING = 2**22  # bytes of it
_RESERVE = 64  # connections beyond the limits, for health
_ACCEPTS = 64  # new connections at a time, after which others have their turn
_REQUESTS = 16  # that are begun in a round of the event loop
_PIPELINED = 2  # of those that came before the answer to the one before
_UNSENT_ANSWERS = 64  # of the largest allowed request's size, of all clients together
_AT_A_PAUSE = 16  # connections that never had a request, ended then
_PAUSE = 0.25  # seconds without accepting where the system has no descriptors left
_BETWEEN_WARNINGS = 60.0  # seconds
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class HttpServer(uvicorn.Server):
    """uvicorn without its own listening and its signals, which know nothing of gRPC.

    Args:
        config: of uvicorn; its protocol is `Connection`.
        connections: the listeners and the limits.
    """

    def __init__(self, config: uvicorn.Config, connections: "Connections"):
        super().__init__(config)
        self._connections = connections

    def capture_signals(self):
        return contextlib.nullcontext()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets=[])
        self._connections.start(self.config, self.server_state)

    async def shutdown(self, sockets=None) -> None:
        self._connections.stop_accepting()
        await super().shutdown(sockets=[])
        self._connections.close()


class Connections:
    """The connections of all listeners.

    Args:
        listeners: sockets that listen.
        settings: the settings of the server.
        metrics: its metrics.
        log: its log.
        certificate: for HTTPS.
    """

    def __init__(self, listeners, settings, metrics, log, certificate: Certificate | None = None):
        self.settings = settings
        self._listeners = listeners
        self._metrics = metrics
        self._log = log
        self._certificate = certificate
        self._all: set[Connection] = set()
        self._reserved: set[Connection] = set()
        self._of_groups: Counter[str] = Counter()
        self._waiting: dict[Connection, None] = {}  # for a request, oldest first
        self._sending: dict[Connection, None] = {}  # with bytes that are not sent, oldest first
        self._lingering: set[Connection] = set()
        self._handshakes: dict[Connection, asyncio.Task] = {}
        self._most_unsent = settings.max_body_bytes * _UNSENT_ANSWERS
        self._next_warning = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        metrics.connections.set_function(lambda: len(self._all))

    def start(self, config: uvicorn.Config, state) -> None:
        """Accepts from now on."""
        self._config, self._state = config, state
        self._loop = asyncio.get_running_loop()
        self._accepting = True
        self.turns = Turns(self._loop, _REQUESTS)
        self.later_turns = Turns(self._loop, _PIPELINED, rests=True)
        for listener in self._listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener, self._accept, listener)
        self._sweep()

    def stop_accepting(self) -> None:
        """Closes the listeners; connections stay."""
        self._accepting = False
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()

    def close(self) -> None:
        """Ends what is left of the connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._handshakes.values():
            task.cancel()
        for connection in list(self._all):
            connection.abort()

    # ------------------------------------------------------------------------------- new ones

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_DESCRIPTORS:
                    self._warn("a connection could not be accepted", error=str(error))
                    return
                self._warn("no descriptor for a connection: raise ulimit -n", error=str(error))
                ended = [self._push_out(strangers=True) for _ in range(_AT_A_PAUSE)]
                if not any(ended):
                    self._push_out()
                self._loop.remove_reader(listener)
                self._loop.call_later(_PAUSE, self._resume, listener)
                return
            self._admit(accepted, group_of(address[0]))

    def _resume(self, listener: socket.socket) -> None:
        if self._accepting:
            self._loop.add_reader(listener, self._accept, listener)

    def _admit(self, accepted: socket.socket, group: str) -> None:
        reserved = not self._has_place(group)
        full = reserved and len(self._reserved) >= _RESERVE
        if full and not self._push_out(reserved=True):
            self._metrics.refused_connections.labels("full").inc()
            accepted.close()
            return
        accepted.setblocking(False)
        with contextlib.suppress(OSError):  # gone already
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # Else the second part of an answer waits until the client has confirmed the first.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, group, reserved, self._config, self._state, self._loop)
        self._all.add(connection)
        if reserved:
            self._reserved.add(connection)
        else:
            self._of_groups[group] += 1
        self.waits(connection)
        task = self._loop.create_task(self._connect(connection, accepted))
        self._handshakes[connection] = task
        task.add_done_callback(lambda task: self._handshakes.pop(connection, None))

    async def _connect(self, connection: "Connection", accepted: socket.socket) -> None:
        options = {}
        if self._certificate is not None:
            options = {
                "ssl": self._certificate.context,
                "ssl_handshake_timeout": self.settings.head_seconds,
                "ssl_shutdown_timeout": _LINGERING,
            }
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted, **options)
        except (OSError, asyncio.CancelledError):  # no TLS, too slow, gone, or pushed out
            if connection in self._all:
                self._metrics.refused_connections.labels("handshake").inc()
            self.forget(connection)

    def _has_place(self, group: str) -> bool:
        """Whether there is a place for one more, once another has gone if need be."""
        most_each = self.settings.max_connections_per_address
        if self._of_groups[group] >= most_each and not self._push_out(group):
            return False
        if len(self._all) - len(self._reserved) < self.settings.max_connections:
            return True
        largest = max(self._of_groups, key=self._of_groups.__getitem__)
        return self._push_out(largest) or self._push_out()

    def _push_out(
        self, group: str | None = None, *, reserved: bool = False, strangers: bool = False
    ) -> bool:
        """Ends the oldest connection that waits for a request; False if none does.

        One that has never had a request goes before one that has.

        Args:
            group: whose it must be; anybody's unless given.
            reserved: whether it must be one of the reserve, or must not.
            strangers: it must never have had a request.
        """
        fitting = [
            connection
            for connection in self._waiting
            if connection.reserved == reserved and group in (None, connection.group)
        ]
        unknown = [connection for connection in fitting if connection.cycle is None]
        for connection in unknown or (() if strangers else fitting):
            self._metrics.refused_connections.labels("pushed_out").inc()
            self.cut(connection)
            return True
        return False

    # --------------------------------------------------------------------------- what they do

    def waits(self, connection: "Connection") -> None:
        """Notes that a connection waits for a request from now on."""
        if connection in self._all:
            self._waiting[connection] = None

    def works(self, connection: "Connection") -> None:
        """Notes that a connection has a request."""
        self._waiting.pop(connection, None)

    def sends(self, connection: "Connection") -> None:
        """Notes that a connection has bytes that its client has not taken."""
        self._sending[connection] = None
        unsent = sum(other.unsent for other in self._sending)
        while unsent > self._most_unsent and len(self._sending) > 1:
            oldest = next(iter(self._sending))
            unsent -= oldest.unsent
            self._metrics.refused_connections.labels("slow_reader").inc()
            self.cut(oldest)

    def lingers(self, connection: "Connection") -> None:
        """Notes that a connection is closed once its client has the refusal."""
        self._waiting.pop(connection, None)
        self._lingering.add(connection)

    def forget(self, connection: "Connection") -> None:
        """Gives a connection's place back."""
        if connection not in self._all:
            return
        self._all.remove(connection)
        self._waiting.pop(connection, None)
        self._sending.pop(connection, None)
        self._lingering.discard(connection)
        if connection.reserved:
            self._reserved.remove(connection)
            return
        self._of_groups[connection.group] -= 1
        if not self._of_groups[connection.group]:
            del self._of_groups[connection.group]

    def cut(self, connection: "Connection") -> None:
        """Ends a connection at once."""
        self.forget(connection)
        if (handshake := self._handshakes.get(connection)) is not None:
            handshake.cancel()
        connection.abort()

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self._waiting):
            if connection.head_is_late(now):
                self._metrics.refused_connections.labels("slow_head").inc()
                connection.refuse(408, "the head of the request did not come in time.")
        for connection in list(self._sending):
            if not connection.unsent:
                self._sending.pop(connection)
            elif connection.reader_is_late(now):
                self._metrics.refused_connections.labels("slow_reader").inc()
                self.cut(connection)
        for connection in [one for one in self._lingering if one.lingered(now)]:
            self.cut(connection)
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    def _warn(self, message: str, **details) -> None:
        """Logs something that can come many times a second, at most once a minute."""
        now = time.monotonic()
        if now >= self._next_warning:
            self._next_warning = now + _BETWEEN_WARNINGS
            self._log.warning(message, connections=len(self._all), **details)


class _Transport:
    """A connection's transport as uvicorn sees it: writing is timed, and closing may linger."""

    def __init__(self, transport: asyncio.Transport, connection: "Connection"):
        self._transport = transport
        self._connection = connection

    def __getattr__(self, name: str):
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._connection.write(data)

    def close(self) -> None:
        self._connection.close()

    def is_closing(self) -> bool:
        return self._connection.lingering_since is not None or self._transport.is_closing()


class Connection(H11Protocol):
    """One connection.

    Args:
        connections: where it has its place.
        group: whose it is.
        reserved: it may ask for health alone.
        config: uvicorn's.
        state: uvicorn's.
        loop: the running one.

    Attributes:
        lingering_since: when it was decided to close it once the client has the answer.
    """

    def __init__(self, connections: Connections, group: str, reserved: bool, config, state, loop):
        # Requests see it as scope["state"]["connection"].
        super().__init__(config, state, {"connection": self}, _loop=loop)
        self.group = group
        self.reserved = reserved
        self.lingering_since: float | None = None
        self._connections = connections
        self._own: asyncio.Transport | None = None
        self._head_since: float | None = time.monotonic()  # None where nothing of one has come
        self._queued = False  # for its turn
        self._pipelined = False  # what comes now came before the last answer
        self._dropped = 0
        self._written = 0
        self._sent_before = 0
        self._sending_since = 0.0

    # Called by asyncio.

    def connection_made(self, transport) -> None:
        self._own = transport
        super().connection_made(_Transport(transport, self))

    def connection_lost(self, error) -> None:
        self._connections.forget(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self.lingering_since is not None:
            self._dropped += len(data)
            if self._dropped > _MOST_LINGERING:
                self.abort()
            return
        if self._head_since is None and not self._at_work():
            self._head_since = time.monotonic()
        super().data_received(data)

    # Called by uvicorn.

    def handle_events(self) -> None:
        if self._at_work():
            super().handle_events()
        elif not self._queued:
            turns = self._connections.later_turns if self._pipelined else self._connections.turns
            if turns.take(self.group, self._begin):
                self._handle_request()
            else:
                self._queued = True
                self.flow.pause_reading()

    def on_response_complete(self) -> None:
        self._pipelined = True
        super().on_response_complete()
        self._pipelined = False
        if not self._at_work() and not self.transport.is_closing():
            self._connections.waits(self)

    def shutdown(self) -> None:
        if self.lingering_since is None:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP; called while the error is being handled."""
        error = sys.exception()
        status = getattr(error, "error_status_hint", 400)
        if status not in (400, 413, 431, 501):
            status = 400
        if self._at_work():
            self.cycle.disconnected = True  # for whoever waits for the rest of the body
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.abort()
                return
        self.refuse(status, f"this is no proper HTTP: {plain(str(error), 200)}.")

    # Called by `Connections` and `_Transport`.

    def write(self, data: bytes) -> None:
        """Sends; what the client does not take at once is timed."""
        before = self.unsent
        self._own.write(data)
        self._written += len(data)
        if not self.unsent:
            return
        if not before:
            self._sending_since = time.monotonic()
            self._sent_before = self._written - self.unsent
        self._connections.sends(self)

    def close(self) -> None:
        """Closes, in a way that the client gets the answer even if it is still sending."""
        if self.lingering_since is not None or self._own.is_closing():
            return
        if self.conn.their_state not in (h11.SEND_BODY, h11.ERROR):
            self._own.close()
            return
        self._linger()

    def abort(self) -> None:
        """Closes at once, whatever is not sent."""
        if self._own is not None:
            self._own.abort()

    def refuse(self, status: int, message: str) -> None:
        """Answers without an application, and closes; says nothing where nothing was asked."""
        if self._own is None:
            self._connections.cut(self)
            return
        if self._own.is_closing() or self.lingering_since is not None:
            return
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._own.close()
            return
        body = json.dumps({"error": message}).encode()
        self.write(
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        self.conn.send_failed()  # it is of no more use
        self._linger()

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken, as far as this process knows."""
        return self._own.get_write_buffer_size()

    def head_is_late(self, now: float) -> bool:
        """Whether a request's head has begun and takes too long."""
        limit = self._connections.settings.head_seconds
        return self._head_since is not None and now > self._head_since + limit

    def reader_is_late(self, now: float) -> bool:
        """Whether the client takes its answer too slowly."""
        settings = self._connections.settings
        taken = self._written - self.unsent - self._sent_before
        most = settings.transfer_seconds + taken / settings.min_rate
        return now > self._sending_since + most

    def lingered(self, now: float) -> bool:
        """Whether a refused client has had the time to read its answer."""
        return now > self.lingering_since + _LINGERING and not self.unsent

    def _begin(self) -> None:
        """Goes on with what has come, as it is this connection's turn."""
        self._queued = False
        if self.lingering_since is None and not self._own.is_closing():
            self.flow.resume_reading()
            self._handle_request()

    def _handle_request(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._connections.works(self)
            self._head_since = None

    def _linger(self) -> None:
        self.lingering_since = time.monotonic()
        self._connections.lingers(self)
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self._own.can_write_eof():
            self._own.write_eof()

    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete
