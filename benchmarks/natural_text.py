"""python benchmarks/natural_text.py --model runs/NAME --pairs SRC,TGT [--json FILE]

How a model takes text as people write it: BLEU, with capitals and without, and chrF of held-out
lines as they are, and of copies with each kind of noise that training knows; and how much of what
should come back does: addresses, placeholders, code and the like, and the numbers that the
reference has too.

Where noise changes the target, too (capitals, titles), references are changed in the same way.
"""

import argparse
import random
import re
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from common import machine, positive, say, write_result

NUMBER = re.compile(r"[0-9]+(?:[.,:/][0-9]+)*")


def copies(pairs: Sequence[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Pairs as they are, and with each kind of noise, by its name."""
    from keras_transformer.data.text.noise import NOISES

    found = {"as they are": list(pairs)}
    for name, noise in NOISES.items():
        found[name] = [noise(*pair, random.Random(pair[0])) for pair in pairs]
    return found


def scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    import sacrebleu

    return {
        "bleu": sacrebleu.corpus_bleu(hypotheses, [references]).score,
        "bleu_lower": sacrebleu.corpus_bleu(hypotheses, [references], lowercase=True).score,
        "chrf": sacrebleu.corpus_chrf(hypotheses, [references]).score,
    }


def come_back(sources, hypotheses, references) -> dict[str, tuple[int, int]]:
    """How many of the placeholders and numbers of sources are in the hypotheses, of how many."""
    import tensorflow as tf

    from keras_transformer.data.text.placeholders import mask

    rows = mask(tf.constant(sources)).kept.to_list()
    found = wanted = numbers = all_numbers = 0
    for row, source, hypothesis, reference in zip(
        rows, sources, hypotheses, references, strict=True
    ):
        kept = Counter(string.decode() for string in row)
        wanted += kept.total()
        found += sum(min(count, hypothesis.count(string)) for string, count in kept.items())
        expected = Counter(NUMBER.findall(source)) & Counter(NUMBER.findall(reference))
        all_numbers += expected.total()
        numbers += (expected & Counter(NUMBER.findall(hypothesis))).total()
    return {"placeholders": (found, wanted), "numbers": (numbers, all_numbers)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a run folder or an exported model")
    parser.add_argument("--pairs", required=True, help="SRC,TGT or FILE.tsv")
    parser.add_argument("--lines", type=positive, default=1_000_000, help="at most so many")
    parser.add_argument("--json", type=Path, help="where the result goes")
    arguments = parser.parse_args()
    host = machine()

    import keras_transformer as kt
    from keras_transformer.data.corpora.pair_files import read_pairs

    pairs = list(read_pairs(arguments.pairs))[: arguments.lines]
    translator = kt.Translator.load(arguments.model)
    table, kept = {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts in pieces
        for name, copy in copies(pairs).items():
            say(f"{len(pairs)} lines {name}")
            sources, references = map(list, zip(*copy, strict=True))
            found = [translation.text for translation in translator.translate(sources)]
            table[name] = scores(found, references)
            if not kept:
                kept = come_back(sources, found, references)
    print(f"{'':20}{'BLEU':>7}{'small':>7}{'chrF':>7}")
    for name, row in table.items():
        print(f"{name:20}" + "".join(f"{value:7.2f}" for value in row.values()))
    for name, (count, of) in kept.items():
        print(f"{name:20}{count:7} of {of}")
    write_result(arguments, host, {}, scores=table, kept=kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
