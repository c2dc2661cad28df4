"""Checkpoints of BERT and ALBERT, with and without heads: a `Bert` and the models around it."""

from typing import ClassVar

from keras_transformer.errors import InputError
from keras_transformer.interop.encoder_layers import encoder_layers
from keras_transformer.interop.family import (
    Config,
    Family,
    activation_name,
    labels,
    number_of_labels,
    refuse_unless,
)
from keras_transformer.interop.mapping import Entry, linear, norms
from keras_transformer.models.bert import Bert
from keras_transformer.models.bert_heads import SequenceClassifier, SpanPredictor, TokenClassifier
from keras_transformer.models.bert_pretraining import BertPretraining
from keras_transformer.special_tokens import PAD

_HEADS = {
    "SequenceClassification": SequenceClassifier,
    "TokenClassification": TokenClassifier,
    "QuestionAnswering": SpanPredictor,
}


class BertFamily(Family):
    """``BertModel`` and the models around it.

    Attributes:
        title: beginning of the names of its architectures.
        layer: beginning of the names of a layer's tensors, ``{i}`` in place of its number.
        parts: names of the parts of a layer in the checkpoint; see `encoder_layers`.
        names: names of other layers' tensors there, without ``.weight`` and ``.bias``.
        classifier_dropout: key of the dropout of classifiers in ``config.json``.
        shares_layers: whether the layers of its models share one set of weights.
        defaults: values of the configuration that differ between BERT and ALBERT.
    """

    model_type = "bert"
    prefix = "bert."
    heads = ("cls.", "classifier.", "qa_outputs.")
    redundant = r"bert\.embeddings\.(position_ids|token_type_ids)"

    title = "Bert"
    layer = "bert.encoder.layer.{i}"
    parts: ClassVar[dict[str, str]] = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    }
    names: ClassVar[dict[str, str]] = {
        "pooler": "bert.pooler.dense",
        "predictions": "cls.predictions",
        "transform": "cls.predictions.transform.dense",
        "transform_norm": "cls.predictions.transform.LayerNorm",
        "next_sentence": "cls.seq_relationship",
    }
    classifier_dropout = "classifier_dropout"
    shares_layers = False
    defaults: ClassVar[dict] = {"hidden_act": "gelu", "dropout": 0.1}

    @property
    def architectures(self):
        kinds = ("Model", "ForPreTraining", "ForMaskedLM", *(f"For{kind}" for kind in _HEADS))
        return tuple(f"{self.title}{kind}" for kind in kinds)

    @property
    def body(self):
        return f"{self.title}Model"

    def check(self, config: Config) -> None:
        """Raises `InputError` for a configuration that no model here computes."""
        config.require(
            position_embedding_type="absolute",
            is_decoder=False,
            add_cross_attention=False,
            pad_token_id=PAD,
            tie_word_embeddings=True,
        )

    def make(self, config: Config, architecture, names, arguments):
        self.check(config)
        head = architecture.removeprefix(self.title).removeprefix("For")
        dropout = config.get("hidden_dropout_prob", self.defaults["dropout"])
        bert = Bert(
            **{
                "vocab_size": config["vocab_size"],
                "num_layers": config["num_hidden_layers"],
                "d_model": config["hidden_size"],
                "num_heads": config["num_attention_heads"],
                "dff": config["intermediate_size"],
                "max_length": config["max_position_embeddings"],
                "num_segments": config.get("type_vocab_size", 2),
                "embedding_size": config.get("embedding_size"),
                "share_layers": self.shares_layers,
                "dropout_rate": dropout,
                "attention_dropout_rate": config.get(
                    "attention_probs_dropout_prob", self.defaults["dropout"]
                ),
                "activation": config.activation("hidden_act", self.defaults["hidden_act"]),
                "layer_norm_epsilon": config.get("layer_norm_eps", 1e-12),
                "pooler": f"{self.names['pooler']}.weight" in names,
                **arguments,
            }
        )
        if head == "Model":
            return bert
        if head in ("PreTraining", "MaskedLM"):
            pairs = f"{self.names['next_sentence']}.weight" in names
            return BertPretraining(bert, next_sentence=pairs)
        if head == "QuestionAnswering":
            return SpanPredictor(bert, dropout_rate=0.0)
        if head == "SequenceClassification" and bert.pooler is None:
            raise InputError(
                f"{config.where}: {architecture} lacks {self.names['pooler']}.weight: give a "
                "whole checkpoint."
            )
        classifier_dropout = config.get(self.classifier_dropout)
        return _HEADS[head](
            bert,
            num_classes=number_of_labels(config),
            dropout_rate=dropout if classifier_dropout is None else classifier_dropout,
        )

    def holds(self, model):
        bert = model if isinstance(model, Bert) else getattr(model, "bert", None)
        kinds = (Bert, BertPretraining, *_HEADS.values())
        return (
            isinstance(model, kinds)
            and isinstance(bert, Bert)
            and bert.encoder.share_layers == self.shares_layers
        )

    def tied(self, model):
        predictions = self.names["predictions"]
        return {
            f"{predictions}.decoder.weight": f"{self.prefix}embeddings.word_embeddings.weight",
            f"{predictions}.decoder.bias": f"{predictions}.bias",
        }

    def entries(self, model):
        names = self.names
        if isinstance(model, Bert):
            return list(self._body(model, ""))
        table = list(self._body(model.bert, "bert."))
        if isinstance(model, BertPretraining):
            table += linear({names["transform"]: "transform"})
            table += norms({names["transform_norm"]: "transform_norm"})
            table.append(Entry(f"{names['predictions']}.bias", ("tied_bias",)))
            if model.next_sentence:
                table += linear({names["next_sentence"]: "next_sentence_head"})
            return table
        head = "qa_outputs" if isinstance(model, SpanPredictor) else "classifier"
        return [*table, *linear({head: "classifier"})]

    def _body(self, bert: Bert, path: str):
        """Entries of the model without a head; `path` leads to it from the whole model."""
        embeddings, ours = f"{self.prefix}embeddings", f"{path}embedding"
        tables = {
            "word_embeddings": "pos_embedding.embedding.embeddings",
            "position_embeddings": "pos_embedding.pos_encoding",
            "token_type_embeddings": "segment_embedding.embeddings",
        }
        for name, table in tables.items():
            yield Entry(f"{embeddings}.{name}.weight", (f"{ours}.{table}",))
        yield from norms({f"{embeddings}.LayerNorm": f"{ours}.layer_norm"})
        if "projection" in self.names:
            yield from linear({self.names["projection"]: f"{ours}.projection"})
        for i in range(len(bert.encoder.enc_layers)):
            layer = f"{path}encoder.enc_layers.{i}"
            yield from encoder_layers(self.layer.format(i=i), layer, self.parts)
        if bert.pooler is not None:
            yield from linear({self.names["pooler"]: f"{path}pooler"})

    def config(self, model):
        bert = model if isinstance(model, Bert) else model.bert
        embedding, stack = bert.embedding, bert.encoder
        self.check_model(bert)
        heads = {kind: f"For{head}" for head, kind in _HEADS.items()}
        heads |= {Bert: "Model", BertPretraining: "ForPreTraining"}
        head = heads[type(model)]
        if isinstance(model, BertPretraining) and not model.next_sentence:
            head = "ForMaskedLM"
        config = {
            "architectures": [f"{self.title}{head}"],
            "model_type": self.model_type,
            "vocab_size": bert.vocab_size,
            "num_hidden_layers": stack.num_layers,
            "hidden_size": stack.d_model,
            "num_attention_heads": stack.num_heads,
            "intermediate_size": stack.dff,
            "max_position_embeddings": bert.max_length,
            "type_vocab_size": embedding.num_segments,
            "hidden_dropout_prob": stack.dropout_rate,
            "attention_probs_dropout_prob": stack.attention_dropout_rate,
            "hidden_act": activation_name(stack.activation),
            "layer_norm_eps": embedding.layer_norm_epsilon,
            "pad_token_id": PAD,
            **labels(getattr(model, "num_classes", None)),
        }
        if isinstance(model, SequenceClassifier | TokenClassifier):
            config[self.classifier_dropout] = model.dropout_rate
        return config

    def check_model(self, bert: Bert) -> None:
        """Raises `InputError` for a model that no configuration of this family describes."""
        refuse_unless(
            bert.embedding.projection is None, "BERT", "token vectors of the width of the model"
        )


