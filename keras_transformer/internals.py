"""Every use of the private API of TensorFlow, TensorFlow Text and Keras.

An upgrade of theirs has this one place to check. Each function says what it does, why the public
API does not, and what would take its place.
"""

import contextlib
import functools
import hashlib
import io

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.saving import saving_lib
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context, execute
from tensorflow.python.ops import control_flow_util

from keras_transformer.errors import InputError

# TensorFlow


def add_function(definition) -> None:
    """Gives the runtime a function, which it can be asked to run under its name.

    ``tf.saved_model.load`` makes a graph in Python of each function of a file, which takes 50 times
    as long. A public loader that does not would take its place.

    Args:
        definition: a `FunctionDef`; those that it calls may follow.
    """
    context.context().add_function_def(definition)


def forget_function(name: str) -> None:
    """Takes a function of `add_function` from the runtime."""
    context.context().remove_function(name)


def functions_of_runtime() -> set[str]:
    """Names of all functions that the runtime has, those that `tf.function` traced too."""
    return set(context.context().list_function_names())


@contextlib.contextmanager
def without_graph_optimizer():
    """Functions that this thread calls inside for the first time run as they were traced.

    Optimising a graph takes seconds, which a few calls do not bring back. Public options of the
    optimiser are those of all threads, and a ``tf.function`` has none of its own; one would take
    its place.
    """
    current = context.context()
    options = current.function_call_options
    current.function_call_options = _without_optimizer(
        options.executor_type, options.config_proto_serialized
    )
    try:
        yield
    finally:
        current.function_call_options = options


def run_function(
    name: str, inputs: list[tf.Tensor], outputs: int, *, optimized=True
) -> list[tf.Tensor]:
    """Runs a function of `add_function` eagerly, as TensorFlow runs those that it traced.

    Args:
        name: of the function.
        inputs: its arguments; of variables the handles.
        outputs: how many there are.
        optimized: have TensorFlow optimise its graph when it first runs so.
    """
    current = context.context()
    with contextlib.nullcontext() if optimized else without_graph_optimizer():
        options = current.function_call_options.as_attrs()
        attributes = tuple(part for item in options.items() for part in item)
        return execute.execute(name, outputs, inputs, attributes, current)


@functools.lru_cache(maxsize=16)
def _without_optimizer(executor: str | None, settings: bytes) -> context.FunctionCallOptions:
    """Options of a call with which no graph is optimised."""
    config = config_pb2.ConfigProto.FromString(settings)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return context.FunctionCallOptions(executor, config)


def compiled_by_xla() -> bool:
    """Whether XLA compiles the function that is being traced; False outside of functions.

    Only ``tf.function(jit_compile=True)`` knows, and it has no public question. One there would
    take its place.
    """
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def xla_update_slice(buffer, new, start) -> tf.Tensor:
    """Writes `new` into `buffer` from `start` on, in functions that XLA compiles.

    ``tf.raw_ops.TensorStridedSliceUpdate`` compiles only where the start is a constant, which it is
    not in a loop. An entry of ``tf.raw_ops`` would take its place.

    Args:
        buffer, new: tensors of one rank and dtype.
        start: int32 ``(rank,)``, where the first element of `new` goes.
    """
    return xla.dynamic_update_slice(buffer, new, start)


def xla_custom_call(target, operands, results, backend_config) -> tuple[tf.Tensor, ...]:
    """Emits a custom call, which XLA's compiler knows by its name, such as those of cuDNN.

    An entry of ``tf.raw_ops``, or fused attention in TensorFlow itself, would take its place.

    Args:
        target: name of the call.
        operands: tensors.
        results: ``tf.TensorSpec`` of every result, of static shape.
        backend_config: string that the compiler reads.
    """
    return xla.custom_call_v2(target, operands, results, backend_config=backend_config)


def is_reachable(tensor) -> bool:
    """Whether an operation made here can take the tensor as its input.

    Eager tensors can be used everywhere, those of a function only in it and in functions traced
    inside it. There is no public question; one would take its place.
    """
    if isinstance(tensor, tf.__internal__.EagerTensor):
        return True
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None and graph is not tensor.graph:
        graph = getattr(graph, "outer_graph", None)
    return graph is not None


def keep_sentencepiece_model(tokenizer, model: bytes) -> None:
    """Makes TensorFlow keep a SentencePiece model for as long as the process lives.

    Without a name the model belongs to an eager kernel, which `keras.utils.set_random_seed` drops.
    An argument `shared_name` of the tokenizer would take its place.

    Args:
        tokenizer: a ``tensorflow_text.SentencepieceTokenizer``.
        model: its serialised model.
    """
    from tensorflow_text.python.ops import sentencepiece_tokenizer  # only tokenizers load it

    name = f"keras_transformer_{hashlib.sha256(model).hexdigest()}"
    create = sentencepiece_tokenizer.gen_sentencepiece_tokenizer.sentencepiece_op
    resource = tokenizer._model_resource
    resource._create_resource = lambda: create(model=model, shared_name=name)
    resource._resource_handle = resource._create_resource()


# Keras

