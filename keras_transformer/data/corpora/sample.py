"""The embedded corpus `sample`: 26,200 pairs of Portuguese and English sentences.

A small grammar wrote them, `tools/sample_corpus` in the repository. Each of its templates says one
thing in both languages, so a pair is a translation by construction; agreement, word order and idiom
differ as they do between the real languages. The style is that of the TED corpus: lower case,
Penn-Treebank tokens (`do n't`, `it 's`).

Validation and test are held out by combination: each of their sentences pairs two words (verb and
object, noun and adjective, subject and verb, ...) that no training sentence pairs in that way. A
source has one translation in the whole corpus.
"""

import functools
import importlib.resources
import lzma
from collections import defaultdict

from keras_transformer.data.corpora.pair_files import Pair


@functools.cache
def read_sample() -> dict[str, tuple[Pair, ...]]:
    """Reads the corpus from `sample.tsv.xz`, whose columns are split, source and target.

    Returns:
        `"train"` (25,000), `"validation"` (600) and `"test"` (600) pairs. Every word of the last
        two occurs in training; their combinations of words do not.
    """
    file = importlib.resources.files(__package__) / "sample.tsv.xz"
    parts: dict[str, list[Pair]] = defaultdict(list)
    for line in lzma.decompress(file.read_bytes()).decode().splitlines():
        split, source, target = line.split("\t")
        parts[split].append((source, target))
    return {split: tuple(pairs) for split, pairs in parts.items()}
