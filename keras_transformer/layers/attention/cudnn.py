"""Attention by cuDNN's fused kernels, in programs that XLA compiles for NVIDIA GPUs.

Each is a custom call named ``__cudnn$fmha...`` whose configuration describes the attention. XLA
has cuDNN build a kernel for it. Operands and results have XLA's default layout.
"""

import json

import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.internals import compiled_by_xla, xla_custom_call
from keras_transformer.layers.attention.masks import as_keep_mask, causal_keep_mask

_ELEMENT_TYPES = {tf.bfloat16: "BF16", tf.float16: "F16"}

# Added to the logits of hidden keys. Finite, because cuDNN subtracts such numbers.
_HIDDEN = {tf.bfloat16: -(2.0**41), tf.float16: -(2.0**15)}

_HOPPER = (9, 0)  # its kernels take heads of up to 256, those of Ampere and Ada up to 128
_AMPERE = (8, 0)


def obstacle(query, key, value, *, mask, causal, query_offset, dropout_rate, seed) -> str | None:
    """The reason why cuDNN cannot compute this attention on any device; ``None`` if it can.

    The arguments are those of `dot_product.attention_of_heads`.
    """
    if query.dtype not in _ELEMENT_TYPES:
        return f"the dtype is {query.dtype.name}, not bfloat16 or float16"
    if not all(x.shape.is_fully_defined() for x in (query, key, value)):
        return "shapes are not known when tracing"
    if 0 in (*query.shape, *key.shape):
        return "a tensor is empty"
    depth, largest = query.shape[-1], _largest_depth()
    if depth != value.shape[-1]:
        return f"heads of queries and values differ in size, {depth} and {value.shape[-1]}"
    if depth % 8 or depth > largest:
        return f"the head size, {depth}, is not a multiple of 8 up to {largest}"
    if causal and tf.get_static_value(query_offset) != 0:
        return "query_offset is not 0"
    if mask is not None and (query.shape[2] % 2 or key.shape[2] % 2):
        return f"a mask needs even lengths, not {query.shape[2]} and {key.shape[2]}"
    if dropout_rate and tf.get_static_value(seed) is None:
        return "the seed of dropout is not known when tracing"
    return None


def missing_device() -> str | None:
    """The reason why cuDNN is missing where the traced function will run; ``None`` if it is not."""
    if not compiled_by_xla():
        return "XLA does not compile this"
    capability = compute_capability()
    if capability is None:
        return "there is no CUDA device"
    if capability < _AMPERE:
        return f"the CUDA device has compute capability {capability}, below {_AMPERE}"
    return None


def cudnn_attention(
    query, key, value, *, key_lengths=None, mask=None, causal, scale, dropout_rate=0.0, seed=None
) -> tf.Tensor:
    """Scaled dot-product attention by cuDNN, with its gradient.

    Args:
        query: ``(batch, heads, query, depth)``, bfloat16 or float16.
        key, value: ``(batch, heads, key, depth)``.
        key_lengths, mask, causal, scale, dropout_rate: as for `dot_product.attention_of_heads`.
        seed: two integers that are known when tracing. Each run of the compiled program continues
            cuDNN's sequence of random numbers.

    Returns:
        ``(batch, heads, query, depth)``.

    Raises:
        ValueError: when called eagerly.
    """
    if tf.executing_eagerly():
        raise InputError(
            "cuDNN's attention exists in programs compiled by XLA only: call it from a "
            "tf.function(jit_compile=True)."
        )
    call = _Call(query.shape, key.shape, query.dtype, causal, scale, dropout_rate, seed)
    any_visible = None
    if key_lengths is not None:
        key_lengths = tf.clip_by_value(tf.cast(key_lengths, tf.int32), 0, key.shape[2])
        any_visible = tf.reshape(key_lengths > 0, (-1, 1, 1, 1))
        call.set_key_lengths(tf.maximum(key_lengths, 1))  # no row without a key in the kernel
    if mask is not None:
        keep = call.set_mask(as_keep_mask(mask))
        if key_lengths is not None:
            keep &= tf.sequence_mask(key_lengths, key.shape[2])[:, tf.newaxis, tf.newaxis]
        if causal:
            keep &= causal_keep_mask(query.shape[2], key.shape[2])
        any_visible = tf.reduce_any(keep, axis=-1, keepdims=True)

    output = tf.custom_gradient(call.attend)(query, key, value)
    if any_visible is not None:
        output = tf.where(any_visible, output, tf.zeros((), output.dtype))
    return output


