"""The model of a configuration, whatever its family."""

import dataclasses

from keras_transformer.model_config import ModelConfig, RecurrentConfig
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.models.transformer import Transformer


def make_model(
    config: ModelConfig | RecurrentConfig, *, input_vocab_size, target_vocab_size, **kwargs
) -> Transformer | RecurrentSeq2Seq:
    """Makes a model with fresh weights.

    Args:
        config: its family and shape.
        input_vocab_size: number of source tokens.
        target_vocab_size: number of target tokens.
        kwargs: arguments of every Keras model, such as `dtype`.
    """
    arguments = dataclasses.asdict(config)
    family = arguments.pop("family")
    arguments |= {"input_vocab_size": input_vocab_size, "target_vocab_size": target_vocab_size}
    if family == "transformer":
        return Transformer(**arguments, **kwargs)
    if arguments["attention"] == "none":
        arguments["attention"] = None
    return RecurrentSeq2Seq(kind=family, **arguments, **kwargs)
