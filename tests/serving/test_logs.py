"""The log never holds up those who write it, and shows nothing raw that a client sent."""

import io
import json
import logging
import os
import sys
import threading
import time

import pytest

from keras_transformer.serving.logs import make_log, standard_error_in_log
from keras_transformer.serving.plain import plain

HOSTILE = "a\x1b[31mb\x9b\u202ec\u2066\ud800\r\n\x00\u2028\x7f"


def wait_until(condition, seconds=5.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


@pytest.fixture
def pipe():
    """Both ends of a pipe, the second as a file for writing."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as reading, os.fdopen(writer, "w") as writing:
        yield reading, writing


@pytest.mark.parametrize("json_logs", [True, False])
def test_a_reader_that_stops_reading_holds_up_nobody(pipe, json_logs):
    reading, writing = pipe
    dropped = []
    log, writer = make_log(json_logs=json_logs, file=writing, dropped=dropped.append)
    started = time.monotonic()
    for number in range(20_000):
        log.info("request", number=number, text="x" * 500)
    assert time.monotonic() - started < 20
    assert sum(dropped) > 5000
    writer.close(0.1)  # it gives up, too
    log.info("after the end")

    found = []

    def read():
        found.extend(reading.read().splitlines())

    thread = threading.Thread(target=read)
    thread.start()
    wait_until(lambda: len(found) or writer._done.is_set())
    writing.close()
    thread.join(5)
    kept = [line for line in found if b"number" in line]
    assert len(kept) + sum(dropped) - 1 == 20_000
    assert kept
    assert all(line.count(b"number") == 1 for line in kept)


def test_what_was_dropped_is_said_when_writing_works_again(tmp_path, pipe):
    reading, writing = pipe
    log, writer = make_log(json_logs=True, file=writing)
    os.set_blocking(writing.fileno(), False)  # as another process may do that has it too
    for _ in range(20_000):
        log.info("request", text="x" * 500)
    content = b""
    os.set_blocking(reading.fileno(), False)

    def told():
        nonlocal content
        content += reading.read() or b""
        return b"were dropped" in content

    wait_until(told, 20)
    lines = [json.loads(line) for line in content.splitlines()]
    (report,) = [line for line in lines if "dropped" in line["event"]]
    assert report["lines"] + len(lines) - 1 == 20_000
    assert report.keys() == {"event", "level", "lines", "timestamp"}
    writer.close(5)


def test_a_full_disk_and_a_closed_pipe_drop_lines_only():
    with open("/dev/full", "w") as full:
        dropped = []
        log, writer = make_log(json_logs=True, file=full, dropped=dropped.append)
        for _ in range(10):
            log.info("request")
        writer.close(5)
        assert sum(dropped) == 10
    reader, writing = os.pipe()
    os.close(reader)
    with os.fdopen(writing, "w") as closed:
        dropped = []
        log, writer = make_log(json_logs=True, file=closed, dropped=dropped.append)
        log.info("request")
        writer.close(5)
        assert sum(dropped) == 1
    dropped = []
    log, writer = make_log(json_logs=False, file=closed, dropped=dropped.append)
    log.info("request")
    writer.close(5)
    assert sum(dropped) == 1


def test_no_standard_error_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    for json_logs in (True, False):
        log, writer = make_log(json_logs=json_logs)
        log.info("request")
        writer.close(5)


def test_a_line_after_a_torn_one_begins_anew(tmp_path, monkeypatch):
    path = tmp_path / "log"
    write, states = os.write, iter(["half", "full", "works", "works"])

    def failing(file, content):
        state = next(states)
        if state == "half":
            return write(file, content[:-10])
        if state == "full":
            raise OSError(28, "No space left on device")
        return write(file, content)

    with path.open("w") as file:
        log, writer = make_log(json_logs=True, file=file)
        monkeypatch.setattr(os, "write", failing)
        log.info("first")
        wait_until(lambda: writer._dropped)
        log.info("second")
        writer.close(5)
    torn, second, report = path.read_text().splitlines()
    with pytest.raises(ValueError):
        json.loads(torn)
    assert json.loads(second)["event"] == "second"
    assert json.loads(report)["lines"] == 1


@pytest.mark.parametrize("json_logs", [True, False])
def test_what_clients_sent_is_shown_and_not_obeyed(json_logs):
    file = io.StringIO()
    log, writer = make_log(json_logs=json_logs, file=file)
    log.info("request", url=HOSTILE, long="y" * 100_000)
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        log.error("request failed", exc_info=error)
    writer.close(5)
    content = file.getvalue()
    assert content.replace("\n", "").isprintable()
    assert "\\u202e" in content
    assert len(content) < 10_000
    if json_logs:
        first, second = map(json.loads, content.splitlines())
        assert first["url"] == plain(HOSTILE)
        assert "Traceback" in second["exception"]


def test_plain_texts_are_bounded_and_stay_what_they_are():
    assert plain("O gato, 日本　語 é 🙂 العربية") == "O gato, 日本　語 é 🙂 العربية"
    assert plain(HOSTILE).isprintable()
    assert plain("a\nb\tc\x1b", lines=True) == "a\nb\tc\\x1b"
    long = plain("start" + "x" * 10_000 + "end", 100)
    assert long.startswith("start")
    assert long.endswith("end")
    assert "9908 characters" in long
    plain(HOSTILE).encode()


def test_standard_error_of_python_and_libraries_is_in_the_log():
    file = io.StringIO()
    log, writer = make_log(json_logs=True, file=file)
    before = sys.stderr
    with standard_error_in_log(log):
        for _ in range(100):
            logging.getLogger("some.library").error("it %s", "broke")
        record = logging.LogRecord("some.library", 30, "file.py", 1, "%d", ("no number",), None)
        logging.getLogger().handlers[-1].handle(record)
        print("half", end="", file=sys.stderr)
        print(" a line", file=sys.stderr)
    assert sys.stderr is before
    writer.close(5)
    events = [json.loads(line) for line in file.getvalue().splitlines()]
    broke = [event for event in events if event.get("message") == "it broke"]
    assert len(broke) == 5
    assert "more" in broke[-1]
    assert [event["level"] for event in broke] == ["error"] * 5
    assert any(event.get("message") == "%d" for event in events)
    texts = [event["text"] for event in events if event["event"] == "standard error"]
    assert texts == ["half a line"]
