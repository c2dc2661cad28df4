"""Starting the server, and stopping it without losing a request."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time

import uvicorn

from keras_transformer.errors import InputError
from keras_transformer.serving.access import Keys
from keras_transformer.serving.app import make_app
from keras_transformer.serving.connections import Connection, Connections, HttpServer
from keras_transformer.serving.descriptors import fit_to_descriptors
from keras_transformer.serving.grpc_service import GrpcServer
from keras_transformer.serving.listening import address, listen
from keras_transformer.serving.logs import make_log, standard_error_in_log
from keras_transformer.serving.metrics import Metrics
from keras_transformer.serving.service import Service
from keras_transformer.serving.settings import Settings
from keras_transformer.serving.tls import Certificate
from keras_transformer.serving.versions import Versions, check_folder

_TURNING_AWAY = 0.5
"""Seconds for which a stopping server turns new requests away, even when it has no others."""

_WRITING = 2.0  # seconds for the last lines of the log
_SENDING = 5  # seconds for the last answers to reach their clients
_FORCED = 1.0  # the same after a second signal
_ENDING = 0.5  # seconds for threads to end
_STUCK = 10.0  # seconds beyond all these, after which the process is ended from outside the loop


def run(settings: Settings) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP.

    Where a batch still runs, or a version is still being loaded, when everyone has been answered,
    the process ends here and now: nothing can stop such a thread, and Python would wait for it.

    Raises:
        InputError: when the folder is wrong, a port is in use or no version can be loaded.
    """
    for folder in settings.models.values():
        check_folder(folder)
    certificate, keys = Certificate.of(settings), Keys.of(settings)
    wanted, settings = settings.max_connections, fit_to_descriptors(settings)
    listeners = listen(settings.host, settings.port)
    metrics = Metrics()
    log, writer = make_log(json_logs=settings.json_logs, dropped=metrics.dropped_log_lines.inc)
    before = set(threading.enumerate())
    with contextlib.ExitStack() as opened:
        opened.callback(writer.close, _WRITING)
        for listener in listeners:
            opened.enter_context(listener)
        opened.enter_context(standard_error_in_log(log))
        if settings.max_connections < wanted:
            log.warning(
                "fewer connections than --max-connections: raise ulimit -n",
                connections=settings.max_connections,
            )
        asyncio.run(_Server(settings, listeners, certificate, keys, metrics, log).run())
    if _any_runs(set(threading.enumerate()) - before):
        threading.Timer(_WRITING, os._exit, (0,)).start()  # should nobody read what is flushed
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # none, full, closed
                stream.flush()
        os._exit(0)


def _any_runs(threads: set[threading.Thread]) -> bool:
    """Whether one of the threads that Python would wait for does not end by itself."""
    end = time.monotonic() + _ENDING
    waited_for = [thread for thread in threads if not thread.daemon]
    for thread in waited_for:
        thread.join(max(end - time.monotonic(), 0))
    return any(thread.is_alive() for thread in waited_for)


