"""Laws of checkpoints: what was saved comes back or is refused; no failure costs an old file."""

import errno
import functools
import os
import random
import stat
import subprocess
import time
import zipfile
from pathlib import Path

import lone_module
import ml_dtypes
import numpy as np
import pytest

from keras_transformer.errors import InputError
from keras_transformer.files import write_atomically
from keras_transformer.training import checkpoints as module
from keras_transformer.training.checkpoints import Checkpoints

start = functools.partial(lone_module.start, module)


def small(step) -> dict:
    """Arrays full of the step, a scalar among them."""
    return {
        "kernel": np.full((3, 5), step, "float32"),
        "optimizer/iterations": np.array(step, "int64"),
        "half": np.full(4, step, ml_dtypes.bfloat16),
    }


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        array = np.asarray(array)
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


def is_folder(descriptor) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def names(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def two(tmp_path) -> Checkpoints:
    """A folder with checkpoints of steps 1 and 2."""
    store = Checkpoints(tmp_path / "run")
    for step in (1, 2):
        store.save(step, small(step), {"seen": step})
    return store


# Laws: what comes back


def test_arrays_come_back_byte_for_byte(tmp_path):
    random_bits = np.random.default_rng(0).integers(0, 256, 64, "uint8")
    arrays = {
        "layers/0/kernel:0": random_bits.view("float32").reshape(4, 4),  # NaNs with payload too
        "float64": random_bits.view("float64"),
        "float16": random_bits.view("float16"),
        "big_endian": random_bits.view(">f4"),
        "complex": random_bits.view("complex64"),
        "bool": random_bits > 127,
        "int8": random_bits.view("int8"),
        "uint32": random_bits.view("uint32"),
        "scalar": np.array(-(2**62), "int64"),
        "numpy_scalar": np.int64(7),
        "no_elements": np.zeros((0, 3), "float32"),
        "ordem_é": np.asfortranarray(random_bits.reshape(8, 8)),
        "strided": random_bits.reshape(8, 8)[::2, 1::3],
        "text": np.array(["que", "é"]),
        "bytes": np.array([b"abc", b"d"]),
        "state.json": np.arange(3),
        "bfloat16": random_bits.view(ml_dtypes.bfloat16).reshape(2, 16),
        "bfloat16_scalar": np.array(1.5, ml_dtypes.bfloat16),
        "bfloat16_strided": random_bits.view(ml_dtypes.bfloat16).reshape(4, 8)[:, ::2].T,
        "float8_e4m3fn": random_bits.view(ml_dtypes.float8_e4m3fn),
        "float8_e5m2": random_bits.view(ml_dtypes.float8_e5m2),
        "int4": np.arange(-8, 8).astype(ml_dtypes.int4),
    }
    state = {"epoch": 3, "best": float("inf"), "name": "é\n", "list": [1, None, {"deep": 0.1}]}
    store = Checkpoints(tmp_path / "a" / "run")
    path = store.save(np.int64(1234), arrays, state)
    assert path == tmp_path / "a" / "run" / "checkpoint-00001234.npz"
    step, found, found_state = Checkpoints(store.folder).load_latest()
    assert (step, found_state) == (1234, state)
    assert_equal(found, arrays)
    found["bool"][:] = True  # a copy to write into


def test_numpy_opens_a_checkpoint(two):
    with np.load(two.folder / "checkpoint-00000002.npz") as file:
        np.testing.assert_array_equal(file["kernel"], np.full((3, 5), 2))
        assert file["half"].dtype == np.uint16


def test_a_checkpoint_without_arrays(tmp_path):
    Checkpoints(tmp_path).save(0, {}, {})
    assert Checkpoints(tmp_path).load_latest() == (0, {}, {})


def test_no_checkpoints(tmp_path):
    (tmp_path / "checkpoint-1.npz").touch()  # not a name of ours
    assert Checkpoints(tmp_path).load_latest() is None
    assert Checkpoints(tmp_path / "missing").load_latest() is None
    assert not (tmp_path / "missing").exists()


def test_steps_are_ordered_as_numbers(tmp_path):
    store = Checkpoints(tmp_path, keep=3)
    for step in (99_999_999, 100_000_000, 5):
        store.save(step, small(1), {})
    assert Checkpoints(tmp_path).load_latest().step == 100_000_000


def test_the_same_step_is_replaced(two):
    two.save(2, small(7), {"seen": 7})
    assert names(two.folder) == ["checkpoint-00000001.npz", "checkpoint-00000002.npz"]
    step, arrays, state = two.load_latest()
    assert (step, state) == (2, {"seen": 7})
    assert_equal(arrays, small(7))


# Laws: damage


def assert_older_or_identical(folder) -> bool:
    """What any damage to the file of step 2 may lead to; whether the damage was seen."""
    step, arrays, state = Checkpoints(folder).load_latest()
    assert step in (1, 2)
    assert state == {"seen": step}
    assert_equal(arrays, small(step))
    return step == 1


def test_a_truncated_file_is_never_believed(two):
    newest = two.folder / "checkpoint-00000002.npz"
    content = newest.read_bytes()
    for length in [*range(0, len(content), 7), *range(len(content) - 100, len(content))]:
        newest.write_bytes(content[:length])
        assert assert_older_or_identical(two.folder), length


@pytest.mark.parametrize("mask", [0xFF, None], ids=["all bits", "one bit"])
def test_a_flipped_byte_is_seen_or_harmless(two, mask):
    newest = two.folder / "checkpoint-00000002.npz"
    content = newest.read_bytes()
    draw = random.Random(0)
    seen = 0
    positions = range(0, len(content), 2)
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= mask or 1 << draw.randrange(8)
        newest.write_bytes(damaged)
        seen += assert_older_or_identical(two.folder)
    assert seen > 0.7 * len(positions)


def test_a_flipped_byte_in_the_numbers_is_always_seen(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(1, small(1), {"seen": 1})
    numbers = np.random.default_rng(0).normal(size=1000).astype("float32")
    newest = store.save(2, {"numbers": numbers}, {"seen": 2})
    content = newest.read_bytes()
    start_of_numbers = content.index(numbers.tobytes())
    for position in range(start_of_numbers, start_of_numbers + numbers.nbytes, 97):
        damaged = bytearray(content)
        damaged[position] ^= 1
        newest.write_bytes(damaged)
        assert assert_older_or_identical(tmp_path)


def test_a_skipped_file_is_named_with_the_one_used(two, capsys):
    two.save(3, small(3), {})
    (two.folder / "checkpoint-00000003.npz").write_bytes(b"")
    newest = two.folder / "checkpoint-00000002.npz"
    newest.write_bytes(newest.read_bytes()[:-30])
    two.keep = 3
    two.save(1, small(1), {})
    capsys.readouterr()
    assert Checkpoints(two.folder).load_latest().step == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        str(two.folder / "checkpoint-00000003.npz"),
        str(newest),
    ]
    for line in lines:
        assert "cannot be read (File is not a zip file): using checkpoint-00000001.npz" in line


def test_a_wrong_checksum_is_named(two, capsys):
    newest = two.folder / "checkpoint-00000002.npz"
    kernel = small(2)["kernel"].tobytes()
    newest.write_bytes(newest.read_bytes().replace(kernel, small(3)["kernel"].tobytes()))
    assert two.load_latest().step == 1
    assert "(Bad CRC-32 for file 'kernel.npy')" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("member", "content", "reason"),
    [
        ("kernel.npy", None, "There is no item named 'kernel.npy' in the archive"),
        ("state.json", None, "There is no item named 'state.json' in the archive"),
        ("state.json", b"{not json", "Expecting property name"),
        ("state.json", b'{"format": 1}', "arrays"),
        ("kernel.npy", b"not an array", "magic string is not correct"),
    ],
)
def test_a_wrong_member_is_named(two, capsys, member, content, reason):
    newest = two.folder / "checkpoint-00000002.npz"
    with zipfile.ZipFile(newest) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = content
    with zipfile.ZipFile(newest, "w") as archive:
        for name, value in members.items():
            if value is not None:
                archive.writestr(name, value)
    assert two.load_latest().step == 1
    assert reason in capsys.readouterr().err


