"""Every block of Python and shell in the documents runs.

Those that train, or need a trained run or a server, run with ``-m slow``, on little data and for
few steps; those of a container, a GPU or a cluster do not run. `documentation_blocks` says how
blocks are labelled.
"""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import documentation_blocks as documents
import pytest
from documentation_blocks import DOCUMENTS, ELSEWHERE, ROOT, Block
from documentation_programs import LITTLE, write_programs

SECONDS = 900  # after which a block counts as stuck


def sections() -> list[list[Block]]:
    """The Python blocks of each section, which share their names, as a reader would run them."""
    found = {}
    for block in documents.all_blocks("python"):
        found.setdefault((block.document, block.section), []).append(block)
    return list(found.values())


def quick(blocks) -> list[Block]:
    """The blocks of a section before the first that takes long."""
    slow = [number for number, block in enumerate(blocks) if block.run]
    return blocks[: slow[0]] if slow else blocks


def named(blocks) -> str:
    return str(blocks[0])


# What blocks find in their folder


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    return write_programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def saved_model(tiny_run, tmp_path_factory):
    """The tiny run, exported as version 1."""
    from keras_transformer.exporting import export

    folder = tmp_path_factory.mktemp("exported") / "NAME"
    export(tiny_run.translator, folder, compiled=False)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A checkpoint of Marian of random weights, as `transformers` writes it."""
    import sentencepiece

    from keras_transformer.data.corpora.sample import read_sample
    from keras_transformer.interop.huggingface import save_huggingface
    from keras_transformer.models.transformer import Transformer

    folder, names = tmp_path_factory.mktemp("marian"), ["</s>", "<unk>"]
    for side, lines in zip(
        ("source", "target"), zip(*read_sample()["train"][:300], strict=True), strict=True
    ):
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=written, vocab_size=90, minloglevel=2
        )
        (folder / f"{side}.spm").write_bytes(written.getvalue())
        pieces = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
        names += [pieces.id_to_piece(number) for number in range(3, pieces.get_piece_size())]
    names = [*dict.fromkeys(names), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "MarianTokenizer", "source_lang": "pt", "target_lang": "en"})
    )
    model = Transformer(
        num_layers=1,
        d_model=16,
        num_heads=2,
        dff=24,
        max_length=32,
        input_vocab_size=len(names) + 1,
        target_vocab_size=len(names) + 1,
        share_embeddings=True,
        tie_output=True,
        output_bias=True,
        layer_norm_epsilon=1e-5,
    )
    save_huggingface(model, folder)
    return folder


@dataclass(frozen=True)
class Server:
    """Where the server of the documents listens."""

    rest_port: int
    grpc_port: int


@pytest.fixture(scope="session")
def server(saved_model, environment, tmp_path_factory):
    """The server that the block labelled so starts."""
    [block] = [block for block in documents.all_blocks("sh") if block.run == "server"]
    folder = tmp_path_factory.mktemp("serving")
    (folder / "saved_models").mkdir()
    (folder / "saved_models/NAME").symlink_to(saved_model)
    listening = Server(free_port(), free_port())
    process = subprocess.Popen(
        ["bash", "-c", block.text],
        cwd=folder,
        env=environment
        | {"REST_PORT": str(listening.rest_port), "GRPC_PORT": str(listening.grpc_port)},
        start_new_session=True,
    )
    try:
        wait_until_ready(process, f"http://127.0.0.1:{listening.rest_port}/readyz")
        yield listening
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_until_ready(process, address):
    give_up = time.monotonic() + 300
    while time.monotonic() < give_up and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError("the server did not come up")


@pytest.fixture
def prepare(tmp_path, request):
    """Puts what blocks need into their folder; gives the server's address, if they need it."""

    def put(need):
        kind, _, _ = need.partition("/")
        place = tmp_path / need
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "runs":
            shutil.copytree(request.getfixturevalue("tiny_run").folder, place)
        elif kind == "saved_models":
            place.symlink_to(request.getfixturevalue("saved_model"))
        elif kind == "checkpoints":
            place.symlink_to(request.getfixturevalue("checkpoint"))
        elif kind == "benchmarks":
            place.symlink_to(ROOT / "benchmarks")
        elif need == "million_lines.txt":
            place.write_text("O gato viu o cachorro?\nA menina não tem fome.\n", encoding="utf-8")
        elif need == "page.html":
            place.write_text("<p>O <b>gato</b> dorme.<br>A menina lê.</p>\n", encoding="utf-8")
        elif need == "terms.tsv":
            place.write_text("gato\ttomcat\nmenina\tgirl\tpeople\n", encoding="utf-8")
        elif need in ("train.pt", "train.en"):
            from keras_transformer.data.corpora.sample import read_sample

            lines = [pair[need == "train.en"] for pair in read_sample()["train"][:300]]
            place.write_text("\n".join(lines) + "\n", encoding="utf-8")
        elif need == "both.yaml":
            sides = (
                f"pairs:train.{one},train.{other}" for one, other in (("pt", "en"), ("en", "pt"))
            )
            place.write_text(json.dumps({"datasets": [{"dataset": name} for name in sides]}))
        elif need == "values.yaml":
            place.write_text("training: {learning_rate: [0.001, 0.002]}\n", encoding="utf-8")
        elif need == "film.srt":
            place.write_text(
                "1\n00:00:01,000 --> 00:00:02,000\nO gato dorme.\n\n", encoding="utf-8"
            )
        else:
            raise ValueError(f"{need}: say here how to make it")

    def prepare(blocks):
        needs = {need for block in blocks for need in block.needs}
        for need in needs - {"server"}:
            put(need)
        return request.getfixturevalue("server") if "server" in needs else None

    return prepare


