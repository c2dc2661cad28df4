"""HTTP/2 by hand, as far as clients of gRPC need it that do not as they should."""

import asyncio
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name, value):
    """A header field in HPACK, literal and without a table."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def message(content):
    """What gRPC makes of a message."""
    return struct.pack(">BI", 0, len(content)) + content


class Client:
    """One connection, which answers pings and reads frames, and grants a window only if told to.

    Args:
        window: bytes that the server may send on each stream.
    """

    def __init__(self, port, *, window=65_535, host="127.0.0.1"):
        self._port, self._window, self._host = port, window, host
        self._stream = -1
        self.frames = []
        self.closed = asyncio.Event()

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._host, 0)
        )
        settings = struct.pack(">HI", INITIAL_WINDOW, self._window)
        self.writer.write(PREFACE + frame(SETTINGS, payload=settings))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *raised):
        self._reading.cancel()
        self.writer.close()

    async def _read(self):
        try:
            while True:
                head = await self.reader.readexactly(9)
                size, (kind, flags, stream) = (
                    int.from_bytes(head[:3], "big"),
                    struct.unpack(">BBI", head[3:]),
                )
                payload = await self.reader.readexactly(size)
                self.frames.append((kind, flags, stream, payload))
                if kind == SETTINGS and not flags & ACK:
                    self.writer.write(frame(SETTINGS, ACK))
                if kind == PING and not flags & ACK:
                    self.writer.write(frame(PING, ACK, 0, payload))
        except (EOFError, ConnectionError):
            self.closed.set()

    def call(self, path, content=None, *, part=None):
        """Begins a call, with a message, a part of it, or none; gives the number of its stream."""
        self._stream += 2
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
        }
        block = b"".join(header(name, value) for name, value in fields.items())
        self.writer.write(frame(HEADERS, END_HEADERS, self._stream, block))
        if content is not None:
            data, flags = message(content)[:part], END_STREAM if part is None else 0
            for start in range(0, len(data), 16_384):
                piece = data[start : start + 16_384]
                end = flags if start + 16_384 >= len(data) else 0
                self.writer.write(frame(DATA, end, self._stream, piece))
        return self._stream

    def ended(self, stream):
        """Whether the server has ended a stream."""
        return any(
            one == stream and (kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & 1))
            for kind, flags, one, _ in self.frames
        )
