"""python benchmarks/glossary.py --model runs/NAME --pairs SRC,TGT --glossary FILE.tsv [--json FILE]
python benchmarks/glossary.py --catalogues DIR --pairs SRC,TGT --glossary FILE.tsv

How many terms of a glossary the translations of given lines have, in the way that is written or
with another ending, what that does to BLEU, and how much longer it takes: without the glossary, and
by each way to follow it. Terms count that a line and its reference both have, as in Dinu et al.
(2019); every line is translated with the whole glossary. Rounds in turn, medians.

With --catalogues the glossary is made first: short strings of an interface (`.mo` files, from
English) that are translated one way, and that most lines of the pairs translate in that way, too.
"""

import argparse
import gettext
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from common import machine, positive, say, write_result

MODES = (None, "annotate", "constrain", "both")
FEWEST, AGREEMENT, MOST_TERMS = 3, 0.7, 500  # lines of a term, and their share that agree


def interface_strings(folder: Path) -> dict[str, str]:
    """Short strings of an interface and their English, each translated in one way."""
    found: dict[str, Counter] = defaultdict(Counter)
    for path in sorted(folder.rglob("*.mo")):
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog
        for key, text in catalogue.items():
            if isinstance(key, str) and key:
                english = key.partition("\x04")[2] or key
                found[_plain(text).lower()][_plain(english).lower()] += 1
    return {
        text: next(iter(ways))
        for text, ways in found.items()
        if len(ways) == 1 and all(_is_term(side) for side in (text, *ways))
    }


def _plain(text: str) -> str:
    return re.sub(r"[~_]|\.\.\.$|…$|:$", "", text).strip()


def _is_term(text: str) -> bool:
    words = text.split()
    return 0 < len(words) <= 3 and len(text) >= 4 and all(word.isalpha() for word in words)


def made(strings: dict[str, str], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The terms that most of the lines that have them translate as the interface does."""
    from keras_transformer.data.glossary import Glossary

    glossary = Glossary.of(strings)
    total, agree = Counter(), Counter()
    for terms, (_, target) in zip(
        terms_of([source for source, _ in pairs], glossary), pairs, strict=True
    ):
        for term in set(terms):
            total[term] += 1
            agree[term] += bool(re.search(rf"(?i)\b{re.escape(term[1])}\b", target))
    good = [term for term, count in agree.most_common() if count >= FEWEST]
    return [term for term in good if agree[term] >= AGREEMENT * total[term]][:MOST_TERMS]


def terms_of(texts: Sequence[str], glossary) -> list[list[tuple[str, str]]]:
    """The terms of each text, with their translations."""
    import tensorflow as tf

    from keras_transformer.data.text.terms import annotate

    columns = [tf.constant(side) for side in glossary.columns()]
    numbers = tf.strings.as_string(tf.range(len(glossary)))
    found = annotate(tf.constant(texts), columns[0], numbers).terms.to_list()
    return [[glossary.terms[int(i)][:2] for i in row] for row in found]


def given(translations: Sequence[str], wanted) -> tuple[int, int, int]:
    """How many terms translations have as they are written, and with any ending; of how many."""
    import tensorflow as tf

    from keras_transformer.data.text.terms import lacks_terms

    texts, terms = zip(
        *((text, term) for text, row in zip(translations, wanted, strict=True) for term in row),
        strict=True,
    )
    exact = sum(
        bool(re.search(rf"(?i)(?<!\w){re.escape(term)}(?!\w)", text))
        for text, term in zip(texts, terms, strict=True)
    )
    lacks = lacks_terms(tf.constant(texts), tf.ragged.constant([[term] for term in terms]))
    return exact, int(tf.math.count_nonzero(~lacks.flat_values)), len(terms)


def measured(translator, pairs, glossary, repeats: int, modes) -> dict[str, dict]:
    """Scores and seconds of each way, by its name."""
    import sacrebleu

    sources, references = zip(*pairs, strict=True)
    both = [
        [
            translation
            for _, translation in row
            if re.search(rf"(?i)(?<!\w){re.escape(translation)}(?!\w)", reference)
        ]
        for row, reference in zip(terms_of(sources, glossary), references, strict=True)
    ]
    kept = [i for i, row in enumerate(both) if row]
    wanted = [both[i] for i in kept]
    sources, references = ([side[i] for i in kept] for side in (sources, references))
    results = {}
    for repeat in range(repeats + 1):  # the first one warms up
        for mode in modes:
            name = mode or "without"
            say(f"round {repeat}: {name}")
            options = {} if mode is None else {"glossary": glossary, "glossary_mode": mode}
            start = perf_counter()
            texts = [found.text for found in translator.translate(sources, **options)]
            seconds = perf_counter() - start
            if repeat == 0:
                results[name] = {
                    "bleu": sacrebleu.corpus_bleu(texts, [references]).score,
                    "terms": given(texts, wanted),
                    "seconds": [],
                }
            else:
                results[name]["seconds"].append(seconds)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a run folder")
    parser.add_argument("--pairs", required=True, help="SRC,TGT or FILE.tsv")
    parser.add_argument("--glossary", type=Path, required=True, help="terms and translations")
    parser.add_argument("--catalogues", type=Path, help="folder of .mo files to make it from")
    parser.add_argument("--repeats", type=positive, default=3, help="rounds of timing")
    parser.add_argument("--json", type=Path, help="where the result goes")
    arguments = parser.parse_args()
    host = machine()

    import keras_transformer as kt
    from keras_transformer.data.corpora.pair_files import read_pairs
    from keras_transformer.data.glossary import Glossary

    pairs = list(read_pairs(arguments.pairs))
    if arguments.catalogues is not None:
        terms = made(interface_strings(arguments.catalogues), pairs)
        lines = "".join(f"{source}\t{target}\n" for source, target in terms)
        arguments.glossary.write_text(lines, encoding="utf-8")
        print(f"{len(terms)} terms")
        return 0
    if arguments.model is None:
        parser.error("give --model, or --catalogues to make a glossary from")
    glossary = Glossary.load(arguments.glossary)
    # From the first round on as later: programs are compiled where they are first needed.
    translator = kt.Translator.load(arguments.model, jit_compile=True)
    modes = MODES if translator.tokenizers.terms else (None, "constrain")
    results = measured(translator, pairs, glossary, arguments.repeats, modes)
    plain = statistics.median(results["without"]["seconds"])
    print(
        f"{len(glossary)} terms\n{'':10}{'BLEU':>7}{'as written':>12}{'any ending':>12}{'time':>7}"
    )
    for name, result in results.items():
        exact, inflected, count = result["terms"]
        ratio = statistics.median(result["seconds"]) / plain
        print(
            f"{name:10}{result['bleu']:7.2f}{exact / count:12.1%}{inflected / count:12.1%}"
            f"{ratio:7.2f}  of {count}"
        )
    write_result(arguments, host, {}, results=results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
