"""``keras-transformer serve``: the server of an exported model."""

import click

from keras_transformer.cli.options import path_option, serving_options, verb


@verb()
@path_option(
    "--saved-model", required=True, help="The folder above the versions, such as saved_models/NAME."
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
@click.option("--json-logs", is_flag=True, help="One JSON object a line.")
def serve(saved_model, no_grpc, compiled, json_logs, **options):
    """Serve an exported model: a page at /, TensorFlow Serving's REST and gRPC interfaces."""
    from keras_transformer.serving import serve as run

    options = {name: value for name, value in options.items() if value is not None}
    if no_grpc:
        options["grpc_port"] = None
    run(saved_model, **options, compile=compiled, json_logs=json_logs)
