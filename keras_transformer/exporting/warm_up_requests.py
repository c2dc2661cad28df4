"""Requests that TensorFlow Serving answers to itself before a model is ready."""

import warnings
from pathlib import Path

import tensorflow as tf

from keras_transformer.exporting.format import DEFAULT_SIGNATURE, WARM_UP_FILE, WARM_UP_SCALARS

_TEXTS = ["a", "a " * 20, "a " * 60]
_BATCHES = (1, 8)


def write_warm_up_requests(folder: Path) -> None:
    """Writes requests for the signatures that every server can run.

    Without the extra ``[serve]`` nothing is written, with a warning.

    Args:
        folder: of a SavedModel, with its ``assets.extra``.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        warnings.warn(
            f"{WARM_UP_FILE.name} is left out: TensorFlow Serving will be slow to answer the first "
            'requests. To have it written: pip install "keras_transformer[serve]".',
            stacklevel=4,
        )
        return

    def request(signature, **inputs):
        predict = predict_pb2.PredictRequest()
        predict.model_spec.signature_name = signature
        for name, value in inputs.items():
            predict.inputs[name].CopyFrom(value)
        log = prediction_log_pb2.PredictLog(request=predict)
        return prediction_log_pb2.PredictionLog(predict_log=log)

    texts = [tf.make_tensor_proto([text] * rows) for rows in _BATCHES for text in _TEXTS]
    beam = {name: tf.make_tensor_proto(value) for name, value in WARM_UP_SCALARS.items()}
    with tf.io.TFRecordWriter(str(folder / WARM_UP_FILE)) as writer:
        for text in texts:
            for signature in (DEFAULT_SIGNATURE, "corpus_style", "attention", "tokenize"):
                writer.write(request(signature, text=text).SerializeToString())
        writer.write(request("translate_beam", text=texts[0], **beam).SerializeToString())
