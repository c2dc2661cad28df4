"""Inputs and outputs of an exported model, and dividing the outputs of a batch among requests.

The server translates texts of several requests together, which no answer shows: for each output
this module knows which axes are padded to the longest row of the batch, and cuts or pads the rows
of a request to what the request alone would have given.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of

_NUMBERS = {
    "DT_BOOL": np.bool_,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
}

_LETTERS = {np.bool_: 6, np.int32: 12, np.int64: 21, np.float32: 16, np.float64: 25}
"""Most bytes of one number in JSON, its comma included."""

_LETTERS_OF_STRING = 3  # besides its own: quotation marks and a comma
_LETTERS_OF_OTHERS = 25
_BYTES_OF_TOKEN = 40  # in memory

Scalar = np.generic | bytes
"""A number, or a text in UTF-8."""

Outputs = dict[str, np.ndarray]
"""Tensors by name; strings as arrays of `bytes` objects."""

# For each axis after the batch: the output of tokens that it goes along with, and how much longer
# it is than these; or None where rows of equal parameters have equal sizes.
_AXES: dict[str, tuple[tuple[str, int] | None, ...]] = {
    "source_tokens": (("source_tokens", 0),),
    "target_tokens": (("target_tokens", 0),),
    "attention": (None, ("target_tokens", -1), ("source_tokens", 0)),
    "alignment": (("target_tokens", 0),),
    "alignment_weights": (("target_tokens", 0),),
    "tokens": (("tokens", 0),),
    "ids": (("tokens", 0),),
    "source_sentences": (("source_sentences", 0),),
    "target_sentences": (("source_sentences", 0),),
    "gaps": (("source_sentences", 0),),
    "source_sentence_tokens": (("source_sentences", 0),),
    "target_sentence_tokens": (("source_sentences", 0),),
    "translations": (None,),
    "scores": (None,),
    "normalized_scores": (None,),
}


@dataclass(frozen=True)
class Tensor:
    """Type and shape of an input or output.

    Attributes:
        dtype: TensorFlow's name of the type, such as ``DT_STRING``.
        shape: sizes, ``None`` where any will do; ``None`` for any rank.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def scalar(self, value) -> Scalar:
        """Converts a number or a text to the type of this input.

        Raises:
            ValueError: when it takes none, or none like this one.
        """
        if self.dtype == "DT_STRING":
            if not isinstance(value, str | bytes):
                raise ValueError(f"takes one text, not {value!r:.60}")
            return value.encode("utf-8", "replace") if isinstance(value, str) else value
        numpy_type = _NUMBERS.get(self.dtype)
        if numpy_type is None:
            raise ValueError(f"takes no number but {self.dtype}")
        truth = isinstance(value, bool | np.bool_)
        whole = truth or isinstance(value, int | np.integer)
        fits = truth if numpy_type is np.bool_ else not truth
        if np.issubdtype(numpy_type, np.integer):
            limits = np.iinfo(numpy_type)
            fits = fits and whole and limits.min <= value <= limits.max
        if not fits or not (whole or isinstance(value, float | np.floating)):
            raise ValueError(f"takes one {numpy_type.__name__}, not {value!r:.60}")
        try:
            with np.errstate(over="ignore"):  # it becomes infinite, which is refused elsewhere
                return numpy_type(value)
        except OverflowError:
            raise ValueError(f"takes one {numpy_type.__name__}, and this is too large") from None


