"""Sockets that listen on every address of a name."""

import contextlib
import errno
import socket

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of

_BACKLOG = 2048  # connections that the system keeps until they are accepted
_TRIES = 20  # to find a port that is free on every address
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_ANYWHERE = ("0.0.0.0", "::")


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that accept connections from now on, one for each address of a name.

    Args:
        host: an address or a name; ``::`` takes IPv4, too.
        port: the same for all; 0 takes a free one.

    Raises:
        InputError: when the name has no address of this machine, or the port is in use.
    """
    addresses = _addresses(host)
    for left in reversed(range(_TRIES if port == 0 and len(addresses) > 1 else 1)):
        try:
            return _listen_on(addresses, host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and left:
                continue
            remedy = "--host" if error.errno in _ABSENT else "--port"
            raise InputError(
                f"{address(host, port)}: cannot listen there ({reason_of(error)}): "
                f"give another {remedy}."
            ) from error
    raise AssertionError("the last try returns or raises")


def address(host: str, port: int) -> str:
    """A host and a port as addresses of the web have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    if not host.strip() or host != host.strip():
        raise InputError(f"--host {host!r}: give an address, such as 127.0.0.1, or a name.")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # names of wrong characters are several ValueErrors
        raise InputError(
            f"--host {host!r}: is no address of this machine ({reason_of(error)}): give another "
            "--host."
        ) from error
    kinds = (socket.AF_INET, socket.AF_INET6)
    return list(dict.fromkeys((kind, to[0]) for kind, _, _, _, to in found if kind in kinds))


def _listen_on(addresses, host: str, port: int) -> list[socket.socket]:
    absent = None
    with contextlib.ExitStack() as opened:
        listeners = []
        for family, where in addresses:
            try:
                listener = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                absent = error
                continue
            opened.callback(listener.close)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                alone = where not in _ANYWHERE or len(addresses) > 1
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
            try:
                # By way of getaddrinfo, for zones as in fe80::1%eth0.
                listener.bind(socket.getaddrinfo(where, port, family, socket.SOCK_STREAM)[0][4])
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                listener.close()
                absent = error  # localhost often has ::1 where the machine has no IPv6
                continue
            listener.listen(_BACKLOG)
            port = listener.getsockname()[1]
            listeners.append(listener)
        if not listeners:
            raise absent
        opened.pop_all()
    return listeners
