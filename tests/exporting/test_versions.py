"""How a version of an export appears: whole, on the disk, once, with checksums."""

import errno
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_transformer.errors import InputError
from keras_transformer.exporting.format import write_version
from keras_transformer.files import SUMS_FILE, check_checksums


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder, content="new"):
    (folder / "variables").mkdir()
    (folder / "variables" / "data").write_text(content)
    (folder / "saved_model.pb").write_text(content)
    (folder / "README.md").write_text("A card.")


def killed_while(tmp_path, code):
    """Runs code that writes a version and kills itself at some point."""
    script = f"""
        import os, signal
        from keras_transformer.exporting import format
        def die(*arguments, **options):
            os.kill(os.getpid(), signal.SIGKILL)
        def fill(folder):
            (folder / "saved_model.pb").write_text("new")
        {code}
        format.write_version({str(tmp_path)!r}, fill, version=1, overwrite=True)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -9


def test_the_files_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda d: order.append(os.readlink(f"/proc/self/fd/{d}")))
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda a, b: (order.append("renamed"), rename(a, b)))
    version = write_version(tmp_path, fill)
    synced = [os.path.basename(path) for path in order[: order.index("renamed")]]
    assert {"data", "saved_model.pb", SUMS_FILE, "README.md", "variables"} <= set(synced)
    assert order[order.index("renamed") + 1] == str(tmp_path)
    assert names(version) == ["README.md", SUMS_FILE, "saved_model.pb", "variables"]


def test_exports_at_the_same_time_get_versions_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as executor:
        made = list(
            executor.map(lambda i: write_version(tmp_path, lambda f: fill(f, str(i))), range(8))
        )
    assert sorted(int(version.name) for version in made) == list(range(1, 9))
    assert [(version / "saved_model.pb").read_text() for version in made] == list("01234567")


def test_the_later_of_two_does_not_replace_the_earlier(tmp_path):
    def fill_slowly(folder):
        write_version(tmp_path, lambda other: fill(other, "earlier"), version=1)
        fill(folder, "later")

    with pytest.raises(InputError, match="1: exists already"):
        write_version(tmp_path, fill_slowly, version=1)
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "earlier"
    assert names(tmp_path) == ["1"]


def test_what_a_killed_export_left_goes(tmp_path):
    killed_while(tmp_path, "format.write_checksums = die")
    assert any(name.startswith(".unfinished-") for name in names(tmp_path))
    write_version(tmp_path, fill)
    assert names(tmp_path) == ["1"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_version_that_was_being_replaced_is_never_lost(tmp_path, moment):
    write_version(tmp_path, lambda folder: fill(folder, "old"), version=1)
    if moment == "before":  # the new one has its name
        code = """
        rename, format._swap = os.rename, lambda a, b: False
        format.os.rename = lambda a, b: rename(a, b) if b.name.startswith(".") else die()
        """
    else:
        code = "format.sync_names = die"
    killed_while(tmp_path, textwrap.dedent(code).strip().replace("\n", "\n        "))
    write_version(tmp_path, fill, version=2)
    expected = "old" if moment == "before" else "new"
    assert (tmp_path / "1" / "saved_model.pb").read_text() == expected
    assert names(tmp_path) == ["1", "2"]


@pytest.mark.parametrize("swaps", [True, False])
def test_a_version_is_replaced_with_or_without_swapping_names(tmp_path, monkeypatch, swaps):
    if not swaps:
        monkeypatch.setattr("keras_transformer.exporting.format._swap", lambda one, other: False)
    for content in ("old", "new"):
        write_version(
            tmp_path,
            lambda folder, content=content: fill(folder, content),
            version=1,
            overwrite=True,
        )
        assert (tmp_path / "1" / "saved_model.pb").read_text() == content
        check_checksums(tmp_path / "1")
        assert names(tmp_path) == ["1"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("failed to write model.bin: No space left on device"),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, error):
    write_version(tmp_path, lambda folder: fill(folder, "old"), version=1)

    def fail(folder):
        fill(folder)
        raise error

    with pytest.raises(InputError, match=r"cannot be written \(No space left.*free some space"):
        write_version(tmp_path, fail, version=1, overwrite=True)
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "old"
    assert names(tmp_path) == ["1"]


def test_other_errors_pass_through(tmp_path):
    def fail(folder):
        raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        write_version(tmp_path, fail)
    assert names(tmp_path) == []


def test_a_damaged_file_is_named(tmp_path):
    version = write_version(tmp_path, fill)
    check_checksums(version)
    assert (
        subprocess.run(["sha256sum", "--check", "--quiet", SUMS_FILE], cwd=version).returncode == 0
    )
    (version / "README.md").write_text("People may change the card.")
    (version / "notes.txt").write_text("And add to it.")
    check_checksums(version)
    data = version / "variables" / "data"
    data.write_text("neW")
    with pytest.raises(InputError, match="variables/data: is damaged or was changed"):
        check_checksums(version)
    data.unlink()
    with pytest.raises(InputError, match="variables/data: cannot be read"):
        check_checksums(version)
    (version / SUMS_FILE).write_bytes(b"\xff\xfe nonsense")
    with pytest.raises(InputError, match=f"{SUMS_FILE}: cannot be read"):
        check_checksums(version)
    (version / SUMS_FILE).write_text("nonsense\n")
    with pytest.raises(InputError, match=f"{SUMS_FILE}: is damaged"):
        check_checksums(version)
    (version / SUMS_FILE).unlink()
    check_checksums(version)  # of version 0.1
