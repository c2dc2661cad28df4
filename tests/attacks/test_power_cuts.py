"""What a power cut or a kill leaves: what was there before, or what is new, and either whole.

No file system here can drop what was not synced, so the calls of the system tell it: a name that
appears by renaming is of a file that was synced before, in a folder that is synced after.
"""

import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_transformer.exporting import export
from keras_transformer.exporting.format import find_version, write_version
from keras_transformer.files import check_checksums
from keras_transformer.translating.translator import Translator

pytestmark = pytest.mark.slow

PROGRAMS = {
    "tokenizers": """
from keras_transformer import Tokenizers, WordPieceTokenizer
one = WordPieceTokenizer.train(["o gato dorme .", "a menina lê ."] * 20, vocab_size=60)
for _ in range(2):
    Tokenizers(one, one).save(folder / "a" / "tokenizers")
""",
    "train": """
sys.path.insert(0, sys.argv[2])
import distributed_run
distributed_run.train(folder / "a" / "run", 2)
distributed_run.train(folder / "a" / "run", 3)
""",
    "export": """
from keras_transformer import Translator
from keras_transformer.exporting import export
translator = Translator.load(sys.argv[3])
for version in (None, 1, None):
    export(translator, folder / "a" / "m", version=version, overwrite=True, compiled=False)
""",
}

CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
NAMES = re.compile(r'"((?:[^"\\]|\\.)*)"')


@pytest.fixture
def traced(tmp_path, tiny_run):
    """A function that runs one of the programs and gives its calls: ``(name, paths)`` each."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")

    def run(name):
        folder, log = tmp_path / "traced", tmp_path / "calls"
        folder.mkdir()
        code = f"import sys\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\n{PROGRAMS[name]}"
        calls = "trace=fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat"
        command = [strace, "-f", "-y", "-s", "4096", "-e", calls, "-o", str(log)]
        command += [sys.executable, "-c", code, str(folder)]
        command += [str(Path(__file__).parents[1] / "training"), str(tiny_run.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "ptrace" in done.stderr:
            pytest.skip(f"nothing can be traced here: {done.stderr.strip()[-200:]}")
        assert done.returncode == 0, done.stderr[-5000:]
        return folder, list(calls_of(log, folder))

    return run


def calls_of(log, folder):
    """The calls that succeeded and concern the folder; those cut in two are put together."""
    begun = {}
    for line in log.read_text().splitlines():
        process, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[process] = line.removesuffix("<unfinished ...>")
            continue
        if "resumed>" in rest:
            line = begun.pop(process) + rest.partition("resumed>")[2]
        found = CALL.match(line)
        if found is None or int(found[3]) < 0 or str(folder) not in line:
            continue
        name, arguments = found[1], found[2]
        if "sync" in name:
            yield "sync", [Path(re.search("<(.*)>", arguments)[1])]
        else:
            swaps = "RENAME_EXCHANGE" in arguments
            kind = "swap" if swaps else "make" if name.startswith("mkdir") else "rename"
            yield kind, [Path(one) for one in NAMES.findall(arguments)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_names_appear_after_contents_and_are_synced(traced, name):
    folder, calls = traced(name)

    def synced(path, numbers):
        return any(calls[number] == ("sync", [path]) for number in numbers)

    renamed = [number for number, (kind, _) in enumerate(calls) if kind in ("rename", "swap")]
    assert len(renamed) >= 2
    for number in renamed:
        kind, (old, new) = calls[number]
        before, after = range(number), range(number + 1, len(calls))
        assert synced(new.parent, after), f"{new}: its name is not synced"
        if old.name.startswith(".unfinished") and new.is_dir():
            # What stands there now was written under the old name, unless it was replaced since.
            if not any(calls[later][1][-1] == new for later in renamed if later > number):
                for file in (path for path in new.rglob("*") if path.is_file()):
                    written = old / file.relative_to(new)
                    assert synced(written, before), f"{file}: its content is not synced"
        else:
            assert synced(old, before), f"{new}: its content is not synced"
    for number, (kind, paths) in enumerate(calls):
        made = paths[0]
        if kind == "make" and made.is_dir() and made != folder:
            later = range(number + 1, len(calls))
            assert synced(made.parent, later), f"{made}: its name is not synced"


WRITES = """
import shutil, sys
from pathlib import Path
from keras_transformer.exporting.format import write_version
print("ready", flush=True)
def write(new):
    shutil.copytree(sys.argv[2], new, dirs_exist_ok=True)
while True:
    write_version(sys.argv[1], write, version=1, overwrite=True)
"""
EXPORTS = """
import sys
from keras_transformer import Translator
from keras_transformer.exporting import export
translator = Translator.load(sys.argv[2])
print("ready", flush=True)
while True:
    export(translator, sys.argv[1], version=1, overwrite=True, compiled=False)
"""


def kill_at_a_random_moment(code, arguments, longest, rng):
    """Starts a program, and kills it some time after it says that it is ready."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, longest))
        assert process.poll() is None, "ended by itself"
        process.kill()


def files_of(version):
    return {path.relative_to(version) for path in version.rglob("*") if path.is_file()}


def test_a_version_that_is_replaced_over_and_over_is_whole_after_every_kill(tmp_path, tiny_run):
    """Sixty kills of a process that does nothing but replace it."""
    folder, rng = tmp_path / "model", random.Random(6)
    original = export(tiny_run.translator, tmp_path / "original", compiled=False)
    shutil.copytree(original, folder / "1")
    for _ in range(60):
        kill_at_a_random_moment(WRITES, (folder, original), 0.3, rng)
        version = find_version(folder, "saved_model.pb")
        assert version == folder / "1"
        check_checksums(version)
        assert files_of(version) == files_of(original)
    assert Translator.load(folder).translate(["o gato dorme ."])[0].text
    write_version(folder, lambda new: shutil.copytree(original, new, dirs_exist_ok=True))
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_an_export_that_is_killed_leaves_the_version_that_was_there(tmp_path, tiny_run):
    folder, rng = tmp_path / "model", random.Random(7)
    started = time.monotonic()
    export(tiny_run.translator, folder, compiled=False)
    longest = 1.5 * (time.monotonic() - started)
    expected = tiny_run.translator.translate(["o gato dorme ."])[0].text
    for _ in range(6):
        kill_at_a_random_moment(EXPORTS, (folder, tiny_run.folder), longest, rng)
        check_checksums(folder / "1")
        assert Translator.load(folder).translate(["o gato dorme ."])[0].text == expected
    export(tiny_run.translator, folder, version=1, overwrite=True, compiled=False)
    assert [path.name for path in folder.iterdir()] == ["1"]
    assert Translator.load(folder).translate(["o gato dorme ."])[0].text == expected
