"""LibreTranslate's HTTP interface, so that its clients can ask this server.

POST /translate              text or HTML, one or a list
POST /translate_file         a document, whose translation is then at /download_file/NAME
POST /detect                 the languages that a text may be in
GET  /languages              what is translated into what
GET  /frontend/settings      what pages want to know

Fields come as JSON, as a form, or in the query. The pair of languages chooses among the models
that are served. Fields, statuses and the form of errors are those of LibreTranslate 1.9:
https://github.com/LibreTranslate/LibreTranslate.
"""

import asyncio
import functools
import importlib.util
import json
import time
from collections.abc import Awaitable, Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keras_transformer.data.glossary import Glossary
from keras_transformer.data.text.detecting import Detector
from keras_transformer.documents.base import Languages
from keras_transformer.documents.formats import SUFFIXES
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import UNKNOWN_LANGUAGE
from keras_transformer.languages import language_name, primary_language
from keras_transformer.serving.access import bearer
from keras_transformer.serving.exchange import (
    LARGE,
    Interface,
    Shared,
    group_of_request,
    unless_gone,
)
from keras_transformer.serving.failures import Failure, Kind, invalid
from keras_transformer.serving.forms import (
    MULTIPART,
    Field,
    by_name,
    media_type,
    read_multipart,
    read_urlencoded,
)
from keras_transformer.serving.rest_json import parse_body
from keras_transformer.serving.translations import Translations

