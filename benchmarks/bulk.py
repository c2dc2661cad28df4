"""python benchmarks/bulk.py --model RUN --input FILE --folder FOLDER [--lines N] [--rounds N]

Translates the first lines of a file by `translate` and by `translate --runner DirectRunner` with
several processes, in turn, starts of processes included; compares what they write, and prints the
medians of their seconds and the ratio. Needs the extra ``[beam]``.
"""

import argparse
import itertools
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import machine, positive, say

KERAS_TRANSFORMER = [sys.executable, "-m", "keras_transformer", "translate"]


def translate(arguments: argparse.Namespace, lines: Path) -> tuple[float, str]:
    """Seconds of one process, and its translations."""
    started = time.perf_counter()
    with lines.open() as file:
        done = subprocess.run(
            [*KERAS_TRANSFORMER, "--model", arguments.model, *arguments.option],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
        )
    return time.perf_counter() - started, done.stdout


def on_beam(arguments: argparse.Namespace, lines: Path) -> tuple[float, str]:
    """Seconds of Beam's own runner, and its translations."""
    folder = arguments.folder / "shards"
    shutil.rmtree(folder, ignore_errors=True)
    options = [f"direct_num_workers={arguments.processes}", "direct_running_mode=multi_processing"]
    command = [*KERAS_TRANSFORMER, "--runner", "DirectRunner", "--model", arguments.model]
    for option in options:
        command += ["--runner-option", option]
    command += ["--input", str(lines), "--output", str(folder / "out"), *arguments.option]
    started = time.perf_counter()
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - started
    return seconds, "".join(path.read_text() for path in sorted(folder.glob("out-*.txt")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--model", required=True, help="a run folder or an export")
    parser.add_argument("--input", type=Path, required=True, help="texts, a line each")
    parser.add_argument("--folder", type=Path, required=True, help="where files go")
    parser.add_argument("--lines", type=positive, default=100_000)
    parser.add_argument("--processes", type=positive, default=2)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--option", action="append", default=[], help="of translate")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines = arguments.folder / "lines.txt"
    with arguments.input.open() as file:
        lines.write_text("".join(itertools.islice(file, arguments.lines)))
    say(machine())
    seconds: dict[str, list[float]] = {"translate": [], "DirectRunner": []}
    for number in range(arguments.rounds):
        found = {}
        for name, run in (("translate", translate), ("DirectRunner", on_beam)):
            taken, found[name] = run(arguments, lines)
            seconds[name].append(taken)
            say(f"round {number + 1}: {name} {taken:.1f} s")
        same = sum(
            one == other
            for one, other in zip(*(text.splitlines() for text in found.values()), strict=True)
        )
        say(f"round {number + 1}: {same:,} lines are the same")
    one, beam = map(statistics.median, seconds.values())
    print(f"translate {one:.1f} s, DirectRunner {beam:.1f} s: {one / beam:.2f} of its speed")


if __name__ == "__main__":
    main()
