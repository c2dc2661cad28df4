"""python benchmarks/scale.py --source FILE --target FILE --folder FOLDER [--pairs N ...]

What a corpus of N pairs takes: seconds and peak memory to prepare it (vocabulary and tokens), to
train some steps, and to go on. Corpora are made of the lines of two files, plain or ``.gz``, again
and again with a number appended, so that no two pairs are the same.

Each stage is a program of its own; its memory is the largest sum over its processes (a page that
several of them share counts in each), less what a process has once it has imported the package.
Tokenising is measured once more for each of ``--processes``. A row is printed once it is there.
"""

import argparse
import gzip
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from common import machine, positive, say

COLUMNS = f"{'pairs':>12}{'stage':>14}{'seconds':>10}{'pairs/s':>10}{'MiB':>8}"


def open_text(path: Path):
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def make_corpus(arguments: argparse.Namespace, pairs: int) -> tuple[Path, Path]:
    """Files of so many pairs."""
    made = []
    for side in (arguments.source, arguments.target):
        path = arguments.folder / f"{pairs}.{side.name.removesuffix('.gz').rsplit('.')[-1]}"
        made.append(path)
        if path.exists():
            continue
        with open_text(side) as file:
            lines = [line.rstrip("\n") for line in file]
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("w") as file:
            for number, line in enumerate(itertools.islice(itertools.cycle(lines), pairs)):
                file.write(f"{line} {number}\n")
        unfinished.rename(path)
    return made[0], made[1]


def memory_of(pid: int) -> int:
    """Bytes in memory of a process and of those that it started."""
    found = 0
    for task in [pid, *_children(pid)]:
        try:
            status = Path(f"/proc/{task}/status").read_text()
        except OSError:  # it has ended
            continue
        held = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        found += 1024 * int(held[0]) if held else 0
    return found


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in path.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_children(child)]
    return found


def measured(arguments: list[str]) -> dict[str, Any]:
    """Runs a stage in a program of its own; what it printed, and its peak memory."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--stage", *arguments], stdout=subprocess.PIPE, text=True
    )
    peak = 0

    def watch():
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.05)

    watching = threading.Thread(target=watch)
    watching.start()
    output, _ = process.communicate()
    watching.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: ended with {process.returncode}")
    found = json.loads(output.splitlines()[-1])
    return {**found, "mib": round((peak - found.pop("base")) / 2**20)}


def train_some(source: str, target: str, validation: str, run: str, steps: str):
    """Trains up to a step; prints one line of JSON."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    import keras_transformer as kt
    from keras_transformer.config import preset
    from keras_transformer.training.run import train

    base = memory_of(os.getpid())
    started = time.monotonic()
    seconds = {}

    class Times(keras.callbacks.Callback):
        """Remembers when the first step ended and when the last one did."""

        def on_train_batch_end(self, batch, logs=None):
            seconds.setdefault("first", time.monotonic() - started)
            seconds["last"] = time.monotonic() - started

    corpus = kt.load_corpus(f"pairs:{source},{target}", validation_pairs=validation)
    changes = {"max_steps": int(steps), "bleu_sentences": 0, "checkpoint_minutes": 0.001}
    config = preset("small").replace({"training": changes})
    train(corpus, run, config, resume=True, callbacks=[Times()])
    print(json.dumps({"base": base, **seconds}))


def tokenize(source: str, target: str, tokenizers: str, folder: str, processes: str):
    """Tokenises a corpus alone; prints one line of JSON."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras_transformer as kt
    from keras_transformer.data.batches.token_shards import Recipe, write_token_shards
    from keras_transformer.data.tokenizers.masked import PairOptions

    base = memory_of(os.getpid())
    corpus = kt.load_corpus(f"pairs:{source},{target}", validation_pairs=f"{source},{target}")
    recipe = Recipe(Path(tokenizers), 128, PairOptions(shared_words=0.1))
    started = time.monotonic()
    write_token_shards(folder, "key", corpus.train, recipe, say, int(processes))
    print(json.dumps({"base": base, "last": time.monotonic() - started}))


def rows_of(pairs: int, arguments: argparse.Namespace):
    """The rows of one size, as they come."""
    files = [str(path) for path in make_corpus(arguments, pairs)]
    run = str(arguments.folder / f"run-{pairs}")
    shutil.rmtree(run, ignore_errors=True)
    training = [*files, arguments.validation_pairs, run]
    found = measured(["train", *training, "1"])
    yield {"pairs": pairs, "stage": "prepare", "seconds": found["first"], "mib": found["mib"]}
    found = measured(["train", *training, str(1 + arguments.steps)])
    seconds = {"resume": found["first"], f"{arguments.steps} steps": found["last"] - found["first"]}
    for stage, taken in seconds.items():
        yield {"pairs": pairs, "stage": stage, "seconds": taken, "mib": found["mib"]}
    for processes in arguments.processes:
        folder = arguments.folder / f"shards-{pairs}-{processes}"
        shutil.rmtree(folder, ignore_errors=True)
        options = [*files, f"{run}/tokenizers", str(folder), str(processes)]
        found = measured(["tokenize", *options])
        shutil.rmtree(folder)
        stage = f"tokenize, {processes}"
        yield {"pairs": pairs, "stage": stage, "seconds": found["last"], "mib": found["mib"]}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--source", type=Path, required=True, help="lines to make corpora of")
    parser.add_argument("--target", type=Path, required=True, help="their translations")
    parser.add_argument("--validation-pairs", required=True, help="as for keras-transformer train")
    parser.add_argument("--folder", type=Path, required=True, help="for corpora and runs")
    parser.add_argument("--pairs", type=positive, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--steps", type=positive, default=200)
    parser.add_argument("--processes", type=positive, nargs="*", default=[1, 2])
    parser.add_argument("--output", type=Path, help="JSON of the rows, written after each")
    return parser.parse_args()


def main():
    if sys.argv[1:2] == ["--stage"]:
        stage, *rest = sys.argv[2:]
        {"train": train_some, "tokenize": tokenize}[stage](*rest)
        return
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    say(json.dumps(machine()))
    print(COLUMNS, flush=True)
    rows = []
    for pairs in arguments.pairs:
        for row in rows_of(pairs, arguments):
            rows.append(row)
            speed = "" if "steps" in row["stage"] else f"{pairs / row['seconds']:,.0f}"
            print(
                f"{pairs:12,}{row['stage']:>14}{row['seconds']:10.1f}{speed:>10}{row['mib']:8,}",
                flush=True,
            )
            if arguments.output is not None:
                arguments.output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
