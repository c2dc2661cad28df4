"""Corpora of TensorFlow Datasets: opening, downloading, and one clear line when that fails."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tensorflow as tf

from keras_transformer.data.corpora.corpus import SPLITS, Corpus, guess_normalization, list_pairs
from keras_transformer.data.corpora.files.names import expanded
from keras_transformer.data.corpora.ted_archive import ARCHIVE_NAME, find_archive, read_archive
from keras_transformer.errors import InputError

TED = "ted_hrlr_translate"
CHOICES = (
    "'sample', 'bible', 'ted_hrlr_translate/pt_to_en' or another translation set of "
    "TensorFlow Datasets, 'pairs:SRC,TGT' or 'pairs:FILE.tsv'"
)

_TED_LICENCE = "TED talks, CC BY-NC-ND 4.0; data set of Qi et al. 2018 (NAACL, arXiv 1804.06323)."

_PROBE_SECONDS = 10
_PROBED_HOSTS = 3


def load_tfds(name: str, data_dir: str | Path | None, download: bool) -> Corpus:
    """Loads a translation set of TensorFlow Datasets.

    Args:
        name: as TensorFlow Datasets has it, such as `ted_hrlr_translate/pt_to_en`.
        data_dir: the folder of prepared data; for the TED talks also their original archive or its
            folder.
        download: whether missing data may be fetched.
    """
    if name.startswith(f"{TED}/") and (archive := find_archive(data_dir)):
        return _load_ted_archive(name, archive)
    if data_dir is not None and expanded(data_dir).is_file():
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
    parts = _read_splits(builder)
    if not parts:
        raise InputError(f"{builder.data_path} holds no data files of {name}: {alternatives(name)}")
    is_ted = builder.name == TED
    some = list_pairs(next(iter(parts.values())).take(1000))
    return Corpus(
        name,
        **parts,
        source_language=source,
        target_language=target,
        normalization="ptb-lower" if is_ted else guess_normalization(some),
        licence=_TED_LICENCE if is_ted else f"See {builder.info.homepage}",
        remedy=f"put its prepared files into {builder.data_path}, or {alternatives(name)}",
    )


def _load_ted_archive(name: str, archive: Path) -> Corpus:
    """A language pair of the TED talks from their original archive."""
    source, target = open_builder(name, None).builder_config.language_pair
    return Corpus.from_pairs(
        name,
        read_archive(archive, source, target),
        source_language=source,
        target_language=target,
        licence=_TED_LICENCE,
    )


def _read_splits(builder: Any) -> dict[str, tf.data.Dataset]:
    """The splits whose files are there, as datasets of pairs."""
    import tensorflow_datasets as tfds

    # The small data sets would be cached in memory, which warns whenever not all of it is read.
    config = tfds.ReadConfig(try_autocache=False)
    return {
        split: builder.as_dataset(split=split, as_supervised=True, read_config=config)
        for split in SPLITS
        if split in builder.info.splits and has_files(builder.info.splits[split])
    }


def open_builder(name: str, data_dir: str | Path | None) -> Any:
    """The builder of a data set.

    Raises:
        InputError: for an unknown name or configuration, each with its own message.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir and expanded(data_dir))
    except tfds.core.DatasetNotFoundError:
        raise InputError(f"unknown corpus {name!r}: choose {CHOICES}") from None
    except (ValueError, AssertionError, RuntimeError, OSError) as error:
        reason = _first_line(error).split('}": ')[-1].split(". Here are")[0]
        names = ", ".join(_config_names(name.split("/")[0])[:20])
        hint = f"choose one of {names}" if names else f"choose {CHOICES}"
        raise InputError(f"corpus {name!r} cannot be opened ({reason}): {hint}") from None
    names = _config_names(builder.name)
    if "/" not in name and len(names) > 1:
        # TFDS would silently take the first one, Azerbaijani for the TED talks.
        raise InputError(
            f"corpus {name!r} has {len(names)} configurations: name one, as in {name}/{names[-1]}"
        )
    return builder


def _config_names(name: str) -> list[str]:
    import tensorflow_datasets as tfds

    try:
        return [config.name for config in tfds.builder_cls(name).BUILDER_CONFIGS]
    except (ValueError, ImportError):  # prepared data whose code is not installed
        return []


def text_keys(name: str, info: Any) -> tuple[str, str]:
    """Source and target feature of a data set of text pairs; for translations, the languages."""
    keys = info.supervised_keys
    try:
        specs = [info.features[key].get_tensor_info() for key in keys]
    except (KeyError, TypeError):
        specs = []
    if len(specs) != 2 or any(spec.tf_dtype != tf.string or spec.shape != () for spec in specs):
        raise InputError(
            f"{name} is a data set of TensorFlow Datasets but not of text pairs: choose {CHOICES}"
        )
    return keys[0], keys[1]


def has_files(split: Any) -> bool:
    """Whether all files of a split are there."""
    return all(Path(path).exists() for path in split.filepaths)


def download_and_prepare(name: str, builder: Any) -> None:
    """Downloads and prepares a data set.

    The addresses are tried first, since TFDS itself repeats a failing request for minutes.

    Raises:
        InputError: when that fails, with the reason and the alternatives.
    """
    try:
        _probe(builder.url_infos or {})
        builder.download_and_prepare()
    except ModuleNotFoundError as error:  # tensorflow-datasets does not declare all it imports
        raise InputError(
            f"{name} cannot be downloaded without the package {error.name}: "
            f"pip install {error.name}, or {alternatives(name)}"
        ) from error
    except Exception as error:  # TFDS raises errors of many kinds
        raise InputError(
            f"{name} cannot be downloaded to {builder.data_path} ({_first_line(error)[:200]}): "
            f"{alternatives(name)}"
        ) from error


def _probe(addresses: Iterable[str]) -> None:
    """Raises ConnectionError when none of the first few hosts hands out its file."""
    import requests

    by_host = {
        urlsplit(address).netloc: address
        for address in addresses
        if address.startswith(("http://", "https://"))
    }
    for host, address in list(by_host.items())[:_PROBED_HOSTS]:
        try:
            with requests.get(address, stream=True, timeout=_PROBE_SECONDS) as response:
                if response.ok:
                    return
                failure = f"{host} answers {response.status_code} {response.reason}"
        except requests.RequestException:
            failure = f"{host} does not answer"
    if by_host:
        raise ConnectionError(failure)


def alternatives(name: str) -> str:
    """What to do without the downloaded data set, for error messages."""
    archive = f" or the original archive {ARCHIVE_NAME}" if name.startswith(TED) else ""
    return (
        f"give --data-dir with a folder that TensorFlow Datasets prepared{archive}, "
        "or use plain files (pairs:SRC,TGT) or the embedded corpus (sample)"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
