"""What the benchmarks share: the machine, threads, arguments, and where results go."""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    name = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return {
        "cpu": name,
        "cores": cores(),
        "system": platform.platform(terse=True),
        "load_average": os.getloadavg()[0],  # before the run: others' work
    }


def cores() -> int:
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("keras_transformer", "tensorflow", "keras", "keras-hub", "torch", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def use_threads(number: int) -> None:
    """Settings for TensorFlow and Keras in this process, before they are imported."""
    os.environ |= {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": str(number),
        "TF_NUM_INTEROP_THREADS": str(number),
    }


def write_result(
    arguments: argparse.Namespace, host: dict[str, Any], settings: dict[str, Any], **content: Any
) -> None:
    """Writes a result to ``--json``, or to a temporary file named after the benchmark.

    Args:
        arguments: what the benchmark was asked for; they are settings, too.
        host: from `machine`, before anything was measured.
        settings: other settings.
        content: what was found.
    """
    asked = {name: value for name, value in vars(arguments).items() if name not in ("job", "json")}
    result = {"machine": host, "versions": versions(), "settings": asked | settings, **content}
    path = arguments.json or Path(tempfile.mkdtemp(), Path(sys.argv[0]).stem).with_suffix(".json")
    path.write_text(json.dumps(result, indent=2, default=str) + "\n")
    say(f"written to {path}")
