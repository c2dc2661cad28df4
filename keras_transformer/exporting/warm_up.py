"""Requests that TensorFlow Serving answers to itself before a model is ready."""

import warnings
from pathlib import Path

import tensorflow as tf

FILE = "tf_serving_warmup_requests"
"""The name that TensorFlow Serving looks for in ``assets.extra``."""

_TEXTS = ["a", "a " * 20, "a " * 60]
_BATCHES = (1, 8)


def write_warm_up_requests(folder: Path) -> None:
    """Writes requests for the signatures that every server can run.

    Without the extra ``[serve]`` nothing is written, with a warning.

    Args:
        folder: the ``assets.extra`` of a SavedModel.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        warnings.warn(
            f"{FILE} is left out: TensorFlow Serving will be slow to answer the first requests. "
            'To have it written: pip install "keras_transformer[serve]".',
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
    beam = {
        "beam_size": tf.make_tensor_proto(4, tf.int32),
        "length_penalty": tf.make_tensor_proto(1.0, tf.float32),
        "max_length": tf.make_tensor_proto(0, tf.int32),
    }
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for text in texts:
            for signature in ("serving_default", "corpus_style", "attention", "tokenize"):
                writer.write(request(signature, text=text).SerializeToString())
        writer.write(request("translate_beam", text=texts[0], **beam).SerializeToString())
