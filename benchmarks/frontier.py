"""python benchmarks/frontier.py --models RUN RUN ... (--dataset NAME | --pairs SRC,TGT)

Quality against speed, for several trained runs: BLEU and sentences a second, and milliseconds for
one sentence, of this package, its SavedModel, and CTranslate2 in float32 and int8, each with and
without a shortlist. It trains nothing.

Everything is measured as by `decoding.py`, whose systems these are, for one run after the other.
The first run's CTranslate2 in float32 is what ratios refer to: it takes part in the rounds of every
run, so that a machine that is slower for a while is so for both. BLEU is sacreBLEU's, of what a
system wrote in the corpus' style.

A row is printed and written to `--json` once it is measured; what an interrupted benchmark has
measured stays. `--picture FILE.png` draws them.

    python benchmarks/frontier.py --models runs/small runs/fast \\
        --dataset ted_hrlr_translate/pt_to_en --json frontier.json --picture frontier.png
"""

import argparse
import json
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import decoding
from common import machine, say, versions

SYSTEMS = (
    "package",
    "package_shortlist",
    "saved_model",
    "saved_model_shortlist",
    "ctranslate2",
    "ctranslate2_shortlist",
    "ctranslate2_int8",
    "ctranslate2_int8_shortlist",
)
COLORS = {"package": "C0", "saved_model": "C2", "ctranslate2": "C3", "ctranslate2_int8": "C1"}


def bleu(folder: Path, run: Path, tokens: list[decoding.Tokens]) -> float:
    """BLEU of tokens of all batches, which have the prepared sentences in their order."""
    import sacrebleu

    from keras_transformer.data.tokenizers.pair import Tokenizers

    target = Tokenizers.load(run / "tokenizers").target
    rows = [row for batch in tokens for row in batch]
    texts = [text.decode() for text in target.detokenize(rows_of(rows), "corpus").numpy()]
    references = decoding.prepared_in(folder)["references"]
    return sacrebleu.corpus_bleu(texts, [references], force=True).score


def rows_of(rows: list[list[int]]) -> Any:
    import tensorflow as tf

    return tf.ragged.constant(rows, tf.int64)


