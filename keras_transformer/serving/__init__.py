"""A server for exported models: TensorFlow Serving's REST and gRPC interfaces, in one process.

It serves a folder of versions (``saved_models/NAME/1``, ``2``, ...) and knows nothing of the
models' classes: what answers is what was exported.

    settings.py       what can be set, with limits
    failures.py       what can go wrong with a request, in HTTP's and in gRPC's terms
    signatures.py     what goes in and out of a model; answers that do not show their batch mates
    loaded_model.py   one version in memory
    warmup.py         requests before the first request
    versions.py       which versions there are; a new one takes over without a failed request
    batching.py       texts of several requests are translated together
    service.py        one request from its inputs to its outputs, whatever it came by
    rest_json.py      TensorFlow Serving's JSON
    app.py            the HTTP side
    grpc_service.py   the gRPC side
    metrics.py, logs.py
    server.py         start, signals, graceful stop
"""

import importlib

from keras_transformer.errors import InputError
from keras_transformer.serving.settings import Settings

__all__ = ["Settings", "serve"]

_EXTRA = (
    "starlette",
    "uvicorn",
    "prometheus_client",
    "structlog",
    "grpc",
    "grpc_health.v1",
    "tensorflow_serving.apis",
)


def serve(saved_model, **options) -> None:
    """Serves an exported model until the process gets SIGTERM or SIGINT.

    Args:
        saved_model: a folder of versions, such as ``saved_models/pt_en``.
        **options: fields of `Settings`.

    Raises:
        InputError: when the extra ``serve`` is not installed, an option or the folder is wrong, no
            version can be loaded, or a port is in use.
    """
    settings = Settings(saved_model, **options)
    for module in _EXTRA:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(
                f'the server cannot start ({error}): pip install "keras_transformer[serve]"'
            ) from error
    from keras_transformer.serving.server import run

    run(settings)