# Running them


def run_python(blocks, folder, environment, server=None):
    """Runs blocks, one after the other, in one fresh interpreter; errors have their lines."""
    parts = [LITTLE] if any("load_corpus" in block.text for block in blocks) else []
    for block in blocks:
        text = "\n" * (block.line - 1) + block.text
        if server is not None:
            text = text.replace("localhost:8500", f"127.0.0.1:{server.grpc_port}")
            text = text.replace('"pt_en"', '"NAME"')
        parts.append(f"exec(compile({text!r}, {block.document!r}, 'exec'))")
    script = folder / "blocks_of_a_section.py"
    script.write_text("\n".join(parts), encoding="utf-8")
    return finish([sys.executable, str(script)], folder, environment)


def finish(command, folder, environment) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def test_no_block_is_left_out():
    """Every block of Python and shell is in one of the lists below, or labelled as elsewhere."""
    run = {str(block) for blocks in sections() for block in blocks if block.run not in ELSEWHERE}
    run |= {str(block) for block in SHELL + SLOW_SHELL}
    servers = [block for block in documents.all_blocks("sh") if block.run == "server"]
    elsewhere = [b for b in documents.all_blocks("sh", "python") if b.run in ELSEWHERE]
    everything = {str(block) for block in documents.all_blocks("sh", "python")}
    assert run | {str(block) for block in servers + elsewhere} == everything
    assert {block.document for block in documents.all_blocks("sh", "python")} <= set(DOCUMENTS)


@pytest.mark.parametrize("blocks", [blocks for blocks in sections() if quick(blocks)], ids=named)
def test_python_runs(blocks, tmp_path, environment, prepare):
    blocks = quick(blocks)
    prepare(blocks)
    run_python(blocks, tmp_path, environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    "blocks", [blocks for blocks in sections() if quick(blocks) != blocks], ids=named
)
def test_slow_python_runs(blocks, tmp_path, environment, prepare):
    run_python(blocks, tmp_path, environment, prepare(blocks))


SHELL = [block for block in documents.all_blocks("sh") if block.run == ""]
SLOW_SHELL = [block for block in documents.all_blocks("sh") if block.run == "slow"]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_runs(block, tmp_path, environment, prepare):
    prepare([block])
    finish(["bash", "-euo", "pipefail", "-c", block.text], tmp_path, environment)


@pytest.mark.slow
@pytest.mark.parametrize("block", SLOW_SHELL, ids=str)
def test_slow_shell_runs(block, tmp_path, environment, prepare):
    server = prepare([block])
    ports = {"REST_PORT": str(server.rest_port)} if server else {}
    finish(["bash", "-euo", "pipefail", "-c", block.text], tmp_path, environment | ports)
