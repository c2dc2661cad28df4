"""Commands whose standard streams are closed or full, and commands that are interrupted."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

KERAS_TRANSFORMER = [
    sys.executable,
    "-c",
    "import sys; from keras_transformer.cli import main; sys.exit(main())",
]


def shell(tiny_run, arguments, streams):
    """Runs a command of the shell with streams as the shell redirects them."""
    command = shlex.join([*KERAS_TRANSFORMER, *map(str, arguments)])
    return subprocess.run(
        ["sh", "-c", f"{command} {streams}"], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("streams", "complaint"),
    [
        ("> /dev/full", "standard output: cannot be written (No space left on device)"),
        pytest.param(
            ">&-",
            "standard output: cannot be written (Bad file descriptor)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_result_that_cannot_be_written_is_one_line(tiny_run, streams, complaint):
    done = shell(tiny_run, ["info", "--model", tiny_run.folder], streams)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: {complaint}")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_standard_input_that_is_closed_is_one_line(tiny_run):
    done = shell(tiny_run, ["translate", "--model", tiny_run.folder], "<&-")
    assert done.returncode == 1
    assert "Error: standard input: cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_standard_error_results_are_the_same(tiny_run):
    translate = ["translate", "--model", tiny_run.folder, "o gato dorme ."]
    done = shell(tiny_run, translate, "2>&-")
    assert done.returncode == 0
    assert done.stdout == shell(tiny_run, translate, "").stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.slow
def test_an_interrupted_translation_ends_with_130(tiny_run):
    command = [*KERAS_TRANSFORMER, "translate", "--model", str(tiny_run.folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        time.sleep(0.1)
        process.stdin.write(b"o gato dorme .\n" * 2048)
        process.stdin.flush()
        process.stdout.readline()  # so that it has begun
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors
