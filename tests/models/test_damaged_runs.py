"""What is kept of a run is known to be what was written, or refused in one line."""

import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from keras_transformer.errors import InputError
from keras_transformer.models.runs import check_weights, load_run


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a run folder, to damage."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "model.weights.h5", "tokenizers"):
        source = tiny_run.folder / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def first_dataset(file, prefix="encoder"):
    found = []
    file[prefix].visititems(lambda _, item: found.append(item) if hasattr(item, "shape") else None)
    return next(dataset for dataset in found if dataset.dtype == np.float32 and dataset.size > 1)


def refused(folder, message):
    with pytest.raises(InputError, match=message) as error:
        load_run(folder)
    assert "\n" not in str(error.value)


def test_a_flipped_bit_in_a_weight_is_noticed(run):
    load_run(run)
    path = run / "model.weights.h5"
    with h5py.File(path) as file:
        dataset = first_dataset(file)
        place = dataset.id.get_offset()
    content = bytearray(path.read_bytes())
    content[place + 3] ^= 0x40  # in the exponent
    path.write_bytes(content)
    refused(run, r"model\.weights\.h5: is damaged \(its checksum is another\)")


def test_weights_of_version_0_1_have_no_checksum_and_must_be_finite(run):
    with h5py.File(run / "model.weights.h5", "r+") as file:
        del file.attrs["keras_transformer_sha256"]
    load_run(run)
    with h5py.File(run / "model.weights.h5", "r+") as file:
        dataset = first_dataset(file)
        dataset[0] = np.nan
    refused(run, "no finite numbers")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "is damaged"),
        (lambda path: path.write_bytes(b"nonsense"), "is damaged"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_a_file_that_is_cut_short_is_refused(run, damage, message):
    damage(run / "model.weights.h5")
    refused(run, message)


def test_a_file_may_not_lead_elsewhere_or_promise_more_than_it_holds(run, tmp_path):
    path = run / "model.weights.h5"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.ones(3)
    with h5py.File(path, "r+") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
    refused(run, "link is a link")
    with h5py.File(path, "r+") as file:
        del file["link"]
        file.create_dataset("empty", (700_000_000,), "float32", chunks=(1000,))
    refused(run, "empty holds less than its shape says")


def test_a_flipped_bit_in_a_vocabulary_is_noticed(run):
    path = next((run / "tokenizers").glob("source.*"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"[START]", b"[STARU]"))
    if path.read_bytes() == content:
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    refused(run, "is damaged or was changed: its sha256")
    listed = run / "tokenizers" / "tokenizers.json"
    description = json.loads(listed.read_text())
    del description["source"]["sha256"]  # as version 0.1 wrote it, or somebody who means it
    listed.write_text(json.dumps(description))
    path.write_bytes(content)
    load_run(run)


@pytest.mark.parametrize("content", ['{"config": ' + "[" * 100_000, "[" * 100_000, "\xff", "[]"])
def test_a_configuration_that_is_none_is_refused(run, content):
    (run / "config.json").write_text(content, encoding="latin-1")
    refused(run, r"config\.json")


def test_a_configuration_that_asks_for_more_than_is_stored_takes_no_memory(run):
    path = run / "config.json"
    content = json.loads(path.read_text())
    content["config"]["model"] |= {"d_model": 65536, "dff": 65536, "num_layers": 6}
    path.write_text(json.dumps(content))
    code = (
        "import resource, sys\n"
        "from keras_transformer.models.runs import load_run\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    load_run(sys.argv[1])\n"
        "except ValueError as error:\n"
        "    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True
    )
    *message, kilobytes = done.stdout.splitlines()
    assert len(message) == 1
    assert "and config.json asks for" in message[0]
    assert int(kilobytes) < 500_000


def test_what_is_checked_is_counted(tiny_run):
    weights = tiny_run.model.weights
    assert check_weights(tiny_run.folder / "model.weights.h5") >= sum(
        int(np.prod(weight.shape)) for weight in weights
    )