def test_a_renamed_file_is_not_believed(two, capsys):
    os.rename(two.folder / "checkpoint-00000002.npz", two.folder / "checkpoint-00000009.npz")
    assert two.load_latest().step == 1
    assert "it holds step 2" in capsys.readouterr().err


def test_nothing_readable_is_an_error(two):
    for path in two.folder.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"no checkpoint can be read .checkpoint-00000002\.npz: "):
        two.load_latest()
    assert len(names(two.folder)) == 2


def test_a_newer_format_asks_to_upgrade(two, monkeypatch):
    monkeypatch.setattr(module, "FORMAT", 2)
    two.save(3, small(3), {})
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"00000003\.npz: written by a newer .* upgrade keras"):
        two.load_latest()
    Checkpoints(two.folder, keep=1).save(4, small(4), {})
    assert names(two.folder) == ["checkpoint-00000003.npz", "checkpoint-00000004.npz"]


# Laws: which files are kept


def test_the_newest_are_kept(tmp_path):
    store = Checkpoints(tmp_path, keep=2)
    for step in range(1, 6):
        store.save(step, small(step), {})
        expected = [f"checkpoint-{kept:08d}.npz" for kept in (step - 1, step) if kept]
        assert names(tmp_path) == expected
    Checkpoints(tmp_path, keep=1).save(6, small(6), {})
    assert names(tmp_path) == ["checkpoint-00000006.npz"]


