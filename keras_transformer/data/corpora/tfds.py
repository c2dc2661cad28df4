"""Opening and downloading data sets of TensorFlow Datasets, with clear words when that fails."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tensorflow as tf

from keras_transformer.data.corpora.ted_archive import ARCHIVE_NAME
from keras_transformer.errors import InputError

TED = "ted_hrlr_translate"
CHOICES = (
    "'sample', 'bible', 'ted_hrlr_translate/pt_to_en' or another translation set of "
    "TensorFlow Datasets, 'pairs:SRC,TGT' or 'pairs:FILE.tsv'"
)

_PROBE_SECONDS = 10
_PROBED_HOSTS = 3


def open_builder(name: str, data_dir: str | Path | None) -> Any:
    """The TFDS builder of `name`, with every way to get the name wrong told apart."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir and Path(data_dir).expanduser())
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
    return all(Path(path).exists() for path in split.filepaths)


def download_and_prepare(name: str, builder: Any) -> None:
    """Fetches and prepares a data set, or says in one line why not.

    A look at the addresses comes first, since TFDS itself repeats a failing request for minutes.
    """
    try:
        _probe(builder.url_infos or {})
        builder.download_and_prepare()
    except ModuleNotFoundError as error:  # tensorflow-datasets does not declare all it imports
        raise InputError(
            f"{name} cannot be downloaded without the package {error.name}: "
            f"pip install {error.name}, or {alternatives(name)}"
        ) from error
    except Exception as error:  # whatever goes wrong in there, the user can only do without
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
    archive = f" or the original archive {ARCHIVE_NAME}" if name.startswith(TED) else ""
    return (
        f"give --data-dir with a folder that TensorFlow Datasets prepared{archive}, "
        "or use plain files (pairs:SRC,TGT) or the embedded corpus (sample)"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
