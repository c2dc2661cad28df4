"""Requests that a version answers before clients see it.

The first call of a signature builds kernels, and with XLA compiles one program for each bucket of
rows and lengths; nobody should wait for that. Where no version answers yet, programs are compiled
beside the first answers. A version that cannot answer is not served.
"""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from keras_transformer.errors import InputError
from keras_transformer.exporting.format import DEFAULT_SIGNATURE, WARM_UP_FILE, WARM_UP_SCALARS
from keras_transformer.files import reason_of
from keras_transformer.serving.failures import Failure
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.signatures import Scalar, Signature

_MOST_REQUESTS = 1000  # of the file, as in TensorFlow Serving
_MOST_SECONDS = 120.0  # then clients wait rather than the server
_WORDS = (24, 56)  # of a usual and a long sentence


def warm_up(
    model: LoadedModel,
    folder: Path,
    *,
    max_batch_size: int,
    workers: int = 1,
    aside: bool = False,
    given_up: Callable[[], bool] = lambda: False,
) -> int:
    """Runs the model's own warm-up requests, or representative ones, or both.

    Args:
        model: the loaded version.
        folder: of the version.
        max_batch_size: most texts that a batch will have.
        workers: how many requests are run side by side.
        aside: do not wait for programs of XLA, without which the model answers, too.
        given_up: says whether nobody needs the model any more; asked before each request.

    Returns:
        how many requests were run.

    Raises:
        InputError: when the model fails on one.
    """
    last_start = time.monotonic() + _MOST_SECONDS
    started = itertools.count()

    def run(request) -> bool:
        signature, texts, scalars, is_own = request
        if given_up():
            return False
        if next(started) and not is_own and time.monotonic() > last_start:
            return False
        if aside and is_own:  # which has to be answered
            model.run(signature, texts, scalars)
        model.warm(signature, texts, scalars, aside=aside)
        return True

    count = 0
    requests = _requests(model, folder, max_batch_size)
    with ThreadPoolExecutor(workers) as executor:
        try:
            for was_run in executor.map(run, requests) if workers > 1 else map(run, requests):
                if not was_run:
                    break
                count += 1
        except Failure as failure:
            raise InputError(
                f"{folder}: warm-up request {count + 1} fails: {failure.message}"
            ) from failure
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
    return count


def _requests(model: LoadedModel, folder: Path, max_batch_size: int):
    """Signatures, texts, scalars, and whether the model's own file asks for them."""
    for request in _own_requests(model, folder):
        yield *request, True
    for signature, texts in _representative_requests(model, max_batch_size):
        scalars = _usual_scalars(signature)
        if scalars is not None:
            yield signature, texts, scalars, False


def _representative_requests(model: LoadedModel, max_batch_size: int):
    """Signatures with texts: the default one in several sizes, the others once."""
    for signature in model.default_signatures:
        if signature.name != DEFAULT_SIGNATURE:
            yield signature, _texts(1, _WORDS[0])
            continue
        # A program for each number of rows; without XLA all are the same.
        rows = model.row_buckets(signature) or (1,)
        rows = [*(size for size in rows if size < max_batch_size), max_batch_size]
        for size, words in itertools.product(reversed(rows), _WORDS):
            yield signature, _texts(size, words)


def _texts(rows: int, words: int) -> list[bytes]:
    """Texts of all lengths up to the given one.

    They are not translated in the same number of steps. So the search comes to what it does when
    most of a batch is finished, for which XLA has programs too.
    """
    return [b" ".join([b"a"] * -(-words * (row + 1) // rows)) for row in range(rows)]


def _usual_scalars(signature: Signature) -> dict[str, Scalar] | None:
    usual = dict(WARM_UP_SCALARS)
    for name, tensor in signature.scalars.items():
        if tensor.dtype == "DT_STRING":
            usual.setdefault(name, "")
        elif name not in usual:
            return None  # nobody knows what it means
    return {name: tensor.scalar(usual[name]) for name, tensor in signature.scalars.items()}


def _own_requests(model: LoadedModel, folder: Path):
    """Signatures, texts and scalars of the file of warm-up requests, if there is one."""
    path = folder / WARM_UP_FILE
    if not path.is_file():
        return
    try:
        for record in itertools.islice(tf.data.TFRecordDataset(str(path)), _MOST_REQUESTS):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            if log.WhichOneof("log_type") != "predict_log":
                continue
            request = log.predict_log.request
            signature = model.signature(request.model_spec.signature_name)
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            texts = [bytes(text) for text in inputs.pop(signature.text).ravel()]
            yield signature, texts, {name: value[()] for name, value in inputs.items()}
    except Failure:
        raise
    except Exception as error:  # a damaged file, a tensor of another kind
        raise InputError(
            f"{path}: cannot be read ({reason_of(error)}): write it again or delete it."
        ) from error
