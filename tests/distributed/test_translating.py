"""What Beam translates is what `translate` gives, text by text, wherever it is interrupted."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.distributed.handlers import translate_each
from keras_transformer.distributed.translating import Translate, translate_files
from keras_transformer.errors import InputError

pytestmark = pytest.mark.usefixtures("unwatched")

TEXTS = [source for source, _ in read_sample()["validation"][:50]]
TEXTS[7] = ""
TEXTS[11] = "duas frases . aqui estão !"


@pytest.fixture(scope="module")
def expected(tiny_run):
    return [one.text for one in tiny_run.translator.translate(TEXTS)]


def write(path, texts):
    path.write_bytes("".join(f"{text}\n" for text in texts).encode())
    return path


def read(folder, suffix=".txt"):
    """The lines of all shards, in the order of their names."""
    paths = sorted(folder.glob(f"out-*{suffix}"))
    return [
        line
        for path in paths
        if suffix != ".jsonl" or "failed" not in path.name
        for line in path.read_text().splitlines()
    ]


def test_keyed_texts_are_translated_in_any_pipeline(tiny_run, expected):
    with TestPipeline() as pipeline:
        found = pipeline | beam.Create(list(enumerate(TEXTS))) | Translate(str(tiny_run.folder))
        assert_that(found.translated, equal_to(list(enumerate(expected))), "translated")
        assert_that(found.failed, equal_to([]), "failed")


def test_files_give_the_lines_that_translate_gives(tiny_run, expected, tmp_path):
    write(tmp_path / "a.pt", TEXTS[:30])
    (tmp_path / "b.pt.gz").write_bytes(
        gzip.compress("".join(t + "\n" for t in TEXTS[30:]).encode())
    )
    counts = translate_files(
        tiny_run.folder, str(tmp_path / "*.pt*"), tmp_path / "out", texts_per_shard=8
    )
    assert counts == {"translated": 50, "failed": 0, "shards": 7}
    assert read(tmp_path) == expected
    again = translate_files(
        tiny_run.folder, str(tmp_path / "*.pt*"), tmp_path / "out", texts_per_shard=8
    )
    assert again == {"skipped_shards": 7}


def test_what_is_there_is_not_made_again(tiny_run, expected, tmp_path):
    arguments = tiny_run.folder, str(write(tmp_path / "in", TEXTS)), tmp_path / "out"
    translate_files(*arguments, texts_per_shard=10)
    shards = sorted(tmp_path.glob("out-*.txt"))
    shards[1].write_text("kept\n")
    shards[3].unlink()
    assert translate_files(*arguments, texts_per_shard=10)["shards"] == 1
    assert shards[1].read_text() == "kept\n"
    assert shards[3].read_text().splitlines() == expected[30:40]
    with pytest.raises(InputError, match="made with another texts_per_shard"):
        translate_files(*arguments, texts_per_shard=9)
    with pytest.raises(InputError, match="made with another options"):
        translate_files(*arguments, texts_per_shard=10, beam_size=2)


def test_a_line_that_cannot_be_read_fails_alone(tiny_run, expected, tmp_path):
    lines = [text.encode() for text in TEXTS]
    lines[5] = b"caf\xe9"
    (tmp_path / "in").write_bytes(b"\n".join(lines) + b"\n")
    counts = translate_files(tiny_run.folder, str(tmp_path / "in"), tmp_path / "out")
    assert counts == {"translated": 49, "failed": 1, "shards": 1}
    assert read(tmp_path) == [*expected[:5], "", *expected[6:]]
    (failed,) = map(json.loads, read_failed(tmp_path))
    assert (failed["line"], failed["text"]) == (6, "caf\ufffd")
    assert "utf-8" in failed["problem"]


def read_failed(folder):
    return [line for path in sorted(folder.glob("*.failed.jsonl")) for line in path.open()]


def test_records_keep_what_they_have(tiny_run, expected, tmp_path):
    records = [{"text": text, "id": i} for i, text in enumerate(TEXTS[:6])]
    lines = [json.dumps(record) for record in records]
    lines[2:2] = ["{", "[1]", '{"id": 9}']
    write(tmp_path / "in.jsonl", lines)
    translate_files(tiny_run.folder, str(tmp_path / "in.jsonl"), tmp_path / "out")
    assert list(map(json.loads, read(tmp_path, ".jsonl"))) == [
        {**record, "translation": text} for record, text in zip(records, expected[:6], strict=True)
    ]
    problems = [(one["line"], one["problem"]) for one in map(json.loads, read_failed(tmp_path))]
    assert [line for line, _ in problems] == [3, 4, 5]
    assert problems[1:] == [(4, "no JSON object"), (5, "no text under 'text'")]


def test_files_elsewhere(tiny_run, expected):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe("/bulk/in.pt", "".join(f"{text}\n" for text in TEXTS[:20]).encode())
    arguments = tiny_run.folder, "memory://bulk/*.pt", "memory://bulk/out"
    assert translate_files(*arguments, texts_per_shard=8)["shards"] == 3
    found = b"".join(system.cat(path) for path in sorted(system.glob("/bulk/out-*.txt")))
    assert found.decode().splitlines() == expected[:20]
    assert translate_files(*arguments, texts_per_shard=8) == {"skipped_shards": 3}


@pytest.mark.parametrize("form", ["tsv", "parquet"])
def test_other_formats(form, tiny_run, expected, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "in", TEXTS[:12])
    translate_files(
        tiny_run.folder, str(tmp_path / "in"), tmp_path / "out", form=form, texts_per_shard=6
    )
    wanted = list(zip(TEXTS, expected, strict=True))[:12]
    if form == "tsv":
        assert [tuple(line.split("\t")) for line in read(tmp_path, ".tsv")] == wanted
        return
    paths = sorted(tmp_path.glob("out-*.parquet"))
    rows = [row for path in paths for row in parquet.read_table(path).to_pylist()]
    assert [(row["text"], row["translation"]) for row in rows] == wanted
    translate_files(tiny_run.folder, str(paths[0]), tmp_path / "again", text_key="translation")
    assert (tmp_path / "again-00000-000000.parquet").exists()


class Poisoned:
    """A translator that one text is too much for."""

    takes_first_stream = True

    def __init__(self, translator):
        self._translator = translator
        self.calls = 0

    def translate(self, texts, **options):
        self.calls += 1
        if "veneno" in texts:
            raise MemoryError("too much")
        return self._translator.translate(texts, **options)


@pytest.mark.parametrize("options", [{}, {"sampling": True, "first_stream": 100}])
def test_a_text_that_breaks_the_model_fails_alone(options, tiny_run):
    texts = [*TEXTS[:9], "veneno", *TEXTS[9:20]]
    found = translate_each(Poisoned(tiny_run.translator), texts, **options)
    assert [one.text for one in found] == texts
    assert [i for i, one in enumerate(found) if one.translation is None] == [9]
    assert found[9].problem == "MemoryError: too much"
    if options:  # samples follow from the place of a text
        expected = tiny_run.translator.translate([*TEXTS[:9], "", *TEXTS[9:20]], **options)
        assert [one.text for one in expected if one.text] == [
            one.translation for one in found if one.translation
        ]


COMMAND = ["translate", "--runner", "DirectRunner", "--texts-per-shard", "10"]


def test_the_command(tiny_run, expected, tmp_path):
    write(tmp_path / "in", TEXTS)
    arguments = ["--model", str(tiny_run.folder), "--input", str(tmp_path / "in")]
    done = CliRunner().invoke(main, [*COMMAND, *arguments, "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "50 translated" in done.stderr
    assert read(tmp_path) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--runner", "DirectRunner"], 2, "--runner needs --input and --output"),
        (["--input", "in"], 2, "--input says nothing without --runner"),
        (["--runner", "DirectRunner", "--json"], 2, "--json says nothing with --runner"),
        (
            ["--runner", "DirectRunner", "--input", "no.txt", "--output", "out"],
            1,
            "no.txt: no such file",
        ),
        (
            ["--runner", "NoRunner", "--input", "in", "--output", "out"],
            1,
            "NoRunner",
        ),
        (
            ["--runner", "DirectRunner", "--input", "in", "--output", "out", "--to", "fr"],
            1,
            "this model translates to en",
        ),
    ],
)
def test_wrong_commands_are_refused(arguments, code, message, tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", TEXTS[:2])
    done = CliRunner().invoke(main, ["translate", "--model", str(tiny_run.folder), *arguments])
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


TWO = ["direct_num_workers=2", "direct_running_mode=multi_processing"]


def start(folder, model, *options):
    command = [sys.executable, "-m", "keras_transformer", *COMMAND, "--model", str(model)]
    for option in options:
        command += ["--runner-option", option]
    command += ["--input", str(folder / "in"), "--output", str(folder / "out")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.slow
def test_two_processes_that_are_killed_end_with_the_same_files(tiny_run, expected, tmp_path):
    write(tmp_path / "in", TEXTS)
    process = start(tmp_path, tiny_run.folder, *TWO)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("out-*.txt")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process = start(tmp_path, tiny_run.folder, *TWO)
    said = process.communicate(timeout=500)[1]
    assert process.returncode == 0, said
    assert read(tmp_path) == expected


@pytest.mark.slow
def test_a_portable_runner_does_the_same(tiny_run, expected, tmp_path):
    """A job server, which runs pipelines that know nothing of this process."""
    write(tmp_path / "in", TEXTS)
    port = tmp_path / "port"
    program = "apache_beam.runners.portability.local_job_service_main"
    server = subprocess.Popen(
        [sys.executable, "-m", program, "--port", "0", "--port_file", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 100
        while not port.exists() or not port.read_text().strip():
            assert time.monotonic() < deadline
            assert server.poll() is None
            time.sleep(0.1)
        counts = translate_files(
            tiny_run.folder,
            str(tmp_path / "in"),
            tmp_path / "out",
            texts_per_shard=10,
            runner="PortableRunner",
            runner_options={
                "job_endpoint": f"localhost:{port.read_text().strip()}",
                "environment_type": "LOOPBACK",
            },
        )
    finally:
        server.kill()
    assert read(tmp_path) == expected
    assert counts.get("translated", 50) == 50
