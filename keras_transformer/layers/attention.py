"""Attention: one formula, split into heads, wrapped into the three sub-layers of the model.

Attention Is All You Need, section 3.2. Every layer here obeys two laws: a hidden key never
changes a result, and a query with no visible key gives zero output, weights and gradients (where
the tutorial gives the average of what is hidden).
"""

import keras
import tensorflow as tf

from keras_transformer.layers import masks
from keras_transformer.layers.cache import write_slots
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.layer_normalization import LayerNormalization
from keras_transformer.layers.positional import rotate


def scaled_dot_product_attention(q, k, v, mask=None, *, dropout=None):
    """Attention Is All You Need, equation 1: ``softmax(q k^T / sqrt(dk)) v``.

    Leading dimensions are arbitrary and broadcast. In half precision the softmax is computed in
    float32.

    Args:
        q: queries, ``(..., query, depth)``.
        k: keys, ``(..., key, depth)``.
        v: values, ``(..., key, depth_v)``.
        mask: broadcasts to ``(..., query, key)``; bool means keep, float or integer 1 means
            hidden; ``None`` hides nothing.
        dropout: a callable that drops some of the weights in training.

    Returns:
        ``(output, attention_weights)`` of shapes ``(..., query, depth_v)`` and
        ``(..., query, key)``. The weights are those before dropout. A query with no visible key
        has zero output and weights.
    """
    dk = tf.cast(tf.shape(k)[-1], tf.float32)
    # Dividing before the product gives the same number and keeps float16 products in range.
    matmul_qk = tf.matmul(q / tf.cast(tf.math.sqrt(dk), q.dtype), k, transpose_b=True)
    logits = tf.cast(matmul_qk, tf.float64 if q.dtype == tf.float64 else tf.float32)
    if q.dtype == tf.float16:  # a product beyond its range came out infinite
        logits = tf.clip_by_value(logits, tf.float16.min, tf.float16.max)

    any_visible = None
    if mask is not None:
        keep = masks.as_keep_mask(mask)
        logits += tf.cast(~keep, logits.dtype) * -1e9
        any_visible = tf.cast(tf.reduce_any(keep, axis=-1, keepdims=True), v.dtype)

    attention_weights = tf.cast(tf.nn.softmax(logits, axis=-1), v.dtype)
    output = tf.matmul(dropout(attention_weights) if dropout else attention_weights, v)
    if any_visible is not None:
        output *= any_visible
        attention_weights *= any_visible
    return output, attention_weights


