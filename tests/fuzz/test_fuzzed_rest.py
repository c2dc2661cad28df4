"""REST: every request is answered in JSON, with 200 or with one error of the client's."""

import base64
import json
import socket

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import error_of, examples, json_values, known_texts, numbers, scalars, texts

pytestmark = pytest.mark.slow

SIGNATURES = [
    *("serving_default", "corpus_style", "attention", "translate_beam", "tokenize", "pairs"),
    *("sentences", "numbers", "none", ""),
]
encoded = st.binary(max_size=20).map(
    lambda content: {"b64": base64.b64encode(content).decode("ascii")}
)
any_text = st.one_of(texts, encoded, st.fixed_dictionaries({"b64": texts}))
rows = st.lists(any_text | st.fixed_dictionaries({"text": any_text}) | json_values, max_size=4)
columns = st.dictionaries(
    st.sampled_from(["text", "beam_size", "length_penalty", "max_length", "x", "other"]),
    st.lists(any_text, max_size=3) | numbers | json_values,
    max_size=4,
)
beams = st.fixed_dictionaries(
    {
        "text": st.lists(texts, max_size=2),
        "beam_size": st.integers(-1, 20) | scalars,
        "length_penalty": st.floats(-2, 20) | scalars,
        "max_length": st.integers(-1, 20) | scalars,
    }
)
contents = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "signature_name": st.sampled_from(SIGNATURES) | scalars,
            "instances": rows | json_values,
            "inputs": columns | json_values,
        },
    ),
    st.fixed_dictionaries({"instances": rows}),
    st.fixed_dictionaries({"signature_name": st.sampled_from(SIGNATURES), "instances": rows}),
    st.fixed_dictionaries({"signature_name": st.sampled_from(SIGNATURES), "inputs": columns}),
    st.fixed_dictionaries({"signature_name": st.just("translate_beam"), "inputs": beams}),
    json_values,
)
header_values = st.one_of(
    st.sampled_from(["", "0", "-1", "1e9", "gzip", "identity", "text/plain; charset=utf-16"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
)
headers = st.dictionaries(
    st.sampled_from(
        ["Accept", "Content-Type", "Content-Encoding", "X-Request-Id", "Host", "X-Odd", "Expect"]
    ),
    header_values,
    max_size=3,
)
paths = st.one_of(
    st.sampled_from(
        [
            *("/v1/models/tiny:predict", "/v1/models/tiny", "/v1/models/tiny/metadata"),
            *("/v1/models/tiny/versions/1:predict", "/v1/models/tiny/versions/1"),
            *("/v1/models/tiny/versions/999999999999999999999:predict", "/v1/models/tiny/labels/a"),
            *("/v1/models/%00:predict", "/v1/models/tiny:classify", "/v1/", "/v1/models//:predict"),
            *("/", "/healthz", "/readyz", "/metrics", "/page/config.json", "/static/", "/nowhere"),
            *("/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/%00", "/static/a%0ab"),
        ]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(
        lambda path: "/v1/models/" + path.replace("#", "").replace("?", "")
    ),
    st.text(max_size=10).map(lambda path: "/" + "".join(f"%{b:02x}" for b in path.encode())),
)


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def check(answer):
    """An answer of the model's paths is JSON, with its result or an error of one line."""
    assert answer.headers["content-type"] == "application/json", answer.text
    content = json.loads(answer.content, parse_constant=no_constant)
    if answer.status_code == 200:
        return content
    assert answer.status_code < 500 or answer.status_code == 501, (answer.status_code, answer.text)
    assert content.keys() == {"error"}
    error_of(content["error"])
    return None


def ask(client, content, **more):
    return client.post("/v1/models/tiny:predict", content=content, **more)


def check_right_answer(client, text="sol mar lua"):
    content = check(ask(client, json.dumps({"instances": [text]})))
    assert content["predictions"][0]["translation"] == " ".join(reversed(text.split()))


@examples(300)
@given(content=contents, next_text=known_texts)
def test_any_json_is_answered(client, content, next_text):
    answer = check(ask(client, json.dumps(content)))
    if answer is not None:
        (outputs,) = answer.values()
        given = content.get("instances", content.get("inputs"))
        if "instances" in content:
            assert len(outputs) == len(given)
    check_right_answer(client, next_text)


@examples(60)
@given(lines=st.lists(texts, min_size=1, max_size=5))
def test_each_text_gets_its_own_answer(client, lines):
    together = check(ask(client, json.dumps({"instances": lines})))
    alone = [check(ask(client, json.dumps({"instances": [line]}))) for line in lines]
    if together is None:
        assert None in alone
    else:
        assert together["predictions"] == [one["predictions"][0] for one in alone]


@examples(100)
@given(body=st.binary(max_size=60) | texts.map(lambda text: text.encode("utf-16", "surrogatepass")))
def test_any_bytes_are_answered(client, body):
    assert check(ask(client, body)) is None
    check_right_answer(client)


@examples(60)
@given(
    depth=st.integers(1, 9000),
    opening=st.sampled_from(["[", '{"instances":', '{"inputs":{"text":', '["', "-", '{"a":[']),
)
def test_any_depth_is_answered(client, depth, opening):
    body = (opening * depth)[:19_000]
    assert check(ask(client, body)) is None
    assert check(ask(client, '{"instances": ' + "[" * (depth // 2) + "]" * (depth // 2) + "}")) in (
        None,
    )
    check_right_answer(client)


@examples(40)
@given(digits=st.integers(1, 9000), where=st.sampled_from(["instances", "inputs", "beam_size"]))
def test_numbers_of_any_length_are_answered(client, digits, where):
    number = "9" * digits
    body = {
        "instances": f'{{"instances": [{number}]}}',
        "inputs": f'{{"inputs": {number}}}',
        "beam_size": f'{{"signature_name": "translate_beam", "inputs": {{"text": ["a"], '
        f'"beam_size": {number}, "length_penalty": 1.0, "max_length": 3}}}}',
    }[where]
    answer = check(ask(client, body))
    assert answer is None or digits == 1
    check_right_answer(client)


@examples(150)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "ODD"]),
    path=paths,
    odd=headers,
    content=contents.map(json.dumps) | st.just(""),
)
def test_any_path_method_and_headers_are_answered(client, method, path, odd, content):
    answer = client.request(method, path, content=content, headers=odd)
    assert answer.status_code < 500 or answer.status_code == 501, (answer.status_code, answer.text)
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"].strip()
    check_right_answer(client)


@examples(40)
@given(
    first=st.sampled_from(
        [
            b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: a\r\n",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"",
        ]
    ),
    rest=st.binary(max_size=80)
    | st.sampled_from(
        [
            b"Content-Length: -1\r\n\r\n",
            b"Content-Length: 99999999999999999999\r\n\r\n",
            b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
            b"X: " + b"y" * 70_000 + b"\r\n\r\n",
            b"\xff\xfe: \xff\r\n\r\n",
        ]
    ),
)
def test_any_bytes_on_the_wire_harm_nobody(server, client, first, rest):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.settimeout(0.3)
        try:
            connection.sendall(first + rest)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        except OSError:  # closed by the server, or it waits for the rest
            answer = b""
    if answer:
        status = int(answer.split(b" ", 2)[1])
        assert status < 500, answer
    check_right_answer(client)
