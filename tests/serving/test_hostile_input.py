"""Whatever a client sends, it gets a result or one clear error, never a fault of the server."""

import json
import shutil

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2
from tiny_server import running_server

BEAM = {"beam_size": 2, "length_penalty": 1.0, "max_length": 0}
HALF = "\ud800"


def beam(**changes):
    return {"signature_name": "translate_beam", "inputs": {"text": ["a"], **BEAM, **changes}}


@pytest.mark.parametrize(
    "content",
    [
        {"signature_name": HALF, "instances": ["a"]},
        {"signature_name": "x" * 15_000, "instances": ["a"]},
        {"signature_name": "\x1b[2J\u202e", "instances": ["a"]},
        {"instances": [{HALF: "a"}]},
        {"instances": [{"text": {"b64": HALF}}]},
        {"instances": [{"text": {HALF: "YQ=="}}]},
        {"inputs": {HALF: ["a"]}},
        {"inputs": {"text": ["a"], HALF: 1}},
        {"inputs": [HALF * 300]},
        beam(beam_size=10**400),
        beam(beam_size=-(10**400)),
        beam(beam_size=1e300),
        beam(beam_size=HALF),
        beam(beam_size={}),
        beam(length_penalty=10**400),
        beam(length_penalty=-(10**400)),
        beam(length_penalty=1e39),
        beam(length_penalty=float("inf")),
        beam(length_penalty=float("nan")),
        beam(max_length=2**31),
        beam(max_length=10**4000),
    ],
    ids=lambda content: ascii(content)[:60],
)
def test_what_is_wrong_is_the_clients_fault_and_said_in_one_short_line(client, server, content):
    answer = client.post(f"/v1/models/{server.name}:predict", content=json.dumps(content))
    assert answer.status_code == 400, answer.text
    message = answer.json()["error"]
    assert message.isprintable()
    assert len(message) < 2000


def test_half_a_character_in_a_text_is_translated(client, server):
    answer = client.post(f"/v1/models/{server.name}:predict", content=b'{"inputs": ["\\ud800 a"]}')
    assert answer.status_code == 200
    assert answer.json()["outputs"]["translation"] == ["a \ufffd"]


@pytest.mark.parametrize(
    "number", ["9" * 18, "9" * 19, "9" * 20, "9" * 400, "-1", "\u0663", "%D9%A3"]
)
def test_a_version_that_is_not_there_is_not_found(client, number):
    for rest in ("", "/metadata"):
        assert client.get(f"/v1/models/tiny/versions/{number}{rest}").status_code == 404
    path = f"/v1/models/tiny/versions/{number}:predict"
    assert client.post(path, json={"instances": ["a"]}).status_code == 404


def test_a_version_may_have_any_number_that_the_interfaces_can_hold(tmp_path, tiny_export):
    highest = 2**63 - 1
    folder = tmp_path / "tiny"
    folder.mkdir()
    for number in (highest, highest + 1, "9" * 250, "\u0663", "1"):
        shutil.copytree(tiny_export / "1", folder / str(number))
    with running_server(folder) as running:
        status = httpx.get(f"{running.url}/v1/models/tiny").json()["model_version_status"]
        assert [(one["version"], one["state"]) for one in status] == [(str(highest), "AVAILABLE")]
        path = f"{running.url}/v1/models/tiny/versions/{highest}"
        assert httpx.get(path).json()["model_version_status"] == status
        answer = httpx.post(f"{path}:predict", json={"instances": ["a b"]})
        assert answer.json()["predictions"][0]["translation"] == "b a"
        with grpc.insecure_channel(running.grpc) as channel:
            ask = channel.unary_unary(
                "/tensorflow.serving.ModelService/GetModelStatus",
                get_model_status_pb2.GetModelStatusRequest.SerializeToString,
                get_model_status_pb2.GetModelStatusResponse.FromString,
            )
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "tiny"
            assert ask(request).model_version_status[0].version == highest


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


