"""gRPC answers what REST answers, with gRPC's codes where it cannot."""

import time

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

TEXTS = ["um dois três", "", "日本 語 🙂", "a b c d e f"]
BEAM = {
    "beam_size": np.int32(3),
    "length_penalty": np.float32(0.5),
    "max_length": np.int32(2),
}
CODES = grpc.StatusCode


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict_request(texts, signature="", name="tiny", **scalars):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(texts, tf.string, [len(texts)]))
    for key, value in scalars.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def code_of(call, request, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=options.pop("timeout", 30), **options)
    assert caught.value.details()
    return caught.value.code()


@pytest.mark.parametrize(
    "signature",
    [
        *("serving_default", "corpus_style", "attention", "sentences", "tokenize"),
        *("translate_beam", "glossary", "alignment"),
    ],
)
def test_answers_equal_rest_and_the_saved_model(stub, server, direct, signature):
    scalars = {"translate_beam": BEAM, "glossary": {"glossary": np.str_("sol\tsun")}}.get(
        signature, {}
    )
    answer = stub.Predict(predict_request(TEXTS, signature, **scalars), timeout=30)
    assert answer.model_spec.version.value == 1
    assert answer.model_spec.signature_name == signature
    outputs = {name: tf.make_ndarray(proto) for name, proto in answer.outputs.items()}
    expected = direct(
        signature, TEXTS, **{key: tf.constant(value) for key, value in scalars.items()}
    )
    assert outputs.keys() == expected.keys()
    inputs = {"text": TEXTS} | {key: value.item() for key, value in scalars.items()}
    content = {"signature_name": signature, "inputs": inputs}
    rest = httpx.post(server.predict, json=content).json()["outputs"]
    rest = rest if len(outputs) > 1 else {next(iter(outputs)): rest}
    for name, values in expected.items():
        assert outputs[name].shape == values.shape
        assert outputs[name].dtype == values.dtype
        if values.dtype == object:
            assert outputs[name].tolist() == values.tolist()
            decoded = np.vectorize(bytes.decode, otypes=[object])(values).tolist()
            assert rest[name] == decoded
        else:
            np.testing.assert_allclose(outputs[name], values, rtol=1e-6)
            np.testing.assert_allclose(np.array(rest[name]), values, rtol=1e-6)


def test_the_default_signature_needs_no_name_and_outputs_can_be_chosen(stub):
    request = predict_request(["a b"])
    request.output_filter.append("translation")
    answer = stub.Predict(request, timeout=30)
    assert answer.model_spec.signature_name == "serving_default"
    assert dict(answer.outputs).keys() == {"translation"}
    request.output_filter.append("other")
    assert code_of(stub.Predict, request) is CODES.INVALID_ARGUMENT


def test_wrong_requests_have_codes(stub, server):
    assert code_of(stub.Predict, predict_request(["a"], name="other")) is CODES.NOT_FOUND
    wrong_version = predict_request(["a"])
    wrong_version.model_spec.version.value = 7
    assert code_of(stub.Predict, wrong_version) is CODES.NOT_FOUND
    labelled = predict_request(["a"])
    labelled.model_spec.version_label = "stable"
    assert code_of(stub.Predict, labelled) is CODES.NOT_FOUND
    invalid = [
        predict_request(["a"], "none"),
        predict_request(["a"], "translate_beam"),
        predict_request(["a"], other=1),
        predict_request(["fail"]),
        predict_request(["a"] * 51),
        predict_request(["a" * 201]),
        predict_request(["a"], "translate_beam", **BEAM | {"beam_size": np.int32(0)}),
        predict_request(["a"], "translate_beam", **BEAM | {"beam_size": np.float32(1)}),
        predict_request(["a"], "translate_beam", **BEAM | {"beam_size": [1, 2]}),
        predict_pb2.PredictRequest(model_spec={"name": "tiny"}),
    ]
    numbers = predict_request(["a"])
    numbers.inputs["text"].CopyFrom(tf.make_tensor_proto([1.0]))
    matrix = predict_request(["a"])
    matrix.inputs["text"].CopyFrom(tf.make_tensor_proto([["a"]]))
    bomb = predict_request(["a"])
    bomb.inputs["text"].tensor_shape.dim[0].size = 2**40
    negative = predict_request(["a"])
    negative.inputs["text"].tensor_shape.dim[0].size = -1
    for request in [*invalid, numbers, matrix, bomb, negative]:
        assert code_of(stub.Predict, request) is CODES.INVALID_ARGUMENT, request
    large = predict_request(["a" * 30_000])
    assert code_of(stub.Predict, large) is CODES.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError, match="more than 20000 bytes \\(--max-body-bytes\\)"):
        stub.Predict(large, timeout=30)
    huge = predict_request(["a" * 200_000])  # what gRPC itself turns away
    assert code_of(stub.Predict, huge) is CODES.RESOURCE_EXHAUSTED
    assert code_of(stub.Classify, None or _classification()) is CODES.UNIMPLEMENTED
    assert stub.Predict(predict_request(["a"]), timeout=30).outputs


def _classification():
    from tensorflow_serving.apis import classification_pb2

    return classification_pb2.ClassificationRequest(model_spec={"name": "tiny"})


def test_deadlines_are_the_clients(stub):
    started = time.monotonic()
    assert code_of(stub.Predict, predict_request(["wait"]), timeout=0.1) is CODES.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 2


def test_overload_is_resource_exhausted_and_passes(stub):
    calls = [
        stub.Predict.future(predict_request([f"wait {i}"] * 30), timeout=30) for i in range(30)
    ]
    codes = {call.code() for call in calls}
    assert codes == {CODES.OK, CODES.RESOURCE_EXHAUSTED}
    refused = next(call for call in calls if call.code() is not CODES.OK)
    assert int(dict(refused.trailing_metadata())["retry-after"]) >= 1
    assert stub.Predict(predict_request(["a"]), timeout=30).outputs


def test_metadata_and_status_equal_rest(stub, channel, server):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "tiny"}, metadata_field=["signature_def"]
    )
    answer = stub.GetModelMetadata(request, timeout=30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    rest = httpx.get(f"{server.url}/v1/models/tiny/metadata").json()
    declared = rest["metadata"]["signature_def"]
    assert json_format.ParseDict(declared, get_model_metadata_pb2.SignatureDefMap()) == signatures
    assert answer.model_spec.version.value == 1
    del request.metadata_field[:]
    assert code_of(stub.GetModelMetadata, request) is CODES.INVALID_ARGUMENT

    models = model_service_pb2_grpc.ModelServiceStub(channel)
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "tiny"})
    status = models.GetModelStatus(asked, timeout=30)
    rest = httpx.get(f"{server.url}/v1/models/tiny").json()
    assert json_format.ParseDict(rest, get_model_status_pb2.GetModelStatusResponse()) == status
    asked.model_spec.version.value = 7
    assert code_of(models.GetModelStatus, asked) is CODES.NOT_FOUND


def test_health(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    unknown = health_pb2.HealthCheckRequest(service="other")
    with pytest.raises(grpc.RpcError):
        health.Check(unknown, timeout=30)