@keras.saving.register_keras_serializable("keras_transformer")
class MultiHeadAttention(keras.layers.Layer):
    """Attention of several heads side by side (Attention Is All You Need, section 3.2.2).

    The weights have the names and shapes of ``keras.layers.MultiHeadAttention``, so the weights
    of a model that used that layer load here.

    Args:
        d_model: width of the output; ``None`` takes the width of the query.
        num_heads: number of heads.
        key_dim: size of one head; ``d_model // num_heads`` unless given.
        dropout: rate at which attention weights are dropped in training.
        rotary: rotate queries and keys by their positions.

    Call arguments:
        v, k, q: values, keys and queries, ``(batch, seq, d_model)``; the order is the tutorial's,
            the keyword form reads better.
        mask: broadcasts to ``(batch, heads, query, key)``; bool means keep, float or integer 1
            means hidden.
        causal: hide every key after the query's own position.

    Returns:
        ``(output, attention_weights)`` of shapes ``(batch, query, d_model)`` and
        ``(batch, heads, query, key)``.

    Example:
        >>> attention = MultiHeadAttention(d_model=512, num_heads=8)
        >>> y = tf.random.uniform((1, 60, 512))
        >>> output, weights = attention(v=y, k=y, q=y)
        >>> output.shape, weights.shape
        (TensorShape([1, 60, 512]), TensorShape([1, 8, 60, 60]))
    """

    def __init__(self, d_model, num_heads, *, key_dim=None, dropout=0.0, rotary=False, **kwargs):
        super().__init__(**kwargs)
        if key_dim is None and d_model is not None and d_model % num_heads:
            raise ValueError(
                f"d_model ({d_model}) is not a multiple of num_heads ({num_heads}). "
                "Change one of them or give key_dim."
            )
        self.d_model = d_model
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        self.rotary = rotary
        self._dropout_layer = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, v_shape, k_shape=None, q_shape=None):
        k_shape, q_shape = k_shape or v_shape, q_shape or v_shape
        d_model = self.d_model or q_shape[-1]
        key_dim = self.key_dim or d_model // self.num_heads
        if self.rotary and key_dim % 2:
            raise ValueError(f"Rotary positions need heads of an even size; got {key_dim}.")
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

    def call(self, v, k, q, mask=None, causal=False, training=None):
        if q is k and k is v:  # self-attention: one product instead of three
            queries, keys, values = _project(q, self.query_dense, self.key_dense, self.value_dense)
            if self.rotary:
                queries, keys = rotate(queries), rotate(keys)
        else:
            keys, values = self.project_keys_values(k, v)
            queries = self._project_queries(q)
        return self._attend(queries, keys, values, mask, causal, training)

    def project_keys_values(self, k, v):
        """Keys and values of all heads.

        Args:
            k, v: ``(batch, key, width)``.

        Returns:
            two tensors ``(batch, heads, key, key_dim)``.
        """
        if k is v:
            keys, values = _project(k, self.key_dense, self.value_dense)
        else:
            (keys,), (values,) = _project(k, self.key_dense), _project(v, self.value_dense)
        return (rotate(keys) if self.rotary else keys), values

    def _project_queries(self, q):
        (queries,) = _project(q, self.query_dense)  # (batch, heads, query, key_dim)
        return rotate(queries) if self.rotary else queries

    def attend(self, q, keys, values, mask=None, *, causal=False, training=None):
        """Attention of queries over keys and values that are already projected.

        Args:
            q: ``(batch, query, width)``.
            keys, values: ``(batch, heads, key, key_dim)``.
            mask: as in the call.
            causal: as in the call.

        Returns:
            ``(output, attention_weights)`` as the call does.
        """
        queries = self._project_queries(q)
        return self._attend(queries, keys, values, mask, causal, training)

    def step(self, x, cache, position, visible):
        """Self-attention of one position; see `CausalSelfAttention.step`.

        Returns:
            ``((output, attention_weights), cache)``, the former as the call gives them.
        """
        projected = _project(x, self.query_dense, self.key_dense, self.value_dense)
        batch, heads, beams, key_dim = tf.unstack(tf.shape(projected[0]))
        if self.rotary:
            projected[:2] = (rotate(part, position) for part in projected[:2])
        queries, *new = (tf.reshape(part, (-1, beams, key_dim)) for part in projected)
        cache = tuple(
            write_slots(old, part, position * beams) for old, part in zip(cache, new, strict=True)
        )
        if visible.shape.rank > 1:
            visible = tf.repeat(visible, heads, axis=0)
        output, weights = scaled_dot_product_attention(queries, *cache, visible)
        output = tf.reshape(output, (batch, heads, beams, key_dim))
        weights = tf.reshape(weights, (batch, heads, beams, -1))
        return (_merge_heads(output, self.output_dense), weights), cache

    def _attend(self, queries, keys, values, mask, causal, training):
        if causal:
            future_hidden = masks.causal_keep_mask(tf.shape(queries)[2], tf.shape(keys)[2])
            mask = future_hidden if mask is None else masks.as_keep_mask(mask) & future_hidden
        drop = None
        if self.dropout:
            drop = lambda weights: self._dropout_layer(weights, training=training)  # noqa: E731
        output, weights = scaled_dot_product_attention(queries, keys, values, mask, dropout=drop)
        return _merge_heads(output, self.output_dense), weights

    def get_config(self):
        return {
            **super().get_config(),
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "rotary": self.rotary,
        }


