"""Blockwise attention: equation 1 with memory linear in the length.

Queries and keys are split into blocks. For each block of queries the softmax is computed online
over the blocks of keys, with a running maximum and a running sum (Milakov and Gimelshein, 2018,
arXiv 1805.02867; Rabe and Staats, 2021, arXiv 2112.05682). The gradients compute the weights again
from the logarithm of that sum (Dao, 2023, arXiv 2307.08691). Blocks of keys that are hidden from a
whole block of queries are skipped.

Inside, a sequence is ``(blocks, batch, heads, size of a block, depth)``. Loops work on shapes of
one block, which XLA compiles once.
"""

from dataclasses import dataclass

import tensorflow as tf

from keras_transformer.layers import dropout
from keras_transformer.layers.attention.blocks import Blocks, MaskBlocks, dimensions
from keras_transformer.layers.attention.masks import as_keep_mask

BLOCK_SIZES = (256, 256)
"""Largest number of queries and of keys in a block."""

# Start of the running maxima: below any logit, and finite, so that no difference is NaN.
_LOWEST = -1e30


def blockwise_attention(
    query,
    key,
    value,
    *,
    key_lengths=None,
    mask=None,
    causal=False,
    query_offset=0,
    scale,
    dropout_rate=0.0,
    seed=None,
    block_sizes=BLOCK_SIZES,
) -> tf.Tensor:
    """Scaled dot-product attention with memory linear in the length, forward and backward.

    Computed in float32 (in float64 for float64), whatever the dtype of its arguments.

    Args:
        query, key, value, key_lengths, mask, causal, query_offset, scale, dropout_rate, seed: as
            for `dot_product.attention_of_heads`.
        block_sizes: largest number of queries and of keys in a block.

    Returns:
        ``(batch, heads, query, depth_v)``; zeros for a query with no visible key.
    """
    offset = tf.cast(query_offset, tf.int32) if causal else None
    if key_lengths is not None:
        key_lengths = tf.cast(key_lengths, tf.int32)
    if mask is not None:
        mask = as_keep_mask(mask)
        mask = mask[(tf.newaxis,) * (4 - mask.shape.rank)]
    seed = tf.cast(seed, tf.int64) if dropout_rate else None
    # An eager tape would keep the tensors of every block; the gradient of a function does not.
    attend = _attend_in_a_function if tf.executing_eagerly() else _attend
    return attend(
        query, key, value, key_lengths, mask, offset, seed, scale, dropout_rate, block_sizes
    )


def _attend(query, key, value, key_lengths, mask, offset, seed, scale, dropout_rate, block_sizes):
    """`blockwise_attention` of tensors; `offset` is ``None`` if not causal."""
    queries = Blocks.of(dimensions(query)[2], block_sizes[0])
    keys = Blocks.of(dimensions(key)[2], block_sizes[1])
    blocks = _BlockwiseAttention(
        queries=queries,
        keys=keys,
        key_limits=_key_limits(key_lengths, keys),
        mask=None if mask is None else MaskBlocks.of(mask, queries, keys),
        query_offset=offset,
        scale=scale,
        dropout_rate=dropout_rate,
        seed=seed,
    )

    @tf.custom_gradient
    def attend(query, key, value):
        inputs = queries.split(query), keys.split(key), keys.split(value)
        output_blocks, normalisers = blocks.forward(*inputs)
        output = queries.join(output_blocks)

        def gradients(output_gradient):
            # Splitting again is cheaper than keeping the blocks until now.
            inputs = queries.split(query), keys.split(key), keys.split(value)
            results = blocks.backward(
                *inputs, queries.split(output), normalisers, queries.split(output_gradient)
            )
            return tuple(
                axis.join(result)
                for axis, result in zip((queries, keys, keys), results, strict=True)
            )

        return output, gradients

    output = attend(query, key, value)
    output.set_shape((*query.shape[:3], value.shape[3]))
    return output


_attend_in_a_function = tf.function(_attend, reduce_retracing=True, autograph=False)


