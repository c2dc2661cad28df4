"""Versions come and go, and the server stops, without a failed request; what is wrong is said."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from tiny_server import export_tiny, running_server

from keras_transformer.errors import InputError
from keras_transformer.serving import Settings, serve


@contextmanager
def asking(server, clients=6, text="um wait dois"):
    """Clients that ask one request after the other; gives the list of their statuses and texts."""
    found, ended = [], threading.Event()

    def ask():
        with httpx.Client(timeout=30) as client:
            while not ended.is_set():
                sent = time.monotonic()
                try:
                    answer = client.post(server.predict, json={"instances": [text]})
                except httpx.TransportError as error:
                    found.append((sent, None, repr(error)))
                    return
                found.append((sent, answer.status_code, answer.text))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def states(server):
    answer = httpx.get(f"{server.url}/v1/models/{server.name}").json()
    return {int(one["version"]): one["state"] for one in answer["model_version_status"]}


def wait_for(condition, seconds=40):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "did not come about"
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path, tiny_export):
    """A folder of versions to change, with version 1."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_export, folder)
    return folder


def test_versions_come_go_and_break_and_sigterm_comes_without_a_failed_request(folder):
    with running_server(folder) as server:
        with asking(server, text="um dois") as found:
            new = export_tiny(folder.parent, version=2, mark="new ")
            new.rename(folder / "2")
            wait_for(lambda: states(server).get(2) == "AVAILABLE")
            wait_for(lambda: states(server)[1] == "END")
            answer = httpx.post(server.predict, json={"instances": ["um dois"]}).json()
            assert answer["predictions"][0]["translation"] == "new dois um"
            old = server.predict.replace(":predict", "/versions/1:predict")
            assert httpx.post(old, json={"instances": ["a"]}).status_code == 404

            broken = folder / "3"
            broken.mkdir()
            (broken / "saved_model.pb").write_bytes(b"nothing of the kind")
            wait_for(lambda: 3 in states(server))
            wait_for(lambda: states(server)[3] == "END")
            status = httpx.get(f"{server.url}/v1/models/tiny/versions/3").json()
            reported = status["model_version_status"][0]["status"]
            assert reported["error_code"] != "OK"
            assert "log" in reported["error_message"]
            assert str(folder.parent) not in reported["error_message"]
            time.sleep(0.6)  # several looks at the folder
            errors = [event for event in server.events() if event.get("version") == 3]
            assert [event["state"] for event in errors if event.get("error")] == ["END"]
            assert str(broken) in errors[-1]["error"]
            assert httpx.get(f"{server.url}/readyz").json()["version"] == 2

            shutil.rmtree(broken)
            shutil.copytree(folder / "1", folder / ".copy")
            (folder / ".copy").rename(broken)
            wait_for(lambda: states(server)[3] == "AVAILABLE")
        assert {status for _, status, _ in found} == {200}
        texts = {text for _, _, text in found}
        assert len(texts) == 2, texts

        with asking(server, clients=8) as found:
            wait_for(lambda: len(found) >= 8)
            signalled = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
        before = [(status, text) for sent, status, text in found if sent < signalled]
        assert {status for status, _ in before} <= {200, 503}, before
        assert sum(status == 200 for status, _ in before) >= 8
        accepted = [text for status, text in before if status == 200]
        assert all("dois wait um" in text for text in accepted)
        # A connection can still be refused, or closed while a request is on its way to it.
        assert {status for sent, status, _ in found if sent >= signalled} <= {200, 503, None}
        assert [event for event in server.events() if event["event"] == "stopped"]


