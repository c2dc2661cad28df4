"""The package as a whole: its names, and what importing it does."""

import subprocess
import sys

import pytest

import keras_transformer as kt


@pytest.mark.parametrize("name", sorted(kt.__all__))
def test_every_public_name_is_there_and_documented(name):
    assert getattr(kt, name).__doc__


@pytest.mark.parametrize("package", ["keras_transformer", "keras_transformer.data"])
def test_importing_the_package_imports_no_tensorflow(package):
    code = f"import sys, {package}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_fresh_process_loads_a_compiled_model(tmp_path):
    model = kt.Transformer(
        num_layers=1, d_model=8, num_heads=2, dff=8, input_vocab_size=9, target_vocab_size=9
    )
    model.compile(loss=kt.masked_loss, optimizer="adam", metrics=[kt.masked_accuracy])
    model.save(tmp_path / "model.keras")
    code = (
        "import sys, keras_transformer as kt; model = kt.load_model(sys.argv[1]);"
        "assert model.compiled and model.count_params() == int(sys.argv[2])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.keras"), str(model.count_params())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
