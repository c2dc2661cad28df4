"""From the texts of a document to their translations, sentence by sentence."""

from collections import deque
from collections.abc import Iterable, Iterator

import tensorflow as tf

from keras_transformer.data.tokenizers.token_links import span_links
from keras_transformer.documents.base import Sentence, TranslatedText, whole_text
from keras_transformer.translating.segmentation import sentences_of

_CHUNK_TEXTS = 2048
_CHUNK_CHARACTERS = 2**20


def translated_texts(
    translator, texts: Iterable[str], language: str | None, *, links=False, **options
) -> Iterator[TranslatedText]:
    """Translates texts sentence by sentence, which share batches whatever text they are of.

    Texts are divided here, not by the translator alone, so that models which take a text as it is,
    such as those of version 0.1, give what stands between sentences back as it was, too.

    Args:
        translator: what has `translate_stream`.
        texts: any number; some thousands of them, or of their sentences, are read ahead.
        language: code of the language of the texts, if it is known.
        links: give the links of sentences where the translator has alignments.
        options: of `translate_stream`; with ``sentences=False`` a text is one sentence.

    Yields:
        one for each text, in order.
    """
    divide = options.get("sentences") is not False
    if links and can_align(translator, options):
        options["alignment"] = True
    waiting: deque[tuple[list[str], list[str], str]] = deque()

    def sources():
        for chunk in _chunks(texts):
            for text in _divided(chunk, language) if divide else map(_undivided, chunk):
                waiting.append(text)
                yield from text[1]

    found: list[Sentence] = []
    for translation in translator.translate_stream(sources(), **options):
        gaps, sentences, tail = waiting[0]
        text, of_tokens = sentences[len(found)], translation.token_links
        of_spans = span_links(text, translation.text, of_tokens) if links and of_tokens else None
        found.append(Sentence(gaps[len(found)], text, translation.text, of_spans))
        if len(found) == len(sentences):
            waiting.popleft()
            yield TranslatedText(found, tail)
            found = []


def can_align(translator, options) -> bool:
    """Whether a translator gives alignments beside what some options of `translate` ask for."""
    asked = getattr(translator, "can_align", None)
    return asked is not None and asked(**options)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of texts, bounded in number and, save for the last text, in characters."""
    chunk, characters = [], 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) == _CHUNK_TEXTS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _divided(texts: list[str], language: str | None) -> Iterator[tuple[list[str], list[str], str]]:
    """The gaps, the sentences and the tail of each text."""
    found = sentences_of(tf.constant(texts, tf.string), language)
    gaps, sentences, tails = (
        [text.decode("utf-8") for text in part.numpy()]
        for part in (found.gaps, found.texts, found.tails)
    )
    owners = found.owners.numpy()
    begin = 0
    for number, tail in enumerate(tails):
        end = begin
        while end < len(owners) and owners[end] == number:
            end += 1
        yield gaps[begin:end], sentences[begin:end], tail
        begin = end


def _undivided(text: str) -> tuple[list[str], list[str], str]:
    """A text as one sentence; see `whole_text`."""
    gap, sentence, tail = whole_text(text)
    return [gap], [sentence], tail
