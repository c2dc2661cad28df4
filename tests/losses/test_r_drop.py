"""R-Drop: the divergence of two passes, in the loss of all logits and in that without them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_projected_loss import DEPTH, LABEL, VOCABULARY, assert_equal, logits_of, projected

import keras_transformer as kt
from keras_transformer.errors import InputError
from keras_transformer.losses import projected as module
from keras_transformer.losses.masked import token_losses
from keras_transformer.losses.r_drop import divergences, mean_divergence
from keras_transformer.training.step import TrainingStep

TWICE = np.concatenate([LABEL, LABEL])


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def by_formula(logits):
    """A quarter of both divergences of Kullback and Leibler, in the rows of either pass."""
    log_1, log_2 = tf.split(tf.nn.log_softmax(logits), 2)
    one = tf.reduce_sum(tf.exp(log_1) * (log_1 - log_2), axis=-1)
    other = tf.reduce_sum(tf.exp(log_2) * (log_2 - log_1), axis=-1)
    return tf.concat([one + other] * 2, 0) / 4


def with_gradient(function, logits, weights):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(function(logits) * weights)
    return total, tape.gradient(total, logits)


# Laws


@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 5)])
def test_it_is_the_divergence_of_the_passes(shape, rng):
    logits = tf.constant(3 * rng.normal(size=shape), tf.float32)
    weights = tf.constant(rng.uniform(size=shape[:-1]), tf.float32)
    for found, expected in zip(
        with_gradient(divergences, logits, weights),
        with_gradient(by_formula, logits, weights),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_equal_passes_do_not_differ(rng):
    logits = tf.constant(np.tile(rng.normal(size=(3, 5)), (2, 1)), tf.float32)
    for found in with_gradient(divergences, logits, tf.ones(6)):
        np.testing.assert_allclose(found, 0, atol=1e-7)


def test_a_number_by_hand():
    logits = tf.math.log([[0.5, 0.5], [0.8, 0.2]])
    # 0.5 ln(0.5/0.8) + 0.5 ln(0.5/0.2), and 0.8 ln(0.8/0.5) + 0.2 ln(0.2/0.5)
    np.testing.assert_allclose(divergences(logits), [(0.22314 + 0.19274) / 4] * 2, rtol=1e-4)


def test_padding_does_not_matter(rng):
    logits = rng.normal(size=(*TWICE.shape, VOCABULARY)).astype(np.float32)
    expected = mean_divergence(TWICE, logits)
    logits[TWICE == 0] = 100 * rng.normal(size=VOCABULARY)
    np.testing.assert_allclose(mean_divergence(TWICE, logits), expected, rtol=1e-6)
    assert float(mean_divergence(np.zeros_like(TWICE), logits)) == 0


@pytest.mark.parametrize("r_drop", [0.5, pytest.param(5.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("static", "jit_compile"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("logits_at_once", [2**23, 1, 3 * VOCABULARY, 8 * VOCABULARY + 3])
@pytest.mark.parametrize("tied", [False, True])
def test_without_the_logits_it_is_the_same(
    tied, r_drop, static, jit_compile, logits_at_once, monkeypatch, rng
):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", logits_at_once)
    kernel = (VOCABULARY, DEPTH) if tied else (DEPTH, VOCABULARY)
    shapes = (*TWICE.shape, DEPTH), kernel, (VOCABULARY,)
    variables = [tf.Variable(rng.normal(size=shape), dtype=tf.float32) for shape in shapes]

    def compute():
        return projected(variables, TWICE, 0.1, static=static, r_drop=r_drop)

    found = tf.function(compute, jit_compile=True)() if jit_compile else compute()
    with tf.GradientTape() as tape:
        logits = logits_of(*variables)
        losses, real = token_losses(TWICE, logits, 0.1)
        loss = tf.reduce_sum(losses + r_drop * by_formula(logits) * real)
    (_, *answers), _ = projected(variables, TWICE, 0.1)
    assert_equal(found, ([loss, *answers], tape.gradient(loss, variables)), tolerance=3e-5)


# In fit


def _model(loss, dropout_rate=0.3):
    keras.utils.set_random_seed(4)
    model = kt.Transformer(
        num_layers=1,
        d_model=8,
        num_heads=2,
        dff=16,
        input_vocab_size=VOCABULARY,
        target_vocab_size=VOCABULARY,
        dropout_rate=dropout_rate,
    )
    model.compile(keras.optimizers.SGD(0.5), loss=loss, metrics=[kt.masked_accuracy])
    model.dropout_seed = 5
    return model


def _fitted(loss, dropout_rate=0.3):
    model = _model(loss, dropout_rate)
    shifted = np.pad(LABEL[:, :-1], [(0, 0), (1, 0)], constant_values=2)
    history = model.fit((LABEL, shifted), LABEL, batch_size=3, shuffle=False, verbose=0).history
    return model, history["loss"][0]


def _assert_same_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_without_dropout_fit_does_the_same():
    one, loss = _fitted(kt.MaskedLoss(0.1), dropout_rate=0)
    other, loss_of_passes = _fitted(kt.MaskedLoss(0.1, r_drop=5.0), dropout_rate=0)
    _assert_same_weights(one, other)
    assert loss_of_passes == pytest.approx(loss, rel=1e-5)


def test_fit_and_train_take_the_same_step():
    fitted, loss = _fitted(kt.MaskedLoss(0.1, r_drop=5.0))
    model = _model(kt.MaskedLoss(0.1, r_drop=5.0))
    step = TrainingStep(model, model.optimizer, label_smoothing=0.1, r_drop=5.0, seed=5)
    shifted = np.pad(LABEL[:, :-1], [(0, 0), (1, 0)], constant_values=2)
    result = step([((LABEL, shifted), LABEL)], 0.5, step=0)
    _assert_same_weights(fitted, model)
    assert result.tokens == (LABEL != 0).sum()  # each counts once
    assert loss > result.loss / result.tokens  # which is without smoothing and divergence


def test_only_training_passes_a_batch_twice():
    model, _ = _fitted(kt.MaskedLoss(0.1, r_drop=5.0))
    shifted = np.pad(LABEL[:, :-1], [(0, 0), (1, 0)], constant_values=2)
    found = model.evaluate((LABEL, shifted), LABEL, verbose=0)
    model.compile(loss=kt.MaskedLoss(0.1), metrics=[kt.masked_accuracy])
    assert found == pytest.approx(model.evaluate((LABEL, shifted), LABEL, verbose=0))


def test_the_weight_is_kept_and_checked():
    loss = kt.MaskedLoss(0.1, r_drop=5.0)
    assert kt.MaskedLoss.from_config(loss.get_config()).r_drop == 5.0
    with pytest.raises(InputError, match="r_drop is at least 0"):
        kt.MaskedLoss(r_drop=-1)
