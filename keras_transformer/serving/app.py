"""The HTTP interface: TensorFlow Serving's REST paths, health, metrics and the page.

GET  /v1/models/NAME[/versions/N]            state of the versions
GET  /v1/models/NAME[/versions/N]/metadata   signatures
POST /v1/models/NAME[/versions/N]:predict    answers; /labels/LABEL may stand for /versions/N
POST /translate and others                   LibreTranslate's interface; see `libre`
GET  /healthz /readyz /metrics               for those who operate the server
GET  /                                       translate in the browser; the page also asks
POST /page/words                             which words belong together; see `page_words`
"""

import re
import time
import uuid
from pathlib import Path
from weakref import WeakKeyDictionary

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from keras_transformer.exporting.format import UNKNOWN_LANGUAGE
from keras_transformer.serving import rest_json
from keras_transformer.serving.edge import Edge
from keras_transformer.serving.exchange import (
    CLIENT_GONE,
    LARGE,
    Interface,
    Shared,
    failed,
    unless_gone,
)
from keras_transformer.serving.failures import REQUEST_ID, Failure, Kind
from keras_transformer.serving.libre import Libre, is_of_libre
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.metrics import CONTENT_TYPE
from keras_transformer.serving.page_words import PATH as WORDS_PATH
from keras_transformer.serving.page_words import PageWords
from keras_transformer.serving.service import Service
from keras_transformer.serving.signatures import bytes_in_memory

STATIC = Path(__file__).parent / "static"

_MODEL_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,19})|/labels/(?P<label>[^/:]+))?"
    r"(?P<rest>/metadata|:predict|:classify|:regress)?"
)
_PAGE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_CLOSE = (b"connection", b"close")


def make_app(service: Service):
    """The ASGI application."""
    others = Starlette(
        routes=[
            Route("/healthz", _always(lambda: JSONResponse({"status": "live"}))),
            Route("/readyz", _always(lambda: _readiness(service))),
            Route("/health", _always(lambda: _health(service))),
            Route("/metrics", _always(lambda: _metrics(service))),
            Route("/page/config.json", _always(lambda: _page_config(service))),
            Route("/", _always(lambda: FileResponse(STATIC / "index.html", headers=_PAGE))),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
        ],
        exception_handlers={404: _as_json, 405: _as_json},
    )
    others.router.redirect_slashes = False  # it would lead to whatever Host a request gives
    # Models without Starlette's layers, which take as long as all the rest here.
    shared = Shared(service)
    return _Observed(_Models(shared), Libre(shared), PageWords(shared), others, service)


def _always(answer):
    """An endpoint for an answer that needs no request, too quick to need a thread."""

    async def endpoint(request: Request) -> Response:
        return answer()

    return endpoint


async def _as_json(request: Request, error) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _readiness(service: Service) -> Response:
    if service.ready:
        return JSONResponse({"status": "ready", "version": service.versions.current.version})
    status = "stopping" if service.draining else "loading"
    return JSONResponse({"status": status}, 503)


def _health(service: Service) -> Response:
    """The same in LibreTranslate's words."""
    answer = _readiness(service)
    return JSONResponse({"status": "ok"}) if answer.status_code == 200 else answer


def _metrics(service: Service) -> Response:
    return Response(service.metrics.page(), headers={"Content-Type": CONTENT_TYPE})


def _page_config(service: Service) -> Response:
    model = service.versions.current
    if model is None:
        failure = Failure(Kind.UNAVAILABLE, "no version is loaded yet.", retry_after=2)
        return failed(failure)
    about = {key: model.about.get(key) for key in ("source_language", "target_language")}
    about = {key: None if code == UNKNOWN_LANGUAGE else code for key, code in about.items()}
    limit = service.settings.max_characters
    return JSONResponse(
        {
            "model": service.settings.name,
            "version": model.version,
            "max_characters": limit,
            "signatures": sorted(signature.name for signature in model.default_signatures),
            "examples": [text for text in model.about["examples"] if len(text) <= limit],
            **about,
        }
    )


