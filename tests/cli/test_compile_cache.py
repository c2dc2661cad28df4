"""The cache of compiled programs: the next process finds what the last one compiled."""

import os
import shutil
import subprocess
import sys

import pytest

from keras_transformer import compile_cache
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
    return done.stdout, {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.pb")}


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


def entry_of(folder):
    return next(path for path in folder.rglob("*.pb"))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:500])


@pytest.fixture
def no_flags(monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "restored after the test")
    monkeypatch.delenv("TF_XLA_FLAGS")
    return lambda: monkeypatch.delenv("TF_XLA_FLAGS", raising=False)


def test_a_damaged_program_is_compiled_anew(tmp_path, no_flags):
    first, _ = run(tmp_path)
    entry = entry_of(tmp_path)
    whole = entry.read_bytes()
    cut(entry)  # before anybody has seen it
    assert run(tmp_path)[0] == first
    assert use_compile_cache(tmp_path)  # which remembers how the entry looks
    for damage in (flip, cut):
        entry.write_bytes(whole)
        damage(entry)
        no_flags()
        use_compile_cache(tmp_path)
        assert not list(tmp_path.rglob("*.pb*"))


def test_the_cache_has_a_size_and_nothing_unfinished(tmp_path, no_flags, monkeypatch):
    folder = use_compile_cache(tmp_path)
    message = b"\x0a\x7f" + bytes(127)
    for i in range(4):
        (folder / f"{i}.pb").write_bytes(message)
        os.utime(folder / f"{i}.pb", (i, i))
    (folder / "9.pb-1.tmp").write_bytes(message)
    os.utime(folder / "9.pb-1.tmp", (0, 0))
    (folder / "8.pb-1.tmp").write_bytes(message)  # another process may be writing it
    monkeypatch.setattr(compile_cache, "MOST_BYTES", 2 * len(message))
    no_flags()
    use_compile_cache(tmp_path)
    names = {path.name for path in folder.iterdir() if not path.name.endswith(".sha256")}
    assert len(names) == 3
    assert "8.pb-1.tmp" in names


def test_where_nothing_may_be_written_it_is_only_read(tmp_path, no_flags, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert use_compile_cache(tmp_path)
    assert os.environ["TF_XLA_FLAGS"].endswith("read_only=true")
    no_flags()
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert use_compile_cache(tmp_path)
    assert os.environ["TF_XLA_FLAGS"].endswith("read_only=true")


def test_without_a_home_there_is_no_cache(no_flags, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compile_cache.Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert use_compile_cache() is None
    assert "TF_XLA_FLAGS" not in os.environ


@pytest.mark.slow
def test_a_cache_that_fails_later_stops_no_translation(tiny_run, tmp_path):
    program = """
import shutil, sys
from keras_transformer.compile_cache import use_compile_cache
folder = use_compile_cache(sys.argv[1])
from keras_transformer import Translator
compiled = Translator.load(sys.argv[2], jit_compile=True)
shutil.rmtree(folder)
folder.write_text("in the way")
lines = ["o gato dorme .", "a menina lê o livro ."]
found = [one.text for one in compiled.translate(lines)]
plain = Translator.load(sys.argv[2], jit_compile=False)
assert found == [one.text for one in plain.translate(lines)]
"""
    environment = {key: value for key, value in os.environ.items() if key != "TF_XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(tiny_run.folder)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("The cache of compiled programs fails") == 1
