"""What the verbs share: how TensorFlow is started, and options made from the fields of settings."""

import dataclasses
import functools
import os
import types
import typing
from pathlib import Path

import click

from keras_transformer.compile_cache import use_compile_cache
from keras_transformer.config import DecodingConfig
from keras_transformer.serving.settings import Settings

DATASET_HELP = (
    "ted_hrlr_translate/pt_to_en or another translation set of TensorFlow Datasets, sample, "
    "bible, pairs:SRC,TGT or pairs:FILE, a .tsv, .jsonl, .parquet or .tmx, or mix:FILE, a mixture "
    "of these; given again, corpora that are joined. For gpt and bert also text:FILE, a text a "
    "line."
)

SEARCH = tuple(
    name
    for name in DecodingConfig.__pydantic_fields__
    # How long a translation may be and when a beam stops is the run's own; n_best, sentences and
    # keep are options of some verbs alone.
    if name
    not in (
        *("length_ratio", "length_offset", "early_stopping", "patience"),
        *("n_best", "sentences", "keep"),
    )
)
"""Fields of `DecodingConfig` that are options of every verb that searches."""

SERVING = tuple(
    field.name
    for field in dataclasses.fields(Settings)
    if field.name not in ("saved_model", "more_models", "compile", "labels", "json_logs")
)
"""Fields of `Settings` that are options of ``serve``, besides those with flags of their own."""


class Verb(click.Command):
    """A verb that starts TensorFlow before it runs, and not for ``--help`` or a wrong option."""

    def parse_args(self, context, arguments):
        try:
            return super().parse_args(context, arguments)
        except click.NoSuchOption as error:
            if any(parameter.nargs == -1 for parameter in self.get_params(context)):
                error.message += " Texts that begin with a dash come after a -- of its own."
            raise

    def invoke(self, context):
        start_tensorflow()
        return super().invoke(context)


verb = functools.partial(click.command, cls=Verb)


def start_tensorflow() -> None:
    """Sets what TensorFlow reads when it starts; before its first import."""
    # TensorFlow would take all of a GPU's memory at once.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    use_compile_cache()
    # Else with the programs of another process TensorFlow logs a warning for each.
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        _import_tensorflow_quietly()


def _import_tensorflow_quietly():
    """Keeps what TensorFlow logs before its own log level counts off standard error."""
    standard_error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


def path_option(flag, *names, **settings):
    """An option whose value is a path."""
    return click.option(flag, *names, type=click.Path(path_type=Path), **settings)


def system_option(flag, name, **settings):
    """An option for a model: a path, or a tuple of several, of run folders for an ensemble."""

    return path_option(flag, name, multiple=True, callback=_one_or_several, **settings)


def _one_or_several(context, parameter, values):
    """The value of an option, or a tuple of the values of one that was given again."""
    return values if len(values) > 1 else next(iter(values), None)


def name_of_dataset(dataset: str | tuple[str, ...] | None) -> str | None:
    """What a dataset is called in results."""
    return " + ".join(dataset) if isinstance(dataset, tuple) else dataset


def name_of_system(path) -> str:
    """What a `system_option` is called in results."""
    return " + ".join(map(str, path)) if isinstance(path, tuple) else str(path)


model_option = path_option(
    "--model", "model_path", required=True, help="A run folder or an exported model."
)
models_option = system_option(
    "--model",
    "model_path",
    required=True,
    help="A run folder or an exported model; given again, run folders that translate together.",
)
dataset_option, required_dataset_option = (
    click.option(
        "--dataset",
        required=required,
        multiple=True,
        callback=_one_or_several,
        help=DATASET_HELP,
    )
    for required in (False, True)
)
data_dir_option = path_option("--data-dir", help="Prepared data, or an archive.")
source_language_option, target_language_option = (
    click.option(
        f"--{side}-language",
        metavar="CODE",
        help=f"Such as {code}; what names of files say unless given.",
    )
    for side, code in (("source", "pt"), ("target", "en"))
)
originals_option = click.option(
    "--originals/--no-originals",
    default=True,
    help="Whether the corpus' own pairs are written, too; they are unless given.",
)
compile_option = click.option(
    "--compile/--no-compile",
    "jit_compile",
    default=None,
    help="Search with XLA from the start, or never; unless given, once it pays off.",
)
keep_option = path_option(
    "--keep",
    "keep_file",
    metavar="FILE",
    help="Regular expressions, one a line, of what comes back as it is, besides addresses, "
    "placeholders, long numbers, code and emoji.",
)


