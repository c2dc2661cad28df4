"""The last layer and the loss in one, without the logits of a whole batch.

With a vocabulary of thousands the logits are by far the largest tensor of a step. Here they exist
for some rows at a time, small enough for the processor's cache, and the gradients are taken while
they are there: every logit is computed once and read a few times. Label smoothing costs nothing:
its share of loss and gradients is the same for every token of the vocabulary, so it needs the mean
of the projection alone.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_transformer.losses.metrics import predicted_tokens
from keras_transformer.losses.r_drop import divergences_with_slopes
from keras_transformer.special_tokens import PAD

LOGITS_AT_ONCE = 2**20
"""Number of logits computed together on a CPU: 4 MiB in float32, which its cache holds."""

LOGITS_AT_ONCE_ON_GPU = 2**23
"""The same on a GPU, which small products leave idle."""


def projected_loss(
    x,
    label,
    kernel,
    bias=None,
    *,
    label_smoothing=0.0,
    r_drop=0.0,
    transposed=False,
    static=False,
):
    """Loss of the tokens predicted by ``x @ kernel + bias``.

    Equal to `losses.token_losses` of these logits, summed over the real tokens, and its gradients.

    Args:
        x: output of the decoder, ``(batch, seq, d_model)``.
        label: token ids, ``(batch, seq)``, padded with 0.
        kernel: float32 ``(d_model, vocab)``; ``(vocab, d_model)`` if `transposed`.
        bias: float32 ``(vocab,)`` or ``None``.
        label_smoothing: as for `MaskedLoss`.
        r_drop: weight of `losses.r_drop.divergences`; if it is above 0, `x` and `label`
            hold the batch twice, one after the other.
        transposed: `kernel` is an embedding (tied output).
        static: keep every shape static, as XLA wants it; otherwise padding is left out of the work.

    Returns:
        four float32 scalars: the sum of the smoothed losses and of the divergences times their
        weight, through which gradients flow to `x`, `kernel` and `bias`; and, without gradients,
        the sum of the plain losses, the number of tokens whose label is the predicted one
        (`predicted_tokens`), and the number of real tokens. A batch that is there twice counts
        twice in all of them.
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
    loss, plain, correct = _loss_with_gradients(
        x, kernel, bias, label, weights, label_smoothing, r_drop, transposed
    )
    return loss, plain, correct, tf.reduce_sum(weights)


class _Sums(NamedTuple):
    """What is added up over the tokens, or over the chunks done so far; float32.

    Attributes:
        normalizers: logarithms of the sums of exponentials.
        label_logits: logits of the labels.
        correct: 1 for each label that is the predicted token.
        divergences: between the two passes, times their weight; see `divergences`.
        grad_kernel, grad_bias: gradients of the loss without what label smoothing spreads.
    """

    normalizers: tf.Tensor
    label_logits: tf.Tensor
    correct: tf.Tensor
    divergences: tf.Tensor
    grad_kernel: tf.Tensor
    grad_bias: tf.Tensor


