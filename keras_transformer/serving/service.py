"""Requests from their inputs to their outputs, for both interfaces."""

import asyncio
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np

from keras_transformer.serving.access import Access, Keys
from keras_transformer.serving.batching import Batcher, Work
from keras_transformer.serving.failures import Failure, Kind, invalid
from keras_transformer.serving.helper import Helper
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.metrics import Metrics
from keras_transformer.serving.settings import Settings
from keras_transformer.serving.signatures import Outputs, Scalar, Signature, row_bytes
from keras_transformer.serving.translated_files import TranslatedFiles
from keras_transformer.serving.versions import State, Status, Versions


@dataclass(frozen=True)
class Inputs:
    """The inputs that a request gives a signature.

    Attributes:
        texts: the texts in UTF-8.
        scalars: the other inputs by name.
    """

    texts: Sequence[bytes]
    scalars: Mapping[str, Scalar]


class Service:
    """The model behind both interfaces.

    Args:
        settings: the settings of the server.
        metrics: its metrics.
        log: its log, which reports versions.
        keys: that clients must have one of, if any.

    Attributes:
        models: the versions of each model, by name.
        versions: those of the first model, which the page shows.
        access: who may ask the model.
        helper: a thread for what else would hold up the event loop, for some milliseconds.
        large_helper: another for what may take seconds.
        writer: a thread that writes large answers.
        files: that were translated.
    """

    def __init__(self, settings: Settings, metrics: Metrics, log, keys: Keys | None = None):
        self.settings = settings
        self.access = Access(settings, keys)
        self.helper, self.large_helper = Helper(), Helper()
        self.files = TranslatedFiles(settings.max_answer_bytes)
        self.metrics = metrics
        self.log = log
        self.draining = False
        self._accepted: set[asyncio.Task] = set()
        self._given_up = False
        self.models = {
            name: Versions(
                folder,
                name=name,
                compile=settings.compile,
                workers=settings.workers,
                max_batch_size=settings.max_batch_size,
                kept=settings.labels.values() if name == settings.name else (),
                retry_seconds=settings.retry_seconds,
                changed=functools.partial(self._version_changed, name),
                warn=lambda message: self.log.warning("compiling", problem=message),
            )
            for name, folder in settings.models.items()
        }
        self.versions = self.models[settings.name]
        self._batcher = Batcher(
            workers=settings.workers,
            max_batch_size=settings.max_batch_size,
            max_batch_bytes=settings.max_batch_bytes,
            batch_timeout=settings.batch_timeout_ms / 1000,
            max_queue=settings.max_queue,
            max_answer_bytes=settings.max_answer_bytes,
            observe=metrics.observe_batch,
        )
        # One thread: writing JSON holds Python's lock, so that two would not be quicker.
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        metrics.queued.set_function(lambda: self._batcher.queued)
        metrics.active.set_function(lambda: self.active)

    @property
    def active(self) -> int:
        """Requests to the model that are not answered."""
        return len(self._accepted)

    @property
    def ready(self) -> bool:
        """Whether a version of each model is loaded and new requests are taken."""
        loaded = all(versions.current is not None for versions in self.models.values())
        return loaded and not self.draining

    def close(self) -> None:
        """Begins nothing more; threads end with what they are at."""
        for versions in self.models.values():
            versions.close()
        self._batcher.close()
        self.helper.close()
        self.large_helper.close()
        self.files.close()
        self.writer.shutdown(wait=False, cancel_futures=True)

    def give_up(self) -> None:
        """Ends all accepted requests with a failure, whatever they wait for."""
        self._given_up = True
        for task in self._accepted:
            task.cancel()

    @contextmanager
    def accepted(self) -> Iterator[None]:
        """A context for each request to the model: while one is open the server does not stop.

        Raises:
            Failure: when the server is stopping, or gives the request up.
        """
        if self.draining or self._given_up:
            raise Failure(Kind.UNAVAILABLE, "the server is stopping.", retry_after=1)
        task = asyncio.current_task()
        self._accepted.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._given_up:
                raise
            task.uncancel()
            raise Failure(
                Kind.UNAVAILABLE, "the server has stopped before the answer.", retry_after=1
            ) from None
        finally:
            self._accepted.discard(task)

    def check_name(self, name: str) -> None:
        """Raises `Failure` unless `name` is a served model's."""
        if name not in self.models:
            raise Failure(Kind.NOT_FOUND, f"Servable not found for request: Latest({name})")

    def labelled(self, name: str, label: str) -> int:
        """The version that a label is for, which only the first model has.

        Raises:
            Failure: when there is no such model or label.
        """
        self.check_name(name)
        labels = self.settings.labels if name == self.settings.name else {}
        version = labels.get(label)
        if version is None:
            known = ", ".join(labels) or "there are none"
            raise Failure(Kind.NOT_FOUND, f"version label {label!r} is not one of: {known}.")
        return version

    def using(self, name: str, version: int | None) -> AbstractContextManager[LoadedModel]:
        """The model of a request, kept in memory while the context is open.

        Raises:
            Failure: when there is no such model, or it is not available.
        """
        self.check_name(name)
        return self.models[name].using(version)

    def statuses(self, name: str, version: int | None) -> dict[int, Status]:
        """The statuses of all known versions or of one, highest first.

        Raises:
            Failure: when there is no such model or version.
        """
        self.check_name(name)
        versions = self.models[name]
        known = dict(sorted(versions.statuses.items(), reverse=True))
        if version is None:
            return known
        if version not in known:
            raise versions.not_found(version)
        return {version: known[version]}

    async def predict(
        self, model: LoadedModel, signature: Signature, inputs: Inputs, deadline: float
    ) -> Outputs:
        """Runs a signature on the texts of a request, together with those of others.

        Args:
            model: from `using`, whose context must stay open meanwhile.
            signature: of that model.
            inputs: as they came.
            deadline: on the clock of `time.monotonic`.

        Raises:
            Failure: when a limit is passed, the queue is full, time runs out or the model fails.
        """
        self._check_limits(signature, inputs)
        group = None
        if signature.mergeable and inputs.texts:
            group = (id(model), signature.name, *sorted(inputs.scalars.items()))
        beam_size = int(inputs.scalars.get("beam_size", 1))
        work = Work(
            group=group,
            run=lambda texts: model.run(signature, texts, inputs.scalars),
            texts=inputs.texts,
            deadline=deadline,
            kind=signature.name,
            rows_factor=beam_size,
            row_buckets=model.row_buckets(signature),
            row_bytes=row_bytes(
                signature, longest_source=model.longest_source, beam_size=beam_size
            ),
        )
        outputs = await self._batcher.translate(work)
        self.metrics.texts.labels(signature.name).inc(len(inputs.texts))
        return outputs

    def deadline(self, seconds: float | None = None) -> float:
        """When a request that came now is given up, on the clock of `time.monotonic`."""
        most = self.settings.deadline
        return time.monotonic() + (most if seconds is None else min(seconds, most))

    def check_room(self) -> None:
        """Raises `Failure` when the queue is full."""
        self._batcher.check_room(1)

    def check_count(self, count: int) -> None:
        """Raises `Failure` when a request has too many texts."""
        if count > self.settings.max_texts:
            raise Failure(
                Kind.TOO_LARGE,
                f"{count} texts in one request: give at most {self.settings.max_texts}.",
            )

    def _check_limits(self, signature: Signature, inputs: Inputs) -> None:
        self.check_count(len(inputs.texts))
        most = self.settings.max_characters
        for number, text in enumerate(inputs.texts):
            if len(text) > most and len(text.decode("utf-8", "replace")) > most:
                raise invalid(f"text {number} has more than {most} characters: give shorter texts.")
        for name, value in inputs.scalars.items():
            if isinstance(value, bytes):
                if len(value) > most and len(value.decode("utf-8", "replace")) > most:
                    raise invalid(f'"{name}" has more than {most} characters: give less.')
            elif not np.isfinite(value):
                raise invalid(f'"{name}" is {value}: give a finite number.')
        beam_size = inputs.scalars.get("beam_size")
        if beam_size is not None and not 1 <= beam_size <= self.settings.max_beam_size:
            raise invalid(f'"beam_size" is {beam_size}: give 1 to {self.settings.max_beam_size}.')

    def _version_changed(self, name: str, version: int, status: Status) -> None:
        loaded = status.state in (State.AVAILABLE, State.UNLOADING)
        if loaded:
            self.metrics.version.labels(name, version).set(1)
        elif status.state is State.END:
            if status.reason:
                self.metrics.failed_loads.inc()
            else:
                self.metrics.version.remove(name, str(version))
        log = self.log.error if status.reason else self.log.info
        error = {"error": status.reason} if status.reason else {}
        model = {"model": name} if len(self.models) > 1 else {}
        log("version", **model, version=version, state=status.state.name, **error)
