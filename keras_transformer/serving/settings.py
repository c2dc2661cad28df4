"""What can be set when a model is served."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from keras_transformer.errors import InputError


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """What can be set when a model is served.

    Attributes:
        saved_model: the folder of the versions, such as ``saved_models/pt_en``.
        name: of the model in paths and requests; the folder's name unless given.
        host: address to listen on; only this machine can reach the default.
        port: of REST; 0 takes a free one, which the log names.
        grpc_port: of gRPC; 0 takes a free one, ``None`` serves no gRPC.
        max_batch_size: most texts that are translated together.
        max_batch_bytes: most bytes of a batch, its texts padded to the longest one.
        batch_timeout_ms: how long a text waits for others while a worker is free, milliseconds.
        max_queue: most texts that wait; further requests are turned away at once.
        max_texts: most texts of one request.
        max_characters: of one text.
        max_body_bytes: of one request.
        max_beam_size: highest ``beam_size`` that a request may ask for.
        deadline: seconds after which a request is given up; gRPC clients may set less.
        drain_seconds: how long a stopping server goes on answering what it accepted.
        compile: use signatures compiled by XLA where the model has them.
        poll_seconds: how often the folder is looked at for new versions.
        workers: batches at a time; the number of cores unless given.
        json_logs: log one JSON object a line.
    """

    saved_model: Path
    name: str = ""
    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int | None = 8500
    max_batch_size: int = 64
    max_batch_bytes: int = 32768
    batch_timeout_ms: float = 5.0
    max_queue: int = 1024
    max_texts: int = 256
    max_characters: int = 5000
    max_body_bytes: int = 2**20
    max_beam_size: int = 16
    deadline: float = 30.0
    drain_seconds: float = 30.0
    compile: bool = True
    poll_seconds: float = 5.0
    workers: int = 0
    json_logs: bool = False

    def __post_init__(self):
        object.__setattr__(self, "saved_model", Path(self.saved_model))
        object.__setattr__(self, "name", self.name or self.saved_model.absolute().name)
        object.__setattr__(self, "workers", self.workers or _cores())
        if not re.fullmatch(r"[^/:?#\s]+", self.name):
            raise InputError(f"--name {self.name!r}: give a name without spaces or any of / : ? #.")
        for field in ("port", "grpc_port"):
            port = getattr(self, field)
            if port is not None and not 0 <= port < 2**16:
                raise InputError(f"{_option(field)} {port}: give a port from 0 to 65535.")
        for field in (
            "max_batch_size",
            "max_batch_bytes",
            "max_queue",
            "max_texts",
            "max_characters",
            "max_body_bytes",
            "max_beam_size",
            "workers",
        ):
            if getattr(self, field) < 1:
                raise InputError(f"{_option(field)} {getattr(self, field)}: give 1 or more.")
        for field in ("deadline", "poll_seconds"):
            if not 0 < getattr(self, field) < math.inf:
                raise InputError(f"{_option(field)} {getattr(self, field)}: give seconds above 0.")
        for field in ("drain_seconds", "batch_timeout_ms"):
            if not 0 <= getattr(self, field) < math.inf:
                raise InputError(f"{_option(field)} {getattr(self, field)}: give 0 or more.")
        if self.max_texts > self.max_queue:
            raise InputError(
                f"--max-texts {self.max_texts}: a request of so many texts never finds room in a "
                f"queue of --max-queue {self.max_queue}: give less, or a longer queue."
            )


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")