@pytest.mark.parametrize("loads_first", [True, False])
def test_a_damaged_file_neither_counts_nor_goes(two, loads_first):
    two.save(3, small(3), {})  # leaves 2 and 3
    damaged = two.folder / "checkpoint-00000003.npz"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    later = Checkpoints(two.folder)
    if loads_first:
        assert later.load_latest().step == 2
    later.save(4, small(4), {})
    assert [int(name[11:19]) for name in names(two.folder)] == [2, 3, 4]  # 2 and 4 are good
    later.save(5, small(5), {})
    assert [int(name[11:19]) for name in names(two.folder)] == [3, 4, 5]
    later.save(3, small(3), {})  # written anew, it counts again
    assert [int(name[11:19]) for name in names(two.folder)] == [3, 5]


def test_the_file_just_saved_is_never_deleted(two):
    assert two.save(0, small(0), {}).exists()
    assert names(two.folder) == ["checkpoint-00000000.npz", "checkpoint-00000002.npz"]


def test_a_file_that_cannot_be_deleted_does_not_stop_training(two, monkeypatch, capsys):
    def unlink(path, missing_ok=False):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", unlink)
    two.save(3, small(3), {})
    assert "00000001.npz: cannot be deleted (Permission denied): delete" in capsys.readouterr().err
    assert two.load_latest().step == 3


def test_unfinished_files_of_dead_processes_go(two):
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale = [f".unfinished-{pid}-checkpoint-00000009.npz" for pid in (dead.pid, os.getpid())]
    alive = f".unfinished-{os.getppid()}-scores.json"
    other = ".unfinished-notes"
    for name in (*stale, alive, other):
        (two.folder / name).write_bytes(b"half")
    store = Checkpoints(two.folder)
    store.load_latest()
    assert set(stale) < set(names(two.folder))  # a reader deletes nothing
    store.save(3, small(3), {})
    assert [name for name in names(two.folder) if name.startswith(".")] == sorted([alive, other])


def test_what_this_process_is_writing_stays(two, monkeypatch):
    monkeypatch.chdir(two.folder)

    def write(unfinished):
        unfinished.write_text("slow")
        Checkpoints(two.folder).save(3, small(3), {})

    write_atomically("scores.json", write)  # the same folder by another name
    assert (two.folder / "scores.json").read_text() == "slow"


# Laws: failures while writing


def test_new_files_are_durable_before_old_ones_go(two, monkeypatch):
    events = []

    def record(owner, name, describe):
        original = getattr(owner, name)

        def call(*arguments, **options):
            events.append(describe(*arguments))
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    record(os, "fsync", lambda file: "sync folder" if is_folder(file) else "sync file")
    record(os, "replace", lambda old, new: f"rename to {Path(new).name}")
    record(Path, "unlink", lambda path: f"delete {path.name}")
    two.save(3, small(3), {})
    unfinished = f".unfinished-{os.getpid()}-checkpoint-00000003.npz"
    assert events == [
        "sync file",
        "rename to checkpoint-00000003.npz",
        "sync folder",
        f"delete {unfinished}",  # which is no more
        "delete checkpoint-00000001.npz",
    ]


@pytest.mark.parametrize("function", ["os.fsync", "os.replace", "zipfile.ZipFile.writestr"])
def test_a_full_disk_leaves_the_old_files(two, monkeypatch, function):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {path: path.read_bytes() for path in two.folder.iterdir()}
    for step in (2, 3):
        monkeypatch.setattr(function, full)
        with pytest.raises(InputError) as caught:
            two.save(step, small(9), {})
        monkeypatch.undo()
        assert str(caught.value) == (
            f"{two.folder}/checkpoint-0000000{step}.npz: cannot be written (No space left on "
            "device): free some space."
        )
        assert {path: path.read_bytes() for path in two.folder.iterdir()} == before


