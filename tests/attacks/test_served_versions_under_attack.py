"""Versions and labels under attack: clients ask for what is not there, and for what is broken."""

import asyncio
import contextlib
import shutil
import threading
import time
from pathlib import Path

import grpc
import httpx
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tiny_server import export_tiny, running_server

pytestmark = pytest.mark.slow

LABELS = 6000
PATIENCE = 20.0  # seconds for one answer of a machine that does more than this
RETRY_SECONDS = 10.0  # of `serving.versions.Versions`


def resident_mib(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def cpu_seconds(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # user and system, in hundredths


def translated(server):
    answer = httpx.post(server.predict, json={"instances": ["a b"]}, timeout=PATIENCE)
    return answer.json()["predictions"][0]["translation"]


def ask_for_labels(server, names):
    """The status codes of REST for labels, each asked for in two ways."""

    async def ask(client, number, name):
        url = f"{server.url}/v1/models/{server.name}/labels/{name}"
        if number % 2:
            return await client.get(url)
        return await client.post(f"{url}:predict", json={"instances": ["a b"]})

    async def run():
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            turns = asyncio.Semaphore(32)

            async def in_turn(number, name):
                async with turns:
                    return (await ask(client, number, name)).status_code

            return await asyncio.gather(*(in_turn(*one) for one in enumerate(names)))

    return asyncio.run(run())


async def call_labels(server, names):
    """The codes of gRPC for labels."""
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        async def call(name):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = server.name
            request.model_spec.version_label = name
            try:
                await stub.Predict(request, timeout=PATIENCE)
            except grpc.aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        return [await call(name) for name in names]


def test_unknown_labels_by_the_thousand_are_not_found_and_not_remembered(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    export_tiny(folder)
    with running_server(folder, labels={"stable": 1}) as server:

        def unknown(kind):
            return [f"{kind}{number}" + "x" * (number % 300) for number in range(LABELS)]

        assert set(ask_for_labels(server, unknown("first"))) == {404}
        asyncio.run(call_labels(server, unknown("first")[:500]))
        memory = resident_mib(server)
        for _ in range(2):  # the first one is counted in the second
            page = httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text
        assert set(ask_for_labels(server, unknown("second"))) == {404}
        codes = asyncio.run(call_labels(server, unknown("other")[:500]))
        assert set(codes) == {grpc.StatusCode.NOT_FOUND}
        assert resident_mib(server) < memory + 30
        again = httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text
        assert len(again.splitlines()) == len(page.splitlines())
        assert "first" not in again
        for odd in ("%00", "%2e%2e", "%1b%5b31m", "a%2fb", "\u202e", "x" * 20_000):
            assert set(ask_for_labels(server, [odd, odd])) <= {400, 404, 414, 431}, odd[:20]
        assert ask_for_labels(server, ["stable", "stable"]) == [200, 200]
        assert translated(server) == "b a"
        log = server.log.read_text()
        assert log.replace("\n", "").isprintable()
        assert "Traceback" not in log


@contextlib.contextmanager
def asking(server):
    """A client that asks meanwhile for the broken version and for the one that serves."""
    stop, seen = threading.Event(), []

    def ask():
        with httpx.Client(timeout=PATIENCE) as client:
            model = f"{server.url}/v1/models/{server.name}"
            while not stop.is_set():
                body = {"instances": ["a b"]}
                for path in ("/versions/2:predict", ":predict"):
                    seen.append((path, client.post(f"{model}{path}", json=body).status_code))
                client.get(f"{model}/versions/2")
                time.sleep(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("damage", ["garbage", "cut short", "without variables"])
def test_a_version_that_stays_broken_costs_little_and_loads_once_when_mended(tmp_path, damage):
    folder, good = tmp_path / "tiny", tmp_path / "good"
    folder.mkdir(), good.mkdir()
    export_tiny(folder, version=1, mark="old ")
    export_tiny(good, version=2, mark="new ")
    broken = shutil.copytree(good / "2", tmp_path / "2")
    model = broken / "saved_model.pb"
    if damage == "garbage":
        model.write_bytes(bytes(range(256)) * 100)
    elif damage == "cut short":
        model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    else:
        shutil.rmtree(broken / "variables")

    with running_server(folder, poll_seconds=0.05) as server:

        def states(version=2):
            return [
                event["state"]
                for event in server.events()
                if event["event"] == "version" and event["version"] == version
            ]

        def wait_for(state):
            give_up = time.monotonic() + 60
            while state not in states():
                assert time.monotonic() < give_up, states()
                time.sleep(0.05)

        memory = resident_mib(server)
        broken.rename(folder / "2")
        wait_for("END")
        began = time.monotonic()
        with asking(server) as seen:
            time.sleep(2.5 * RETRY_SECONDS)
        codes = {path: {status for other, status in seen if other == path} for path, _ in seen}
        assert codes == {"/versions/2:predict": {404}, ":predict": {200}}

        before = cpu_seconds(server), time.monotonic()
        time.sleep(4)
        # Looks at the folder twenty times a second, and does nothing else.
        assert cpu_seconds(server) - before[0] < 0.5 * (time.monotonic() - before[1])

        # Pauses of 10, 20, 40 ... seconds: so many tries have their time.
        tries, pause, passed = 1, RETRY_SECONDS, time.monotonic() - began + 1
        while passed > pause:
            passed, pause, tries = passed - pause, 2 * pause, tries + 1
        assert 2 <= states().count("LOADING") <= tries
        told = [event for event in server.events() if event["event"] != "request"]
        assert len(told) < 30
        assert max(map(len, server.log.read_text().splitlines())) < 5000
        assert resident_mib(server) < memory + 100

        shutil.rmtree(folder / "2")
        loads = len(states())
        shutil.copytree(good / "2", folder / ".unfinished-mended")
        (folder / ".unfinished-mended").rename(folder / "2")
        wait_for("AVAILABLE")
        assert translated(server) == "new b a"
        time.sleep(1)
        assert states()[loads:] == ["LOADING", "AVAILABLE"]
        assert states(1)[-1] == "END"
        assert "Traceback" not in server.log.read_text()
