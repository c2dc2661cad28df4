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

from keras_transformer.config.model import (
    LANGUAGE_MODELS,
    STRICT,
    AnyModelConfig,
    Count,
    ModelConfig,
    Positive,
    Rate,
)
from keras_transformer.errors import InputError


@dataclass(frozen=True, config=STRICT)
class TokenizerConfig:
    """How text becomes tokens."""

    kind: Literal["wordpiece", "sentencepiece"] = "wordpiece"  # how pieces are learned and found
    vocab_size: Count = 8000  # most tokens on each side
    shared: bool = False  # one vocabulary learned from both sides


@dataclass(frozen=True, config=STRICT)
class WordVectorsConfig:
    """Files of word vectors that token vectors start from: of word2vec, fastText or GloVe."""

    source: str | None = None  # file for the source's vocabulary
    target: str | None = None  # file for the target's
    limit: Count | None = None  # most words to read of a file
    freeze: Literal["none", "found", "all"] = "none"  # which of them training leaves as they are


@dataclass(frozen=True, config=STRICT)
class TrainingConfig:
    """How the model is trained. Training stops at the first limit it reaches."""

    epochs: Count | None = 20  # times through the corpus
    max_steps: Count | None = None  # updates of the weights
    max_minutes: Positive | None = None  # of training and validation
    batch_tokens: Count = 4096  # padded tokens of the longer side in one batch
    accumulate: Count = 1  # batches whose gradients make one step
    max_tokens: Annotated[int, pydantic.Field(ge=8)] = 128  # longer pairs are left out, counted
    schedule: Literal["inverse_sqrt", "linear"] = "inverse_sqrt"  # linear: to 0 at the limit
    warmup_steps: Count = 4000  # step with the highest learning rate
    learning_rate: Positive | None = None  # highest; None: the paper's for width and warm-up
    learning_rate_scale: Positive = 1.0  # factor on it
    beta_2: Rate = 0.98  # of Adam; beta_1 is 0.9
    clip_norm: Positive | None = None  # longest gradient
    label_smoothing: Rate = 0.0  # share of probability given to all tokens alike
    average_decay: Rate | None = None  # of a moving average of the weights, which is then used
    patience: Count | None = None  # stop after this many epochs without a better score
    select_by: Literal["loss", "bleu"] = "loss"  # the validation score that chooses weights
    bleu_sentences: Annotated[int, pydantic.Field(ge=0)] = 200  # translated after each epoch
    checkpoint_minutes: Positive = 5.0  # longest time whose work an interruption repeats
    # auto: mixed_bfloat16 where the device has instructions for it, else float32
    dtype: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool | None = None  # XLA for the step; None: of a Transformer on a GPU only
    seed: int = 1  # of initial weights, dropout and the order of batches


@dataclass(frozen=True, config=STRICT)
class DecodingConfig:
    """How translations are searched: greedily, with a beam, or by drawing samples."""

    length_ratio: Positive = 2.0  # most target tokens for each source token ...
    length_offset: Annotated[int, pydantic.Field(ge=0)] = 16  # ... and this many on top
    max_length: Count | None = None  # most target tokens, the end included, whatever the source
    min_length: Annotated[int, pydantic.Field(ge=0)] = 0  # fewest, the end not included
    beam_size: Count = 1  # hypotheses that are followed side by side; 1 is greedy
    n_best: Count = 1  # translations of each text
    length_penalty: float = 1.0  # exponent; 0 ranks by probability alone
    length_penalty_kind: Literal["plain", "gnmt"] = "plain"  # length, or (5 + length) / 6
    early_stopping: bool = True  # done once beam_size * patience hypotheses have ended
    patience: Positive = 1.0  # see early_stopping
    no_repeat_ngram: Annotated[int, pydantic.Field(ge=0)] = 0  # no n-gram twice; 0: as they come
    forbid_unknown: bool = False  # never give [UNK]
    sampling: bool = False  # draw each token by its probability
    temperature: Positive = 1.0  # logits are divided by it
    top_k: Count | None = None  # draw from the most probable tokens ...
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


