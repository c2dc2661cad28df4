"""python benchmarks/layer_costs.py [--lengths N ...] [--tokens N] [--width N] [--json FILE]

What a layer costs as sequences grow longer, and how far apart it leaves their ends, table 1 of
Attention Is All You Need in measured time: self-attention, recurrence (a GRU in one direction) and
convolution (a kernel of 3), none of which looks ahead.

A batch holds the same number of tokens at every length, hence fewer and longer sequences: what
grows with the length then grows by the token. In the table's terms, for n positions of width d and
a kernel of k:

                    operations of a sequence   in turn   longest path from position to position
    self-attention  n^2 d                      1         1
    recurrence      n d^2                      n         n
    convolution     k n d^2                    1         n / k, in layers one upon the other

The projections of self-attention, 4 n d^2 operations which the table leaves out, are measured with
it. The longest path of the convolution is the number of layers after which the last position has
seen the first, ceil((n - 1) / (k - 1)), as neighbouring kernels share a position; its time is that
of one layer.

Attention and recurrence are this package's layers, the convolution is Keras'. All are functions of
one process, with `--xla` compiled by XLA; the gradient is of the sum of squares, with respect to
input and weights. Lengths and layers take turns in `--repeats` rounds after one that is not
measured, and medians count.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from common import cores, machine, positive, say, use_threads, write_result

KERNEL = 3
LAYERS = ("attention", "recurrence", "convolution")
PASSES = ("forward", "both")
IN_TURN = {"attention": lambda n: 1, "recurrence": lambda n: n, "convolution": lambda n: 1}
LONGEST_PATH = {
    "attention": lambda n: 1,
    "recurrence": lambda n: n,
    "convolution": lambda n: -(-(n - 1) // (KERNEL - 1)),
}


def make_layer(name: str, width: int, heads: int) -> tuple[Any, Callable]:
    """A built layer, and the function that applies it to `(batch, length, width)`."""
    import keras

    import keras_transformer as kt

    shape = (None, None, width)
    if name == "attention":
        layer = kt.MultiHeadAttention(width, heads)
        layer.build(shape)
        return layer, lambda x: layer(x, x, x, causal=True, return_attention_scores=False)
    if name == "recurrence":
        layer = kt.Recurrent("gru", width, through_keras=on_gpu())  # cuDNN's where there is one
    else:
        layer = keras.layers.Conv1D(width, KERNEL, padding="causal")
    layer.build(shape)
    return layer, layer


def on_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def passes_of(name: str, width: int, heads: int, xla: bool) -> dict[str, Callable]:
    """What is measured: functions of the input, each of which gives a number to wait for."""
    import tensorflow as tf

    layer, apply = make_layer(name, width, heads)
    weights = [weight.value for weight in layer.trainable_variables]

    @tf.function(jit_compile=xla)
    def forward(x):
        return tf.reduce_sum(apply(x))

    @tf.function(jit_compile=xla)
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(apply(x) ** 2)
        gradients = tape.gradient(loss, [x, *weights])
        return tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    return {"forward": forward, "both": both}


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each layer and length."""
    import tensorflow as tf

    rng = np.random.default_rng(1)
    calls = {
        name: passes_of(name, arguments.width, arguments.heads, arguments.xla)
        for name in arguments.layers
    }
    places = [(name, length) for length in arguments.lengths for name in arguments.layers]
    seconds = {(*place, part): [] for place in places for part in PASSES}
    for number in range(arguments.repeats + 1):
        say(f"round {number} of {arguments.repeats}" if number else "a round that does not count")
        for name, length in places:
            shape = (arguments.tokens // length, length, arguments.width)
            x = tf.constant(rng.normal(size=shape).astype(np.float32))
            for part in PASSES:
                started = perf_counter()
                float(calls[name][part](x))
                if number:
                    seconds[name, length, part].append(perf_counter() - started)
    return [
        {
            "layer": name,
            "length": length,
            "sequences": arguments.tokens // length,
            "operations_in_turn": IN_TURN[name](length),
            "longest_path": LONGEST_PATH[name](length),
            "forward_seconds": statistics.median(seconds[name, length, "forward"]),
            "both_seconds": statistics.median(seconds[name, length, "both"]),
            "rounds": {part: seconds[name, length, part] for part in PASSES},
        }
        for name in arguments.layers
        for length in arguments.lengths
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows, aligned; the ratio is to the layer's own first length."""
    lines = [
        f"{'layer':13}{'length':>7}{'sequences':>11}{'in turn':>9}{'path':>7}"
        f"{'forward':>13}{'ratio':>7}{'and backward':>15}{'ratio':>7}"
    ]
    for row in rows:
        first = next(other for other in rows if other["layer"] == row["layer"])
        line = f"{row['layer']:13}{row['length']:7,}{row['sequences']:11,}"
        line += f"{row['operations_in_turn']:9,}{row['longest_path']:7,}"
        for key, width in (("forward_seconds", 10), ("both_seconds", 12)):
            line += f"{1000 * row[key]:{width},.1f} ms{row[key] / first[key]:7.1f}"
        lines.append(line)
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument(
        "--lengths", type=positive, nargs="+", default=[64, 128, 256, 512, 1024, 2048]
    )
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--tokens", type=positive, default=4096, help="of a batch, at every length")
    parser.add_argument("--width", type=positive, default=128)
    parser.add_argument("--heads", type=positive, default=8, help="of attention")
    parser.add_argument("--xla", action="store_true", help="compile with XLA")
    parser.add_argument("--repeats", type=positive, default=9, help="measured rounds")
    parser.add_argument("--threads", type=positive, default=cores())
    parser.add_argument(
        "--json", type=Path, help="where the result goes; a temporary file if unset"
    )
    arguments = parser.parse_args()
    arguments.lengths = sorted(set(arguments.lengths))
    if arguments.tokens < arguments.lengths[-1]:
        parser.error(f"--tokens {arguments.tokens}: give at least the longest of --lengths")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    host = machine()
    use_threads(arguments.threads)
    rows = measure(arguments)
    print(table(rows))
    write_result(arguments, host, {}, rows=rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
