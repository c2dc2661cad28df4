"""Corpora of sentence pairs by name: TensorFlow Datasets, pair files, the Bible, and a sample.

    corpus = load_corpus("pairs:train.pt.gz,train.en.gz", validation_pairs="dev.pt,dev.en")
    for source, target in corpus.require("train"): ...

Text comes out as it stands in its source; bringing it into the corpus' style is the tokenizers'
work, told by `Corpus.normalization`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transformer.data.corpora import bible, ted_archive
from keras_transformer.data.corpora.pair_files import (
    Pair,
    guess_languages,
    hold_out,
    pair_paths,
    read_lines,
    read_pairs,
)
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.data.corpora.tfds import (
    TED,
    alternatives,
    download_and_prepare,
    has_files,
    open_builder,
    text_keys,
)
from keras_transformer.data.text.normalization import check_style, normalize
from keras_transformer.errors import InputError

__all__ = ["SPLITS", "Corpus", "dataset_of", "list_pairs", "load_corpus", "read_pairs"]

SPLITS = ("train", "validation", "test")

TEXT = "text:"
"""What the name of a corpus of one language begins with."""

_TED_LICENCE = "TED talks, CC BY-NC-ND 4.0; data set of Qi et al. 2018 (NAACL, arXiv 1804.06323)."


@dataclass(frozen=True, eq=False)
class Corpus:
    """Sentence pairs to train and score on. A part that the corpus lacks is None.

    Parts are datasets of `(source, target)` scalar strings with a known cardinality.
    """

    name: str
    train: tf.data.Dataset | None = None
    validation: tf.data.Dataset | None = None
    test: tf.data.Dataset | None = None
    source_language: str = "pt"
    target_language: str = "en"
    normalization: str = "ptb-lower"  # how to normalise text: "ptb-lower" | "none"
    licence: str = ""  # licence and attribution of the texts
    remedy: str = "choose another part or corpus"  # what to do about a part that is missing

    def require(self, split: str) -> tf.data.Dataset:
        """The pairs of one part.

        Args:
            split: `"train"`, `"validation"` or `"test"`.

        Returns:
            The dataset of `(source, target)` strings.

        Raises:
            InputError: when there is no such part; the message says what to do.
        """
        if split not in SPLITS:
            raise InputError(f"no split is named {split!r}: choose one of {', '.join(SPLITS)}")
        dataset = getattr(self, split)
        if dataset is None:
            raise InputError(f"corpus {self.name!r} has no {split} pairs here: {self.remedy}")
        return dataset


def load_corpus(
    name: str,
    *,
    data_dir: str | Path | None = None,
    validation_pairs: str | None = None,
    test_pairs: str | None = None,
    normalization: str | None = None,
    download: bool = True,
) -> Corpus:
    """Loads a corpus by name.

    Args:
        name: `sample` (embedded), `bible` (extra `[bible]`), `pairs:SRC,TGT` or `pairs:FILE.tsv`
          (line-aligned UTF-8 files, plain or `.gz`), or a translation set of TensorFlow Datasets
          such as `ted_hrlr_translate/pt_to_en`. For a model of one language, which learns the
          targets of any of these, also `text:FILE` or `text:TRAIN,VALIDATION`, a text a line:
          targets without a source.
        data_dir: for TensorFlow Datasets, the folder that holds or will hold prepared data; for
          `ted_hrlr_translate` also the original archive `qi18naacl-dataset.tar.gz` or its folder.
        validation_pairs: pair files that become the validation part, `SRC,TGT` or `FILE.tsv`.
          Without them a `pairs:` corpus gives up 2 % of its pairs (1,000 at most), the same ones
          every time.
        test_pairs: pair files that become the test part.
        normalization: `"ptb-lower"` or `"none"`; by default what suits the corpus. Pair files and
          sets of TensorFlow Datasets other than the TED talks count as `"ptb-lower"` when 95 % of
          their lines are in that style already.
        download: whether missing data may be fetched.

    Returns:
        The corpus.

    Raises:
        InputError: for an unknown name, wrong files, or data that cannot be had.
    """
    is_file = name.startswith(("pairs:", TEXT))
    if data_dir is not None and (name in ("sample", "bible") or is_file):
        raise InputError(f"--data-dir has no meaning for the corpus {name!r}: leave it out")
    if name == "sample":
        corpus = _sample()
    elif name == "bible":
        corpus = _bible()
    elif name.startswith("pairs:"):
        corpus = _pair_files(name, validation_pairs)
    elif name.startswith(TEXT):
        corpus = _text_files(name)
    elif name.startswith(f"{TED}/") and (archive := ted_archive.find_archive(data_dir)):
        corpus = _ted_archive(name, archive)
    else:
        corpus = _tensorflow_datasets(name, data_dir, download)
    changes: dict[str, Any] = {}
    if validation_pairs:
        changes["validation"] = dataset_of(read_pairs(validation_pairs))
    if test_pairs:
        changes["test"] = dataset_of(read_pairs(test_pairs))
    if normalization:
        changes["normalization"] = check_style(normalization)
    return replace(corpus, **changes)


def dataset_of(pairs: Sequence[Pair]) -> tf.data.Dataset | None:
    """Turns pairs into a dataset of `(source, target)` scalar strings; None when there are none."""
    if not pairs:
        return None
    # Through arrays of bytes: several times faster than handing lists of str to TensorFlow.
    columns = tuple(
        tf.constant(np.array([text.encode() for text in column], dtype=object))
        for column in zip(*pairs, strict=True)
    )
    return tf.data.Dataset.from_tensor_slices(columns)


def list_pairs(pairs: tf.data.Dataset | Iterable[Pair]) -> list[Pair]:
    """Lists the pairs of a dataset (or of any iterable of pairs of str) in order.

    Args:
        pairs: a dataset of `(source, target)` scalar strings, or pairs of str.

    Returns:
        A list of `(source, target)` str tuples.
    """
    if isinstance(pairs, tf.data.Dataset):
        return [(source.decode(), target.decode()) for source, target in pairs.as_numpy_iterator()]
    return [(source, target) for source, target in pairs]


def _sample() -> Corpus:
    parts = {split: dataset_of(pairs) for split, pairs in read_sample().items()}
    return Corpus("sample", **parts, licence="Generated by this package; Apache-2.0.")


def _bible() -> Corpus:
    parts = {split: dataset_of(pairs) for split, pairs in bible.read_bible().items()}
    return Corpus("bible", **parts, normalization="none", licence=bible.LICENCE)


def _pair_files(name: str, validation_pairs: str | None) -> Corpus:
    source_language, target_language = guess_languages(pair_paths(name))
    train = read_pairs(name)
    normalization = _style_of(train)
    validation: list[Pair] = []
    if not validation_pairs:
        train, validation = hold_out(train)
    return Corpus(
        name,
        train=dataset_of(train),
        validation=dataset_of(validation),
        source_language=source_language,
        target_language=target_language,
        normalization=normalization,
        licence="As the files' owner says.",
        remedy="name files for it with --validation-pairs SRC,TGT, "
        "or with --pairs SRC,TGT when evaluating",
    )


def _text_files(name: str) -> Corpus:
    paths = [part.strip() for part in name.removeprefix(TEXT).split(",")]
    if not all(paths) or len(paths) > 2:
        raise InputError(f"{name!r} names no text: give text:FILE or text:TRAIN,VALIDATION")
    texts = [
        [(line, "") for line in read_lines(Path(path).expanduser()) if line.strip()]
        for path in paths
    ]
    train, validation = texts if len(texts) == 2 else hold_out(texts[0])
    sides = [[(nothing, text) for text, nothing in part] for part in (train, validation)]
    return Corpus(
        name,
        train=dataset_of(sides[0]),
        validation=dataset_of(sides[1]),
        source_language="text",
        target_language="text",
        normalization=_style_of([(text,) for text, _ in train]),
        licence="As the file's owner says.",
        remedy="name a file of more lines",
    )


def _ted_archive(name: str, archive: Path) -> Corpus:
    source, target = open_builder(name, None).builder_config.language_pair
    parts = ted_archive.read_archive(archive, source, target)
    return Corpus(
        name,
        **{split: dataset_of(pairs) for split, pairs in parts.items()},
        source_language=source,
        target_language=target,
        licence=_TED_LICENCE,
    )


def _tensorflow_datasets(name: str, data_dir: str | Path | None, download: bool) -> Corpus:
    import tensorflow_datasets as tfds

    if data_dir is not None and Path(data_dir).expanduser().is_file():
        raise InputError(
            f"--data-dir {data_dir} is a file, which only {TED}/... can read: give a folder"
        )
    builder = open_builder(name, data_dir)
    source, target = text_keys(name, builder.info)
    # As `builder.is_prepared()`, without its warning.
    if not (builder.data_path / "dataset_info.json").exists():
        if not download:
            raise InputError(
                f"{name} is not prepared in {builder.data_path}, and downloading is switched "
                f"off: {alternatives(name)}"
            )
        download_and_prepare(name, builder)
    # The small data sets would be cached in memory, which warns whenever not all of it is read.
    config = tfds.ReadConfig(try_autocache=False)
    parts = {
        split: builder.as_dataset(split=split, as_supervised=True, read_config=config)
        for split in SPLITS
        if split in builder.info.splits and has_files(builder.info.splits[split])
    }
    if not parts:
        raise InputError(f"{builder.data_path} holds no data files of {name}: {alternatives(name)}")
    is_ted = builder.name == TED
    some = list_pairs(next(iter(parts.values())).take(1000))
    return Corpus(
        name,
        **parts,
        source_language=source,
        target_language=target,
        normalization="ptb-lower" if is_ted else _style_of(some),
        licence=_TED_LICENCE if is_ted else f"See {builder.info.homepage}",
        remedy=f"put its prepared files into {builder.data_path}, or {alternatives(name)}",
    )


def _style_of(pairs: Sequence[Pair]) -> str:
    """The style that (nearly) leaves the text as it is: is it lower-cased and tokenised already?"""
    lines = [line for pair in pairs[:: max(1, len(pairs) // 1000)] for line in pair]
    unchanged = normalize(lines, "ptb-lower").numpy() == [line.encode() for line in lines]
    return "ptb-lower" if np.mean(unchanged) >= 0.95 else "none"
