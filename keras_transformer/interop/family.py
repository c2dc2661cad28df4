"""What a family of checkpoints is: how its configuration reads, and where its tensors belong."""

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
"""Names of activations here by theirs."""

_OLD_NAMES = ((".gamma", ".weight"), (".beta", ".bias"))


@dataclass(frozen=True)
class Origin:
    """What saving needs to know of the checkpoint that a model came from.

    Args:
        architecture: the one that was made of it; that of the family for the model unless given.
        config: its ``config.json``.
        generation: its ``generation_config.json``; that of the family unless given.
        prefixed: whether the names of its body begin with the family's prefix; they do where
            there is a head unless given.
        dtypes: of its tensors, by their names.
        kept: tensors that no weight here holds, and that are written as they were.
    """

    architecture: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] | None = None
    prefixed: bool | None = None
    dtypes: Mapping[str, np.dtype] = field(default_factory=dict)
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)


class Config(dict):
    """The values of a ``config.json``, with errors that name what does not fit.

    Args:
        values: the values.
        where: the file, for errors.
    """

    def __init__(self, values, where):
        super().__init__(values)
        self.where = where

    def __missing__(self, name):
        raise InputError(f"{self.where}: lacks {name}: give the config.json of the checkpoint.")

    def refuse(self, name, reason):
        raise InputError(f"{self.where}: {name} {self.get(name)!r} is not supported: {reason}.")

    def require(self, **expected) -> None:
        """Refuses other values than these, where there are any."""
        for name, value in expected.items():
            if self.get(name) not in (None, value):
                self.refuse(name, f"only {value!r} is")

    def activation(self, name, default) -> str:
        """Our name of the activation of this key."""
        value = self.get(name, default)
        if value not in ACTIVATIONS:
            self.refuse(name, f"the activations are {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]


def activation_name(activation) -> str:
    """Their name of an activation of ours, the inverse of `Config.activation`.

    Raises:
        InputError: where they have none.
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
    """The classes of a head; two where the configuration does not say."""
    return len(config.get("id2label") or ()) or config.get("num_labels", 2)


def labels(count: int | None) -> dict[str, Any]:
    """What ``config.json`` says of so many classes without names."""
    names = [f"LABEL_{i}" for i in range(count or 0)]
    return (
        {
            "id2label": {str(i): name for i, name in enumerate(names)},
            "label2id": {name: i for i, name in enumerate(names)},
        }
        if names
        else {}
    )


class Family(abc.ABC):
    """One `model_type`.

    Attributes:
        model_type: its name in ``config.json``.
        prefix: what the names of the tensors of the body begin with where there is a head.
        heads: what the names of the tensors of heads begin with, beside the body.
        architectures: the names that `architectures` may have.
        body: that of them without a head, if there is one.
        redundant: pattern of tensors that follow from others; they are not written.
        kept: pattern of tensors that no weight here holds; they are written as they were.
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
        """A model of fresh weights.

        Args:
            config: the configuration.
            architecture: one of `architectures`.
            names: of the tensors of the checkpoint, as `our_name` gives them.
            arguments: of the model, in place of what the configuration says.
        """

    @abc.abstractmethod
    def holds(self, model) -> bool:
        """Whether a model is of this family."""

    @abc.abstractmethod
    def entries(self, model) -> list[Entry]:
        """The table of a model."""

    @abc.abstractmethod
    def config(self, model) -> dict[str, Any]:
        """What ``config.json`` says of a model, ``architectures`` with it.

        Raises:
            InputError: for a model that is no checkpoint of this family.
        """

    def tied(self, model) -> dict[str, str]:
        """Tensors that some checkpoints hold twice: names of the copies, and what they equal."""
        return {}

    def fresh_config(self, model) -> dict[str, Any]:
        """What ``config.json`` says besides of a model that came from no checkpoint."""
        return {}

    def generation(self, model) -> dict[str, Any]:
        """``generation_config.json`` of a model that came from no checkpoint; none if empty."""
        return {}

    def finished(self, model):
        """The model, once its weights have their values, with what follows from that."""
        return model

    def architecture(self, config: Config, wanted: str | None) -> str:
        """What to make: what is asked for, or what the configuration says.

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
        """How to load less, for an error."""
        return f"; architecture={self.body!r} loads the model without its head" if self.body else ""

    def our_name(self, name: str, prefixed: bool) -> str:
        """The name of a tensor with the prefix and without the names of old versions."""
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
