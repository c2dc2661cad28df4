"""The step equals the plain one by hand, however its batch is divided, compiled and rounded."""

import functools
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.losses.masked import masked_loss, token_losses
from keras_transformer.losses.metrics import masked_accuracy
from keras_transformer.training import step as step_module
from keras_transformer.training.step import TrainingStep
from keras_transformer.training.validation import ValidationStep

RATES = (0.02, 0.03, 0.01)
SOURCE_VOCABULARY, TARGET_VOCABULARY = 13, 11
SHAPES = ((4, 6), (3, 9), (4, 6))
RECIPE = {"label_smoothing": 0.1, "clip_norm": 0.5, "average_decay": 0.3}


def make_step(seed=1, dtype="float32", tie_output=False, dropout_rate=0.0, **options):
    """A step over a small model that has the same random weights every time."""
    keras.utils.set_random_seed(7)
    model = kt.Transformer(
        num_layers=1,
        d_model=8,
        num_heads=2,
        dff=16,
        input_vocab_size=SOURCE_VOCABULARY,
        target_vocab_size=TARGET_VOCABULARY,
        dropout_rate=dropout_rate,
        max_length=16,
        tie_output=tie_output,
        dtype=dtype,
    )
    rng = np.random.default_rng(7)  # fresh biases of 0 and scales of 1 hide mistakes
    for weight in model.trainable_variables:
        weight.assign(weight + rng.normal(scale=0.2, size=weight.shape))
    # The gradient of a key's bias is 0 but for rounding, which a tiny epsilon would blow up.
    optimizer = keras.optimizers.Adam(epsilon=1e-4)
    optimizer.build(model.trainable_variables)
    return TrainingStep(model, optimizer, seed=seed, **options)


def make_batch(seed, rows=4, length=6):
    """``((source, target_in), target_out)``, with padding of another length in every row."""
    rng = np.random.default_rng(seed)
    source = rng.integers(1, SOURCE_VOCABULARY, (rows, length)).astype("int32")
    target = rng.integers(1, TARGET_VOCABULARY, (rows, length + 1)).astype("int32")
    ends = rng.integers(1, length + 1, (2, rows))
    for row, (source_end, target_end) in enumerate(ends.T):
        source[row, source_end:] = 0
        target[row, target_end + 1 :] = 0
    target_in = np.where(target[:, 1:] != 0, target[:, :-1], 0)
    return (source, target_in), target[:, 1:]


def rows_of(batch, start, stop, length=None):
    return tf.nest.map_structure(lambda ids: ids[start:stop, :length], batch)


def weights_of(step):
    return [weight.numpy() for weight in step.weights]


def values_of(step):
    return [variable.numpy() for variable in step.variables]


def restore(step, values):
    for variable, value in zip(step.variables, values, strict=True):
        variable.assign(value)


@functools.cache
def _step_and_start(options):
    step = make_step(**dict(options))
    return step, values_of(step)


def shared_step(**options):
    """As `make_step`, except that it was traced before if another test had the same options."""
    step, start = _step_and_start(tuple(sorted(options.items())))
    restore(step, start)
    return step


def train(step, batches=None, rates=RATES):
    """Results of a step on each of the batches, and the weights after them."""
    batches = batches or [[make_batch(seed, *shape)] for seed, shape in enumerate(SHAPES)]
    results = [step(batch, rate) for batch, rate in zip(batches, rates, strict=True)]
    return results, weights_of(step)


def assert_close(some, others, atol=2e-5):
    for one, other in zip(some, others, strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


def by_hand(step, label_smoothing=0.0, clip_norm=None):
    """The same three steps on the model of `step`, in a few plain lines.

    Returns:
        the loss of each step without label smoothing, the norms of its gradient, and the weights
        after each.
    """
    model, optimizer = step.model, step.optimizer
    losses, norms, weights = [], [], []
    for seed, (shape, rate) in enumerate(zip(SHAPES, RATES, strict=True)):
        inputs, label = make_batch(seed, *shape)
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            smoothed, real = token_losses(label, logits, label_smoothing)
            loss = tf.reduce_sum(smoothed) / tf.reduce_sum(real)
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_variables])
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        norms.append(float(tf.linalg.global_norm(gradients)))
        if clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
        optimizer.learning_rate.assign(rate)
        optimizer.apply(gradients, model.trainable_variables)
        losses.append(float(tf.reduce_sum(token_losses(label, logits)[0])))
        weights.append(weights_of(step))
    return losses, norms, weights


