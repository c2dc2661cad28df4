"""What a model computes, lowered by TensorFlow to StableHLO and made portable with JAX's tools.

TensorFlow turns whatever a graph has captured into further arguments of the lowered function.
They are named and sorted here, so that one file of weights serves every program.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers import cache as caches

WEIGHTS_FILE, PROGRAMS_FOLDER = "weights.npz", "programs"

STABLEHLO_VERSION = "1.0.0"
"""The release of StableHLO whose form the artifacts have; later ones read them too."""


class Shape(NamedTuple):
    """What a set of programs is compiled for."""

    batch_size: int
    source_length: int
    target_length: int
    beam_size: int

    def __str__(self):
        return "x".join(map(str, self))


class Weights:
    """The weights of a model under names that are the same in every process.

    Attributes:
        arrays: those that a program needs, by name.
    """

    def __init__(self, model):
        names = _canonical_names([weight.path for weight in model.weights])
        variables = [weight.value for weight in model.weights]
        self._named = {
            id(variable.handle): (name, variable)
            for name, variable in zip(names, variables, strict=True)
        }
        self.arrays: dict[str, np.ndarray] = {}

    def name_of(self, captured) -> str:
        """The name of a tensor that a graph has captured, a variable or a table of constants."""
        if id(captured) in self._named:
            name, variable = self._named[id(captured)]
            array = variable.numpy()
        else:
            array = captured.numpy()
            known = [name for name in self.arrays if name.startswith("constants/")]
            same = [name for name in known if np.array_equal(self.arrays[name], array)]
            name = same[0] if same else f"constants/{len(known)}"
        if array.dtype.kind not in "biuf":  # the kind of bfloat16 is V
            raise InputError(
                f"{name}: {WEIGHTS_FILE} cannot hold {array.dtype}: make the model with the "
                f"policy mixed_{array.dtype}, whose weights are float32."
            )
        self.arrays[name] = array
        return name


def _canonical_names(paths: Sequence[str]) -> list[str]:
    """Paths of weights with the numbers of layers counted within their parent.

    Keras counts layers of one name through the whole process.
    """
    renamed = {"": ""}
    siblings: Counter[str] = Counter()
    names = []
    for path in paths:
        parts = path.split("/")
        for end, part in enumerate(parts, 1):
            raw, parent = "/".join(parts[:end]), "/".join(parts[: end - 1])
            if raw not in renamed or end == len(parts):
                base = f"{renamed[parent]}/{re.sub(r'_[0-9]+$', '', part)}".lstrip("/")
                renamed[raw] = f"{base}_{siblings[base]}" if siblings[base] else base
                siblings[base] += 1
        names.append(renamed[path])
    return names


class Program(NamedTuple):
    """A program of a model.

    Attributes:
        name: what it does.
        shape: what it is compiled for.
        weights: names of those that it takes, in the order of its first arguments.
        inputs: its other arguments by name, nested `tf.TensorSpec`.
        results: what it gives, likewise.
        artifact: portable StableHLO.
    """

    name: str
    shape: Shape
    weights: list[str]
    inputs: dict[str, Any]
    results: dict[str, Any]
    artifact: bytes

    @property
    def file(self) -> str:
        """Path of its files in the version folder, without their suffixes."""
        return f"{PROGRAMS_FOLDER}/{self.name}-{self.shape}"

    def entry(self, arrays: dict[str, np.ndarray]) -> dict:
        """Its entry in the manifest."""
        weights = {name: arrays[name] for name in self.weights}
        return {
            "name": self.name,
            **self.shape._asdict(),
            "files": {"stablehlo": f"{self.file}.stablehlo", "jax": f"{self.file}.jax"},
            "arguments": described({"weights": weights}) + described(self.inputs),
            "results": described(self.results),
        }


def model_programs(model, shape: Shape, weights: Weights) -> list[Program]:
    """The programs of one shape: the functions of a model that a search calls in its loop."""
    batch, source_length, target_length, beams = shape

    def encode(source):
        return caches.grow(model.initial_cache(model.encode(source), beams), target_length)

    def decode_step(tokens, position, context, steps):
        cache = {"context": context, "steps": steps}
        logits, cache = model.decode_step(tokens, position, cache)
        return {"logits": tf.cast(logits, tf.float32), "steps": cache["steps"]}

    def select_beams(parents, steps):
        return caches.select_beams({"steps": steps}, parents)

    def ids(*size):
        return tf.TensorSpec(size, tf.int32)

    encoder = _program(encode, shape, {"source": ids(batch, source_length)}, weights)
    inputs = {"tokens": ids(batch, beams), "position": ids(), **encoder.results}
    programs = [encoder, _program(decode_step, shape, inputs, weights)]
    if beams > 1:
        inputs = {"parents": ids(batch, beams), "steps": encoder.results["steps"]}
        programs.append(_program(select_beams, shape, inputs, weights))
    return programs


def _program(function: Callable, shape: Shape, inputs: dict, weights: Weights) -> Program:
    """Compiles a function.

    Args:
        function: takes the inputs and returns a dictionary of nested tensors.
        shape: what it is compiled for.
        inputs: its arguments by name, nested `tf.TensorSpec`.
        weights: where captured tensors get their names.
    """
    structure = list(inputs.values())
    specs = tf.nest.flatten(structure)
    results = {}

    def flat(*tensors):
        found = function(*tf.nest.pack_sequence_as(structure, tensors))
        results.update(sorted(found.items()))
        return tf.nest.flatten(results)

    compiled = tf.function(flat, jit_compile=True, autograph=False)
    captured = compiled.get_concrete_function(*specs).captured_inputs
    text = compiled.experimental_get_compiler_ir(*specs)(stage="stablehlo", platform_name="CPU")
    names_of_captured = [weights.name_of(tensor) for tensor in captured]
    names = sorted(set(names_of_captured))
    # The lowered function has its inputs first and then what it has captured.
    places = [len(names) + i for i in range(len(specs))]
    places += [names.index(name) for name in names_of_captured]
    artifact, sizes = _artifact(text, places)
    found = [
        tf.TensorSpec(size, tensor.dtype)
        for size, tensor in zip(sizes, tf.nest.flatten(results), strict=True)
    ]
    results = tf.nest.pack_sequence_as(results, found)
    return Program(function.__name__, shape, names, inputs, results, artifact)


def _artifact(text: str, places: Sequence[int]) -> tuple[bytes, list[tuple[int, ...]]]:
    """Makes a lowered function portable.

    Args:
        text: a module in StableHLO's text form.
        places: which argument each one of its main function is to become.

    Returns:
        the serialized module, and the shapes of its results.
    """
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import func, stablehlo
    from jax.interpreters import mlir

    with mlir.make_ir_context(), ir.Location.unknown():
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError as error:
            raise InputError(
                "this jax cannot read the StableHLO of this TensorFlow: pip install --upgrade jax "
                f"({' '.join(str(error).split())})"
            ) from error
        _check_operations(module)
        symbols = ir.SymbolTable(module.operation)
        lowered = symbols["main"]
        types = dict(zip(places, lowered.type.inputs, strict=True))
        types, results = [types[place] for place in sorted(types)], lowered.type.results
        symbols.set_symbol_name(lowered, "lowered")
        lowered.attributes["sym_visibility"] = ir.StringAttr.get("private")
        with ir.InsertionPoint(module.body):
            main = func.FuncOp("main", ir.FunctionType.get(types, results))
        with ir.InsertionPoint(main.add_entry_block()):
            arguments = [main.arguments[place] for place in places]
            callee = ir.FlatSymbolRefAttr.get("lowered")
            func.ReturnOp(func.CallOp(results, callee, arguments).results)
        artifact = stablehlo.serialize_portable_artifact(module, STABLEHLO_VERSION)
        return artifact, [tuple(ir.RankedTensorType(result).shape) for result in results]


def _check_operations(module):
    """Refuses operations that StableHLO lacks, and removes attributes of TensorFlow's compiler."""
    from jax.extend.mlir import ir

    operations = []
    module.operation.walk(lambda each: operations.append(each) or ir.WalkResult.ADVANCE)
    for operation in operations:
        name = operation.name
        if name == "stablehlo.custom_call":
            name = f"{operation.attributes['call_target_name']}"
        elif name.startswith(("builtin.", "func.", "stablehlo.")):
            notes = [getattr(note, "name", note) for note in operation.attributes]
            for note in notes:
                if note.startswith("mhlo."):
                    del operation.attributes[note]
            continue
        raise InputError(f"the model computes {name}, which is not in StableHLO: export otherwise.")


