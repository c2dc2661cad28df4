"""The configuration of a run: frozen dataclasses that read and write JSON and YAML, and presets.

Every value is checked when it is made; a wrong one is a ``ValueError`` that names it, and an
`InputError` of one line where it comes from a file or an option.
"""

import dataclasses
import importlib.resources
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field
from pydantic.dataclasses import dataclass

from keras_transformer.config.decoding import DecodingConfig
from keras_transformer.config.model import (
    FAMILIES,
    LANGUAGE_MODELS,
    RECURRENT,
    STRICT,
    AnyModelConfig,
    Count,
    ModelConfig,
    Positive,
    Rate,
    Whole,
)
from keras_transformer.errors import InputError
from keras_transformer.files import parse_json

BleuTokenizer = Literal[
    "13a", "char", "flores101", "flores200", "intl", "ja-mecab", "ko-mecab", "none", "spm", "zh"
]
"""Tokenizers of BLEU by sacreBLEU's names of them."""


@dataclass(frozen=True, config=STRICT)
class TokenizerConfig:
    """How text becomes tokens."""

    kind: Literal["wordpiece", "sentencepiece"] = Field(
        "wordpiece", description="how pieces are learned and found"
    )
    vocab_size: Count = Field(8000, description="most tokens on each side")
    shared: bool = Field(False, description="learn one vocabulary from both sides")
    sample: Count = Field(
        500_000,
        description="most pairs to learn a vocabulary from, spread evenly over a larger corpus",
    )
    case: Literal["keep", "lower", "factored"] | None = Field(
        None,
        description="capitals: kept in pieces, dropped, or marks before the same pieces; null: "
        "marks where a model translates text of natural style",
    )
    placeholders: Annotated[int, Field(ge=0, le=64)] | None = Field(
        None,
        description="ids for what a sentence has that comes back as it is: addresses, "
        "placeholders, long numbers, code; null: 16 where a model translates",
    )


@dataclass(frozen=True, config=STRICT)
class WordVectorsConfig:
    """Files of word vectors that token vectors start from: of word2vec, fastText or GloVe."""

    source: str | None = Field(
        None, description="file of word vectors that those of the source begin as"
    )
    target: str | None = Field(
        None, description="file of word vectors that those of the target begin as"
    )
    limit: Count | None = Field(None, description="most words to read of a file")
    freeze: Literal["none", "found", "all"] = Field(
        "none", description="token vectors that stay as they are: none, those in the files, or all"
    )


