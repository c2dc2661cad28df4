"""REST answers are the SavedModel's own, in TensorFlow Serving's form, whoever asks beside."""

import base64
import json
import socket
import time
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tiny_server import EXAMPLES, gather, running_server

TEXTS = ["um dois três", "", "só", "a b c d e f g h", "  espaços  ", "日本 語 🙂", '"<aspas>\\"']
BEAM = {"beam_size": 3, "length_penalty": 0.5, "max_length": 2}


def as_json(values):
    """An output of the SavedModel as it should stand in an answer."""
    if values.dtype == object:
        return json.loads(json.dumps(np.vectorize(bytes.decode, otypes=[object])(values).tolist()))
    return pytest.approx(values.tolist(), rel=1e-6) if values.ndim == 1 else values.tolist()


def assert_equals(outputs, expected):
    assert outputs.keys() == expected.keys()
    for name, values in expected.items():
        found = np.array(outputs[name], dtype=values.dtype if values.dtype != object else None)
        if values.dtype == object:
            assert found.tolist() == as_json(values), name
        else:
            np.testing.assert_allclose(found, values, rtol=1e-6, err_msg=name)
            assert found.shape == values.shape, name


def post(client, server, **content):
    return client.post(f"/v1/models/{server.name}:predict", json=content)


@pytest.mark.parametrize(
    "signature", ["serving_default", "attention", "alignment", "tokenize", "pairs"]
)
def test_answers_equal_the_saved_model(client, server, direct, signature):
    answer = post(client, server, signature_name=signature, inputs={"text": TEXTS})
    assert answer.status_code == 200, answer.text
    expected = direct(signature, TEXTS)
    outputs = answer.json()["outputs"]
    assert_equals(outputs if len(expected) > 1 else {next(iter(expected)): outputs}, expected)


def test_answers_equal_the_saved_model_whatever_runs_beside(server, direct):
    random = np.random.default_rng(1)
    words = ["sol", "mar", "lua", "montanha", "extraordinário", "é", "a"]
    requests = []
    for _ in range(120):
        signature = str(
            random.choice(
                ["serving_default", "attention", "tokenize", "translate_beam", "glossary"]
            )
        )
        texts = [
            " ".join(random.choice(words, random.integers(0, 15)))
            for _ in range(random.integers(1, 4))
        ]
        scalars = {}
        if signature == "translate_beam":
            scalars = BEAM | {"beam_size": int(random.integers(1, 4))}
        if signature == "glossary":
            texts = [f"a {text}" for text in texts]  # of empty ones the rows are empty
            scalars = {"glossary": str(random.choice(["", "sol\tsun", "sol\tlight\nmar\tsea"]))}
        requests.append((signature, texts, scalars))

    async def ask(client, signature, texts, scalars):
        content = {"signature_name": signature, "inputs": {"text": texts, **scalars}}
        for _ in range(100):
            answer = await client.post(server.predict, json=content)
            if answer.status_code != 503:
                return answer
        return answer

    client = httpx.AsyncClient(timeout=30)
    found = gather([ask(client, *request) for request in requests], most=40)
    for (signature, texts, scalars), answer in zip(requests, found, strict=True):
        assert answer.status_code == 200, answer.text
        types = {"length_penalty": tf.float32, "glossary": tf.string}
        typed = {
            name: tf.constant(value, types.get(name, tf.int32)) for name, value in scalars.items()
        }
        assert_equals(answer.json()["outputs"], direct(signature, texts, **typed))
    metrics = httpx.get(f"{server.url}/metrics").text
    batches = float(metrics.split("keras_transformer_batch_texts_count ")[1].split()[0])
    texts = float(metrics.split("keras_transformer_batch_texts_sum ")[1].split()[0])
    assert texts > batches  # they did share


