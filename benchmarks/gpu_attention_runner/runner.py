"""python runner.py [--device cpu] [--parts attention training] [--lengths N ...] [--minutes N]

Compiles the programs in this folder for the GPU of this machine and runs them: are their numbers
right, how long do they take, how much memory do they hold, and how does that compare with
``jax.nn.dot_product_attention(implementation="cudnn")`` and PyTorch's
``scaled_dot_product_attention``. Needs NumPy and a JAX that sees the GPU; PyTorch is optional.

Attention is compared with float64, a whole training step with its float32 form on the same
device. A time is the median of rounds that take turns over all who are compared; calls follow one
another without waiting in between, and the device is waited for at the end of a sample of 20 ms or
more. Ratios are medians of the rounds' ratios. Memory is that of arguments, results and what lies
between them, as the compiler planned it, and in PyTorch as its allocator counted it.

Every row is printed, and written to the JSON file, when it is there. Nothing new is begun after
`--minutes`.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory, too

FOLDER = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--parts", nargs="+", choices=["attention", "training"])
    parser.add_argument("--lengths", type=int, nargs="+", help="of attention; all unless given")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing is begun")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--call-versions",
        type=int,
        nargs="+",
        default=[3, 2],
        help="API versions of cuDNN's custom calls to try: TensorFlow writes 3, JAX writes 2",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="that compile")
    parser.add_argument("--json", type=Path, default=Path("gpu_attention.json"))
    return parser.parse_args()


def find_device(name: str):
    """JAX's device of that kind; ends the program where there is none."""
    if name == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    try:
        import jax
    except ImportError as error:
        sys.exit(f"JAX cannot be imported: {error}")
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        sys.exit("There is no GPU that JAX can use; --device cpu runs modules lowered for the CPU.")


def main() -> int:
    arguments = parse_arguments()
    deadline = time.monotonic() + 60 * arguments.minutes
    device = find_device(arguments.device)
    # These import JAX, which must not happen before the device is chosen.
    import attention
    import jax
    import peers
    import programs
    import training
    from report import Report

    manifest, lowered = programs.load(FOLDER)
    if manifest["platform"].lower() != arguments.device:
        sys.exit(f"These modules were lowered for the {manifest['platform']}: change --device.")
    torch, about_torch = peers.find_torch(arguments.device == "gpu")
    about = {
        "device": device.device_kind,
        "platform_version": getattr(device.client, "platform_version", ""),
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "torch": about_torch,
            "lowered by": manifest["versions"],
        },
        "settings": {**manifest["settings"], "rounds": arguments.rounds},
    }
    print(f"{device.device_kind}, JAX {jax.__version__}, PyTorch {about_torch}", flush=True)
    report = Report(arguments.json, about)
    race = attention.Race(report, torch, device, deadline, arguments.rounds, arguments.threads)
    parts = arguments.parts or ["attention", "training"]
    race.learn_call_version(
        [each for each in lowered if each.kind == "attention"], arguments.call_versions
    )
    if "attention" in parts:
        race.run(
            each
            for each in lowered
            if each.kind == "attention"
            and (arguments.lengths is None or each.length in arguments.lengths)
        )
        race.summarise()
    if "training" in parts:
        training.run(race, [each for each in lowered if each.kind == "training step"])
    print(f"\n{len(report.complaints)} complaints; all numbers are in {arguments.json}")
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