class _Chunks:
    """Division of tokens into chunks of equally many rows, the last one filled up with zeros.

    Args:
        tokens: their number, an int or a scalar tensor.
        vocab_size: number of logits of each.
        passes: 2 if the second half of the tokens repeats the first. A chunk then holds the same
            tokens of both, one half after the other.
    """

    def __init__(self, tokens, vocab_size, passes=1):
        at_least = max if isinstance(tokens, int) else tf.maximum
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
        at_once = (LOGITS_AT_ONCE_ON_GPU if on_gpu else LOGITS_AT_ONCE) // passes
        self.passes = passes
        self.tokens = tokens // passes
        # Without a token there is one chunk without rows: a TensorArray of nothing has no stack.
        self.number = at_least(1, -(-self.tokens // max(1, at_once // vocab_size)))
        self.rows = -(-self.tokens // self.number)

    def split(self, tensor):
        """``(tokens, ...)`` to ``(chunks, passes * rows, ...)``."""
        sizes = tensor.shape[1:]
        tensor = tf.reshape(tensor, (self.passes, self.tokens, *sizes))
        missing = self.number * self.rows - self.tokens
        tensor = tf.pad(tensor, [(0, 0), (0, missing)] + [(0, 0)] * len(sizes))
        tensor = tf.reshape(tensor, (self.passes, self.number, self.rows, *sizes))
        tensor = _swapped(tensor) if self.passes > 1 else tensor
        return tf.reshape(tensor, (self.number, self.passes * self.rows, *sizes))

    def join(self, parts: tf.TensorArray, depth):
        """``(passes * rows, depth)`` of every chunk to ``(tokens, depth)``."""
        tensor = parts.stack()
        if self.passes > 1:
            tensor = _swapped(tf.reshape(tensor, (self.number, self.passes, self.rows, depth)))
        tensor = tf.reshape(tensor, (self.passes, self.number * self.rows, depth))
        return tf.reshape(tensor[:, : self.tokens], (self.passes * self.tokens, depth))


def _swapped(tensor):
    """The tensor with its first two axes in the other order."""
    return tf.transpose(tensor, (1, 0, *range(2, tensor.shape.rank)))


def _loss_with_gradients(x, kernel, bias, label, weights, label_smoothing, r_drop, transposed):
    """Sums of smoothed losses, of plain losses and of matches, from which the first has gradients.

    Args:
        x: ``(tokens, d_model)``.
        kernel, bias, transposed, label_smoothing, r_drop: as for `projected_loss`.
        label, weights: ``(tokens,)``; a weight is 1 for a real token, else 0.
    """

    @tf.custom_gradient
    def compute(x, kernel, bias):
        weight = tf.cast(weights, x.dtype)[:, tf.newaxis]
        real_x = x * weight
        sums, grad_x = _over_chunks(
            real_x, kernel, bias, label, weights, 1.0 - label_smoothing, r_drop, transposed
        )
        plain = sums.normalizers - sums.label_logits
        loss, grad_kernel, grad_bias = plain, sums.grad_kernel, sums.grad_bias
        if r_drop:
            loss += sums.divergences
        if label_smoothing:
            vocab_axis = 0 if transposed else 1
            share = label_smoothing / bias.shape[0]
            tokens = tf.reduce_sum(weights)
            kernel_sum = tf.reduce_sum(kernel, axis=vocab_axis)  # (d_model,)
            x_sum = tf.reduce_sum(tf.cast(real_x, tf.float32), axis=0)
            all_logits = tf.tensordot(x_sum, kernel_sum, 1) + tokens * tf.reduce_sum(bias)
            loss += label_smoothing * sums.label_logits - share * all_logits
            grad_x -= tf.cast(share * kernel_sum, x.dtype)
            grad_kernel -= share * tf.expand_dims(x_sum, vocab_axis)
            grad_bias -= share * tokens
        grad_x *= weight

        def gradient(upstream, *_):
            return tf.cast(upstream, x.dtype) * grad_x, upstream * grad_kernel, upstream * grad_bias

        return (loss, plain, sums.correct), gradient

    return compute(x, kernel, bias)


def _over_chunks(x, kernel, bias, label, weights, label_share, r_drop, transposed):
    """The `_Sums` of all tokens, and the gradient of `x`, ``(tokens, d_model)``."""
    depth = x.shape[-1]
    tokens = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
    chunks = _Chunks(tokens, bias.shape[0], passes=2 if r_drop else 1)
    x_of, label_of, weight_of = map(chunks.split, (x, label, weights))
    projection = tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype), transposed

    def add_chunk(i, sums, grad_x):
        found, grad = _one_chunk(x_of[i], label_of[i], weight_of[i], *projection, r_drop)
        return i + 1, _Sums(*map(tf.add, sums, found)), grad_x.write(i, grad)

    nothing = _Sums(0.0, 0.0, 0.0, 0.0, tf.zeros(kernel.shape), tf.zeros(bias.shape))
    _, sums, grad_x = tf.while_loop(
        lambda i, *_: i < chunks.number,
        add_chunk,
        (0, nothing, tf.TensorArray(x.dtype, size=chunks.number, element_shape=(None, depth))),
        parallel_iterations=1,
    )
    grad_x = chunks.join(grad_x, depth)
    # What the labels take from the slopes: one row of the embedding for each token.
    shares = label_share * weights[:, tf.newaxis]
    of_labels = tf.gather(kernel if transposed else tf.transpose(kernel), label)
    grad_x -= tf.cast(shares * of_labels, x.dtype)
    of_x = _sums_by_label(shares * tf.cast(x, tf.float32), label, bias.shape[0])
    return sums._replace(
        grad_kernel=sums.grad_kernel - (of_x if transposed else tf.transpose(of_x)),
        grad_bias=sums.grad_bias - _sums_by_label(shares, label, bias.shape[0])[:, 0],
    ), grad_x


def _sums_by_label(vectors, label, vocab_size):
    """Sums of the ``(tokens, n)`` vectors of each label: ``(vocab, n)``."""
    return tf.math.unsorted_segment_sum(vectors, label, vocab_size)


def _one_chunk(x, label, weight, kernel, bias, transposed, r_drop):
    """The `_Sums` of a chunk and the gradient of its `x`, as if no token were the label.

    Without labels a slope is a probability. The exponentials serve in its place, and what divides
    them goes to the smaller tensors.

    Args:
        x: ``(rows, d_model)``, zeros where the weight is 0.
        label, weight: ``(rows,)``.
        kernel, bias: in the dtype of `x`.
        transposed, r_drop: as for `projected_loss`.

    Returns:
        the sums, and ``(rows, d_model)``.
    """
    logits = tf.nn.bias_add(tf.matmul(x, kernel, transpose_b=transposed), bias)
    logits = tf.cast(logits, tf.float32)
    predicted = predicted_tokens(logits)
    largest, label_logit = (tf.gather(logits, ids, batch_dims=1) for ids in (predicted, label))
    exponentials = tf.exp(logits - largest[:, tf.newaxis])
    total = tf.reduce_sum(exponentials, axis=-1, keepdims=True)
    normalizer = largest + tf.math.log(total[:, 0])
    slopes, scale, divergence = exponentials, tf.math.reciprocal(total), 0.0
    if r_drop:
        probabilities, scale = exponentials / total, tf.ones_like(total)
        divergence, apart = divergences_with_slopes(logits, probabilities)
        divergence = r_drop * tf.reduce_sum(divergence * weight)
        slopes = probabilities + r_drop * apart
    slopes, scale = tf.cast(slopes, x.dtype), tf.cast(scale, x.dtype)
    scaled_x = x * scale
    operands = (slopes, scaled_x) if transposed else (scaled_x, slopes)
    row_scale = scale * tf.cast(weight, x.dtype)[:, tf.newaxis]
    sums = _Sums(
        tf.reduce_sum(normalizer * weight),
        tf.reduce_sum(label_logit * weight),
        tf.reduce_sum(tf.cast(predicted == label, tf.float32) * weight),
        divergence,
        tf.cast(tf.matmul(*operands, transpose_a=True), tf.float32),
        tf.cast(tf.matmul(row_scale, slopes, transpose_a=True)[0], tf.float32),
    )
    return sums, tf.matmul(slopes, kernel, transpose_b=not transposed) * scale
