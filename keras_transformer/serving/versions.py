"""Loading, offering and unloading the versions of a model.

The highest complete version serves. When a higher one appears it is loaded and warmed up beside
the old one, takes over, and the old one goes once its last request is answered. Versions that have
a label serve beside it, and stay. A version that cannot be loaded is reported, and tried again when
its files change, and after pauses that grow, for the reason may pass: no memory, a disk that is
away.
"""

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from keras_transformer.errors import InputError
from keras_transformer.exporting.format import SAVED_MODEL_FILE, version_folders
from keras_transformer.files import reason_of
from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.warmup import warm_up

_MOST_PAUSE = 600.0  # seconds between tries to load a version
_MOST_STATUSES = 32  # remembered, so that a server of many versions does not grow


class State(Enum):
    """States of a version, named and numbered as in TensorFlow Serving's interface."""

    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Status:
    """State of a version.

    Attributes:
        state: one of `State`.
        reason: why it is not available, for the log; empty without an error.
    """

    state: State
    reason: str = ""

    @property
    def error(self) -> str:
        """What clients are told of it, which names no paths of this machine."""
        return "the version cannot be loaded: the server's log says why." if self.reason else ""


@dataclass(frozen=True)
class _Failed:
    """A version that could not be loaded.

    Attributes:
        files: as they were; see `_files_of`.
        pause: seconds until the next try.
        until: when that is, on the clock of `time.monotonic`.
    """

    files: object
    pause: float
    until: float


