"""Shapes of models as frozen dataclasses, one for each kind of model, told apart by `family`.

A configuration without a family is of a Transformer.
"""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from keras_transformer.errors import InputError


def _int32(number: int) -> int:
    if number >= 2**31:
        raise ValueError("the number is more than int32 holds (2147483647)")
    return number


def _float32(number: float) -> float:
    if not 1e-30 <= number <= 1e30:
        raise ValueError("the number is not between 1e-30 and 1e30, which float32 computes with")
    return number


Count = Annotated[int, Field(gt=0), AfterValidator(_int32)]
Whole = Annotated[int, Field(ge=0), AfterValidator(_int32)]
Positive = Annotated[float, Field(gt=0), AfterValidator(_float32)]
Rate = Annotated[float, Field(ge=0, lt=1)]
STRICT = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
"""No unknown names, and no number that is infinite or not a number."""

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

    family: Literal["transformer"] = Field("transformer", description="the kind of model")
    num_layers: Count = Field(4, description="layers of the encoder, and as many of the decoder")
    num_encoder_layers: Count | None = Field(
        None, description="layers of the encoder; null: num_layers"
    )
    num_decoder_layers: Count | None = Field(
        None, description="layers of the decoder; null: num_layers"
    )
    d_model: Count = Field(128, description="width of the model")
    num_heads: Count = Field(8, description="attention heads of a layer")
    dff: Count = Field(512, description="width inside the feed-forward networks")
    dropout_rate: Rate = Field(
        0.1, description="dropout of embeddings, feed-forward outputs and attention weights"
    )
    attention_dropout_rate: Rate | None = Field(
        None, description="dropout of attention weights; null: dropout_rate"
    )
    residual_dropout_rate: Rate = Field(0.0, description="dropout of attention outputs")
    layer_dropout_rate: Rate = Field(
        0.0, description="rate at which a whole layer is left out of a training step (LayerDrop)"
    )
    token_dropout_rate: Rate = Field(
        0.0, description="dropout of whole tokens of source and target (word dropout)"
    )
    key_dim: Count | None = Field(None, description="size of one head; null: d_model // num_heads")
    activation: str = Field(
        "relu", description="activation of the feed-forward networks, any of Keras'"
    )
    norm_first: bool = Field(False, description="pre-norm instead of post-norm")
    layer_norm_epsilon: Positive = Field(
        1e-6, description="added to the variance in layer normalisation"
    )
    positions: Literal["sinusoidal", "interleaved", "learned", "rotary", "none"] = Field(
        "sinusoidal", description="how a token's position is encoded"
    )
    max_length: Count = Field(
        2048, description="longest sequence there are positions for, in tokens"
    )
    token_vectors: Literal["learned", "one_hot"] = Field(
        "learned", description="one_hot: vectors of d_model dimensions that are not learned"
    )
    share_embeddings: bool = Field(
        False, description="one embedding for source and target; needs tokenizer.shared"
    )
    tie_output: bool = Field(False, description="logits are products with the target embedding")
    output_bias: bool = Field(
        False,
        description="add a bias to logits that are tied; an output layer of its own has one anyway",
    )
    attention_implementation: Literal["auto", "reference", "blockwise", "cudnn"] = Field(
        "auto", description="how attention is computed; auto: by device, dtype and length"
    )
    right_padded: bool = Field(
        True,
        description="tell attention lengths, not masks: padding is at the end only, as in all "
        "batches of `train`",
    )

    @property
    def decoder_layers(self) -> int:
        """Number of layers of the decoder."""
        return self.num_decoder_layers or self.num_layers

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

    family: Literal["rnn", "lstm", "gru"] = Field("gru", description="the cell")
    units: Count = Field(256, description="width of the states, in each direction")
    num_layers: Count = Field(1, description="layers of the encoder, and as many of the decoder")
    token_vectors: Literal["learned", "one_hot"] = Field(
        "learned", description="one_hot: vectors of embedding_size dimensions that are not learned"
    )
    embedding_size: Count | None = Field(
        128, description="width of learned token vectors; null: units"
    )
    bidirectional: bool = Field(True, description="read the source in both directions")
    attention: Literal["none", "additive", "dot", "general", "concat", "scaled_dot"] = Field(
        "general",
        description="additive is Bahdanau's, before the recurrence; others are Luong's, after it",
    )
    attention_units: Count | None = Field(
        None, description="width inside additive and concat; null: units"
    )
    context: Literal["initial_state", "every_step"] = Field(
        "initial_state",
        description="without attention: the source goes to the first state, or to every step too",
    )
    input_feeding: bool = Field(
        False, description="feed the attentional vector to the next step; Luong's attention only"
    )
    skip_connections: bool = Field(
        False, description="add a layer's input to its output where both are equally wide"
    )
    dropout_rate: Rate = Field(
        0.1, description="dropout of embeddings, between layers, and of the decoder's output"
    )
    scheduled_sampling: Rate = Field(
        0.0, description="share of target tokens that are the model's own in training"
    )
    max_length: Count = Field(
        2048, description="longest source, and longest target of a search, in tokens"
    )
    share_embeddings: bool = Field(
        False, description="one embedding for source and target; needs tokenizer.shared"
    )
    tie_output: bool = Field(
        False, description="logits are products with the target embedding, which has units' width"
    )

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

    family: Literal["gpt"] = Field("gpt", description="the kind of model")
    num_layers: Count = Field(4, description="layers of the stack")
    d_model: Count = Field(128, description="width of the model")
    num_heads: Count = Field(8, description="attention heads of a layer")
    dff: Count | None = Field(
        None, description="width inside the feed-forward networks; null: 4 * d_model"
    )
    max_length: Count = Field(512, description="longest text there are positions for, in tokens")
    positions: Literal["learned", "sinusoidal", "interleaved", "rotary", "none"] = Field(
        "learned", description="how a token's position is encoded"
    )
    dropout_rate: Rate = Field(0.1, description="dropout of embeddings and feed-forward outputs")
    attention_dropout_rate: Rate | None = Field(
        None, description="dropout of attention weights; null: dropout_rate"
    )
    residual_dropout_rate: Rate | None = Field(
        None, description="dropout of attention outputs; null: dropout_rate"
    )
    activation: str = Field(
        "gelu_tanh",
        description="activation of the feed-forward networks: gelu_tanh, or any of Keras'",
    )
    norm_first: bool = Field(True, description="pre-norm instead of post-norm")
    layer_norm_epsilon: Positive = Field(
        1e-5, description="added to the variance in layer normalisation"
    )
    tie_output: bool = Field(True, description="logits are products with the embedding")
    attention_implementation: Literal["auto", "reference", "blockwise", "cudnn"] = Field(
        "auto", description="how attention is computed; auto: by device, dtype and length"
    )

    def __post_init__(self):
        _refuse_uneven_heads(self)


