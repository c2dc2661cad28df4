"""The signatures of an exported model, as functions of tensors.

`tf.saved_model.load` makes an object and a graph in Python of each of the hundreds of functions in
an export, whichever is called, which takes most of a minute. What `export` writes needs none of
that: its signatures take variables and constants besides their arguments, and the runtime takes
functions as they lie in the file.
"""

import itertools
import math
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2, trackable_object_graph_pb2

from keras_transformer import internals
from keras_transformer.exporting.format import xla_name

PATIENCE = 30.0
"""Seconds of running a signature after which optimising it, which takes several, pays."""

_numbers = itertools.count()
_INIT_OP = "__saved_model_init_op"


class ExportedFunctions(Mapping):
    """The signatures of a SavedModel by name: ``functions[name](**inputs)`` gives a dictionary.

    A SavedModel that others wrote, with tables or files, is loaded by TensorFlow.

    Args:
        folder: that holds ``saved_model.pb``.
        patience: seconds that a signature runs as it is. After that TensorFlow optimises it, aside,
            which takes several seconds and makes it 1.05 (64 texts) to 1.2 times (one) as fast.

    Raises:
        OSError, ValueError, tf.errors.OpError: when it cannot be read.
    """

    def __init__(self, folder, *, patience=PATIENCE):
        graph = _serving_graph(Path(folder))
        if _is_plain(graph):
            try:
                self._functions = _functions(graph, Path(folder), patience)
            except (LookupError, TypeError) as error:
                raise ValueError(f"{folder}: the SavedModel lacks a part ({error!r})") from error
        else:
            self._loaded = tf.saved_model.load(str(folder))  # kept, for its variables
            self._functions = dict(self._loaded.signatures)

    def __getitem__(self, name):
        return self._functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)


class _Function:
    """A signature.

    Args:
        name: of its function in the library.
        inputs: types of the arguments by name, in order.
        outputs: names of the results, in order.
        captures: what it takes after the arguments.
        library: the functions of the SavedModel.
        patience: see `ExportedFunctions`.
    """

    def __init__(self, name, inputs, outputs, captures, library, patience):
        self._name = name
        self._inputs = inputs
        self._outputs = outputs
        self._captures = captures
        self._handles = [one.handle if isinstance(one, tf.Variable) else one for one in captures]
        self._library = library
        self._patience = patience
        self._is_optimized = False
        self._waits = threading.Lock()  # until somebody optimises

    def __call__(self, **inputs):
        if inputs.keys() != self._inputs.keys():
            raise TypeError(
                f"The signature takes {', '.join(self._inputs)}; got {', '.join(inputs)}."
            )
        arguments = [
            tf.convert_to_tensor(inputs[name], dtype) for name, dtype in self._inputs.items()
        ]
        inputs, start = [*arguments, *self._handles], time.perf_counter()
        found = self._run(inputs, optimized=self._is_optimized)
        self._patience -= time.perf_counter() - start
        if self._patience <= 0 and self._waits.acquire(blocking=False):
            threading.Thread(target=self._optimize, args=(inputs,), daemon=True).start()
        return dict(zip(self._outputs, found, strict=True))

    def _run(self, inputs, *, optimized):
        name = self._library.name(self._name)
        return internals.run_function(name, inputs, len(self._outputs), optimized=optimized)

    def _optimize(self, inputs) -> None:
        """Has TensorFlow optimise the function, which the first call that asks for it does."""
        try:
            self._run(inputs, optimized=True)
        except tf.errors.OpError:
            return  # as without, for whoever asked
        self._is_optimized = True


def _serving_graph(folder: Path):
    """The part of a SavedModel for serving, with all its functions."""
    saved_model = saved_model_pb2.SavedModel()
    path = folder / "saved_model.pb"
    try:
        saved_model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path}: is no SavedModel ({error})") from error
    for graph in saved_model.meta_graphs:
        if tf.saved_model.SERVING in graph.meta_info_def.tags:
            return graph
    raise ValueError(f"{path}: holds no graph tagged {tf.saved_model.SERVING!r}")


def _signatures(objects) -> dict:
    """The functions of the signatures by their names, as an object graph has them."""
    children = {child.local_name: child.node_id for child in objects.nodes[0].children}
    if "signatures" not in children:
        return {}
    return {
        child.local_name: objects.nodes[child.node_id].bare_concrete_function
        for child in objects.nodes[children["signatures"]].children
    }