_DOWNLOAD = "/download_file/"
_GET, _POST = ("GET", "HEAD"), ("POST",)
_METHODS = {
    "/translate": _POST,
    "/translate_file": _POST,
    "/detect": _POST,
    "/languages": (*_GET, *_POST),
    "/frontend/settings": _GET,
    _DOWNLOAD: _GET,
}
_AUTO = "auto"
_FORMATS = ("text", "html")
_NEEDS = {"srt": "srt", "po": "polib"}  # packages of the extra, by format
_OLD_CODES = {"pb": "pt-br", "zt": "zh-hant"}  # LibreTranslate's own
_TYPING_MILLISECONDS = 500  # that pages wait for the next letter
_MORE_FIELDS = 32  # of a form, besides texts
_PIECE = 2**14
_FILE = {  # what a stranger sent never becomes a page of this server
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def is_of_libre(path: str) -> bool:
    """Whether a path belongs to this interface."""
    return path in _METHODS or path.startswith(_DOWNLOAD)


class Pair(NamedTuple):
    """What a served version translates.

    Attributes:
        source, target: codes of the languages, as clients give them: ``pt-BR``.
        name: of the model.
        version: its number.
    """

    source: str
    target: str
    name: str
    version: int


class Libre(Interface):
    """Answers requests of LibreTranslate's clients."""

    def __init__(self, shared: Shared):
        super().__init__(shared)
        self._translations = Translations(self.service)
        self._detector = Detector()

    async def answer(self, request: Request, event: dict) -> Response:
        path = request.scope["path"]
        route = _DOWNLOAD if path.startswith(_DOWNLOAD) else path
        event["path"] = route.strip("/").partition("/")[0]
        if request.method not in _METHODS[route]:
            raise Failure(
                Kind.WRONG_METHOD,
                f"{request.method} {route} is not offered.",
                allow=", ".join(_METHODS[route]),
            )
        if route == _DOWNLOAD:
            event["url"] = route  # the rest is a secret
            return await self._download(request, path.removeprefix(_DOWNLOAD))
        if route == "/languages":
            return JSONResponse(_languages(self._pairs()))
        if route == "/frontend/settings":
            return JSONResponse(self._settings())
        self.service.check_room()
        with self.service.accepted():
            deadline = self.service.deadline()
            fields, file = await self._fields(request, deadline)
            answering = {
                "/translate": self._translate,
                "/translate_file": functools.partial(self._translate_file, file),
                "/detect": self._detect,
            }[route]
            answer = _in_time(answering(request, fields, deadline, event), deadline)
            content = await unless_gone(request, answer)
        return await self._json(content, deadline)

    # What requests hold.

    async def _fields(self, request: Request, deadline: float):
        """The fields of a request by name, and its file if it has one; access is checked, too."""
        key = request.query_params.get("api_key") or bearer(request.headers.get("authorization"))
        # A key may stand in the body: without another one that is read first.
        known = key is not None or self.service.access.keys is None
        if known:
            self._check(request, key)
        body = await self.body(request, deadline)
        content_type = request.headers.get("content-type", "")
        kind = media_type(content_type)
        most = self.service.settings.max_texts + _MORE_FIELDS
        query = read_urlencoded(request.scope["query_string"], most)
        file = None
        if kind == "application/json" or kind.endswith("+json"):
            fields = parse_body(body, holding="")
        else:
            found = (
                read_multipart(body, content_type, most)
                if kind == MULTIPART
                else read_urlencoded(body, most)
            )
            file = next((field for field in found if field.file is not None), None)
            fields = by_name(found)
        fields = {**by_name(query), **fields}
        if not known:
            self._check(request, _text(fields, "api_key"))
        return fields, file

    def _check(self, request: Request, key: str | None) -> None:
        """`check_access` with LibreTranslate's statuses."""
        try:
            self.check_access(request, key)
        except Failure as failure:
            if failure.kind is Kind.TOO_MANY_REQUESTS:
                raise Failure(
                    failure.kind, f"Slowdown: {failure.message}", retry_after=failure.retry_after
                ) from failure
            if key:
                raise Failure(Kind.FORBIDDEN, "Invalid API key.") from failure
            raise invalid("An API key is needed: ask the operator of this server.") from failure

    # What is translated into what.

    def _pairs(self) -> list[Pair]:
        """The pairs of languages that are served, each once.

        Raises:
            Failure: when a model has no version that is loaded yet.
        """
        pairs = {}
        for name, versions in self.service.models.items():
            with versions.using(None):
                pass
            for model in versions.available:
                codes = [model.about.get(f"{side}_language") for side in ("source", "target")]
                if None not in codes and UNKNOWN_LANGUAGE not in codes:
                    pair = Pair(*(code.replace("_", "-") for code in codes), name, model.version)
                    pairs.setdefault(pair[:2], pair)
        return list(pairs.values())

    def _pair(self, source: str, target: str) -> Pair:
        """The pair for the codes of a request.

        Raises:
            Failure: when there is none.
        """
        pairs = self._pairs()
        known = {code for pair in pairs for code in pair[:2]}
        for code in (source, target):
            if not any(_matches(code, other) for other in known):
                raise invalid(f"{code} is not supported; /languages lists what is.")
        fitting = [
            pair
            for pair in pairs
            if _matches(source, pair.source) and _matches(target, pair.target)
        ]
        if not fitting:
            raise invalid(
                f"{language_name(target)} ({target}) is not available as a target language from "
                f"{language_name(source)} ({source})."
            )
        exact = (_normal(source), _normal(target))
        return max(fitting, key=lambda pair: (_normal(pair.source), _normal(pair.target)) == exact)

    async def _source(self, request: Request, text: str, target: str) -> tuple[str, dict[str, Any]]:
        """The language of a text among those that have a target, and what clients are told of it.

        Raises:
            Failure: when it cannot be told.
        """
        pairs = self._pairs()
        fitting = [pair for pair in pairs if _matches(target, pair.target)]
        # Without any of them the target is refused later.
        sources = list(dict.fromkeys(pair.source for pair in fitting or pairs))
        if self._detector.is_there and sources:
            code, probability = await self.service.helper.run(
                group_of_request(request), self._detector.detect_among, text, sources
            )
        elif len(sources) == 1:
            code, probability = sources[0], 0.0  # nothing was looked at
        else:
            raise invalid(
                "auto is not supported: name the source language. The operator of this server can "
                "install keras_transformer[detect]."
            )
        return code, _detection(code, probability)

    # What is answered.

    async def _translate(self, request, fields, deadline, event) -> dict[str, Any]:
        texts = self._texts(fields)
        source, target = _needed(fields, "source"), _needed(fields, "target")
        count = self._count_of_alternatives(fields)
        format = _text(fields, "format") or "text"
        if format not in _FORMATS:
            raise invalid(f"{format} format is not supported: text and html are.")
        glossary = _glossary(fields)
        is_list = isinstance(texts, list)
        texts = texts if is_list else [texts]
        event["texts"] = len(texts)
        answer = {}
        if source == _AUTO:
            source, detected = await self._source(request, "\n".join(texts)[:_PIECE], target)
            answer["detectedLanguage"] = [detected] * len(texts) if is_list else detected
        pair, group = self._pair(source, target), group_of_request(request)
        with self.service.using(pair.name, pair.version) as model:
            event |= {"model": pair.name, "version": model.version}
            others = [[] for _ in texts]
            if format == "html":
                pages = await self._translations.documents(
                    model, texts, "html", "q", Languages(*pair[:2]), group, deadline, glossary
                )
                translated = [page.decode("utf-8") for page in pages]
            else:
                translated = await self._translations.texts(model, texts, deadline, glossary)
                if count:
                    others = await self._translations.alternatives(
                        model, texts, count + 1, deadline
                    )
        answer["translatedText"] = translated if is_list else translated[0]
        if count:
            others = [
                [other for other in dict.fromkeys(beam) if other not in ("", text)][:count]
                for beam, text in zip(others, translated, strict=True)
            ]
            answer["alternatives"] = others if is_list else others[0]
        return answer

    async def _translate_file(
        self, file: Field | None, request, fields, deadline, event
    ) -> dict[str, Any]:
        if file is None:
            raise _missing("file")
        source, target = _needed(fields, "source"), _needed(fields, "target")
        name = PurePath(file.file.replace("\\", "/")).name
        if not name:
            raise invalid("Invalid request: the file has no name.")
        path = PurePath(name)
        suffix = path.suffix.lower()
        if suffix not in _suffixes():
            raise invalid(
                f"Invalid request: file format not supported: {', '.join(_suffixes())} are."
            )
        if source == _AUTO:
            sample = file.content[:_PIECE].decode("utf-8", "ignore")
            source, _ = await self._source(request, sample, target)
        pair, group = self._pair(source, target), group_of_request(request)
        with self.service.using(pair.name, pair.version) as model:
            event |= {"model": pair.name, "version": model.version}
            [content] = await self._translations.documents(
                model,
                [file.content],
                SUFFIXES[suffix],
                name,
                Languages(*pair[:2]),
                group,
                deadline,
                _glossary(fields),
            )
        try:
            kept = await self.service.files.keep(content, f"{path.stem}_{target}{suffix}", group)
        except OSError as error:
            self.service.log.error("a translated file cannot be kept", exc_info=error)
            raise Failure(
                Kind.UNAVAILABLE, "the translated file cannot be kept.", retry_after=60
            ) from error
        return {"translatedFileUrl": f"{_origin(request)}{_DOWNLOAD}{kept}"}

    async def _download(self, request: Request, name: str) -> Response:
        deadline = self.service.deadline()
        await self.body(request, deadline)  # what comes after it is the client's end
        found = await self.service.files.open(name)
        if found is None:
            raise Failure(Kind.NOT_FOUND, "there is no such file, or not any more.")
        shown, size, pieces = found
        response = self.in_pieces(
            pieces,
            _PIECE,
            deadline,
            headers=_FILE | {"Content-Disposition": f'attachment; filename="{shown}"'},
            media_type="application/octet-stream",
        )
        response.headers["Content-Length"] = str(size)
        return response

    async def _detect(self, request, fields, deadline, event) -> list[dict[str, Any]]:
        texts = self._texts(fields)
        if not self._detector.is_there:
            raise Failure(
                Kind.FORBIDDEN,
                "languages are not detected on this server: its operator can install "
                "keras_transformer[detect].",
            )
        text = "\n".join(texts) if isinstance(texts, list) else texts
        found = await self.service.helper.run(
            group_of_request(request), self._detector.detect, text
        )
        return [_detection(*one) for one in found]

    def _settings(self) -> dict[str, Any]:
        settings, pairs = self.service.settings, self._pairs()
        source = pairs[0].source if len(pairs) == 1 else _AUTO
        target = pairs[0].target if pairs else ""
        has_keys = self.service.access.keys is not None
        return {
            "charLimit": settings.max_characters,
            "frontendTimeout": _TYPING_MILLISECONDS,
            "apiKeys": has_keys,
            "keyRequired": has_keys,
            "suggestions": False,
            "filesTranslation": True,
            "supportedFilesFormat": _suffixes(),
            "language": {
                "source": {
                    "code": source,
                    "name": "Auto Detect" if source == _AUTO else language_name(source),
                },
                "target": {"code": target, "name": language_name(target)},
            },
        }

    async def _json(self, content, deadline: float) -> Response:
        size = _size(content)
        if size <= LARGE:
            return JSONResponse(content)
        return self.in_pieces(_pieces(content), size, deadline)

    # Limits, with LibreTranslate's status.

    def _texts(self, fields: dict[str, Any]) -> str | list[str]:
        """The texts of a request, one or a list.

        Raises:
            Failure: when there are none, they are too many or too long, or something else.
        """
        value = fields.get("q")
        if value is None or value == "" or value == []:
            raise _missing("q")
        settings = self.service.settings
        if not isinstance(value, list):
            _check_size(len(_checked(value, "q")), settings.max_characters, "characters")
            return value
        _check_size(len(value), settings.max_texts, "texts")
        for number, text in enumerate(value):
            checked = _checked(text, f"item {number} of q")
            _check_size(len(checked), settings.max_characters, "characters")
        return value

    def _count_of_alternatives(self, fields: dict[str, Any]) -> int:
        given = fields.get("alternatives")
        most = self.service.settings.max_beam_size - 1
        if given is None or given == "":
            return 0
        is_number = isinstance(given, int) and not isinstance(given, bool)
        is_digits = isinstance(given, str) and given.isascii() and len(given) < 20
        try:
            count = int(given) if is_number or is_digits else None
        except ValueError:
            count = None
        if count is None:
            raise invalid("Invalid request: alternatives is not a number.")
        if count > most:
            raise invalid(f"Invalid request: alternatives must be at most {most}.")
        return max(count, 0)


def _glossary(fields: dict[str, Any]) -> str:
    """The glossary of a request as lines; empty where it has none.

    It is not of LibreTranslate: lines of a term and its translation with a tab between them, or in
    JSON an object of translations by their terms, or a list of pairs.

    Raises:
        Failure: for another.
    """
    given = fields.get("glossary")
    if not given:
        return ""
    try:
        found = Glossary.parse(given) if isinstance(given, str) else Glossary.of(given)
        return found.lines()
    except InputError as error:
        raise invalid(f"Invalid request: {error}") from error


async def _in_time(answer: Awaitable, deadline: float):
    """Waits for an answer until the deadline, whatever it waits for."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await answer
    except TimeoutError:
        raise Failure(Kind.DEADLINE, "the deadline passed before the answer.") from None


def _check_size(size: int, most: int, what: str) -> None:
    if size > most:
        raise invalid(f"Invalid request: {size} {what} are more than the limit of {most}.")


def _missing(name: str) -> Failure:
    return invalid(f"Invalid request: {name} is missing.")


def _text(fields: dict[str, Any], name: str) -> str | None:
    """A field that is one text, or ``None`` without it.

    Raises:
        Failure: when it is something else.
    """
    value = fields.get(name)
    if value is None:
        return None
    return _checked(value, name)


def _needed(fields: dict[str, Any], name: str) -> str:
    value = _text(fields, name)
    if not value:
        raise _missing(name)
    return value


def _checked(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"Invalid request: {name} is not a text.")
    if "\0" in value:
        raise invalid(f"Invalid request: {name} has a zero character, which no text has.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid(
            f"Invalid request: {name} has half a character (a lone surrogate), which no text has."
        ) from None
    return value


def _normal(code: str) -> str:
    code = code.replace("_", "-").lower()
    return _OLD_CODES.get(code, code)


def _matches(given: str, served: str) -> bool:
    """Whether the code of a client means a language that is served: region and script may lack."""
    given, served = _normal(given), _normal(served)
    language = primary_language(given)
    return given == served or (language == primary_language(served) and language in (given, served))


def _languages(pairs: list[Pair]) -> list[dict[str, Any]]:
    targets: dict[str, list[str]] = {}
    for pair in pairs:
        targets.setdefault(pair.source, []).append(pair.target)
    for pair in pairs:
        targets.setdefault(pair.target, [])
    return [
        {"code": code, "name": language_name(code), "targets": sorted(targets[code])}
        for code in targets
    ]


def _detection(code: str, probability: float) -> dict[str, Any]:
    return {"confidence": round(100.0 * probability, 1), "language": code}


@functools.cache
def _suffixes() -> tuple[str, ...]:
    """Ends of the names of files that are translated here."""
    return tuple(
        suffix
        for suffix, format in SUFFIXES.items()
        if format not in _NEEDS or importlib.util.find_spec(_NEEDS[format]) is not None
    )


def _origin(request: Request) -> str:
    """Scheme, name and port of this server as the client knows them."""
    host = request.headers.get("host")
    if not host:
        name, port = request.scope["server"][:2]
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return f"{request.scope['scheme']}://{host}"


def _size(content: Any) -> int:
    """About how many characters an answer has."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, dict):
        content = content.values()
    return sum(map(_size, content)) if hasattr(content, "__iter__") else 8


def _pieces(content: Any) -> Iterator[bytes]:
    """An answer as JSON, in pieces that are written in a few milliseconds."""
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    piece, size = [], 0
    for text in encoder.iterencode(content):
        piece.append(text)
        size += len(text)
        if size >= _PIECE:
            yield "".join(piece).encode("utf-8")
            piece, size = [], 0
    yield "".join(piece).encode("utf-8")
