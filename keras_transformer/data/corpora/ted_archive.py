"""The TED talks of Qi et al. (2018) straight from their original archive, `.tar.gz`."""

import tarfile
import zlib
from pathlib import Path

from keras_transformer.data.corpora.corpus import Pair
from keras_transformer.data.corpora.files.names import expanded
from keras_transformer.errors import InputError

ARCHIVE_NAME = "qi18naacl-dataset.tar.gz"

_SUFFIXES = {"train": "train", "validation": "dev", "test": "test"}


def find_archive(data_dir: str | Path | None) -> Path | None:
    """The `.tar.gz` file that `data_dir` is or holds as `ARCHIVE_NAME`; None without one."""
    if data_dir is None:
        return None
    path = expanded(data_dir)
    if path.is_file():
        return path
    archive = path / ARCHIVE_NAME
    return archive if archive.is_file() else None


def read_archive(archive: Path, source: str, target: str) -> dict[str, list[Pair]]:
    """Reads the pairs of two languages, the same ones that TensorFlow Datasets prepares.

    In a mixed source such as `az_tr` the training part mixes both languages and the other parts
    are of the first one alone. Pairs with an empty side are left out, all other text stays as it
    is; TensorFlow Datasets shuffles the pairs when it writes them, here they keep their order.

    Args:
        archive: path of `qi18naacl-dataset.tar.gz`; its members are read without unpacking.
        source: source language as TensorFlow Datasets writes it, for example `pt` or `az_tr`.
        target: target language.

    Returns:
        `"train"`, `"validation"` and `"test"` pairs.

    Raises:
        InputError: when the archive is damaged or is another one.
    """
    folder = f"datasets/{source}_to_{target}"
    members = {}
    for split, suffix in _SUFFIXES.items():
        code = source.replace("_", "-") if split == "train" else source.split("_")[0]
        members[split] = (f"{folder}/{code}.{suffix}", f"{folder}/{target}.{suffix}")
    texts = _read_members(archive, {name for names in members.values() for name in names})
    parts = {}
    for split, (source_name, target_name) in members.items():
        sources, targets = texts[source_name].split("\n"), texts[target_name].split("\n")
        if len(sources) != len(targets):
            raise InputError(
                f"{archive}: {source_name} has {len(sources):,} lines but {target_name} has "
                f"{len(targets):,}: fetch the archive again"
            )
        parts[split] = [pair for pair in zip(sources, targets, strict=True) if all(pair)]
    return parts


def _read_members(archive: Path, wanted: set[str]) -> dict[str, str]:
    texts = {}
    try:
        # As a stream: the members of all languages are packed one after the other, and seeking
        # back in a compressed file would unpack it from the start again.
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if name in wanted and (file := tar.extractfile(member)):
                    texts[name] = file.read().decode("utf-8")
                    if len(texts) == len(wanted):
                        break
    except (OSError, EOFError, UnicodeDecodeError, tarfile.TarError, zlib.error) as error:
        raise InputError(
            f"{archive}: not a complete .tar.gz archive ({error}): fetch it again"
        ) from None
    if missing := sorted(wanted - set(texts)):
        raise InputError(
            f"{archive} has no member {missing[0]} or is cut off before it: "
            f"give the complete {ARCHIVE_NAME} of Qi et al."
        )
    return texts
