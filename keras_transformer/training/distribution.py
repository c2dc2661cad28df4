"""Training on several devices and several hosts."""

import os

import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.files import parse_json


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """The strategy named on the command line.

    Args:
        name: ``one``; ``mirrored`` for all GPUs of this host (its logical CPUs where it has no
            GPU); ``multiworker`` for all hosts named in the environment variable ``TF_CONFIG``.

    Returns:
        a strategy; ``None`` for one device.

    Raises:
        InputError: when ``TF_CONFIG`` is missing or names no worker.
    """
    if name == "one":
        return None
    if name == "mirrored":
        gpus = tf.config.list_logical_devices("GPU")
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    try:
        settings = parse_json(os.environ.get("TF_CONFIG", ""))
        workers, task = settings["cluster"]["worker"], settings["task"]
        listed = isinstance(workers, list) and 0 <= task["index"] < len(workers)
        if task["type"] != "worker" or not listed:
            raise ValueError(f"task {task}")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "TF_CONFIG: is to name every worker and which one this is, such as "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}.'
        ) from error
    return tf.distribute.MultiWorkerMirroredStrategy()
