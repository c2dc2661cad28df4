"""Base class of the families of checkpoints, such as BERT's, and reading ``config.json``."""

import abc
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras
import numpy as np

from keras_transformer.errors import InputError
from keras_transformer.interop.mapping import Entry
from keras_transformer.layers.activations import get_activation

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""Names of activations in this package, by those in ``config.json``."""

_JSON_NAMES = {str: "string", list: "list", dict: "JSON object"}

_OLD_NAMES = ((".gamma", ".weight"), (".beta", ".bias"))


@dataclass(frozen=True)
class Origin:
    """The checkpoint that a model was loaded from, as far as saving needs it.

    Args:
        architecture: name of the architecture that was loaded; ``None`` for what the family names.
        config: its ``config.json``.
        generation: its ``generation_config.json``; ``None`` for what the family writes.
        prefixed: whether names of tensors of the body begin with the family's prefix; ``None``
            means that they do where there is a head.
        dtypes: types of its tensors, by their names.
        kept: tensors that no weight of the model holds, and that are written as they were.
    """

    architecture: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] | None = None
    prefixed: bool | None = None
    dtypes: Mapping[str, np.dtype] = field(default_factory=dict)
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)


_SIZES = {
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "max_position_embeddings", "type_vocab_size", "num_channels"),
    *("n_layer", "n_embd", "n_head", "n_positions", "num_labels", "d_model"),
    *("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"),
    *("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"),
}
_RATES = {
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"),
    *("embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_eps", "layer_norm_epsilon"),
}
_OPTIONAL = {
    **dict.fromkeys(("n_inner", "embedding_size"), "size"),
    **dict.fromkeys(("classifier_dropout", "classifier_dropout_prob"), "rate"),
}
_KINDS = dict.fromkeys(_SIZES, "size") | dict.fromkeys(_RATES, "rate") | _OPTIONAL
"""What the numbers in a ``config.json`` count or measure, by their keys."""


class Config(dict):
    """The values of a ``config.json``; its errors name `where`, the file, and the key."""

    def __init__(self, values, where):
        super().__init__(values)
        self.where = where
        for name in _KINDS.keys() & values.keys():
            value, kind = values[name], _KINDS[name]
            if value is None and name in _OPTIONAL:
                continue
            if kind == "size" and not (type(value) is int and 0 < value < 2**31):
                self.refuse(name, "it is a whole number above 0")
            if kind == "rate" and not (type(value) in (int, float) and 0 <= value < 1):
                self.refuse(name, "it is a number from 0 to below 1")
        for name, kind in (("model_type", str), ("architectures", list), ("id2label", dict)):
            if not isinstance(values.get(name), kind | None):
                self.refuse(name, f"it is a {_JSON_NAMES[kind]}")

    def __missing__(self, name):
        raise InputError(f"{self.where}: lacks {name}: give the config.json of the checkpoint.")

    def refuse(self, name, reason):
        raise InputError(f"{self.where}: {name} {self.get(name)!r:.60} is not supported: {reason}.")

    def require(self, **expected) -> None:
        """Raises `InputError` where one of these keys is there with another value."""
        for name, value in expected.items():
            if self.get(name) not in (None, value):
                self.refuse(name, f"only {value!r} is")

    def activation(self, name, default) -> str:
        """The package's name of the activation that this key names."""
        value = self.get(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            self.refuse(name, f"the activations are {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]


def activation_name(activation) -> str:
    """The name of an activation in ``config.json``, the inverse of `Config.activation`.

    Raises:
        InputError: where it has none.
    """
    for theirs, ours in ACTIVATIONS.items():
        if get_activation(ours) is activation:
            return theirs
    raise InputError(
        f"the activation {keras.activations.serialize(activation)!r} has no name in a "
        f"checkpoint: the activations are {', '.join(ACTIVATIONS)}."
    )


def refuse_unless(fits: bool, kind: str, what: str) -> None:
    """Raises `InputError` for a model that has no form as a checkpoint of a kind."""
    if not fits:
        raise InputError(f"a {kind} checkpoint has {what}; this model is made otherwise.")


def number_of_labels(config: Config) -> int:
    """Number of classes of a head; two where the configuration does not say."""
    return len(config.get("id2label") or ()) or config.get("num_labels", 2)


def labels(count: int | None) -> dict[str, Any]:
    """Entries of ``config.json`` for so many classes without names; none without classes."""
    if not count:
        return {}
    names = [f"LABEL_{i}" for i in range(count)]
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


class Family(abc.ABC):
    """A family of checkpoints: how its configuration makes a model, and where its tensors belong.

    Attributes:
        model_type: name of the family in ``config.json``.
        prefix: beginning of the names of the body's tensors where there is a head.
        heads: beginnings of the names of the heads' tensors.
        architectures: the supported names in `architectures` of ``config.json``.
        body: the one of them without a head, if any.
        redundant: pattern of the names of tensors that follow from others; they are not written.
        kept: pattern of the names of tensors that no weight of the model holds; they are written
            as they were.
    """

    model_type: ClassVar[str]
    prefix: ClassVar[str]
    heads: ClassVar[tuple[str, ...]] = ()
    architectures: ClassVar[tuple[str, ...]]
    body: ClassVar[str | None]
    redundant: ClassVar[str] = r"$^"
    kept: ClassVar[str] = r"$^"

    @abc.abstractmethod
    def make(self, config: Config, architecture: str, names: set[str], arguments: dict):
        """Makes a model with new weights.

        Args:
            config: the configuration.
            architecture: one of `architectures`.
            names: names of the tensors of the checkpoint, as `our_name` gives them.
            arguments: of the model, in place of what the configuration says.
        """

    @abc.abstractmethod
    def holds(self, model) -> bool:
        """Whether a model is of this family."""

    @abc.abstractmethod
    def entries(self, model) -> list[Entry]:
        """The table of a model's weights, for `mapping.load` and `mapping.collect`."""

    @abc.abstractmethod
    def config(self, model) -> dict[str, Any]:
        """Makes the ``config.json`` of a model, ``architectures`` included.

        Raises:
            InputError: for a model that is no checkpoint of this family.
        """

    def tied(self, model) -> dict[str, str]:
        """Names of the copies of tensors that some checkpoints hold twice, with what they copy."""
        return {}

    def fresh_config(self, model) -> dict[str, Any]:
        """Further entries of ``config.json`` for a model that was not loaded from a checkpoint."""
        return {}

    def generation(self, model) -> dict[str, Any]:
        """``generation_config.json`` of a model not loaded from a checkpoint; empty for no file."""
        return {}

    def finished(self, model):
        """Completes a model whose weights have been loaded."""
        return model

    def architecture(self, config: Config, wanted: str | None) -> str:
        """The architecture to make: the one wanted, or the first that the configuration names.

        Raises:
            InputError: for an architecture that is not supported.
        """
        named = config.get("architectures") or [self.body or self.architectures[0]]
        found = wanted or named[0]
        if found not in self.architectures:
            raise InputError(
                f"{config.where}: the architecture {found!r} is not supported: those of "
                f"{self.model_type} are {', '.join(self.architectures)}{self.without_head()}."
            )
        return found

    def without_head(self) -> str:
        """End of an error that says how to load the model without its head."""
        return f"; architecture={self.body!r} loads the model without its head" if self.body else ""

    def our_name(self, name: str, prefixed: bool) -> str:
        """The name of a tensor with the prefix and in its newest form."""
        for old, new in _OLD_NAMES:
            if name.endswith(old):
                name = name.removesuffix(old) + new
        if prefixed or name.startswith(self.heads or ("\n",)):
            return name
        return self.prefix + name

    def their_name(self, name: str, prefixed: bool) -> str:
        """The inverse of `our_name`."""
        return name if prefixed else name.removeprefix(self.prefix)

    def is_redundant(self, name: str) -> bool:
        return re.fullmatch(self.redundant, name) is not None

    def is_kept(self, name: str) -> bool:
        return re.fullmatch(self.kept, name) is not None
