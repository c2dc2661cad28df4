"""Everything a run is made of, as frozen dataclasses that read and write JSON and YAML.

Every value is checked when it is made; a wrong one is a ``ValueError`` that names it, and an
`InputError` of one line where it comes from a file or an option.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic.dataclasses import dataclass

from keras_transformer.errors import InputError

_Count = Annotated[int, pydantic.Field(gt=0)]
_Positive = Annotated[float, pydantic.Field(gt=0)]
_Rate = Annotated[float, pydantic.Field(ge=0, lt=1)]
_STRICT = pydantic.ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class ModelConfig:
    """Shape of the `Transformer`; the defaults are the tutorial's."""

    num_layers: _Count = 4  # of the encoder, and of the decoder
    d_model: _Count = 128  # width of the model
    num_heads: _Count = 8
    dff: _Count = 512  # width inside the feed-forward networks
    dropout_rate: _Rate = 0.1  # embeddings, feed-forward outputs, attention weights
    attention_dropout_rate: _Rate | None = None  # attention weights; None: dropout_rate
    residual_dropout_rate: _Rate = 0.0  # attention outputs
    key_dim: _Count | None = None  # size of one head; None: d_model // num_heads
    activation: str = "relu"  # any of Keras' activations
    norm_first: bool = False  # pre-norm instead of post-norm
    layer_norm_epsilon: _Positive = 1e-6
    positions: Literal["sinusoidal", "interleaved", "learned", "rotary", "none"] = "sinusoidal"
    max_length: _Count = 2048  # longest sequence there are positions for
    share_embeddings: bool = False  # one embedding for both sides; needs tokenizer.shared
    tie_output: bool = False  # logits are products with the target embedding

    def __post_init__(self):
        if self.key_dim is None and self.d_model % self.num_heads:
            raise InputError(
                f"model.d_model ({self.d_model}) is not a multiple of model.num_heads "
                f"({self.num_heads}): change one of them or set model.key_dim."
            )


@dataclass(frozen=True, config=_STRICT)
class TokenizerConfig:
    """How text becomes tokens."""

    kind: Literal["wordpiece", "sentencepiece"] = "wordpiece"
    vocab_size: _Count = 8000  # most tokens on each side
    shared: bool = False  # one vocabulary learned from both sides


@dataclass(frozen=True, config=_STRICT)
class TrainingConfig:
    """How the model is trained. Training stops at the first limit it reaches."""

    epochs: _Count | None = 20
    max_steps: _Count | None = None
    max_minutes: _Positive | None = None
    batch_tokens: _Count = 4096  # padded tokens of the longer side in one batch
    accumulate: _Count = 1  # batches whose gradients make one step
    max_tokens: Annotated[int, pydantic.Field(ge=8)] = 128  # longer pairs are left out, counted
    schedule: Literal["inverse_sqrt", "linear"] = "inverse_sqrt"  # linear: to 0 at the limit
    warmup_steps: _Count = 4000  # step with the highest learning rate
    learning_rate: _Positive | None = None  # highest; None: the paper's for d_model and warm-up
    learning_rate_scale: _Positive = 1.0  # factor on it
    beta_2: _Rate = 0.98  # of Adam; beta_1 is 0.9
    clip_norm: _Positive | None = None  # longest gradient
    label_smoothing: _Rate = 0.0
    average_decay: _Rate | None = None  # of a moving average of the weights, which is then used
    patience: _Count | None = None  # stop after this many epochs without a better score
    select_by: Literal["loss", "bleu"] = "loss"  # the validation score that chooses weights
    bleu_sentences: Annotated[int, pydantic.Field(ge=0)] = 200  # translated after each epoch
    checkpoint_minutes: _Positive = 5.0  # longest time whose work an interruption repeats
    dtype: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool | None = None  # XLA for the training step; None: on a GPU only
    seed: int = 1  # of initial weights, dropout and the order of batches


@dataclass(frozen=True, config=_STRICT)
class DecodingConfig:
    """How translations are searched: greedily, with a beam, or by drawing samples."""

    length_ratio: _Positive = 2.0  # most target tokens for each source token ...
    length_offset: Annotated[int, pydantic.Field(ge=0)] = 16  # ... and this many on top
    max_length: _Count | None = None  # most target tokens, the end included, whatever the source
    min_length: Annotated[int, pydantic.Field(ge=0)] = 0  # fewest, the end not included
    beam_size: _Count = 1  # hypotheses that are followed side by side; 1 is greedy
    n_best: _Count = 1  # translations of each text
    length_penalty: float = 1.0  # exponent; 0 ranks by probability alone
    length_penalty_kind: Literal["plain", "gnmt"] = "plain"  # length, or (5 + length) / 6
    early_stopping: bool = True  # done once beam_size * patience hypotheses have ended
    patience: _Positive = 1.0
    no_repeat_ngram: Annotated[int, pydantic.Field(ge=0)] = 0  # no n-gram twice; 0: as they come
    forbid_unknown: bool = False  # never give [UNK]
    sampling: bool = False  # draw each token by its probability
    temperature: _Positive = 1.0  # logits are divided by it
    top_k: _Count | None = None  # draw from the most probable tokens ...
    top_p: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None  # ... with this much in sum
    seed: int = 1  # of sampling

    def __post_init__(self):
        if self.sampling and self.beam_size > 1:
            raise InputError("decoding.sampling has no beams: leave decoding.beam_size at 1.")
        if not self.sampling and self.n_best > self.beam_size:
            raise InputError(
                f"decoding.n_best ({self.n_best}) is more than decoding.beam_size "
                f"({self.beam_size}): raise the latter, or set decoding.sampling."
            )
        if not self.sampling and (self.top_k or self.top_p or self.temperature != 1):
            raise InputError(
                "decoding.temperature, top_k and top_p are of sampling: set decoding.sampling."
            )


