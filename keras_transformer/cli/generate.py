"""``keras-transformer generate``: continuations of texts by a GPT."""

import click

from keras_transformer.cli.options import (
    compile_option,
    json_option,
    path_option,
    search_options,
    verb,
)
from keras_transformer.cli.streams import lines_of_standard_input
from keras_transformer.cli.texts import echo_found


@verb()
@path_option("--model", "model_path", required=True, help="A run folder of --model gpt.")
@search_options
@click.option("--max-new-tokens", type=click.IntRange(min=1), help="Most tokens; 64 unless given.")
@click.option("--n-best", type=int, help="Continuations of each text.")
@compile_option
@json_option
@click.argument("prompts", metavar="[PROMPT]...", nargs=-1)
def generate(model_path, search, max_new_tokens, n_best, jit_compile, as_json, prompts):
    """Go on with the PROMPTs, or the lines of standard input, one line for each.

    With --n-best there are several lines for each: its number from 0, a text and its score after
    the length penalty, between bars.
    """
    from keras_transformer.translating.generator import Generator

    if n_best is not None:
        search["n_best"] = n_best
    generator = Generator.load(model_path, jit_compile=jit_compile)
    prompts = prompts or tuple(lines_of_standard_input())
    found = generator.generate(prompts, max_new_tokens=max_new_tokens, **search)
    for number, generation in enumerate(found):
        echo_found(number, generation, n_best, as_json)