class RunBench(decoding.Bench):
    """The systems of one run, and beside them the reference.

    Args:
        arguments: of the command line.
        run: the run folder.
        folder: where the run was prepared.
        reference: where the first run was prepared; ``None`` for the first.
        sentences: how many there are.
    """

    def __init__(self, arguments, run: Path, folder: Path, reference: Path | None, sentences: int):
        super().__init__(arguments, folder, sentences)
        self.run, self.reference = run, reference
        self.beside = decoding.process() if reference else None
        self.scores = decoding.process()

    def close(self) -> None:
        for one in (*self.processes.values(), self.scores, self.beside):
            if one is not None:
                one.shutdown()

    def measure(self, search: str, size: int) -> list[dict[str, Any]]:
        """A row for each system, with ``frontier_ratio`` and ``bleu``."""
        name = decoding.REFERENCE
        task = None
        if self.beside is not None:
            count = len(decoding.prepared_in(self.reference)["ids"])
            places = tuple(range(-(-count // size)))
            task = decoding.Task(name, search, size, places, self.reference, self.arguments.threads)
            self.beside.submit(decoding.first_pass, task).result()
        self.beside_rounds: list[dict[str, Any]] = []
        self.beside_task = task
        self.found: dict[str, list[decoding.Tokens]] = {}
        rows = self.run_setting(search, size)
        its = self.beside_rounds or next(
            (row["rounds"] for row in rows if row["system"] == name and "rounds" in row), []
        )
        for row in rows:
            row["run"] = self.run.name
            if row["outcome"] != "measured" or not its:
                continue
            seconds = [[one["seconds"] for one in some] for some in (its, row["rounds"])]
            row["frontier_ratio"] = decoding.median_ratio(*seconds)
            if size == 1:
                latencies = [[one["latency_ms"] for one in some] for some in (row["rounds"], its)]
                row["frontier_latency"] = decoding.median_ratio(*latencies)
            scored = self.scores.submit(bleu, self.folder, self.run, self.found[row["system"]])
            row["bleu"] = scored.result()
        return rows

    def ask(self, function, task):
        result = super().ask(function, task)
        if function is decoding.first_pass and result:
            # Of the reference some batches are translated once more by themselves.
            self.found.setdefault(task.system, result["tokens"])
        is_first = task.system == self.arguments.systems[0]
        if function is decoding.one_round and is_first and self.beside_task is not None:
            self.beside_rounds.append(
                self.beside.submit(decoding.one_round, self.beside_task).result()
            )
        return result


def line_of(row: dict[str, Any]) -> str:
    label = decoding.SYSTEMS[row["system"]].label.strip()
    if label.startswith("with "):
        label = f"{decoding.SYSTEMS[row['system'].removesuffix('_shortlist')].label}, {label}"
    line = f"{row['run']:12}{label:40}{row['search']:7}{row['batch_size']:4}"
    if row["outcome"] != "measured":
        return f"{line}  {row['outcome']}"
    line += decoding.number(row, "bleu", 8) + f"{row['sentences_per_second']:9,.1f}"
    line += decoding.number(row, "frontier_ratio", 7)
    return (
        line
        + decoding.number(row, "latency_ms", 9, ".1f", " ms")
        + decoding.number(row, "frontier_latency", 7)
    )


def draw(rows: list[dict[str, Any]], size: int, path: Path) -> None:
    """BLEU against sentences a second, greedily, in batches of a size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    markers = dict(zip(dict.fromkeys(row["run"] for row in rows), "os^Dv*P", strict=False))
    for row in rows:
        if row["outcome"] != "measured" or (row["search"], row["batch_size"]) != ("greedy", size):
            continue
        system, with_shortlist, _ = row["system"].partition("_shortlist")
        axes.scatter(
            row["sentences_per_second"],
            row["bleu"],
            marker=markers[row["run"]],
            s=70,
            edgecolors=COLORS[system],
            facecolors=COLORS[system] if with_shortlist else "none",
            linewidths=1.5,
        )
    for system, color in COLORS.items():
        if not any(row["system"].removesuffix("_shortlist") == system for row in rows):
            continue
        axes.scatter([], [], color=color, label=decoding.SYSTEMS[system].label)
    axes.scatter([], [], facecolors="none", edgecolors="grey", label="all target tokens")
    axes.scatter([], [], color="grey", label="with a shortlist")
    for run, marker in markers.items():
        axes.scatter([], [], color="grey", marker=marker, label=run)
    axes.set(xlabel=f"sentences a second, batches of {size}", ylabel="BLEU")
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside right upper")
    figure.savefig(path, dpi=120)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="run folders")
    parser.add_argument(
        "--searches", nargs="+", choices=tuple(decoding.SEARCHES), default=["greedy"]
    )
    parser.add_argument("--picture", type=Path, help="a PNG to draw")
    decoding.add_arguments(parser, SYSTEMS, (1, 64))
    return parser.parse_args(namespace=argparse.Namespace(slow_sentences=1))


def main() -> int:
    arguments = parse_arguments()
    host = machine()
    decoding.use_cpu(arguments.threads)
    path = arguments.json or Path(tempfile.mkdtemp()) / "frontier.json"
    rows: list[dict[str, Any]] = []
    first = None
    with tempfile.TemporaryDirectory() as base:
        for number, run in enumerate(arguments.models):
            folder = Path(base, str(number))
            folder.mkdir()
            say(f"{run}: tokenising and exporting")
            arguments.model = run
            with decoding.process() as executor:
                prepared = executor.submit(decoding.prepare, arguments, folder).result()
            bench = RunBench(arguments, run, folder, first, prepared["sentences"])
            first = first or folder
            for search, size in product(arguments.searches, arguments.batch_sizes):
                measured = bench.measure(search, size)
                rows += measured
                print("\n".join(map(line_of, measured)), flush=True)
                settings = vars(arguments) | prepared
                content = {"machine": host, "versions": versions(), "settings": settings}
                text = json.dumps(content | {"rows": rows}, indent=2, default=str)
                path.write_text(text + "\n")
            bench.close()
    say(f"written to {path}")
    if arguments.picture:
        draw(rows, max(arguments.batch_sizes), arguments.picture)
    return 1 if any(row["outcome"].startswith("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
