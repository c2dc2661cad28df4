"""Batches of the texts of several requests.

Texts wait in groups: those of one group run the same function with the same parameters. When a
worker is free it takes the text whose turn it is, and others of its group of similar length, since
a batch takes as long as its longest text. `best_window` chooses them, weighing small batches
against padding. Requests take turns: the next is the one that has waited longest since it came or
since a batch had texts of it. So no text waits for ever, nor for all texts of a long request.

A batch cannot be interrupted, so batches that will take long, and those of one request, get all
workers but one: whoever asks for little finds one free soon. What is little beside a batch that is
running counts as little. How long a batch takes is learned from those before it.

All bookkeeping happens in the event loop, and only models run in threads, so there are no locks.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.signatures import (
    Outputs,
    Part,
    join_parts,
    joined_bytes,
    narrowed,
)

_OVERHEAD_ROWS = 6
"""Time that a batch takes besides that of its rows, in rows: the work that rows share."""

_OVERHEAD_BYTES = 16
"""Time that a text takes besides that of its bytes, in bytes: its start, its end, its encoding."""

_LONG, _TIMES_USUAL = 0.1, 4
"""A batch takes long beyond so many seconds and so many times what quick ones take."""

_PART = 0.25
"""A batch that takes this part of the time of one that takes long, or less, takes not long while
that one runs: who waits for both waits little longer than for one."""

_REMEMBERED, _QUICK = 50, 0.2
"""Batches whose seconds are remembered, and the part of them that counts as quick."""

Run = Callable[[Sequence[bytes]], Outputs]
"""Translates a batch; called in a thread."""


@dataclass(eq=False)
class Work:
    """The texts of one request.

    Attributes:
        group: texts of equal groups may share a batch; ``None`` shares with no other request.
        run: translates a batch of texts of this group.
        texts: UTF-8.
        deadline: time at which the request is given up, on the clock of `time.monotonic`.
        rows_factor: rows that one text stands for inside the model, such as the size of a beam.
        row_buckets: numbers of rows, ascending, to the next of which the model pads a batch; none
            where it runs batches as they are.
        row_bytes: the bytes that the outputs of a text take at most, from the bytes of the text;
            see `signatures.row_bytes`.
        kind: works of one kind take about equally long for texts of like size; there are few.
    """

    group: Hashable
    run: Run
    texts: Sequence[bytes]
    deadline: float
    rows_factor: int = 1
    row_buckets: tuple[int, ...] = ()
    row_bytes: Callable[[int], int] = lambda length: 0
    kind: str = ""
    answer: asyncio.Future = field(init=False)
    waiting: dict["_Item", None] = field(init=False, default_factory=dict)
    parts: list[Part] = field(init=False, default_factory=list)
    missing: int = field(init=False, default=0)
    served: float = field(init=False, default=0.0)  # when its last batch began
    running: int = field(init=False, default=0)  # batches


@dataclass(eq=False, slots=True)
class _Item:
    """The smallest unit of a batch: one text, or a whole request that shares no batch."""

    work: Work
    positions: Sequence[int]
    size: int  # bytes of the longest text
    since: float

    @property
    def turn(self) -> float:
        """The lower it is, the sooner it is this text's turn."""
        return max(self.since, self.work.served)


