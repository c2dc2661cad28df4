"""What `benchmarks/gpu_attention.py` takes to a GPU machine, tried on the CPU."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from attention_in_float64 import attention, keep_of

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not here")

SMALL = ["--lengths", "128", "--tokens", "512", "--heads", "2", "--depth", "16"]


@pytest.fixture
def runner_module(monkeypatch):
    """A function that imports a file of the runner."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "gpu_attention_runner"))
    return importlib.import_module


def lower(folder: Path, *options) -> Path:
    """Runs the command ``lower`` in this process; gives the folder."""
    command = ["gpu_attention.py", "lower", "--output", str(folder), *SMALL, *options]
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(BENCHMARKS))
        patched.setattr(sys, "argv", command)
        assert importlib.import_module("gpu_attention").main() == 0
    return folder


@pytest.fixture(scope="module")
def lowered_for_gpus(tmp_path_factory):
    """A folder with modules for the GPU; tests may run what is in it."""
    pytest.importorskip("jax")
    return lower(tmp_path_factory.mktemp("gpu") / "lowered", "--steps", "tiny")


def run(folder: Path, *options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, folder / "runner.py", "--json", folder / "results.json", *options],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("causal", [False, True])
def test_the_truth_is_that_of_the_other_tests(causal, rng, runner_module):
    """And does not change with the number of queries at a time."""
    float64_attention = runner_module("float64_attention")
    names = ("query", "key", "value", "output_gradient")
    inputs = {name: rng.normal(size=(5, 700, 2, 4)) for name in names}
    inputs["key_lengths"] = np.array([700, 0, 1, 600, 450])
    keep = keep_of(inputs["query"], inputs["key"], key_lengths=inputs["key_lengths"], causal=causal)
    *expected, _ = attention(*(inputs[name] for name in names), keep)
    whole = dict(zip(float64_attention.NAMES, expected, strict=True))

    truth = float64_attention.truth(inputs, causal)
    assert max(truth.errors(whole, with_empty_rows=True).values()) < 1e-12
    assert truth.hidden_is_zero(whole)
    whole["key_gradient"][1, 5, 0] = 1e-3  # of the row without keys
    assert not truth.hidden_is_zero(whole)
    assert truth.errors(whole, with_empty_rows=True)["key_gradient"] > 1e-6
    assert truth.errors(whole, with_empty_rows=False)["key_gradient"] < 1e-12


def test_modules_for_the_gpu_hold_the_calls_in_either_version(lowered_for_gpus, runner_module):
    programs = runner_module("programs")
    folder = lowered_for_gpus
    manifest, lowered = programs.load(folder)
    assert manifest["platform"] == "GPU"
    assert {file.name for file in folder.glob("*.py")} == {
        file.name for file in (BENCHMARKS / "gpu_attention_runner").glob("*.py")
    }
    with_cudnn = [each for each in lowered if each.implementation == "cudnn"]
    assert len(with_cudnn) == 2 * 8 + 1  # both layouts and all of masks and passes; a step
    for program in lowered:
        assert bool(program.custom_calls) == (program in with_cudnn)
        assert len(program.inputs()) == len(program.arguments)
    (step,) = (each for each in with_cudnn if each.kind == "training step")
    assert step.custom_calls == ["__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"]  # no mask
    for program in with_cudnn[:8]:
        backward = {"__cudnn$fmhaSoftmaxBackward"} if program.backward else set()
        assert set(program.custom_calls) == {"__cudnn$fmhaSoftmax"} | backward
        for version in (3, 2):
            assert versions_of_calls(programs, program, version) == {version}


def versions_of_calls(programs, program, version) -> set[int]:
    import jax.extend.mlir.ir as ir
    from jax.extend.mlir.dialects import stablehlo
    from jax.interpreters import mlir

    with mlir.make_ir_context() as context, ir.Location.unknown():
        artifact = programs.portable(program.artifact, version)
        module = stablehlo.deserialize_portable_artifact(context, artifact)
        calls = programs.custom_calls(module)
        assert len(calls) == len(program.custom_calls)
        return {int(re.match("[0-9]+", str(call.attributes["api_version"]))[0]) for call in calls}


def test_without_a_gpu_the_runner_says_so_in_one_line(lowered_for_gpus):
    result = run(lowered_for_gpus)
    assert result.returncode == 1
    assert "no GPU" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_on_the_cpu_everything_agrees_but_what_was_swapped(tmp_path):
    pytest.importorskip("jax")
    folder = lower(tmp_path / "lowered", "--platform", "CPU", "--steps", "tiny")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    programs = {program["name"]: program for program in manifest["programs"]}
    swapped = programs["blockwise-length_first-128-causal"]
    swapped["file"] = programs["blockwise-length_first-128"]["file"]
    path.write_text(json.dumps(manifest))

    result = run(folder, "--device", "cpu", "--rounds", "1")
    results = json.loads((folder / "results.json").read_text())
    (complaint,) = results["complaints"]
    assert result.returncode == 1
    assert "blockwise" in complaint
    assert "masks causal, forward: output is off by" in complaint
    parts = [row["part"] for row in results["rows"]]
    assert parts == ["attention"] * 8 + ["training"] * 2
    for row in results["rows"][:8]:
        assert {"blockwise", "reference", "JAX XLA"} <= set(row["seconds"])
        assert max(row["errors"]["reference"].values()) < 1e-2
    for row in results["rows"][8:]:
        assert row["gradient_error"] < 2e-2
