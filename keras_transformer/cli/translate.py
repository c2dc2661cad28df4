"""``keras-transformer translate``: texts, lines of standard input, or a document."""

import sys
from pathlib import Path

import click

from keras_transformer.cli.options import (
    compile_option,
    glossary_option,
    json_option,
    keep_option,
    models_option,
    path_option,
    search_options,
    sentences_option,
    verb,
)
from keras_transformer.cli.runners import on_beam, runner_options
from keras_transformer.cli.streams import StandardOutput, lines_of_standard_input, write_line
from keras_transformer.cli.texts import echo_found, read_patterns
from keras_transformer.errors import InputError


@verb()
@models_option
@search_options
@sentences_option
@keep_option
@glossary_option
@click.option("--n-best", type=int, help="Translations of each text.")
@compile_option
@json_option
@click.option(
    "--alignments",
    is_flag=True,
    help="Say which words belong together, after the text as Pharaoh writes it.",
)
@click.option(
    "--markup",
    is_flag=True,
    help="The texts are fragments of HTML or XML, whose tags go around the words they belonged to.",
)
@click.option("--document", metavar="FILE", help="A document to translate; - for standard input.")
@path_option("--output", metavar="FILE", help="Where it goes; standard output unless given.")
@click.option(
    "--format",
    "format",
    type=click.Choice(["text", "html", "srt", "po"]),
    help="Of the document; what its name says unless given.",
)
@click.option(
    "--everything",
    is_flag=True,
    help="Of a message catalogue, translate what has a translation, too.",
)
@runner_options
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="GLOB",
    help="For --runner: texts, a line each, or under text in .jsonl and .parquet; may be given "
    "again.",
)
@click.option(
    "--text-key", metavar="NAME", help="Where .jsonl and .parquet have texts; text unless given."
)
@click.option(
    "--output-format",
    "form",
    type=click.Choice(["text", "tsv", "jsonl", "parquet"]),
    help="Of shards; what suits the input unless given.",
)
@click.option(
    "--texts-per-shard",
    type=click.IntRange(min=1),
    help="Most texts of a file that --runner writes; 4096 unless given.",
)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
def translate(
    model_path,
    search,
    keep_file,
    n_best,
    jit_compile,
    as_json,
    alignments,
    markup,
    texts,
    document,
    runner,
    runner_options,
    inputs,
    text_key,
    form,
    texts_per_shard,
    **of_document,
):
    """Translate the TEXTs, or the lines of standard input, one line for each; or a document.

    With --n-best there are several lines for each: its number from 0, a translation and its score
    after the length penalty, between bars as Moses writes them. With --alignments the last field
    has the links of words, 0-0 1-2 and so on, of the source and of the target, from 0; words are
    what white space parts.

    With --markup each text is a fragment of HTML or XML and comes back with its tags.

    With --document a text, a page, subtitles or a message catalogue come back whole and in the same
    shape.

    With --runner texts of files are translated on Apache Beam, and --output begins the names of the
    shards of translations, OUTPUT-00000-000000.txt and so on, whose order is that of the texts.
    What fails is in OUTPUT-...failed.jsonl. A command that was interrupted goes on when it is given
    again.
    """
    from tqdm import tqdm

    from keras_transformer.translating.documents.markup import translate_markup_stream
    from keras_transformer.translating.translator import Translator

    if keep_file is not None:
        search["keep"] = read_patterns(keep_file)
    of_runner = {
        "--input": inputs,
        "--text-key": text_key,
        "--output-format": form,
        "--texts-per-shard": texts_per_shard,
        "--runner-option": runner_options,
    }
    if runner is not None:
        alone = {"--n-best": n_best, "--json": as_json, "--alignments": alignments}
        alone |= {"--markup": markup, "TEXT": texts, "--document": document}
        alone |= {"--format": of_document["format"], "--everything": of_document["everything"]}
        _check_alone(alone, "with --runner")
        _translate_files(model_path, search, jit_compile, runner, of_document["output"], of_runner)
        return
    _check_alone(of_runner, "without --runner")
    if document is not None:
        alone = {"--n-best": n_best, "--json": as_json, "--alignments": alignments}
        _check_alone(alone | {"--markup": markup, "TEXT": texts}, "with --document")
        _translate_document(model_path, search, jit_compile, document, **of_document)
        return
    _check_alone({f"--{name}": value for name, value in of_document.items()}, "without --document")
    if markup:
        alone = {"--n-best": n_best, "--json": as_json, "--alignments": alignments}
        _check_alone(alone, "with --markup")
    if n_best is not None:
        search["n_best"] = n_best
    if alignments:
        search["alignment"] = True
    translator = Translator.load(model_path, jit_compile=jit_compile)
    lines, chunk = texts, len(texts)
    if not texts:
        # Who types wants every answer at once.
        lines, chunk = lines_of_standard_input(), 1 if sys.stdin.isatty() else 2048
    quiet = bool(texts) or sys.stdin.isatty() or sys.stdout.isatty() or not sys.stderr.isatty()
    if markup:
        fragments = translate_markup_stream(translator, lines, chunk=chunk, **search)
        for fragment in tqdm(fragments, unit=" texts", disable=quiet):
            write_line(fragment)
        return
    translations = translator.translate_stream(lines, chunk=chunk, **search)
    for number, translation in enumerate(tqdm(translations, unit=" texts", disable=quiet)):
        echo_found(number, translation, n_best, as_json)


def _translate_files(model_path, search, jit_compile, runner, output, of_runner):
    if not of_runner["--input"] or output is None:
        raise click.UsageError("--runner needs --input and --output.")
    optional = {
        "text_key": of_runner["--text-key"],
        "texts_per_shard": of_runner["--texts-per-shard"],
    }
    with on_beam():
        from keras_transformer.distributed.translating import translate_files

        counts = translate_files(
            model_path,
            of_runner["--input"],
            str(output),
            form=of_runner["--output-format"],
            runner=runner,
            runner_options=of_runner["--runner-option"],
            jit_compile=jit_compile,
            **{name: value for name, value in optional.items() if value is not None},
            **search,
        )
    told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
    click.echo(f"{output}: {told or 'done'}", err=True)


def _check_alone(options, where):
    """Refuses options that say nothing.

    Args:
        options: by name, with their values; those not given are ``None``, false or empty.
        where: beside what they say nothing.
    """
    given = [name for name, value in options.items() if value not in (None, False, ())]
    if given:
        raise click.UsageError(f"{given[0]} says nothing {where}: leave it out.")


def _translate_document(model_path, search, jit_compile, document, output, format, everything):
    from keras_transformer.documents.formats import format_of
    from keras_transformer.translating.documents.translate import translate_document_file
    from keras_transformer.translating.translator import Translator

    is_stream = document == "-"
    if format is None:
        if is_stream:
            raise click.UsageError("Standard input has no name: give --format.")
        format = format_of(document)
    if everything and format != "po":
        raise click.UsageError("--everything is for message catalogues: leave it out.")
    if not is_stream and not Path(document).exists():  # before a model is loaded
        raise InputError(f"{document}: no such file: check the path.")
    translate_document_file(
        Translator.load(model_path, jit_compile=jit_compile),
        sys.stdin.buffer if is_stream else document,
        StandardOutput() if output is None else output,
        format,
        name="standard input" if is_stream else None,
        everything=everything,
        **search,
    )
