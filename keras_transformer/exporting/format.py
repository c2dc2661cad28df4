"""Names, sizes and folders of exports: what their writers and their readers agree on."""

import contextlib
import ctypes
import errno
import importlib.resources
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from filelock import lock_descriptor

from keras_transformer.errors import InputError
from keras_transformer.files import (
    delete_unfinished,
    file_error,
    make_folder,
    parse_json,
    sync_names,
    sync_tree,
    unfinished_folder,
    write_checksums,
    write_json,
)

SAVED_MODEL_FILE = "saved_model.pb"
"""The file by which a folder is known as a SavedModel."""

CTRANSLATE2_FILE, LIMITS_FILE = "model.bin", "limits.json"
"""The model of an export for CTranslate2, and how long its sources and targets may be."""

VOCABULARY_MAP_FILE = "vmap.txt"
"""The shortlist of an export for CTranslate2."""

EXTRA_FOLDER = "assets.extra"
"""Of a SavedModel: files that TensorFlow leaves alone."""

ABOUT_FILE = Path(EXTRA_FOLDER, "keras_transformer.json")
"""What a SavedModel says of itself: its languages, sizes, and examples of texts for it."""

MOST_EXAMPLES, MOST_EXAMPLE_CHARACTERS = 20, 500
"""How many examples of texts a model may come with, and how long each may be."""

MOST_VERSION = 2**63 - 1
"""The highest number of a version, which TensorFlow Serving's interfaces hold in 64 bits."""

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

_NORMALIZED = {
    ("ptb-lower", "lower"): (
        "in lower case, its punctuation parted by spaces as in the Penn Treebank"
    ),
    ("none", "keep"): "whose words are parted by single spaces",
    ("none", "lower"): "in lower case, its words parted by single spaces",
    ("none", "factored"): (
        "in lower case, its words parted by single spaces, with marks (the ids 4 to 7) for the "
        "capitals that they had"
    ),
}

_CHANGEABLE = ("README.md", WARM_UP_FILE.as_posix())  # people may

_REPLACED = ".replaced-"  # what a version is called while another takes its place

_HERE, _RENAME_EXCHANGE = -100, 2  # AT_FDCWD and a flag, of Linux

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Of version 0.1, whose exports do not name them.
_ROWS, _LENGTH = (1, 4, 16, 64, 256), 32

TEMPLATE_KINDS = ("wordpiece", "sentencepiece")
"""Kinds of tokenizers whose use without this package READMEs show, by templates of their own; not
that of marks of capitals."""


def normalized_text(normalization: str, case: str) -> str:
    """What a README says of the text that goes to a tokenizer."""
    return _NORMALIZED[normalization, case]


def read_template(name: str) -> str:
    """Reads a template of a README, ``readme/NAME.md``, for `str.format`."""
    file = importlib.resources.files(__package__) / "readme" / f"{name}.md"
    return file.read_text(encoding="utf-8")


def translation_title(source_language: str, target_language: str) -> str:
    """The title of a README: what an export translates, as far as its languages are known."""
    names = (("from", source_language), ("to", target_language))
    known = [f"{word} {code}" for word, code in names if code != UNKNOWN_LANGUAGE]
    return " ".join(["Translation", *known])


def xla_name(signature: str) -> str:
    """The name of the signature that does the same compiled by XLA."""
    return "serving_xla" if signature == DEFAULT_SIGNATURE else f"{signature}_xla"


def write_about(
    folder: Path,
    *,
    source_language,
    target_language,
    max_source_length,
    compiled_rows,
    compiled_length,
    examples=(),
) -> None:
    """Writes the `ABOUT_FILE` of a SavedModel.

    Args:
        folder: of the SavedModel, with an `EXTRA_FOLDER`.
        source_language, target_language: their codes, or `UNKNOWN_LANGUAGE`.
        max_source_length: most tokens of a text that is translated as one piece.
        compiled_rows: numbers of rows, ascending, to which signatures compiled by XLA pad a batch.
        compiled_length: the smallest number of tokens to which they pad its texts; the next ones
            double it.
        examples: texts of the source language, to try the model with.
    """
    content = {
        "source_language": source_language,
        "target_language": target_language,
        "max_source_length": max_source_length,
        "compiled_rows": list(compiled_rows),
        "compiled_length": compiled_length,
        "examples": list(examples),
    }
    write_json(folder / ABOUT_FILE, content)


