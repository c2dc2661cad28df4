"""Documents, translated whole and in their shape."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from keras_transformer.documents.base import Languages
from keras_transformer.documents.formats import check_format, format_of, lines_of, open_document
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import UNKNOWN_LANGUAGE, read_about
from keras_transformer.files import file_error, write_atomically
from keras_transformer.translating.documents.sentences import translated_texts
from keras_transformer.unicode import utf8


def translate_document(
    translator, text: str, format: str = "text", *, everything: bool = False, **options
) -> str:
    """Translates a document that is in memory.

    What is no text of it comes back as it was; see the formats in `documents`.

    Args:
        translator: a `Translator`, or another that has `translate_stream`.
        text: the document.
        format: ``text``, ``html``, ``srt`` or ``po``.
        everything: of a catalogue, translate what has a translation, too.
        options: of `translate_stream`.

    Raises:
        InputError: for another format, and for what is no document of this one.

    Example:
        >>> translate_document(translator, "<p>O <b>gato</b> dorme.</p>", "html")
    """
    lines = io.StringIO(utf8(text).decode("utf-8", "replace"), newline="")
    return "".join(_parts(translator, lines, format, "the document", everything, options))


def translate_document_file(
    translator,
    source: str | Path | BinaryIO,
    target: str | Path | BinaryIO,
    format: str | None = None,
    *,
    name: str | None = None,
    everything: bool = False,
    **options,
) -> None:
    """Translates a document in a file; see `translate_document`.

    Of plain text no more is held in memory than is being translated, however large the file is;
    documents of other formats are held whole.

    Args:
        translator: a `Translator`, or another that has `translate_stream`.
        source: a path, or a file open for reading bytes.
        target: a path, which is written whole or not at all and may be that of `source`; or a file
            open for writing bytes, to which parts are written as they are translated.
        format: ``text``, ``html``, ``srt`` or ``po``; by the name of `source` unless given.
        name: what errors call the source; its own name unless given.
        everything: of a catalogue, translate what has a translation, too.
        options: of `translate_stream`.

    Raises:
        InputError: for a file that cannot be read or written, is not UTF-8 (pages may declare
            another encoding), or is no document of its format.
    """
    name = name or _name_of(source)
    format = format_of(name) if format is None else format
    check_format(format)
    with _opened(source) as file:
        encoding, lines = lines_of(file, name, format)
        with closing(lines):
            parts = _parts(translator, lines, format, name, everything, options)
            encoded = (part.encode(encoding, "xmlcharrefreplace") for part in parts)
            if isinstance(target, str | Path):
                write_atomically(target, lambda path: _write(path, encoded))
            else:
                for part in encoded:
                    target.write(part)


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for part in parts:
            file.write(part)


def _parts(translator, lines, format, name, everything, options) -> Iterator[str]:
    """A translated document, in parts.

    Args:
        translator: has `translate_stream`.
        lines: a text file or an iterator over its lines, line ends as they are.
        format: of `FORMATS`.
        name: of the document, for errors.
        everything: see `translate_document`.
        options: of `translate_stream`.
    """
    languages = languages_of(translator)
    mark, document = open_document(lines, format, name, languages, everything=everything)
    yield mark
    found = translated_texts(
        translator, document.texts(), languages.source, links=document.wants_links, **options
    )
    yield from document.written(found)


def languages_of(translator) -> Languages:
    """What a translator, or the export that it was loaded from, says of its languages."""
    if tokenizers := getattr(translator, "tokenizers", None):
        codes = tokenizers.source_language, tokenizers.target_language
    elif folder := getattr(translator, "folder", None):
        about = read_about(Path(folder))
        codes = about.get("source_language"), about.get("target_language")
    else:
        return Languages()
    known = (code if isinstance(code, str) and code != UNKNOWN_LANGUAGE else None for code in codes)
    return Languages(*known)


def _name_of(source) -> str:
    name = source if isinstance(source, str | Path) else getattr(source, "name", None)
    return str(name) if isinstance(name, str | Path) else "the document"


@contextmanager
def _opened(source) -> Iterator[BinaryIO]:
    """A file for reading bytes; what is open already stays so."""
    if not isinstance(source, str | Path):
        yield source
        return
    try:
        file = open(source, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise InputError(f"{source}: no such file: check the path.") from None
    except OSError as error:
        raise file_error(source, "read", error) from error
    with file:
        yield file