def glossary_option(command):
    """Adds ``--glossary`` and ``--glossary-domain`` to a verb with `search_options`."""

    @functools.wraps(command)
    def with_glossary(*, search, glossary_file, domain, **arguments):
        if domain is not None and glossary_file is None:
            raise click.UsageError("--glossary-domain says nothing without --glossary.")
        if glossary_file is not None:
            from keras_transformer.data.glossary import Glossary

            search["glossary"] = Glossary.load(glossary_file, domain)
        return command(search=search, **arguments)

    of_domain = click.option(
        "--glossary-domain",
        "domain",
        metavar="NAME",
        help="Leave out terms of other domains, which the third column of the glossary names.",
    )
    return path_option(
        "--glossary",
        "glossary_file",
        metavar="FILE",
        help="Terms and the translations that they are to have, a pair a line, parted by a tab.",
    )(of_domain(with_glossary))


json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line, with scores."
)


def config_option(kind, field, name=None):
    """An option for a field of a configuration, with its type and its meaning.

    Args:
        kind: a dataclass of `keras_transformer.config`.
        field: name of the field.
        name: of the option's value, and with dashes of the option; that of the field unless given.
    """
    info = kind.__pydantic_fields__[field]
    return _option(name or field, info.annotation, info.description)


def search_options(command):
    """Adds the options of a search; those that are given arrive as the dictionary ``search``."""

    @functools.wraps(command)
    def with_search(**arguments):
        values = {name: arguments.pop(name) for name in SEARCH}
        given = {
            name: value
            for name, value in values.items()
            if value is not None and value is not False
        }
        return command(search=given, **arguments)

    for name in reversed(SEARCH):
        with_search = config_option(DecodingConfig, name)(with_search)
    return with_search


def sentences_option(command):
    """Adds ``--sentences`` to a verb with `search_options`."""

    @functools.wraps(command)
    def with_sentences(*, search, sentences, **arguments):
        if sentences is not None:
            search["sentences"] = sentences
        return command(search=search, **arguments)

    meaning = DecodingConfig.__pydantic_fields__["sentences"].description
    return click.option(
        "--sentences/--no-sentences",
        default=None,
        help=f"{meaning[0].upper()}{meaning[1:]}, or not; as the run says unless given.",
    )(with_sentences)


def serving_options(command):
    """Adds the options of the server; those that are given arrive as keyword arguments."""
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    for name in reversed(SERVING):
        field = fields[name]
        meaning = field.metadata["description"]
        if field.default:
            meaning = f"{meaning}; {field.default} unless given"
        command = _option(name, field.type, meaning)(command)
    return command


def _option(name, annotation, meaning):
    """An option that is ``None`` unless given.

    Args:
        name: of its value; with dashes, of the option.
        annotation: the type of its values, which may be a choice, or optional.
        meaning: a phrase that begins with a small letter.
    """
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    settings = {"help": f"{meaning[0].upper()}{meaning[1:]}."}
    if typing.get_origin(annotation) is typing.Literal:
        settings["type"] = click.Choice(typing.get_args(annotation))
    elif annotation is bool:
        settings["is_flag"] = True
    else:
        settings["type"] = annotation
    return click.option(f"--{name.replace('_', '-')}", name, **settings)
