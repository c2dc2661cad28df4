"""The model of a configuration, whatever its family."""

import dataclasses

from keras_transformer.config.model import (
    BertConfig,
    GPTConfig,
    ModelConfig,
    RecurrentConfig,
)
from keras_transformer.models.bert import Bert
from keras_transformer.models.bert_pretraining import BertPretraining
from keras_transformer.models.gpt import GPT
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.models.transformer import Transformer


def make_model(
    config: ModelConfig | RecurrentConfig | GPTConfig | BertConfig,
    *,
    input_vocab_size,
    target_vocab_size,
    **kwargs,
) -> Transformer | RecurrentSeq2Seq | GPT | BertPretraining:
    """Makes a model with fresh weights.

    Args:
        config: its family and shape.
        input_vocab_size: number of source tokens; a model of one language knows no source.
        target_vocab_size: number of target tokens.
        kwargs: arguments of every Keras model, such as `dtype`.
    """
    arguments = dataclasses.asdict(config)
    family = arguments.pop("family")
    if family == "gpt":
        return GPT(vocab_size=target_vocab_size, **arguments, **kwargs)
    if family == "bert":
        # One token more than the tokenizer has: the mask.
        bert = Bert(vocab_size=int(target_vocab_size) + 1, pooler=False, **arguments, **kwargs)
        return BertPretraining(bert, next_sentence=False)
    arguments |= {"input_vocab_size": input_vocab_size, "target_vocab_size": target_vocab_size}
    if family == "transformer":
        return Transformer(**arguments, **kwargs)
    if arguments["attention"] == "none":
        arguments["attention"] = None
    return RecurrentSeq2Seq(kind=family, **arguments, **kwargs)
