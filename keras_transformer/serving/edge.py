"""What is asked of every HTTP request before anything else looks at it.

A stranger's page, open in the browser of somebody who can reach the server, may send it requests:
across origins, or as its own origin once the stranger's name leads to the server's address. So the
name that a request is sent to must be one that no stranger can have, or one that the operator
names, and what a browser says of the page's origin must agree with it.
"""

import ipaddress
import re
import socket

from keras_transformer.serving.failures import Failure, Kind, invalid
from keras_transformer.serving.forms import MULTIPART, media_type
from keras_transformer.serving.settings import Settings

_MOST_OF_A_HEAD = 2**15  # bytes
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/?#@\s]+)(?::\d{0,5})?", re.ASCII)
_NOT_PUBLIC = (".localhost", ".local", ".internal")
# Asked by load balancers, and saying next to nothing.
_OPEN_TO_ANY_HOST = ("/health", "/healthz", "/readyz")
_SENT_BY_FORMS = ("text/plain", MULTIPART)
_TAKE_FORMS = ("/translate", "/translate_file", "/detect", "/languages")  # LibreTranslate's


class Edge:
    """The rules of one server.

    Args:
        settings: with the names that it may have besides its own.
    """

    def __init__(self, settings: Settings):
        self._names = set(settings.allowed_host_names)
        self._any = "*" in self._names
        self._own = {settings.host.lower().rstrip("."), socket.gethostname().lower()}

    def check(self, scope) -> None:
        """Raises `Failure` when a request, given as ASGI's scope, is not to be answered."""
        pairs = scope["headers"]
        _check_framing(scope, {name for name, _ in pairs})
        if scope["path"] not in _OPEN_TO_ANY_HOST and not self._any:
            hosts = [value.decode("latin-1").lower() for name, value in pairs if name == b"host"]
            for host in hosts:
                self._check_host(host)
            for name, value in pairs:
                if name == b"origin":
                    self._check_origin(value.decode("latin-1").lower(), hosts)
        if scope["method"] == "POST":
            for name, value in pairs:
                if name == b"content-type":
                    _check_type(value.decode("latin-1"), scope["path"])

    def _check_host(self, host: str) -> None:
        match = _HOST.fullmatch(host)
        if match is None and host:  # HTTP/1.1 allows for an empty one
            raise invalid(f"Host {host!r} is no name and port.")
        if host and not self._is_known(match["name"]):
            raise Failure(
                Kind.MISDIRECTED,
                f"Host {host!r} is no name of this server: use its address, or start it with "
                "--allowed-hosts.",
            )

    def _is_known(self, name: str) -> bool:
        name = name.rstrip(".")
        if "." not in name or name in self._own | self._names or name.endswith(_NOT_PUBLIC):
            return True  # without a dot, too, it is in no public zone
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _check_origin(self, origin: str, hosts: list[str]) -> None:
        scheme, _, host = origin.partition("://")
        if _without_port(scheme, host) in {_without_port(scheme, own) for own in hosts}:
            return
        match = _HOST.fullmatch(host)
        if match is None or match["name"].rstrip(".") not in self._names:
            raise Failure(
                Kind.FORBIDDEN,
                f"a page of {origin!r} may not ask: start the server with --allowed-hosts if its "
                "host is yours.",
            )


def _without_port(scheme: str, host: str) -> str:
    return host.removesuffix({"http": ":80", "https": ":443"}.get(scheme, "\n"))


def _check_framing(scope, names: set[bytes]) -> None:
    if scope["http_version"] not in ("1.0", "1.1"):
        raise invalid(f"HTTP/{scope['http_version']} is not spoken here: use HTTP/1.1.")
    chunked = b"transfer-encoding" in names
    if chunked and b"content-length" in names:
        raise invalid("the request has a Content-Length and a Transfer-Encoding: send one.")
    if chunked and scope["http_version"] == "1.0":
        raise invalid("HTTP/1.0 has no Transfer-Encoding: send a Content-Length.")
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > _MOST_OF_A_HEAD:
        raise Failure(
            Kind.LARGE_HEAD, f"the head has {size} bytes: send at most {_MOST_OF_A_HEAD}."
        )


def _check_type(content_type: str, path: str) -> None:
    kind = media_type(content_type)
    if kind == MULTIPART and path in _TAKE_FORMS:
        return
    if kind in _SENT_BY_FORMS:
        raise Failure(
            Kind.WRONG_ENCODING, f"Content-Type {kind!r}: the body is JSON, application/json."
        )
