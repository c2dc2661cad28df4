"""The number format of a training that leaves it open."""

import json

import pytest
import tensorflow as tf

from keras_transformer.config import preset
from keras_transformer.training import precision
from keras_transformer.training.run_folder import RunFolder


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine without a GPU, whose processor has the given flags."""

    def make(flags):
        path = tmp_path / "cpuinfo"
        path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
        monkeypatch.setattr(precision, "CPU_INFO", path)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])

    return make


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("fpu avx2 avx512f avx512_bf16", "mixed_bfloat16"),
        ("fpu avx512f amx_bf16 amx_tile", "mixed_bfloat16"),
        ("fpu avx2 fma avx512f", "float32"),
        ("", "float32"),
    ],
)
def test_a_processor_computes_in_what_it_has_instructions_for(machine, flags, dtype):
    machine(flags)
    assert precision.fastest_dtype() == dtype


def test_a_system_that_does_not_tell_gets_float32(machine, monkeypatch, tmp_path):
    machine("avx512_bf16")
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "absent")
    assert precision.fastest_dtype() == "float32"


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [([(9, 0)], "mixed_bfloat16"), ([(7, 5)], "float32"), ([(8, 0), (7, 0)], "float32")],
)
def test_all_gpus_must_have_it(monkeypatch, capabilities, dtype):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": gpu}
    )
    assert precision.fastest_dtype() == dtype


def test_a_run_records_what_was_chosen_and_goes_on_with_it(machine, tiny_corpus, tmp_path):
    machine("avx512_bf16")
    config = preset("quick").replace({"training": {"dtype": "auto"}})
    begun = RunFolder(tmp_path).begin(tiny_corpus, config, resume=False)
    assert begun.training.dtype == "mixed_bfloat16"
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["config"]["training"]["dtype"] == "mixed_bfloat16"

    machine("fpu")
    resumed = RunFolder(tmp_path).begin(tiny_corpus, config, resume=True)
    assert resumed == begun