class AlbertFamily(BertFamily):
    """``AlbertModel`` and the models around it."""

    model_type = "albert"
    prefix = "albert."
    heads = ("predictions.", "sop_classifier.", "classifier.", "qa_outputs.")
    redundant = r"albert\.embeddings\.(position_ids|token_type_ids)"

    title = "Albert"
    layer = "albert.encoder.albert_layer_groups.{i}.albert_layers.0"
    parts: ClassVar[dict[str, str]] = {
        "query": "attention.query",
        "key": "attention.key",
        "value": "attention.value",
        "output": "attention.dense",
        "attention_norm": "attention.LayerNorm",
        "inner": "ffn",
        "outer": "ffn_output",
        "feed_forward_norm": "full_layer_layer_norm",
    }
    names: ClassVar[dict[str, str]] = {
        "projection": "albert.encoder.embedding_hidden_mapping_in",
        "pooler": "albert.pooler",
        "predictions": "predictions",
        "transform": "predictions.dense",
        "transform_norm": "predictions.LayerNorm",
        "next_sentence": "sop_classifier.classifier",
    }
    classifier_dropout = "classifier_dropout_prob"
    shares_layers = True
    defaults: ClassVar[dict] = {"hidden_act": "gelu_new", "dropout": 0.0}

    def check(self, config):
        super().check(config)
        config.require(num_hidden_groups=1, inner_group_num=1)
        if config["embedding_size"] == config["hidden_size"]:
            config.refuse("embedding_size", "only one that differs from hidden_size is")

    def config(self, model):
        bert = model if isinstance(model, Bert) else model.bert
        groups = {"num_hidden_groups": 1, "inner_group_num": 1}
        return {**super().config(model), "embedding_size": bert.embedding.embedding_size, **groups}

    def check_model(self, bert):
        refuse_unless(
            bert.embedding.projection is not None,
            "ALBERT",
            "token vectors of another width than the model",
        )
