"""The cache of compiled programs: the next process finds what the last one compiled."""

import os
import subprocess
import sys

import pytest

from keras_transformer.compile_cache import use_compile_cache

PROGRAM = """
import sys
from keras_transformer.compile_cache import use_compile_cache
use_compile_cache(sys.argv[1])
import tensorflow as tf
f = tf.function(lambda x: tf.reduce_sum(tf.tanh(tf.matmul(x, x))), jit_compile=True)
print(float(f(tf.ones((8, 8)))))
"""


def run(folder):
    environment = {key: value for key, value in os.environ.items() if key != "TF_XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, {
        path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def test_the_next_process_compiles_nothing_anew(tmp_path):
    first, compiled = run(tmp_path)
    assert compiled
    second, found = run(tmp_path)
    assert (second, found) == (first, compiled)


def test_what_the_user_has_set_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=0")
    assert use_compile_cache(tmp_path) is None
    assert os.environ["TF_XLA_FLAGS"] == "--tf_xla_auto_jit=0"


@pytest.mark.parametrize("is_file", [True, False])
def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch, is_file):
    monkeypatch.setenv("TF_XLA_FLAGS", "restored after the test")
    monkeypatch.delenv("TF_XLA_FLAGS")
    folder = tmp_path / "cache"
    if is_file:
        folder.write_text("in the way")
    made = use_compile_cache(folder)
    assert (made is None) == is_file
    assert ("TF_XLA_FLAGS" in os.environ) != is_file
