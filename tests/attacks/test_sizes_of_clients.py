"""Clients who choose sizes that no program of XLA is there for keep nobody waiting."""

import threading
import time

import httpx
import pytest
from tiny_server import running_server

from keras_transformer.exporting import export

pytestmark = pytest.mark.slow

SECONDS = 20


@pytest.fixture(scope="module")
def server(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models") / "tiny"
    export(tiny_run.translator, folder)
    with running_server(folder, start_seconds=400, compile=True, max_batch_size=16) as running:
        yield running


def translations(answer):
    return [row["translation"] for row in answer.json()["predictions"]]


@pytest.mark.parametrize("attack", ["beams", "lengths and numbers of texts", "signatures"])
def test_sizes_that_clients_choose_make_nobody_wait_for_xla(server, attack):
    ended = threading.Event()
    failures = []

    def contents(number):
        """What the attackers ask, one after the other."""
        while True:
            for i in range(1, 16):
                number += 1
                if attack == "beams":
                    beam = {"beam_size": 1 + i, "length_penalty": 0.1 * i, "max_length": i}
                    inputs = {"text": [f"o gato {number}"] * (1 + number % 3), **beam}
                    yield {"signature_name": "translate_beam", "inputs": inputs}
                elif attack == "signatures":
                    name = ("attention", "corpus_style", "tokenize")[i % 3]
                    yield {"signature_name": name, "inputs": [f"o gato {number}"] * i}
                else:
                    yield {"instances": [" ".join("a" * (7 * i)) + str(number)] * i}

    def ask(number):
        with httpx.Client(timeout=60) as client:
            for content in contents(number):
                if ended.is_set():
                    return
                answer = client.post(server.predict, json=content)
                if answer.status_code != 200:
                    failures.append(answer.text)

    with httpx.Client(timeout=60) as client:
        good = {"instances": ["O gato viu o cachorro."]}
        expected = translations(client.post(server.predict, json=good))
        attackers = [threading.Thread(target=ask, args=(1000 * i,)) for i in range(2)]
        for thread in attackers:
            thread.start()
        seconds = []
        give_up = time.monotonic() + SECONDS
        try:
            while time.monotonic() < give_up:
                started = time.monotonic()
                answer = client.post(server.predict, json=good)
                seconds.append(time.monotonic() - started)
                assert translations(answer) == expected
        finally:
            ended.set()
            for thread in attackers:
                thread.join()
    assert not failures
    assert max(seconds) < 8, "somebody waited for a program"
    assert sorted(seconds)[len(seconds) // 2] < 2
