"""API keys and requests a minute: who may ask, on every interface, and what nobody can take up."""

import subprocess
import sys

import grpc
import httpx
import pytest
import tensorflow as tf
from click.testing import CliRunner
from libretranslatepy import LibreTranslateAPI
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tiny_server import running_server

from keras_transformer.cli.command import main
from keras_transformer.errors import InputError
from keras_transformer.serving.access import Access, Buckets, Keys, bearer, new_key
from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.settings import Settings

PAIR = {"source": "pt", "target": "en"}
MANY = 12
"""Requests a minute."""


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self):
        return self.now


# Buckets.


def test_a_bucket_gives_its_tokens_and_what_comes_back():
    clock = Clock()
    buckets = Buckets(6, clock=clock)
    assert [buckets.take("a") for _ in range(6)] == [0.0] * 6
    assert buckets.take("a") == pytest.approx(10.0)
    clock.now += 9.0
    assert buckets.take("a") == pytest.approx(1.0)
    clock.now += 1.0
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(10.0)
    assert buckets.take("b") == 0.0  # another's is its own


def test_no_client_gets_more_than_its_rate_however_it_asks():
    clock = Clock()
    buckets = Buckets(30, clock=clock)
    taken = 0
    for step in range(3000):
        clock.now = step * 0.1
        taken += buckets.take("a") == 0.0
    assert 30 + 149 <= taken <= 30 + 150  # five minutes at thirty, and a full bucket


def test_buckets_take_bounded_memory():
    clock = Clock()
    buckets = Buckets(6, most=100, clock=clock)
    for client in range(1000):
        buckets.take(client)
    assert len(buckets) == 100
    clock.now += 60.0
    buckets.take("a")
    assert len(buckets) == 1  # the others are full again, as if they had never been


# Keys.


def keys_of(tmp_path, content):
    path = tmp_path / "keys.txt"
    path.write_text(content, encoding="utf-8")
    return Keys(path)


def test_a_key_is_known_by_its_hash(tmp_path):
    (one, line), (other, second) = new_key(), new_key()
    assert len(one) >= 43
    assert one != other
    assert one not in line
    keys = keys_of(tmp_path, f"# keys\n\n{line.upper()} of the blog\n  {second}\n")
    assert keys.digest_of(one) != keys.digest_of(other)
    assert None not in (keys.digest_of(one), keys.digest_of(other))
    for wrong in ("", "a", one[:-1], line, f"{one} ", "\udfff", "é"):
        assert keys.digest_of(wrong) is None


@pytest.mark.parametrize("content", ["", "# none\n", "secret\n", "a" * 63 + "\n", "\x00"])
def test_a_file_without_hashes_is_refused_and_not_quoted(tmp_path, content):
    with pytest.raises(InputError, match="--api-keys") as caught:
        keys_of(tmp_path, content)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="--api-keys"):
        Keys(tmp_path / "nothing")
    with pytest.raises(InputError, match="--api-keys"):
        Keys.of(Settings("none", api_keys=tmp_path))
    assert Keys.of(Settings("none")) is None


def test_keys_are_read_again_when_they_change_and_stay_where_they_are_wrong(tmp_path):
    (one, line), (other, second) = new_key(), new_key()
    keys = keys_of(tmp_path, line)
    assert not keys.refresh()
    (tmp_path / "keys.txt").write_text(f"{second}\n\n")
    assert keys.refresh()
    assert keys.digest_of(one) is None
    assert keys.digest_of(other) is not None
    (tmp_path / "keys.txt").write_text("wrong")
    with pytest.raises(InputError):
        keys.refresh()
    assert not keys.refresh()
    assert keys.digest_of(other) is not None


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer  ", None),
        ("Bearer a", "a"),
        ("bearer  a.b-c ", "a.b-c"),
        ("Basic YTpi", None),
        ("a", None),
    ],
)
def test_a_bearers_key_is_found(header, key):
    assert bearer(header) == key


def test_wrong_keys_count_for_their_address_and_right_ones_for_themselves(tmp_path):
    key, line = new_key()
    access = Access(Settings("none", rate_limit=2), keys_of(tmp_path, line))

    def kind(given, group="a"):
        try:
            access.check(given, group)
        except Failure as failure:
            return failure.kind
        return None

    assert [kind(None), kind("wrong"), kind("other")] == [
        Kind.UNAUTHENTICATED,
        Kind.UNAUTHENTICATED,
        Kind.TOO_MANY_REQUESTS,
    ]
    assert [kind(key), kind(key), kind(key)] == [None, None, Kind.TOO_MANY_REQUESTS]
    assert kind(key, "b") is Kind.TOO_MANY_REQUESTS  # it is the key's, wherever it comes from
    assert kind(None, "b") is Kind.UNAUTHENTICATED


def test_without_keys_a_made_up_one_buys_nothing():
    access = Access(Settings("none", rate_limit=1))
    access.check("one", "a")
    with pytest.raises(Failure, match="--rate-limit") as caught:
        access.check("another", "a")
    assert caught.value.retry_after == 60
    access.check(None, "b")


def test_a_new_key_is_shown_and_its_hash_written():
    done = CliRunner().invoke(main, ["serve", "--new-api-key"])
    assert done.exit_code == 0
    key = done.stderr.split()[-1]
    assert key not in done.stdout
    assert Keys.of(Settings("none")) is None
    assert len(done.stdout.split()) == 1


