"""Multi-head attention: the projections around `dot_product.attention_of_heads`.

Attention Is All You Need, section 3.2.2.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.attention import dot_product
from keras_transformer.layers.cache import write_slots
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.positional import rotate
from keras_transformer.layers.shapes import batch_and_length


@keras.saving.register_keras_serializable("keras_transformer")
class MultiHeadAttention(keras.layers.Layer):
    """Multi-head attention (Attention Is All You Need, section 3.2.2).

    The weights have the names and shapes of ``keras.layers.MultiHeadAttention``, so the weights
    of a model that used that layer load here.

    Args:
        d_model: width of the output; ``None`` takes the width of the query.
        num_heads: number of heads.
        key_dim: size of one head; ``d_model // num_heads`` unless given.
        dropout: rate at which attention weights are dropped in training.
        rotary: rotate queries and keys by their positions.
        implementation: one of `dot_product.IMPLEMENTATIONS`, used where the weights are not
            returned. cuDNN has no dropout that follows from a seed: when training with dropout of
            the weights, ``auto`` takes another implementation and ``cudnn`` raises an error.

    Call arguments:
        v, k, q: values, keys and queries, ``(batch, seq, d_model)``, in the tutorial's order.
        mask: broadcasts to ``(batch, heads, query, key)``; bool means keep, float or integer 1
            means hidden.
        causal: hide every key after the query's own position.
        key_lengths: integers ``(batch,)``, how many keys of each row are real, the others being
            padding at the end; cheaper than a mask.
        return_attention_scores: also return the weights, which are then all held in memory.

    Returns:
        ``(output, attention_weights)`` of shapes ``(batch, query, d_model)`` and
        ``(batch, heads, query, key)``; without `return_attention_scores` the output alone.

    Example:
        >>> attention = MultiHeadAttention(d_model=512, num_heads=8)
        >>> y = tf.random.uniform((1, 60, 512))
        >>> output, weights = attention(v=y, k=y, q=y)
        >>> output.shape, weights.shape
        (TensorShape([1, 60, 512]), TensorShape([1, 8, 60, 60]))
    """

    def __init__(
        self,
        d_model,
        num_heads,
        *,
        key_dim=None,
        dropout=0.0,
        rotary=False,
        implementation="auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        dot_product.check_implementation(implementation)
        if key_dim is None and d_model is not None and d_model % num_heads:
            raise InputError(
                f"d_model ({d_model}) is not a multiple of num_heads ({num_heads}). "
                "Change one of them or give key_dim."
            )
        self.d_model = d_model
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        self.rotary = rotary
        self.implementation = implementation
        self._dropout_layer = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, v_shape, k_shape=None, q_shape=None):
        k_shape, q_shape = k_shape or v_shape, q_shape or v_shape
        d_model = self.d_model or q_shape[-1]
        key_dim = self.key_dim or d_model // self.num_heads
        if self.rotary and key_dim % 2:
            raise InputError(f"Rotary positions need heads of an even size; got {key_dim}.")
        self.query_dense = self._heads_projection(q_shape, key_dim, "query")
        self.key_dense = self._heads_projection(k_shape, key_dim, "key")
        self.value_dense = self._heads_projection(v_shape, key_dim, "value")
        self.output_dense = keras.layers.EinsumDense(
            "abcd,cde->abe",
            output_shape=(None, d_model),
            bias_axes="e",
            kernel_initializer=_glorot(self.num_heads * key_dim, d_model),
            dtype=self.dtype_policy,
            name="attention_output",
        )
        self.output_dense.build((None, None, self.num_heads, key_dim))
        for layer in (self.query_dense, self.key_dense, self.value_dense, self.output_dense):
            layer.supports_masking = True  # works position by position, whatever the mask

    def _heads_projection(self, shape, key_dim, name):
        """A dense layer from ``(batch, seq, width)`` to ``(batch, seq, heads, key_dim)``."""
        layer = keras.layers.EinsumDense(
            "abc,cde->abde",
            output_shape=(None, self.num_heads, key_dim),
            bias_axes="de",
            kernel_initializer=_glorot(shape[-1], self.num_heads * key_dim),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(shape)
        return layer

    def compute_mask(self, inputs, mask=None):
        return None

    def call(
        self,
        v,
        k,
        q,
        mask=None,
        causal=False,
        training=None,
        key_lengths=None,
        return_attention_scores=True,
    ):
        return self.attend(
            *self.project(v, k, q),
            mask=mask,
            causal=causal,
            key_lengths=key_lengths,
            training=training,
            return_attention_scores=return_attention_scores,
        )

    def project(self, v, k, q):
        """Projects inputs to the queries, keys and values of all heads.

        Args:
            v, k, q: as in the call.

        Returns:
            ``(batch, heads, query, key_dim)`` and twice ``(batch, heads, key, key_dim)``.
        """
        if q is k and k is v:  # self-attention: one product instead of three
            dense = self.query_dense, self.key_dense, self.value_dense
            queries, keys, values = project_heads(q, *dense)
            if self.rotary:
                queries, keys = rotate(queries), rotate(keys)
            return queries, keys, values
        return self.project_queries(q), *self.project_keys_values(k, v)

    def project_keys_values(self, k, v):
        """Projects inputs to the keys and values of all heads.

        Args:
            k, v: ``(batch, key, width)``.

        Returns:
            two tensors ``(batch, heads, key, key_dim)``.
        """
        if k is v:
            keys, values = project_heads(k, self.key_dense, self.value_dense)
        else:
            (keys,) = project_heads(k, self.key_dense)
            (values,) = project_heads(v, self.value_dense)
        return (rotate(keys) if self.rotary else keys), values

    def project_queries(self, q):
        """``(batch, query, width)`` to ``(batch, heads, query, key_dim)``."""
        (queries,) = project_heads(q, self.query_dense)
        return rotate(queries) if self.rotary else queries

    def attend(
        self,
        queries,
        keys,
        values,
        *,
        training=None,
        return_attention_scores=True,
        implementation=None,
        **masking,
    ):
        """The call, with queries, keys and values already projected.

        Args:
            queries: ``(batch, heads, query, key_dim)``.
            keys, values: ``(batch, heads, key, key_dim)``.
            training, return_attention_scores: as in the call.
            implementation: overrides this layer's.
            masking: `mask`, `key_lengths` and `causal` of the call.
        """
        drops = bool(training and self.dropout)
        result = dot_product.attention_of_heads(
            queries,
            keys,
            values,
            **masking,
            dropout_rate=self.dropout if drops else 0.0,
            seed=self._dropout_layer.next_seed() if drops else None,
            return_weights=return_attention_scores,
            implementation=implementation or self.implementation,
        )
        if return_attention_scores:
            output, weights = result
            return _merge_heads(output, self.output_dense), weights
        return _merge_heads(result, self.output_dense)

    def step(self, x, cache, position, visible, slot=None):
        """Self-attention of one position; see `CausalSelfAttention.step`.

        Returns:
            ``((output, attention_weights), cache)``, the first two as from the call.
        """
        projected = project_heads(x, self.query_dense, self.key_dense, self.value_dense)
        batch, beams = batch_and_length(x)
        _, heads, key_dim = self.query_dense.kernel.shape
        if self.rotary:
            projected[:2] = (rotate(part, position) for part in projected[:2])
        queries, *new = (tf.reshape(part, (-1, beams, key_dim)) for part in projected)
        slot = position * beams if slot is None else slot
        cache = tuple(write_slots(old, part, slot) for old, part in zip(cache, new, strict=True))
        if visible.shape.rank > 1:
            visible = tf.repeat(visible, heads, axis=0)
        output, weights = dot_product.scaled_dot_product_attention(queries, *cache, visible)
        output = tf.reshape(output, (batch, heads, beams, key_dim))
        weights = tf.reshape(weights, (batch, heads, beams, tf.shape(weights)[2]))
        return (_merge_heads(output, self.output_dense), weights), cache

    def get_config(self):
        return {
            **super().get_config(),
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "rotary": self.rotary,
            "implementation": self.implementation,
        }


def project_heads(x, *layers):
    """Applies several projections to one tensor in one matrix product.

    Args:
        x: ``(batch, seq, width)``.
        layers: built dense layers to ``(heads, key_dim)``.

    Returns:
        for each layer ``(batch, heads, seq, key_dim)``.
    """
    width, heads, key_dim = layers[0].kernel.shape
    kernels = [tf.reshape(layer.kernel, (width, heads * key_dim)) for layer in layers]
    biases = [tf.reshape(layer.bias, (heads * key_dim,)) for layer in layers]
    x = tf.cast(x, layers[0].compute_dtype)
    batch, length = batch_and_length(x)
    y = tf.matmul(tf.reshape(x, (-1, width)), tf.cast(tf.concat(kernels, 1), x.dtype))
    y = tf.nn.bias_add(y, tf.cast(tf.concat(biases, 0), x.dtype))
    y = tf.reshape(y, (batch, length, len(layers), heads, key_dim))
    return tf.unstack(tf.transpose(y, (2, 0, 3, 1, 4)))


def _merge_heads(x, layer):
    """The output projection of ``(batch, heads, seq, key_dim)``: ``(batch, seq, d_model)``."""
    heads, key_dim, width = layer.kernel.shape
    batch, length = batch_and_length(x, axis=2)
    x = tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (-1, heads * key_dim))
    kernel = tf.reshape(layer.kernel, (heads * key_dim, width))
    y = tf.nn.bias_add(tf.matmul(x, tf.cast(kernel, x.dtype)), tf.cast(layer.bias, x.dtype))
    return tf.reshape(y, (batch, length, width))


def _glorot(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """Glorot's uniform initializer of a kernel that is one matrix with its axes split.

    Keras' own takes the axis of heads for the window of a convolution, and its weights come out
    several times too small.
    """
    limit = (6 / (fan_in + fan_out)) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)
