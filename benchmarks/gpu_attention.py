"""python benchmarks/gpu_attention.py lower --output FOLDER
python benchmarks/gpu_attention.py run FOLDER [options of the runner]

How fast attention is on an NVIDIA GPU, and a whole training step with it: compared with
``jax.nn.dot_product_attention(implementation="cudnn")`` and PyTorch's
``scaled_dot_product_attention``, forward and with gradients, causal or not, with padding or not.

`lower` needs no GPU. It writes what XLA makes of this package's TensorFlow programs as StableHLO
into a folder, with a manifest and the runner. On the GPU machine the runner needs Python, NumPy and
a JAX that sees the GPU, but neither TensorFlow nor this package; see its ``--help``:

    python FOLDER/runner.py

`run` starts the same runner where both are installed. To try all of it on the CPU:

    python benchmarks/gpu_attention.py lower --platform CPU --lengths 128 --tokens 512 \\
        --steps tiny --output FOLDER
    python benchmarks/gpu_attention.py run FOLDER --device cpu --rounds 3

The batch is as large as makes the number of tokens the same at all lengths. Padded batches have
rows of half the length and more, and where there are at least four, one without a single key and
one with one. ``heads first`` are programs that take and give ``(batch, heads, length, depth)``, as
cuDNN wants it; the others take ``(batch, length, heads, depth)`` and transpose.
"""

import argparse
import gzip
import hashlib
import importlib.metadata
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

RUNNER = Path(__file__).resolve().parent / "gpu_attention_runner"
LENGTHS = [2**power for power in range(7, 15)]  # 128 to 16,384
IMPLEMENTATIONS = {"GPU": ("cudnn", "blockwise", "reference"), "CPU": ("blockwise", "reference")}
MARKS = {"cudnn": b"__cudnn$fmha", "blockwise": b"while"}
"""What only programs with these implementations contain."""

HEADS_FIRST = (0, 2, 1, 3)
SEED = 1

STEPS: dict[str, dict[str, int]] = {
    "tiny": {"layers": 1, "width": 32, "heads": 2, "inner": 64, "rows": 4, "length": 32},
    "tutorial": {"layers": 4, "width": 128, "heads": 8, "inner": 512, "rows": 64, "length": 128},
    "base": {"layers": 6, "width": 512, "heads": 8, "inner": 2048, "rows": 64, "length": 256},
    "base-long": {"layers": 6, "width": 512, "heads": 8, "inner": 2048, "rows": 2, "length": 4096},
}
"""Models and batches of the training steps; tiny is for trying."""

VOCAB_SIZE = 8000


class Folder:
    """Where the programs go.

    Args:
        path: made if need be; what is there from another time is replaced.
        platform: what is lowered for, ``GPU`` or ``CPU``.
    """

    def __init__(self, path: Path, platform: str):
        self.path = path
        self.platform = platform
        self.programs: list[dict[str, Any]] = []
        (path / "manifest.json").unlink(missing_ok=True)  # written last, when all is there
        for name in ("modules", "arrays"):
            shutil.rmtree(path / name, ignore_errors=True)
            (path / name).mkdir(parents=True)

    def add(self, name, function, arguments, result_names, **about) -> None:
        """Lowers a function of tensors that gives a list of them.

        Args:
            name: of the program.
            function: what to lower.
            arguments: descriptions as the manifest has them.
            result_names: what each of the results is.
            about: what else the manifest says of the program.
        """
        import tensorflow as tf

        specs = [tf.TensorSpec(each["shape"], each["dtype"]) for each in arguments]
        compiled = tf.function(function, jit_compile=True, autograph=False)
        concrete = compiled.get_concrete_function(*specs)
        # Tables that the graph has captured become further arguments.
        arguments = [*arguments, *map(self._captured, concrete.captured_inputs)]
        lower = compiled.experimental_get_compiler_ir(*specs)
        artifact = lower(stage="stablehlo_serialized", platform_name=self.platform)
        calls = sorted({call.decode() for call in re.findall(rb"__cudnn\$\w+", artifact)})
        for implementation, mark in MARKS.items():
            if (mark in artifact) != (implementation == about["implementation"]):
                raise SystemExit(f"{name} was lowered with another implementation of attention.")
        file = f"modules/{name}.stablehlo.gz"
        (self.path / file).write_bytes(gzip.compress(artifact, mtime=0))
        results = [
            {"name": each, "shape": list(tensor.shape), "dtype": tensor.dtype.name}
            for each, tensor in zip(result_names, concrete.outputs, strict=True)
        ]
        described = {"name": name, "file": file, "arguments": arguments, "results": results}
        self.programs.append({**described, "custom_calls": calls, **about})

    def _captured(self, tensor) -> dict[str, Any]:
        array = tensor.numpy()
        digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        file = f"arrays/{digest}.npy"
        np.save(self.path / file, array)
        return described("constant", array.shape, array.dtype.name, {"file": file})

    def finish(self, settings: dict[str, Any]) -> None:
        versions = {
            name: importlib.metadata.version(name)
            for name in ("keras_transformer", "tensorflow", "keras")
        }
        manifest = {"platform": self.platform, "versions": versions, "settings": settings}
        text = json.dumps({**manifest, "programs": self.programs}, indent=1)
        (self.path / "manifest.json").write_text(text + "\n")
        for file in RUNNER.glob("*.py"):
            shutil.copy(file, self.path)


