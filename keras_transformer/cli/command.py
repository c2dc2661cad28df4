"""The command ``keras-transformer``: each verb is one call into the package.

Results go to standard output, progress and logs to standard error. Exit codes: 0 done, 1 failed,
2 wrong usage, 130 interrupted. TensorFlow is imported only once a verb runs, so that ``--help``
answers at once.
"""

import contextlib
import sys

import click

from keras_transformer.cli.augment import augment
from keras_transformer.cli.average import average
from keras_transformer.cli.distill import distill
from keras_transformer.cli.evaluate import evaluate
from keras_transformer.cli.export import export
from keras_transformer.cli.generate import generate
from keras_transformer.cli.info import info
from keras_transformer.cli.plot import plot
from keras_transformer.cli.serve import serve
from keras_transformer.cli.streams import open_missing_streams
from keras_transformer.cli.sweep import sweep
from keras_transformer.cli.tokenize import tokenize
from keras_transformer.cli.train import train
from keras_transformer.cli.translate import translate
from keras_transformer.compile_cache import failed_in_cache
from keras_transformer.errors import InputError, one_line
from keras_transformer.files import reason_of


class _OneLineErrors(click.Group):
    """Turns a wrong input into one line on standard error and exit code 1."""

    def main(self, *arguments, **options):
        open_missing_streams()
        return super().main(*arguments, **options)

    def parse_args(self, context, arguments):
        with _one_line_errors():
            return super().parse_args(context, arguments)

    def invoke(self, context):
        with _one_line_errors():
            return super().invoke(context)


@contextlib.contextmanager
def _one_line_errors():
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)  # what shells expect after Ctrl-C
    except InputError as error:
        raise click.ClickException(str(error)) from error
    except click.ClickException as error:  # which quotes words as they came
        error.message = one_line(error.message, 1500)
        raise
    except Exception as error:
        if not failed_in_cache(error):
            raise
        raise click.ClickException(
            f"the cache of compiled programs fails ({reason_of(error)}): free some space, or "
            "set XDG_CACHE_HOME to another folder."
        ) from error


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keras_transformer")
def main():
    """Train, use and export models for translation: Transformers, what came before and after."""


for verb in (
    train,
    tokenize,
    sweep,
    average,
    distill,
    augment,
    translate,
    evaluate,
    generate,
    export,
    serve,
    plot,
    info,
):
    main.add_command(verb)
