"""Which number format a training computes in where the configuration leaves that open."""

from pathlib import Path

import tensorflow as tf

CPU_INFO = Path("/proc/cpuinfo")

_BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
"""Without them a product of bfloat16 matrices is slower than one of float32."""

_BFLOAT16_GPU = (8, 0)  # compute capability


def fastest_dtype() -> str:
    """``mixed_bfloat16`` where the device multiplies bfloat16 in hardware, else ``float32``.

    float16 is never chosen: it needs its losses scaled and gains nothing where bfloat16 is fast.
    """
    gpus = tf.config.list_physical_devices("GPU")
    fast = all(map(_gpu_has_bfloat16, gpus)) if gpus else _cpu_has_bfloat16()
    return "mixed_bfloat16" if fast else "float32"


def _gpu_has_bfloat16(gpu) -> bool:
    details = tf.config.experimental.get_device_details(gpu)
    return details.get("compute_capability", (0, 0)) >= _BFLOAT16_GPU


def _cpu_has_bfloat16() -> bool:
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system, whose processors TensorFlow has no such kernels for
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _BFLOAT16_INSTRUCTIONS.isdisjoint(flags.split())
