"""Loading a corpus by its name.

    corpus = load_corpus("pairs:train.pt.gz,train.en.gz", validation_pairs="dev.pt,dev.en")
    for source, target in corpus.require("train"): ...

Text comes out as it stands in its source; the tokenizers normalise it as `Corpus.normalization`
says.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from keras_transformer.data.corpora.bible import load_bible
from keras_transformer.data.corpora.corpus import Corpus, dataset_of
from keras_transformer.data.corpora.files.keys import Languages
from keras_transformer.data.corpora.mixture import (
    MIXTURE,
    SEVERAL_LANGUAGES,
    mix_corpora,
    read_mixture,
)
from keras_transformer.data.corpora.pair_files import load_pair_files, read_pairs
from keras_transformer.data.corpora.sample import load_sample
from keras_transformer.data.corpora.text_files import TEXT, load_text_files
from keras_transformer.data.corpora.tfds import load_tfds
from keras_transformer.data.text.normalization import check_style
from keras_transformer.data.text.tags import languages_of_tags
from keras_transformer.errors import InputError


def load_corpus(
    name: str | Sequence[str],
    *,
    data_dir: str | Path | None = None,
    validation_pairs: str | None = None,
    test_pairs: str | None = None,
    normalization: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    download: bool = True,
) -> Corpus:
    """Loads a corpus by name, or several as one.

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
          or these within `translation`. `mix:FILE` is a mixture of these, by a file that says
          weights, tags and filters, see `read_mixture`. Several names are joined as they are, as
          by `mix_corpora`.
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
    languages = source_language, target_language
    hold_out = not validation_pairs
    if isinstance(name, str):
        corpus = _load(name, data_dir, languages, download, hold_out)
    else:
        corpus = mix_corpora([_load(one, data_dir, languages, download, hold_out) for one in name])
    corpus = _with_parts(corpus, languages, validation=validation_pairs, test=test_pairs)
    corpus = _with_languages(corpus, languages)
    return replace(corpus, normalization=check_style(normalization)) if normalization else corpus


def _load(
    name: str,
    data_dir: str | Path | None,
    languages: Languages,
    download: bool,
    hold_out: bool,
) -> Corpus:
    """A corpus by its name, as it is.

    Args:
        name, data_dir, download: as for `load_corpus`.
        languages: of source and target, where they are known.
        hold_out: whether pair files give up a validation part.
    """
    if name.startswith(MIXTURE):
        return _load_mixture(name, data_dir, languages, download, hold_out)
    if data_dir is not None and (name in ("sample", "bible") or name.startswith(("pairs:", TEXT))):
        raise InputError(f"--data-dir has no meaning for the corpus {name!r}: leave it out")
    if name == "sample":
        return load_sample()
    if name == "bible":
        return load_bible()
    if name.startswith("pairs:"):
        return load_pair_files(name, hold_out_validation=hold_out, languages=languages)
    if name.startswith(TEXT):
        return load_text_files(name)
    return load_tfds(name, data_dir, download)


def _load_mixture(name, data_dir, languages, download, hold_out) -> Corpus:
    """A mixture by its file; arguments are those of `_load`, for what the file does not say."""
    mixture = read_mixture(name.removeprefix(MIXTURE))
    parts = []
    for one in mixture.datasets:
        if one.dataset.startswith((MIXTURE, TEXT)):
            raise InputError(f"{name}: {one.dataset}: a mixture is made of corpora of pairs")
        own = one.source_language or languages[0], one.target_language or languages[1]
        prepared = None if one.dataset.startswith(("pairs:", "sample", "bible")) else data_dir
        corpus = _load(
            one.dataset,
            one.data_dir or prepared,
            own,
            download,
            hold_out and one.validation and not one.validation_pairs,
        )
        corpus = _with_parts(corpus, own, validation=one.validation_pairs)
        if not one.validation:
            corpus = replace(corpus, validation=None)
        parts.append(one.part(_with_languages(corpus, own), mixture.filters))
    return mix_corpora(
        parts,
        name=name,
        temperature=mixture.temperature,
        language_tags=mixture.language_tags,
    )


def _with_parts(corpus: Corpus, languages: Languages, **files: str | None) -> Corpus:
    """A corpus with parts that are read from pair files, by their names.

    Raises:
        InputError: where its sources say their languages by tags, which these would lack.
    """
    given = {split: spec for split, spec in files.items() if spec}
    if given and languages_of_tags(corpus.tags):
        raise InputError(
            f"{corpus.name}: its sources have tags of languages, and those of "
            f"{next(iter(given.values()))} have none: name validation_pairs of its datasets"
        )
    parts = {split: dataset_of(read_pairs(spec, languages)) for split, spec in given.items()}
    return replace(corpus, **cast(dict[str, Any], parts))


def _with_languages(corpus: Corpus, languages: Languages) -> Corpus:
    """A corpus with the codes of its languages that are given; those of several stay."""
    sides = ("source_language", "target_language")
    given = {
        side: code
        for side, code in zip(sides, languages, strict=True)
        if code and getattr(corpus, side) != SEVERAL_LANGUAGES
    }
    return replace(corpus, **cast(dict[str, Any], given))