def _is_plain(graph) -> bool:
    """Whether the signatures take nothing but variables and constants besides their arguments."""
    objects = graph.object_graph_def
    signatures = _signatures(objects) if objects.nodes else {}
    if signatures.keys() != graph.signature_def.keys() - {_INIT_OP}:
        return False
    kinds = {
        objects.nodes[i].WhichOneof("kind")
        for signature in signatures.values()
        for i in objects.concrete_functions[signature.concrete_function_name].bound_inputs
    }
    return kinds <= {"variable", "constant"}


def _functions(graph, folder: Path, patience: float) -> dict[str, _Function]:
    """The signatures of a plain graph."""
    objects = graph.object_graph_def
    signatures = _signatures(objects)
    wanted = [signature.concrete_function_name for signature in signatures.values()]
    library = _Library(graph.graph_def.library.function)
    captures = _captures(graph, wanted, folder)
    by_xla = {xla_name(name) for name in signatures}  # which optimises itself
    found = {}
    for name, signature in signatures.items():
        inner, declared = signature.concrete_function_name, graph.signature_def[name]
        found[name] = _Function(
            inner,
            {key: declared.inputs[key].dtype for key in signature.argument_keywords},
            sorted(declared.outputs),
            [captures[i] for i in objects.concrete_functions[inner].bound_inputs],
            library,
            math.inf if name in by_xla else patience,
        )
    return found


def _captures(graph, functions, folder: Path) -> dict[int, Any]:
    """The variables and constants that functions take, by the numbers of their objects."""
    objects = graph.object_graph_def
    taken = {i for name in functions for i in objects.concrete_functions[name].bound_inputs}
    constants = {node.name: node for node in graph.graph_def.node if node.op == "Const"}
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    keys = _checkpoint_keys(objects, reader)
    found = {}
    for i in taken:
        saved = objects.nodes[i]
        if saved.WhichOneof("kind") == "variable":
            found[i] = tf.Variable(reader.get_tensor(keys[i]), trainable=False)
        else:
            value = constants[saved.constant.operation].attr["value"].tensor
            found[i] = tf.constant(tf.make_ndarray(value))
    return found


def _checkpoint_keys(objects, reader) -> dict[int, str]:
    """Under which key the value of each variable is, by the numbers of the objects."""
    saved = trackable_object_graph_pb2.TrackableObjectGraph()
    saved.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    keys, seen, waiting = {}, set(), [(0, 0)]
    while waiting:
        number, of_checkpoint = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        node = saved.nodes[of_checkpoint]
        for attribute in node.attributes:
            keys[number] = attribute.checkpoint_key
        others = {child.local_name: child.node_id for child in node.children}
        waiting += [
            (child.node_id, others[child.local_name])
            for child in objects.nodes[number].children
            if child.local_name in others
        ]
    return keys


class _Library:
    """Functions that the runtime is given when they are needed, and forgets with this object.

    Args:
        definitions: of functions, which get names that no others have.
    """

    def __init__(self, definitions):
        self._definitions = {definition.signature.name: definition for definition in definitions}
        self._number = next(_numbers)
        self._names: dict[str, str] = {}  # in the runtime, by those in the definitions
        self._lock = threading.Lock()
        weakref.finalize(self, _forget, self._names).atexit = False

    def name(self, wanted: str) -> str:
        """The name in the runtime of a function, which is there from now on with all it calls."""
        with self._lock:
            waiting = [wanted]
            while waiting:
                name = waiting.pop()
                if name in self._names:
                    continue
                definition = self._definitions.pop(name)
                self._names[name] = definition.signature.name = self._new(name)
                for node in definition.node_def:
                    for reference in _references(node):
                        if reference.name in self:
                            waiting.append(reference.name)
                            reference.name = self._new(reference.name)
                    if node.op in self:
                        waiting.append(node.op)
                        node.op = self._new(node.op)
                internals.add_function(definition)
            return self._names[wanted]

    def __contains__(self, name: str) -> bool:
        return name in self._definitions or name in self._names

    def _new(self, name: str) -> str:
        return f"exported_{self._number}_{name}"


def _references(node) -> Iterator:
    """Where a node names functions, besides its operation."""
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        if kind == "func":
            yield value.func
        elif kind == "list":
            yield from value.list.func


def _forget(names):
    for name in names.values():
        internals.forget_function(name)