def code_of(call, request, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20, **options)
    assert caught.value.details().isprintable()
    assert len(caught.value.details()) < 2000
    return caught.value.code()


@pytest.mark.parametrize(
    "method",
    [
        "PredictionService/Predict",
        "PredictionService/GetModelMetadata",
        "PredictionService/Classify",
        "ModelService/GetModelStatus",
    ],
)
@pytest.mark.parametrize("content", [b"\xff" * 20, b"\x0a\x05a", b"\x0a\x03\x0a\x01\xff"])
def test_messages_that_are_none_are_the_clients_fault(channel, server, method, content):
    call = channel.unary_unary(f"/tensorflow.serving.{method}", None, None)
    assert code_of(call, content) is grpc.StatusCode.INVALID_ARGUMENT
    assert "Traceback" not in server.log.read_text()


def tensors():
    """Tensors that contradict themselves."""
    right = tf.make_tensor_proto(["a"])
    for sizes in ([2], [-1], [-1, -1], [1, 1], [2**40], [2**62, 4], []):
        wrong = tf.make_tensor_proto(["a"])
        del wrong.tensor_shape.dim[:]
        for size in sizes:
            wrong.tensor_shape.dim.add(size=size)
        yield f"sizes {sizes}", wrong
    for kind in (tf.float32, tf.resource, tf.variant, tf.int8):
        wrong = tf.make_tensor_proto(["a"])
        wrong.dtype = kind.as_datatype_enum
        yield kind.name, wrong
    wrong = tf.make_tensor_proto(["a"])
    wrong.tensor_content = b"abc"
    yield "content", wrong
    wrong = tf.make_tensor_proto(["a"])
    wrong.tensor_shape.unknown_rank = True
    yield "rank", wrong
    wrong = type(right)()
    yield "nothing", wrong


TENSORS = dict(tensors())


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_contradict_themselves_are_the_clients_fault(channel, server, name):
    call = channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        predict_pb2.PredictRequest.SerializeToString,
        predict_pb2.PredictResponse.FromString,
    )
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tiny"
    request.inputs["text"].CopyFrom(TENSORS[name])
    future = call.future(request, timeout=20)
    refused = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    # One value fills all of a shape, as TensorFlow has it.
    right = [grpc.StatusCode.OK] if name in ("rank", "sizes [2]") else []
    assert future.code() in (*refused, *right)
    request.model_spec.signature_name = "translate_beam"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["a"]))
    for key, value in BEAM.items():
        typed = np.float32(value) if isinstance(value, float) else np.int32(value)
        request.inputs[key].CopyFrom(tf.make_tensor_proto(typed))
    request.inputs["beam_size"].CopyFrom(TENSORS[name])
    assert code_of(call, request) is grpc.StatusCode.INVALID_ARGUMENT


def test_ids_of_calls_are_those_of_requests(channel, server):
    call = channel.unary_unary(
        "/tensorflow.serving.ModelService/GetModelStatus",
        get_model_status_pb2.GetModelStatusRequest.SerializeToString,
        get_model_status_pb2.GetModelStatusResponse.FromString,
    )
    request = get_model_status_pb2.GetModelStatusRequest()
    for name, fails in (("tiny", False), ("x" * 5000, True)):
        request.model_spec.name = name
        for given in ("call-1", "with space", "x" * 65, 'a"b', "$(reboot)"):
            metadata = (("x-request-id", given),)
            if fails:
                with pytest.raises(grpc.RpcError) as caught:
                    call(request, metadata=metadata, timeout=20)
                assert caught.value.code() is grpc.StatusCode.NOT_FOUND
                trailing = dict(caught.value.trailing_metadata())
            else:
                _, done = call.with_call(request, metadata=metadata, timeout=20)
                trailing = dict(done.trailing_metadata())
            assert (trailing["x-request-id"] == given) is (given == "call-1")
            assert trailing["x-request-id"].replace("-", "").isalnum()
