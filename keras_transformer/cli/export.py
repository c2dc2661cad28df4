"""``keras-transformer export``: a run in a form that needs less than this package."""

import click

from keras_transformer.cli.options import keep_option, models_option, path_option, verb
from keras_transformer.cli.streams import write_line
from keras_transformer.cli.texts import read_patterns, read_scores
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import MOST_VERSION


def _sizes_option(flag, least, meaning):
    """An option that may be given several times, each time a size from `least`."""
    name = f"{flag.strip('-').replace('-', '_')}s"
    return click.option(flag, name, multiple=True, type=click.IntRange(min=least), help=meaning)


@verb()
@models_option
@path_option("--output", required=True, help="Such as saved_models/NAME.")
@click.option(
    "--version",
    type=click.IntRange(min=1, max=MOST_VERSION),
    help="The next free one unless given.",
)
@click.option(
    "--format",
    "form",
    default="saved_model",
    show_default=True,
    type=click.Choice(["saved_model", "ctranslate2", "stablehlo"]),
    help="A SavedModel, strings in and strings out; a folder for CTranslate2; or programs for "
    "JAX and other users of StableHLO.",
)
@click.option(
    "--weights",
    type=click.Choice(["float32", "float16"]),
    help="How a SavedModel stores weights; float32 unless given.",
)
@click.option(
    "--xla/--no-xla",
    "compiled",
    default=None,
    help="Whether a SavedModel has signatures compiled by XLA too; it has unless given.",
)
@keep_option
@click.option(
    "--shortlist",
    type=click.IntRange(min=1),
    help="Look only at this many target tokens for each token of the source, and at the most "
    "frequent ones, which is faster; as the run's decoding.shortlist says unless given.",
)
@click.option(
    "--to",
    metavar="CODE",
    help="The language to translate to, of a run of several; texts may begin with another's tag.",
)
@path_option(
    "--scores",
    "score_files",
    multiple=True,
    help="For the model card: what evaluate --json wrote; may be given again.",
)
@click.option(
    "--example",
    "examples",
    multiple=True,
    metavar="TEXT",
    help="A text that the server's page offers to try; may be given again. Some of the run's "
    "validation texts unless given.",
)
@click.option(
    "--no-examples", is_flag=True, help="Leave out examples, which are the corpus' texts."
)
@click.option(
    "--quantization", help="How CTranslate2 stores weights, such as int8; float32 unless given."
)
@_sizes_option(
    "--batch-size", 1, "Of StableHLO programs; may be given again; 1 and 16 unless given."
)
@_sizes_option("--source-length", 2, "Likewise; 128 unless given.")
@_sizes_option("--beam-size", 1, "Likewise; 1 unless given.")
@click.option(
    "--target-length",
    type=click.IntRange(min=1),
    help="Most target tokens of StableHLO programs; 128 unless given.",
)
def export(
    model_path,
    output,
    version,
    form,
    weights,
    compiled,
    keep_file,
    shortlist,
    to,
    score_files,
    examples,
    no_examples,
    quantization,
    **shapes,
):
    """Export a run in a form that needs less than this package."""
    if quantization is not None and form != "ctranslate2":
        raise click.UsageError("--quantization needs --format ctranslate2.")
    if form != "saved_model" and (weights is not None or compiled is not None or score_files):
        raise click.UsageError("--weights, --xla and --scores need --format saved_model.")
    if form != "saved_model" and (examples or no_examples):
        raise click.UsageError("--example and --no-examples need --format saved_model.")
    if examples and no_examples:
        raise click.UsageError("give --example or --no-examples, not both.")
    shapes = {name: value for name, value in shapes.items() if value}
    if form != "stablehlo" and shapes:
        option = min(shapes).removesuffix("s").replace("_", "-")
        raise click.UsageError(f"--{option} needs --format stablehlo.")
    if keep_file is not None and form == "stablehlo":
        raise click.UsageError("--keep is for forms that take text, not for stablehlo.")
    if shortlist is not None and form == "stablehlo":
        raise click.UsageError("--shortlist is for forms that search, not for stablehlo.")
    if to is not None and form == "stablehlo":
        raise click.UsageError("--to is for forms that take text, not for stablehlo.")
    scores = [read_scores(path) for path in score_files]
    keep = () if keep_file is None else read_patterns(keep_file)
    from keras_transformer.config import change_decoding
    from keras_transformer.exporting import export as export_saved_model
    from keras_transformer.exporting import export_ctranslate2, export_stablehlo
    from keras_transformer.translating.translator import Translator

    translator = Translator.load(model_path)
    if not isinstance(translator, Translator):
        raise InputError(f"{model_path}: is exported already: give a run folder.")
    given = {"shortlist": shortlist, "keep": keep or None, "to": to}
    given = {name: value for name, value in given.items() if value is not None}
    translator.decoding = change_decoding(translator.decoding, given)
    if keep or to:
        translator.divide([""], translator.decoding)  # which says what is wrong
    if form == "ctranslate2":
        written = export_ctranslate2(translator, output, quantization=quantization, version=version)
    elif form == "stablehlo":
        written = export_stablehlo(translator, output, version=version, **shapes)
    else:
        written = export_saved_model(
            translator,
            output,
            version=version,
            weights=weights or "float32",
            compiled=compiled is not False,
            scores=scores,
            examples=examples if examples or no_examples else None,
        )
    write_line(written)
