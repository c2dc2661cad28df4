"""``keras-transformer serve``: the server of an exported model."""

import re

import click

from keras_transformer.cli.options import path_option, serving_options, verb


def _labels(context, parameter, given: tuple[str, ...]) -> dict[str, int]:
    """Versions by label."""
    labels: dict[str, int] = {}
    for one in given:
        label, _, version = one.rpartition("=")
        if not label or not re.fullmatch("[0-9]{1,19}", version):
            raise click.BadParameter(f"{one!r}: give a label and a version, such as stable=3.")
        if label in labels:
            raise click.BadParameter(f"{label} is given twice.")
        labels[label] = int(version)
    return labels


def _new_api_key(context, parameter, wanted: bool) -> None:
    """Makes an API key: its hash goes to standard output, the key itself to standard error."""
    if not wanted or context.resilient_parsing:
        return
    from keras_transformer.serving.access import new_key

    key, line = new_key()
    click.echo(f"The key, which is shown this once: {key}", err=True)
    click.echo(line)
    context.exit()


@verb()
@click.option(
    "--new-api-key",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_new_api_key,
    help="Show a new API key, write its hash for the file of --api-keys, and exit.",
)
@path_option(
    "--saved-model",
    "saved_models",
    required=True,
    multiple=True,
    help="The folder above the versions, such as saved_models/NAME; may be repeated for more "
    "models, and the page shows the first.",
)
@serving_options
@click.option("--no-grpc", is_flag=True, help="Serve REST and the page alone.")
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=True,
    show_default=True,
    help="Use the signatures compiled by XLA, where the model has them.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="LABEL=VERSION",
    callback=_labels,
    help="A name for a version of the (first) model, which then serves beside the highest one; may "
    "be repeated.",
)
@click.option("--json-logs", is_flag=True, help="One JSON object a line.")
def serve(saved_models, no_grpc, compiled, labels, json_logs, **options):
    """Serve an exported model: a page, TensorFlow Serving's and LibreTranslate's interfaces."""
    from keras_transformer.serving import serve as run

    options = {name: value for name, value in options.items() if value is not None}
    if no_grpc:
        options["grpc_port"] = None
    first, *others = saved_models
    options |= {"more_models": others, "compile": compiled, "labels": labels}
    run(first, **options, json_logs=json_logs)
