"""Lines with tags, translated one by one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice

from keras_transformer.documents.fragment import FragmentDocument
from keras_transformer.errors import whole_number
from keras_transformer.translating.documents.sentences import translated_texts
from keras_transformer.translating.documents.translate import languages_of
from keras_transformer.unicode import each_text, utf8


def translate_markup(translator, lines: Iterable[str], **options) -> list[str]:
    """Translates lines that are fragments of HTML or XML; their tags come back as they were.

    The text of a line is translated without its tags, and each tag is put around the words of the
    translation that it belonged to, by word alignments; see `documents.markup`. Each comes back
    once, byte for byte, and nested in those that it was nested in. Of a translator without
    alignments, such as one of CTranslate2, an element inside a sentence holds the whole sentence.
    ``<``, ``>`` and ``&`` of the translation are escaped. Scripts, styles, comments, code and what
    says ``translate="no"`` are left as they are.

    Args:
        translator: a `Translator`, or another that has `translate_stream`.
        lines: fragments.
        options: of `translate_stream`.

    Returns:
        one fragment for each, in order.

    Example:
        >>> translate_markup(translator, ["O <b>gato</b> dorme.<br/>"])
    """
    return list(translate_markup_stream(translator, lines, **options))


def translate_markup_stream(
    translator, lines: Iterable[str], *, chunk=2048, **options
) -> Iterator[str]:
    """`translate_markup` of any number of lines, of which `chunk` are held at a time.

    Raises:
        InputError: for what `translate` refuses, and for a chunk without room for a line.
    """
    chunk = min(whole_number("chunk", chunk), sys.maxsize)
    lines, language = each_text(lines, "lines"), languages_of(translator).source
    while batch := list(islice(lines, chunk)):
        fragments = [FragmentDocument(utf8(line).decode("utf-8", "replace")) for line in batch]
        texts = [next(fragment.texts(), None) for fragment in fragments]
        found = translated_texts(
            translator, [text or "" for text in texts], language, links=True, **options
        )
        for fragment, text, translated in zip(fragments, texts, found, strict=True):
            yield "".join(fragment.written([] if text is None else [translated]))
