"""Laws of written files: the old content or the new one, on the disk, whatever fails."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keras_transformer.errors import InputError
from keras_transformer.files import (
    delete_unfinished,
    file_error,
    make_folder,
    reason_of,
    write_atomically,
    write_bytes,
    write_json,
    write_text,
)


def names(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def is_folder(descriptor) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def fail(number):
    def raise_error(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return raise_error


# What is written


def test_bytes_and_text_are_written_as_they_are(tmp_path):
    content = bytes(range(256))
    write_bytes(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == content
    write_text(str(tmp_path / "a"), "é\r\n")  # replaces it, and a str will do
    assert (tmp_path / "a").read_bytes() == "é\r\n".encode()


def test_json_is_written_for_people(tmp_path):
    write_json(tmp_path / "a.json", {"name": "é", "list": [1]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "name": "é",\n  "list": [\n    1\n  ]\n}\n'
    assert json.loads(text) == {"name": "é", "list": [1]}


def test_the_temporary_name_keeps_the_suffix_and_the_folder(tmp_path):
    path = tmp_path / "model.weights.h5"
    seen = []
    write_atomically(path, lambda unfinished: (seen.append(unfinished), unfinished.touch()))
    assert seen[0].parent == tmp_path
    assert seen[0].name.startswith(".unfinished-")
    assert seen[0].name.endswith("-model.weights.h5")
    assert names(tmp_path) == [path.name]


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    write_text(tmp_path / "a", "")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    events = []

    def record(name, describe):
        original = getattr(os, name)

        def call(*arguments):
            events.append(describe(*arguments))
            return original(*arguments)

        monkeypatch.setattr(os, name, call)

    record("fsync", lambda file: "sync folder" if is_folder(file) else "sync file")
    record("replace", lambda old, new: f"rename to {Path(new).name}")
    write_text(tmp_path / "a", "new")
    assert events == ["sync file", "rename to a", "sync folder"]


# Failures


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_the_old_file(tmp_path, interruption):
    def write(unfinished):
        unfinished.write_text("half")
        raise interruption

    path = tmp_path / "model.weights.h5"
    write_text(path, "old")
    with pytest.raises(interruption):
        write_atomically(path, write)
    assert names(tmp_path) == [path.name]
    assert path.read_text() == "old"


@pytest.mark.parametrize("function", ["os.fsync", "os.replace", "pathlib.Path.write_bytes"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, function):
    path = tmp_path / "a"
    write_text(path, "old")
    monkeypatch.setattr(function, fail(errno.ENOSPC))
    with pytest.raises(InputError) as caught:
        write_text(path, "new")
    assert str(caught.value) == (
        f"{path}: cannot be written (No space left on device): free some space."
    )
    assert names(tmp_path) == ["a"]
    assert path.read_text() == "old"


def test_what_is_no_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, [])
    with pytest.raises(TypeError):
        write_json(path, {"when": object()})
    assert names(tmp_path) == ["a.json"]
    assert path.read_text() == "[]\n"


def test_a_file_system_that_cannot_sync_folders_is_accepted(tmp_path, monkeypatch):
    def sync(descriptor, sync=os.fsync):
        if is_folder(descriptor):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


# Folders


def test_a_folder_is_made_with_those_above_it(tmp_path):
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        make_folder(folder)
        assert folder.is_dir()
    write_text(folder / "c", "kept")
    make_folder(str(folder))
    assert names(folder) == ["c"]


def test_a_wrong_folder_is_named_with_the_remedy(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "run"):
        with pytest.raises(InputError, match=r"cannot be made .*: choose a folder, not a file"):
            make_folder(folder)
    with pytest.raises(InputError, match=r"a\.json: cannot be written .*folder that exists"):
        write_json(tmp_path / "missing" / "a.json", {})
    with pytest.raises(InputError, match=r"cannot be written .Not a directory.: choose a folder"):
        write_text(file / "a", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"cannot be written .Is a directory.: choose a file name"):
        write_text(tmp_path / "folder", "")
    assert names(tmp_path) == ["file", "folder"]


# What killed processes leave


def test_unfinished_files_of_dead_processes_go_and_nothing_else(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale = [f".unfinished-{pid}-a" for pid in (dead.pid, os.getpid(), 10**30)]
    kept = [f".unfinished-{os.getppid()}-a", ".unfinished-notes", "a", f"unfinished-{dead.pid}-a"]
    for name in (*stale, *kept):
        (tmp_path / name).write_bytes(b"half")
    delete_unfinished(tmp_path)
    assert names(tmp_path) == sorted(kept)
    delete_unfinished(tmp_path / "missing")


def test_what_this_process_is_writing_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(unfinished):
        unfinished.write_text("slow")
        delete_unfinished(tmp_path)

    write_atomically("scores.json", write)  # the same folder by another name
    assert (tmp_path / "scores.json").read_text() == "slow"


# The line for people


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EIO, "Input/output\nerror"), "Input/output error"),
        (ValueError("a\n  b"), "a b"),
        (KeyError("name"), "name"),
        (EOFError(), "EOFError"),
    ],
)
def test_a_reason_is_one_line(error, reason):
    assert reason_of(error) == reason


def test_an_unknown_error_has_a_remedy_too():
    line = str(file_error("a", "written", OSError(errno.EIO, "Input/output error")))
    assert line == "a: cannot be written (Input/output error): check the disk."


def test_neither_tensorflow_nor_numpy_is_needed():
    script = (
        "import sys, keras_transformer.files;"
        "print([name for name in ('tensorflow', 'keras', 'numpy') if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20
    )
    assert output.stdout == "[]\n"
