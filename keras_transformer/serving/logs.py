"""One line for each event, to standard error: for people, or as JSON for machines.

A thread of its own writes. When the reader of a pipe stops reading, a disk is full or standard
error is closed, lines wait in bounded memory, then are dropped and counted; the service goes on.
"""

import contextlib
import io
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import structlog

from keras_transformer.serving.plain import plain

_MOST_WAITING = 2**22  # bytes of lines that are not written
_AT_A_TIME = 2**16  # bytes of one writing
_MOST_OF_A_VALUE = 1000  # characters
_MOST_OF_A_TRACEBACK = 20_000  # characters
_PERIOD = 60.0  # seconds
_MOST_IN_A_PERIOD = 5  # records of one place in a library's code


class LogWriter:
    """Writes lines without ever keeping those waiting who have them.

    Args:
        file: to write to; ``None`` drops everything, as where standard error was closed.
        dropped: called with a number of lines that were dropped.
    """

    def __init__(self, file, dropped: Callable[[int], object] = lambda lines: None):
        self._file = file
        self._on_dropped = dropped
        self._lines: deque[bytes] = deque()
        self._waiting = 0  # bytes
        self._dropped = 0  # lines since the last that was written
        self._torn = False  # the last writing ended within a line
        self._ended = False
        self._changed = threading.Condition()
        self._done = threading.Event()
        # Interpreters do not wait for it: it may stand in a write for ever.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Takes a line without its end."""
        content = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if self._ended or self._waiting + len(content) > _MOST_WAITING:
                self._drop(1)
                return
            self._lines.append(content)
            self._waiting += len(content)
            self._changed.notify()

    # structlog calls a logger's method of the level's name.
    debug = info = warning = warn = error = critical = exception = msg = log = write

    def close(self, seconds: float) -> None:
        """Takes no more lines, and gives those that wait this many seconds to be written."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._done.wait(seconds)

    def _run(self) -> None:
        while lines := self._next_lines():
            content = b"".join(lines)
            if self._torn:
                content = b"\n" + content
            written = self._write_all(content)
            with self._changed:
                self._waiting -= sum(map(len, lines))
                if written == len(content):
                    self._torn = False
                    self._report()
                else:
                    self._torn = not content[:written].endswith(b"\n") and (
                        written > 0 or self._torn
                    )
                    self._drop(len(lines) - content[:written].count(b"\n"))
        self._done.set()

    def _next_lines(self) -> list[bytes]:
        """Waits for lines; none after the end."""
        with self._changed:
            while not self._lines and not self._ended:
                self._changed.wait()
            lines, size = [], 0
            while self._lines and size < _AT_A_TIME:
                lines.append(self._lines.popleft())
                size += len(lines[-1])
            return lines

    def _write_all(self, content: bytes) -> int:
        """How many bytes could be written: all, unless that fails."""
        written = 0
        try:
            try:
                file = self._file.fileno()
            except io.UnsupportedOperation:  # a file in memory, or a notebook's
                self._file.write(content.decode())
                self._file.flush()
                return len(content)
            while written < len(content):
                try:
                    written += os.write(file, content[written:])
                except BlockingIOError:  # whoever else has the pipe made it so
                    select.select([], [file], [], 1.0)
        except (OSError, ValueError, AttributeError):  # full, closed, none
            pass
        return written

    def _drop(self, lines: int) -> None:
        self._dropped += lines
        self._on_dropped(lines)

    def _report(self) -> None:
        """Says after the drought what is missing."""
        if self._dropped and not self._lines:
            count, self._dropped = self._dropped, 0
            content = self.report(count).encode() + b"\n"
            self._lines.append(content)
            self._waiting += len(content)

    @staticmethod
    def report(lines: int) -> str:
        """The line that says how many lines are missing."""
        return f"{lines} lines of the log were dropped"


def make_log(*, json_logs: bool, file=None, dropped: Callable[[int], object] = lambda lines: None):
    """A logger of its own, and what writes its lines; nothing global is configured.

    Args:
        json_logs: write one JSON object a line.
        file: to write to; standard error unless given.
        dropped: called with a number of lines that were dropped.

    Returns:
        the logger and its `LogWriter`.
    """
    file = file or sys.stderr
    if json_logs:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        colors = file is not None and not file.closed and file.isatty()
        renderer = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    writer = LogWriter(file, dropped)

    def report(lines: int) -> str:
        event = {"event": "lines of the log were dropped", "level": "warning", "lines": lines}
        return renderer(None, "warning", stamp(None, "warning", event))

    writer.report = report
    log = structlog.wrap_logger(
        writer,
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            _plain_values,
            renderer,
        ],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return log, writer


def _plain_values(logger, method, event: dict) -> dict:
    return {
        key: plain(value, _MOST_OF_A_TRACEBACK, lines=True)
        if key == "exception"
        else plain(value, _MOST_OF_A_VALUE)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


@contextlib.contextmanager
def standard_error_in_log(log) -> Iterator[None]:
    """A context in which what Python writes to standard error goes to the log, and nobody waits.

    Libraries' loggers that have no handler are among it. What one place in their code says again
    and again is said a few times a minute.
    """
    handler = _ToLog(log)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with contextlib.redirect_stderr(_Lines(log)):
            yield
    finally:
        root.removeHandler(handler)


class _ToLog(logging.Handler):
    def __init__(self, log):
        super().__init__(logging.WARNING)
        self._log = log
        self._counts: dict[tuple, int] = {}
        self._period = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._period:
            self._counts, self._period = {}, now + _PERIOD
        place = (record.name, record.pathname, record.lineno)
        self._counts[place] = count = self._counts.get(place, 0) + 1
        if count > _MOST_IN_A_PERIOD:
            return
        more = {"more": "not logged for a minute"} if count == _MOST_IN_A_PERIOD else {}
        if record.exc_info and record.exc_info[1] is not None:
            more["exc_info"] = record.exc_info[1]
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        try:
            message = record.getMessage()
        except Exception:  # a library's mistake is not to end here
            message = str(record.msg)
        write("library", logger=record.name, message=message, **more)


class _Lines:
    """A file whose lines are events."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, log):
        self._log = log
        self._begun = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            self._begun = self._begun[-_MOST_OF_A_TRACEBACK:]
        for line in lines:
            if line.strip():
                self._log.warning("standard error", text=line)
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def isatty(self) -> bool:
        return False
