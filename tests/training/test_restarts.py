"""`train --restarts N`: what ends a training by force does not end the command."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from kill_and_resume import differences
from test_distribution import free_ports

from keras_transformer.cli import restarts
from keras_transformer.cli.restarts import LOST, run_with_restarts, without_restarts

SECONDS = 400
"""After which a process counts as stuck."""


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Has the command do what a shell script says for each time it is run; returns the calls."""
    calls = tmp_path / "calls"

    def program(*scripts):
        for number, script in enumerate(scripts):
            (tmp_path / str(number)).write_text(script)
        python = tmp_path / "python"
        count = "number=$(cat calls 2>/dev/null | wc -l)"
        python.write_text(f'#!/bin/sh\ncd {tmp_path}\n{count}\necho "$@" >> calls\n. ./$number\n')
        python.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(python))
        monkeypatch.setattr(restarts, "SECONDS_BETWEEN", 0.0)
        return lambda: calls.read_text().splitlines()

    return program


def test_what_is_lost_is_started_again_with_resume(play, capfd):
    calls = play("kill -9 $$", f"exit {LOST}", "exit 0")
    assert run_with_restarts(["train", "--output", "run"], 5) == 0
    first = "-m keras_transformer train --output run"
    assert calls() == [first, f"{first} --resume", f"{first} --resume"]
    said = capfd.readouterr().err
    assert "signal 9 ended it" in said
    assert "another host is gone" in said
    assert "3 more times" in said


def test_no_more_often_than_said(play):
    calls = play(*["kill -9 $$"] * 3)
    assert run_with_restarts(["train", "--resume"], 2) == 128 + 9
    assert calls() == ["-m keras_transformer train --resume"] * 3


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_other_ends_are_ends(code, play):
    calls = play(f"exit {code}", "exit 0")
    assert run_with_restarts(["train"], 3) == code
    assert len(calls()) == 1


def test_a_signal_is_passed_on_and_ends_it(play):
    calls = play("trap 'exit 130' TERM; kill -TERM $PPID; sleep 60 & wait", "exit 0")
    assert run_with_restarts(["train"], 3) == 130
    assert len(calls()) == 1


def test_the_option_is_taken_out():
    arguments = ["train", "--restarts", "3", "--output", "run"]
    assert without_restarts(arguments) == ["train", "--output", "run"]
    assert without_restarts(["train", "--restarts=3"]) == ["train"]


TRAINING = ["train", "--dataset", "sample", "--preset", "quick", "--max-steps", "60"]
CONFIG = {
    "model": {"num_layers": 1, "d_model": 16, "num_heads": 2, "dff": 16},
    "training": {"checkpoint_minutes": 0.01, "epochs": None, "bleu_sentences": 0},
}


def start(folder, *options, worker=None, ports=()):
    config = folder / "config.yaml"
    config.write_text(json.dumps(CONFIG))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("TF_CONFIG", None)
    if worker is not None:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    command = [sys.executable, "-m", "keras_transformer", *TRAINING, "--config", str(config)]
    return subprocess.Popen(
        [*command, *options], env=environment, stderr=subprocess.PIPE, text=True
    )


def child_of(process) -> int:
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return int(file.read().split()[0])


def kill_training(process, folder):
    """Kills the training of a command, once there is a checkpoint in the middle of it."""
    deadline = time.monotonic() + SECONDS
    while not list((folder / "checkpoints").glob("*.npz")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(child_of(process), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="finds processes in /proc")
def test_a_training_that_is_killed_ends_as_one_that_is_not(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(tmp_path, "--output", str(whole))
    assert process.wait(SECONDS) == 0
    process = start(tmp_path, "--restarts", "2", "--output", str(killed))
    kill_training(process, killed)
    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0, said
    assert "signal 9 ended it" in said
    assert "going on after step" in said
    assert not differences(*(folder / "model.weights.h5" for folder in (whole, killed)))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="finds processes in /proc")
def test_a_run_that_loses_a_host_goes_on(tmp_path):
    ports, folder = free_ports(2), tmp_path / "run"
    hosts = [
        start(
            tmp_path,
            *("--strategy", "multiworker", "--restarts", "4", "--output", str(folder)),
            worker=worker,
            ports=ports,
        )
        for worker in (0, 1)
    ]
    try:
        kill_training(hosts[1], folder)
        said = [host.communicate(timeout=SECONDS)[1] for host in hosts]
    finally:
        for host in hosts:
            host.terminate()
    assert [host.returncode for host in hosts] == [0, 0], said
    assert "another host is gone" in said[0]
    assert "signal 9 ended it" in said[1]
    assert json.loads((folder / "metrics.json").read_text())["steps"] == 60
