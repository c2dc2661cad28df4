"""Shapes of models as frozen dataclasses, one for each kind of model, told apart by `family`.

A configuration without a family is of a Transformer.
"""

from typing import Annotated, Any, Literal

import pydantic
from pydantic.dataclasses import dataclass

from keras_transformer.errors import InputError

Count = Annotated[int, pydantic.Field(gt=0)]
Positive = Annotated[float, pydantic.Field(gt=0)]
Rate = Annotated[float, pydantic.Field(ge=0, lt=1)]
STRICT = pydantic.ConfigDict(extra="forbid")

RECURRENT = ("rnn", "lstm", "gru")
LANGUAGE_MODELS = ("gpt", "bert")
FAMILIES = ("transformer", *RECURRENT, *LANGUAGE_MODELS)
"""Kinds of models by the names that configurations and the command line give them: those that
translate, and those that learn from the text of one language."""

ATTENTIONS: dict[str, dict[str, Any]] = {
    "none": {"attention": "none"},
    "bahdanau": {"attention": "additive"},
    "luong": {"attention": "general"},
    "additive": {"attention": "additive"},
    "dot": {"attention": "dot", "bidirectional": False},
    "general": {"attention": "general"},
    "concat": {"attention": "concat"},
    "scaled_dot": {"attention": "scaled_dot", "bidirectional": False},
}
"""What names of attention in the field say of a `RecurrentConfig`."""


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """Shape of the `Transformer`; the defaults are the tutorial's."""

    family: Literal["transformer"] = "transformer"  # the kind of model
    num_layers: Count = 4  # of the encoder, and of the decoder
    d_model: Count = 128  # width of the model
    num_heads: Count = 8  # of attention
    dff: Count = 512  # width inside the feed-forward networks
    dropout_rate: Rate = 0.1  # embeddings, feed-forward outputs, attention weights
    attention_dropout_rate: Rate | None = None  # attention weights; None: dropout_rate
    residual_dropout_rate: Rate = 0.0  # attention outputs
    key_dim: Count | None = None  # size of one head; None: d_model // num_heads
    activation: str = "relu"  # any of Keras' activations
    norm_first: bool = False  # pre-norm instead of post-norm
    layer_norm_epsilon: Positive = 1e-6  # added to the variance
    # How a token's place is told.
    positions: Literal["sinusoidal", "interleaved", "learned", "rotary", "none"] = "sinusoidal"
    max_length: Count = 2048  # longest sequence there are positions for
    token_vectors: Literal["learned", "one_hot"] = "learned"  # one_hot: d_model wide
    share_embeddings: bool = False  # one embedding for both sides; needs tokenizer.shared
    tie_output: bool = False  # logits are products with the target embedding
    output_bias: bool = False  # with tie_output: logits have a bias all the same
    # How attention is computed; auto: by device, dtype and length.
    attention_implementation: Literal["auto", "reference", "blockwise", "cudnn"] = "auto"
    right_padded: bool = True  # attention is told lengths, not masks; so are all batches of `train`

    def __post_init__(self):
        if self.key_dim is None and self.d_model % self.num_heads:
            raise InputError(
                f"model.d_model ({self.d_model}) is not a multiple of model.num_heads "
                f"({self.num_heads}): change one of them or set model.key_dim."
            )
        if self.output_bias and not self.tie_output:
            raise InputError(
                "model.output_bias is for a tied output, an own layer has a bias anyway: set "
                "model.tie_output to true, or model.output_bias to false."
            )
        _refuse_tied_one_hot(self)


@dataclass(frozen=True, config=STRICT)
class RecurrentConfig:
    """Shape of a `RecurrentSeq2Seq`; the defaults have about the parameters of the tutorial's."""

    family: Literal["rnn", "lstm", "gru"] = "gru"  # the cell
    units: Count = 256  # width of the states, in each direction
    num_layers: Count = 1  # of the encoder, and of the decoder
    token_vectors: Literal["learned", "one_hot"] = "learned"  # one_hot: embedding_size wide
    embedding_size: Count | None = 128  # width of learned token vectors; None: units
    bidirectional: bool = True  # the encoder reads the source in both directions
    # additive is Bahdanau's, before the recurrence; the others are Luong's, after it.
    attention: Literal["none", "additive", "dot", "general", "concat", "scaled_dot"] = "general"
    attention_units: Count | None = None  # width inside additive and concat; None: units
    # Without attention: the source goes to the decoder's first state, or to every step too.
    context: Literal["initial_state", "every_step"] = "initial_state"
    input_feeding: bool = False  # a step sees the attentional vector before it; Luong's only
    skip_connections: bool = False  # a layer's input is added to its output if equally wide
    dropout_rate: Rate = 0.1  # embeddings, between layers, the decoder's output
    scheduled_sampling: Rate = 0.0  # share of target tokens that are the model's own in training
    max_length: Count = 2048  # longest source, and longest target of a search
    share_embeddings: bool = False  # one embedding for both sides; needs tokenizer.shared
    tie_output: bool = False  # logits are products with the target embedding; it has units' width

    def __post_init__(self):
        luong = self.attention not in ("none", "additive")
        if self.attention in ("dot", "scaled_dot") and self.bidirectional:
            raise InputError(
                f"model.attention: {self.attention} compares states of one width, and two "
                "directions are twice as wide: set model.bidirectional to false, or "
                "model.attention to general."
            )
        if self.attention != "none" and self.context == "every_step":
            raise InputError(
                f"model.context: every_step is for a model without attention, not with "
                f"{self.attention}: set model.attention to none, or model.context to "
                "initial_state."
            )
        if self.input_feeding and not luong:
            raise InputError(
                "model.input_feeding feeds the vector of an attention after the recurrence, not of "
                f"{self.attention}: set model.attention to dot, general, concat or scaled_dot, or "
                "model.input_feeding to false."
            )
        _refuse_tied_one_hot(self)
        if self.tie_output and self.embedding_size not in (None, self.units):
            raise InputError(
                f"model.tie_output needs token vectors as wide as the states, {self.units}, not "
                f"{self.embedding_size}: set model.embedding_size to null."
            )