def read_about(folder: Path) -> dict:
    """What `write_about` wrote; without what is missing or damaged, except for compiled sizes.

    ``compiled_rows`` is a tuple. For an export that does not name them, it and ``compiled_length``
    are those of version 0.1. ``examples`` are what `usable_examples` leaves of them.
    """
    try:
        about = parse_json((folder / ABOUT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        about = {}
    about = about if isinstance(about, dict) else {}
    for name in ("source_language", "target_language"):
        if name in about and not _is_text(about[name]):
            del about[name]
    rows = about.get("compiled_rows")
    fits = isinstance(rows, list) and all(type(size) is int and size > 0 for size in rows)
    rows = tuple(sorted(rows)) if fits and rows else _ROWS
    length = about.get("compiled_length")
    length = length if type(length) is int and length > 0 else _LENGTH
    examples = usable_examples(about.get("examples"))
    return {**about, "compiled_rows": rows, "compiled_length": length, "examples": examples}


def usable_examples(content) -> list[str]:
    """The examples in what a file holds in their place, which may be damaged.

    What is no list has none; what is no text, an empty one or too long a one is left out, as are
    repetitions and what there is after `MOST_EXAMPLES`.
    """
    if not isinstance(content, list):
        return []
    texts = dict.fromkeys(text for text in content if _is_example(text))
    return list(texts)[:MOST_EXAMPLES]


def check_examples(examples) -> list[str]:
    """The examples of a caller as a list.

    Raises:
        InputError: when one of them is no text, or they are too many or too long.
    """
    if isinstance(examples, str | bytes) or not isinstance(examples, Iterable):
        raise InputError(f"examples are a list of texts; got {type(examples).__name__}.")
    examples = list(examples)
    if len(examples) > MOST_EXAMPLES:
        raise InputError(
            f"{len(examples)} examples are more than {MOST_EXAMPLES}: give fewer of them."
        )
    for number, text in enumerate(examples, 1):
        if not _is_example(text):
            raise InputError(
                f"example {number} is not a text of 1 to {MOST_EXAMPLE_CHARACTERS} characters in "
                "UTF-8: give another."
            )
    return examples


def _is_example(text) -> bool:
    return _is_text(text) and len(text) <= MOST_EXAMPLE_CHARACTERS and bool(text.strip())


def _is_text(value) -> bool:
    """Whether it is a text that can be written in UTF-8: JSON may hold halves of characters."""
    if not isinstance(value, str):
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def write_version(
    folder, write: Callable[[Path], object], *, version: int | None = None, overwrite=False
) -> Path:
    """Writes ``folder/version``, which appears under its name only once it is complete, with the
    checksums of its files, and on the disk.

    What killed processes left unfinished is deleted; a version that one was replacing is brought
    back.

    Args:
        folder: such as ``saved_models/pt_en``.
        write: called with an empty folder to fill. What it raises, but for errors of the disk,
            passes through, with what was there before left as it was.
        version: number of the version; one more than the highest there unless given.
        overwrite: replace that version where it exists.

    Returns:
        the folder of the version.

    Raises:
        InputError: when that version exists, or cannot be written.
    """
    folder = Path(folder)
    if version is not None and (folder / str(version)).exists() and not overwrite:
        raise _exists(folder / str(version))
    try:
        make_folder(folder)
        with _locked(folder):
            _restore_replaced(folder)
        delete_unfinished(folder)
        with unfinished_folder(folder, "version" if version is None else str(version)) as new:
            write(new)
            write_checksums(new, leave_out=_CHANGEABLE)
            sync_tree(new)
            with _locked(folder):
                return _appear(new, folder, version, overwrite)
    except InputError:
        raise
    except OSError as error:
        raise file_error(folder, "written", error) from error
    except Exception as error:  # libraries word a full disk each in its own way
        full = next((number for number in _FULL if os.strerror(number) in str(error)), None)
        if full is None:
            raise
        raise file_error(folder, "written", OSError(full, os.strerror(full))) from error


def _appear(new: Path, folder: Path, version: int | None, overwrite: bool) -> Path:
    """Gives a whole version its name; only one process at a time is here."""
    if version is None:
        version = max((int(there.name) for there in version_folders(folder)), default=0) + 1
    destination = folder / str(version)
    replaced = folder / f"{_REPLACED}{version}"
    if destination.exists():
        if not overwrite:
            raise _exists(destination)
        if _swap(new, destination):  # what was replaced goes with what is unfinished
            sync_names(folder)
            return destination
        os.rename(destination, replaced)
    os.rename(new, destination)
    sync_names(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    return destination


def _swap(one: Path, other: Path) -> bool:
    """Lets two folders swap their names in one go, and says whether the system could."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2  # of Linux
    except (AttributeError, OSError, TypeError):
        return False
    names = (_HERE, os.fsencode(one), _HERE, os.fsencode(other))
    return renameat2(*names, _RENAME_EXCHANGE) == 0


def _restore_replaced(folder: Path) -> None:
    """Brings back versions whose successors a killed process could not name any more."""
    for replaced in folder.glob(f"{_REPLACED}*"):
        version = folder / replaced.name.removeprefix(_REPLACED)
        if version.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            os.rename(replaced, version)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other exports to a folder out for a moment, where the system has locks of folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        yield
        return
    try:
        with contextlib.suppress(OSError):
            lock_descriptor(descriptor, blocking=True)
        yield
    finally:
        os.close(descriptor)


def _exists(version: Path) -> InputError:
    return InputError(f"{version}: exists already: give another version, or overwrite it.")


def version_folders(folder) -> list[Path]:
    """The numbered versions under the folder of an export, lowest first, in whatever form.

    A number that no interface could name is none: one beyond `MOST_VERSION`, or in other digits.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    versions = [
        there
        for there in folder.iterdir()
        if re.fullmatch("[0-9]+", there.name) and len(there.name) < 100
        if int(there.name) <= MOST_VERSION
    ]
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


def find_export(path) -> Path:
    """The version folder of an exported model that `Translator.load` can load.

    Args:
        path: it, or the folder above it, of which the highest version is taken.

    Raises:
        InputError: when there is none.
    """
    folder = find_version(path, SAVED_MODEL_FILE, CTRANSLATE2_FILE)
    if folder is None:
        raise InputError(
            f"{path}: is neither a run folder (it has no config.json) nor an exported model "
            "(it has no saved_model.pb or model.bin)."
        )
    return folder
