"""python benchmarks/alignments.py --model runs/NAME --pairs SRC,TGT --alignments FILE [--json FILE]

How well a run's head of attention aligns given pairs: precision, recall and alignment error rate
against links in Pharaoh's format, such as an aligner's own of the same held-out lines; and how much
longer translating takes with alignments, rounds in turn, medians.
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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a run folder")
    parser.add_argument("--pairs", required=True, help="SRC,TGT or FILE.tsv")
    parser.add_argument("--alignments", type=Path, required=True, help="links of the pairs")
    parser.add_argument("--lines", type=positive, default=1_000_000, help="at most so many")
    parser.add_argument("--repeats", type=positive, default=3, help="rounds of timing")
    parser.add_argument("--json", type=Path, help="where the result goes")
    arguments = parser.parse_args()
    host = machine()

    import keras_transformer as kt
    from keras_transformer.data.alignments import Alignments
    from keras_transformer.data.corpora.pair_files import read_pairs

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
    write_result(
        arguments, host, {}, agreement=table, seconds=seconds[False], aligned=seconds[True]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
