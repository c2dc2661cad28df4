"""python benchmarks/lineage.py --dataset pairs:SRC,TGT --minutes 10 --output FOLDER [--resume]

The road to the Transformer in one table: recurrent networks with one context vector, with
attention, and attention alone, trained on the same corpus for the same time.

Every system has the same vocabulary, shared by both sides, one embedding for source, target and
output, one recipe (Adam, linear schedule, label smoothing, clipped gradients, the same batches in
the same order), and a width that gives it the parameters of the Transformer with 4 layers of width
`--width`. Learning rates are by family (`--learning-rates`). Recurrent encoders read in both
directions; the decoder begins with their last state; Luong's attention is `general`, without input
feeding.

Each system trains in a process of its own. What is finished stays in the folder: with `--resume`
the same command goes on with the others, or reads another `--target-loss` from the same runs. On a
shared machine `--steps` in the place of `--minutes` gives each the same number of steps.

Of the steps' real target tokens per second the median counts. An epoch's seconds are those of its
steps, at the mean of those that were taken, the first left out. The loss is the training's, of a
real token, without smoothing, the mean of the last WINDOW steps; its time begins with the run,
before tokens and model are made, and has the validations in it. BLEU is of the validation pairs,
searched greedily, in all and by words of the source.

    python benchmarks/lineage.py --dataset sample --steps 300 --width 64 --length-limits 4,6,8 \
        --systems gru,gru_luong,transformer_2 --output /tmp/lineage      # a small one
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np
from common import cores, machine, positive, say, versions

# TensorFlow is imported by the processes that train.

SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn": ("RNN", {"family": "rnn", "attention": "none"}),
    "lstm": ("LSTM", {"family": "lstm", "attention": "none"}),
    "gru": ("GRU", {"family": "gru", "attention": "none"}),
    "gru_luong": ("GRU, Luong", {"family": "gru", "attention": "general"}),
    "gru_bahdanau": ("GRU, Bahdanau", {"family": "gru", "attention": "additive"}),
    "transformer_1": ("Transformer, 1 layer", {"family": "transformer", "num_layers": 1}),
    "transformer_2": ("Transformer, 2 layers", {"family": "transformer", "num_layers": 2}),
    "transformer_4": ("Transformer, 4 layers", {"family": "transformer", "num_layers": 4}),
}
"""What a system is called, and what its configuration says of the model."""

REFERENCE = "transformer_4"  # whose parameters the others have
WIDTHS = range(16, 2049, 8)  # a multiple of the 8 heads
LEARNING_RATES = {"rnn": 0.001, "lstm": 0.003, "gru": 0.003, "transformer": 0.003}
RECIPE = {
    "schedule": "linear",
    "label_smoothing": 0.1,
    "clip_norm": 1.0,  # gradients through time can explode
    "bleu_sentences": 0,
    "checkpoint_minutes": 1e6,  # an interrupted system begins again, for its clock is lost
}
WINDOW = 20  # steps
LATER = ("systems", "target_loss", "resume", "output")
"""Options that change nothing in a trained system."""


# What the processes do.


def config_of(name: str, width: int, settings: dict[str, Any]) -> Any:
    """The configuration of a system."""
    from keras_transformer.config import Config

    _, model = SYSTEMS[name]
    recurrent = model["family"] != "transformer"
    sizes = {"units": width, "embedding_size": None}
    if not recurrent:
        sizes = {"d_model": width, "dff": 4 * width, "num_heads": 8, "norm_first": True}
    training = {
        "epochs": None,
        "max_steps": settings["steps"],
        "max_minutes": settings["minutes"],
        "learning_rate": settings["learning_rates"][model["family"]],
    }
    training |= {key: settings[key] for key in ("batch_tokens", "warmup_steps", "dtype", "seed")}
    shared = {"share_embeddings": True, "tie_output": True}
    return Config().replace(
        {
            "model": model | sizes | shared | {"dropout_rate": settings["dropout_rate"]},
            "tokenizer": {"vocab_size": settings["vocab_size"], "shared": True},
            "training": RECIPE | training,
        }
    )


def parameters_of(name: str, width: int, settings: dict[str, Any], vocab_size: int) -> int:
    from keras_transformer.models.families import make_model

    sizes = {"input_vocab_size": vocab_size, "target_vocab_size": vocab_size}
    return make_model(config_of(name, width, settings).model, **sizes).count_params()


def width_of(name: str, parameters: int, settings: dict[str, Any], vocab_size: int) -> int:
    """The width that comes closest to a number of parameters, which is quadratic in the width."""
    widths = (64, 128, 256)
    counts = [parameters_of(name, width, settings, vocab_size) for width in widths]
    polynomial = np.polynomial.Polynomial.fit(widths, counts, 2)
    return min(WIDTHS, key=lambda width: abs(polynomial(width) - parameters))


def load_corpus(settings: dict[str, Any]) -> Any:
    import keras_transformer as kt

    return kt.load_corpus(
        settings["dataset"],
        data_dir=settings["data_dir"],
        validation_pairs=settings["validation_pairs"],
    )


def prepare(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Learns the vocabulary into `folder` and counts the parameters all systems are to have."""
    import tensorflow as tf

    import keras_transformer as kt

    corpus = load_corpus(settings)
    corpus.require("validation")
    tokenizers = kt.train_tokenizers(corpus, vocab_size=settings["vocab_size"], shared=True)
    tokenizers.save(folder / "tokenizers")
    vocab_size = int(tokenizers.target.get_vocab_size())
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return {
        "vocabulary": vocab_size,
        "parameters": parameters_of(REFERENCE, settings["width"], settings, vocab_size),
        "device": details.get("device_name", "GPU") if gpus else "CPU",
    }