def wait_for_the_compiled_twin(server):
    """Programs are compiled beside the first answers, which are the plain graph's."""
    give_up = time.monotonic() + 30
    while True:
        answer = httpx.post(server.predict, json={"instances": ["a b"]}).json()
        if answer["predictions"][0]["translation"] == "B A":
            return
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_a_stopping_server_is_not_ready_and_gives_up_in_time(folder):
    shutil.rmtree(folder / "1")
    slow = export_tiny(folder.parent, seconds=3.0, twin=True)
    slow.rename(folder / "1")
    with running_server(folder, drain_seconds=1, compile=True) as server:
        wait_for_the_compiled_twin(server)
        found = []

        def ask():
            with httpx.Client(timeout=30) as client:
                found.append(client.post(server.predict, json={"instances": ["wait"]}))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.5)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        refused = httpx.post(server.predict, json={"instances": ["a"]})
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert refused.headers["connection"] == "close"
        assert server.process.wait(30) == 0
        thread.join()
        (given_up,) = found
        assert given_up.status_code == 503
        assert "stopped" in given_up.json()["error"]
        assert "retry-after" in given_up.headers


def test_a_second_signal_ends_a_batch_and_a_hangup_does_not_count(folder):
    shutil.rmtree(folder / "1")
    export_tiny(folder.parent, seconds=60.0).rename(folder / "1")
    with running_server(folder, drain_seconds=60) as server, ThreadPoolExecutor() as threads:
        waiting = threads.submit(
            httpx.post, server.predict, json={"instances": ["wait"]}, timeout=60
        )
        wait_for(lambda: "active_requests 1.0" in httpx.get(f"{server.url}/metrics").text)
        server.process.send_signal(signal.SIGHUP)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        time.sleep(1)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        answer = waiting.result()
        assert answer.status_code == 503
        assert "stopped" in answer.json()["error"]
        assert server.events()[-1]["event"] == "stopped"


def test_wrong_folders_ports_and_settings_are_said_in_one_line(tmp_path, folder):
    with pytest.raises(InputError, match="is no folder"):
        serve(tmp_path / "none")
    with pytest.raises(InputError, match="no version"):
        serve(tmp_path)
    with pytest.raises(InputError, match="folder above"):
        serve(folder / "1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="another --port"):
            serve(folder, port=port)
        with pytest.raises(InputError, match="another --grpc-port"):
            serve(folder, port=0, grpc_port=port)
    with pytest.raises(InputError, match="another --host"):
        serve(folder, host="256.1.1.1")
    (folder / "1" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"saved_model\.pb"):
        serve(folder, port=0, grpc_port=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a/b"),
        ("name", "a b"),
        ("port", 70000),
        ("grpc_port", -1),
        ("max_batch_size", 0),
        ("max_queue", 0),
        ("deadline", 0),
        ("deadline", float("nan")),
        ("poll_seconds", float("inf")),
        ("retry_seconds", 0),
        ("drain_seconds", -1),
        ("max_texts", 5000),
    ],
)
def test_wrong_settings_name_their_option(field, value):
    with pytest.raises(InputError, match=f"--{field.replace('_', '-')}"):
        Settings("saved_models/pt_en", **{field: value})


@pytest.mark.parametrize("labels", [{"a b": 1}, {"": 1}, {"a": -1}, {"a": 2**63}, {"a": "1"}])
def test_wrong_labels_are_named(labels):
    with pytest.raises(InputError, match="--label"):
        Settings("saved_models/pt_en", labels=labels)


def test_the_name_is_the_folders_unless_given():
    assert Settings("saved_models/pt_en").name == "pt_en"
    assert Settings("saved_models/pt_en/").name == "pt_en"
    assert Settings("saved_models/pt_en", name="other").name == "other"


def test_a_missing_extra_names_the_remedy(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r'pip install "keras_transformer\[serve\]"'):
        serve(folder)


def test_the_server_knows_nothing_of_the_models():
    code = (
        "import sys, keras_transformer.serving.server\n"
        "known = [name for name in sys.modules if name.startswith('keras_transformer.')]\n"
        "allowed = ('documents', 'errors', 'files', 'languages', 'serving', 'unicode')\n"
        "names = ('exporting', 'exporting.format', 'exporting.functions', 'internals', 'data',\n"
        "    'data.glossary', 'data.tokenizers', 'data.tokenizers.surfaces',\n"
        "    'data.tokenizers.token_links')\n"
        "known = [name.partition('.')[2] for name in known]\n"
        "known = [name for name in known if not (name + '.').startswith('data.text.')]\n"
        "rest = [name for name in known if name not in names]\n"
        "print([name for name in rest if name.split('.')[0] not in allowed])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