class Batcher:
    """Puts texts of several requests into batches and runs these in threads.

    Args:
        workers: batches at a time.
        max_batch_size: most texts of a batch.
        max_batch_bytes: most bytes of a batch, its texts padded to the longest one. A longer text
            gets a batch of its own.
        batch_timeout: seconds that a text waits for others while a worker is free.
        max_queue: most texts that wait.
        max_answer_bytes: most bytes of the outputs of a request, counted as JSON. A batch whose
            outputs could have more is divided, and a request whose outputs will have more is given
            up as soon as that is known.
        observe: called with the number of texts and the seconds of each batch.
    """

    def __init__(
        self,
        *,
        workers: int,
        max_batch_size: int,
        max_batch_bytes: int,
        batch_timeout: float,
        max_queue: int,
        max_answer_bytes: int = 2**24,
        observe: Callable[[int, float], object] = lambda texts, seconds: None,
    ):
        self._max_batch_size = max_batch_size
        self._max_batch_bytes = max_batch_bytes
        self._batch_timeout = batch_timeout
        self._max_queue = max_queue
        self._max_answer_bytes = max_answer_bytes
        self._observe = observe
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="model")
        self._workers = self._free_workers = workers
        self._groups: dict[Hashable, dict[_Item, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._texts_per_second = 0.0
        self._seconds_per_cost: dict[str, float] = {}  # by kinds
        self._last_seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._quick_seconds = 0.0  # that quick ones of them took at most
        self._running_long: list[float] = []  # seconds of batches that take long, as estimated
        self.queued = 0

    async def translate(self, work: Work) -> Outputs:
        """Waits for the outputs of a request.

        Cancelling this takes the texts that still wait out of the queue.

        Raises:
            Failure: when there is no room in the queue, the deadline passes, the answer grows too
                large or the model fails.
        """
        self.check_room(len(work.texts))
        loop = asyncio.get_running_loop()
        work.answer = loop.create_future()
        self._put(work)
        self._dispatch()
        try:
            async with asyncio.timeout_at(loop.time() + work.deadline - time.monotonic()):
                return await work.answer
        except TimeoutError:
            raise Failure(Kind.DEADLINE, "the deadline passed before the answer.") from None
        finally:
            self._withdraw(work)

    def check_room(self, texts: int) -> None:
        """Raises `Failure` unless so many texts more can wait."""
        if self.queued + texts > self._max_queue:
            raise Failure(
                Kind.OVERLOADED,
                f"{self.queued} texts wait already: try again later, or with fewer texts.",
                retry_after=self._seconds_of_queue(),
            )

    def close(self) -> None:
        """Lets running batches end, without waiting; nothing may be submitted any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _seconds_of_queue(self) -> int:
        """Seconds that the waiting texts will take, after which clients may try again."""
        if not self._texts_per_second:
            return 1
        return min(max(math.ceil(self.queued / self._texts_per_second), 1), 60)

    def _put(self, work: Work) -> None:
        now = time.monotonic()
        if work.group is None:
            longest = max(map(len, work.texts), default=0)
            items = [_Item(work, range(len(work.texts)), longest, now)]
        else:
            items = [_Item(work, (i,), len(text), now) for i, text in enumerate(work.texts)]
        work.missing = len(work.texts)
        work.waiting = dict.fromkeys(items)
        group = work if work.group is None else work.group
        self._groups.setdefault(group, {}).update(work.waiting)
        self.queued += len(work.texts)

    def _withdraw(self, work: Work) -> None:
        """Takes the texts of a request that still wait out of the queue."""
        for item in list(work.waiting):
            self._remove(item)

    def _remove(self, item: _Item) -> None:
        work = item.work
        key = work if work.group is None else work.group
        group = self._groups[key]
        del group[item], work.waiting[item]
        if not group:
            del self._groups[key]
        self.queued -= len(item.positions)

    def _dispatch(self) -> None:
        """Gives batches to free workers, now or when the first text has waited long enough."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._groups and (self._free_workers > 0 or self._runs_ahead()):
            now = time.monotonic()
            ready, earliest = [], math.inf
            for group in self._groups.values():
                first = self._first(group)
                if first is None:
                    continue
                full = first.work.group is None or len(group) >= self._most_rows(first.work)
                due = first.since if full else first.since + self._batch_timeout
                if due <= now:
                    ready.append((first.turn, group))
                else:
                    earliest = min(earliest, due)
            for _, group in sorted(ready, key=lambda one: one[0]):
                batch = self._next_batch(group)
                seconds = self._seconds(batch)
                long = self._takes_long(seconds)
                if not long or self._leaves_one(len(self._running_long)):
                    self._start(batch, seconds if long else None)
                    break
            else:  # the next one has to wait for others, or for a batch that takes long to end
                if earliest < math.inf:
                    wait = earliest - now
                    self._timer = asyncio.get_running_loop().call_later(wait, self._dispatch)
                return

    def _leaves_one(self, running: int) -> bool:
        """Whether one more batch than these leaves a worker to others, where there are several."""
        return self._workers == 1 or running < self._workers - 1

    def _first(self, group: dict[_Item, None]) -> _Item | None:
        """The text of a group whose turn it is, if any may run now."""
        may_run = (item for item in group if self._leaves_one(item.work.running))
        return min(may_run, key=lambda item: item.turn, default=None)

    def _seconds(self, batch: list[_Item]) -> float:
        """How long a batch will take, as far as batches like it tell."""
        return _cost(batch) * self._seconds_per_cost.get(batch[0].work.kind, 0.0)

    def _takes_long(self, seconds: float) -> bool:
        beside = _PART * min(self._running_long, default=0.0)
        return seconds > max(_LONG, _TIMES_USUAL * self._quick_seconds, beside)

    def _runs_ahead(self) -> bool:
        """Whether to make a batch before a worker is free, for it to go on without waiting.

        When many requests come, this event loop is late to hear that a worker has ended. But a
        batch made later is a better one, so this is done only if there are texts enough for more.
        """
        return self._free_workers == 0 and self.queued > 2 * self._max_batch_size

    def _room(self, work: Work, size: int) -> int:
        """How many rows of so many bytes a batch has room for, at least one."""
        answers = self._max_answer_bytes // max(work.row_bytes(size), 1)
        return max(min(self._max_batch_bytes // max(size, 1), answers), 1)

    def _most_rows(self, work: Work) -> int:
        return max(self._max_batch_size // work.rows_factor, 1)

    def _next_batch(self, group: dict[_Item, None]) -> list[_Item]:
        """The batch of a group to run next."""
        first = self._first(group)
        if first.work.group is None:
            return [first]
        items = sorted(group, key=lambda item: item.size)
        start, end = best_window(
            [item.size for item in items],
            items.index(first),
            most_rows=self._most_rows(first.work),
            room=lambda size: self._room(first.work, size),
            row_buckets=first.work.row_buckets,
        )
        return items[start:end]

    def _start(self, batch: list[_Item], long: float | None) -> None:
        """Runs a batch, whose seconds are given where it takes long."""
        now = time.monotonic()
        for item in batch:
            self._remove(item)
        works = {item.work for item in batch}
        for work in works:
            work.served = now
            work.running += 1
        self._free_workers -= 1
        if long is not None:
            self._running_long.append(long)
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, _run_batch, batch)

        def finished(running: asyncio.Future):
            if running.cancelled():  # closed
                return
            results, seconds = running.result()
            self._note_speed(batch, seconds)
            self._free_workers += 1
            if long is not None:
                self._running_long.remove(long)
            for work in works:
                work.running -= 1
            self._hand_out(results)
            self._dispatch()

        running.add_done_callback(finished)

    def _note_speed(self, batch: list[_Item], seconds: float) -> None:
        rate, kind = seconds / _cost(batch), batch[0].work.kind
        before = self._seconds_per_cost.get(kind, rate)
        self._seconds_per_cost[kind] = 0.7 * before + 0.3 * rate
        self._last_seconds.append(seconds)
        ordered = sorted(self._last_seconds)
        self._quick_seconds = ordered[int(_QUICK * len(ordered))]
        texts = sum(len(item.positions) for item in batch)
        busy = self._workers - max(self._free_workers, 0)
        speed = busy * texts / max(seconds, 1e-6)
        self._texts_per_second = 0.8 * self._texts_per_second + 0.2 * speed
        self._observe(texts, seconds)

    def _hand_out(self, results: dict[Work, Part | Exception]) -> None:
        for work, result in results.items():
            if work.answer.done():  # its client has gone, or another batch failed
                continue
            if isinstance(result, Exception):
                self._refuse(work, result)
                continue
            work.parts.append(result)
            work.missing -= len(result.positions)
            whole = work.group is None
            size = result.bytes if whole else joined_bytes(work.parts, len(work.texts))
            if size > self._max_answer_bytes:
                self._refuse(work, self._too_large())
            elif whole:
                work.answer.set_result(result.outputs)
            elif not work.missing:
                work.answer.set_result(join_parts(work.parts, len(work.texts)))

    def _refuse(self, work: Work, failure: Exception) -> None:
        """Answers with a failure; what still waits of the request is not run any more."""
        self._withdraw(work)
        work.parts.clear()
        work.answer.set_exception(failure)

    def _too_large(self) -> Failure:
        return Failure(
            Kind.TOO_MANY_BYTES,
            f"the answer would have more than {self._max_answer_bytes} bytes "
            "(--max-answer-bytes): ask for fewer or shorter texts.",
        )


def _cost(batch: list[_Item]) -> int:
    """What the time of a batch is proportional to, as far as that is known before it is run."""
    rows = sum(len(item.positions) for item in batch) * batch[0].work.rows_factor
    longest = max(item.size for item in batch)
    return (rows + _OVERHEAD_ROWS) * (longest + _OVERHEAD_BYTES)


def best_window(
    sizes: Sequence[int],
    must: int,
    *,
    most_rows: int,
    room: Callable[[int], int],
    row_buckets: Sequence[int] = (),
) -> tuple[int, int]:
    """Chooses the waiting texts to translate together.

    A batch of `n` texts takes about ``(n + overhead) * longest``, where `n` is what the model pads
    it to. Of all windows with the text that must be in it the one with most texts for its time is
    taken.

    Args:
        sizes: of the waiting texts, ascending, bytes.
        must: index of the text that has waited longest.
        most_rows: of a batch.
        room: most rows of a batch whose longest text has a size, which falls with it; at least 1.
        row_buckets: numbers of rows that batches are padded to, ascending, if they are.

    Returns:
        first index, and the index after the last.
    """
    best, window = -1.0, (must, must + 1)
    for end in range(must + 1, min(must + most_rows, len(sizes)) + 1):
        longest = sizes[end - 1]
        most = min(end, most_rows, room(longest))
        if end - most > must:  # too long to go along with
            break
        for rows in (most, *(bucket for bucket in row_buckets if end - must <= bucket < most)):
            padded = next((bucket for bucket in row_buckets if bucket >= rows), rows)
            rate = rows / (padded + _OVERHEAD_ROWS) / (longest + _OVERHEAD_BYTES)
            if rate > best:
                best, window = rate, (end - rows, end)
    return window


def _run_batch(batch: list[_Item]) -> tuple[dict[Work, Part | Exception], float]:
    """Runs a batch in a worker's thread.

    Returns:
        what each request gets, and the seconds that this took.
    """
    started = time.monotonic()
    works = list(dict.fromkeys(item.work for item in batch))
    try:
        results = _run_together(batch)
    except Exception as error:
        results = {works[0]: _as_failure(error)}
        if len(works) > 1:  # a request that breaks a shared batch breaks alone
            results = {}
            for work in works:
                results |= _run_batch([item for item in batch if item.work is work])[0]
    return results, time.monotonic() - started


def _run_together(batch: list[_Item]) -> dict[Work, Part]:
    texts = [item.work.texts[i] for item in batch for i in item.positions]
    outputs = batch[0].work.run(texts)
    if batch[0].work.group is None:
        return {batch[0].work: _part(batch[0].positions, outputs)}
    if any(len(values) != len(texts) for values in outputs.values()):
        raise Failure(Kind.INTERNAL, "the model did not give one row for each text.")
    rows: dict[Work, tuple[list[int], list[int]]] = {}
    for row, item in enumerate(batch):
        in_batch, in_request = rows.setdefault(item.work, ([], []))
        in_batch.append(row)
        in_request.append(item.positions[0])
    return {
        work: _part(
            in_request, narrowed({name: values[in_batch] for name, values in outputs.items()})
        )
        for work, (in_batch, in_request) in rows.items()
    }


def _part(positions: Sequence[int], outputs: Outputs) -> Part:
    """A part whose sizes are known already: the event loop has better things to do."""
    part = Part(positions, outputs)
    _ = part.widths, part.string_bytes
    return part


def _as_failure(error: Exception) -> Failure:
    if isinstance(error, Failure):
        return error
    return Failure(Kind.INTERNAL, f"the server failed: {type(error).__name__}: {error}")
