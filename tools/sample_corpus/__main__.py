"""Writes the corpus `sample` into the package: keras_transformer/data/corpora/sample.tsv.xz.

    PYTHONPATH=tools python -m sample_corpus

The same pairs come out each time; `tests/tools/test_sample_corpus_grammar.py` compares them with
those in the file. When the grammar changes, the scores in the documentation must be measured anew.
"""

import lzma
from pathlib import Path

from sample_corpus.corpus import corpus_table

FILE = Path(__file__).resolve().parents[2] / "keras_transformer/data/corpora/sample.tsv.xz"

if __name__ == "__main__":
    FILE.write_bytes(lzma.compress(corpus_table().encode()))
    print(f"wrote {FILE}")
