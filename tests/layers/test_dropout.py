"""Dropout drops its share, keeps the mean, and repeats its masks where a seed and a step say so."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.dropout import Dropout, drop, dropout_seed, keep_mask

RATES = [0.1, 1 / 3, 0.5, 0.9]
SHAPE = (7, 11, 13)  # 1,001 elements: an odd number


def as_numpy(x):
    return tf.cast(x, tf.float32).numpy()


def dropped(layers=1, rate=0.5, shape=SHAPE):
    """Where each of several layers, called one after the other, drops."""
    return [Dropout(rate)(tf.ones(shape), training=True).numpy() == 0 for _ in range(layers)]


def dropped_in_scope(seed, step, **options):
    with dropout_seed(seed, step):
        return dropped(**options)


def assert_unrelated(a, b):
    """Two masks of rate one half agree on about half of their elements, give or take 5 sigma."""
    assert np.mean(a == b) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(a.size))


# What is dropped


@pytest.mark.parametrize("rate", RATES)
def test_the_rate_is_the_share_dropped_and_the_mean_is_kept(rate):
    size = 300_001
    y = Dropout(rate)(tf.ones(size), training=True).numpy()
    five_sigma = 5 * np.sqrt(rate * (1 - rate) / size)
    assert np.mean(y == 0) == pytest.approx(rate, abs=five_sigma)
    assert y.mean() == pytest.approx(1, abs=five_sigma / (1 - rate))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)


def test_neighbours_are_dropped_independently():
    """Two elements share a random word: neither half may know of the other or be worse."""
    size = 300_000
    keep = keep_mask((size,), 0.5, (1, 2)).numpy()
    for shift in (1, 2, 3):
        assert_unrelated(keep[:-shift], keep[shift:])
    for half in (keep[0::2], keep[1::2]):
        assert half.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(size / 2))


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 1), (1e-7, 1), (1 - 1e-7, 2**-16)])
def test_rates_at_the_ends(rate, kept):
    """A million random numbers of 16 bits hold each of them: the first and the last too."""
    keep = keep_mask((2**20,), rate, (1, 2)).numpy()
    assert keep.mean() == pytest.approx(kept, abs=1e-5 if kept < 1 else 0)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), SHAPE, (0, 4)])
def test_any_number_of_elements(shape):
    x = 1 + tf.random.uniform(shape)
    y = Dropout(0.5)(x, training=True).numpy()
    assert y.shape == shape
    np.testing.assert_array_equal(y[y != 0], 2 * x.numpy()[y != 0])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_every_dtype_drops_the_same_elements(dtype, rate):
    layer = Dropout(rate, dtype=dtype)
    with dropout_seed(1, 2):
        y = layer(tf.cast(tf.fill(SHAPE, 3.0), dtype), training=True)
    assert y.dtype == dtype
    expected = dropped_in_scope(1, 2, rate=rate)[0]
    np.testing.assert_array_equal(as_numpy(y) == 0, expected)
    np.testing.assert_allclose(as_numpy(y)[~expected], 3 / (1 - rate), rtol=1e-2)


@pytest.mark.parametrize("scope", [True, False])
def test_inference_and_rate_zero_change_nothing(scope, rng):
    x = tf.constant(rng.normal(size=SHAPE), tf.float32)
    seed = dropout_seed(1, 2) if scope else tf.name_scope("none")
    with seed:
        for y in (
            Dropout(0.5)(x),
            Dropout(0.5)(x, training=False),
            Dropout(0)(x, training=True),
            Dropout(0.0)(x, training=True),
        ):
            np.testing.assert_array_equal(y, x)


def test_the_gradient_is_the_mask_times_the_scale(rng):
    x = tf.Variable(rng.normal(size=SHAPE), dtype=tf.float32)
    upstream = tf.constant(rng.normal(size=SHAPE), tf.float32)
    with dropout_seed(1, 2), tf.GradientTape() as tape:
        y = Dropout(0.25)(x, training=True)
    gradient = tape.gradient(y, x, output_gradients=upstream)
    keep = ~dropped_in_scope(1, 2, rate=0.25)[0]
    assert 0 < keep.mean() < 1
    np.testing.assert_allclose(gradient, keep * upstream / 0.75, rtol=1e-6)


# Masks that can be repeated


def test_the_same_seed_and_step_drop_the_same():
    first, second = (dropped_in_scope(3, 5, layers=3) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_seed_step_layer_and_replica_tell_masks_apart(monkeypatch):
    class Replica:
        replica_id_in_sync_group = 1

    masks = [
        mask
        for seed in (3, 4)
        for step in (0, 1)
        for mask in dropped_in_scope(seed, step, layers=3)
    ]
    monkeypatch.setattr(tf.distribute, "get_replica_context", Replica)
    masks += dropped_in_scope(3, 0, layers=3)
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            assert_unrelated(mask, other)


def test_neighbouring_numbers_do_not_meet(monkeypatch):
    """Step 1 of replica 0 is not step 0 of a late replica, nor layer 1 of seed 0 that of seed 1."""
    layer, seeds = Dropout(0.5), set()
    for replica in (0, 1, 1000):
        context = type("Replica", (), {"replica_id_in_sync_group": replica})
        monkeypatch.setattr(tf.distribute, "get_replica_context", context)
        for seed in (0, 1, 2**31 - 1):
            for step in (0, 1, 10**6):
                with dropout_seed(seed, step):
                    seeds |= {tuple(layer.next_seed().numpy()) for _ in range(10)}
    assert len(seeds) == 3 * 3 * 3 * 10


def test_between_replicas_a_scope_works_too(monkeypatch):
    expected = dropped_in_scope(1, 2)
    monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: None)
    np.testing.assert_array_equal(dropped_in_scope(1, 2), expected)


def test_a_scope_does_not_depend_on_what_was_drawn_before():
    expected = dropped_in_scope(1, 2)
    keras.utils.set_random_seed(99)
    layer = Dropout(0.5)
    layer(tf.ones(5), training=True)
    with dropout_seed(1, 2):
        y = layer(tf.ones(SHAPE), training=True)
    np.testing.assert_array_equal(y.numpy() == 0, expected[0])


@pytest.mark.parametrize("scope", [True, False])
def test_who_asks_for_the_seed_drops_what_a_call_would(scope):
    def two_rounds(act):
        keras.utils.set_random_seed(11)
        layer = Dropout(0.5)
        with dropout_seed(1, 2) if scope else contextlib.nullcontext():
            return [act(layer).numpy() for _ in range(2)]

    x = tf.ones(SHAPE)
    called = two_rounds(lambda layer: layer(x, training=True))
    asked = two_rounds(lambda layer: drop(x, 0.5, layer.next_seed()))
    np.testing.assert_array_equal(called, asked)


def test_scopes_nest_and_end():
    outer = dropped_in_scope(1, 2, layers=2)
    with dropout_seed(1, 2):
        first = dropped()
        inner = dropped_in_scope(1, 3)
        second = dropped()
    np.testing.assert_array_equal([*first, *second], outer)
    np.testing.assert_array_equal(inner, dropped_in_scope(1, 3))
    with pytest.raises(KeyError), dropout_seed(1, 2):
        raise KeyError
    assert_unrelated(dropped()[0], outer[0])


def test_without_a_scope_calls_differ_and_the_seed_of_keras_repeats_them():
    def two_calls():
        keras.utils.set_random_seed(11)
        layer = Dropout(0.5)
        return [layer(tf.ones(SHAPE), training=True).numpy() == 0 for _ in range(2)]

    first, second = two_calls()
    assert_unrelated(first, second)
    np.testing.assert_array_equal(two_calls(), [first, second])
    assert_unrelated(*dropped(layers=2))


# Graphs


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_compiled_equals_eager(jit_compile, rate):
    layers = Dropout(rate), Dropout(rate)
    x = tf.ones(SHAPE)

    @tf.function(jit_compile=jit_compile)
    def call(seed, step):
        with dropout_seed(seed, step):
            return [layer(x, training=True) for layer in layers]

    for step in (0, 1, 2**31):
        with dropout_seed(3, step):
            expected = [layer(x, training=True) for layer in layers]
        for actual, wanted in zip(
            call(tf.constant(3), tf.constant(step, tf.int64)), expected, strict=True
        ):
            np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_one_graph_serves_every_shape(jit_compile):
    layer = Dropout(0.5)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))], jit_compile=jit_compile)
    def call(x):
        with dropout_seed(1, 2):
            return layer(x, training=True)

    for shape in ((1, 1, 3), (2, 5, 3), (4, 4, 3)):
        np.testing.assert_array_equal(
            call(tf.ones(shape)).numpy() == 0, dropped_in_scope(1, 2, shape=shape)[0]
        )


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_a_compiled_call_without_a_scope_draws_anew(jit_compile):
    layer = Dropout(0.5)
    call = tf.function(lambda: layer(tf.ones(SHAPE), training=True), jit_compile=jit_compile)
    assert_unrelated(call().numpy() == 0, call().numpy() == 0)


# Keras


@pytest.mark.parametrize("rate", [-0.1, 1, 1.0, 1.5, float("nan")])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ValueError):
        Dropout(rate)


def test_the_config_round_trips():
    layer = Dropout(0.3, name="drop", dtype="mixed_bfloat16")
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is Dropout
    assert copy.get_config() == layer.get_config()
    assert (copy.rate, copy.name) == (0.3, "drop")


def test_a_functional_model_saves_and_loads(tmp_path, rng):
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, Dropout(0.4, name="drop")(keras.layers.Dense(8)(inputs)))
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert type(copy.get_layer("drop")) is Dropout
    assert copy.get_layer("drop").rate == 0.4
    x = rng.normal(size=(3, 5, 8)).astype("float32")
    np.testing.assert_array_equal(copy(x), model(x))
    with dropout_seed(1, 2):
        expected = model(x, training=True)
    with dropout_seed(1, 2):
        np.testing.assert_array_equal(copy(x, training=True), expected)
    assert 0.2 < np.mean(expected.numpy() == 0) < 0.6


def test_the_mask_of_keras_passes_through():
    x = tf.ones((2, 3, 4))
    x._keras_mask = tf.constant([[True, True, False]] * 2)
    np.testing.assert_array_equal(Dropout(0.5)(x, training=True)._keras_mask, x._keras_mask)