def _project(x, *layers):
    """The heads of several projections of one tensor, computed as one matrix product.

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
    batch, length = tf.shape(x)[0], tf.shape(x)[1]
    y = tf.matmul(tf.reshape(x, (-1, width)), tf.cast(tf.concat(kernels, 1), x.dtype))
    y = tf.nn.bias_add(y, tf.cast(tf.concat(biases, 0), x.dtype))
    y = tf.reshape(y, (batch, length, len(layers), heads, key_dim))
    return tf.unstack(tf.transpose(y, (2, 0, 3, 1, 4)))


def _merge_heads(x, layer):
    """The output projection of ``(batch, heads, seq, key_dim)``: ``(batch, seq, d_model)``."""
    heads, key_dim, width = layer.kernel.shape
    batch, length = tf.shape(x)[0], tf.shape(x)[2]
    x = tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (-1, heads * key_dim))
    kernel = tf.reshape(layer.kernel, (heads * key_dim, width))
    y = tf.nn.bias_add(tf.matmul(x, tf.cast(kernel, x.dtype)), tf.cast(layer.bias, x.dtype))
    return tf.reshape(y, (batch, length, width))


def _glorot(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """Glorot's uniform initializer for a projection seen as one matrix.

    Keras' own would take the axis of heads in the kernel for the window of a convolution and
    start several times too small.
    """
    limit = (6 / (fan_in + fan_out)) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)


@keras.saving.register_keras_serializable("keras_transformer")
class BaseAttention(keras.layers.Layer):
    """What the attention sub-layers share: heads, residual connection and layer normalisation.

    Args:
        num_heads: number of heads.
        key_dim: size of one head; the width of the model divided by `num_heads` unless given.
        dropout: rate at which attention weights are dropped in training.
        residual_dropout: rate at which the output is dropped before the residual is added.
        norm_first: normalise the input of attention (pre-norm) instead of the sum (post-norm).
        layer_norm_epsilon: added to the variance.
        rotary: rotate queries and keys by their positions.

    After a call, `last_attn_scores` holds the attention weights, ``(batch, heads, query, key)``.
    """

    def __init__(
        self,
        num_heads,
        key_dim=None,
        dropout=0.0,
        *,
        residual_dropout=0.0,
        norm_first=False,
        layer_norm_epsilon=1e-6,
        rotary=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        self.residual_dropout = residual_dropout
        self.norm_first = norm_first
        self.layer_norm_epsilon = layer_norm_epsilon
        self.rotary = rotary
        self.mha = MultiHeadAttention(
            None,
            num_heads,
            key_dim=key_dim,
            dropout=dropout,
            rotary=rotary,
            dtype=self.dtype_policy,
        )
        self.layernorm = LayerNormalization(epsilon=layer_norm_epsilon, dtype=self.dtype_policy)
        self.add = keras.layers.Add(dtype=self.dtype_policy)
        self.dropout_layer = Dropout(residual_dropout, dtype=self.dtype_policy)
        self.last_attn_scores = None
        self.supports_masking = True

    def build(self, x_shape, context_shape=None):
        context_shape = context_shape or x_shape
        self.mha.build(context_shape, context_shape, x_shape)
        self.layernorm.build(x_shape)

    def _residual(self, x, attend, training=None):
        """Adds `attend` of `x` to `x`, normalising before or after, and keeps the weights."""
        output, self.last_attn_scores = attend(self.layernorm(x) if self.norm_first else x)
        x = self.add([x, self.dropout_layer(output, training=training)])
        return x if self.norm_first else self.layernorm(x)

    def _self_attention(self, x, x_mask, causal, training):
        """The whole sub-layer where queries, keys and values are one sequence."""
        mask = masks.over_heads_and_queries(masks.keras_mask(x) if x_mask is None else x_mask)

        def attend(q):
            return self.mha(v=q, k=q, q=q, mask=mask, causal=causal, training=training)

        return self._residual(x, attend, training)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "residual_dropout": self.residual_dropout,
            "norm_first": self.norm_first,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "rotary": self.rotary,
        }


@keras.saving.register_keras_serializable("keras_transformer")
class CrossAttention(BaseAttention):
    """The decoder looks at the encoder's output.

    Call arguments:
        x: ``(batch, target, d_model)``.
        context: output of the encoder, ``(batch, source, d_model)``.
        context_mask: which positions of `context` are real, ``(batch, source)`` bool, or any mask
            of `masks.over_heads_and_queries`; Keras fills it in when `context` carries a mask.

    Returns:
        ``(batch, target, d_model)``.
    """

    def call(self, x, context, context_mask=None, training=None):
        keys_values = self.mha.project_keys_values(context, context)
        return self.attend(x, keys_values, context_mask, training=training)

    def attend(self, x, keys_values, context_mask=None, training=None):
        """The call, with the keys and values of the context already projected."""
        mask = masks.over_heads_and_queries(context_mask)
        return self._residual(
            x, lambda q: self.mha.attend(q, *keys_values, mask, training=training), training
        )


@keras.saving.register_keras_serializable("keras_transformer")
class GlobalSelfAttention(BaseAttention):
    """Every position of the source looks at every other.

    Call arguments:
        x: ``(batch, seq, d_model)``.
        x_mask: which positions are real, ``(batch, seq)`` bool, or any mask of
            `masks.over_heads_and_queries`; the Keras mask of `x` unless given.

    Returns:
        ``(batch, seq, d_model)``.
    """

    def build(self, x_shape):
        super().build(x_shape)

    def call(self, x, x_mask=None, training=None):
        return self._self_attention(x, x_mask, causal=False, training=training)


@keras.saving.register_keras_serializable("keras_transformer")
class CausalSelfAttention(BaseAttention):
    """Every position of the target looks at itself and at those before it.

    Call arguments:
        x, x_mask: as for `GlobalSelfAttention`.
        causal: hide the future; ``False`` leaves that to `x_mask`.

    Returns:
        ``(batch, seq, d_model)``.
    """

    def build(self, x_shape):
        super().build(x_shape)

    def call(self, x, x_mask=None, causal=True, training=None):
        return self._self_attention(x, x_mask, causal=causal, training=training)

    def step(self, x, cache, position, visible):
        """One position of every beam, attending to cached ones and itself.

        Args:
            x: ``(batch, beams, d_model)``.
            cache: keys and values so far, two tensors ``(batch * heads, slots, key_dim)``; the
                beams of position ``p`` have the slots from ``p * beams`` on. (Batch and heads are
                one axis because XLA does not write in place into a buffer with an axis of 1,
                which it would be with one sentence.)
            position: scalar int32, the position of `x`.
            visible: which slots each beam may see, its own among them, bool, ``(slots,)`` or
                ``(batch, beams, slots)``.

        Returns:
            ``(output, cache)``: ``(batch, beams, d_model)`` and the cache with `x` in it.
        """

        def attend(q):
            nonlocal cache
            output, cache = self.mha.step(q, cache, position, visible)
            return output

        return self._residual(x, attend), cache
