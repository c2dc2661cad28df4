"""The one exception that means: the input is wrong, and here is what to do about it."""


class InputError(ValueError):
    """A wrong input, said in one line that names the file, line or option and the remedy.

    The command line prints the message alone, without a traceback, and exits with code 1.
    """
