"""gRPC: odd requests get a code that blames the request, and harm no other one."""

import grpc
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from strategies import WORDS, error_of, examples, known_texts, texts
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

pytestmark = pytest.mark.slow

CODES = grpc.StatusCode
ALLOWED = {CODES.INVALID_ARGUMENT, CODES.NOT_FOUND, CODES.UNIMPLEMENTED, CODES.RESOURCE_EXHAUSTED}
SIGNATURES = [
    *("", "serving_default", "corpus_style", "attention", "translate_beam", "tokenize", "pairs"),
    *("sentences", "numbers", "none"),
]

utf8_texts = texts.map(lambda text: text.encode("utf-8", errors="surrogatepass"))
sizes = st.one_of(
    st.integers(-2, 4), st.sampled_from([-(2**63), -1, 0, 51, 2**31, 2**33, 2**62, 2**63 - 1])
)
odd_tensors = st.builds(
    lambda dtype, dims, unknown, content, strings, ints, floats: tensor_pb2.TensorProto(
        dtype=dtype,
        tensor_shape={"dim": [{"size": size} for size in dims], "unknown_rank": unknown},
        tensor_content=content,
        string_val=strings,
        int_val=ints,
        float_val=floats,
    ),
    dtype=st.sampled_from([7, 7, 7, 3, 1, 9, 0, 2, 10, 20, 21, 101, 999]),
    dims=st.lists(sizes, max_size=3),
    unknown=st.sampled_from([False, False, False, True]),
    content=st.just(b"") | st.binary(max_size=20),
    strings=st.lists(st.binary(max_size=8) | utf8_texts, max_size=4),
    ints=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2),
    floats=st.lists(st.floats(width=32), max_size=2),
)
text_tensors = st.lists(utf8_texts | st.binary(max_size=8), max_size=4).map(
    lambda lines: tensor_pb2.TensorProto(
        dtype=7, tensor_shape={"dim": [{"size": len(lines)}]}, string_val=lines
    )
)
scalar_tensors = st.one_of(
    st.integers(-1, 20).map(lambda size: tensor_pb2.TensorProto(dtype=3, int_val=[size])),
    st.floats(width=32).map(lambda value: tensor_pb2.TensorProto(dtype=1, float_val=[value])),
    st.just(tensor_pb2.TensorProto(dtype=3)),
    st.just(tensor_pb2.TensorProto(dtype=1)),
)
INPUTS = ["text", "beam_size", "length_penalty", "max_length", "x", "", "other"]
inputs = st.one_of(
    st.fixed_dictionaries({"text": text_tensors | odd_tensors}),
    st.fixed_dictionaries(
        {"text": text_tensors}
        | dict.fromkeys(("beam_size", "length_penalty", "max_length"), scalar_tensors | odd_tensors)
    ),
    st.dictionaries(st.sampled_from(INPUTS), odd_tensors | scalar_tensors, max_size=5),
)


@st.composite
def requests(draw):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw(st.sampled_from(["tiny", "tiny", "tiny", "tiny", "", "other"]))
    request.model_spec.signature_name = draw(st.sampled_from(SIGNATURES) | st.text(max_size=5))
    if draw(st.integers(0, 5)) == 0:
        request.model_spec.version.value = draw(st.integers(-(2**63), 2**63 - 1))
    for name, tensor in draw(inputs).items():
        request.inputs[name].CopyFrom(tensor)
    request.output_filter.extend(
        draw(st.lists(st.sampled_from(["translation", "other"]), max_size=1))
    )
    return request


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def answer_of(call, request, allowed=ALLOWED):
    """What a call gives, or ``None`` where it fails with a code that blames the request."""
    problem = None
    try:
        return call(request, timeout=20)
    except grpc.RpcError as failure:
        problem = failure
    assert problem.code() in allowed, (problem.code(), problem.details())
    error_of(problem.details())
    return None


def check_right_answer(stub, text="sol mar lua"):
    request = predict_pb2.PredictRequest(model_spec={"name": "tiny"})
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
    (found,) = stub.Predict(request, timeout=20).outputs["translation"].string_val
    assert found.decode() == " ".join(reversed(text.split()))


@examples(400)
@given(request=requests(), next_text=known_texts)
def test_any_tensors_are_answered(stub, request, next_text):
    answer = answer_of(stub.Predict, request)
    if answer is not None:
        rows = len(request.inputs["text"].string_val)
        for name, proto in answer.outputs.items():
            assert tf.make_ndarray(proto).shape[0] == rows, name
    check_right_answer(stub, next_text)


@examples(60)
@given(lines=st.lists(st.lists(st.sampled_from(WORDS), max_size=5), min_size=1, max_size=6))
def test_each_text_gets_its_own_answer(stub, lines):
    request = predict_pb2.PredictRequest(model_spec={"name": "tiny"})
    texts = [" ".join(words) for words in lines]
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(texts))
    found = stub.Predict(request, timeout=20).outputs["translation"].string_val
    assert [text.decode() for text in found] == [" ".join(words[::-1]) for words in lines]


@examples(60)
@given(request=requests(), fields=st.lists(st.sampled_from(["signature_def", "", "x"]), max_size=2))
def test_any_model_is_described_or_not_found(stub, channel, request, fields):
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=request.model_spec, metadata_field=fields
    )
    answer_of(stub.GetModelMetadata, metadata)
    status = get_model_status_pb2.GetModelStatusRequest(model_spec=request.model_spec)
    answer_of(model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus, status)
    check_right_answer(stub)


@examples(60)
@given(body=st.binary(max_size=60))
def test_any_bytes_in_the_place_of_a_message_are_answered(channel, stub, body):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    # What is no message never reaches the server's own code: gRPC answers itself.
    answer_of(call, body, {*ALLOWED, CODES.INTERNAL, CODES.UNKNOWN})
    check_right_answer(stub)