@pytest.mark.parametrize("options", [{}, RECIPE, {"tie_output": True, "label_smoothing": 0.1}])
def test_a_step_equals_the_one_by_hand(options):
    step = shared_step(**options)
    start = weights_of(step)
    results, weights = train(step)
    losses, norms, expected = by_hand(
        make_step(**options), options.get("label_smoothing", 0), options.get("clip_norm")
    )
    assert max(np.abs(one - other).max() for one, other in zip(start, weights, strict=True)) > 0.01
    assert_close(weights, expected[-1])
    np.testing.assert_allclose([result.loss for result in results], losses, rtol=1e-4)
    np.testing.assert_allclose([result.gradient_norm for result in results], norms, rtol=1e-4)
    if "clip_norm" in options:
        assert min(norms) > options["clip_norm"]  # or nothing was tested


def test_counts_are_those_of_the_real_tokens():
    step, batch = shared_step(), make_batch(0)
    inputs, label = batch
    logits = step.model(inputs)
    result = step([batch], 0.01)
    assert result.tokens == np.count_nonzero(label)
    assert result.loss == pytest.approx(float(masked_loss(label, logits)) * result.tokens, 1e-5)
    assert result.correct == round(float(masked_accuracy(label, logits)) * result.tokens)


def test_a_batch_of_nothing_but_padding_has_no_gradient():
    step = shared_step()
    before = weights_of(step)
    result = step([tf.nest.map_structure(np.zeros_like, make_batch(0))], 0.02)
    assert (result.loss, result.tokens, result.gradient_norm) == (0, 0, 0)
    assert_close(weights_of(step), before, atol=0)


def test_averages_follow_the_weights_more_slowly():
    step = shared_step(**RECIPE)
    averages = weights_of(step)
    _, _, after_steps = by_hand(make_step(), RECIPE["label_smoothing"], RECIPE["clip_norm"])
    for number, weights in enumerate(after_steps, 1):
        decay = min(0.3, (1 + number) / (10 + number))
        averages = [
            decay * average + (1 - decay) * weight
            for average, weight in zip(averages, weights, strict=True)
        ]
    _, trained = train(step)
    with step.averaged():
        assert_close(weights_of(step), averages)
    assert_close(weights_of(step), trained, atol=0)
    assert np.abs(averages[0] - trained[0]).max() > 1e-3


def test_without_averages_nothing_is_swapped():
    step = shared_step()
    before = weights_of(step)
    with step.averaged():
        assert_close(weights_of(step), before, atol=0)


def test_rows_that_cannot_be_divided_are_refused(monkeypatch):
    step = shared_step()
    monkeypatch.setattr(step, "replicas", 3)
    with pytest.raises(ValueError, match="4 rows cannot be divided among 3 replicas"):
        step([make_batch(0)], 0.02)


# Micro-batches


@pytest.mark.parametrize("cuts", [[(0, 3, 8), (3, 8, 8)], [(0, 1, 8), (1, 5, 6), (5, 8, 8)]])
def test_how_a_batch_is_divided_changes_nothing(cuts):
    (source, target_in), target_out = make_batch(3, rows=8, length=8)
    for ids in (source, target_in, target_out):
        ids[1:5, 6:] = 0  # rows that fit a shorter micro-batch
    whole = (source, target_in), target_out
    parts = [rows_of(whole, *cut) for cut in cuts]
    tokens = [np.count_nonzero(label) for _, label in parts]
    assert len(set(tokens)) == len(tokens)
    expected, weights = train(shared_step(**RECIPE), [[whole]] * 2, RATES[:2])
    results, found = train(shared_step(**RECIPE), [parts] * 2, RATES[:2])
    assert_close(found, weights)
    for result, wanted in zip(results, expected, strict=True):
        assert result.tokens == wanted.tokens == sum(tokens)
        assert result.correct == wanted.correct
        assert result.loss == pytest.approx(wanted.loss, rel=1e-4)
        assert result.gradient_norm == pytest.approx(wanted.gradient_norm, rel=1e-4)


# Dropout


def test_r_drop_without_dropout_changes_nothing():
    batches = [[make_batch(1), make_batch(2)]] * 2
    expected, weights = train(shared_step(**RECIPE), batches, RATES[:2])
    results, found = train(shared_step(**RECIPE, r_drop=5.0), batches, RATES[:2])
    assert_close(found, weights)
    for result, wanted in zip(results, expected, strict=True):
        assert result.tokens == wanted.tokens
        assert result.correct == wanted.correct
        assert result.loss == pytest.approx(wanted.loss, rel=1e-4)


