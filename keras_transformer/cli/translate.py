"""``keras-transformer translate``: texts of the command line or of standard input."""

import sys

import click

from keras_transformer.cli.options import (
    compile_option,
    json_option,
    model_option,
    search_options,
    sentences_option,
    verb,
)
from keras_transformer.cli.streams import lines_of_standard_input
from keras_transformer.cli.texts import echo_found


@verb()
@model_option
@search_options
@sentences_option
@click.option("--n-best", type=int, help="Translations of each text.")
@compile_option
@json_option
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
def translate(model_path, search, n_best, jit_compile, as_json, texts):
    """Translate the TEXTs, or the lines of standard input, one line for each.

    With --n-best there are several lines for each: its number from 0, a translation and its score
    after the length penalty, between bars as Moses writes them.
    """
    from tqdm import tqdm

    from keras_transformer.translating.translator import Translator

    if n_best is not None:
        search["n_best"] = n_best
    translator = Translator.load(model_path, jit_compile=jit_compile)
    lines, chunk = texts, len(texts)
    if not texts:
        # Who types wants every answer at once.
        lines, chunk = lines_of_standard_input(), 1 if sys.stdin.isatty() else 2048
    quiet = bool(texts) or sys.stdin.isatty() or sys.stdout.isatty() or not sys.stderr.isatty()
    translations = translator.translate_stream(lines, chunk=chunk, **search)
    for number, translation in enumerate(tqdm(translations, unit=" texts", disable=quiet)):
        echo_found(number, translation, n_best, as_json)