@dataclass(frozen=True, config=STRICT)
class BertConfig:
    """Shape of a `Bert`; what is not a size is BERT's by default, and ALBERT's as options."""

    family: Literal["bert"] = Field("bert", description="the kind of model")
    num_layers: Count = Field(4, description="layers of the stack")
    d_model: Count = Field(128, description="width of the model")
    num_heads: Count = Field(8, description="attention heads of a layer")
    dff: Count = Field(512, description="width inside the feed-forward networks")
    max_length: Count = Field(512, description="longest text there are positions for, in tokens")
    embedding_size: Count | None = Field(None, description="width of token vectors; null: d_model")
    share_layers: bool = Field(False, description="one layer, applied num_layers times")
    dropout_rate: Rate = Field(
        0.1, description="dropout of embeddings, attention outputs and feed-forward outputs"
    )
    attention_dropout_rate: Rate = Field(0.1, description="dropout of attention weights")
    activation: str = Field(
        "gelu", description="activation of the feed-forward networks: gelu_tanh, or any of Keras'"
    )
    layer_norm_epsilon: Positive = Field(
        1e-12, description="added to the variance in layer normalisation"
    )
    attention_implementation: Literal["auto", "reference", "blockwise", "cudnn"] = Field(
        "auto", description="how attention is computed; auto: by device, dtype and length"
    )

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
