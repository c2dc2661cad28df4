"""python benchmarks/alignments.py --model runs/NAME --pairs SRC,TGT --alignments FILE [--json FILE]

How well a run's head of attention aligns given pairs: precision, recall and alignment error rate
against links in Pharaoh's format, such as an aligner's own of the same held-out lines; how much
longer translating takes with alignments; and for a run that was taught them, how much longer a step
of training takes than without. Rounds in turn, medians.
"""

import argparse
import statistics
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from common import machine, positive, say, write_result


def agreement(found: Iterable[set], wanted: Iterable[set]) -> dict[str, float]:
    """Precision, recall and alignment error rate (Och and Ney 2003) where all links are sure."""
    pairs = list(zip(found, wanted, strict=True))
    both = sum(len(one & other) for one, other in pairs)
    ones, others = (sum(map(len, side)) for side in zip(*pairs, strict=True))
    return {
        "precision": both / max(ones, 1),
        "recall": both / max(others, 1),
        "error_rate": 1 - 2 * both / max(ones + others, 1),
    }


def training_seconds(run, steps: int, repeats: int) -> dict[bool, list[float]]:
    """Seconds of steps of training on the run's own pairs, with the loss of alignments and without.

    Args:
        run: a `SavedRun` whose head was taught.
        steps: of each round, on the same batches.
        repeats: rounds, after one that is not measured.
    """
    from itertools import islice

    import keras_transformer as kt
    from keras_transformer.data.arrays import read_arrays
    from keras_transformer.data.batches.pairs import Batches
    from keras_transformer.data.batches.token_store import TokenizedPairs
    from keras_transformer.training.step import TrainingStep

    recipe = run.config.training
    pairs = TokenizedPairs.from_arrays(read_arrays(run.folder / "tokens" / "train.npz"))
    batches = Batches(pairs, recipe.batch_tokens, shuffle=True, seed=recipe.seed)
    taught = list(islice(batches.epoch(0), steps))
    plain = [(inputs, labels[0]) for inputs, labels in taught]
    optimizer = kt.Adam(1e-4)
    optimizer.build(run.model.trainable_variables)
    weights = {False: 0.0, True: recipe.guided_alignment}
    options = {"label_smoothing": recipe.label_smoothing}
    made = {
        guided: TrainingStep(
            run.model,
            optimizer,
            guided_alignment=weight,
            alignment_head=run.config.guided_head if guided else None,
            **options,
        )
        for guided, weight in weights.items()
    }
    seconds = {False: [], True: []}
    for repeat in range(repeats + 1):
        for guided, step in made.items():
            say(f"round {repeat}: {'with' if guided else 'without'} alignments")
            start = perf_counter()
            for batch in taught if guided else plain:
                step([batch], 1e-4)
            seconds[guided].append(perf_counter() - start)
    return {guided: times[1:] for guided, times in seconds.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a run folder")
    parser.add_argument("--pairs", required=True, help="SRC,TGT or FILE.tsv")
    parser.add_argument("--alignments", type=Path, required=True, help="links of the pairs")
    parser.add_argument("--lines", type=positive, default=1_000_000, help="at most so many")
    parser.add_argument("--repeats", type=positive, default=3, help="rounds of timing")
    parser.add_argument("--steps", type=positive, default=30, help="of training, a round")
    parser.add_argument("--json", type=Path, help="where the result goes")
    arguments = parser.parse_args()
    host = machine()

    import keras_transformer as kt
    from keras_transformer.data.alignments import Alignments
    from keras_transformer.data.corpora.pair_files import read_pairs
    from keras_transformer.models.runs import load_run

    pairs = list(read_pairs(arguments.pairs))[: arguments.lines]
    wanted = [set(links) for links in Alignments(arguments.alignments)][: arguments.lines]
    translator = kt.Translator.load(arguments.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pairs that are too long
        found = [{link[:2] for link in links} for links in translator.align(pairs)]
        table = agreement(found, wanted)
        print(f"{translator.alignment_head}")
        print("  ".join(f"{name} {value:.3f}" for name, value in table.items()))
        seconds = {False: [], True: []}
        sources = [source for source, _ in pairs]
        for _ in range(arguments.repeats + 1):
            for alignment, times in seconds.items():
                say("with alignments" if alignment else "without")
                start = perf_counter()
                translator.translate(sources, alignment=alignment)
                times.append(perf_counter() - start)
    plain, aligned = (statistics.median(times[1:]) for times in seconds.values())
    print(f"translating {len(pairs)} lines: {plain:.2f} s, {aligned / plain:.3f} times with links")
    training = {}
    run = load_run(arguments.model)
    if run.config.training.guided_alignment:
        training = training_seconds(run, arguments.steps, arguments.repeats)
        plain, guided = (statistics.median(times) for times in training.values())
        print(
            f"a step of training: {plain / arguments.steps:.3f} s, {guided / plain:.3f} times with "
            "the loss of alignments"
        )
    write_result(
        arguments,
        host,
        {},
        agreement=table,
        seconds=seconds[False],
        aligned=seconds[True],
        training=list(training.values()),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
