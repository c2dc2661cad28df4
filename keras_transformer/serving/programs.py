"""Programs compiled by XLA: which there are, and what answers while there is none.

XLA needs a program for each size of a batch, and to compile one takes seconds. What size a batch
has is chosen by clients, so no batch waits for it here. Where the program of a batch is known to be
there it runs; else the plain graph, which takes batches of any size and gives the same, answers,
and a program that is asked for often is compiled aside, one after the other, with pauses. A batch
whose program takes too long all the same, since inside the model more depends on the texts than is
known here, is answered by the plain graph, too, while the program goes on.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NamedTuple

from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.signatures import Outputs

_WORTHWHILE = 3
"""Batches without a program after which it is compiled."""

_MOST_PROGRAMS = 64
"""Compiled aside for one version; they are never freed."""

_REST = 4
"""Times as long as a program took to compile until the next one is."""

_PATIENCE, _LEAST_PATIENCE = 8, 1.0
"""Times the usual seconds of a program, and least seconds, after which the plain graph runs."""


class Size(NamedTuple):
    """The size of a batch, as far as it decides on the program.

    Attributes:
        signature: its name.
        parameters: names and values of scalars that can be sizes inside the model.
        rows: of the batch, padded.
        length: of its longest text in tokens, padded.
    """

    signature: str
    parameters: tuple[tuple[str, Hashable], ...]
    rows: int
    length: int


@dataclass
class _Program:
    """A program that is there.

    Attributes:
        patience: seconds after which a batch does not wait for it any more.
        busy: it takes so long at the moment, most likely to compile a part that was missing.
    """

    patience: float
    busy: bool = False

    def note(self, seconds: float) -> None:
        """Learns how long a batch usually takes."""
        self.patience = max(self.patience * 0.95, _patience(seconds))


class Programs:
    """The compiled programs of one version. Several threads may run batches at a time.

    Args:
        workers: threads that run batches; so many programs may take too long before no more are
            tried.
        warn: called with a line where a program fails that the plain graph stands in for.
    """

    def __init__(self, *, workers: int = 1, warn: Callable[[str], object] = lambda message: None):
        self._warn = warn
        self._lock = threading.Lock()
        self._ready: dict[Size, _Program] = {}
        self._parameters: set[tuple] = set()  # of signatures, that are warmed up
        self._asked: Counter[Size] = Counter()
        self._wanted: set[Size] = set()
        self._broken: set[Size] = set()
        self._lanes = ThreadPoolExecutor(2 * workers, thread_name_prefix="program")
        self._free_lanes = threading.Semaphore(2 * workers)
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="compiler")
        self._closed = threading.Event()

    @property
    def sizes(self) -> frozenset[Size]:
        """Sizes of batches for which there is a program."""
        with self._lock:
            return frozenset(self._ready)

    def close(self) -> None:
        """Compiles nothing more; what runs goes on."""
        self._closed.set()
        self._lanes.shutdown(wait=False, cancel_futures=True)
        self._aside.shutdown(wait=False, cancel_futures=True)

    def warm(self, size: Size, compiled: Callable[[], Outputs], plain: Callable[[], Outputs]):
        """Runs a batch before there are clients, and compiles its program.

        From here on, programs of any size are worthwhile for the parameters of this one.

        Raises:
            Failure: when the plain graph fails, too.
        """
        with self._lock:
            self._parameters.add((size.signature, size.parameters))
            broken = size in self._broken
        if broken or not self._compile(size, compiled):
            plain()

    def prepare(self, size: Size, compiled: Callable[[], Outputs]) -> None:
        """Compiles a program aside, though nobody has asked for it yet.

        From here on, programs of any size are worthwhile for the parameters of this one.
        """
        with self._lock:
            self._parameters.add((size.signature, size.parameters))
            if size not in self._wanted and not self._closed.is_set():
                self._wanted.add(size)
                self._aside.submit(self._compile_aside, size, compiled, rest=0)

    def run(
        self, size: Size, compiled: Callable[[], Outputs], plain: Callable[[], Outputs]
    ) -> Outputs:
        """Runs a batch, with its program if there is one.

        Args:
            size: of the batch.
            compiled: runs it with the program, which it compiles if need be.
            plain: runs it without.

        Raises:
            Failure: what the plain graph raises, or the program because of the texts.
        """
        with self._lock:
            program = self._ready.get(size)
            if program is None:
                self._want(size, compiled)
        if program is None or program.busy or not self._free_lanes.acquire(blocking=False):
            return plain()
        started = time.monotonic()
        try:
            call = self._lanes.submit(compiled)
        except RuntimeError:  # closed
            self._free_lanes.release()
            return plain()
        call.add_done_callback(lambda call: self._free_lanes.release())
        if not wait([call], program.patience).done:
            program.busy = True
            program.patience *= 2

            def at_last(call: Future) -> None:
                program.busy = False

            call.add_done_callback(at_last)
            return plain()
        try:
            outputs = call.result()
        except Failure as failure:
            if failure.kind is Kind.INVALID:
                raise
            self._break(size, failure)
            return plain()
        program.note(time.monotonic() - started)
        return outputs

    def _want(self, size: Size, compiled: Callable[[], Outputs]) -> None:
        """Has a program compiled aside if that is worthwhile; called with the lock."""
        known = (size.signature, size.parameters) in self._parameters
        if not known or size in self._wanted or len(self._wanted) >= _MOST_PROGRAMS:
            return
        self._asked[size] += 1
        if self._asked[size] < _WORTHWHILE or self._closed.is_set():
            return
        self._wanted.add(size)
        self._aside.submit(self._compile_aside, size, compiled)

    def _compile_aside(self, size: Size, compiled: Callable[[], Outputs], rest=_REST) -> None:
        if self._closed.is_set():
            return
        started = time.monotonic()
        if not self._compile(size, compiled):
            with self._lock:
                if size not in self._broken:  # these texts were refused: others may not be
                    self._wanted.remove(size)
                    del self._asked[size]
        self._closed.wait(rest * (time.monotonic() - started))

    def _compile(self, size: Size, compiled: Callable[[], Outputs]) -> bool:
        """Runs a batch with its program, twice if it is new; says whether that went well."""
        try:
            seconds = _seconds(compiled)
            if size not in self._ready:
                seconds = min(seconds, _seconds(compiled))
        except Failure as failure:
            if failure.kind is not Kind.INVALID:
                self._break(size, failure)
            return False
        with self._lock:
            self._ready.setdefault(size, _Program(_patience(seconds))).note(seconds)
        return True

    def _break(self, size: Size, failure: Failure) -> None:
        with self._lock:
            self._ready.pop(size, None)
            self._wanted.add(size)  # so that it is not tried again
            known = size in self._broken
            self._broken.add(size)
        if not known:
            self._warn(f"{size.signature} goes on without XLA for {size.rows} rows: {failure}")


def _patience(seconds: float) -> float:
    return max(_LEAST_PATIENCE, _PATIENCE * seconds)


def _seconds(run: Callable[[], object]) -> float:
    started = time.monotonic()
    run()
    return time.monotonic() - started