def test_the_command_line_makes_a_key_without_starting_anything(tmp_path):
    command = [sys.executable, "-m", "keras_transformer", "serve", "--new-api-key"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    keys = keys_of(tmp_path, done.stdout)
    assert keys.digest_of(done.stderr.split()[-1]) is not None


@pytest.mark.parametrize("number", [-1, -5])
def test_a_rate_is_a_number(number):
    with pytest.raises(InputError, match="--rate-limit"):
        Settings("none", rate_limit=number)


# A server with both.


@pytest.fixture(scope="module")
def guarded(tiny_export, tmp_path_factory):
    """A server with keys and a rate; three keys that no test shares."""
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    made = [new_key() for _ in range(3)]
    path.write_text("".join(f"{line}\n" for _, line in made))
    with running_server(tiny_export, api_keys=str(path), rate_limit=MANY) as running:
        running.keys = [key for key, _ in made]
        yield running


def predict(channel, key=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tiny"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["a b"]))
    metadata = [("authorization", f"Bearer {key}")] if key else []
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict(request, timeout=20, metadata=metadata)


def test_every_way_to_the_model_asks_for_a_key(guarded):
    key = guarded.keys[0]
    with_key = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=guarded.url, timeout=20) as client:
        path, content = "/v1/models/tiny:predict", {"instances": ["a b"]}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {key}"}):
            refused = client.post(path, json=content, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.headers["connection"] == "close"
        for asked in (
            client.post(path, json=content, headers=with_key),
            client.post(path, json=content, params={"api_key": key}),
        ):
            assert asked.json()["predictions"][0]["translation"] == "b a"

        assert client.post("/page/words", json={"text": "a b"}).status_code == 401
        words = client.post("/page/words", json={"text": "a b"}, headers=with_key)
        assert words.json()["translation"] == "b a"

        fields = PAIR | {"q": "a b"}
        file = {"file": ("a.txt", b"a b")}
        for wrong, status in (({}, 400), ({"api_key": ""}, 400), ({"api_key": "wrong"}, 403)):
            for refused in (
                client.post("/translate", json=fields | wrong),
                client.post("/translate", data=fields | wrong),
            ):
                assert refused.status_code == status
                assert "key" in refused.json()["error"]
        assert client.post("/detect", data={"q": "a"}).status_code == 400
        assert client.post("/translate_file", data=PAIR, files=file).status_code == 400
        for asked in (
            client.post("/translate", json=fields | {"api_key": key}),
            client.post("/translate", data=fields | {"api_key": key}),
            client.post("/translate", params=fields | {"api_key": key}),
            client.post("/translate", json=fields, headers=with_key),
        ):
            assert asked.json() == {"translatedText": "b a"}
        answer = client.post("/translate_file", data=PAIR | {"api_key": key}, files=file)
        assert client.get(answer.json()["translatedFileUrl"]).text == "b a"
        assert LibreTranslateAPI(guarded.url, api_key=key).translate("a b", "pt", "en") == "b a"

        with grpc.insecure_channel(guarded.grpc) as channel:
            assert predict(channel, key).outputs["translation"].string_val == [b"b a"]


def test_what_asks_no_model_stays_open(guarded):
    with httpx.Client(base_url=guarded.url, timeout=20) as client:
        for path in (
            *("/", "/health", "/healthz", "/readyz", "/metrics", "/page/config.json"),
            *("/languages", "/v1/models/tiny", "/v1/models/tiny/metadata"),
        ):
            assert client.get(path).status_code == 200, path
        settings = client.get("/frontend/settings").json()
        assert (settings["apiKeys"], settings["keyRequired"]) == (True, True)
    with grpc.insecure_channel(guarded.grpc) as channel:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "tiny"
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        assert stub.GetModelStatus(request, timeout=20).model_version_status


def test_a_key_that_asks_too_often_waits_and_others_do_not(guarded):
    _, busy, other = guarded.keys
    fields = PAIR | {"q": "a b", "api_key": busy}
    with (
        httpx.Client(base_url=guarded.url, timeout=20) as client,
        grpc.insecure_channel(guarded.grpc) as channel,
    ):
        found = [client.post("/translate", data=fields) for _ in range(MANY + 1)]
        assert [answer.status_code for answer in found[:MANY]] == [200] * MANY
        refused = [
            found[-1],
            client.post(
                "/v1/models/tiny:predict",
                json={"instances": ["a"]},
                headers={"Authorization": f"Bearer {busy}"},
            ),
        ]
        for answer in refused:
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["retry-after"]) <= 60 / MANY
            assert "error" in answer.json()
        with pytest.raises(grpc.RpcError) as caught:
            predict(channel, busy)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(caught.value.trailing_metadata())["retry-after"]) >= 1
        assert client.post("/translate", data=fields | {"api_key": other}).status_code == 200
        assert predict(channel, other).outputs["translation"].string_val == [b"b a"]
        for _ in range(2 * MANY):  # without a key, too
            last = client.post("/translate", data=PAIR | {"q": "a"})
        assert last.status_code == 429
        with pytest.raises(grpc.RpcError) as caught:
            predict(channel)
        assert caught.value.code() in (
            grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )
        assert client.post("/translate", data=fields | {"api_key": other}).status_code == 200
    assert not any(key in guarded.log.read_text() for key in guarded.keys)
