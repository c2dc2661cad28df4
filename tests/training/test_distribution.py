"""However many devices and hosts train, losses and weights are those of one device."""

import csv
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import distributed_run
import numpy as np
import pytest

from keras_transformer.errors import InputError
from keras_transformer.training.distribution import make_strategy

SCRIPT = Path(distributed_run.__file__)
SECONDS = 240  # after which a process counts as stuck


def start(*arguments, worker=None, ports=()):
    """Starts the script, as one of the hosts on these ports if `worker` is its number."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment.pop("TF_CONFIG", None)
    if worker is not None:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    """Waits for the processes, which are to succeed; returns what they wrote."""
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output[-5000:]
    return outputs


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def on_two_hosts(verb, outputs, *arguments):
    """Runs the script on two hosts of this machine, each with an output of its own."""
    ports = free_ports(2)
    return finish(
        *(
            start(verb, "multiworker", output, *arguments, worker=worker, ports=ports)
            for worker, output in enumerate(outputs)
        )
    )


# Steps


# Steps of one micro-batch are tested with the slow tests: those of two do all that they do.
MICRO_BATCHES = [pytest.param(1, marks=pytest.mark.slow), 2]


@pytest.fixture(scope="module")
def expected():
    """A function that gives the training of one device for a number of micro-batches."""
    return functools.cache(lambda number: distributed_run.train_steps(None, number))


def mirrored_steps(folder, micro_batches):
    finish(start("steps", "mirrored", folder / "steps.npz", micro_batches))
    return np.load(folder / "steps.npz")


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    return mirrored_steps(tmp_path_factory.mktemp("mirrored"), 2)


def steps_of_hosts(folder, micro_batches):
    outputs = [folder / "0.npz", folder / "1.npz"]
    on_two_hosts("steps", outputs, micro_batches)
    return [np.load(output) for output in outputs]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    return steps_of_hosts(tmp_path_factory.mktemp("hosts"), 2)


def assert_same_training(found, expected):
    seen, wanted = found["seen"], expected["seen"]
    np.testing.assert_array_equal(seen[:, 1:3], wanted[:, 1:3])  # hits and tokens
    np.testing.assert_allclose(seen[:, [0, 3, 6]], wanted[:, [0, 3, 6]], rtol=1e-4)
    for name in ("weights", "averages"):
        np.testing.assert_allclose(found[name], expected[name], atol=2e-5)


def test_two_devices_train_as_one(mirrored, expected):
    assert_same_training(mirrored, expected(2))


@pytest.mark.slow
def test_two_devices_whose_step_xla_compiles_train_as_one(expected, tmp_path):
    assert_same_training(mirrored_steps(tmp_path, 1), expected(1))


@pytest.mark.parametrize("micro_batches", MICRO_BATCHES)
def test_a_strategy_of_one_device_trains_as_none(micro_batches, expected):
    found = distributed_run.train_steps(make_strategy("mirrored"), micro_batches)
    assert_same_training(found, expected(micro_batches))


def test_two_hosts_train_as_one_device(hosts, expected):
    for host in hosts:
        assert_same_training(host, expected(2))


@pytest.mark.slow
def test_two_hosts_train_as_one_device_on_undivided_batches(expected, tmp_path):
    for host in steps_of_hosts(tmp_path, 1):
        assert_same_training(host, expected(1))


def test_what_one_host_requests_reaches_all(hosts):
    for host in hosts:
        np.testing.assert_array_equal(host["seen"][:, 4], [0, 1, 0, 0])  # of the second host
        np.testing.assert_array_equal(host["seen"][:, 5], [0, 0, 1, 0])  # of the first


def test_replicas_drop_differently(mirrored, hosts):
    first, second = mirrored["dropped"]
    assert 0.3 < np.mean(first != second) < 0.7
    np.testing.assert_array_equal(hosts[0]["dropped"][0], first)
    np.testing.assert_array_equal(hosts[1]["dropped"][0], second)


# Runs


def log_of(folder):
    """The numbers of a run's log, without those of the clock."""
    with open(folder / "training_log.csv") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "tokens_per_second"]
    return names, np.array([[float(row[name]) for name in names] for row in rows])


def assert_same_log(folder, expected):
    names, numbers = log_of(folder)
    wanted_names, wanted = log_of(expected)
    assert names == wanted_names
    assert len(wanted) == 2  # the resumed run came back into the first epoch
    np.testing.assert_allclose(numbers, wanted, rtol=1e-4, err_msg=str(names))


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    return distributed_run.train(tmp_path_factory.mktemp("runs") / "one", 6).folder


@pytest.mark.slow
def test_a_run_on_two_devices_and_its_resumption_equal_one_device(one_run, tmp_path):
    finish(start("train", "mirrored", tmp_path / "run", 3, 6))
    assert_same_log(tmp_path / "run", one_run)


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_run_on_two_hosts_and_its_resumption_equal_one_device(one_run, tmp_path):
    folders = chief, other = tmp_path / "chief", tmp_path / "other"
    on_two_hosts("train", folders, 3)
    assert not files_of(other)
    # Hosts are to see one folder. This copy of it tells who writes.
    shutil.copytree(chief, other, dirs_exist_ok=True)
    before = files_of(other)
    on_two_hosts("train", folders, 6)
    assert files_of(other) == before
    assert_same_log(chief, one_run)


# `fit`


def test_fit_on_two_devices_weighs_tokens_as_on_one(mirrored):
    """Keras adds up the replicas' losses: twice the loss, and all replicas count alike."""
    expected = distributed_run.fit()
    np.testing.assert_allclose(mirrored["fit_log"], expected["fit_log"], rtol=1e-5)
    np.testing.assert_allclose(mirrored["fit_weights"], expected["fit_weights"], atol=2e-5)


# Making a strategy


def test_one_device_needs_no_strategy():
    assert make_strategy("one") is None


@pytest.mark.parametrize(
    "settings",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"cluster": {"worker": ["127.0.0.1:1"]}}',
        '{"cluster": {}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": "0"}}',
        '{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": 3}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": "host"}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_damaged_tf_config_is_explained(settings, monkeypatch):
    if settings is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", settings)
    with pytest.raises(InputError, match=r"TF_CONFIG: .*\"cluster\"") as caught:
        make_strategy("multiworker")
    assert "\n" not in str(caught.value)