def described(name: str, shape, dtype: str, values: dict[str, Any]) -> dict[str, Any]:
    """An argument in the manifest; what `values` may be is said in the runner's ``programs.py``."""
    return {"name": name, "shape": list(shape), "dtype": dtype, "values": values}


def row_lengths(rows: int, length: int) -> list[int]:
    """Half of the length and more, evenly; with four rows or more one is empty and one has 1."""
    lengths = np.linspace(length, length // 2, rows + 1)[:rows].astype(int).tolist()
    if rows == 1:
        return [length * 3 // 4]
    if rows >= 4:
        lengths[1:3] = [0, 1]
    return lengths


# Attention.


def lower_attention(folder: Folder, options: argparse.Namespace) -> None:
    for length, name in itertools.product(options.lengths, IMPLEMENTATIONS[folder.platform]):
        if name == "reference" and length > options.reference_up_to:
            continue
        say(f"{name} attention of length {length}")
        layouts = ["length first", "heads first"] if name == "cudnn" else ["length first"]
        for layout, causal, padded, backward in itertools.product(layouts, *[(False, True)] * 3):
            _lower_one(folder, options, name, length, layout, causal, padded, backward)


def _lower_one(folder, options, implementation, length, layout, causal, padded, backward) -> None:
    import tensorflow as tf

    from keras_transformer.layers.attention.dot_product import dot_product_attention

    batch = max(1, options.tokens // length)
    heads_first = layout == "heads first"

    def across(tensors):
        return [tf.transpose(x, HEADS_FIRST) if heads_first else x for x in tensors]

    def attend(query, key, value, *rest):
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output = dot_product_attention(
                *across((query, key, value)),
                key_lengths=rest[-1] if padded else None,
                causal=causal,
                implementation=implementation,
            )
            (output,) = across([output])
        if not backward:
            return [output]
        return [output, *tape.gradient(output, (query, key, value), rest[0])]

    shape = (batch, length, options.heads, options.depth)
    if heads_first:
        shape = tuple(shape[axis] for axis in HEADS_FIRST)
    names = ["query", "key", "value"] + ["output_gradient"] * backward
    arguments = []
    for seed, name in enumerate(names, SEED):
        values: dict[str, Any] = {"normal": [0.0, 1.0], "seed": seed}
        if heads_first:  # the same numbers as in the other layout
            values["transpose"] = HEADS_FIRST
        arguments.append(described(name, shape, options.dtype, values))
    if padded:
        numbers = {"numbers": row_lengths(batch, length)}
        arguments.append(described("key_lengths", (batch,), "int32", numbers))
    results = ["output"]
    if backward:
        results += [f"{name}_gradient" for name in names[:3]]
    about = {"implementation": implementation, "layout": layout, "length": length, "batch": batch}
    about |= {"causal": causal, "padded": padded, "backward": backward}
    parts = [implementation, layout.replace(" ", "_"), str(length)]
    parts += [word for word in ("causal", "padded", "backward") if about[word]]
    folder.add("-".join(parts), attend, arguments, results, kind="attention", **about)


# Training steps.


def lower_steps(folder: Folder, options: argparse.Namespace) -> None:
    for size in options.steps:
        for implementation in IMPLEMENTATIONS[folder.platform]:
            _lower_step(folder, size, implementation, "mixed_bfloat16")
        _lower_step(folder, size, "reference", "float32")


def _lower_step(folder: Folder, size: str, implementation: str, policy: str) -> None:
    import keras
    import tensorflow as tf

    import keras_transformer as kt

    say(f"training step {size}, {implementation}, {policy}")
    step = STEPS[size]
    keras.utils.set_random_seed(SEED)
    model = kt.Transformer(
        num_layers=step["layers"],
        d_model=step["width"],
        num_heads=step["heads"],
        dff=step["inner"],
        input_vocab_size=VOCAB_SIZE,
        target_vocab_size=VOCAB_SIZE,
        max_length=step["length"],
        attention_implementation=implementation,
        right_padded=True,
        dropout_rate=0.0,  # all implementations must give the same numbers
        dtype=policy,
    )
    weights = model.trainable_variables

    def gradients(source, target, labels, *values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            logits, _ = model.stateless_call(values, [], (source, target), training=True)
            loss = kt.masked_loss(labels, logits)
        found = tape.gradient(loss, values)
        return [loss, *(tf.cast(tf.convert_to_tensor(each), tf.float32) for each in found)]

    shape = (step["rows"], step["length"])
    lengths = np.linspace(shape[1], shape[1] // 2, shape[0]).astype(int).tolist()
    arguments = [
        described(name, shape, "int32", {"below": VOCAB_SIZE, "lengths": lengths, "seed": seed})
        for seed, name in enumerate(("source", "target", "labels"), SEED)
    ]
    for seed, weight in enumerate(weights, 100):
        array = weight.numpy()
        normal = [float(array.mean()), float(array.std())]
        values = {"normal": normal, "seed": seed}
        arguments.append(described(weight.path, array.shape, array.dtype.name, values))
    dtype = policy.removeprefix("mixed_")
    folder.add(
        f"step-{size}-{implementation}-{dtype}",
        gradients,
        arguments,
        ["loss", *(f"gradient of {weight.path}" for weight in weights)],
        kind="training step",
        implementation=implementation,
        size=size,
        rows=shape[0],
        length=shape[1],
        dtype=dtype,
    )


# Command line.


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    lower = commands.add_parser("lower", help="write the programs and the runner into a folder")
    lower.add_argument("--output", type=Path, required=True)
    lower.add_argument("--platform", choices=list(IMPLEMENTATIONS), default="GPU")
    lower.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    lower.add_argument("--tokens", type=int, default=16384, help="of a batch")
    lower.add_argument("--heads", type=int, default=8)
    lower.add_argument("--depth", type=int, default=64)
    lower.add_argument("--dtype", choices=["bfloat16", "float16"], default="bfloat16")
    lower.add_argument("--reference-up-to", type=int, default=4096, help="longest of the reference")
    lower.add_argument(
        "--steps", nargs="*", choices=list(STEPS), default=["tutorial", "base", "base-long"]
    )
    run = commands.add_parser("run", help="start the runner of such a folder", add_help=False)
    run.add_argument("folder", type=Path)
    return parser.parse_known_args()


def main() -> int:
    options, rest = parse_arguments()
    if options.command == "run":
        return subprocess.run([sys.executable, options.folder / "runner.py", *rest]).returncode
    if rest:
        say(f"unknown: {' '.join(rest)}; see --help")
        return 2
    folder = Folder(options.output, options.platform)
    lower_attention(folder, options)
    lower_steps(folder, options)
    names = ("lengths", "tokens", "heads", "depth", "dtype", "steps")
    folder.finish({name: getattr(options, name) for name in names})
    size = sum(file.stat().st_size for file in options.output.rglob("*") if file.is_file())
    say(f"{len(folder.programs)} programs, {size / 2**20:.1f} MiB in {options.output}")
    say(f"on the GPU machine: python {options.output.name}/runner.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
