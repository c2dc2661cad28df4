"""Names, sizes and folders of exports: what their writers and their readers agree on."""

import importlib.resources
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from keras_transformer.errors import InputError
from keras_transformer.files import write_json

SAVED_MODEL_FILE = "saved_model.pb"
"""The file by which a folder is known as a SavedModel."""

CTRANSLATE2_FILE, LIMITS_FILE = "model.bin", "limits.json"
"""The model of an export for CTranslate2, and how long its sources and targets may be."""

EXTRA_FOLDER = "assets.extra"
"""Of a SavedModel: files that TensorFlow leaves alone."""

ABOUT_FILE = Path(EXTRA_FOLDER, "keras_transformer.json")
"""What a SavedModel says of itself: its languages, its longest source, its compiled sizes."""

UNKNOWN_LANGUAGE = "unknown"
"""What stands for the code of a language that nobody has named."""

WARM_UP_FILE = Path(EXTRA_FOLDER, "tf_serving_warmup_requests")
"""Requests that TensorFlow Serving answers to itself before a model is ready."""

WARM_UP_SCALARS = {"beam_size": 4, "length_penalty": 1.0, "max_length": 0}
"""The inputs of ``translate_beam`` besides the texts, as requests to warm up with have them."""

DEFAULT_SIGNATURE = "serving_default"
"""The signature that answers where none is named."""

NOT_FOUND = -1e9
"""The score of a translation that was not found; finite, so that JSON can hold it."""

NORMALIZED = {
    "ptb-lower": "in lower case, its punctuation parted by spaces as in the Penn Treebank",
    "none": "whose words are parted by single spaces",
}
"""What a README says of the text that goes to a tokenizer, by the tokenizer's normalisation."""

_ROWS = (1, 4, 16, 64, 256)  # of version 0.1, whose exports do not name them

TEMPLATE_KINDS = ("wordpiece", "sentencepiece")
"""Kinds of tokenizers whose use without this package READMEs show, by templates of their own."""


def read_template(name: str) -> str:
    """Reads a template of a README, ``readme/NAME.md``, for `str.format`."""
    file = importlib.resources.files(__package__) / "readme" / f"{name}.md"
    return file.read_text(encoding="utf-8")


def xla_name(signature: str) -> str:
    """The name of the signature that does the same compiled by XLA."""
    return "serving_xla" if signature == DEFAULT_SIGNATURE else f"{signature}_xla"


def write_about(
    folder: Path, *, source_language, target_language, max_source_length, compiled_rows
) -> None:
    """Writes the `ABOUT_FILE` of a SavedModel.

    Args:
        folder: of the SavedModel, with an `EXTRA_FOLDER`.
        source_language, target_language: their codes, or `UNKNOWN_LANGUAGE`.
        max_source_length: most tokens of a text that is translated as one piece.
        compiled_rows: numbers of rows, ascending, to which signatures compiled by XLA pad a batch.
    """
    content = {
        "source_language": source_language,
        "target_language": target_language,
        "max_source_length": max_source_length,
        "compiled_rows": list(compiled_rows),
    }
    write_json(folder / ABOUT_FILE, content)


def read_about(folder: Path) -> dict:
    """What `write_about` wrote; without what is missing or damaged, except for the rows.

    ``compiled_rows`` is a tuple, for an export that does not name them that of version 0.1.
    """
    try:
        about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        about = {}
    about = about if isinstance(about, dict) else {}
    rows = about.get("compiled_rows")
    fits = isinstance(rows, list) and all(type(size) is int and size > 0 for size in rows)
    return {**about, "compiled_rows": tuple(sorted(rows)) if fits and rows else _ROWS}


def write_version(
    folder, write: Callable[[Path], object], *, version: int | None = None, overwrite=False
) -> Path:
    """Writes ``folder/version``, which appears under its name only once it is complete.

    Args:
        folder: such as ``saved_models/pt_en``.
        write: called with an empty folder to fill. What it raises passes through, with what was
            there before left as it was.
        version: number of the version; one more than the highest there unless given.
        overwrite: replace that version where it exists.

    Returns:
        the folder of the version.

    Raises:
        InputError: when that version exists, or cannot be written.
    """
    folder = Path(folder)
    if version is None:
        version = max((int(there.name) for there in version_folders(folder)), default=0) + 1
    destination = folder / str(version)
    if destination.exists() and not overwrite:
        raise InputError(f"{destination}: exists already: give another version, or overwrite it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".unfinished-{version}-", dir=folder))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}).") from error
    try:
        unfinished.chmod(0o755)
        write(unfinished)
        if destination.exists():
            replaced = unfinished.with_name(f"{unfinished.name}-replaced")
            os.rename(destination, replaced)
            os.rename(unfinished, destination)
            shutil.rmtree(replaced)
        else:
            os.rename(unfinished, destination)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return destination


def version_folders(folder) -> list[Path]:
    """The numbered versions under the folder of an export, lowest first, in whatever form."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    versions = [there for there in folder.iterdir() if there.name.isdecimal()]
    return sorted(versions, key=lambda version: int(version.name))


def find_version(folder, *files: str) -> Path | None:
    """The folder itself or else its highest version that holds one of the files, if any does.

    Args:
        folder: a version of an export, or the folder above its versions.
        files: names, such as `SAVED_MODEL_FILE`.
    """
    for candidate in [Path(folder), *reversed(version_folders(folder))]:
        if any((candidate / file).is_file() for file in files):
            return candidate
    return None
