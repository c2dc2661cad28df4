"""The standard streams of a command, which whoever starts it may have closed or filled up."""

import contextlib
import errno
import os
import sys

import click

from keras_transformer.errors import InputError
from keras_transformer.files import file_error


def open_missing_streams() -> None:
    """Puts something in the place of standard streams that are closed.

    Else the next file that is opened, such as one of a run, would be taken for the stream. What
    is written to standard error vanishes then; reading and writing the others fails as it should.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, mode)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or _writer(1)
    sys.stderr = sys.stderr or _writer(2)


def _writer(number: int):
    return open(number, "w", encoding="utf-8", closefd=False)


def lines_of_standard_input():
    """Yields the lines of standard input; what is not UTF-8 becomes replacement characters.

    Raises:
        InputError: when it is closed.
    """
    try:
        for line in sys.stdin.buffer:
            yield line.rstrip(b"\r\n").decode("utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            f"standard input: cannot be read ({error.strerror}): give texts as arguments, or a "
            "file by < FILE."
        ) from error


def write_line(line: object) -> None:
    """Prints a result.

    Raises:
        InputError: when standard output is closed or full; a reader that went away is left to
            click, which then ends without a word.
    """
    _echo(line)


@contextlib.contextmanager
def progress_bar(total: int):
    """Shows on standard error how many pairs are done, where that is a terminal.

    Args:
        total: how many there are; negative where nobody knows.

    Yields:
        a function to call with the number of those that are done.
    """
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    with tqdm(total=total if total > 0 else None, unit=" pairs", disable=quiet) as bar:
        yield lambda done: bar.update(done - bar.n)


class StandardOutput:
    """Standard output as a file for writing bytes, with the errors of `write_line`."""

    def write(self, part: bytes) -> None:
        _echo(part, nl=False)


def _echo(message: object, **options) -> None:
    try:
        click.echo(message, **options)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        with contextlib.suppress(OSError):  # or Python would try once more as it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise file_error("standard output", "written", error) from error