def test_dropout_follows_from_seed_and_step():
    batch = make_batch(0)
    step = make_step(dropout_rate=0.4)
    start = values_of(step)

    def after(step, batches, number):
        restore(step, start)
        result = step(batches, 0.02, number)
        return result.loss, weights_of(step)

    loss, weights = after(step, [batch], 6)
    again, same = after(step, [batch], 6)
    assert again == loss
    assert_close(same, weights, atol=0)
    next_loss, _ = after(step, [batch], 7)
    other_seed, _ = after(make_step(dropout_rate=0.4, seed=2), [batch], 6)
    assert len({loss, next_loss, other_seed}) == 3
    # Micro-batches drop as so many steps would.
    both, _ = after(step, [batch, batch], 3)
    assert both == pytest.approx(loss + next_loss, rel=1e-5)
    # Unless it is given, the number of a step is the optimizer's.
    assert after(step, [batch], None)[0] == after(step, [batch], 0)[0]


# Half precision


def test_too_large_a_loss_scale_moves_nothing_and_halves(monkeypatch):
    monkeypatch.setattr(step_module, "_GROWTH_STEPS", 3)
    step = make_step(dtype="mixed_float16", clip_norm=1.0)
    scale, good_steps = step.loss_scale
    assert (float(scale), float(good_steps)) == (2.0**15, 0)
    batch, before = make_batch(0), weights_of(step)
    scale.assign(2.0**40)
    assert not np.isfinite(step([batch], 0.02).gradient_norm)
    assert_close(weights_of(step), before, atol=0)
    assert float(scale) == 2.0**39
    scale.assign(2.0**10)
    losses, scales = [], []
    for _ in range(6):
        losses.append(step([batch], 0.02).loss)
        scales.append(float(scale))
    assert scales == [2.0**10, 2.0**10, 2.0**11, 2.0**11, 2.0**11, 2.0**12]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    "dtype", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_half_precision_trains_nearly_alike(dtype):
    expected, _ = train(shared_step(**RECIPE))
    step = make_step(dtype=dtype, **RECIPE)
    for scale in step.loss_scale[:1]:
        scale.assign(2.0**8)  # or it would overflow first
    results, weights = train(step)
    assert all(weight.dtype == np.float32 for weight in weights)
    for result, wanted in zip(results, expected, strict=True):
        assert result.loss == pytest.approx(wanted.loss, rel=0.05)
        assert result.tokens == wanted.tokens


# XLA


def test_xla_equals_eager(caplog):
    shared = shared_step(**RECIPE)
    expected, weights = train(shared)
    step = make_step(jit_compile=True, **RECIPE)
    with caplog.at_level(logging.DEBUG, "keras_transformer.layers.attention.dot_product"):
        results, found = train(step)
    # One trace for each of the shapes, which the layers know then.
    assert [trace.experimental_get_tracing_count() for trace in step.traces.values()] == [1, 1]
    assert caplog.messages
    assert not any("not known when tracing" in message for message in caplog.messages)
    assert_close(found, weights)
    assert_close(values_of(step), values_of(shared))
    for result, wanted in zip(results, expected, strict=True):
        assert result.tokens == wanted.tokens
        assert result.correct == wanted.correct
        assert result.loss == pytest.approx(wanted.loss, rel=1e-4)


# Requests and validation


@pytest.mark.parametrize("requests", [(False, True), (True, False)])
def test_requests_come_back(requests):
    result = shared_step()([make_batch(0)], 0.02, requests=requests)
    assert result.requests == requests
    assert all(isinstance(request, bool) for request in result.requests)


def test_validation_weighs_tokens():
    model = make_step(dropout_rate=0.5).model
    batches = [make_batch(0), make_batch(1, rows=2, length=9)]
    loss, accuracy = ValidationStep(model)(batches)
    tokens = [np.count_nonzero(label) for _, label in batches]
    logits = [model(inputs, training=False) for inputs, _ in batches]
    for found, function in ((loss, masked_loss), (accuracy, masked_accuracy)):
        values = [
            float(function(label, pred)) for (_, label), pred in zip(batches, logits, strict=True)
        ]
        assert found == pytest.approx(np.average(values, weights=tokens), rel=1e-5)
