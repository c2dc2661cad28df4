"""Kinds of failed requests, with their codes in HTTP and in gRPC."""

import re
from enum import Enum

from keras_transformer.errors import one_line
from keras_transformer.serving.plain import plain

REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
"""An id that a client may give its request, to find it in the log again."""

_LONGEST = 500  # characters of a message, which may name what a client sent


class Kind(Enum):
    """Kinds of failures: the status in HTTP and the name of the code in gRPC."""

    INVALID = (400, "INVALID_ARGUMENT")
    UNAUTHENTICATED = (401, "UNAUTHENTICATED")
    FORBIDDEN = (403, "PERMISSION_DENIED")
    NOT_FOUND = (404, "NOT_FOUND")
    WRONG_METHOD = (405, "UNIMPLEMENTED")
    SLOW_CLIENT = (408, "DEADLINE_EXCEEDED")
    TOO_LARGE = (413, "INVALID_ARGUMENT")
    TOO_MANY_BYTES = (413, "RESOURCE_EXHAUSTED")  # which is what gRPC itself says
    WRONG_ENCODING = (415, "INVALID_ARGUMENT")
    MISDIRECTED = (421, "INVALID_ARGUMENT")
    TOO_MANY_REQUESTS = (429, "RESOURCE_EXHAUSTED")
    LARGE_HEAD = (431, "INVALID_ARGUMENT")
    INTERNAL = (500, "INTERNAL")
    NOT_OFFERED = (501, "UNIMPLEMENTED")
    OVERLOADED = (503, "RESOURCE_EXHAUSTED")
    UNAVAILABLE = (503, "UNAVAILABLE")
    DEADLINE = (504, "DEADLINE_EXCEEDED")

    def __init__(self, http_status: int, grpc_code: str):
        self.http_status = http_status
        self.grpc_code = grpc_code


class Failure(Exception):
    """The error that answers a request.

    Args:
        kind: one of `Kind`.
        message: for the client: what is wrong, and the remedy where there is one. What it quotes
            of a request may be anything: it becomes one line of UTF-8, cut where it is long.
        retry_after: whole seconds after which another try makes sense, if one does.
        allow: the methods of HTTP that would have been right, where that was wrong.
    """

    def __init__(
        self, kind: Kind, message: str, *, retry_after: int | None = None, allow: str | None = None
    ):
        self.kind = kind
        # It quotes what the client sent.
        self.message = one_line(plain(message, _LONGEST), _LONGEST)
        super().__init__(self.message)
        self.retry_after = retry_after
        self.allow = allow


def invalid(message: str) -> Failure:
    """The failure of a request that is wrong in itself."""
    return Failure(Kind.INVALID, message)