class _Models(Interface):
    """Answers requests for paths under /v1/models."""

    def __init__(self, shared: Shared):
        super().__init__(shared)
        self._metadata: WeakKeyDictionary[LoadedModel, bytes] = WeakKeyDictionary()

    async def answer(self, request: Request, event: dict) -> Response:
        path = request.scope["path"]
        match = _MODEL_PATH.fullmatch(path)
        if match is None:
            raise Failure(Kind.NOT_FOUND, f"Malformed request: {request.method} {path}")
        name, rest = match["name"], match["rest"]
        event["path"] = {None: "status", "/metadata": "metadata"}.get(rest, (rest or "")[1:])
        methods = ("POST",) if (rest or "").startswith(":") else ("GET", "HEAD")
        if request.method not in methods:
            raise Failure(
                Kind.WRONG_METHOD,
                f"Malformed request: {request.method} {path}",
                allow=", ".join(methods),
            )
        version = None if match["version"] is None else int(match["version"])
        if match["label"] is not None:
            version = self.service.labelled(name, match["label"])
        if rest is None:
            message = rest_json.status_message(self.service.statuses(name, version))
            return Response(rest_json.message_body(message), media_type="application/json")
        if rest == "/metadata":
            with self.service.using(name, version) as model:
                body = self._metadata.get(model)
                if body is None:  # large, and always the same
                    message = rest_json.metadata_message(name, model)
                    body = self._metadata[model] = rest_json.message_body(message)
            return Response(body, media_type="application/json")
        if rest != ":predict":
            raise Failure(Kind.NOT_OFFERED, f"{rest[1:]} is not offered: use predict.")
        self.service.check_name(name)  # and version, before the body
        with self.service.using(name, version):
            pass
        self.check_access(request)
        self.service.check_room()  # before any work on a request that will not be answered
        with self.service.accepted():
            return await self._predict(request, name, version, event)

    async def _predict(self, request: Request, name: str, version: int | None, event: dict):
        service = self.service
        deadline = service.deadline()
        body = await self.body(request, deadline)
        with service.using(name, version) as model:
            content = rest_json.parse_body(body)
            signature = model.signature(rest_json.signature_name(content))
            inputs, row_format = rest_json.read_inputs(content, signature, service.check_count)
            event |= {
                "version": model.version,
                "signature": signature.name,
                "texts": len(inputs.texts),
            }
            outputs = await unless_gone(
                request, service.predict(model, signature, inputs, deadline)
            )
        pieces = rest_json.write_outputs(outputs, row_format=row_format)
        if (size := bytes_in_memory(outputs)) > LARGE:
            return self.in_pieces(pieces, size, deadline)
        return Response(b"".join(pieces), media_type="application/json")


class _Observed:
    """Gives requests an id, times, counts and logs them; answers after unexpected errors."""

    def __init__(self, models: "_Models", libre: Libre, words: PageWords, others, service: Service):
        self._models = models
        self._libre = libre
        self._words = words
        self._others = others
        self._service = service
        self._edge = Edge(service.settings)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served, not {scope['type']}")
        started = time.perf_counter()
        path = scope["path"]
        event = scope["kt.event"] = {"path": _label(path)}
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        identity = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        status = None
        connection = scope["state"]["connection"]
        unread = int(headers.get(b"content-length", b"0")) > 0 or b"transfer-encoding" in headers

        async def observed_receive():
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def observed_send(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", identity.encode("latin-1")),
                ]
                if (unread or connection.reserved) and _CLOSE not in message["headers"]:
                    message["headers"].append(_CLOSE)
            await send(message)

        try:
            try:
                self._edge.check(scope)
                if connection.reserved and event["path"] != "probe":
                    raise Failure(Kind.OVERLOADED, "there are too many connections.", retry_after=1)
            except Failure as failure:
                event["error"] = failure.message
                self._service.metrics.rejected.labels(failure.kind.name.lower()).inc()
                closing = {"Connection": "close"}  # what follows may be part of what was refused
                await failed(failure, closing)(scope, observed_receive, observed_send)
            else:
                await self._app(path)(scope, observed_receive, observed_send)
        except Exception as error:
            self._service.log.error("request failed", id=identity, exc_info=error)
            event["error"] = f"{type(error).__name__}: {error}"
            if status is None:
                failure = Failure(Kind.INTERNAL, "the server failed; its log says why.")
                await failed(failure)(scope, receive, observed_send)
        finally:
            seconds = time.perf_counter() - started
            label = event.pop("path")
            status = status or CLIENT_GONE
            self._service.metrics.observe_request("rest", label, str(status), seconds)
            if label != "probe":
                self._service.log.info(
                    "request",
                    id=identity,
                    method=scope["method"],
                    url=event.pop("url", path),
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                    **event,
                )

    def _app(self, path: str):
        if path.startswith("/v1/"):
            return self._models
        if path == WORDS_PATH:
            return self._words
        return self._libre if is_of_libre(path) else self._others


def _label(path: str) -> str:
    """The label that a path is counted under, until more is known of it."""
    if path in ("/health", "/healthz", "/readyz", "/metrics"):
        return "probe"
    return "page" if path == "/" or path.startswith(("/static/", "/page/")) else "other"