def exported(program: Program, arrays: dict[str, np.ndarray]) -> bytes:
    """Serializes a program in the form that ``jax.export.deserialize`` reads.

    Its `call` takes all the weights by name and then the inputs; it gives the results as a tuple,
    or the only one as it is.
    """
    import jax
    import jax.export

    def shell(weights, *inputs):
        results = jax.tree.map(lambda spec: jax.numpy.zeros(spec.shape, spec.dtype), outputs)
        return results[0] if len(results) == 1 else results

    def structs(nested):
        return tf.nest.map_structure(
            lambda spec: jax.ShapeDtypeStruct(tuple(spec.shape), _dtype(spec)), nested
        )

    outputs = tuple(structs(spec) for spec in program.results.values())
    inputs = [structs(spec) for spec in program.inputs.values()]
    shell.__name__ = program.name
    export = jax.export.export(
        jax.jit(shell),
        platforms=["cpu"],
        disabled_checks=[jax.export.DisabledSafetyCheck.platform()],  # it runs on any
    )
    names = sorted(arrays)  # the order in which JAX flattens a dictionary
    kept = [names.index(name) for name in program.weights]
    kept += range(len(names), len(names) + len(tf.nest.flatten(inputs)))
    # The shell has the right arguments and results; the program takes the place of its body.
    whole = dataclasses.replace(
        export(structs(arrays), *inputs),
        mlir_module_serialized=program.artifact,
        module_kept_var_idx=tuple(kept),
    )
    return bytes(whole.serialize())


def _dtype(spec) -> np.dtype:
    return spec.dtype if isinstance(spec.dtype, np.dtype) else np.dtype(spec.dtype.as_numpy_dtype)


def described(nested, path="") -> list[dict]:
    """Name, shape and dtype of each of some nested tensors, in the order of the arguments."""
    if isinstance(nested, dict):
        parts = nested.items() if not path else sorted(nested.items())
    elif isinstance(nested, list | tuple):
        parts = enumerate(nested)
    else:
        return [{"name": path, "shape": list(nested.shape), "dtype": _dtype(nested).name}]
    return [
        entry for key, part in parts for entry in described(part, f"{path}/{key}".removeprefix("/"))
    ]