class _Server:
    """Both interfaces, the versions and the signals, in one event loop."""

    def __init__(
        self,
        settings: Settings,
        listeners: list[socket.socket],
        certificate: Certificate | None,
        keys: Keys | None,
        metrics: Metrics,
        log,
    ):
        self._settings = settings
        self._listeners = listeners
        self._certificate = certificate
        self._keys = keys
        self._metrics = metrics
        self._log = log
        self._timers: list[threading.Timer] = []

    async def run(self) -> None:
        """Serves until told to stop."""
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        self._service = Service(self._settings, self._metrics, self._log, self._keys)
        self._grpc = None
        if self._settings.grpc_port is not None:
            self._grpc = GrpcServer(
                self._service,
                [listener.getsockname()[0] for listener in self._listeners],
                self._settings.grpc_port,
                self._certificate,
            )
        self._http = HttpServer(
            uvicorn.Config(
                make_app(self._service),
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=self._settings.keep_alive_seconds,
                timeout_graceful_shutdown=_SENDING,
            ),
            Connections(
                self._listeners, self._settings, self._metrics, self._log, self._certificate
            ),
        )
        serving = asyncio.create_task(self._http.serve())
        serving.add_done_callback(lambda task: self._stop.set())  # should it ever fail
        watching = []
        try:
            if self._grpc is not None:
                await self._grpc.start()
            scheme = "http" if self._certificate is None else "https"
            places = [address(*one.getsockname()[:2]) for one in self._listeners]
            first, *others = [f"{scheme}://{place}" for place in places]
            self._log.info(
                "listening",
                rest=first,
                **({"also": ", ".join(others)} if others else {}),
                **({"grpc": self._grpc.port} if self._grpc is not None else {}),
            )
            if await self._load():
                for versions in self._service.models.values():
                    watching.append(asyncio.create_task(self._watch(versions)))
                if self._certificate is not None:
                    watching.append(asyncio.create_task(self._watch_certificate()))
                if self._keys is not None:
                    watching.append(asyncio.create_task(self._watch_keys()))
                await self._stop.wait()
                await self._drain()
        finally:
            for task in watching:
                task.cancel()
            await self._close(serving)
            for timer in self._timers:
                timer.cancel()
        self._log.info("stopped")

    def _on_signal(self) -> None:
        """The first signal stops gracefully, the second at once."""
        if self._stop.is_set():
            self._force.set()
            self._exit_in(_FORCED + _WRITING + _ENDING)
        else:
            self._on_hangup()

    def _on_hangup(self) -> None:
        """Stops gracefully; where another signal did so already, it is none to hurry."""
        if not self._stop.is_set():
            self._stop.set()
            self._exit_in(self._settings.drain_seconds + _SENDING + _WRITING + _ENDING)

    def _exit_in(self, seconds: float) -> None:
        """Ends the process should it still be there, whatever holds the event loop."""
        timer = threading.Timer(seconds + _STUCK, os._exit, (1,))
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    async def _close(self, serving: asyncio.Task) -> None:
        """Answers everyone who still waits, ends both interfaces and lets go of the model."""
        self._service.give_up()
        self._http.should_exit = True
        ends = [serving] if self._grpc is None else [serving, self._grpc.stop(_SENDING)]
        ending = asyncio.gather(*ends)
        forced = asyncio.create_task(self._force.wait())
        await asyncio.wait({ending, forced}, return_when=asyncio.FIRST_COMPLETED)
        forced.cancel()
        if not ending.done():
            self._http.force_exit = True
            if self._grpc is not None:
                await self._grpc.stop(_FORCED)
            await asyncio.wait({ending}, timeout=_FORCED)
        self._service.close()
        if ending.done():
            ending.result()

    async def _load(self) -> bool:
        """Loads a version of each model; returns False where a signal came before that."""
        loading = asyncio.create_task(self._load_models())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({loading, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not loading.done():
            loading.cancel()
            return False
        loading.result()
        if self._grpc is not None:
            await self._grpc.set_serving(True)
        self._log.info("ready", model=", ".join(self._service.models))
        for label, version in self._settings.labels.items():
            if version not in self._service.versions.statuses:
                self._log.warning(
                    "label of a version that is not there", label=label, version=version
                )
        return True

    async def _load_models(self) -> None:
        for versions in self._service.models.values():
            await versions.update()

    async def _watch(self, versions: Versions) -> None:
        while True:
            try:
                await versions.watch(self._settings.poll_seconds)
            except Exception as error:  # a server goes on with the version it has
                self._log.error("looking for versions failed", exc_info=error)

    async def _watch_certificate(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                if await asyncio.to_thread(self._certificate.refresh):
                    self._log.info("new certificate")
            except InputError as error:  # one of the two may be there, and the other on its way
                self._log.error("the old certificate stays", error=str(error))

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                if await asyncio.to_thread(self._keys.refresh):
                    self._log.info("new API keys")
            except InputError as error:
                self._log.error("the old API keys stay", error=str(error))

    async def _drain(self) -> None:
        """Turns new requests away until those that were accepted are answered."""
        self._service.draining = True
        self._log.info("stopping", active=self._service.active)
        if self._grpc is not None:
            await self._grpc.set_serving(False)
        begun = time.monotonic()
        while not self._force.is_set():
            passed = time.monotonic() - begun
            idle = self._service.active == 0 and passed >= _TURNING_AWAY
            if idle or passed >= self._settings.drain_seconds:
                break
            await asyncio.sleep(0.02)
        if self._service.active:
            self._log.warning("gave up requests", active=self._service.active)
