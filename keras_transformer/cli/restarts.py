"""``train --restarts N``: a training that was lost is started again from its newest checkpoint.

The training is a process of its own, so that this one goes on, whatever ends it: the system for
want of memory, a fault of a device, or the loss of another host.
"""

import os
import signal
import subprocess
import sys
import time

import click

LOST = 75
"""Exit code of a training whose other hosts are gone, where it is started again; that of temporary
failures in `sysexits.h`."""

_IS_WATCHED = "KERAS_TRANSFORMER_RESTARTS"

SECONDS_BETWEEN = 5.0
"""In which the other hosts notice, too."""


def is_watched() -> bool:
    """Whether another process starts this one again."""
    return _IS_WATCHED in os.environ


def run_with_restarts(arguments: list[str], restarts: int) -> int:
    """Runs a command, and again with ``--resume`` when it was lost.

    SIGINT and SIGTERM are passed on, and end it.

    Args:
        arguments: of ``keras-transformer``.
        restarts: how often it may be lost.

    Returns:
        the exit code of the last time, 128 more than the signal that ended it.
    """
    passed_on: list[int] = []
    process: subprocess.Popen | None = None

    def pass_on(number, frame):
        passed_on.append(number)
        if process is not None:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    environment = {**os.environ, _IS_WATCHED: str(restarts)}
    try:
        for left in range(restarts, -1, -1):
            command = [sys.executable, "-m", "keras_transformer", *arguments]
            # In a session of its own, so that Ctrl-C reaches it once.
            process = subprocess.Popen(command, env=environment, start_new_session=True)
            code = process.wait()
            is_lost = code < 0 or code == LOST
            if not is_lost or not left or passed_on:
                break
            reason = "another host is gone" if code == LOST else f"signal {-code} ended it"
            click.echo(
                f"training was lost ({reason}): going on from the newest checkpoint; this may "
                f"happen {left - 1} more times",
                err=True,
            )
            time.sleep(SECONDS_BETWEEN)
            if passed_on:
                break
            if "--resume" not in arguments:
                arguments = [*arguments, "--resume"]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def without_restarts(arguments: list[str]) -> list[str]:
    """Arguments of a command without ``--restarts`` and its value."""
    left, words = [], iter(arguments)
    for word in words:
        if word == "--restarts":
            next(words, None)
        elif not word.startswith("--restarts="):
            left.append(word)
    return left
