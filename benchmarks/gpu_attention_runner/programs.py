"""Programs that TensorFlow lowered: read, compiled through JAX, and given their arguments."""

import dataclasses
import gzip
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import mlir

HEADS_FIRST = (0, 2, 1, 3)
"""The order of axes that makes (batch, length, heads, depth) of its counterpart, and back."""


class Program:
    """One program of the manifest.

    Args:
        folder: where the manifest is.
        entry: what the manifest says of it. Its fields are attributes, too.
    """

    def __init__(self, folder: Path, entry: dict[str, Any]):
        self.folder = folder
        self.entry = entry

    def __getattr__(self, name):
        try:
            return self.entry[name]
        except KeyError:
            raise AttributeError(name) from None

    @cached_property
    def artifact(self) -> bytes:
        return gzip.decompress((self.folder / self.file).read_bytes())

    @property
    def is_heads_first(self) -> bool:
        return self.entry.get("layout") == "heads first"

    def compile(self, call_version: int | None = None):
        """The program for JAX's default device.

        Args:
            call_version: the API version that custom calls are to have; theirs unless given.

        Returns:
            a ``jax.stages.Compiled`` that takes the arguments in turn and gives a tuple.
        """
        arguments, results = (
            [jax.ShapeDtypeStruct(tuple(each["shape"]), dtype_of(each)) for each in described]
            for described in (self.arguments, self.results)
        )

        def shell(*_):
            return tuple(jax.numpy.zeros(result.shape, result.dtype) for result in results)

        export = jax.export.export(
            jax.jit(shell),
            platforms=[jax.export.default_export_platform()],
            disabled_checks=[jax.export.DisabledSafetyCheck.platform()],
        )
        # The shell has the right face; what it computes is the program's.
        exported = dataclasses.replace(
            export(*arguments),
            mlir_module_serialized=portable(self.artifact, call_version),
            module_kept_var_idx=tuple(range(len(arguments))),
        )
        return jax.jit(exported.call).lower(*arguments).compile()

    def inputs(self) -> list[np.ndarray]:
        """The arguments, as the manifest describes them."""
        return [values_of(argument, self.folder) for argument in self.arguments]


def load(folder: Path) -> tuple[dict[str, Any], list[Program]]:
    """The manifest of a folder and its programs."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest, [Program(folder, entry) for entry in manifest["programs"]]


def portable(artifact: bytes, call_version: int | None = None) -> bytes:
    """A serialized module in the form that JAX reads.

    Args:
        artifact: the module as bytecode.
        call_version: the API version that custom calls are to have; theirs unless given.
    """
    with mlir.make_ir_context(), ir.Location.unknown():
        module = ir.Module.parse(artifact)
        if call_version is not None:
            version = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), call_version)
            for operation in custom_calls(module):
                operation.attributes["api_version"] = version
        return stablehlo.serialize_portable_artifact(module, stablehlo.get_current_version())


def custom_calls(module) -> list:
    """The operations of a module that are custom calls."""
    found = []

    def visit(operation):
        if operation.name == "stablehlo.custom_call":
            found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found


def dtype_of(described: dict[str, Any]) -> np.dtype:
    return jax.numpy.dtype(described["dtype"])


def values_of(argument: dict[str, Any], folder: Path) -> np.ndarray:
    """One argument of a program.

    Its ``values`` are ``{"numbers": nested list}``, ``{"file": name}``, ``{"normal": [mean,
    deviation], "seed": n}`` with a ``transpose`` of what was drawn, or ``{"below": n, "lengths":
    [...], "seed": n}``: token ids from 1 on, 0 after the length of a row.
    """
    values, shape, dtype = argument["values"], argument["shape"], dtype_of(argument)
    if "numbers" in values:
        return np.asarray(values["numbers"], dtype)
    if "file" in values:
        return np.load(folder / values["file"])
    generator = np.random.default_rng(values["seed"])
    if "below" in values:
        ids = generator.integers(1, values["below"], shape, dtype)
        return ids * (np.arange(shape[1]) < np.reshape(values["lengths"], (-1, 1))).astype(dtype)
    axes = values.get("transpose", range(len(shape)))
    drawn = generator.standard_normal([shape[axis] for axis in axes], np.float32)
    mean, deviation = values["normal"]
    return np.ascontiguousarray(np.transpose(drawn * deviation + mean, axes).astype(dtype))


class Inputs:
    """Arguments of programs on a device; what several have in common is made once.

    Args:
        device: of JAX.
    """

    def __init__(self, device):
        self.device = device
        self._host: dict[str, np.ndarray] = {}
        self._device: dict[str, jax.Array] = {}

    def on_host(self, program: Program) -> dict[str, np.ndarray]:
        """By name."""
        return {each["name"]: self._values(program, each) for each in program.arguments}

    def on_device(self, program: Program) -> list[jax.Array]:
        """In the order in which the program takes them."""
        found = []
        for argument in program.arguments:
            key = str(argument)
            if key not in self._device:
                values = self._values(program, argument)
                self._device[key] = jax.device_put(values, self.device)
            found.append(self._device[key])
        return found

    def _values(self, program: Program, argument: dict[str, Any]) -> np.ndarray:
        key = str(argument)
        if key not in self._host:
            self._host[key] = values_of(argument, program.folder)
        return self._host[key]


def gib_of(compiled) -> float | None:
    """What a compiled program holds while it runs: arguments, results and what is between them."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return None
    total = sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes
    return (total - sizes.alias_size_in_bytes) / 2**30
