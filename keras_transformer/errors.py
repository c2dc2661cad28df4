"""The one exception that means: the input is wrong, and here is what to do about it."""

from numbers import Integral
from typing import Any


class InputError(ValueError):
    """A wrong input, said in one line that names the file, line or option and the remedy.

    The command line prints the message alone, without a traceback, and exits with code 1.

    Args:
        message: what is wrong and the remedy. What it quotes may be anything, see `one_line`.
    """

    def __init__(self, message: object):
        super().__init__(one_line(str(message), 1500))


def one_line(message: str, most: int) -> str:
    """A message without line ends, and with its middle left out where it is long.

    Args:
        message: the message.
        most: characters that it may have.
    """
    message = " ".join(message.splitlines())
    if len(message) <= most:
        return message
    end = most // 3
    return f"{message[: most - end - 3]} … {message[-end:]}"


def whole_number(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """An argument that counts something, as an int.

    Args:
        name: of the argument, for the error.
        value: what was given for it.
        least: the smallest allowed.
        most: the largest allowed, if there is one.

    Raises:
        InputError: for what is no whole number, and for one out of these limits.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        shown = " ".join(repr(value).split())
        limits = f"at least {least}" + ("" if most is None else f" and at most {most}")
        raise InputError(f"{name} is a whole number of {limits}; got {shown:.60}.")
    return int(value)