class _Call:
    """The custom calls of one attention, forward and backward.

    Args:
        query_shape, key_shape: ``(batch, heads, length, depth)``.
        dtype: of queries, keys, values and output.
        causal, scale, dropout_rate, seed: as in `cudnn_attention`.
    """

    def __init__(self, query_shape, key_shape, dtype, causal, scale, dropout_rate, seed):
        self.batch, self.heads, self.query_length, self.depth = query_shape
        self.key_length = key_shape[2]
        self.dtype = dtype
        self.causal = causal
        self.scale = scale
        self.dropout_rate = dropout_rate
        self.seed = _one_number(seed) if dropout_rate else 0
        self.bias = None
        self.lengths = []  # of queries and of keys, int32 (batch,) each
        self.key_is_real = None  # bool (batch, 1, key, 1)

    def set_key_lengths(self, key_lengths):
        query_lengths = tf.fill((self.batch,), self.query_length)
        self.lengths = [query_lengths, key_lengths]
        is_real = tf.sequence_mask(key_lengths, self.key_length)
        self.key_is_real = is_real[:, tf.newaxis, :, tf.newaxis]

    def set_mask(self, keep):
        """Takes a bool mask of rank 4 or less; returns it broadcast over queries and keys."""
        keep = keep[(tf.newaxis,) * (4 - keep.shape.rank)]
        batch, heads = keep.shape[0] or self.batch, keep.shape[1] or self.heads
        keep = tf.broadcast_to(keep, (batch, heads, self.query_length, self.key_length))
        hidden = tf.constant(_HIDDEN[self.dtype], self.dtype)
        self.bias = tf.where(keep, tf.zeros((), self.dtype), hidden)
        return keep

    def attend(self, q, k, v):
        """The output and its gradient function, for ``tf.custom_gradient``."""
        bias = [] if self.bias is None else [self.bias]
        output, statistics = self._emit(
            "",
            [q, k, v, *bias, *self.lengths],
            [
                tf.TensorSpec(q.shape, self.dtype),
                # The logarithm of the sum in the softmax, which the gradients need.
                tf.TensorSpec((self.batch, self.heads, self.query_length), tf.float32),
            ],
            _FORWARD_PRODUCTS,
        )

        def gradients(output_gradient):
            results = self._emit(
                "Backward",
                [q, k, v, statistics, output_gradient, *bias, output, *self.lengths],
                [tf.TensorSpec(x.shape, x.dtype) for x in (q, k, v, *bias)],
                _BACKWARD_PRODUCTS,
            )
            query_gradient, key_gradient, value_gradient = results[:3]
            if self.key_is_real is not None:  # the kernel leaves any numbers at padding
                zero = tf.zeros((), self.dtype)
                key_gradient = tf.where(self.key_is_real, key_gradient, zero)
                value_gradient = tf.where(self.key_is_real, value_gradient, zero)
            return query_gradient, key_gradient, value_gradient

        return output, gradients

    def _emit(self, suffix, operands, results, products):
        """Emits the custom call; its last result, cuDNN's workspace, is not returned."""
        target = "__cudnn$fmha{}Softmax{}{}".format(
            "" if self.bias is None else "ScaleBias", "Dropout" if self.dropout_rate else "", suffix
        )
        workspace = tf.TensorSpec((0,), tf.uint8)
        outputs = xla_custom_call(
            target, operands, [*results, workspace], self._configuration(products)
        )
        return outputs[:-1]

    def _configuration(self, products) -> str:
        """XLA's message ``GpuBackendConfig`` with a ``CudnnfMHABackendConfig``, as JSON."""
        masks = ["PADDING"] * bool(self.lengths) + ["CAUSAL"] * self.causal
        weights = (self.batch, self.heads, self.query_length, self.key_length)
        attention = {
            "algorithm": {
                "algo_id": "0",
                "math_type": "TENSOR_OP_MATH",
                "tuning_knobs": {"17": "1", "24": "0"},
                "is_cudnn_frontend": True,
                "workspace_size": "0",
            },
            "fmha_scale": self.scale,
            "intermediate_tensor_shape": _shape(_ELEMENT_TYPES[self.dtype], weights),
            "is_flash_attention": True,
            "mask_type": "_".join(masks) or "NO_MASK",
            "dropout_rate": self.dropout_rate,
            "seed": self.seed,
            "sliding_window_length": 0,
            "max_seg_per_batch": 1,
            "is_paged_attention": False,
            **{f"{name}_dot_dimension_numbers": _product(*axes) for name, axes in products.items()},
        }
        return json.dumps({"operation_queue_id": "0", "cudnn_fmha_backend_config": attention})


