"""python benchmarks/recipes.py --dataset NAME --folder FOLDER --pairs SRC,TGT [--recipes NAME ...]

What each technique of training brings: the same preset is trained with each of `RECIPES`, for equal
steps (`--steps`) or equal minutes (`--minutes`), and every run is scored on the same pairs,
greedily and with a beam of 4.

Each run is a folder below FOLDER, with its log and scores beside it. What is there is not done
again: an interrupted benchmark goes on, down to the step, when it is given again, and one with
other recipes or seeds adds to the table. A row is printed once it is there. The p-value is that of
sacreBLEU's paired bootstrap against `--base` with the same seed, both with a beam of 4.

    python benchmarks/recipes.py --dataset pairs:train.pt,train.en \\
        --validation-pairs dev.pt,dev.en --pairs test.pt,test.en --folder runs/recipes \\
        --steps 1700 --recipes adam muon
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import machine, positive, say

RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "preset": {},
    "adam": {"training": {"optimizer": "adam"}},
    "muon": {"training": {"optimizer": "muon"}},
    "weight_decay": {"training": {"weight_decay": 0.01}},
    "average": {"training": {"average_decay": 0.999}},
    "subword_dropout": {"training": {"subword_dropout": 0.1}},
    "r_drop": {"training": {"r_drop": 5}},
    "dropout_0.2": {"model": {"dropout_rate": 0.2}},
    "layer_dropout": {"model": {"layer_dropout_rate": 0.1}},
    "token_dropout": {"model": {"token_dropout_rate": 0.1}},
    "all": {
        "training": {"average_decay": 0.999, "subword_dropout": 0.1, "r_drop": 5},
        "model": {"token_dropout_rate": 0.1},
    },
}
"""What each recipe changes in the preset."""

COLUMNS = (
    f"{'recipe':17}{'seed':>5}{'steps':>8}{'s/step':>8}{'val. loss':>11}{'greedy':>8}{'beam 4':>8}"
    f"{'p':>8}"
)


def command(*arguments: object, log: Path | None = None) -> None:
    """Runs a verb of the command line; what it says goes to a log.

    Raises:
        RuntimeError: when it fails, with its last line.
    """
    program = [sys.executable, "-m", "keras_transformer", *map(str, arguments)]
    done = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if log is not None:
        with log.open("a") as file:
            file.write(done.stdout)
    if done.returncode:
        lines = done.stdout.strip().splitlines() or ["it said nothing"]
        raise RuntimeError(f"{arguments[0]} failed: {lines[-1]}")


def train(name: str, seed: int, arguments: argparse.Namespace) -> Path:
    """Trains a recipe, or goes on with it; returns its run folder."""
    run = arguments.folder / f"{name}-{seed}"
    if (run / "metrics.json").exists():
        return run
    changes = run.with_suffix(".yaml")
    changes.write_text(json.dumps(RECIPES[name]))  # which is YAML, too
    options = ["--output", run, "--resume", "--seed", seed, "--config", changes]
    for option in ("dataset", "validation_pairs", "preset", "source_language", "target_language"):
        if value := getattr(arguments, option):
            options += [f"--{option.replace('_', '-')}", value]
    if arguments.minutes:
        options += ["--max-minutes", arguments.minutes]
    else:
        options += ["--max-steps", arguments.steps]
    command("train", *options, log=run.with_suffix(".log"))
    return run


def score(run: Path, beam_size: int, arguments: argparse.Namespace) -> Path:
    """Scores a run unless it has been; returns the file of scores, with translations beside it."""
    scores = run.with_name(f"{run.name}.beam{beam_size}.json")
    if not scores.exists():
        output = scores.with_suffix(".txt")
        output.unlink(missing_ok=True)
        options = ["--pairs", arguments.pairs, "--beam-size", beam_size, "--output", output]
        command("evaluate", "--model", run, *options, "--json", scores)
    return scores


def compared(run: Path, base: Path, arguments: argparse.Namespace) -> float | None:
    """The p-value of a run against the base, if both are scored and two."""
    one, other = (path.with_name(f"{path.name}.beam4.txt") for path in (run, base))
    if run == base or not other.exists():
        return None
    found = run.with_name(f"{run.name}.against.{base.name}.json")
    if not found.exists():
        options = ["--pairs", arguments.pairs, "--examples", 0, "--json", found]
        command("evaluate", "--model", one, "--compare", other, *options)
    return json.loads(found.read_text())["comparison"]["metrics"]["bleu"]["bootstrap"]["p"]


def row(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """What is known of a recipe and a seed; trains and scores it where that is not done."""
    run = train(name, seed, arguments)
    metrics = json.loads((run / "metrics.json").read_text())
    greedy, beam = (
        json.loads(score(run, size, arguments).read_text())["bleu"]["score"] for size in (1, 4)
    )
    return {
        "recipe": name,
        "seed": seed,
        "steps": metrics["steps"],
        "seconds_per_step": metrics["seconds"] / metrics["steps"],
        "validation_loss": metrics["validation_loss"],
        "greedy": greedy,
        "beam_4": beam,
        "p": compared(run, arguments.folder / f"{arguments.base}-{seed}", arguments),
    }


def line(found: dict[str, Any]) -> str:
    """A row of the table."""
    p = "" if found["p"] is None else f"{found['p']:.4f}"
    return (
        f"{found['recipe']:17}{found['seed']:5}{found['steps']:8,}{found['seconds_per_step']:8.2f}"
        f"{found['validation_loss']:11.3f}{found['greedy']:8.2f}{found['beam_4']:8.2f}{p:>8}"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--dataset", required=True, help="as for keras-transformer train")
    parser.add_argument("--validation-pairs", help="likewise")
    parser.add_argument("--source-language", help="likewise")
    parser.add_argument("--target-language", help="likewise")
    parser.add_argument("--preset", default="small", help="what the recipes change")
    parser.add_argument("--pairs", required=True, help="SRC,TGT or FILE.tsv to score on")
    parser.add_argument("--folder", type=Path, required=True, help="where the runs are")
    parser.add_argument("--steps", type=positive, default=1700, help="of each run")
    parser.add_argument("--minutes", type=float, help="of each run, in the place of steps")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--base", choices=RECIPES, default="preset", help="to compare with")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    say(json.dumps(machine()))
    print(COLUMNS, flush=True)
    failed = False
    for seed in arguments.seeds:
        for name in sorted(arguments.recipes, key=lambda name: name != arguments.base):
            try:
                print(line(row(name, seed, arguments)), flush=True)
            except RuntimeError as error:
                failed = True
                say(f"{name}, seed {seed}: {error}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
