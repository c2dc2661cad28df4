"""The schedule is the paper's equation 3, from step 0 on, and travels with optimizer and model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.config import TrainingConfig
from keras_transformer.optimizers.schedules import CustomSchedule, learning_rate


def equation_3(d_model, step, warmup_steps):
    return d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


@pytest.mark.parametrize("step", [1, 17, 3999, 4000, 4001, 100_000])
@pytest.mark.parametrize("d_model", [128, 512])
def test_equals_equation_3(d_model, step):
    rate = CustomSchedule(d_model)(step)
    assert rate.dtype == tf.float32
    assert float(rate) == pytest.approx(equation_3(d_model, step, 4000), rel=1e-6)


def test_step_zero_is_finite():
    for step in (0, tf.constant(0, tf.int64)):
        assert float(CustomSchedule(128)(step)) == 0


def test_the_rate_rises_until_warmup_ends_and_falls_after():
    rates = CustomSchedule(128, warmup_steps=50)(tf.range(200)).numpy()
    assert rates.argmax() == 50
    assert (np.diff(rates[:51]) > 0).all()
    assert (np.diff(rates[50:]) < 0).all()


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.float32])
def test_steps_of_any_type_and_shape(dtype):
    schedule = CustomSchedule(128, 10)
    steps = tf.cast(tf.range(1, 30), dtype)  # the tutorial plots a whole range
    rates = schedule(steps)
    assert rates.shape == (29,)
    for step, rate in zip(range(1, 30), rates, strict=True):
        assert float(rate) == pytest.approx(equation_3(128, step, 10), rel=1e-6)
        assert float(schedule(tf.cast(step, dtype))) == pytest.approx(float(rate))
    assert float(schedule(tf.Variable(7))) == pytest.approx(float(rates[6]))


def test_scale_multiplies():
    ratio = CustomSchedule(128, scale=2.0)(5) / CustomSchedule(128)(5)
    assert float(ratio) == pytest.approx(2)


@pytest.mark.parametrize("integer", [int, np.int64, tf.constant])
def test_config_round_trips(integer):
    schedule = CustomSchedule(integer(128), integer(10), scale=0.5)
    config = keras.optimizers.schedules.serialize(schedule)
    copy = keras.optimizers.schedules.deserialize(config)
    assert isinstance(copy, CustomSchedule)
    assert copy.get_config() == schedule.get_config()
    assert copy.get_config() == {"d_model": 128, "warmup_steps": 10, "scale": 0.5}
    assert float(copy(3)) == float(schedule(3))


def test_adam_follows_it_and_saves_with_a_model(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    schedule = CustomSchedule(16, 10)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, beta_1=0.9, beta_2=0.98, epsilon=1e-9),
        loss="mse",
    )
    model.fit(np.ones((6, 2)), np.ones((6, 1)), batch_size=2, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(float(schedule(3)))
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert int(copy.optimizer.iterations) == 3
    assert float(copy.optimizer.learning_rate) == pytest.approx(float(schedule(3)))


@pytest.mark.parametrize("step", [1, 17, 3999, 4000, 4001, 100_000])
def test_the_rate_of_train_is_the_papers_unless_told_otherwise(step):
    recipe = TrainingConfig(learning_rate_scale=2.0)
    assert learning_rate(recipe, 512, step, 0.7) == pytest.approx(2 * equation_3(512, step, 4000))
    recipe = TrainingConfig(learning_rate=0.01, warmup_steps=100)
    shape = equation_3(1, step, 100) / equation_3(1, 100, 100)
    assert learning_rate(recipe, 512, step, 0.7) == pytest.approx(0.01 * shape)


def test_the_linear_rate_rises_and_falls_to_nothing():
    recipe = TrainingConfig(schedule="linear", learning_rate=0.01, warmup_steps=10)
    rates = [learning_rate(recipe, 512, step + 1, step / 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == rates[9] == pytest.approx(0.01 * 0.91)
    np.testing.assert_allclose(np.diff(rates[10:]), -0.0001, rtol=1e-6)
    assert learning_rate(recipe, 512, 101, 1.0) == 0
