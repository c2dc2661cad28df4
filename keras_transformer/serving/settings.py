"""The settings of the server, with their limits."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from keras_transformer.errors import InputError
from keras_transformer.exporting.format import MOST_VERSION


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _setting(default, description: str):
    """A field whose description is the help of its option, too."""
    return dataclasses.field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class Settings:
    """The settings of a server; each field says what it means.

    Args:
        saved_model: the folder of the versions, such as ``saved_models/pt_en``.
        more_models: such folders of other models, which are served by their folders' names.
        grpc_port: ``None`` serves no gRPC.
    """

    saved_model: Path
    more_models: tuple[Path, ...] = ()
    name: str = _setting(
        "", "name of the (first) model in paths and requests; the folder's unless given"
    )
    host: str = _setting(
        "127.0.0.1",
        "address to listen on, or a name whose addresses are all taken; only this machine can "
        "reach it unless it is changed",
    )
    allowed_hosts: str = _setting(
        "",
        "names, with commas, that requests may be sent to and pages come from, besides addresses "
        "and names that are in no public zone; * takes any",
    )
    certificate: str = _setting(
        "", "file in PEM with the certificate for HTTPS and gRPC, and those that it depends on"
    )
    key: str = _setting("", "file in PEM with the key of --certificate")
    api_keys: str = _setting(
        "",
        "file with hashes of API keys, as --new-api-key writes them, one of which each request to "
        "the model must then have; read again when it changes",
    )
    rate_limit: int = _setting(
        0,
        "most requests to the model a minute, of an API key or, where none is asked for, of an "
        "address; any number unless given",
    )
    port: int = _setting(
        8501, "port of REST and the page, where 0 takes a free one that the log names"
    )
    grpc_port: int | None = _setting(
        8500, "port of gRPC, where 0 takes a free one that the log names"
    )
    max_batch_size: int = _setting(64, "most texts that are translated together")
    max_batch_bytes: int = _setting(
        32768, "most bytes of a batch, its texts padded to the longest one"
    )
    batch_timeout_ms: float = _setting(
        5.0, "milliseconds that a text waits for others while a worker is free"
    )
    max_queue: int = _setting(
        1024, "most texts that wait, after which requests are turned away at once"
    )
    max_texts: int = _setting(256, "most texts of a request")
    max_characters: int = _setting(5000, "most characters of a text")
    max_body_bytes: int = _setting(2**20, "most bytes of a request")
    max_answer_bytes: int = _setting(
        2**24, "most bytes of an answer, every number counted as long as JSON can be for its type"
    )
    max_connections: int = _setting(
        2048, "most HTTP connections, beyond which only health is answered"
    )
    max_connections_per_address: int = _setting(
        1024, "most HTTP connections of one address, or of one IPv6 network of 64 bits"
    )
    max_calls: int = _setting(
        1024, "most gRPC calls at a time, besides health, of which one address may have half"
    )
    max_watches: int = _setting(
        128, "most streams that watch health by gRPC, of which one address may have half"
    )
    head_seconds: float = _setting(
        10.0, "seconds in which the head of a request must have come, and TLS be agreed on"
    )
    transfer_seconds: float = _setting(
        10.0,
        "seconds in which a body must have come, or an answer have been taken, and one more"
        " for every --min-rate bytes",
    )
    min_rate: int = _setting(4096, "bytes a second that clients must send or take")
    keep_alive_seconds: float = _setting(
        75.0, "seconds for which a connection may wait for its next request"
    )
    max_beam_size: int = _setting(16, "highest beam size that a request may ask for")
    deadline: float = _setting(
        30.0, "seconds until a request is given up, of which gRPC clients may set fewer"
    )
    drain_seconds: float = _setting(
        30.0, "seconds that a stopping server has to finish what it accepted"
    )
    compile: bool = _setting(True, "use the signatures compiled by XLA, where the model has them")
    poll_seconds: float = _setting(5.0, "seconds between looks for new versions in the folder")
    retry_seconds: float = _setting(
        10.0,
        "seconds until a version that could not be loaded is tried again, twice as many after each"
        " try, up to ten minutes",
    )
    labels: Mapping[str, int] | None = _setting(
        None, "names for versions, which then serve beside the highest one"
    )
    workers: int = _setting(0, "batches at a time; the number of cores unless given")
    json_logs: bool = _setting(False, "log one JSON object a line")

    def __post_init__(self):
        object.__setattr__(self, "saved_model", Path(self.saved_model))
        object.__setattr__(self, "name", self.name or self.saved_model.absolute().name)
        object.__setattr__(self, "more_models", tuple(map(Path, self.more_models)))
        object.__setattr__(self, "workers", self.workers or _cores())
        for field in ("certificate", "key", "api_keys"):
            object.__setattr__(self, field, os.fspath(getattr(self, field)))
        if bool(self.certificate) != bool(self.key):
            given, missing = ("--key", "--certificate") if self.key else ("--certificate", "--key")
            raise InputError(f"{given} needs {missing}, too.")
        for name in self.allowed_host_names:
            if not re.fullmatch(r"\*|[^\s/:@?#*]+", name):
                raise InputError(f"--allowed-hosts {name!r}: give names without ports, or *.")
        if not _is_name(self.name):
            raise InputError(f"--name {self.name!r}: give a name without spaces or any of / : ? #.")
        taken = {self.name}
        for folder in self.more_models:
            name = folder.absolute().name
            if not _is_name(name) or name in taken:
                why = "is the name of another model" if name in taken else "is no name of a model"
                raise InputError(f"--saved-model {folder}: {name!r} {why}: rename the folder.")
            taken.add(name)
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
            "max_answer_bytes",
            "max_connections",
            "max_connections_per_address",
            "max_calls",
            "max_watches",
            "min_rate",
            "max_beam_size",
            "workers",
        ):
            if getattr(self, field) < 1:
                raise InputError(f"{_option(field)} {getattr(self, field)}: give 1 or more.")
        for field in (
            "deadline",
            "poll_seconds",
            "retry_seconds",
            "head_seconds",
            "transfer_seconds",
            "keep_alive_seconds",
        ):
            if not 0 < getattr(self, field) < math.inf:
                raise InputError(f"{_option(field)} {getattr(self, field)}: give seconds above 0.")
        for field in ("drain_seconds", "batch_timeout_ms", "rate_limit"):
            if not 0 <= getattr(self, field) < math.inf:
                raise InputError(f"{_option(field)} {getattr(self, field)}: give 0 or more.")
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels or {})))
        for label, version in self.labels.items():
            if not re.fullmatch(r"[\w.-]{1,64}", label, re.ASCII):
                raise InputError(
                    f"--label {label!r}: give a name of up to 64 letters, digits and any of . _ -."
                )
            if type(version) is not int or not 0 <= version <= MOST_VERSION:
                raise InputError(f"--label {label}={version}: give the number of a version.")
        if self.max_texts > self.max_queue:
            raise InputError(
                f"--max-texts {self.max_texts}: a request of so many texts never finds room in a "
                f"queue of --max-queue {self.max_queue}: give less, or a longer queue."
            )

    @property
    def models(self) -> dict[str, Path]:
        """The folders of all models by name, `saved_model` first."""
        others = {folder.absolute().name: folder for folder in self.more_models}
        return {self.name: self.saved_model} | others

    @property
    def allowed_host_names(self) -> frozenset[str]:
        """The names of `allowed_hosts`."""
        names = (name.strip().lower().rstrip(".") for name in self.allowed_hosts.split(","))
        return frozenset(names) - {""}


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[^/:?#\s]+", name) is not None


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")
