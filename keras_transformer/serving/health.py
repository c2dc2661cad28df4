"""gRPC's health, where no client can hold up another one.

The servicer that comes with gRPC writes to its watchers under a lock, so a watcher that takes
nothing keeps the others, and the server that is told to stop, waiting for ever.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_STATUS = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Whether services serve.

    Args:
        names: of the services; the empty one is the server.
        seconds: in which a watcher must take what it is sent, or its call ends by a TimeoutError.
    """

    def __init__(self, names, seconds: float):
        self._names = frozenset(names)
        self._seconds = seconds
        self._serving = False
        self._changed = asyncio.Event()

    def set(self, serving: bool) -> None:
        """Sets what is answered, and wakes the watchers."""
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request, context):
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service.")
        return _STATUS(status=self._status())

    async def Watch(self, request, context):
        known = request.service in self._names
        sent = None
        while True:
            changed = self._changed
            status = self._status() if known else _STATUS.SERVICE_UNKNOWN
            if status != sent:
                async with asyncio.timeout(self._seconds):
                    await context.write(_STATUS(status=status))
                sent = status
            await changed.wait()

    async def List(self, request, context):
        response = health_pb2.HealthListResponse()
        for name in self._names:
            response.statuses[name].status = self._status()
        return response

    def _status(self):
        return _STATUS.SERVING if self._serving else _STATUS.NOT_SERVING
