"""How much one address and all together may hold: connections, bodies, calls.

Where something is full, what has stood unfinished for longest makes room for what is new. A client
that does as agreed needs moments, so it is never the oldest; one that holds its place on purpose
loses it.
"""

import asyncio
import ipaddress
from collections import Counter, deque
from collections.abc import Callable, Hashable

_LONGEST_REST = 0.01  # seconds


def group_of(host: str | None) -> str:
    """What counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address.

    Args:
        host: an address as the system writes it, with or without a zone; ``None`` where it is
            unknown.
    """
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or ""
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class Turns:
    """Whose request is begun next: few in a round of the event loop, and groups in turn.

    However many requests of one client are ready, those of the others are begun after few of them.

    Args:
        loop: the event loop.
        most: that are begun in a round.
        rests: after a round, while requests wait, as much time is left to what else there is to do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, *, rests: bool = False):
        self._loop = loop
        self._most = most
        self._longest_rest = _LONGEST_REST if rests else 0.0
        self._begun = 0
        self._queues: dict[str, deque[Callable[[], object]]] = {}  # the next group first
        self._scheduled = False

    def take(self, group: str, begin: Callable[[], object]) -> bool:
        """Whether a request may be begun now; if not, `begin` is called when its turn has come."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_round, self._loop.time())
        if self._begun < self._most and not self._queues:
            self._begun += 1
            return True
        self._queues.setdefault(group, deque()).append(begin)
        return False

    def _end_round(self, started: float) -> None:
        self._begun = 0
        if not self._queues:
            self._scheduled = False
        elif rest := min(self._loop.time() - started, self._longest_rest):
            self._loop.call_later(rest, self._round)
        else:
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        started = self._loop.time()
        while self._queues and self._begun < self._most:
            group, queue = next(iter(self._queues.items()))
            del self._queues[group]
            begin = queue.popleft()
            if queue:
                self._queues[group] = queue  # as the last
            self._begun += 1
            begin()
        self._loop.call_soon(self._end_round, started)


class Room:
    """What unfinished things hold of something scarce, such as memory for bodies.

    Args:
        most: that all hold together.
        most_each: that those of one group hold together.
    """

    def __init__(self, most: int, most_each: int):
        self.most = most
        self.most_each = min(most, most_each)
        self.held = 0
        self._of_groups: Counter[str] = Counter()
        self._holders: dict[Hashable, list] = {}  # [group, amount, evict], oldest first

    def __len__(self) -> int:
        return len(self._holders)

    def of(self, group: str) -> int:
        """What those of one group hold."""
        return self._of_groups[group]

    def enter(self, holder: Hashable, group: str, evict: Callable[[], object]) -> None:
        """Adds a holder that has nothing yet.

        Args:
            holder: what is asked to `leave` in the end.
            group: whose it is; see `group_of`.
            evict: called when the holder must make room. It has left by then.
        """
        self._holders[holder] = [group, 0, evict]

    def take(self, holder: Hashable, amount: int = 1) -> None:
        """Gives a holder more, for which older ones make room; it may have to go itself."""
        entry = self._holders.get(holder)
        if entry is None:  # evicted, and about to notice
            return
        group = entry[0]
        entry[1] += amount
        self.held += amount
        self._of_groups[group] += amount
        while self._of_groups[group] > self.most_each and holder in self._holders:
            self._evict_oldest(group)
        while self.held > self.most and holder in self._holders:
            self._evict_oldest(max(self._of_groups, key=self._of_groups.__getitem__))

    def leave(self, holder: Hashable) -> None:
        """Takes back all that a holder has; one that has left already is no error."""
        entry = self._holders.pop(holder, None)
        if entry is None:
            return
        group, amount, _ = entry
        self.held -= amount
        self._of_groups[group] -= amount
        if not self._of_groups[group]:
            del self._of_groups[group]

    def _evict_oldest(self, group: str) -> None:
        oldest = next(h for h, entry in self._holders.items() if entry[0] == group and entry[1])
        evict = self._holders[oldest][2]
        self.leave(oldest)
        evict()
