"""Metrics weigh every real token of an epoch alike, however it was batched."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.losses.masked import masked_loss, token_losses
from keras_transformer.losses.metrics import (
    MaskedAccuracy,
    MaskedCrossentropy,
    masked_accuracy,
    predicted_tokens,
    token_matches,
)

VOCABULARY = 5
# Two batches with 4 and 1 real tokens; right are 2 of 4 and 1 of 1.
LABELS = [np.array([[1, 2, 3], [4, 0, 0]]), np.array([[2, 0, 0], [0, 0, 0]])]
GUESSES = [np.array([[1, 2, 4], [3, 4, 4]]), np.array([[2, 0, 1], [0, 0, 0]])]


def logits_of(guesses):
    return 3 * np.eye(VOCABULARY, dtype="float32")[guesses]


def epoch(metric, labels=LABELS, guesses=GUESSES):
    for label, guess in zip(labels, guesses, strict=True):
        metric.update_state(label, logits_of(guess))
    return float(metric.result())


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float32])
def test_masked_accuracy_counts_real_tokens(kind):
    for label, guess, expected in zip(LABELS, GUESSES, (0.5, 1.0), strict=True):
        accuracy = masked_accuracy(label.astype(kind), logits_of(guess))
        assert accuracy.dtype == tf.float32
        assert float(accuracy) == pytest.approx(expected)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16])
def test_of_equal_logits_the_first_is_predicted(jit_compile, dtype):
    logits = tf.constant([[[0, 1, 1, 1, 0], [2, 2, 0, 2, 2], [0, 0, 0, 0, 0]]], dtype)
    predict = tf.function(predicted_tokens, jit_compile=jit_compile)
    for found in (predicted_tokens(logits), predict(logits)):
        assert found.dtype == tf.int32
        np.testing.assert_array_equal(found, [[1, 0, 0]])
    compare = tf.function(token_matches, jit_compile=jit_compile)
    for label, expected in (([[1, 1, 1]], [[1, 0, 0]]), ([[2, 3, 4]], [[0, 0, 0]])):
        for matches, weights in (token_matches(label, logits), compare(label, logits)):
            np.testing.assert_array_equal(matches, expected)
            np.testing.assert_array_equal(weights, [[1, 1, 1]])


def test_guesses_of_padding_are_never_right():
    assert float(masked_accuracy(LABELS[1], logits_of(np.zeros((2, 3), int)))) == 0


def test_an_epoch_weighs_tokens_not_batches():
    assert epoch(MaskedAccuracy()) == pytest.approx(3 / 5)  # the mean of batches is 3 / 4
    losses, weights = zip(
        *(token_losses(a, logits_of(b)) for a, b in zip(LABELS, GUESSES, strict=True)),
        strict=True,
    )
    expected = np.sum(losses) / np.sum(weights)
    assert epoch(MaskedCrossentropy()) == pytest.approx(expected, rel=1e-6)
    by_batch = np.mean([np.sum(a) / np.sum(b) for a, b in zip(losses, weights, strict=True)])
    assert abs(by_batch - expected) > 0.1


@pytest.mark.parametrize("metric", [MaskedAccuracy, MaskedCrossentropy])
def test_how_an_epoch_is_batched_does_not_matter(metric):
    together = [np.concatenate(LABELS)], [np.concatenate(GUESSES)]
    rows = [x for batch in LABELS for x in batch[:, np.newaxis]]
    row_guesses = [x for batch in GUESSES for x in batch[:, np.newaxis]]
    expected = epoch(metric())
    assert epoch(metric(), *together) == pytest.approx(expected, rel=1e-6)
    assert epoch(metric(), rows, row_guesses) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", [MaskedAccuracy, MaskedCrossentropy])
def test_nothing_but_padding_gives_zero_and_changes_nothing(metric):
    nothing = [np.zeros((2, 3), int)], [np.full((2, 3), 4)]
    assert epoch(metric(), *nothing) == 0
    used = metric()
    expected = epoch(used)
    assert epoch(used, *nothing) == expected
    assert float(masked_accuracy(nothing[0][0], logits_of(nothing[1][0]))) == 0


@pytest.mark.parametrize("metric", [MaskedAccuracy, MaskedCrossentropy])
def test_reset_begins_anew(metric):
    used = metric()
    expected = epoch(used)
    used.reset_state()
    assert float(used.result()) == 0
    assert epoch(used) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_logits(dtype):
    for metric in (MaskedAccuracy(), MaskedCrossentropy()):
        expected = epoch(type(metric)())
        for label, guess in zip(LABELS, GUESSES, strict=True):
            metric.update_state(label, tf.cast(logits_of(guess), dtype))
        assert metric.result().dtype == tf.float32
        assert float(metric.result()) == pytest.approx(expected, rel=1e-3)


def test_crossentropy_smooths_labels():
    losses, weights = token_losses(LABELS[0], logits_of(GUESSES[0]), 0.1)
    metric = MaskedCrossentropy(label_smoothing=0.1)
    assert epoch(metric, LABELS[:1], GUESSES[:1]) == pytest.approx(
        float(tf.reduce_sum(losses) / tf.reduce_sum(weights)), rel=1e-6
    )
    assert epoch(MaskedCrossentropy(), LABELS[:1], GUESSES[:1]) != pytest.approx(
        float(metric.result()), rel=1e-3
    )


def test_sample_weights_multiply_tokens():
    metric = MaskedAccuracy()
    weights = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    metric.update_state(LABELS[0], logits_of(GUESSES[0]), sample_weight=weights)
    assert float(metric.result()) == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    "metric",
    [MaskedAccuracy(name="right"), MaskedCrossentropy(label_smoothing=0.1, name="loss")],
    ids=lambda metric: type(metric).__name__,
)
def test_serialisation(metric):
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()
    assert keras.metrics.deserialize(keras.metrics.serialize(masked_accuracy)) is masked_accuracy


def test_plain_compile_reports_the_metrics():
    model = keras.Sequential([keras.Input((3, VOCABULARY)), keras.layers.Identity()])
    model.compile(
        loss=masked_loss, metrics=[MaskedAccuracy(), MaskedCrossentropy(), masked_accuracy]
    )
    label, logits = np.concatenate(LABELS), logits_of(np.concatenate(GUESSES))
    reported = model.evaluate(logits, label, batch_size=2, verbose=0, return_dict=True)
    assert reported["masked_crossentropy"] == pytest.approx(epoch(MaskedCrossentropy()), rel=1e-6)
    assert reported["masked_accuracy"] == pytest.approx(3 / 5)
