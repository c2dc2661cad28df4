"""Makes the model that a configuration describes."""

import dataclasses

from keras_transformer.config.model import BertConfig, GPTConfig, ModelConfig, RecurrentConfig
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
    """Makes a model with new weights.

    Args:
        config: family and sizes of the model.
        input_vocab_size: number of source tokens; unused for a language model.
        target_vocab_size: number of target tokens.
        kwargs: arguments of every Keras model, such as `dtype`.
    """
    arguments = dataclasses.asdict(config)
    family = arguments.pop("family")
    if family == "gpt":
        return GPT(vocab_size=target_vocab_size, **arguments, **kwargs)
    if family == "bert":
        # The mask is one token more than the tokenizer has.
        bert = Bert(vocab_size=int(target_vocab_size) + 1, pooler=False, **arguments, **kwargs)
        return BertPretraining(bert, next_sentence=False)
    arguments |= {"input_vocab_size": input_vocab_size, "target_vocab_size": target_vocab_size}
    if family == "transformer":
        return Transformer(**arguments, **kwargs)
    if arguments["attention"] == "none":
        arguments["attention"] = None
    return RecurrentSeq2Seq(kind=family, **arguments, **kwargs)