@dataclass(frozen=True, config=STRICT)
class TrainingConfig:
    """How the model is trained. Training stops at the first limit it reaches."""

    epochs: Count | None = Field(20, description="stop after this many times through the corpus")
    max_steps: Count | None = Field(
        None, description="stop after this many steps, each an update of the weights"
    )
    max_minutes: Positive | None = Field(
        None, description="stop after this many minutes of training and validation"
    )
    batch_tokens: Count = Field(
        4096, description="most padded tokens of the longer side in one batch"
    )
    accumulate: Count = Field(1, description="batches whose gradients make one step")
    max_tokens: Annotated[int, Field(ge=8)] = Field(
        128, description="pairs with a side of more tokens are left out, and counted"
    )
    schedule: Literal["inverse_sqrt", "linear"] = Field(
        "inverse_sqrt", description="learning rate after the warm-up; linear: to 0 at the limit"
    )
    warmup_steps: Count = Field(4000, description="step with the highest learning rate")
    learning_rate: Positive | None = Field(
        None, description="highest learning rate; null: the paper's for width and warm-up"
    )
    learning_rate_scale: Positive = Field(1.0, description="factor on the learning rate")
    optimizer: Literal["adam", "muon", "adafactor"] = Field(
        "adam",
        description="muon: Muon for the kernels of hidden layers, Adam for all other weights; "
        "adafactor: Keras' Adafactor, whose steps are in proportion to the weights",
    )
    beta_2: Rate = Field(0.98, description="of Adam; beta_1 is 0.9")
    weight_decay: Rate = Field(
        0.0,
        description="share of the weights, times the learning rate, taken off them in each step "
        "(AdamW), but not off biases and gains",
    )
    clip_norm: Positive | None = Field(
        None, description="largest norm of the gradient; null: it is not clipped"
    )
    label_smoothing: Rate = Field(0.0, description="share of probability given to all tokens alike")
    r_drop: Annotated[float, Field(ge=0, le=100)] = Field(
        0.0,
        description="weight of R-Drop, which passes each batch twice and draws the distributions "
        "that dropout sets apart to each other; 5 in its paper, 0: none",
    )
    average_decay: Rate | None = Field(
        None, description="decay of a moving average of the weights, which is then used; null: none"
    )
    average_from: Count | None = Field(
        None,
        description="step from which on the weights are averaged uniformly, after every step "
        "(stochastic weight averaging), which are then used; null: none",
    )
    patience: Count | None = Field(
        None, description="stop after this many epochs without a better score"
    )
    select_by: Literal["loss", "bleu"] = Field(
        "loss", description="the validation score that chooses weights"
    )
    bleu_sentences: Whole = Field(
        200, description="validation sentences that are translated after each epoch"
    )
    bleu_tokenize: BleuTokenizer | None = Field(
        None, description="sacreBLEU's tokenizer for that BLEU; null: that of the target language"
    )
    window: Annotated[int, Field(ge=1024)] = Field(
        2**19,
        description="most pairs to hold in memory and to shuffle together; larger corpora stay on "
        "the disk and are read in windows of so many",
    )
    checkpoint_minutes: Positive = Field(
        5.0, description="most minutes between checkpoints, whose work an interruption repeats"
    )
    keep_checkpoints: Annotated[int, Field(ge=2)] = Field(
        2, description="newest checkpoints that are kept, such as those to be averaged"
    )
    shared_words: Rate = Field(
        0.1,
        description="share of the pairs in which a word of both sides becomes a placeholder, so "
        "that a model learns to copy those from any corpus",
    )
    noise: Rate = Field(
        0.0,
        description="share of the pairs that are learned as careless people write: in capitals, "
        "as titles, without capitals, accents or a stop, mistyped",
    )
    subword_dropout: Rate = Field(
        0.0,
        description="probability that a piece of a training word is passed over for shorter ones, "
        "drawn anew in each epoch (subword regularisation); 0: never, usually 0.1",
    )
    guided_alignment: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0,
        description="weight of the loss that teaches a head of cross-attention which source words "
        "a target word stands for; 0: none",
    )
    alignments: str | None = Field(
        None,
        description="file of the word alignments of the training pairs, in Pharaoh's format; null: "
        "eflomal makes them where guided_alignment or terms is above 0",
    )
    alignment_layer: Count | None = Field(
        None,
        description="decoder layer, from 1, whose first head learns alignments; null: the last but "
        "one",
    )
    terms: Rate = Field(
        0.0,
        description="share of the pairs whose source has the translations of some words beside "
        "them, so that a model learns to follow a glossary; which, alignments tell",
    )
    dtype: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32",
        description="auto: mixed_bfloat16 where the device has instructions for it, else float32",
    )
    jit_compile: bool | None = Field(
        None, description="compile the step with XLA; null: for a Transformer on a GPU only"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="seed of initial weights, dropout and the order of batches"
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
        if self.decoding.keep and self.tokenizer.placeholders == 0:
            raise InputError(
                "decoding.keep needs placeholders for what it finds: set tokenizer.placeholders "
                "above 0, or leave keep out."
            )
        if self.training.average_decay is not None and self.training.average_from is not None:
            raise InputError(
                "training.average_decay and training.average_from are two averages of the weights: "
                "set one of them to null."
            )
        self._check_alignments()
        if self.training.r_drop and not self.model.dropout_rate:
            raise InputError(
                "training.r_drop compares what dropout sets apart: set model.dropout_rate above 0, "
                "or r_drop to 0."
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
        if self.training.terms:
            raise InputError(
                f"training.terms is for models that translate, not {self.model.family}: set it to "
                "0."
            )
        if self.training.r_drop:
            raise InputError(
                f"training.r_drop is for models that translate, not {self.model.family}: set it to "
                "0."
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

    def _check_alignments(self):
        recipe = self.training
        if recipe.terms and self.tokenizer.placeholders == 0:
            raise InputError(
                "training.terms needs placeholders, which keep text that has the signs of terms: "
                "set tokenizer.placeholders above 0, or terms to 0."
            )
        if recipe.alignments is not None and not (recipe.guided_alignment or recipe.terms):
            raise InputError(
                "training.alignments is for a head that learns alignments, or for terms: set "
                "training.guided_alignment above 0, such as 0.1, or training.terms."
            )
        if not recipe.guided_alignment:
            if recipe.alignment_layer is not None:
                raise InputError(
                    "training.alignment_layer is for a head that learns alignments: set "
                    "training.guided_alignment above 0, such as 0.1."
                )
        elif self.model.family != "transformer":
            raise InputError(
                "training.guided_alignment is for the Transformer that translates, not "
                f"{self.model.family}: set it to 0."
            )
        elif (recipe.alignment_layer or 1) > self.model.decoder_layers:
            raise InputError(
                f"training.alignment_layer ({recipe.alignment_layer}) is above the number of "
                f"layers of the decoder ({self.model.decoder_layers}): lower it."
            )

    @property
    def guided_head(self) -> tuple[int, int]:
        """Numbers of the decoder layer and of the head, from 1, that learn alignments if any do."""
        return self.training.alignment_layer or max(1, self.model.decoder_layers - 1), 1

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


PRESETS = ("tutorial", "small", "fast", "base", "big", "quick")
"""Names of presets, each a file in ``presets/``.

A file has the sections of a `Config` for all models, and then what differs for a kind of model.
"""

_ALWAYS: dict[str, dict[str, Any]] = {
    "transformer": {},
    # Gradients through time can explode.
    "recurrent": {"training": {"clip_norm": 1.0}},
    "language_model": {"tokenizer": {"shared": True}},
}
"""For each kind of model what all presets have."""


def preset(name: str, family="transformer") -> Config:
    """Returns the configuration of a preset.

    Args:
        name: one of `PRESETS`.
        family: one of `FAMILIES`.

    Raises:
        InputError: for another name or family.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    if family in LANGUAGE_MODELS:
        kind = "language_model"
    else:
        kind = "recurrent" if family in RECURRENT else "transformer"
    file = importlib.resources.files(__package__) / "presets" / f"{name}.yaml"
    changes = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    of_kinds = {other: changes.pop(other, {}) for other in _ALWAYS}
    for more in ({"model": {"family": family}}, _ALWAYS[kind], of_kinds[kind]):
        changes = _merged(changes, more)
    return Config().replace(changes, f"The preset {name}")


def preset_of_run(
    dataset: str | tuple[str, ...], changes: dict[str, Any], name: str | None = None
) -> Config:
    """Returns the preset that a new run begins with.

    Args:
        dataset: name of the corpus, or of several.
        changes: what will be changed in it, whose ``model.family`` chooses the kind of model.
        name: one of `PRESETS`; ``quick`` for the corpus `sample` and ``small`` for others unless
            given.

    Raises:
        InputError: for an unknown name.
    """
    name = name or ("quick" if dataset == "sample" else "small")
    return preset(name, family_of(changes) or "transformer")


def family_of(changes: dict[str, Any]) -> str | None:
    """The family of models that changes ask for, if they ask for one that there is."""
    model = changes.get("model")
    family = model.get("family") if isinstance(model, dict) else None
    return family if family in FAMILIES else None  # `Config.replace` refuses others


def change_decoding(decoding: DecodingConfig, options: dict[str, Any]) -> DecodingConfig:
    """A configuration of decoding with the options of one call.

    Raises:
        InputError: for an unknown option or a wrong value.
    """
    changed = Config(decoding=decoding).replace({"decoding": options}, "The options of the search")
    return changed.decoding


def load_changes(path) -> dict[str, Any]:
    """Reads a YAML or JSON file of values to change, for `Config.replace`."""
    try:
        changes = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except Exception as error:  # the reader has many kinds: dates, numbers and depths that are none
        problem = " ".join(str(error).split())
        raise InputError(f"{path}: is neither YAML nor JSON ({problem}).") from error
    if not isinstance(changes, dict | None):
        raise InputError(f"{path}: holds no sections; expected model:, training: and the like.")
    return changes or {}


def is_run(folder) -> bool:
    """Whether a folder is a run folder; a model of CTranslate2 has a ``config.json``, too."""
    folder = Path(folder)
    return (folder / "config.json").is_file() and not (folder / "model.bin").is_file()


def config_from_json(path) -> Config:
    """Reads the ``config`` of a run's ``config.json``."""
    try:
        values = parse_json(Path(path).read_bytes())["config"]
        # Runs of version 0.1 do not say: they translate a text as it is.
        values["decoding"] = {"sentences": False} | values["decoding"]
        return _validated(values, path)
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