def train_system(name: str, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Trains a system into `folder`, translates the validation pairs and scores them.

    Returns:
        its sizes and scores, and for each step its seconds, its end since the run began, its real
        target tokens per second and its loss.
    """
    import keras

    from keras_transformer.data.corpora.corpus import list_pairs
    from keras_transformer.data.tokenizers.pair import Tokenizers
    from keras_transformer.training.run import train
    from keras_transformer.translating.comparison.breakdowns import scores_by_length
    from keras_transformer.translating.evaluation import evaluate

    corpus, prepared = load_corpus(settings), settings["prepared"]
    tokenizers = Tokenizers.load(folder.parent / "tokenizers")
    vocab_size = int(tokenizers.target.get_vocab_size())
    width = settings["width"]
    if name != REFERENCE:
        width = width_of(name, prepared["parameters"], settings, vocab_size)
    steps = {"step_seconds": [], "elapsed": [], "step_speeds": [], "step_losses": []}
    run_started, step_started = monotonic(), 0.0

    def begin(batch: int, logs: Any = None) -> None:
        nonlocal step_started
        step_started = perf_counter()

    def end(batch: int, logs: Any) -> None:
        steps["step_seconds"].append(round(perf_counter() - step_started, 4))
        steps["elapsed"].append(round(monotonic() - run_started, 3))
        steps["step_speeds"].append(round(logs["tokens_per_second"], 1))
        steps["step_losses"].append(round(logs["batch_loss"], 4))

    recorder = keras.callbacks.LambdaCallback(on_train_batch_begin=begin, on_train_batch_end=end)
    config = config_of(name, width, settings)
    run = train(corpus, folder / "run", config, tokenizers=tokenizers, callbacks=[recorder])
    pairs = list_pairs(corpus.require("validation"))
    found = evaluate(run.translator, pairs, return_hypotheses=True)
    hypotheses = found.pop("hypotheses")
    (folder / "translations.txt").write_text("".join(f"{line}\n" for line in hypotheses))
    sources, references = zip(*pairs, strict=True)
    return {
        "width": width,
        "parameters": run.metrics["parameters"],
        "steps": run.metrics["steps"],
        "steps_per_epoch": recorder.params["steps"],
        "validation_loss": run.metrics["validation_loss"],
        "scores": found,
        "by_length": scores_by_length(sources, hypotheses, references, settings["length_limits"]),
        **steps,
    }


def work(job: dict[str, Any]) -> None:
    """What a process of `in_a_process` does; the result is written last."""
    folder = Path(job["folder"])
    if job["system"]:
        result = train_system(job["system"], job["settings"], folder)
    else:
        result = prepare(job["settings"], folder)
    unfinished = folder / "unfinished.json"
    unfinished.write_text(json.dumps(result) + "\n")
    unfinished.replace(result_file(folder))


# What directs them.


def result_file(folder: Path) -> Path:
    return folder / "result.json"


def in_a_process(folder: Path, settings: dict[str, Any], system: str | None = None) -> str | None:
    """Runs `work` in a new process, which leaves its result and its log in `folder`.

    Returns:
        why it failed, if it did.
    """
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(settings["threads"])
    environment = {
        "KERAS_BACKEND": "tensorflow",
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    job = {"folder": str(folder), "settings": settings, "system": system}
    log = folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.run(
            [sys.executable, __file__, "--job", json.dumps(job)],
            env={**os.environ, **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    if process.returncode == 0:
        return None
    problem = f"exit status {process.returncode}"
    if process.returncode < 0:
        problem = f"killed by {signal.Signals(-process.returncode).name}"
    elif lines := [line for line in log.read_text(errors="replace").splitlines() if line.strip()]:
        problem = lines[-1].strip()
    return f"{problem} (see {log})"


def settle(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of the runs in the folder, which must be those given."""
    given = {name: value for name, value in vars(arguments).items() if name not in LATER}
    given = json.loads(json.dumps(given))  # as they are read again
    path = arguments.output / "settings.json"
    if not result_file(arguments.output).exists():
        arguments.output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(given, indent=2) + "\n")
        return given
    if not arguments.resume:
        raise SystemExit(f"{arguments.output}: holds runs: go on with --resume, or choose another")
    begun = json.loads(path.read_text())
    for name, value in given.items():
        if begun.get(name) != value:
            option = name.replace("_", "-")
            raise SystemExit(
                f"{arguments.output}: began with --{option} {begun.get(name)}, not {value}: give "
                "the same, or choose another --output"
            )
    return begun


