"""Tables of which tensor of a checkpoint holds which weights of a model, and in what form.

A table is a list of entries. `load` reads it in one direction and `collect` in the other, so that
a checkpoint loaded and saved again is the same bit for bit.
"""

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_transformer.errors import InputError

Arrays = Sequence[np.ndarray]


class Form(abc.ABC):
    """Layout of the values of one tensor of a checkpoint in the weights of a model."""

    @abc.abstractmethod
    def ours(self, tensor: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> Iterable[np.ndarray]:
        """The arrays of the weights, which have these shapes."""

    @abc.abstractmethod
    def theirs(self, arrays: Arrays) -> np.ndarray:
        """The tensor of the checkpoint; the inverse of `ours`."""


@dataclass(frozen=True)
class Same(Form):
    """The same values in the same order.

    Args:
        shape: shape of the tensor, with -1 as in `reshape`; that of the weight unless given.
    """

    shape: tuple[int, ...] | None = None

    def ours(self, tensor, shapes):
        return [tensor.reshape(shapes[0])]

    def theirs(self, arrays):
        return arrays[0] if self.shape is None else arrays[0].reshape(self.shape)


@dataclass(frozen=True)
class Kernel(Form):
    """The matrix of a linear layer, ``(output, input)``; the weight's first axes are the input's.

    Args:
        inputs: number of the weight's axes of the input: 2 for heads and their width.
        transposed: the tensor is ``(input, output)`` too, as in GPT-2.
    """

    inputs: int = 1
    transposed: bool = False

    def ours(self, tensor, shapes):
        return [(tensor if self.transposed else tensor.T).reshape(shapes[0])]

    def theirs(self, arrays):
        shape = arrays[0].shape
        matrix = arrays[0].reshape(int(np.prod(shape[: self.inputs])), -1)
        return matrix if self.transposed else matrix.T


@dataclass(frozen=True)
class Convolution(Form):
    """The kernel of a convolution, ``(output, input, height, width)``; the weight's last axes are
    input and output."""

    size: tuple[int, int]

    def ours(self, tensor, shapes):
        return [tensor.transpose(2, 3, 1, 0).reshape(shapes[0])]

    def theirs(self, arrays):
        output = arrays[0].shape[-1]
        return arrays[0].reshape(*self.size, -1, output).transpose(3, 2, 0, 1)


@dataclass(frozen=True)
class Joined(Form):
    """Several weights concatenated in one tensor.

    Args:
        form: the form of each.
        axis: axis of the tensor along which they are concatenated.
    """

    form: Form
    axis: int = -1

    def ours(self, tensor, shapes):
        parts = np.split(tensor, len(shapes), axis=self.axis)
        return [self.form.ours(part, [shape])[0] for part, shape in zip(parts, shapes, strict=True)]

    def theirs(self, arrays):
        return np.concatenate([self.form.theirs([array]) for array in arrays], axis=self.axis)


@dataclass(frozen=True)
class Entry:
    """A tensor of a checkpoint and the weights that hold its values.

    Args:
        name: name of the tensor.
        paths: paths of the weights from the model, attributes and indices of lists between dots.
        form: layout of the values.
    """

    name: str
    paths: tuple[str, ...]
    form: Form = Same()

    def weights(self, model) -> list:
        return [_at(model, path) for path in self.paths]


def linear(names: Mapping[str, str], *, kernel: Form = Kernel(), bias: Form = Same((-1,))):
    """Entries of linear layers: weight and bias of each.

    Args:
        names: paths of the layers in the model, by their names in the checkpoint.
        kernel, bias: their forms.
    """
    for name, path in names.items():
        yield Entry(f"{name}.weight", (f"{path}.kernel",), kernel)
        yield Entry(f"{name}.bias", (f"{path}.bias",), bias)


def norms(names: Mapping[str, str]) -> Iterator[Entry]:
    """Entries of layer normalisations; the arguments are those of `linear`."""
    for name, path in names.items():
        yield Entry(f"{name}.weight", (f"{path}.gamma",))
        yield Entry(f"{name}.bias", (f"{path}.beta",))


def load(model, entries: Iterable[Entry], tensors: Mapping[str, np.ndarray], where) -> None:
    """Assigns the tensors of a checkpoint to the weights of a model.

    Args:
        model: the model.
        entries: its table.
        tensors: those of the checkpoint; the ones that the table does not name are left out.
        where: the checkpoint, for the error.

    Raises:
        InputError: for a tensor that is missing or has another shape.
    """
    entries = list(entries)
    missing = [entry.name for entry in entries if entry.name not in tensors]
    if missing:
        raise InputError(f"{where}: lacks {some(missing)}: give a whole checkpoint.")
    for entry in entries:
        weights, tensor = entry.weights(model), tensors[entry.name]
        shapes = [tuple(weight.shape) for weight in weights]
        expected = entry.form.theirs([np.broadcast_to(np.float32(0), s) for s in shapes]).shape
        if tensor.shape != expected:
            raise InputError(
                f"{where}: {entry.name} has the shape {tensor.shape}; config.json makes it "
                f"{expected}. Give the config.json that belongs to these weights."
            )
        values = entry.form.ours(np.asarray(tensor, np.float32), shapes)
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)


def collect(model, entries: Iterable[Entry]) -> dict[str, np.ndarray]:
    """The inverse of `load`: the tensors of a checkpoint by their names, float32."""
    return {
        entry.name: entry.form.theirs(
            [
                np.asarray(keras.ops.convert_to_numpy(weight), np.float32)
                for weight in entry.weights(model)
            ]
        )
        for entry in entries
    }


def some(names: Sequence[str], most=3) -> str:
    """The first of some names for an error, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _at(thing, path: str):
    for step in path.split("."):
        thing = thing[int(step)] if step.isdigit() else getattr(thing, step)
    return thing
