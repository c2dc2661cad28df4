"""TensorFlow Serving's JSON: requests to inputs, outputs to answers.

In row format ``instances`` holds one item for each text and the answer is ``predictions``; in
column format ``inputs`` holds whole tensors by name and the answer is ``outputs``. Where there is
one input or one output its name is left out. Source: TensorFlow Serving's RESTful API.
"""

import base64
import binascii
import json
from typing import Any

import numpy as np
from google.protobuf import json_format
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from keras_transformer.serving.failures import Failure, invalid
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.service import Inputs
from keras_transformer.serving.signatures import Outputs, Signature, Tensor
from keras_transformer.serving.versions import Status
from keras_transformer.unicode import utf8

_BINARY_SUFFIX = "_bytes"  # outputs of such names are encoded


def parse_body(body: bytes) -> dict[str, Any]:
    """Parses the body of a request, or raises `Failure` where it is no JSON object."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise invalid('the body must be a JSON object with "instances" or "inputs".')
    return content


def signature_name(content: dict[str, Any]) -> str:
    """The signature that a request asks for, empty for the default one."""
    name = content.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid('"signature_name" must be a string.')
    return name


def read_inputs(content: dict[str, Any], signature: Signature) -> tuple[Inputs, bool]:
    """Reads the inputs of a signature from the content of a request.

    Returns:
        the inputs, and whether they came in row format.

    Raises:
        Failure: when they do not fit the signature.
    """
    if ("instances" in content) == ("inputs" in content):
        raise invalid('give either "instances" (row format) or "inputs" (column format).')
    if "instances" in content:
        return Inputs(_texts_of_rows(content["instances"], signature), {}), True
    return _inputs_of_columns(content["inputs"], signature), False


def _texts_of_rows(rows: Any, signature: Signature) -> list[bytes]:
    if signature.scalars:
        names = ", ".join(f'"{name}"' for name in signature.scalars)
        raise invalid(
            f'signature "{signature.name}" takes {names} once for all texts, which row format '
            f'cannot say: use column format, {{"inputs": {{"{signature.text}": [...], ...}}}}.'
        )
    if not isinstance(rows, list) or not rows:
        raise invalid('"instances" must be a list with at least one item.')
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


def _inputs_of_columns(columns: Any, signature: Signature) -> Inputs:
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
    return Inputs(
        [_text(text, f'item {i} of "{signature.text}"') for i, text in enumerate(texts)],
        {name: _scalar(name, tensor, columns[name]) for name, tensor in signature.scalars.items()},
    )


def _scalar(name: str, tensor: Tensor, value: Any) -> np.generic:
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


def write_outputs(outputs: Outputs, *, row_format: bool) -> bytes:
    """The body of an answer.

    Raises:
        Failure: in row format, when an output has not one row for each text.
    """
    columns = {name: _values(name, values) for name, values in outputs.items()}
    if not row_format:
        content = next(iter(columns.values())) if len(columns) == 1 else columns
        return _encode({"outputs": content})
    rows = {len(values) if isinstance(values, list) else None for values in columns.values()}
    if len(rows) != 1 or None in rows:
        raise invalid(
            'the outputs have different numbers of rows: use column format, {"inputs": ...}.'
        )
    if len(columns) == 1:
        return _encode({"predictions": next(iter(columns.values()))})
    names = list(columns)
    predictions = [
        dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ]
    return _encode({"predictions": predictions})


def _values(name: str, values: np.ndarray) -> Any:
    if values.dtype == object:
        if name.endswith(_BINARY_SUFFIX):
            return _mapped(values, lambda text: {"b64": base64.b64encode(text).decode("ascii")})
        return _mapped(values, lambda text: text.decode("utf-8", errors="replace"))
    if values.dtype == np.float32:
        # By way of its shortest decimal form: 0.1 and not 0.10000000149011612.
        return values.astype("U32").astype(np.float64).tolist()
    return values.tolist()


def _mapped(values: np.ndarray, function) -> Any:
    mapped = np.empty(values.shape, object)
    mapped.ravel()[:] = [function(value) for value in values.ravel()]
    return mapped.tolist()


def _encode(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


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