# Axes that the matrix products sum over; the first two are batch and heads.
_FORWARD_PRODUCTS = {
    "bmm1": (3, 3),  # weights from queries and keys
    "bmm2": (3, 2),  # output from weights and values
}
_BACKWARD_PRODUCTS = {
    "bmm1_grad_gemm1": (2, 2),  # gradient of keys, from that of the weights and queries
    "bmm1_grad_gemm2": (3, 2),  # gradient of queries, from that of the weights and keys
    "bmm2_grad_gemm1": (2, 2),  # gradient of values, from weights and gradient of the output
    "bmm2_grad_gemm2": (3, 3),  # gradient of weights, from that of the output and values
}


def _product(left, right) -> dict:
    """XLA's ``DotDimensionNumbers`` of a product that sums over axes `left` and `right`."""
    return {
        "lhs_contracting_dimensions": [str(left)],
        "rhs_contracting_dimensions": [str(right)],
        "lhs_batch_dimensions": ["0", "1"],
        "rhs_batch_dimensions": ["0", "1"],
    }


def _shape(element_type, dimensions) -> dict:
    """XLA's ``ShapeProto`` of a tensor in the default layout."""
    rank = len(dimensions)
    return {
        "element_type": element_type,
        "dimensions": [str(size) for size in dimensions],
        "tuple_shapes": [],
        "layout": {
            "dim_level_types": [],
            "dim_unique": [],
            "dim_ordered": [],
            "minor_to_major": [str(axis) for axis in reversed(range(rank))],
            "tiles": [],
            "element_size_in_bits": "0",
            "memory_space": "0",
            "index_primitive_type": "PRIMITIVE_TYPE_INVALID",
            "pointer_primitive_type": "PRIMITIVE_TYPE_INVALID",
            "dynamic_shape_metadata_prefix_bytes": "0",
        },
        "is_dynamic_dimension": [False] * rank,
    }


def _one_number(seed) -> int:
    """A seed of 31 bits from two integers."""
    first, second = (int(number) for number in tf.get_static_value(tf.convert_to_tensor(seed)))
    return (first * 1_000_003 + second) % 2**31


def compute_capability() -> tuple[int, int] | None:
    """The lowest compute capability of TensorFlow's CUDA devices; ``None`` without a device."""
    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return min((known["compute_capability"] for known in details if known), default=None)


def _largest_depth() -> int:
    capability = compute_capability()
    return 256 if capability is not None and capability >= _HOPPER else 128