class Versions:
    """Loads, offers and unloads the versions of one model.

    Args:
        folder: of the versions.
        name: of the model, for messages.
        compile: run signatures compiled by XLA where there are any.
        workers: threads that run batches.
        max_batch_size: of the batches to warm up with.
        kept: versions that serve beside the highest one.
        retry_seconds: until a version that could not be loaded is tried again; twice as many after
            each try.
        changed: called in the event loop with a version and its `Status`.
        warn: called in any thread with what is amiss with a version that serves.

    Attributes:
        current: the version that answers, if any.
        statuses: by version, of all known ones.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        compile: bool,
        workers: int,
        max_batch_size: int,
        kept: Collection[int] = (),
        retry_seconds: float = 10.0,
        changed: Callable[[int, Status], object] = lambda version, status: None,
        warn: Callable[[str], object] = lambda message: None,
    ):
        self._folder = folder
        self._name = name
        self._compile = compile
        self._workers = workers
        self._warn = warn
        self._kept = frozenset(kept)
        self._retry_seconds = retry_seconds
        self._max_batch_size = max_batch_size
        self._changed = changed
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self.current: LoadedModel | None = None
        self._beside: dict[int, LoadedModel] = {}  # kept ones, besides the current one
        self._leaving: dict[int, LoadedModel] = {}
        self._failed: dict[int, _Failed] = {}
        self._closed = False
        self.statuses: dict[int, Status] = {}

    async def update(self) -> None:
        """Looks for versions once, and loads what is to be served and can be.

        Raises:
            InputError: when none is served and none can be loaded.
        """
        loop = asyncio.get_running_loop()
        problem = None
        found = await loop.run_in_executor(self._loader, _complete_versions, self._folder)
        for version in [version for version in self._failed if version not in found]:
            del self._failed[version]
        for version in sorted(found, reverse=True):
            if self.current is not None and self.current.version == version:
                break
            try:
                model = self._beside.get(version) or await self._loaded(version, found[version])
            except InputError as error:
                problem = error
                continue
            if model is not None:
                self._take_over(model)
                break
        if self.current is None:
            raise problem or InputError(_no_version(self._folder))
        for version in sorted(self._kept & found.keys(), reverse=True):
            if version == self.current.version or version in self._beside:
                continue
            with contextlib.suppress(InputError):  # reported in the status
                model = await self._loaded(version, found[version])
                if model is not None:
                    self._beside[version] = model
                    self._set(version, State.AVAILABLE)

    async def _loaded(self, version: int, folder: Path) -> LoadedModel | None:
        """Loads a version; gives none where that has failed lately.

        Raises:
            InputError: when it cannot be loaded.
        """
        loop = asyncio.get_running_loop()
        files = await loop.run_in_executor(self._loader, _files_of, folder)
        failed = self._failed.get(version)
        again = failed is not None and failed.files == files
        if again and time.monotonic() < failed.until:
            return None
        self._set(version, State.LOADING)
        try:
            model = await loop.run_in_executor(self._loader, self._load, folder)
        except InputError as error:
            pause = min(2 * failed.pause, _MOST_PAUSE) if again else self._retry_seconds
            self._failed[version] = _Failed(files, pause, time.monotonic() + pause)
            self._set(version, State.END, str(error))
            raise
        self._failed.pop(version, None)
        return model

    async def watch(self, poll_seconds: float) -> None:
        """Looks for versions every `poll_seconds`, until cancelled."""
        while True:
            await asyncio.sleep(poll_seconds)
            with contextlib.suppress(InputError, OSError):  # reported in the status already
                await self.update()

    @property
    def available(self) -> list[LoadedModel]:
        """The versions that answer: the one that does by default first, then those kept beside."""
        beside = sorted(self._beside.values(), key=lambda model: -model.version)
        return beside if self.current is None else [self.current, *beside]

    @contextlib.contextmanager
    def using(self, version: int | None) -> Iterator[LoadedModel]:
        """Keeps a version in memory for as long as a request needs it.

        Args:
            version: its number, ``None`` for the one that answers by default.

        Raises:
            Failure: when it is not available.
        """
        model = self.current
        if version is not None and (model is None or model.version != version):
            model = self._beside.get(version) or self._leaving.get(version)
            if model is None:
                raise self.not_found(version)
        if model is None:
            raise Failure(
                Kind.UNAVAILABLE, "no version is loaded yet: try again later.", retry_after=5
            )
        model.users += 1
        try:
            yield model
        finally:
            model.users -= 1
            if not model.users and model.version in self._leaving:
                self._unload(model)

    def not_found(self, version: int) -> Failure:
        """The failure of a request for a version that is not there."""
        return Failure(
            Kind.NOT_FOUND, f"Servable not found for request: Specific({self._name}, {version})"
        )

    def close(self) -> None:
        """Stops loading and compiling; a version being loaded is given up."""
        self._closed = True
        for model in (self.current, *self._beside.values(), *self._leaving.values()):
            if model is not None:
                model.close()
        self._loader.shutdown(wait=False, cancel_futures=True)

    def _load(self, folder: Path) -> LoadedModel:
        model = None
        try:
            model = LoadedModel(
                folder,
                compile=self._compile,
                workers=self._workers,
                warn=lambda message: self._warn(f"version {folder.name}: {message}"),
            )
            warm_up(
                model,
                folder,
                max_batch_size=self._max_batch_size,
                # Beside a version that answers, one core is enough, and there is time.
                workers=(os.cpu_count() or 1) if self.current is None else 1,
                aside=self.current is None,
                given_up=lambda: self._closed,
            )
        except Exception as error:
            if model is not None:
                model.close()
            if isinstance(error, InputError):
                raise
            raise InputError(f"{folder}: cannot be loaded ({reason_of(error)}).") from error
        _collect_garbage()
        return model

    def _take_over(self, model: LoadedModel) -> None:
        old, self.current = self.current, model
        if self._beside.pop(model.version, None) is None:
            self._set(model.version, State.AVAILABLE)
        if old is not None and old.version in self._kept:
            self._beside[old.version] = old
        elif old is not None:
            self._leaving[old.version] = old
            self._set(old.version, State.UNLOADING)
            if not old.users:
                self._unload(old)

    def _unload(self, model: LoadedModel) -> None:
        del self._leaving[model.version]
        model.close()
        self._set(model.version, State.END)
        # Later, when those who use it here have let go.
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, lambda: loop.run_in_executor(None, _collect_garbage))

    def _set(self, version: int, state: State, reason: str = "") -> None:
        status = Status(state, reason)
        self.statuses.pop(version, None)
        self.statuses[version] = status
        ended = [number for number, other in self.statuses.items() if other.state is State.END]
        for number in ended[: max(len(self.statuses) - _MOST_STATUSES, 0)]:
            del self.statuses[number]
        self._changed(version, status)


def _collect_garbage() -> None:
    """Frees unused objects, among them loaded models, which hold references to each other.

    The objects left are frozen: looking at them again would take Python a large part of a second
    each time, with all requests waiting.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def check_folder(folder: Path) -> None:
    """Raises `InputError` unless there is a version to serve in `folder`."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder: give one that export wrote.")
    if not _complete_versions(folder):
        raise InputError(_no_version(folder))


def _no_version(folder: Path) -> str:
    if (folder / SAVED_MODEL_FILE).is_file():
        return f"{folder}: is a version: give the folder above it, with a number for its name."
    return f"{folder}: holds no version with a saved_model.pb: give a folder that export wrote."


def _complete_versions(folder: Path) -> dict[int, Path]:
    """Folders with a number for a name and a SavedModel in them."""
    try:
        return {
            int(version.name): version
            for version in version_folders(folder)
            if (version / SAVED_MODEL_FILE).is_file()
        }
    except OSError:  # moved away for a moment, or for good
        return {}


def _files_of(folder: Path) -> object:
    """A value that changes whenever a file in the folder does."""
    files = []
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            stat = path.stat()
            files.append((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return tuple(files)
