"""Loading a corpus by its name.

    corpus = load_corpus("pairs:train.pt.gz,train.en.gz", validation_pairs="dev.pt,dev.en")
    for source, target in corpus.require("train"): ...

Text comes out as it stands in its source; the tokenizers normalise it as `Corpus.normalization`
says.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_transformer.data.corpora.bible import load_bible
from keras_transformer.data.corpora.corpus import Corpus, dataset_of
from keras_transformer.data.corpora.pair_files import load_pair_files, read_pairs
from keras_transformer.data.corpora.sample import load_sample
from keras_transformer.data.corpora.text_files import TEXT, load_text_files
from keras_transformer.data.corpora.tfds import load_tfds
from keras_transformer.data.text.normalization import check_style
from keras_transformer.errors import InputError


def load_corpus(
    name: str,
    *,
    data_dir: str | Path | None = None,
    validation_pairs: str | None = None,
    test_pairs: str | None = None,
    normalization: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    download: bool = True,
) -> Corpus:
    """Loads a corpus by name.

    Args:
        name: `sample` (embedded), `bible` (extra `[bible]`), `pairs:SRC,TGT` (line-aligned UTF-8
          files), `pairs:FILE` (a `.tsv` of two columns, `.jsonl`, `.parquet` or `.tmx`), or a
          translation set of TensorFlow Datasets such as `ted_hrlr_translate/pt_to_en`. For a model
          of one language, which learns the targets of any of these, also `text:FILE` or
          `text:TRAIN,VALIDATION`, a text a line, or under `text` in `.jsonl` and `.parquet`:
          targets without a source. Files may be packed (`.gz`, `.bz2`, `.xz`, `.zst`), named by
          patterns (`pairs:a/*.pt,a/*.en`), and be addresses that fsspec opens (`s3://...`). Those
          of more than 100,000 pairs stay where they are, and are read as they are needed. Records
          of JSON and Parquet hold their texts under codes of languages, or `source` and `target`,
          or these within `translation`.
        data_dir: for TensorFlow Datasets, the folder that holds or will hold prepared data; for
          `ted_hrlr_translate` also the original archive `qi18naacl-dataset.tar.gz` or its folder.
        validation_pairs: pair files that become the validation part, `SRC,TGT` or `FILE`.
          Without them a `pairs:` corpus gives up 2 % of its pairs (1,000 at most), the same ones
          every time.
        test_pairs: pair files that become the test part.
        normalization: `"ptb-lower"` or `"none"`; by default what suits the corpus. Pair files and
          sets of TensorFlow Datasets other than the TED talks count as `"ptb-lower"` when 95 % of
          their lines are in that style already.
        source_language: code of the language translated from; by default what the corpus or the
          names of its files say, else `"unknown"`. Of files with texts in several languages, it
          chooses one.
        target_language: code of the language translated to, likewise.
        download: whether missing data may be fetched.

    Returns:
        The corpus.

    Raises:
        InputError: for an unknown name, wrong files, or data that cannot be had.
    """
    if data_dir is not None and (name in ("sample", "bible") or name.startswith(("pairs:", TEXT))):
        raise InputError(f"--data-dir has no meaning for the corpus {name!r}: leave it out")
    languages = source_language, target_language
    if name == "sample":
        corpus = load_sample()
    elif name == "bible":
        corpus = load_bible()
    elif name.startswith("pairs:"):
        corpus = load_pair_files(
            name, hold_out_validation=not validation_pairs, languages=languages
        )
    elif name.startswith(TEXT):
        corpus = load_text_files(name)
    else:
        corpus = load_tfds(name, data_dir, download)
    changes: dict[str, Any] = {}
    if validation_pairs:
        changes["validation"] = dataset_of(read_pairs(validation_pairs, languages))
    if test_pairs:
        changes["test"] = dataset_of(read_pairs(test_pairs, languages))
    if normalization:
        changes["normalization"] = check_style(normalization)
    if source_language:
        changes["source_language"] = source_language
    if target_language:
        changes["target_language"] = target_language
    return replace(corpus, **changes)
