"""Programs that XLA has compiled, kept on disk for other processes.

It imports nothing of TensorFlow, which reads the setting once, when it first compiles.
"""

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path


def use_compile_cache(folder=None) -> Path | None:
    """Keeps and reuses compiled programs in a folder.

    Call it before TensorFlow compiles anything. A program is found again where model, shapes,
    processor and version of TensorFlow are the same; its weights are not in it. It does nothing
    where ``TF_XLA_FLAGS`` is set or the folder cannot be made.

    Args:
        folder: ``keras_transformer/xla`` in the user's folder of caches unless given.

    Returns:
        the folder for this processor and version, or ``None`` where nothing was done.
    """
    if "TF_XLA_FLAGS" in os.environ:
        return None
    if folder is None:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches) / "keras_transformer" / "xla"
    folder = Path(folder).absolute() / f"{version('tensorflow')}-{_processor()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={folder}"
    return folder


def _processor() -> str:
    """A short name that differs where compiled programs may not run."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        features = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()
    digest = hashlib.sha256(features.encode()).hexdigest()[:12]
    return f"{platform.machine()}-{digest}"