@dataclass(frozen=True)
class Signature:
    """A function of an exported model.

    Attributes:
        name: such as ``serving_default``.
        inputs: tensors by name.
        outputs: tensors by name.
    """

    name: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    @cached_property
    def text(self) -> str | None:
        """The input that takes the texts; ``None`` unless it and scalars are all there are."""
        vectors = [name for name, tensor in self.inputs.items() if tensor.shape != ()]
        if len(vectors) != 1:
            return None
        tensor = self.inputs[vectors[0]]
        fits = tensor.dtype == "DT_STRING" and tensor.shape in ((None,), None)
        return vectors[0] if fits else None

    @cached_property
    def scalars(self) -> dict[str, Tensor]:
        """The inputs that are parameters of the whole batch."""
        return {name: tensor for name, tensor in self.inputs.items() if tensor.shape == ()}

    @cached_property
    def mergeable(self) -> bool:
        """Whether texts of several requests can share a batch without showing in the answers."""
        return all(_separable(name, tensor) for name, tensor in self.outputs.items())


@dataclass
class Part:
    """Rows of a batch that belong to one request.

    Attributes:
        positions: of the rows in their request.
        outputs: just these rows, as wide as the batch had them.
    """

    positions: Sequence[int]
    outputs: Outputs

    @cached_property
    def widths(self) -> dict[str, int]:
        """The longest row of each output of tokens."""
        return {
            name: int(_row_lengths(self.outputs[name]).max(initial=0))
            for name in self.outputs.keys() & _TOKENS
        }

    @cached_property
    def string_bytes(self) -> int:
        """The bytes of all strings."""
        strings = [values for values in self.outputs.values() if values.dtype == object]
        return sum(sum(map(len, values.ravel())) for values in strings)

    @property
    def bytes(self) -> int:
        """The bytes of these outputs, counted as by `joined_bytes`."""
        sizes = [values.size * _letters(values.dtype) for values in self.outputs.values()]
        return sum(sizes) + self.string_bytes


