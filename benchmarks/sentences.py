"""python benchmarks/sentences.py --model runs/NAME (--pairs SRC,TGT | --dataset NAME)

What it costs to translate a paragraph instead of its lines, with and without dividing it into
sentences: BLEU and chrF of

    lines         each for itself, undivided and divided
    paragraphs    of so many consecutive lines, joined by spaces: their lines' translations joined,
                  which is the best to be had; translated undivided; translated divided

against references that are joined in the same way, all in the corpus' style. And how long dividing,
marks or rules of capitals, and finding what is not translated take, of the time of translating
batches of 64: rounds in turn, medians.
"""

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from common import machine, positive, say, write_result

BATCH = 64


def scored(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    from keras_transformer.translating.evaluation import corpus_scores

    found = corpus_scores(hypotheses, references)
    return {name: round(found[name]["score"], 2) for name in ("bleu", "chrf")}


def joined(lines: Sequence[str], size: int) -> list[str]:
    """Paragraphs of so many lines."""
    return [" ".join(lines[i : i + size]) for i in range(0, len(lines), size)]


def quality(translator, pairs, size: int) -> dict[str, dict[str, float]]:
    sources, references = map(list, zip(*pairs, strict=True))

    def translated(texts: Sequence[str], sentences: bool) -> list[str]:
        found = translator.translate(texts, style="corpus", sentences=sentences)
        return [translation.text for translation in found]

    table = {}
    lines = {name: translated(sources, name == "divided") for name in ("undivided", "divided")}
    for name, hypotheses in lines.items():
        table[f"lines, {name}"] = scored(hypotheses, references)
    paragraphs, wanted = joined(sources, size), joined(references, size)
    for name, hypotheses in lines.items():
        table[f"paragraphs from lines, {name}"] = scored(joined(hypotheses, size), wanted)
    for name in lines:
        table[f"paragraphs, {name}"] = scored(translated(paragraphs, name == "divided"), wanted)
    return table


def median_seconds(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Medians of rounds in which each takes its turn, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, function in work.items():
            started = perf_counter()
            function()
            if turn:
                seconds[name].append(perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def costs(translator, sources: Sequence[str], repeats: int) -> dict[str, float]:
    import tensorflow as tf

    from keras_transformer.data.text.casing import factor, restore_capitals
    from keras_transformer.data.text.sentences import split_sentences

    batches = [sources[i : i + BATCH] for i in range(0, len(sources), BATCH)]
    found = [
        [translation.text for translation in translator.translate(batch, style="corpus")]
        for batch in batches
    ]
    signature = [tf.TensorSpec([None], tf.string)]
    split = tf.function(split_sentences, input_signature=signature, autograph=False)
    restored = tf.function(restore_capitals, input_signature=signature, autograph=False)
    tokenizers = translator.tokenizers
    work = {
        "translating": lambda: [translator.translate(batch) for batch in batches],
        "dividing": lambda: [split(tf.constant(batch)) for batch in batches],
    }
    if tokenizers.target.case == "lower":
        work["capitals"] = lambda: [restored(tf.constant(batch)) for batch in found]
    if tokenizers.source.case == "factored":
        marked = tf.function(
            lambda text: factor(tf.strings.split(text)), input_signature=signature, autograph=False
        )
        work["marks of capitals"] = lambda: [marked(tf.constant(batch)) for batch in batches]
    if tokenizers.placeholders:
        masked = tf.function(tokenizers.source.mask, input_signature=signature, autograph=False)
        work["placeholders"] = lambda: [masked(tf.constant(batch)) for batch in batches]
    return median_seconds(work, repeats)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a run folder")
    test_set = parser.add_mutually_exclusive_group(required=True)
    test_set.add_argument("--pairs", help="SRC,TGT or FILE.tsv")
    test_set.add_argument("--dataset", help="of which the validation split is taken")
    parser.add_argument("--data-dir")
    parser.add_argument("--lines", type=positive, default=1_000_000, help="at most so many")
    parser.add_argument("--paragraph", type=positive, default=3, help="lines of a paragraph")
    parser.add_argument("--repeats", type=positive, default=3)
    parser.add_argument("--json", type=Path, help="where the result goes")
    arguments = parser.parse_args()
    host = machine()

    import keras_transformer as kt
    from keras_transformer.data.corpora.pair_files import read_pairs

    pairs = (
        read_pairs(arguments.pairs)
        if arguments.pairs
        else [
            (source.decode(), target.decode())
            for source, target in kt.load_corpus(
                arguments.dataset, data_dir=arguments.data_dir
            ).validation.as_numpy_iterator()
        ]
    )
    pairs = list(pairs)[: arguments.lines]
    translator = kt.Translator.load(arguments.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts in pieces: they are what is measured
        say(f"quality of {len(pairs)} lines")
        table = quality(translator, pairs, arguments.paragraph)
        say("costs")
        seconds = costs(translator, [source for source, _ in pairs][: 8 * BATCH], arguments.repeats)
    print(f"{'':36}{'BLEU':>7}{'chrF':>7}")
    for name, scores in table.items():
        print(f"{name:36}{scores['bleu']:7.2f}{scores['chrf']:7.2f}")
    for name, taken in list(seconds.items())[1:]:
        print(f"{name:36}{taken / seconds['translating']:7.2%} of translating")
    write_result(arguments, host, {}, quality=table, seconds=seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
