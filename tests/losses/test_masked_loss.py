"""The loss counts real tokens and nothing else, in any precision and with label smoothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.losses.masked import MaskedLoss, masked_loss, token_losses

VOCABULARY = 7
LABEL = np.array([[3, 6, 1, 0], [2, 0, 0, 0]])
REAL = LABEL != 0


@pytest.fixture
def logits():
    return np.random.default_rng(2).normal(scale=2, size=(2, 4, VOCABULARY)).astype("float32")


def by_hand(label, logits, smoothing=0.0):
    """Sum over real tokens of -sum(wanted * log softmax), divided by their number; float64."""
    total, tokens = 0.0, 0
    for row, column in zip(*np.nonzero(label), strict=True):
        scores = logits[row, column].astype("float64")
        log_softmax = scores - np.log(np.exp(scores).sum())
        wanted = np.full(VOCABULARY, smoothing / VOCABULARY)
        wanted[label[row, column]] += 1 - smoothing
        total -= wanted @ log_softmax
        tokens += 1
    return total / tokens


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float32])
def test_masked_loss_is_the_mean_over_real_tokens(kind, logits):
    loss = masked_loss(LABEL.astype(kind), logits)
    assert loss.dtype == tf.float32
    assert loss.shape == ()
    assert float(loss) == pytest.approx(by_hand(LABEL, logits), abs=1e-6)


def test_padding_does_not_matter(logits):
    label = np.pad(LABEL, ((0, 0), (0, 3)))
    junk = 50 * np.ones((2, 3, VOCABULARY), "float32")
    padded = np.concatenate([logits, junk], axis=1)
    changed = np.where(REAL[..., np.newaxis], logits, 99.0).astype("float32")
    for loss in (masked_loss, MaskedLoss(label_smoothing=0.1)):
        expected = float(loss(LABEL, logits))
        assert float(loss(label, padded)) == pytest.approx(expected, abs=1e-6)
        assert float(loss(LABEL, changed)) == pytest.approx(expected, abs=1e-6)


def test_padding_gets_no_gradient(logits):
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = MaskedLoss(label_smoothing=0.1)(LABEL, logits)
    gradient = tape.gradient(loss, logits).numpy()
    assert (gradient[~REAL] == 0).all()
    assert (np.abs(gradient[REAL]).max(axis=-1) > 0).all()


@pytest.mark.parametrize("loss", [masked_loss, MaskedLoss(), MaskedLoss(label_smoothing=0.1)])
def test_a_batch_of_nothing_but_padding_gives_zero(loss, logits):
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(np.zeros_like(LABEL), logits)
    assert float(value) == 0
    assert not np.any(tape.gradient(value, logits))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_logits_are_summed_in_float32(dtype):
    """5,000 tokens of loss 20 sum to more than float16 holds."""
    label = np.ones((50, 100), int)
    logits = np.zeros((50, 100, VOCABULARY), "float32")
    logits[..., 0] = 20
    for loss in (masked_loss, MaskedLoss(), MaskedLoss(label_smoothing=0.1)):
        value = loss(label, tf.cast(logits, dtype))
        assert value.dtype == tf.float32
        assert float(value) == pytest.approx(float(loss(label, logits)), rel=1e-5)


def test_half_precision_rounds_the_logits_alone(logits):
    for dtype in (tf.float16, tf.bfloat16):
        rounded = tf.cast(logits, dtype)
        expected = by_hand(LABEL, tf.cast(rounded, tf.float32).numpy())
        assert float(masked_loss(LABEL, rounded)) == pytest.approx(expected, abs=1e-6)


def test_labels_past_the_exact_integers_of_half_precision():
    """Under a half-precision policy labels must not be rounded: float16 has no 2049."""
    label = np.array([[2049, 2051]])
    logits = np.full((1, 2, 2100), -20, "float32")
    logits[0, 0, 2049] = logits[0, 1, 2051] = 20
    loss = MaskedLoss()
    assert float(loss(label, tf.cast(logits, tf.float16))) < 1e-3
    assert float(loss(label.astype("float32"), logits)) < 1e-3


# Gradients

EXTREME = np.array([[1e4, -1e4, 0, 1e4, 3, -1e4, 1e4], [0, 0, 0, 0, 0, 0, 0]], "float32")


def loss_and_gradient(function, logits):
    """The loss of every token under an uneven upstream gradient, and the gradient of the logits."""
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        losses = function(logits)
        weighted = losses * tf.range(1.0, 1 + tf.size(losses, tf.float32))
    return losses.numpy(), tape.gradient(weighted, logits).numpy()


def rows(logits):
    """The real tokens: (tokens, vocabulary) logits and their labels."""
    return logits[REAL], LABEL[REAL]


def test_the_gradient_equals_that_of_tensorflow(logits):
    logits, label = rows(logits)
    loss, gradient = loss_and_gradient(
        lambda logits: token_losses(label[np.newaxis], logits[tf.newaxis])[0][0], logits
    )
    wanted_loss, wanted_gradient = loss_and_gradient(
        lambda logits: tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits), logits
    )
    np.testing.assert_allclose(loss, wanted_loss, rtol=0, atol=1e-5)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=0, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_gradient_equals_that_of_keras(smoothing, logits):
    logits, label = rows(logits)
    keras_loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=None
    )
    _, gradient = loss_and_gradient(
        lambda logits: token_losses(label[np.newaxis], logits[tf.newaxis], smoothing)[0][0], logits
    )
    _, wanted = loss_and_gradient(
        lambda logits: keras_loss(tf.one_hot(label, VOCABULARY), logits), logits
    )
    np.testing.assert_allclose(gradient, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("label", [1, 3, 4])
def test_extreme_logits_stay_finite_and_right(label, smoothing, dtype):
    """The largest, a tie for it, and one that the softmax makes exactly zero."""
    logits = tf.cast(EXTREME, dtype)
    labels = np.full((1, 2), label)
    loss, gradient = loss_and_gradient(
        lambda logits: token_losses(labels, logits[tf.newaxis], smoothing)[0][0], logits
    )
    scores = tf.cast(logits, tf.float64).numpy()
    log_softmax = tf.nn.log_softmax(scores).numpy()
    wanted = np.full(VOCABULARY, smoothing / VOCABULARY) + (1 - smoothing) * np.eye(7)[label]
    np.testing.assert_allclose(loss, -log_softmax @ wanted, rtol=1e-6, atol=1e-3)
    slope = (np.exp(log_softmax) - wanted) * [[1], [2]]
    np.testing.assert_allclose(gradient.astype("float32"), slope, rtol=0, atol=1e-2)


# Label smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_spreads_over_the_vocabulary(smoothing, logits):
    loss = MaskedLoss(label_smoothing=smoothing)(LABEL, logits)
    assert float(loss) == pytest.approx(by_hand(LABEL, logits, smoothing), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_equals_that_of_keras(smoothing, logits):
    keras_loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=None
    )
    expected = keras_loss(tf.one_hot(LABEL, VOCABULARY), logits).numpy()
    losses, weights = token_losses(LABEL, logits, smoothing)
    np.testing.assert_array_equal(weights, REAL)
    np.testing.assert_allclose(losses.numpy()[REAL], expected[REAL], rtol=0, atol=1e-5)
    assert (losses.numpy()[~REAL] == 0).all()


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 2])
def test_label_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=f"got {smoothing}"):
        MaskedLoss(label_smoothing=smoothing)


# Keras


def test_masked_loss_object_equals_the_function(logits):
    assert float(MaskedLoss()(LABEL, logits)) == pytest.approx(float(masked_loss(LABEL, logits)))


def test_xla_equals_eager(logits):
    loss = MaskedLoss(label_smoothing=0.1)
    compiled = tf.function(lambda label, pred: loss(label, pred), jit_compile=True)
    value = compiled(tf.constant(LABEL), tf.constant(logits))
    assert float(value) == pytest.approx(float(loss(LABEL, logits)), abs=1e-6)


def test_serialisation():
    loss = MaskedLoss(label_smoothing=0.1, name="smoothed")
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(copy, MaskedLoss)
    assert copy.get_config() == loss.get_config()
    assert (copy.label_smoothing, copy.name) == (0.1, "smoothed")
    function = keras.losses.deserialize(keras.losses.serialize(masked_loss))
    assert function is masked_loss


@pytest.mark.parametrize("loss", [masked_loss, MaskedLoss(label_smoothing=0.1)])
def test_plain_compile_reports_the_loss(loss, logits):
    model = keras.Sequential([keras.Input((4, VOCABULARY)), keras.layers.Identity()])
    model.compile(loss=loss)
    reported = model.evaluate(logits, LABEL, batch_size=2, verbose=0)
    assert reported == pytest.approx(float(loss(LABEL, logits)), abs=1e-6)