@dataclass(frozen=True)
class _BlockwiseAttention:
    """The computation of one call, without its tensors.

    Attributes:
        queries, keys: blocks of the sequences.
        key_limits: number of keys, int32 ``(batch or 1, 1, 1, 1)``; ``None`` if every block is
            full.
        mask: further mask, or ``None``.
        query_offset: int32 scalar with a causal mask, else ``None``.
        scale, dropout_rate, seed: as in `blockwise_attention`.
    """

    queries: Blocks
    keys: Blocks
    key_limits: tf.Tensor | None
    mask: MaskBlocks | None
    query_offset: tf.Tensor | None
    scale: float
    dropout_rate: float
    seed: tf.Tensor | None

    def forward(self, queries, keys, values):
        """Computes the output and the normalisers that the gradients need.

        Args:
            queries, keys, values: ``(blocks, batch, heads, size, depth)`` each.

        Returns:
            ``(output, normalisers)``: ``(blocks, batch, heads, size, depth_v)``, and the logarithm
            of the sum in the softmax, ``(blocks, batch, heads, size, 1)``, infinite where no key
            is visible.
        """
        _, batch, heads, size, _ = dimensions(queries)
        depth = dimensions(values)[-1]
        compute = compute_dtype(queries)

        def one_query_block(i, outputs, normalisers):
            q = self._scaled(queries, i)
            rows = dimensions(q)[:3]

            def one_key_block(j, output, total, largest):
                logits = self._logits(q, _block(keys, j), i, j)
                new_largest = tf.maximum(largest, tf.reduce_max(logits, -1, keepdims=True))
                weights = tf.exp(logits - new_largest)
                shrink = tf.exp(largest - new_largest)
                total = total * shrink + tf.reduce_sum(weights, -1, keepdims=True)
                output = output * shrink + tf.matmul(self._drop(weights, i, j), _block(values, j))
                return output, total, new_largest

            output, total, largest = self._over_visible_keys(
                i,
                one_key_block,
                tf.zeros((*rows, depth), compute),
                tf.zeros((*rows, 1), compute),
                tf.fill((*rows, 1), tf.constant(_LOWEST, compute)),
            )
            output = tf.cast(tf.math.divide_no_nan(output, total), queries.dtype)
            infinity = tf.constant(float("inf"), compute)
            normaliser = tf.where(total > 0, largest + tf.math.log(total), infinity)
            return outputs.write(i, output), normalisers.write(i, normaliser)

        outputs, normalisers = _loop(
            self.queries.count,
            one_query_block,
            _zero_blocks((self.queries.count, batch, heads, size, depth), queries.dtype),
            _zero_blocks((self.queries.count, batch, heads, size, 1), compute),
        )
        return outputs.stack(), normalisers.stack()

    def backward(self, queries, keys, values, outputs, normalisers, output_gradients):
        """Computes the gradients of queries, keys and values, in blocks.

        With weights ``p = exp(logits - normaliser)`` and their gradients ``dp``, the gradients of
        the logits are ``p * (dp - sum(p * dp))``. The sum over keys equals
        ``sum(output * output_gradient)`` over the depth.
        """
        compute = compute_dtype(queries)

        def one_query_block(i, query_gradients, key_gradients, value_gradients):
            q, normaliser = self._scaled(queries, i), tf.gather(normalisers, i)
            output_gradient = _block(output_gradients, i)
            mean = tf.reduce_sum(output_gradient * _block(outputs, i), -1, keepdims=True)

            def one_key_block(j, query_gradient, key_gradients, value_gradients):
                k, v = _block(keys, j), _block(values, j)
                weights = tf.exp(self._logits(q, k, i, j) - normaliser)
                kept = self._drop(weights, i, j)
                weight_gradients = tf.matmul(output_gradient, v, transpose_b=True)
                # Dropout acts on the gradients of the weights as on the weights.
                logit_gradients = kept * weight_gradients - weights * mean
                key_gradient = tf.matmul(logit_gradients, q, transpose_a=True)
                value_gradient = tf.matmul(kept, output_gradient, transpose_a=True)
                return (
                    query_gradient + tf.matmul(logit_gradients, k),
                    key_gradients.write(j, key_gradients.read(j) + key_gradient),
                    value_gradients.write(j, value_gradients.read(j) + value_gradient),
                )

            query_gradient, key_gradients, value_gradients = self._over_visible_keys(
                i, one_key_block, tf.zeros_like(q), key_gradients, value_gradients
            )
            query_gradient = tf.cast(query_gradient * self.scale, queries.dtype)
            return query_gradients.write(i, query_gradient), key_gradients, value_gradients

        gradients = _loop(
            self.queries.count,
            one_query_block,
            _zero_blocks(dimensions(queries), queries.dtype),
            _zero_blocks(dimensions(keys), compute),
            _zero_blocks(dimensions(values), compute),
        )
        return [tf.cast(gradient.stack(), queries.dtype) for gradient in gradients]

    def _scaled(self, queries, i):
        return _block(queries, i) * self.scale

    def _logits(self, q, k, i, j):
        """Logits of the scaled query block `i` and key block `j`, ``-inf`` where hidden.

        Returns:
            ``(batch, heads, queries, keys)``.
        """
        logits = tf.matmul(q, k, transpose_b=True)
        columns = j * self.keys.size + tf.range(tf.shape(k)[2])
        visible = []
        if self.key_limits is not None:
            visible.append(columns < self.key_limits)
        if self.query_offset is not None:
            rows = i * self.queries.size + tf.range(tf.shape(q)[2])
            visible.append(columns <= rows[:, tf.newaxis] + self.query_offset)
        if self.mask is not None:
            visible.append(self.mask.at(i, j))
        for keep in visible:
            logits = tf.where(keep, logits, tf.constant(float("-inf"), logits.dtype))
        return logits

    def _drop(self, weights, i, j):
        """Dropout of the weights; its mask follows from the seed and the place of the block."""
        if not self.dropout_rate:
            return weights
        place = tf.cast(i * self.keys.count + j, tf.int64)
        seed = tf.random.experimental.stateless_fold_in(self.seed, place, alg="philox")
        return dropout.drop(weights, self.dropout_rate, seed)

    def _over_visible_keys(self, i, body, *state):
        """Loops over the key blocks with keys that are visible from query block `i`."""
        end = self.keys.length if self.key_limits is None else tf.reduce_max(self.key_limits)
        if self.query_offset is not None:
            end = tf.minimum(end, (i + 1) * self.queries.size + self.query_offset)
        count = tf.clip_by_value(-(-end // self.keys.size), 0, self.keys.count)
        return _loop(count, body, *state)


def _loop(count, body, *state):
    """The state after ``body(index, *state)`` for every index below `count`.

    Iterations are not run in parallel, where each would need its own memory.
    """

    def step(index, *state):
        new_state = body(index, *state)
        for new, old in zip(new_state, state, strict=True):
            if tf.is_tensor(new):
                new.set_shape(old.shape)
        return index + 1, *new_state

    first = tf.constant(0)
    _, *state = tf.while_loop(
        lambda index, *_: index < count, step, (first, *state), parallel_iterations=1
    )
    return state


def _zero_blocks(shape, dtype) -> tf.TensorArray:
    """A `TensorArray` of zeros, for loops to fill: XLA must know its shape before the loop."""
    zeros = tf.zeros(shape, dtype)
    blocks = tf.TensorArray(
        dtype, size=shape[0], element_shape=zeros.shape[1:], clear_after_read=False
    )
    return blocks.unstack(zeros)


def _block(blocks, index):
    """One block, in the dtype of computation."""
    return tf.cast(tf.gather(blocks, index), compute_dtype(blocks))


def compute_dtype(x) -> tf.DType:
    """The dtype that attention of `x` is computed in: float32, or float64 for float64."""
    return tf.float64 if x.dtype == tf.float64 else tf.float32


def _key_limits(key_lengths, keys: Blocks):
    """Number of keys, int32 ``(batch or 1, 1, 1, 1)``; ``None`` without padding."""
    if key_lengths is not None:
        return tf.reshape(tf.minimum(key_lengths, keys.length), (-1, 1, 1, 1))
    if isinstance(keys.padding, int) and keys.padding == 0:
        return None
    return tf.reshape(tf.convert_to_tensor(keys.length, tf.int32), (1, 1, 1, 1))
