"""Requests to models over HTTP: their bodies, their answers, and what stands for a failed one."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from keras_transformer.serving import rest_json
from keras_transformer.serving.access import bearer
from keras_transformer.serving.answers import PiecedAnswer
from keras_transformer.serving.bodies import Bodies
from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.limits import Room
from keras_transformer.serving.service import Service

CLIENT_GONE = 499
"""A status that nobody reads, as other servers count it."""

LARGE = 2**14
"""Bytes of an answer; writing so many as JSON would hold up the other requests."""

_ANSWERS_IN_MEMORY = 16  # of the largest allowed size, of those that are being sent


def failed(failure: Failure, headers=None) -> Response:
    """The answer that is a failure."""
    headers = dict(headers or {})
    if failure.retry_after is not None:
        headers["Retry-After"] = str(failure.retry_after)
    if failure.allow is not None:
        headers["Allow"] = failure.allow
    if failure.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        rest_json.error_body(failure), failure.kind.http_status, headers, "application/json"
    )


class Shared:
    """What the interfaces over HTTP have in common.

    Args:
        service: what answers.

    Attributes:
        service: the same.
        bodies: that are being sent by clients.
        answers: room for the answers that are being sent to clients.
    """

    def __init__(self, service: Service):
        self.service = service
        self.bodies = Bodies(service.settings)
        most = service.settings.max_answer_bytes * _ANSWERS_IN_MEMORY
        self.answers = Room(most, most // 2)


class Interface(ABC):
    """An interface over HTTP, as an ASGI application.

    Args:
        shared: what it shares with the others.

    Attributes:
        service: what answers.
    """

    def __init__(self, shared: Shared):
        self.service = shared.service
        self._shared = shared

    async def __call__(self, scope, receive, send):
        request = Request(scope, receive)
        event = scope["kt.event"]
        try:
            response = await self.answer(request, event)
        except Failure as failure:
            event["error"] = failure.message
            if failure.kind.http_status != 404:
                self.service.metrics.rejected.labels(failure.kind.name.lower()).inc()
            response = failed(failure)
        except ClientDisconnect:
            event["error"] = "the client has gone"
            response = Response(status_code=CLIENT_GONE)  # not read by anyone, but counted
        if self.service.draining:
            response.headers["Connection"] = "close"
        await response(scope, receive, send)
        if isinstance(response, PiecedAnswer) and response.error:
            event["error"] = response.error

    @abstractmethod
    async def answer(self, request: Request, event: dict) -> Response:
        """Answers a request.

        Args:
            request: whose body has not been read.
            event: what is put into it is logged.

        Raises:
            Failure: which becomes the answer.
        """

    def check_access(self, request: Request, key: str | None = None) -> None:
        """Lets a request pass that may ask the model now; see `Access.check`.

        Args:
            request: which may have a key in its query or in its headers.
            key: another that it came with.
        """
        key = key or request.query_params.get("api_key")
        key = key or bearer(request.headers.get("authorization"))
        self.service.access.check(key, group_of_request(request))

    async def body(self, request: Request, deadline: float) -> bytes:
        """Reads the whole body, unless it is larger than allowed, whatever its Content-Length."""
        most = self.service.settings.max_body_bytes
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Failure(Kind.WRONG_ENCODING, "send the body without a Content-Encoding.")
        announced = request.headers.get("content-length", "0")
        too_large = Failure(
            Kind.TOO_LARGE, f"the body has more than {most} bytes (--max-body-bytes): send less."
        )
        if announced.isdecimal() and int(announced) > most:
            raise too_large
        return await self._shared.bodies.read(
            request.stream(), group_of_request(request), deadline, too_large
        )

    def in_pieces(
        self, pieces: Iterator[bytes], size: int, deadline: float, **options
    ) -> PiecedAnswer:
        """A large answer; see `PiecedAnswer`."""
        return PiecedAnswer(
            pieces, size, self._shared.answers, self.service.writer, deadline, **options
        )


def group_of_request(request: Request) -> str:
    """Whose a request is; see `limits.group_of`."""
    return request.scope["state"]["connection"].group


async def unless_gone(request: Request, prediction):
    """Waits for a prediction, or gives it up when the client closes the connection."""
    prediction = asyncio.ensure_future(prediction)
    gone = asyncio.ensure_future(request.receive())  # after the body only the end can come
    try:
        await asyncio.wait({prediction, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not prediction.done():
            raise ClientDisconnect
        return prediction.result()
    finally:
        for task in (prediction, gone):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