def read_signatures(folder: Path) -> tuple[meta_graph_pb2.MetaGraphDef, dict[str, Signature]]:
    """Reads what a SavedModel declares, without loading it.

    Returns:
        the graph for serving, without its nodes, and the signatures by name.

    Raises:
        InputError: when there is no readable SavedModel for serving.
    """
    path = folder / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(path.read_bytes())
    except Exception as error:  # OSError, or the decoder's own
        raise InputError(f"{path}: cannot be read ({reason_of(error)}): export again.") from error
    graphs = [graph for graph in saved_model.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not graphs:
        raise InputError(f'{path}: holds no graph tagged "serve": export again.')
    declared = meta_graph_pb2.MetaGraphDef()
    for name, definition in graphs[0].signature_def.items():
        declared.signature_def[name].CopyFrom(definition)
    signatures = {
        name: Signature(
            name,
            {key: _tensor(info) for key, info in sorted(definition.inputs.items())},
            {key: _tensor(info) for key, info in sorted(definition.outputs.items())},
        )
        for name, definition in declared.signature_def.items()
    }
    return declared, signatures


def bytes_in_memory(outputs: Outputs) -> int:
    """About how much memory outputs take; of strings, as if they were tokens, without looking."""
    return sum(
        values.nbytes + _BYTES_OF_TOKEN * values.size * values.dtype.hasobject
        for values in outputs.values()
    )


def joined_bytes(parts: Sequence[Part], rows: int) -> int:
    """Bytes that the outputs of a request have at least once all its parts are joined.

    They are counted as JSON with the longest numbers of each type, and without escapes. What is
    missing is counted as wide as the widest row so far, since it will be padded to it.

    Args:
        parts: those that are there, one or more.
        rows: of the request.
    """
    widths = _widths(parts)
    total = sum(part.string_bytes for part in parts)
    for name, first in parts[0].outputs.items():
        total += math.prod(_joined_shape(name, first, rows, widths)) * _letters(first.dtype)
    return total


def row_bytes(
    signature: Signature, *, longest_source: int | None, beam_size: int = 1
) -> Callable[[int], int]:
    """How much an answer can grow with a text.

    Targets are taken to be as long as exports let them be: twice the source and a little more.
    Axes of which nothing is known count nothing.

    Args:
        signature: what answers.
        longest_source: most tokens of a text that is translated as one piece, if it is known.
        beam_size: the hypotheses of each text.

    Returns:
        a function from the bytes of a text to those of its row in the outputs, without the content
        of strings.
    """

    def of_text(length: int) -> int:
        tokens = length + 2
        source = min(tokens, longest_source or tokens)
        sizes = {"tokens": tokens, "source_tokens": source, "target_tokens": 2 * source + 16}
        sizes["source_sentences"] = length // 2 + 1
        total = 0
        for name, tensor in signature.outputs.items():
            if tensor.shape is None or not tensor.shape:
                continue
            axes = _axes_of(name, len(tensor.shape))
            cells = 1
            for size, axis in zip(tensor.shape[1:], axes, strict=True):
                cells *= size or (beam_size if axis is None else sizes[axis[0]] + axis[1])
            total += cells * _letters(np.dtype(_NUMBERS.get(tensor.dtype, object)))
        return total

    return of_text


def narrowed(outputs: Outputs) -> Outputs:
    """Rows of a batch without the padding that only rows of others needed."""
    widths = _widths([Part((), outputs)])
    narrow = {}
    for name, values in outputs.items():
        shape = _joined_shape(name, values, len(values), widths)
        cut = values[tuple(map(slice, shape))]
        narrow[name] = values if cut.shape == values.shape else cut.copy()
    return narrow


def join_parts(parts: Sequence[Part], rows: int) -> Outputs:
    """Puts the rows of a request together, padded no further than its own longest row.

    Args:
        parts: which have every position of the request once.
        rows: of the request.
    """
    widths = _widths(parts)
    joined = {}
    for name, first in parts[0].outputs.items():
        shape = _joined_shape(name, first, rows, widths)
        whole = np.zeros(shape, first.dtype)
        if first.dtype == object:
            whole.fill(b"")
        for part in parts:
            values = part.outputs[name][(slice(None), *map(slice, shape[1:]))]
            whole[(np.asarray(part.positions, int), *map(slice, values.shape[1:]))] = values
        joined[name] = whole
    return joined


def _widths(parts: Sequence[Part]) -> dict[str, int]:
    """The longest row of each output of tokens."""
    widths: dict[str, int] = {}
    for part in parts:
        for name, width in part.widths.items():
            widths[name] = max(widths.get(name, 0), width)
    return widths


def _joined_shape(name: str, values: np.ndarray, rows: int, widths: dict[str, int]) -> list[int]:
    shape = [rows]
    for axis, size in zip(_axes_of(name, values.ndim), values.shape[1:], strict=True):
        tokens, longer = axis or (None, 0)
        shape.append(max(widths[tokens] + longer, 0) if tokens in widths else size)
    return shape


def _letters(dtype: np.dtype) -> int:
    if dtype.hasobject:
        return _LETTERS_OF_STRING
    return _LETTERS.get(dtype.type, _LETTERS_OF_OTHERS)


_TOKENS = {axis[0] for axes in _AXES.values() for axis in axes if axis is not None}


def _axes_of(name: str, rank: int) -> tuple[tuple[str, int] | None, ...]:
    axes = _AXES.get(name, ())
    return axes if len(axes) == rank - 1 else (None,) * (rank - 1)


def _row_lengths(tokens: np.ndarray) -> np.ndarray:
    """How long the rows ``(batch, length)`` are without the empty strings at their ends."""
    present = tokens != b""
    return np.where(present, np.arange(1, tokens.shape[1] + 1), 0).max(axis=1, initial=0)


def _separable(name: str, tensor: Tensor) -> bool:
    if tensor.shape is None or not tensor.shape or tensor.shape[0] is not None:
        return False
    if len(_AXES.get(name, ())) == len(tensor.shape) - 1:
        return True
    return None not in tensor.shape[1:]


def _tensor(info: meta_graph_pb2.TensorInfo) -> Tensor:
    shape = None
    if not info.tensor_shape.unknown_rank:
        shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return Tensor(types_pb2.DataType.Name(info.dtype), shape)