def test_row_and_column_format_agree(client, server):
    rows = post(client, server, instances=TEXTS)
    named = post(client, server, instances=[{"text": text} for text in TEXTS])
    columns = post(client, server, inputs={"text": TEXTS})
    plain = post(client, server, inputs=TEXTS)
    assert rows.json() == named.json()
    assert columns.json() == plain.json()
    outputs = columns.json()["outputs"]
    assert rows.json() == {
        "predictions": [
            {"score": score, "translation": text}
            for score, text in zip(outputs["score"], outputs["translation"], strict=True)
        ]
    }
    one_row = post(client, server, signature_name="corpus_style", instances=TEXTS)
    one_column = post(client, server, signature_name="corpus_style", inputs=TEXTS)
    assert one_row.json() == {"predictions": outputs["translation"]}
    assert one_column.json() == {"outputs": outputs["translation"]}


def test_numbers_are_written_in_their_shortest_form(client, server):
    assert '"score":[-0.3]' in post(client, server, inputs=["a b c"]).text


def test_strings_may_come_encoded(client, server):
    encoded = [{"b64": base64.b64encode(text.encode()).decode()} for text in TEXTS]
    plain = post(client, server, instances=TEXTS).json()
    assert post(client, server, instances=encoded).json() == plain
    assert post(client, server, instances=[{"text": text} for text in encoded]).json() == plain
    assert post(client, server, instances=[{"b64": "=?"}]).status_code == 400


def test_scalars_come_in_column_format_and_row_format_says_so(client, server, direct):
    content = {"signature_name": "translate_beam"}
    answer = post(client, server, **content, inputs={"text": TEXTS[:2], **BEAM})
    expected = direct(
        "translate_beam",
        TEXTS[:2],
        beam_size=tf.constant(3),
        length_penalty=tf.constant(0.5),
        max_length=tf.constant(2),
    )
    assert_equals(answer.json()["outputs"], expected)
    rows = post(client, server, **content, instances=[{"text": "a", **BEAM}])
    assert rows.status_code == 400
    assert "column format" in rows.json()["error"]
    for wrong in (
        {"beam_size": 2.5},
        {"beam_size": "3"},
        {"beam_size": [3]},
        {"beam_size": True},
        {"beam_size": 2**40},
        {"beam_size": 0},
        {"beam_size": 17},
        {"length_penalty": float("nan")},
        {"length_penalty": None},
    ):
        inputs = {"text": ["a"], **BEAM, **wrong}
        body = json.dumps(content | {"inputs": inputs})
        answer = client.post(f"/v1/models/{server.name}:predict", content=body)
        assert answer.status_code == 400, (wrong, answer.text)
        assert next(iter(wrong)) in answer.json()["error"]


def test_a_text_may_be_a_parameter(client, server, direct):
    def ask(glossary):
        inputs = {"text": TEXTS, "glossary": glossary}
        return post(client, server, signature_name="glossary", inputs=inputs)

    word = TEXTS[0].split()[0]
    lines = f"{word}\té \U0001f600"
    expected = direct("glossary", TEXTS, glossary=tf.constant(lines))
    assert_equals(ask(lines).json()["outputs"], expected)
    encoded = {"b64": base64.b64encode(lines.encode()).decode()}
    assert ask(encoded).json() == ask(lines).json()
    for wrong in (5, None, ["a\tb"], {"a": "b"}, "a\tb\n" * 80):
        answer = ask(wrong)
        assert answer.status_code == 400, wrong
        assert "glossary" in answer.json()["error"]
    answer = ask("no translation")
    assert answer.status_code == 400
    assert "is no term and its translation" in answer.json()["error"]


@pytest.mark.parametrize(
    "content",
    [
        {"instances": ["a"], "signature_name": "\ud83d"},
        {"instances": ["a"], "signature_name": "a\nb" * 2000},
        {"instances": [{"\udcff\n": "a"}]},
        {"inputs": {"text": ["a"], "other\r\n" * 1000: 1}},
        {"signature_name": "translate_beam", "inputs": {**BEAM, "text": [], "beam_size": 10**3000}},
    ],
)
def test_an_error_that_quotes_the_request_is_one_short_line(client, server, content):
    answer = client.post(f"/v1/models/{server.name}:predict", content=json.dumps(content))
    assert answer.status_code in (400, 404), answer.text
    error = answer.json()["error"]
    assert len(error.splitlines()) == 1
    assert len(error) < 600


