"""Disks that are full, read-only or gone: nothing that was saved is lost, and there is one line."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from memory_disk import MemoryDisk, mounted_below

from keras_transformer.errors import InputError
from keras_transformer.exporting.saved_model import export
from keras_transformer.training.run import train
from keras_transformer.translating.translator import Translator

pytestmark = pytest.mark.slow

MEBIBYTE = 2**20


@pytest.fixture
def disk(tmp_path):
    disk = MemoryDisk(tmp_path / "disk", 24)
    yield disk
    disk.unmount()
    assert not mounted_below(tmp_path)


MAKES_A_DISK = """
import os, signal, sys
from pathlib import Path
from memory_disk import MemoryDisk
MemoryDisk(Path(sys.argv[1]), 1).fill()
os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_the_disk_of_a_killed_run_of_these_tests_is_unmounted(disk, tmp_path, signal):
    command = [sys.executable, "-c", MAKES_A_DISK, str(tmp_path / "other"), signal]
    done = subprocess.run(command, cwd=Path(__file__).parent, check=False)
    assert done.returncode < 0
    give_up = time.monotonic() + 20
    while mounted_below(tmp_path / "other"):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert mounted_below(tmp_path) == [str(disk.folder)]


def contents(folder) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("leave", [0, 20_000, 300_000])
def test_a_run_goes_on_once_a_full_disk_has_room(disk, tiny_corpus, tiny_config, leave):
    folder = disk.folder / "run"
    begun = tiny_config.replace({"training": {"max_steps": 60}})
    train(tiny_corpus, folder, begun)
    before = contents(folder)
    disk.fill(leave)
    more = begun.replace({"training": {"max_steps": 120}})
    refused(lambda: train(tiny_corpus, folder, more, resume=True), "free some space")
    after = contents(folder)
    kept = [name for name in before if name.startswith(("checkpoints", "model", "tokenizers"))]
    assert kept
    newest = max(name for name in after if name.startswith("checkpoints/checkpoint"))
    assert newest >= max(name for name in before if name.startswith("checkpoints/checkpoint"))
    assert not [name for name in after if "unfinished" in name]
    assert Translator.load(folder).translate(["o gato dorme ."])[0].text
    disk.empty()
    run = train(tiny_corpus, folder, more, resume=True)
    assert run.metrics["steps"] == 120


@pytest.mark.parametrize("leave", [0, 50_000, MEBIBYTE])
def test_an_export_to_a_full_disk_keeps_the_old_version(disk, tiny_run, leave):
    folder = disk.folder / "model"
    version = export(tiny_run.translator, folder, compiled=False)
    before = contents(version)
    disk.fill(leave)
    for options in ({}, {"version": 1, "overwrite": True}):
        refused(
            lambda options=options: export(tiny_run.translator, folder, compiled=False, **options),
            r"cannot be written \(No space left on device\): free some space",
        )
    assert contents(version) == before
    assert [path.name for path in folder.iterdir()] == ["1"]
    assert Translator.load(folder).translate(["o gato dorme ."])[0].text


def test_a_disk_that_may_only_be_read_is_read(disk, tiny_run, tiny_corpus, tiny_config):
    run, model = disk.folder / "run", disk.folder / "model"
    shutil.copytree(tiny_run.folder, run)
    export(tiny_run.translator, model, compiled=False)
    disk.make_read_only()
    expected = tiny_run.translator.translate(["o gato dorme ."])[0].text
    for folder in (run, model):
        assert Translator.load(folder).translate(["o gato dorme ."])[0].text == expected
    refused(lambda: export(tiny_run.translator, model), "Read-only file system")
    refused(lambda: train(tiny_corpus, run, tiny_config, resume=True), "Read-only file system")
    refused(lambda: train(tiny_corpus, disk.folder / "x", tiny_config), "Read-only file system")


def test_a_folder_that_vanishes_ends_a_run_in_one_line(tmp_path, tiny_corpus, tiny_config):
    import keras

    class TakesTheFolder(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if logs["step"] == 20:
                shutil.rmtree(tmp_path / "run")

    refused(
        lambda: train(tiny_corpus, tmp_path / "run", tiny_config, callbacks=[TakesTheFolder()]),
        "cannot be (written|made)",
    )


def test_a_full_cache_of_programs_stops_no_translation(disk, tiny_run):
    disk.fill()
    command = [sys.executable, "-c", "from keras_transformer.cli import main; main()", "translate"]
    command += ["--model", str(tiny_run.folder), "--compile", "o gato dorme ."]
    environment = {key: value for key, value in os.environ.items() if key != "TF_XLA_FLAGS"}
    environment["XDG_CACHE_HOME"] = str(disk.folder)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tiny_run.translator.translate(['o gato dorme .'])[0].text}\n"


def test_every_bit_of_the_weights_counts(tiny_run, tmp_path):
    """A random bit of the values is flipped, a hundred times; each is noticed."""
    from keras_transformer.models.runs import check_weights

    path = tmp_path / "model.weights.h5"
    shutil.copy(tiny_run.folder / path.name, path)
    places = []
    with h5py.File(path) as file:
        file.visititems(
            lambda _, item: (
                places.append((item.id.get_offset(), item.nbytes))
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    places = [(offset, size) for offset, size in places if offset is not None]
    content = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(100):
        offset, size = places[rng.integers(len(places))]
        damaged = bytearray(content)
        damaged[offset + rng.integers(size)] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            check_weights(path)
