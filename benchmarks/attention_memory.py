"""python benchmarks/attention_memory.py [--lengths N ...] [--modes xla graph] [--json FILE]

How much memory and time attention over one long sequence takes, forward and backward: computed in
blocks, and with all weights at once.

Each row runs in a process of its own. Its memory is the highest that the process ever held, less
what it held with TensorFlow loaded, the program of a short sequence compiled and run, and the
inputs made. The reference is measured up to `--reference-up-to` and extrapolated from its two
longest lengths as a sum of a linear and a quadratic part. A last part measures both at length
1,024 side by side in one process, taking turns; of the rounds' ratios the median counts.

Linux only: the memory is read from /proc.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

IMPLEMENTATIONS = ("reference", "blockwise")
SHORT = 64  # a length whose program is compiled before the baseline is read
COMPARED = 1024  # the length of the last part
GIB = 2**30


def program(implementation: str, mode: str, causal: bool):
    """A function from queries, keys and values to the three gradients."""
    import tensorflow as tf

    from keras_transformer.layers.attention.dot_product import dot_product_attention

    def gradients(query, key, value):
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output = dot_product_attention(
                query, key, value, causal=causal, implementation=implementation
            )
            loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 2)
        return tape.gradient(loss, (query, key, value))

    return gradients if mode == "eager" else tf.function(gradients, jit_compile=mode == "xla")


def inputs(job: dict[str, Any], length: int):
    import tensorflow as tf

    shape = (job["batch"], length, job["heads"], job["depth"])
    return [
        tf.cast(tf.random.stateless_normal(shape, (1, number)), job["dtype"]) for number in range(3)
    ]


def run(call, tensors) -> float:
    """Seconds that one call takes; reading a number waits for the end of it."""
    start = time.perf_counter()
    for gradient in call(*tensors):
        gradient[0, 0, 0, 0].numpy()
    return time.perf_counter() - start


def memory(field: str) -> int:
    """Bytes that this process holds (``VmRSS``) or held at most (``VmHWM``)."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One row: memory and time of one implementation at one length."""
    call = program(job["implementation"], job["mode"], job["causal"])
    run(call, inputs(job, SHORT))
    tensors = inputs(job, job["length"])
    baseline = memory("VmRSS")
    first = run(call, tensors)
    seconds = [run(call, tensors) for _ in range(job["repeats"])]
    return {
        "gib": (memory("VmHWM") - baseline) / GIB,
        "seconds": statistics.median(seconds),
        "first_seconds": first,
    }


def compare(job: dict[str, Any]) -> dict[str, Any]:
    """Both implementations at one length, in turns."""
    tensors = inputs(job, job["length"])
    calls = [program(name, job["mode"], job["causal"]) for name in IMPLEMENTATIONS]
    for call in calls * 2:
        run(call, tensors)
    rounds = [[run(call, tensors) for call in calls] for _ in range(job["rounds"])]
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    return {
        "ratio": statistics.median(blockwise / reference for reference, blockwise in rounds),
        **dict(zip(IMPLEMENTATIONS, medians, strict=True)),
    }


def in_a_process(kind: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--job", json.dumps({"kind": kind, **job})]
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{job} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def extrapolated(rows: list[dict[str, Any]], length: int) -> float:
    """GiB at `length`, from ``gib = a * length + b * length ** 2`` through the last two rows."""
    (x, y), (z, w) = ((row["length"], row["gib"]) for row in rows[-2:])
    quadratic = (w / z - y / x) / (z - x)
    linear = y / x - quadratic * x
    return linear * length + quadratic * length**2


def rows_of(arguments, mode: str, causal: bool, common: dict[str, Any]) -> list[dict[str, Any]]:
    """All lengths of both implementations."""
    rows = []
    for name in IMPLEMENTATIONS:
        mine: list[dict[str, Any]] = []
        for length in sorted(arguments.lengths):
            row = {"implementation": name, "mode": mode, "causal": causal, "length": length}
            if name == "reference" and length > arguments.reference_up_to:
                if len(mine) > 1:
                    rows.append({**row, "gib": extrapolated(mine, length), "extrapolated": True})
                continue
            say(f"{name}, {mode}, causal {causal}, length {length}")
            mine.append(row | in_a_process("measure", {**common, **row}, arguments.threads))
            rows.append(mine[-1])
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| implementation | mode | causal | length | GiB above baseline | seconds |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: |")
    for row in rows:
        seconds = "extrapolated" if "extrapolated" in row else f"{row['seconds']:.3f}"
        causal = "yes" if row["causal"] else "no"
        lines.append(
            f"| {row['implementation']} | {row['mode']} | {causal} | {row['length']:,} "
            f"| {row['gib']:.2f} | {seconds} |"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096, 8192, 16384])
    parser.add_argument("--reference-up-to", type=int, default=8192)
    parser.add_argument("--modes", nargs="+", choices=["xla", "graph", "eager"], default=["xla"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3, help="timed calls of each row")
    parser.add_argument("--rounds", type=int, default=15, help="of the last part")
    parser.add_argument("--json", type=Path, default=Path("attention_memory.json"))
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.job:
        kinds = {"measure": measure, "compare": compare}
        print(json.dumps(kinds[arguments.job["kind"]](arguments.job)))
        return
    settings = {name: getattr(arguments, name) for name in ("batch", "heads", "depth", "dtype")}
    rows, comparisons = [], []
    for mode in arguments.modes:
        for causal in (False, True):
            common = {**settings, "repeats": arguments.repeats}
            rows += rows_of(arguments, mode, causal, common)
            job = {"mode": mode, "causal": causal, "length": COMPARED, "rounds": arguments.rounds}
            result = in_a_process("compare", {**settings, **job}, arguments.threads)
            comparisons.append(job | result)
    print(table(rows))
    for result in comparisons:
        print(
            f"length {COMPARED:,}, {result['mode']}, {'' if result['causal'] else 'not '}causal: "
            f"blockwise {result['blockwise']:.4f} s, reference {result['reference']:.4f} s, "
            f"median ratio {result['ratio']:.2f}"
        )
    content = {"settings": settings | {"threads": arguments.threads}}
    content |= {"rows": rows, "comparisons": comparisons}
    arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    say(f"written to {arguments.json}")


if __name__ == "__main__":
    main()
