"""Ending connections that belong to gRPC, which offers no way to do so."""

import contextlib
import ipaddress
import os
import socket
import stat
from urllib.parse import unquote

from keras_transformer.serving.limits import group_of

_DESCRIPTORS = "/dev/fd"  # of this process, on Linux and macOS


def place_of(peer: str) -> tuple[str, int] | None:
    """Address and port of gRPC's name of a client; ``None`` where it has none.

    Args:
        peer: such as ``ipv4:127.0.0.1:50051`` or ``ipv6:%5B::1%5D:50051``.
    """
    kind, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return _plain(host.strip("[]")), int(port)


def group_of_peer(peer: str) -> str:
    """Whose a call is; see `limits.group_of`."""
    place = place_of(peer)
    return peer if place is None else group_of(place[0])


def cut(peer: str) -> bool:
    """Ends the connection with a client, whatever runs on it; False where there is none.

    It is found among the descriptors of the process by the address at its other end.
    """
    place = place_of(peer)
    if place is None:
        return False
    found = False
    try:
        names = os.listdir(_DESCRIPTORS)
    except OSError:  # Windows has no such folder
        return False
    for name in names:
        # A descriptor may be closed meanwhile, or be another one by now.
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            copy = os.dup(int(name))
            try:
                connection = socket.socket(fileno=copy)
            except OSError:
                os.close(copy)
                continue
            with connection:
                other = connection.getpeername()
                if isinstance(other, tuple) and (_plain(other[0]), other[1]) == place:
                    connection.shutdown(socket.SHUT_RDWR)
                    found = True
    return found


def _plain(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)
