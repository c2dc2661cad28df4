"""TensorFlow Serving's JSON: requests to inputs, outputs to answers.

In row format ``instances`` holds one item for each text and the answer is ``predictions``; in
column format ``inputs`` holds whole tensors by name and the answer is ``outputs``. Where there is
one input or one output its name is left out. Source: TensorFlow Serving's RESTful API.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from google.protobuf import json_format
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from keras_transformer.files import parse_json
from keras_transformer.serving.failures import Failure, invalid
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.service import Inputs
from keras_transformer.serving.signatures import Outputs, Scalar, Signature, Tensor
from keras_transformer.serving.versions import Status
from keras_transformer.unicode import utf8

_BINARY_SUFFIX = "_bytes"  # outputs of such names are encoded
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # NumPy's, Python's JSON's
_TOGETHER = 4096  # numbers: so many are written in a few milliseconds
_PIECE = 2**14


def parse_body(body: bytes, holding: str = ' with "instances" or "inputs"') -> dict[str, Any]:
    """Parses the body of a request.

    Args:
        body: of the request.
        holding: what an error says that the object should hold.

    Raises:
        Failure: where it is no JSON object.
    """
    try:
        content = parse_json(body)
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise invalid(f"the body must be a JSON object{holding}.")
    return content


def signature_name(content: dict[str, Any]) -> str:
    """The signature that a request asks for, empty for the default one."""
    name = content.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid('"signature_name" must be a string.')
    return name


def read_inputs(
    content: dict[str, Any], signature: Signature, check_count: Callable[[int], object]
) -> tuple[Inputs, bool]:
    """Reads the inputs of a signature from the content of a request.

    Args:
        content: as parsed.
        signature: that the inputs are for.
        check_count: called with the number of texts before any of them is looked at.

    Returns:
        the inputs, and whether they came in row format.

    Raises:
        Failure: when they do not fit the signature, and what `check_count` raises.
    """
    if ("instances" in content) == ("inputs" in content):
        raise invalid('give either "instances" (row format) or "inputs" (column format).')
    if "instances" in content:
        texts = _texts_of_rows(content["instances"], signature, check_count)
        return Inputs(texts, {}), True
    return _inputs_of_columns(content["inputs"], signature, check_count), False


def _texts_of_rows(rows: Any, signature: Signature, check_count) -> list[bytes]:
    if signature.scalars:
        names = ", ".join(f'"{name}"' for name in signature.scalars)
        raise invalid(
            f'signature "{signature.name}" takes {names} once for all texts, which row format '
            f'cannot say: use column format, {{"inputs": {{"{signature.text}": [...], ...}}}}.'
        )
    if not isinstance(rows, list) or not rows:
        raise invalid('"instances" must be a list with at least one item.')
    check_count(len(rows))
    named = _is_object(rows[0])
    texts = []
    for number, row in enumerate(rows):
        if _is_object(row) != named:
            raise invalid(f"item {number} of instances: give either all items by name or none.")
        if named:
            if row.keys() != {signature.text}:
                raise invalid(
                    f'item {number} of instances: give one key, "{signature.text}", '
                    f"not {_listed(row)}."
                )
            row = row[signature.text]
        texts.append(_text(row, f"item {number} of instances"))
    return texts


def _inputs_of_columns(columns: Any, signature: Signature, check_count) -> Inputs:
    if not _is_object(columns):
        if signature.scalars:
            raise invalid(f'"inputs" must be an object with {_listed(signature.inputs)}.')
        columns = {signature.text: columns}
    if columns.keys() != signature.inputs.keys():
        raise invalid(
            f'"inputs" must have just {_listed(signature.inputs)}; these are {_listed(columns)}.'
        )
    texts = columns[signature.text]
    if not isinstance(texts, list):
        raise invalid(f'"{signature.text}" must be a list of strings.')
    check_count(len(texts))
    return Inputs(
        [_text(text, f'item {i} of "{signature.text}"') for i, text in enumerate(texts)],
        {name: _scalar(name, tensor, columns[name]) for name, tensor in signature.scalars.items()},
    )


def _scalar(name: str, tensor: Tensor, value: Any) -> Scalar:
    if tensor.dtype == "DT_STRING":
        value = _text(value, f'"{name}"')
    try:
        return tensor.scalar(value)
    except ValueError as error:
        raise invalid(f'"{name}" {error}.') from error


def _text(value: Any, where: str) -> bytes:
    if isinstance(value, str):
        return utf8(value)
    if _is_encoded(value):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(f'{where}: "b64" is not base64: {error}.') from error
    raise invalid(f'{where}: give a string or {{"b64": ...}}.')


def _is_encoded(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_encoded(value)


def _listed(names) -> str:
    return ", ".join(f'"{name}"' for name in names) or "none"


def write_outputs(outputs: Outputs, *, row_format: bool) -> Iterator[bytes]:
    """The body of an answer, in pieces each of which is written in a few milliseconds.

    Raises:
        Failure: in row format, when an output has not one row for each text.
    """
    if row_format:
        rows = {values.shape[:1] for values in outputs.values()}
        if len(rows) != 1 or () in rows:
            raise invalid(
                'the outputs have different numbers of rows: use column format, {"inputs": ...}.'
            )
    return _in_pieces(_written(outputs, row_format))


def _in_pieces(texts: Iterator[str]) -> Iterator[bytes]:
    """Joins short texts to pieces of `_PIECE` letters or more."""
    piece, size = [], 0
    for text in texts:
        piece.append(text)
        size += len(text)
        if size >= _PIECE:
            yield _utf8("".join(piece))
            piece, size = [], 0
    yield _utf8("".join(piece))


def _written(outputs: Outputs, row_format: bool) -> Iterator[str]:
    names = [f"{_json(name)}:" if len(outputs) > 1 else "" for name in outputs]
    if not row_format:
        yield '{"outputs":'
        yield from _object(names, list(map(_columns, outputs, outputs.values())))
    else:
        yield '{"predictions":['
        rows = zip(*map(_rows, outputs, outputs.values()), strict=True)
        for number, row in enumerate(rows):
            yield "," if number else ""
            yield from _object(names, row)
        yield "]"
    yield "}"


def _object(names: list[str], values: Sequence[Iterable[str]]) -> Iterator[str]:
    """An object with values by name, or the value alone where there is just one, without a name."""
    yield "{" if len(names) > 1 else ""
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        yield f",{name}" if number else name
        yield from value
    yield "}" if len(names) > 1 else ""


def _rows(name: str, values: np.ndarray) -> Iterator[Iterable[str]]:
    """The JSON of each row: those of few numbers together, which is quicker."""
    size = math.prod(values.shape[1:])
    if size > _TOGETHER:
        for row in values:
            yield _columns(name, row)
        return
    step = _TOGETHER // max(size, 1)
    for start in range(0, len(values), step):
        for row in _nested(_items(name, values[start : start + step]), 1):
            yield (row,)


def _columns(name: str, values: np.ndarray) -> Iterator[str]:
    """The JSON of a tensor, in texts of no more than `_TOGETHER` numbers where it has axes."""
    if values.ndim == 0 or values.size <= _TOGETHER:
        yield from _nested(_items(name, values), 0)
        return
    yield "["
    for number, row in enumerate(_rows(name, values)):
        yield "," if number else ""
        yield from row
    yield "]"


def _nested(items: np.ndarray, axes: int) -> list[str]:
    """Puts brackets around the items of all axes but the first few.

    Args:
        items: JSON of the items.
        axes: that are left as they are.

    Returns:
        what is left, flat.
    """
    texts = items.ravel().tolist()
    for axis in reversed(range(axes, items.ndim)):
        size, count = items.shape[axis], math.prod(items.shape[:axis])
        texts = ["[" + ",".join(texts[i * size : (i + 1) * size]) + "]" for i in range(count)]
    return texts


def _items(name: str, values: np.ndarray) -> np.ndarray:
    """The JSON of each item of a tensor, as an array of the same shape."""
    if values.dtype == np.float32:
        items = values.astype("U32")  # the shortest form: 0.1 and not 0.10000000149011612
        if not np.isfinite(values).all():
            items = items.astype(object)
            for shown, written in _NOT_FINITE.items():
                items[items == shown] = written
        return items
    if values.dtype != object:
        texts = list(map(_json, values.ravel().tolist()))
    elif name.endswith(_BINARY_SUFFIX):
        encoded = (base64.b64encode(text).decode("ascii") for text in values.ravel())
        texts = [f'{{"b64":"{text}"}}' for text in encoded]
    else:
        texts = [_json(text.decode("utf-8", errors="replace")) for text in values.ravel()]
    items = np.empty(len(texts), object)
    items[:] = texts
    return items.reshape(values.shape)


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _encode(content: Any) -> bytes:
    return _utf8(_json(content))


def _utf8(text: str) -> bytes:
    # Half a character, of which a request may hold an escape, stays one: \ud800.
    return text.encode("utf-8", "backslashreplace")


def error_body(failure: Failure) -> bytes:
    """The body of an answer that is an error."""
    return _encode({"error": failure.message})


def status_message(statuses: dict[int, Status]) -> get_model_status_pb2.GetModelStatusResponse:
    """The message of both interfaces for the states of versions."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, status in statuses.items():
        entry = response.model_version_status.add(version=version, state=status.state.value)
        if status.error:
            entry.status.error_code = error_codes_pb2.INTERNAL
        entry.status.error_message = status.error
    return response


def metadata_message(
    name: str, model: LoadedModel
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The message of both interfaces for the signatures of a version."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, definition in model.declared.signature_def.items():
        signatures.signature_def[key].CopyFrom(definition)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = name
    response.model_spec.version.value = model.version
    response.metadata["signature_def"].Pack(signatures)
    return response


def message_body(message) -> bytes:
    """A message in protobuf's JSON, with fields named as declared and none left out."""
    content = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    # TensorFlow Serving does not say what type of message the metadata are.
    for field in content.get("metadata", {}).values():
        del field["@type"]
    return _encode(content)
