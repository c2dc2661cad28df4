"""The lock of a run folder: it keeps others out, names its holder and ends with it."""

import errno
import fcntl
import functools
import os
import signal
import subprocess

import lone_module
import pytest

from keras_transformer.errors import InputError
from keras_transformer.training import lock as module
from keras_transformer.training.lock import FolderLock

start = functools.partial(lone_module.start, module)


HOLD_LOCK = """
    with lock.FolderLock(folder):
        print("locked", flush=True)
        time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    holder = start(HOLD_LOCK, tmp_path)
    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(InputError) as caught, FolderLock(tmp_path):
            pass
        assert str(caught.value) == (
            f"{tmp_path}: another process (pid {holder.pid}) is training there: wait for it, "
            "stop it or choose another folder."
        )
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with FolderLock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f" {os.getpid()}\n"


def test_a_lock_ends_with_its_block(tmp_path):
    lock = FolderLock(tmp_path)
    for _ in range(2):
        with pytest.raises(KeyError), lock:
            raise KeyError
    with lock:  # a program started meanwhile does not inherit it
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with lock, pytest.raises(InputError, match=f"pid {os.getpid()}"), FolderLock(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_file_system_without_locks_gets_a_warning(tmp_path, monkeypatch, capsys):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with FolderLock(tmp_path):
        assert "cannot be locked (No locks available): make sure" in capsys.readouterr().err


def test_the_holder_is_named_where_the_locked_first_byte_cannot_be_read(tmp_path, monkeypatch):
    """As on Windows."""
    read = os.read

    def read_but_the_first(descriptor, length):
        if os.lseek(descriptor, 0, os.SEEK_CUR) == 0:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(descriptor, length)

    with FolderLock(tmp_path):
        monkeypatch.setattr(os, "read", read_but_the_first)
        refused = pytest.raises(InputError, match=rf"\(pid {os.getpid()}\)")
        with refused, FolderLock(tmp_path):
            pass


def test_a_holder_of_version_0_1_is_named(tmp_path):
    """It wrote its number without the space."""
    with FolderLock(tmp_path):
        (tmp_path / ".lock").write_text("1234\n")
        with pytest.raises(InputError, match=r"\(pid 1234\)"), FolderLock(tmp_path):
            pass


# Wrong folders


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with (
        pytest.raises(InputError, match=r"Not a directory.: choose a folder, not a file"),
        FolderLock(file),
    ):
        pass


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"folder that exists"), FolderLock(tmp_path / "missing"):
        pass


def test_a_folder_without_permission(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"\.lock: cannot be written"), FolderLock(tmp_path):
        pass


def test_neither_tensorflow_nor_keras_is_needed(tmp_path):
    script = "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    assert start(script, tmp_path).communicate(timeout=20) == ("[]\n", "")
