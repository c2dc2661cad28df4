"""Lines with tags, translated one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from keras_transformer.documents.fragment import FragmentDocument
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


def translate_markup_stream(translator, lines: Iterable[str], **options) -> Iterator[str]:
    """`translate_markup` of any number of lines, of which few are held at a time."""
    waiting: deque[tuple[FragmentDocument, bool]] = deque()

    def texts():
        for line in each_text(lines, "lines"):
            fragment = FragmentDocument(utf8(line).decode("utf-8", "replace"))
            text = next(fragment.texts(), None)
            waiting.append((fragment, text is not None))
            yield text or ""  # without one, too, a line waits for its turn

    language = languages_of(translator).source
    for found in translated_texts(translator, texts(), language, links=True, **options):
        fragment, has_text = waiting.popleft()
        yield "".join(fragment.written([found] if has_text else []))