def test_no_texts_give_no_rows(client, server):
    assert post(client, server, inputs={"text": []}).json() == {
        "outputs": {"translation": [], "score": []}
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"[" * 100_000,
        b"\xff",
        b"{}",
        b'{"instances": ["a"], "inputs": ["a"]}',
        b'{"instances": []}',
        b'{"instances": "a"}',
        b'{"instances": [1]}',
        b'{"instances": [null]}',
        b'{"instances": [["a"]]}',
        b'{"instances": ["a", {"text": "b"}]}',
        b'{"instances": [{"text": "a"}, "b"]}',
        b'{"instances": [{"other": "a"}]}',
        b'{"instances": [{"text": "a", "other": 1}]}',
        b'{"inputs": "a"}',
        b'{"inputs": {"text": "a"}}',
        b'{"inputs": {}}',
        b'{"inputs": {"text": ["a"], "other": 1}}',
        b'{"instances": ["a"], "signature_name": 1}',
        b'{"instances": ["a"], "signature_name": "none"}',
        b'{"instances": ["fail"]}',
    ],
)
def test_wrong_requests_get_400_and_one_reason(client, server, content):
    answer = client.post(f"/v1/models/{server.name}:predict", content=content[:19_000])
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"]


def test_what_is_not_there_is_404_and_what_is_not_offered_says_so(client, server):
    for path in (
        "/v1/models/other",
        "/v1/models/other/metadata",
        "/v1/models/tiny/versions/7",
        "/v1/models/tiny/versions/7/metadata",
        "/v1/models/tiny/labels/stable",
        "/v1/models",
        "/v2",
        "/none",
        "/static/../app.py",
    ):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "error" in answer.json()
    for path in ("other:predict", "tiny/versions/7:predict"):
        assert client.post(f"/v1/models/{path}", json={"instances": ["a"]}).status_code == 404
    assert client.post("/v1/models/tiny:classify", json={}).status_code == 501
    assert post(client, server, signature_name="numbers", inputs=[1.0]).status_code == 501
    assert client.get("/v1/models/tiny:predict").status_code == 405
    assert client.post("/v1/models/tiny").status_code == 405
    assert client.post("/healthz").status_code == 405


def test_limits(client, server):
    assert post(client, server, instances=["a"] * 50).status_code == 200
    assert post(client, server, instances=["a"] * 51).status_code == 413
    assert post(client, server, instances=["é" * 200]).status_code == 200
    long = post(client, server, instances=["a", "é" * 201])
    assert long.status_code == 400
    assert "text 1" in long.json()["error"]
    assert post(client, server, instances=["a" * 20_000]).status_code == 413
    path = f"/v1/models/{server.name}:predict"
    streamed = client.post(path, content=(b"x" * 5000 for _ in range(1000)))
    assert streamed.status_code == 413
    assert streamed.headers["connection"] == "close"
    zipped = client.post(path, content=b"x", headers={"Content-Encoding": "gzip"})
    assert zipped.status_code == 415
    assert post(client, server, instances=["a"]).status_code == 200


def exchange(server, request, *, most=1_000_000):
    """What the server answers to bytes, until it closes the connection or nothing comes."""
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), 10) as connection:
        connection.sendall(request)
        connection.settimeout(2)
        answer = b""
        try:
            while len(answer) < most and (chunk := connection.recv(65_536)):
                answer += chunk
        except TimeoutError:
            pass
        return answer


