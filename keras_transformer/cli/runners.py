"""Options of the verbs that run on Apache Beam."""

import contextlib
import logging

import click

from keras_transformer.errors import InputError


def runner_options(command):
    """Adds ``--runner`` and ``--runner-option`` to a verb, as ``runner`` and ``runner_options``."""
    for option in (
        click.option(
            "--runner-option",
            "runner_options",
            multiple=True,
            metavar="NAME=VALUE",
            help="An option of the pipeline, such as direct_num_workers=4; may be given again.",
        ),
        click.option(
            "--runner",
            metavar="NAME",
            help="A runner of Apache Beam: DirectRunner, for this machine, FlinkRunner, "
            "SparkRunner, DataflowRunner, PrismRunner, PortableRunner; needs the extra beam.",
        ),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def on_beam():
    """Refuses to go on without Apache Beam, and keeps what it logs to errors.

    Raises:
        InputError: where it is not installed, and in place of what a pipeline fails with.
    """
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise InputError(
            "--runner needs Apache Beam: pip install 'keras-transformer[beam]'"
        ) from error
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    except (InputError, click.ClickException):
        raise
    except Exception as error:  # runners wrap whatever a worker raised
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise InputError(f"the pipeline failed: {' '.join(lines[-3:])}") from error
