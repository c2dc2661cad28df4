"""The last layer and the loss in one, without the logits of a whole batch.

With a vocabulary of thousands the logits are by far the largest tensor of a step. Here they exist
for some rows at a time, small enough for the processor's cache, and the gradients are taken while
they are there: every logit is computed once and read a few times. Label smoothing costs nothing:
its share of loss and gradients is the same for every token of the vocabulary, so it needs the mean
of the projection alone.
"""

import tensorflow as tf

from keras_transformer.special_tokens import PAD

LOGITS_AT_ONCE = 2**23
"""Number of logits computed together; 32 MiB in float32."""


def projected_loss(
    x, label, kernel, bias=None, *, label_smoothing=0.0, transposed=False, static=False
):
    """Loss of the tokens predicted by ``x @ kernel + bias``.

    Equal to `losses.token_losses` of these logits, summed over the real tokens, and its gradients.

    Args:
        x: output of the decoder, ``(batch, seq, d_model)``.
        label: token ids, ``(batch, seq)``, padded with 0.
        kernel: float32 ``(d_model, vocab)``; ``(vocab, d_model)`` if `transposed`.
        bias: float32 ``(vocab,)`` or ``None``.
        label_smoothing: as for `MaskedLoss`.
        transposed: `kernel` is an embedding (tied output).
        static: keep every shape static, as XLA wants it; otherwise padding is left out of the work.

    Returns:
        four float32 scalars: the sum of the smoothed losses, through which gradients flow to `x`,
        `kernel` and `bias`; and, without gradients, the sum of the plain losses, the number of
        tokens whose label has the largest logit, and the number of real tokens.
    """
    label = tf.reshape(tf.cast(label, tf.int32), (-1,))
    x = tf.reshape(x, (-1, x.shape[-1]))
    real = label != PAD
    if not static:
        places = tf.where(real)[:, 0]
        x, label = tf.gather(x, places), tf.gather(label, places)
        weights = tf.ones_like(label, tf.float32)
    else:
        weights = tf.cast(real, tf.float32)
    kernel = tf.convert_to_tensor(kernel)
    vocab_size = kernel.shape[0 if transposed else 1]
    bias = tf.zeros(vocab_size) if bias is None else tf.convert_to_tensor(bias)
    loss, plain, correct = _chunked(x, kernel, bias, label, weights, label_smoothing, transposed)
    return loss, plain, correct, tf.reduce_sum(weights)


def _chunked(x, kernel, bias, label, weights, label_smoothing, transposed):
    depth = x.shape[-1]
    vocab_size = bias.shape[0]
    tokens, at_least = x.shape[0], max
    if tokens is None:
        tokens, at_least = tf.shape(x)[0], tf.maximum
    # Without a token there is one chunk without rows: a TensorArray of nothing cannot be stacked.
    chunks = at_least(1, -(-tokens // max(1, LOGITS_AT_ONCE // vocab_size)))
    rows = -(-tokens // chunks)

    def in_chunks(tensor):
        """``(tokens, ...)`` to ``(chunks, rows, ...)``, with zeros behind the last token."""
        padding = [(0, chunks * rows - tokens)] + [(0, 0)] * (tensor.shape.rank - 1)
        return tf.reshape(tf.pad(tensor, padding), (chunks, rows, *tensor.shape[1:]))

    @tf.custom_gradient
    def compute(x, kernel, bias):
        dtype = x.dtype
        weight_of = in_chunks(weights)
        label_of = in_chunks(label)
        x_of = in_chunks(x * tf.cast(weights, dtype)[:, tf.newaxis])
        projection, offsets = tf.cast(kernel, dtype), tf.cast(bias, dtype)
        share = label_smoothing / vocab_size

        def one_chunk(i, normalizers, label_logits, correct, grad_x, grad_kernel, grad_bias):
            inputs, weight = x_of[i], weight_of[i]
            logits = tf.matmul(inputs, projection, transpose_b=transposed) + offsets
            logits = tf.cast(logits, tf.float32)
            probabilities = tf.nn.softmax(logits)
            at_label = tf.stack([tf.range(rows), label_of[i]], axis=-1)
            label_logit = tf.gather_nd(logits, at_label)
            largest = tf.reduce_max(logits, axis=-1)
            # The log of the sum of exponentials, from a probability that cannot underflow.
            normalizer = largest - tf.math.log(tf.reduce_max(probabilities, axis=-1))
            slopes = tf.cast(
                tf.tensor_scatter_nd_sub(
                    probabilities, at_label, tf.fill((rows,), 1.0 - label_smoothing)
                ),
                dtype,
            )
            hits = tf.cast(label_logit >= largest, tf.float32)
            operands = (slopes, inputs) if transposed else (inputs, slopes)
            return (
                i + 1,
                normalizers + tf.reduce_sum(normalizer * weight),
                label_logits + tf.reduce_sum(label_logit * weight),
                correct + tf.reduce_sum(hits * weight),
                grad_x.write(i, tf.matmul(slopes, projection, transpose_b=not transposed)),
                grad_kernel + tf.cast(tf.matmul(*operands, transpose_a=True), tf.float32),
                grad_bias
                + tf.cast(tf.matmul(tf.cast(weight, dtype)[tf.newaxis], slopes)[0], tf.float32),
            )

        _, normalizers, label_logits, correct, grad_x, grad_kernel, grad_bias = tf.while_loop(
            lambda i, *_: i < chunks,
            one_chunk,
            (
                0,
                0.0,
                0.0,
                0.0,
                tf.TensorArray(dtype, size=chunks, element_shape=(None, depth)),
                tf.zeros(kernel.shape),
                tf.zeros(vocab_size),
            ),
            parallel_iterations=1,
        )
        grad_x = tf.reshape(grad_x.stack(), (-1, depth))[:tokens]
        plain = normalizers - label_logits
        loss = plain
        total = tf.reduce_sum(weights)
        if label_smoothing:
            vocab_axis = 0 if transposed else 1
            kernel_sum = tf.reduce_sum(kernel, axis=vocab_axis)  # (d_model,)
            x_sum = tf.reduce_sum(tf.cast(x_of, tf.float32), axis=(0, 1))
            all_logits = tf.tensordot(x_sum, kernel_sum, 1) + total * tf.reduce_sum(bias)
            loss += label_smoothing * label_logits - share * all_logits
            grad_x -= tf.cast(share * kernel_sum, dtype)
            grad_kernel -= share * tf.expand_dims(x_sum, vocab_axis)
            grad_bias -= share * total
        grad_x *= tf.cast(weights, dtype)[:, tf.newaxis]

        def gradient(upstream, *_):
            return tf.cast(upstream, dtype) * grad_x, upstream * grad_kernel, upstream * grad_bias

        return (loss, plain, correct), gradient

    return compute(x, kernel, bias)