def test_methods_paths_and_hosts_that_are_wrong_have_one_error(client, server):
    for method, path, allowed in (
        ("DELETE", "/v1/models/tiny", {"GET", "HEAD"}),
        ("GET", "/v1/models/tiny:predict", {"POST"}),
        ("OPTIONS", "/v1/models/tiny:predict", {"POST"}),
        ("POST", "/readyz", {"GET", "HEAD"}),
        ("PUT", "/static/page.js", {"GET", "HEAD"}),
    ):
        answer = client.request(method, path)
        assert answer.status_code == 405, path
        assert set(answer.headers["allow"].split(", ")) == allowed
        assert "error" in answer.json()
    assert client.head("/v1/models/tiny").status_code == 200
    for path in ("/healthz/", "/static"):
        answer = client.get(path, headers={"Host": "other.local"}, follow_redirects=False)
        assert answer.status_code == 404
        assert "location" not in answer.headers
    path = f"/v1/models/{server.name}:predict"
    body = json.dumps({"instances": ["a"]})
    for headers, status in (
        ({"Host": "evil.example.com"}, 421),
        ({"Origin": "http://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": server.url, "Content-Type": "text/plain"}, 415),
        ({"Origin": server.url, "Content-Type": "application/json"}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 200),
    ):
        answer = client.post(path, content=body, headers=headers)
        assert answer.status_code == status, headers
        assert ("error" in answer.json()) == (status != 200)
    smuggled = exchange(
        server,
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n".encode(),
    )
    assert smuggled.startswith(b"HTTP/1.1 400 ")
    assert smuggled.count(b"HTTP/1.1 ") == 1


def test_a_model_that_does_not_exist_is_refused_before_its_body(server):
    for name in ("other", "tiny/versions/7"):
        head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\n"
        started = time.monotonic()
        answer = exchange(server, f"{head}Content-Length: 10000\r\n\r\n{{".encode())
        assert time.monotonic() - started < 2
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"connection: close" in answer.lower()
        waiting = f"{head}Content-Length: 10000\r\nExpect: 100-continue\r\n\r\n".encode()
        assert exchange(server, waiting).startswith(b"HTTP/1.1 404 ")


def test_answers_and_lines_of_the_log_are_bounded_and_plain(client, server):
    name = "\x1b[31m\u202e\x9b" + "x" * 10_000
    answer = client.get(f"/v1/models/{quote(name)}", headers={"X-Request-ID": "long-1"})
    assert answer.status_code == 404
    assert len(answer.content) < 2000
    content = {"signature_name": name, "instances": ["a"]}
    headers = {"X-Request-ID": "long-2"}
    answer = client.post(f"/v1/models/{server.name}:predict", json=content, headers=headers)
    assert answer.status_code == 400
    assert len(answer.content) < 2000
    assert answer.json()["error"].isprintable()
    time.sleep(0.2)
    lines = [line for line in server.log.read_text().splitlines() if '"long-' in line]
    assert len(lines) == 2
    assert all(len(line) < 4000 and line.isprintable() for line in lines)


def test_overload_gives_200_or_503_only_and_passes(server):
    async def ask(client, number):
        texts = [f"wait {number}"] * 20
        started = time.perf_counter()
        answer = await client.post(server.predict, json={"instances": texts})
        return answer, time.perf_counter() - started

    limits = httpx.Limits(max_connections=None)
    client = httpx.AsyncClient(timeout=60, limits=limits)
    found = gather([ask(client, number) for number in range(60)], most=60)
    statuses = {answer.status_code for answer, _ in found}
    assert statuses == {200, 503}
    for number, (answer, _) in enumerate(found):
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
            assert "error" in answer.json()
        else:
            assert answer.json()["predictions"][0]["translation"] == f"{number} wait"
    assert httpx.post(server.predict, json={"instances": ["a"]}).status_code == 200