@pytest.mark.parametrize("limit", [0, 100, 20_000, 100_000, 400_150])
def test_a_real_write_error_leaves_the_old_files(two, limit):
    """The system refuses to write beyond so many bytes; a whole file has 400,438."""
    script = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        try:
            checkpoints.Checkpoints(folder).save(3, {"kernel": np.ones(100_000, "float32")}, {})
        except checkpoints.InputError as error:
            print(error)
    """
    before = {path: path.read_bytes() for path in two.folder.iterdir()}
    output, errors = start(script, two.folder, limit).communicate(timeout=20)
    assert errors == ""
    assert output == (
        f"{two.folder}/checkpoint-00000003.npz: cannot be written (File too large): "
        "raise the limit on file sizes (ulimit -f).\n"
    )
    assert {path: path.read_bytes() for path in two.folder.iterdir()} == before


def test_what_cannot_be_stored_is_refused_and_nothing_changes(two):
    before = names(two.folder)
    with pytest.raises(TypeError, match="JSON"):
        two.save(3, {}, {"when": object()})
    with pytest.raises(ValueError, match="'words' holds Python objects"):
        two.save(3, {"words": np.array(["a", None])}, {})
    with pytest.raises(ValueError, match="cannot be named"):
        two.save(3, {"a\0b": np.ones(1)}, {})
    with pytest.raises(ValueError, match="not -1"):
        two.save(-1, {}, {})
    with pytest.raises(ValueError, match="not 0"):
        Checkpoints(two.folder, keep=0)
    assert names(two.folder) == before


# Laws: a process that dies


def test_a_kill_at_any_moment_loses_no_finished_save(tmp_path):
    script = """
        store = checkpoints.Checkpoints(folder)
        found = store.load_latest()
        step = found.step if found else 0
        while True:
            step += 1
            arrays = {str(n): np.full(200_000, step + n, "float32") for n in range(4)}
            store.save(step, arrays, {"step": step})
            print(step, flush=True)
    """
    draw = random.Random(0)
    saved = unfinished = 0
    for _ in range(15):
        child = start(script, tmp_path)
        first = int(child.stdout.readline())
        assert first == saved + 1
        time.sleep(draw.uniform(0, 0.06))
        child.kill()
        output, errors = child.communicate()
        assert errors == ""
        reported = int(([first, *output.split()])[-1])
        unfinished += any(name.startswith(".unfinished-") for name in names(tmp_path))
        step, arrays, state = Checkpoints(tmp_path).load_latest()
        assert step in (reported, reported + 1)
        assert state == {"step": step}
        for number in range(4):
            np.testing.assert_array_equal(arrays[str(number)], np.full(200_000, step + number))
        saved = step
    assert unfinished > 0  # some kills did hit the writing
    Checkpoints(tmp_path).save(saved + 1, {}, {})
    assert names(tmp_path) == [f"checkpoint-{kept:08d}.npz" for kept in (saved, saved + 1)]


# Wrong folders


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match=r"file: cannot be made .*: choose a folder, not a file"):
        Checkpoints(file).save(1, {}, {})
    with pytest.raises(InputError, match=r"cannot be made .*: choose a folder, not a file"):
        Checkpoints(file / "run").save(1, {}, {})
    with pytest.raises(InputError, match=r"cannot be read .Not a directory.: choose a folder"):
        Checkpoints(file).load_latest()


def test_a_folder_in_the_place_of_a_file(two, capsys):
    (two.folder / "checkpoint-00000003.npz").mkdir()
    assert two.load_latest().step == 2
    assert "00000003.npz: cannot be read (Is a directory)" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"00000003\.npz: cannot be written .Is a directory."):
        two.save(3, {}, {})


def test_a_folder_without_permission(two, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"run: cannot be read .Permission denied.: choose a fol"):
        two.load_latest()
    monkeypatch.undo()
    monkeypatch.setattr(zipfile.ZipFile, "__init__", refuse)
    with pytest.raises(InputError, match=r"cannot be written .Permission denied.: choose a folder"):
        two.save(3, {}, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write anything")
def test_a_real_folder_without_permission(two):
    two.folder.chmod(0)
    try:
        for action in (two.load_latest, lambda: two.save(3, {}, {})):
            with pytest.raises(InputError, match="Permission denied"):
                action()
    finally:
        two.folder.chmod(0o700)


def test_neither_tensorflow_nor_keras_is_needed(tmp_path):
    script = "print([name for name in ('tensorflow', 'keras', 'ml_dtypes') if name in sys.modules])"
    assert start(script, tmp_path).communicate(timeout=20) == ("[]\n", "")