def run_systems(arguments: argparse.Namespace, settings: dict[str, Any]) -> dict[str, str]:
    """Trains what is not finished.

    Returns:
        why systems failed.
    """
    failures = {}
    for name in arguments.systems:
        folder = arguments.output / name
        if result_file(folder).exists():
            say(f"{name}: finished before")
            continue
        shutil.rmtree(folder, ignore_errors=True)  # what an interruption left behind
        say(f"{name}: training; see {folder / 'log.txt'}")
        if failure := in_a_process(folder, settings, name):
            failures[name] = failure
            say(f"{name} failed: {failure}")
    return failures


def smoothed(losses: list[float]) -> np.ndarray:
    """Mean over each WINDOW of steps, or over all where there are fewer."""
    window = min(WINDOW, len(losses))
    return np.convolve(losses, np.full(window, 1 / window), "valid")


def row_of(name: str, result: dict[str, Any], target_loss: float) -> dict[str, Any]:
    """One row of the table."""
    losses, elapsed = smoothed(result["step_losses"]), result["elapsed"]
    first = len(elapsed) - len(losses)  # steps before the first window ends
    reached = np.flatnonzero(losses <= target_loss)
    after = first + int(reached[0]) if len(reached) else None
    kept = ("width", "parameters", "steps", "steps_per_epoch", "validation_loss")
    return {
        "system": name,
        "outcome": "trained",
        **{key: result[key] for key in kept},
        "seconds": elapsed[-1],
        "tokens_per_second": statistics.median(result["step_speeds"]),
        "seconds_per_epoch": result["steps_per_epoch"]
        * statistics.mean(result["step_seconds"][1:] or result["step_seconds"]),
        "training_loss": float(losses[-1]),
        "steps_to_loss": None if after is None else after + 1,
        "seconds_to_loss": None if after is None else elapsed[after],
        "bleu": result["scores"]["bleu"]["score"],
        "scores": result["scores"],
        "by_length": result["by_length"],
    }


def table(rows: list[dict[str, Any]], target_loss: float) -> str:
    """The rows, aligned: first size, speed and losses, then BLEU."""
    lines = [
        f"{'':23}{'width':>6}{'parameters':>12}{'tokens/s':>10}{'s/epoch':>9}{'steps':>8}"
        f"{'minutes':>9}{f'steps to {target_loss:g}':>14}{'minutes':>9}{'val. loss':>11}"
    ]
    trained = [row for row in rows if row["outcome"] == "trained"]
    for row in rows:
        line = f"{SYSTEMS[row['system']][0]:23}"
        if row["outcome"] != "trained":
            lines.append(line + row["outcome"])
            continue
        steps, seconds = row["steps_to_loss"], row["seconds_to_loss"]
        lines.append(
            f"{line}{row['width']:6,}{row['parameters']:12,}{row['tokens_per_second']:10,.0f}"
            f"{row['seconds_per_epoch']:9,.0f}{row['steps']:8,}{row['seconds'] / 60:9.1f}"
            + (f"{steps:14,}{seconds / 60:9.1f}" if steps else f"{'never':>14}{'':9}")
            + f"{row['validation_loss']:11.3f}"
        )
    return "\n".join(lines + (["", *score_lines(trained)] if trained else []))


