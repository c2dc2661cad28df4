"""Answers of any size, written in pieces: neither memory nor other requests notice a large one."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor

from starlette.responses import Response

from keras_transformer.serving.limits import Room


class PiecedAnswer(Response):
    """An answer, each piece of which is made when the client has taken the one before.

    A client that has not taken all of it at the deadline is cut off. So is the one that is at it
    for longest where answers would take too much memory, of the address that has most.

    Args:
        pieces: of the body.
        size: bytes of memory that they are made from.
        room: for the answers of all clients.
        executor: makes the pieces, so that the event loop need not.
        deadline: on the clock of `time.monotonic`.
        headers: of the answer.
        media_type: of the answer, JSON unless given.

    Attributes:
        error: what went wrong while it was sent; empty while nothing has.
    """

    media_type = "application/json"

    def __init__(
        self,
        pieces: Iterator[bytes],
        size: int,
        room: Room,
        executor: Executor,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ):
        super().__init__(headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self.error = ""
        self._pieces = pieces
        self._size = size
        self._room = room
        self._executor = executor
        self._deadline = deadline

    async def __call__(self, scope, receive, send):
        loop = asyncio.get_running_loop()
        connection = scope["state"]["connection"]

        def make_room() -> None:
            self.error = "the answer had to make room for others"
            connection.abort()

        gone = asyncio.ensure_future(receive())  # after the body only the end can come
        self._room.enter(self, connection.group, make_room)
        self._room.take(self, self._size)
        try:
            async with asyncio.timeout_at(loop.time() + self._deadline - time.monotonic()):
                await self._send(send, gone)
        except TimeoutError:
            self.error = "the deadline passed before the client had taken the answer"
            connection.abort()
            await asyncio.sleep(0)  # until that has happened
        finally:
            self._room.leave(self)
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def _send(self, send, gone: asyncio.Future) -> None:
        loop = asyncio.get_running_loop()
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        while (
            piece := await loop.run_in_executor(self._executor, next, self._pieces, None)
        ) is not None:
            if gone.done():
                self.error = self.error or "the client has gone"
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
