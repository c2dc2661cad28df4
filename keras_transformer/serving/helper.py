"""A thread for work that would hold up the event loop, which addresses use in turn."""

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Helper:
    """A thread for work that would hold up the event loop, which addresses use in turn.

    However much of one address waits for it, what another address gives it is next but one.
    """

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="helper")
        self._busy = False
        self._queues: dict[str, deque[asyncio.Future]] = {}  # the next group first

    async def run(self, group: str, function: Callable, *arguments, **options):
        """Calls a function in the thread, and returns what it returns.

        Args:
            group: whose work it is; see `limits.group_of`.
            function: with its `arguments` and `options`.
        """
        loop = asyncio.get_running_loop()
        await self._turn(group, loop)
        try:
            call = functools.partial(function, *arguments, **options)
            return await loop.run_in_executor(self._thread, call)
        finally:
            self._pass_on()

    def close(self) -> None:
        """Begins nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, group: str, loop: asyncio.AbstractEventLoop) -> None:
        if not self._busy:
            self._busy = True
            return
        turn = loop.create_future()
        queue = self._queues.setdefault(group, deque())
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            else:
                with contextlib.suppress(ValueError):
                    queue.remove(turn)
                if not queue and self._queues.get(group) is queue:
                    del self._queues[group]
            raise

    def _pass_on(self) -> None:
        while self._queues:
            group = next(iter(self._queues))
            queue = self._queues.pop(group)
            turn = queue.popleft()
            if queue:
                self._queues[group] = queue  # as the last
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False
