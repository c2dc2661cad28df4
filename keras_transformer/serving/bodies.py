"""Reading the bodies of requests, in bounded memory and time."""

import asyncio
import time
from collections.abc import AsyncIterator

from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.limits import Room
from keras_transformer.serving.settings import Settings

_IN_MEMORY = 64  # of the largest allowed size, of all requests together
_IN_MEMORY_EACH = 32  # of one address


class Bodies:
    """The bodies that are being sent.

    Where they would take too much memory, the one that has been on its way for longest is given up,
    of the address that sends most.

    Args:
        settings: with the limits of size and time.
    """

    def __init__(self, settings: Settings):
        self._most = most = settings.max_body_bytes
        self._seconds = settings.transfer_seconds
        self._rate = settings.min_rate
        self._room = Room(most * _IN_MEMORY, most * _IN_MEMORY_EACH)

    async def read(
        self, chunks: AsyncIterator[bytes], group: str, deadline: float, too_large: Failure
    ) -> bytes:
        """Reads a body to its end.

        Args:
            chunks: of the body.
            group: whose it is; see `limits.group_of`.
            deadline: on the clock of `time.monotonic`.
            too_large: raised when there are more bytes than allowed, whatever was announced.

        Raises:
            Failure: when it is too large or too slow, or has to make room for others.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadline = begun + deadline - time.monotonic()
        body, holder, pushed_out = bytearray(), object(), False

        def make_room() -> None:
            nonlocal pushed_out
            pushed_out = True
            if not timeout.expired():
                timeout.reschedule(loop.time())

        timeout = asyncio.timeout_at(min(deadline, begun + self._seconds))
        self._room.enter(holder, group, make_room)
        try:
            async with timeout:
                async for chunk in chunks:
                    if len(body) + len(chunk) > self._most:
                        raise too_large
                    self._room.take(holder, len(chunk))
                    if pushed_out:
                        break
                    body += chunk
                    allowed = begun + self._seconds + len(body) / self._rate
                    timeout.reschedule(min(deadline, allowed))
        except TimeoutError:
            if not pushed_out:
                raise Failure(Kind.SLOW_CLIENT, "the body did not come in time.") from None
        finally:
            self._room.leave(holder)
        if pushed_out:
            raise Failure(Kind.OVERLOADED, "too many requests are being sent.", retry_after=1)
        return bytes(body)