@dataclass(frozen=True, config=_STRICT)
class Config:
    """One run."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    tokenizer: TokenizerConfig = dataclasses.field(default_factory=TokenizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    decoding: DecodingConfig = dataclasses.field(default_factory=DecodingConfig)

    def __post_init__(self):
        if self.training.select_by == "bleu" and not self.training.bleu_sentences:
            raise InputError(
                "training.select_by: bleu needs sentences to translate: set "
                "training.bleu_sentences above 0."
            )
        if self.model.share_embeddings and not self.tokenizer.shared:
            raise InputError(
                "model.share_embeddings needs one vocabulary: set tokenizer.shared to true."
            )

    def replace(self, changes: dict[str, Any], origin="The configuration") -> "Config":
        """This configuration with some values changed.

        Args:
            changes: nested dictionary, such as ``{"model": {"num_layers": 2}}``.
            origin: where the changes come from, for the error.

        Raises:
            InputError: for a key or value that does not belong there.
        """
        return _validated(_merged(dataclasses.asdict(self), changes), origin)

    def model_arguments(self) -> dict[str, Any]:
        """Arguments for `Transformer`, all but the vocabulary sizes."""
        return dataclasses.asdict(self.model)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


PRESETS: dict[str, Config] = {
    # The tutorial's: 4 layers of width 128, post-norm, the paper's schedule.
    "tutorial": Config(),
    # The models of Attention Is All You Need, table 3.
    "base": Config(
        model=ModelConfig(
            num_layers=6,
            d_model=512,
            num_heads=8,
            dff=2048,
            attention_dropout_rate=0.0,
            residual_dropout_rate=0.1,
            share_embeddings=True,
            tie_output=True,
            positions="interleaved",
        ),
        tokenizer=TokenizerConfig(vocab_size=32000, shared=True),
        training=TrainingConfig(batch_tokens=25000, label_smoothing=0.1),
    ),
    "big": Config(
        model=ModelConfig(
            num_layers=6,
            d_model=1024,
            num_heads=16,
            dff=4096,
            dropout_rate=0.3,
            attention_dropout_rate=0.0,
            residual_dropout_rate=0.3,
            share_embeddings=True,
            tie_output=True,
            positions="interleaved",
        ),
        tokenizer=TokenizerConfig(vocab_size=32000, shared=True),
        training=TrainingConfig(batch_tokens=25000, label_smoothing=0.1),
    ),
    # The tutorial's size for the embedded corpus: minutes on two CPU cores.
    "quick": Config(
        model=ModelConfig(norm_first=True),
        tokenizer=TokenizerConfig(vocab_size=2000),
        training=TrainingConfig(
            epochs=4, batch_tokens=2048, warmup_steps=400, label_smoothing=0.1, max_tokens=64
        ),
    ),
}


def preset(name: str) -> Config:
    """The configuration named `name`: ``tutorial``, ``base``, ``big`` or ``quick``."""
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def load_changes(path) -> dict[str, Any]:
    """Reads a YAML or JSON file of values to change, for `Config.replace`."""
    try:
        changes = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path}: is neither YAML nor JSON ({problem}).") from error
    if not isinstance(changes, dict | None):
        raise InputError(f"{path}: holds no sections; expected model:, training: and the like.")
    return changes or {}


def config_from_dict(values: dict[str, Any], origin="The configuration") -> Config:
    """The inverse of `Config.to_dict`."""
    return _validated(values, origin)


def config_from_json(path) -> Config:
    """Reads the ``config`` of a run's ``config.json``."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        return _validated(values["config"], path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is not the configuration of a run ({error}).") from error


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, change in changes.items():
        nested = isinstance(change, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], change) if nested else change
    return merged


def _validated(values: dict[str, Any], origin) -> Config:
    try:
        return pydantic.TypeAdapter(Config).validate_python(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        problem = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise InputError(f"{origin}: {where}{problem}.") from error