@dataclass(frozen=True, config=STRICT)
class Config:
    """One run."""

    model: AnyModelConfig = dataclasses.field(default_factory=ModelConfig)
    tokenizer: TokenizerConfig = dataclasses.field(default_factory=TokenizerConfig)
    word_vectors: WordVectorsConfig = dataclasses.field(default_factory=WordVectorsConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    decoding: DecodingConfig = dataclasses.field(default_factory=DecodingConfig)

    def __post_init__(self):
        if self.training.select_by == "bleu" and not self.training.bleu_sentences:
            raise InputError(
                "training.select_by: bleu needs sentences to translate: set "
                "training.bleu_sentences above 0."
            )
        share_embeddings = getattr(self.model, "share_embeddings", False)
        if share_embeddings and not self.tokenizer.shared:
            raise InputError(
                "model.share_embeddings needs one vocabulary: set tokenizer.shared to true."
            )
        vectors = self.word_vectors
        if self.model.family in LANGUAGE_MODELS:
            self._check_language_model(vectors)
        if share_embeddings and vectors.source and vectors.target:
            raise InputError(
                "model.share_embeddings leaves room for one file of word vectors: give "
                "word_vectors.source or word_vectors.target."
            )
        if getattr(self.model, "token_vectors", "learned") != "learned" and (
            vectors.source or vectors.target
        ):
            raise InputError(
                "word_vectors are what learned token vectors start from: set model.token_vectors "
                "to learned."
            )

    def _check_language_model(self, vectors):
        if vectors.source or vectors.target:
            raise InputError(
                "word_vectors are what models that translate may start from, not "
                f"{self.model.family}: leave them out."
            )
        if not self.tokenizer.shared:
            raise InputError(
                f"model.family: {self.model.family} knows one language: set tokenizer.shared to "
                "true."
            )
        if self.training.select_by == "bleu":
            raise InputError(
                f"training.select_by: bleu is for models that translate, not {self.model.family}: "
                "set it to loss."
            )
        if self.training.max_tokens > self.model.max_length + 1:
            raise InputError(
                f"training.max_tokens ({self.training.max_tokens}) is more than the positions of "
                f"the model: lower it to {self.model.max_length + 1}, or raise model.max_length."
            )

    def replace(self, changes: dict[str, Any], origin="The configuration") -> "Config":
        """This configuration with some values changed.

        Another ``model.family`` begins from the defaults of that family.

        Args:
            changes: nested dictionary, such as ``{"model": {"num_layers": 2}}``.
            origin: where the changes come from, for the error.

        Raises:
            InputError: for a key or value that does not belong there.
        """
        values, model = self.to_dict(), changes.get("model")
        if isinstance(model, dict) and model.get("family", self.model.family) != self.model.family:
            values["model"] = {}
        return _validated(_merged(values, changes), origin)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


PRESETS: dict[str, Config] = {
    # The tutorial's: 4 layers of width 128, post-norm, the paper's schedule.
    "tutorial": Config(),
    # The tutorial's size for some ten thousand to a million pairs; how it was chosen is in
    # benchmarks/README.md.
    "small": Config(
        model=ModelConfig(norm_first=True, share_embeddings=True, tie_output=True),
        tokenizer=TokenizerConfig(shared=True),
        training=TrainingConfig(
            batch_tokens=2048,
            warmup_steps=500,
            learning_rate=0.005,
            schedule="linear",
            label_smoothing=0.1,
            dtype="auto",
        ),
    ),
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


# What becomes of the presets where the model is recurrent: about as many parameters.
_RECURRENT: dict[str, dict[str, Any]] = {
    "tutorial": {},
    "small": {
        "model": {"share_embeddings": True},
        "training": {"learning_rate": 0.002},
    },
    "base": {
        "model": {
            "units": 512,
            "num_layers": 4,
            "embedding_size": None,
            "skip_connections": True,
            "share_embeddings": True,
            "tie_output": True,
        },
    },
    "big": {
        "model": {
            "units": 1024,
            "num_layers": 4,
            "embedding_size": None,
            "skip_connections": True,
            "dropout_rate": 0.3,
            "share_embeddings": True,
            "tie_output": True,
        },
    },
    # Twice the steps of the Transformer's, and a lower rate for them.
    "quick": {
        "training": {"batch_tokens": 1024, "warmup_steps": 200, "learning_rate": 0.002},
    },
}
_GRADIENTS = {"training": {"clip_norm": 1.0}}  # through time they can explode


# What becomes of the presets where the model learns from the text of one language.
_LANGUAGE_MODEL: dict[str, dict[str, Any]] = {
    "tutorial": {},
    "small": {"training": {"learning_rate": 0.002, "label_smoothing": 0.0}},
    "base": {
        "model": {"num_layers": 12, "d_model": 768, "num_heads": 12, "dff": 3072},
        "training": {"label_smoothing": 0.0},
    },
    "big": {
        "model": {"num_layers": 24, "d_model": 1024, "num_heads": 16, "dff": 4096},
        "training": {"label_smoothing": 0.0},
    },
    "quick": {"training": {"label_smoothing": 0.0}},
}


def preset(name: str, family="transformer") -> Config:
    """A configuration by its name.

    Args:
        name: ``tutorial``, ``small``, ``base``, ``big`` or ``quick``.
        family: one of `model_config.FAMILIES`.

    Raises:
        InputError: for another name or family.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    if family == "transformer":
        return PRESETS[name]
    if family in LANGUAGE_MODELS:
        always = {"model": {"family": family}, "tokenizer": {"shared": True}}
        changes = _merged(_LANGUAGE_MODEL[name], always)
    else:
        changes = _merged(_RECURRENT[name], {"model": {"family": family}, **_GRADIENTS})
    return PRESETS[name].replace(changes, f"The preset {name}")


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
        path = list(first["loc"])
        if path[:1] == ["model"]:
            del path[1:2]  # the kind of the model, which stands in no file
        where = f"{'.'.join(map(str, path))}: " if path else ""
        problem = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise InputError(f"{origin}: {where}{problem}.") from error