def test_a_client_that_hangs_up_leaves_nothing_behind(server):
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as connection:
            body = json.dumps({"instances": ["wait"] * 5}).encode()
            head = f"POST {httpx.URL(server.predict).path} HTTP/1.1\r\nHost: x\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        metrics = httpx.get(f"{server.url}/metrics").text
        if "queued_texts 0.0" in metrics and "active_requests 0.0" in metrics:
            return
        time.sleep(0.05)
    raise AssertionError(metrics)


def test_deadlines(tmp_path, tiny_export):
    copied = tmp_path / "tiny"
    copied.symlink_to(tiny_export)
    with running_server(copied, deadline=0.15, workers=1) as running:
        assert httpx.post(running.predict, json={"instances": ["wait"]}).status_code == 504
        assert httpx.post(running.predict, json={"instances": ["a"]}).status_code == 200
        port = httpx.URL(running.url).port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            path = httpx.URL(running.predict).path
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode())
            connection.sendall(b"Content-Length: 100\r\n\r\n{")
            assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_status_and_metadata_equal_the_protos(client, server, tiny_export):
    status = json_format.Parse(
        client.get("/v1/models/tiny").text, get_model_status_pb2.GetModelStatusResponse()
    )
    (version,) = status.model_version_status
    assert (version.version, version.state) == (1, version.AVAILABLE)
    assert client.get("/v1/models/tiny/versions/1").json() == client.get("/v1/models/tiny").json()
    assert client.get("/v1/models/tiny").json() == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    saved = saved_model_pb2.SavedModel.FromString(
        (tiny_export / "1" / "saved_model.pb").read_bytes()
    )
    metadata = client.get("/v1/models/tiny/metadata").json()
    assert metadata["model_spec"] == {"name": "tiny", "version": "1", "signature_name": ""}
    declared = metadata["metadata"]["signature_def"]["signature_def"]
    expected = saved.meta_graphs[0].signature_def
    assert declared.keys() == expected.keys()
    for name, definition in expected.items():
        parsed = json_format.ParseDict(declared[name], meta_graph_pb2.SignatureDef())
        assert parsed == definition


def test_health_metrics_and_the_page(client, server, tiny_export):
    signatures = tf.saved_model.load(str(tiny_export / "1")).signatures
    of_texts = (
        name
        for name, signature in signatures.items()
        if "text" in signature.structured_input_signature[1] and not name.endswith("_xla")
    )
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json() == {"status": "ready", "version": 1}
    assert client.get("/").text.lower().startswith("<!doctype html>")
    config = client.get("/page/config.json").json()
    assert config == {
        "model": "tiny",
        "version": 1,
        "max_characters": 200,
        "signatures": sorted(of_texts),
        "examples": EXAMPLES[:2],
        "source_language": "pt",
        "target_language": "en",
    }
    post(client, server, instances=["a"])
    metrics = client.get("/metrics").text
    for line in (
        'keras_transformer_requests_total{interface="rest",path="predict",status="200"}',
        'keras_transformer_request_seconds_bucket{interface="rest",le="0.5",path="predict"}',
        "keras_transformer_queued_texts ",
        "keras_transformer_batch_texts_bucket",
        'keras_transformer_texts_total{signature="serving_default"}',
        'keras_transformer_model_version{model="tiny",version="1"} 1.0',
        "keras_transformer_rejected_requests_total",
    ):
        assert line in metrics, line


def test_one_event_a_request(client, server):
    answer = client.post(
        f"/v1/models/{server.name}:predict",
        json={"instances": ["a", "b"]},
        headers={"X-Request-ID": "mine-1"},
    )
    assert answer.headers["x-request-id"] == "mine-1"
    time.sleep(0.1)
    (event,) = [event for event in server.events() if event.get("id") == "mine-1"]
    assert (event["status"], event["texts"], event["version"]) == (200, 2, 1)
    assert event["milliseconds"] > 0
    forged = client.get("/v1/models/tiny", headers={"X-Request-ID": "a b\tc"})
    assert forged.headers["x-request-id"] != "a b\tc"
