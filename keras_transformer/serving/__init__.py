"""A server for exported models, in one process, with the interfaces of TensorFlow Serving (REST and
gRPC) and of LibreTranslate.

It serves a folder of versions (``saved_models/NAME/1``, ``2``, ...) and knows nothing of the
models' classes: what answers is what was exported.

    settings.py       the options of the server, with their limits
    failures.py       kinds of failed requests, with the codes of HTTP and gRPC
    signatures.py     inputs and outputs of a model; the rows of a batch for each request
    loaded_model.py   one version in memory
    programs.py       what XLA has compiled, and what answers while it has not
    warmup.py         requests run before a version serves
    versions.py       loading and unloading; a new version takes over without a failed request
    batching.py       batches of the texts of several requests
    service.py        a request from its inputs to its outputs, for both interfaces
    rest_json.py      TensorFlow Serving's JSON
    answers.py        large answers, in pieces
    libre.py          LibreTranslate's interface
    translations.py   texts and documents, translated by what is served
    forms.py          fields of HTML forms
    translated_files.py  translated files, kept for their clients for a while
    access.py         API keys, and requests a minute
    app.py            the HTTP interface, health, metrics and the page in static/
    exchange.py       bodies, answers and failures of requests to models over HTTP
    edge.py           what is asked of every HTTP request before anything else looks at it
    connections.py    HTTP connections: how many, whose, and how long each may take
    bodies.py         reading bodies in bounded memory and time
    grpc_service.py   the gRPC interface
    calls.py          calls of gRPC: how many, whose, and how long each may take
    health.py         gRPC's health
    peers.py          ending a connection of gRPC
    limits.py         room and turns of addresses, for both interfaces
    listening.py      sockets on every address of a name
    descriptors.py    no more connections than descriptors
    tls.py            the certificate of both interfaces
    helper.py         a thread for what would hold up the event loop
    plain.py          texts of clients made harmless
    metrics.py        metrics for Prometheus
    logs.py           one line for each event, written by a thread of its own
    server.py         start, signals, graceful stop
"""

import importlib
import os

from keras_transformer.errors import InputError
from keras_transformer.serving.settings import Settings

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
    """Serves an exported model until the process gets SIGTERM, SIGINT or SIGHUP.

    Args:
        saved_model: a folder of versions, such as ``saved_models/pt_en``. The page shows this one;
            ``more_models`` are served beside it.
        **options: fields of `Settings`.

    Raises:
        InputError: when the extra ``serve`` is not installed, an option or the folder is wrong, no
            version can be loaded, or a port is in use.
    """
    settings = Settings(saved_model, **options)
    # gRPC would write to standard error by itself, and wait where nobody reads that.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for module in _EXTRA:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(
                f'the server cannot start ({error}): pip install "keras_transformer[serve]"'
            ) from error
    from keras_transformer.serving.server import run

    run(settings)