# Keras rewrites the error of a layer with codes for terminals and a list of all arguments, and
# TensorFlow that of a function with its source, into an error of another type, unless it says that
# this was done. One clear line needs neither; a public way to keep it would take the place of this.
InputError._keras_call_info_injected = True
InputError.ag_pass_through = True


def keras_mask(tensor) -> tf.Tensor | None:
    """The mask that Keras attached to a tensor, if any.

    Keras 3 fills arguments named ``<name>_mask`` only in calls with several tensors; layers with
    one tensor argument ask here. The same for an argument `mask` of any layer would take its place.
    """
    return getattr(tensor, "_keras_mask", None)


def drop_keras_mask(tensor) -> tf.Tensor:
    """Takes the mask that Keras attached off a tensor, and returns the tensor.

    ``fit`` would weigh a loss that is one number by it. A public way to make a layer's output
    without one would take its place.
    """
    if keras_mask(tensor) is not None:
        del tensor._keras_mask
    return tensor


def build_for_fit(model, batch) -> None:
    """Makes the weights of a model, the state of its metrics and that of its optimizer.

    ``Model.build`` makes the weights alone. A `build` of all three would take its place.

    Args:
        model: a compiled model.
        batch: what ``fit`` would be given, as nested ``keras.KerasTensor``.
    """
    model._symbolic_build(data_batch=batch)


def weights_file(model) -> io.BytesIO:
    """The content of the file that ``Model.save_weights`` would write.

    That function writes to a path alone. On a full disk HDF5 leaves a file that it can neither
    write nor close, and the process dies when Python collects it; an argument for an open file
    would take the place of this.
    """
    content = io.BytesIO()
    store = saving_lib.H5IOStore(content, mode="w")
    saving_lib._save_state(
        model, weights_store=store, assets_store=None, inner_path="", visited_saveables=set()
    )
    store.close()
    return content


@contextlib.contextmanager
def without_values():
    """Models made inside have weights with shapes and no values, which take no memory.

    They tell the size of a model; they cannot be called before `give_values`.
    ``keras.StatelessScope`` makes such weights and notes them, to give them values when another
    scope ends; here they are forgotten. A ``meta`` device, as PyTorch has one, would take its
    place.
    """
    name = "uninitialized_variables"
    noted = list(global_state.get_global_attribute(name) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, noted)


def give_values(model) -> None:
    """Gives the weights of a model made in `without_values` zeros, and its other variables, such as
    the states of generators of random numbers, their first values.

    For models whose weights are loaded next: drawing random ones takes most of the time of making a
    model. An argument of Keras' layers to leave values out would take its place.
    """
    for variable in model.variables:
        if "float" in variable.dtype:
            variable._initializer = keras.initializers.Zeros()
        variable._deferred_initialize()


class _KerasLSTM(keras.layers.LSTM):
    def __init__(self, cell, **kwargs):
        keras.layers.RNN.__init__(self, cell, **kwargs)
        self.use_cudnn = "auto"


class _KerasGRU(keras.layers.GRU):
    def __init__(self, cell, **kwargs):
        keras.layers.RNN.__init__(self, cell, **kwargs)
        self.use_cudnn = "auto"


def keras_recurrent_layer(kind, cell, **options) -> keras.layers.RNN:
    """Keras' recurrent layer around a cell, which calls cuDNN on a GPU where it can.

    ``keras.layers.LSTM`` and ``GRU`` make cells of their own and ``RNN`` never calls cuDNN. An
    argument `cell` of theirs would take the place of the subclasses.

    Args:
        kind: ``"lstm"``, ``"gru"`` or another, which runs step by step.
        cell: a `RecurrentCell`.
        options: other arguments of ``keras.layers.RNN``.
    """
    layers = {"lstm": _KerasLSTM, "gru": _KerasGRU}
    return layers.get(kind, keras.layers.RNN)(cell, **options)


def begin_fit_at(model, epoch: int) -> None:
    """Makes the ``fit`` that is beginning start at an epoch; for callbacks.

    ``keras.callbacks.BackupAndRestore`` does the same. The public `initial_epoch` must be given
    before ``fit`` begins.
    """
    model._initial_epoch = epoch


def adam_moments(optimizer, variable) -> tuple[tf.Variable, tf.Variable | None]:
    """The moving averages of the gradient and of its square that Adam keeps for a variable.

    ``optimizer.variables`` is a flat list that does not say which belongs to which. The second is
    ``None`` where `set_adam_moments` made it so.
    """
    place = optimizer._get_variable_index(variable)
    momentum, velocity = optimizer._momentums[place], optimizer._velocities[place]
    return momentum.value, None if velocity is None else velocity.value


def set_adam_moments(optimizer, momentums, velocities):
    """Sets what `adam_moments` gives, for an optimizer derived from Adam that builds its own state.

    Args:
        momentums, velocities: variables for all weights, in their order; of the latter some may be
            ``None``.
    """
    optimizer._momentums, optimizer._velocities = momentums, velocities


@contextlib.contextmanager
def no_gradient_reduction(optimizer):
    """Keeps an optimizer from adding up the gradients of all replicas, which the caller has done.

    An argument like that of Keras 2's ``apply_gradients``, `skip_gradients_aggregation`, would
    take its place.
    """
    optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: gradients_and_variables
    try:
        yield
    finally:
        del optimizer._all_reduce_sum_gradients