def score_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The second part of the table."""
    buckets = rows[0]["by_length"]
    cells = [("all", sum(part["sentences"] for part in buckets))]
    cells += [(part["words"], part["sentences"]) for part in buckets]
    lines = [f"{'BLEU by source words':23}" + "".join(f"{words:>9}" for words, _ in cells)]
    lines.append(f"{'sentences':23}" + "".join(f"{sentences:9,}" for _, sentences in cells))
    for row in rows:
        scores = [row["bleu"], *(part["bleu"] for part in row["by_length"])]
        cells = (f"{'':9}" if score is None else f"{score:9.2f}" for score in scores)
        lines.append(f"{SYSTEMS[row['system']][0]:23}" + "".join(cells))
    return lines


def draw(results: dict[str, dict[str, Any]], folder: Path) -> None:
    """Writes the two figures."""
    from keras_transformer.plotting.lengths import plot_losses_by_time, plot_scores_by_length

    scores, curves = {}, {}
    for name, result in results.items():
        losses = smoothed(result["step_losses"])
        scores[SYSTEMS[name][0]] = result["by_length"]
        curves[SYSTEMS[name][0]] = (result["elapsed"][-len(losses) :], losses)
    plot_scores_by_length(scores).savefig(folder / "scores_by_length.png", dpi=150)
    plot_losses_by_time(curves).savefig(folder / "losses_by_time.png", dpi=150)


def system_names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no {unknown[0]!r}: choose of {', '.join(SYSTEMS)}")
    return [name for name in SYSTEMS if name in names]


def learning_rates(text: str) -> dict[str, float]:
    try:
        parts = (part.split("=") for part in text.split(","))
        given = {family: float(rate) for family, rate in parts}
    except ValueError:
        given = {"": 0.0}
    if not set(given) <= set(LEARNING_RATES) or min(given.values()) <= 0:
        raise argparse.ArgumentTypeError(f"give FAMILY=RATE,..., of {', '.join(LEARNING_RATES)}")
    return LEARNING_RATES | given


def length_limits(text: str) -> list[int]:
    try:
        limits = [int(limit) for limit in text.split(",")]
    except ValueError:
        limits = [0]
    if limits[0] < 1 or any(low >= high for low, high in pairwise(limits)):
        raise argparse.ArgumentTypeError("give whole numbers that rise from 1 on, as 10,20,30,40")
    return limits


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--dataset", required=True, help="as for keras_transformer.load_corpus")
    parser.add_argument("--validation-pairs", help="SRC,TGT or FILE.tsv in the corpus' place")
    parser.add_argument("--data-dir", help="prepared data, or an archive")
    parser.add_argument("--output", type=Path, required=True, help="folder of runs and results")
    parser.add_argument("--resume", action="store_true", help="go on in a folder that holds runs")
    parser.add_argument(
        "--systems", type=system_names, default=list(SYSTEMS), help=f"of {','.join(SYSTEMS)}"
    )
    limit = parser.add_mutually_exclusive_group(required=True)
    limit.add_argument("--minutes", type=float, help="of training, the same for each")
    limit.add_argument("--steps", type=positive, help="of training, the same for each")
    parser.add_argument("--target-loss", type=float, default=4.5, help="steps to it are counted")
    parser.add_argument("--width", type=positive, default=128, help="of the 4-layer Transformer")
    parser.add_argument("--vocab-size", type=positive, default=8000)
    parser.add_argument("--batch-tokens", type=positive, default=2048)
    parser.add_argument(
        "--learning-rates",
        type=learning_rates,
        default=LEARNING_RATES,
        help="FAMILY=RATE,...; unless given, "
        + ",".join(f"{family}={rate}" for family, rate in LEARNING_RATES.items()),
    )
    parser.add_argument("--warmup-steps", type=positive, default=200)
    parser.add_argument("--dropout-rate", type=float, default=0.0, help="short runs want none")
    parser.add_argument("--dtype", default="float32", help="float32, mixed_bfloat16, ...")
    parser.add_argument(
        "--length-limits", type=length_limits, default=[10, 20, 30, 40], help="words of the source"
    )
    parser.add_argument("--threads", type=positive, default=cores(), help="of every system")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    if sys.argv[1:2] == ["--job"]:  # of `in_a_process`
        work(json.loads(sys.argv[2]))
        return 0
    arguments = parse_arguments()
    host = machine()
    settings = settle(arguments)
    prepared = result_file(arguments.output)
    if not prepared.exists():
        say(f"learning the vocabulary of {arguments.dataset}")
        if failure := in_a_process(arguments.output, settings):
            raise SystemExit(failure)
    settings["prepared"] = json.loads(prepared.read_text())
    failures = run_systems(arguments, settings)
    names = [name for name in SYSTEMS if result_file(arguments.output / name).exists()]
    results = {name: json.loads(result_file(arguments.output / name).read_text()) for name in names}
    rows = [row_of(name, result, arguments.target_loss) for name, result in results.items()]
    rows += [{"system": name, "outcome": f"failed: {why}"} for name, why in failures.items()]
    rows.sort(key=lambda row: list(SYSTEMS).index(row["system"]))
    print(table(rows, arguments.target_loss))
    content = {"machine": host, "versions": versions(), "settings": settings, "rows": rows}
    content["settings"] |= {"target_loss": arguments.target_loss}
    path = arguments.output / "lineage.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    if results:
        draw(results, arguments.output)
    say(f"written to {path}, with two figures beside it")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