@dataclass(frozen=True, config=STRICT)
class GPTConfig:
    """Shape of a `GPT`; what is not a size is GPT-2's by default."""

    family: Literal["gpt"] = "gpt"  # the kind of model
    num_layers: Count = 4  # of the stack
    d_model: Count = 128  # width of the model
    num_heads: Count = 8  # of attention
    dff: Count | None = None  # width inside the feed-forward networks; None: 4 * d_model
    max_length: Count = 512  # longest text there are positions for
    # How a token's place is told.
    positions: Literal["learned", "sinusoidal", "interleaved", "rotary", "none"] = "learned"
    dropout_rate: Rate = 0.1  # embeddings, feed-forward outputs
    attention_dropout_rate: Rate | None = None  # attention weights; None: dropout_rate
    residual_dropout_rate: Rate | None = None  # attention outputs; None: dropout_rate
    activation: str = "gelu_tanh"  # that, or any of Keras' activations
    norm_first: bool = True  # pre-norm instead of post-norm
    layer_norm_epsilon: Positive = 1e-5  # added to the variance
    tie_output: bool = True  # logits are products with the embedding
    # How attention is computed; auto: by device, dtype and length.
    attention_implementation: Literal["auto", "reference", "blockwise", "cudnn"] = "auto"

    def __post_init__(self):
        _refuse_uneven_heads(self)


@dataclass(frozen=True, config=STRICT)
class BertConfig:
    """Shape of a `Bert`; what is not a size is BERT's by default, and ALBERT's as options."""

    family: Literal["bert"] = "bert"  # the kind of model
    num_layers: Count = 4  # of the stack
    d_model: Count = 128  # width of the model
    num_heads: Count = 8  # of attention
    dff: Count = 512  # width inside the feed-forward networks
    max_length: Count = 512  # longest text there are positions for
    embedding_size: Count | None = None  # width of token vectors; None: d_model
    share_layers: bool = False  # one layer, run num_layers times
    dropout_rate: Rate = 0.1  # embeddings, attention and feed-forward outputs
    attention_dropout_rate: Rate = 0.1  # attention weights
    activation: str = "gelu"  # gelu_tanh, or any of Keras' activations
    layer_norm_epsilon: Positive = 1e-12  # added to the variance
    # How attention is computed; auto: by device, dtype and length.
    attention_implementation: Literal["auto", "reference", "blockwise", "cudnn"] = "auto"

    def __post_init__(self):
        _refuse_uneven_heads(self)


def _refuse_uneven_heads(model):
    if model.d_model % model.num_heads:
        raise InputError(
            f"model.d_model ({model.d_model}) is not a multiple of model.num_heads "
            f"({model.num_heads}): change one of them."
        )


def _refuse_tied_one_hot(model):
    if model.tie_output and model.token_vectors != "learned":
        raise InputError(
            f"model.tie_output needs learned token vectors, not {model.token_vectors}: set it to "
            "false, or model.token_vectors to learned."
        )


def _kind(model: Any) -> str | None:
    """Which of the dataclasses the values or the instance `model` belong to."""
    if isinstance(model, dict):
        family = model.get("family", "transformer")
    else:
        family = getattr(model, "family", "transformer")
    if family not in FAMILIES:
        return None
    return "recurrent" if family in RECURRENT else family


AnyModelConfig = Annotated[
    Annotated[ModelConfig, pydantic.Tag("transformer")]
    | Annotated[RecurrentConfig, pydantic.Tag("recurrent")]
    | Annotated[GPTConfig, pydantic.Tag("gpt")]
    | Annotated[BertConfig, pydantic.Tag("bert")],
    pydantic.Discriminator(
        _kind,
        custom_error_type="family",
        custom_error_message=f"the family is one of {', '.join(FAMILIES)}",
    ),
]
"""The shape of any model, as a field of `Config`."""
