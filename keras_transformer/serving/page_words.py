"""Translations with the words that belong together, which the server's page lets users point at.

POST /page/words   {"text": ..., "glossary": ...} of one text; the glossary may lack
"""

import functools
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keras_transformer.data.glossary import Glossary
from keras_transformer.data.tokenizers.token_links import SpanLink, part_spans
from keras_transformer.documents.base import Sentence, TranslatedText
from keras_transformer.errors import InputError
from keras_transformer.serving.exchange import Interface, Shared, group_of_request, unless_gone
from keras_transformer.serving.failures import Failure, Kind, invalid
from keras_transformer.serving.rest_json import parse_body
from keras_transformer.serving.translations import Translations

PATH = "/page/words"


class PageWords(Interface):
    """Answers what the page asks for the words of a text and of its translation."""

    def __init__(self, shared: Shared):
        super().__init__(shared)
        self._translations = Translations(self.service)

    async def answer(self, request: Request, event: dict) -> Response:
        event["path"] = "words"
        if request.method != "POST":
            raise Failure(
                Kind.WRONG_METHOD, f"{request.method} {PATH} is not offered.", allow="POST"
            )
        self.check_access(request)
        self.service.check_room()
        with self.service.accepted():
            deadline, group = self.service.deadline(), group_of_request(request)
            fields = parse_body(await self.body(request, deadline), holding="")
            text, glossary = _text(fields, "text"), _glossary(_text(fields, "glossary"))
            with self.service.using(self.service.settings.name, None) as model:
                event |= {"version": model.version, "texts": 1}
                found, score = await unless_gone(
                    request, self._translations.linked(model, text, group, deadline, glossary)
                )
            helper = self.service.helper
            content = await helper.run(group, functools.partial(_content, found, score))
        return JSONResponse(content)


def _text(fields: dict[str, Any], name: str) -> str:
    """A field, empty where it lacks.

    Raises:
        Failure: when it is no text.
    """
    value = fields.get(name, "")
    try:
        if not isinstance(value, str):
            raise invalid(f'"{name}" is not a text.')
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid(f'"{name}" has half a character (a lone surrogate).') from None
    return value


def _glossary(lines: str) -> str:
    """The lines of a glossary, as the signature takes them.

    Raises:
        Failure: when they are none; the message begins with ``glossary``.
    """
    try:
        return Glossary.parse(lines).lines()
    except InputError as error:
        raise invalid(str(error)) from error


def _content(found: TranslatedText, score: float) -> dict[str, Any]:
    """What the page is told: see `_sentence`."""
    return {
        "translation": found.text,
        "score": score,
        "sentences": [_sentence(sentence) for sentence in found.sentences],
        "tail": found.tail,
    }


def _sentence(sentence: Sentence) -> dict[str, Any]:
    """A sentence with the gap before it, as parts: words, signs and what is between them.

    ``links`` are pairs of numbers of parts, of the source and of the translation; signs that
    belong to signs have none.
    """
    sides, numbers = {}, []
    for name, text in (("source", sentence.source), ("target", sentence.text)):
        parts, of_span, place = [], {}, 0
        for begin, end in part_spans(text):
            if place < begin:
                parts.append(text[place:begin])
            of_span[begin, end] = len(parts)
            parts.append(text[begin:end])
            place = end
        sides[name] = [*parts, text[place:]] if place < len(text) else parts
        numbers.append(of_span)
    links = [
        (numbers[0][link.source], numbers[1][link.target])
        for link in sentence.links or ()
        if link.source is not None and _has_word(sentence, link)
    ]
    return {"gap": sentence.gap, **sides, "links": links}


def _has_word(sentence: Sentence, link: SpanLink) -> bool:
    """Whether a link is one of letters or digits, at least on one side."""
    texts = sentence.source[slice(*link.source)], sentence.text[slice(*link.target)]
    return any(character.isalnum() for text in texts for character in text)
