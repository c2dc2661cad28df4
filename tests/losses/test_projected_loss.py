"""The loss without the logits of a whole batch equals the loss of those logits."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.losses import projected as module
from keras_transformer.losses.masked import token_losses
from keras_transformer.losses.metrics import masked_accuracy
from keras_transformer.losses.projected import projected_loss

DEPTH, VOCABULARY = 4, 11
LABEL = np.array([[3, 6, 1, 9, 0, 0], [2, 0, 0, 0, 0, 0], [10, 1, 7, 3, 3, 5]])
REAL = LABEL != 0
TOKENS = int(REAL.sum())  # 11 of 18

CHUNKS = pytest.mark.parametrize(
    "logits_at_once",
    [2**23, 1, VOCABULARY, 2 * VOCABULARY, 4 * VOCABULARY + 3, TOKENS * VOCABULARY],
    ids=["all", "less_than_a_row", "a_row", "two_rows", "four_rows", "exactly_all"],
)
STATIC = pytest.mark.parametrize("static", [False, True], ids=["gathered", "static"])
SMOOTHING = pytest.mark.parametrize("label_smoothing", [0.0, 0.1])


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(
    params=[
        "kernel",
        pytest.param("kernel_and_bias", marks=pytest.mark.slow),
        pytest.param("tied", marks=pytest.mark.slow),
        "tied_and_bias",
    ]
)
def variables(request, rng):
    """x, kernel and perhaps bias; the kernel stands as an embedding does where it is tied."""
    shapes = [(*LABEL.shape, DEPTH), (DEPTH, VOCABULARY)]
    if "tied" in request.param:
        shapes[1] = (VOCABULARY, DEPTH)
    if "bias" in request.param:
        shapes.append((VOCABULARY,))
    return [tf.Variable(rng.normal(size=shape), dtype=tf.float32) for shape in shapes]


def logits_of(x, kernel, bias=None):
    transposed = kernel.shape[1] == x.shape[-1]
    logits = tf.matmul(x, tf.cast(kernel, x.dtype), transpose_b=transposed)
    return logits if bias is None else logits + tf.cast(bias, x.dtype)


def by_logits(variables, label, label_smoothing=0.0, scale=1.0):
    """What `projected_loss` returns and the gradients of the loss, from all logits at once."""
    with tf.GradientTape() as tape:
        logits = logits_of(*variables)
        losses, weights = token_losses(label, logits, label_smoothing)
        loss = tf.reduce_sum(losses)
        scaled = loss * scale
    plain = tf.reduce_sum(token_losses(label, logits)[0])
    tokens = tf.reduce_sum(weights)
    correct = masked_accuracy(label, logits) * tokens
    return [loss, plain, correct, tokens], tape.gradient(scaled, variables)


def projected(variables, label, label_smoothing=0.0, scale=1.0, **options):
    x, kernel, *bias = variables
    with tf.GradientTape() as tape:
        answers = projected_loss(
            x,
            label,
            kernel,
            *bias,
            label_smoothing=label_smoothing,
            transposed=kernel.shape[1] == x.shape[-1],
            **options,
        )
        scaled = answers[0] * scale
    return list(answers), tape.gradient(scaled, variables)


def assert_equal(actual, expected, tolerance=1e-5):
    answers, gradients = actual
    wanted_answers, wanted_gradients = expected
    for answer, wanted in zip(answers, wanted_answers, strict=True):
        assert answer.dtype == tf.float32
        assert answer.shape == ()
        np.testing.assert_allclose(answer, wanted, rtol=tolerance, atol=tolerance)
    for gradient, wanted in zip(gradients, wanted_gradients, strict=True):
        assert gradient.dtype == wanted.dtype
        gradient, wanted = (tf.cast(x, tf.float32).numpy() for x in (gradient, wanted))
        np.testing.assert_allclose(gradient, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


# Laws


@STATIC
@SMOOTHING
@CHUNKS
def test_equals_the_loss_of_all_logits(
    variables, label_smoothing, static, logits_at_once, monkeypatch
):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", logits_at_once)
    answers, gradients = projected(variables, LABEL, label_smoothing, static=static)
    assert_equal((answers, gradients), by_logits(variables, LABEL, label_smoothing))
    assert float(answers[3]) == TOKENS


@pytest.mark.parametrize(
    "logits_at_once",
    [pytest.param(2**23, marks=pytest.mark.slow), 4 * VOCABULARY + 3],
    ids=["all", "four_rows"],
)
@pytest.mark.parametrize(
    ("static", "jit_compile"),
    [(False, False), (True, False), (True, True)],
    ids=["graph_gathered", "graph_static", "xla"],
)
def test_compiled_equals_the_loss_of_all_logits(
    variables, static, jit_compile, logits_at_once, monkeypatch
):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", logits_at_once)
    call = tf.function(
        lambda label: projected(variables, label, 0.1, static=static), jit_compile=jit_compile
    )
    assert_equal(call(tf.constant(LABEL)), by_logits(variables, LABEL, 0.1))


@pytest.mark.parametrize("logits_at_once", [2**23, 2 * VOCABULARY])
def test_one_graph_serves_every_shape(variables, logits_at_once, monkeypatch):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", logits_at_once)
    _, *weights = variables

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, DEPTH)),
            tf.TensorSpec((None, None), tf.int64),
        ]
    )
    def call(x, label):
        with tf.GradientTape() as tape:
            tape.watch(x)
            kernel, *bias = weights
            answers = projected_loss(
                x, label, kernel, *bias, label_smoothing=0.1, transposed=kernel.shape[1] == DEPTH
            )
        return list(answers), tape.gradient(answers[0], [x, *weights])

    for rows, length in ((3, 6), (2, 4), (1, 1)):
        label = LABEL[:rows, :length]
        part = [tf.Variable(variables[0][:rows, :length]), *weights]
        assert_equal(call(part[0], tf.constant(label)), by_logits(part, label, 0.1))


@STATIC
@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float32])
def test_labels_of_any_kind(variables, static, kind):
    expected = by_logits(variables, LABEL)
    assert_equal(projected(variables, LABEL.astype(kind), static=static), expected)


# Padding


@STATIC
@pytest.mark.parametrize("logits_at_once", [2**23, 2 * VOCABULARY])
def test_padding_does_not_matter(variables, static, logits_at_once, monkeypatch):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", logits_at_once)
    answers, gradients = projected(variables, LABEL, 0.1, static=static)
    x, *weights = variables
    loud = tf.Variable(tf.where(REAL[..., np.newaxis], x, 1e3))
    longer = tf.Variable(tf.pad(loud, ((0, 1), (0, 2), (0, 0)), constant_values=-1e3))
    label = np.pad(LABEL, ((0, 1), (0, 2)))
    for padded, labels in ((loud, LABEL), (longer, label)):
        found, (grad_x, *others) = projected([padded, *weights], labels, 0.1, static=static)
        assert not np.any(grad_x.numpy()[labels == 0])
        assert_equal((found, [grad_x[:3, :6], *others]), (answers, gradients))
    assert not np.any(gradients[0].numpy()[~REAL])
    assert np.all(np.any(gradients[0].numpy()[REAL], axis=-1))


@pytest.mark.parametrize("label_smoothing", [pytest.param(0.0, marks=pytest.mark.slow), 0.1])
@pytest.mark.parametrize(
    ("static", "mode"),
    [
        (False, "eager"),
        (True, "eager"),
        (False, "graph"),
        (True, "graph"),
        (True, "xla"),
    ],
)
def test_a_batch_of_nothing_but_padding_gives_zeros(variables, label_smoothing, static, mode):
    call = lambda label: projected(variables, label, label_smoothing, static=static)  # noqa: E731
    if mode != "eager":
        call = tf.function(call, jit_compile=mode == "xla")
    answers, gradients = call(tf.zeros(LABEL.shape, tf.int64))
    assert not np.any(answers)
    for gradient, variable in zip(gradients, variables, strict=True):
        assert gradient.shape == variable.shape
        assert not np.any(gradient)


@STATIC
def test_a_batch_without_padding(variables, static):
    label = np.where(REAL, LABEL, 1)
    assert_equal(projected(variables, label, 0.1, static=static), by_logits(variables, label, 0.1))


# Gradients


@STATIC
@pytest.mark.parametrize("scale", [3.0, 0.0, -0.5])
def test_the_upstream_gradient_passes_through(variables, static, scale):
    _, gradients = projected(variables, LABEL, 0.1)
    answers, scaled = projected(variables, LABEL, 0.1, scale, static=static)
    assert_equal((answers, scaled), by_logits(variables, LABEL, 0.1, scale))
    for gradient, original in zip(scaled, gradients, strict=True):
        np.testing.assert_allclose(gradient, scale * original, rtol=1e-4, atol=1e-5)


@STATIC
def test_plain_loss_and_counts_carry_no_gradient(variables, static):
    x, kernel, *bias = variables
    with tf.GradientTape() as tape:
        answers = projected_loss(
            x, LABEL, kernel, *bias, transposed=kernel.shape[1] == DEPTH, static=static
        )
        others = tf.add_n(answers[1:])
    for gradient in tape.gradient(others, variables, unconnected_gradients="zero"):
        assert not np.any(gradient)


def test_what_needs_no_gradient_gets_none(variables):
    x, kernel, *bias = variables
    frozen = [tf.constant(kernel), *map(tf.constant, bias)]
    _, (expected, *_) = by_logits(variables, LABEL)
    with tf.GradientTape() as tape:
        loss, *_ = projected_loss(x, LABEL, *frozen, transposed=kernel.shape[1] == DEPTH)
    np.testing.assert_allclose(tape.gradient(loss, x), expected, atol=1e-5)


# Numbers


@STATIC
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_precision_rounds_little(variables, static, label_smoothing, dtype):
    """Against float32 from the same rounded x: the answers and gradients are sums in float32."""
    x, *weights = variables
    rounded = tf.Variable(tf.cast(x, dtype))
    answers, (grad_x, *gradients) = projected(
        [rounded, *weights], LABEL, label_smoothing, static=static
    )
    assert grad_x.dtype == dtype
    exact = by_logits([tf.Variable(tf.cast(rounded, tf.float32)), *weights], LABEL, label_smoothing)
    answers[2] = exact[0][2]  # a tie may be broken otherwise
    tolerance = 3e-2 if dtype == tf.bfloat16 else 4e-3
    assert_equal((answers, [tf.cast(grad_x, tf.float32), *gradients]), exact, tolerance)


def test_many_half_precision_losses_are_summed_in_float32(monkeypatch):
    """5,000 tokens of loss 20 sum to more than float16 holds, and bfloat16 would stand still."""
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 100 * VOCABULARY)
    label = np.full((50, 100), 2)
    kernel = np.zeros((1, VOCABULARY), "float32")
    kernel[0, 1] = 20
    for dtype in (tf.float16, tf.bfloat16):
        loss, plain, correct, tokens = projected_loss(
            tf.ones((50, 100, 1), dtype), label, kernel, label_smoothing=0.0
        )
        assert float(loss) == pytest.approx(5000 * 20, rel=1e-5)
        assert float(plain) == pytest.approx(5000 * 20, rel=1e-5)
        assert (float(correct), float(tokens)) == (0, 5000)


@STATIC
@SMOOTHING
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits_stay_finite_and_right(size, static, label_smoothing):
    x = tf.Variable(np.full((1, 2, 1), size), dtype=tf.float32)
    kernel = tf.Variable([[-1.0, 0.0, 1.0]])
    label = np.array([[1, 2]])
    answers, gradients = projected([x, kernel], label, label_smoothing, static=static)
    for tensor in (*answers, *gradients):
        assert np.isfinite(tensor).all()
    assert_equal((answers, gradients), by_logits([x, kernel], label, label_smoothing))
    assert float(answers[1]) == pytest.approx(1e4 if size > 0 else 1e4 + 2e4)


def test_correct_counts_labels_with_the_largest_logit(rng):
    kernel = np.eye(VOCABULARY, dtype="float32")
    x = 5 * np.eye(VOCABULARY, dtype="float32")[LABEL]  # predicts every label
    x[0, 0] = x[2, 5] = np.eye(VOCABULARY)[4]  # but these two
    for static in (False, True):
        *_, correct, tokens = projected_loss(tf.constant(x), LABEL, kernel, static=static)
        assert (float(correct), float(tokens)) == (TOKENS - 2, TOKENS)


@pytest.mark.parametrize(
    ("static", "mode"),
    [(False, "eager"), (True, "eager"), (False, "graph"), (True, "graph"), (True, "xla")],
)
@pytest.mark.parametrize(
    "dtype", [tf.float32, pytest.param(tf.float16, marks=pytest.mark.slow), tf.bfloat16]
)
@pytest.mark.parametrize("logits_at_once", [2**23, 2 * VOCABULARY], ids=["all", "two_rows"])
def test_ties_are_counted_as_the_metric_counts_them(
    rng, static, mode, dtype, logits_at_once, monkeypatch
):
    """Small whole numbers, exact in every dtype, whose products are often equal."""
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", logits_at_once)
    x = tf.constant(rng.integers(0, 2, (30, 20, DEPTH)), dtype)
    kernel = tf.constant(rng.integers(0, 2, (DEPTH, VOCABULARY)), tf.float32)
    logits = logits_of(x, kernel)
    largest = logits == tf.reduce_max(logits, axis=-1, keepdims=True)
    assert np.mean(np.sum(largest, axis=-1) > 1) > 0.5
    # Any of the equals, so that often another one comes before the label.
    label = tf.argmax(tf.where(largest, tf.constant(rng.random(logits.shape)), -1.0), axis=-1)
    expected = np.sum((np.argmax(tf.cast(logits, tf.float32), axis=-1) == label) & (label != 0))
    call = lambda x, label: projected_loss(x, label, kernel, static=static)  # noqa: E731
    if mode != "eager":
        call = tf.function(call, jit_compile=mode == "xla")
    _, _, correct, tokens = call(x, label)
    assert 0 < expected < float(tokens)
    assert float(correct) == expected
    assert float(masked_accuracy(label, logits)) == pytest.approx(expected / float(tokens))
