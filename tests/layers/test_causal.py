"""The decoder-only stack: the future never matters, and steps from a prompt equal the call."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.cache import grow, select_beams, select_rows
from keras_transformer.layers.causal import CausalLayer, CausalStack

SIZES = {"d_model": 8, "num_heads": 2, "dff": 16}
KINDS = pytest.mark.parametrize(
    "options",
    [{"norm_first": True}, {"rotary": True}, {"rotary": True, "share_layers": True}],
    ids=["pre-norm", "rotary", "shared"],
)

LENGTHS = np.array([4, 1, 2])  # what the first step of each row continues
PROMPT, STEPS, BEAMS = 5, 3, 2


def numbers(x):
    return tf.cast(x, tf.float32).numpy()


def built_stack(**options):
    stack = CausalStack(**{"num_layers": 2, **SIZES, **options})
    stack.build((None, None, 8))
    return stack


@pytest.fixture
def prompts(rng):
    """Vectors of three prompts; what follows the real ones is noise, not zeros."""
    return tf.constant(rng.normal(size=(3, PROMPT, 8)), tf.float32)


@pytest.fixture
def continuations(rng):
    """Vectors of what every beam of every row goes on with, ``(batch, beams, steps, 8)``."""
    return rng.normal(size=(3, BEAMS, STEPS, 8)).astype("float32")


def cache_of(stack, prompts, lengths=LENGTHS, beams=BEAMS, room=STEPS):
    _, encoded = stack.prefill(prompts, tf.constant(lengths))
    return grow(stack.initial_cache(encoded, beams), room)


def whole_outputs(stack, prompts, continuations):
    """Outputs of the call at each step, without any cache, ``(batch, beams, steps, 8)``."""
    outputs = np.zeros_like(continuations)
    for row, length in enumerate(LENGTHS):
        for beam, continuation in enumerate(continuations[row]):
            whole = np.concatenate([prompts[row, :length], continuation])
            outputs[row, beam] = numbers(stack(whole[np.newaxis]))[0, length:]
    return outputs


def test_the_future_never_matters(dtype_policy, tolerance, randomise, prompts):
    stack = randomise(built_stack(dtype=dtype_policy))
    expected, scores = stack(prompts, return_attention_scores=True)
    changed = tf.concat([prompts[:, :3], 5 * prompts[:, 3:]], 1)
    actual = numbers(stack(changed))
    np.testing.assert_allclose(actual[:, :3], numbers(expected)[:, :3], rtol=0, atol=tolerance)
    assert np.abs(actual[:, 3:] - numbers(expected)[:, 3:]).max() > 0.1
    assert len(scores) == 2
    for weights in scores:
        assert weights.shape == (3, 2, PROMPT, PROMPT)
        assert not np.triu(numbers(weights), k=1).any()


@KINDS
def test_prefill_gives_what_the_call_gives(options, randomise, prompts):
    stack = randomise(built_stack(**options))
    output, encoded = stack.prefill(prompts, LENGTHS)
    np.testing.assert_allclose(output, stack(prompts), rtol=0, atol=1e-5)
    assert encoded["mask"].numpy().sum(axis=1).tolist() == LENGTHS.tolist()
    assert len(encoded["keys_values"]) == 2


@KINDS
def test_steps_from_a_prompt_equal_the_call(options, randomise, prompts, continuations):
    stack = randomise(built_stack(**options))
    expected = whole_outputs(stack, prompts, continuations)
    cache = cache_of(stack, prompts)
    for p in range(STEPS):
        output, cache = stack.step(continuations[:, :, p], tf.constant(p), cache)
        np.testing.assert_allclose(output, expected[:, :, p], rtol=0, atol=1e-5)


@KINDS
def test_a_prompt_read_at_once_equals_one_read_step_by_step(options, randomise, prompts):
    stack = randomise(built_stack(**options))
    expected, _ = stack.prefill(prompts, LENGTHS)
    cache = cache_of(stack, prompts[:, :1], lengths=[0, 0, 0], beams=1, room=PROMPT)
    for p in range(PROMPT):
        output, cache = stack.step(prompts[:, p : p + 1], tf.constant(p), cache)
        np.testing.assert_allclose(output[:, 0], expected[:, p], rtol=0, atol=1e-5)


def test_beams_take_over_from_others_and_rows_leave(randomise, prompts, continuations):
    stack = randomise(built_stack(rotary=True))
    parents = np.array([[1, 1], [0, 0], [1, 0]])
    rows = np.array([2, 0])
    cache = cache_of(stack, prompts, room=1)
    _, cache = stack.step(continuations[:, :, 0], tf.constant(0), cache)
    cache = select_beams(cache, parents)
    cache = grow(select_rows(cache, rows), STEPS - 1)
    histories = continuations.copy()
    histories[:, :, 0] = np.take_along_axis(continuations[:, :, 0], parents[..., np.newaxis], 1)
    expected = whole_outputs(stack, prompts, histories)
    for p in range(1, STEPS):
        output, cache = stack.step(continuations[rows, :, p], tf.constant(p), cache)
        np.testing.assert_allclose(output, expected[rows, :, p], rtol=0, atol=1e-5)


def test_what_stands_in_the_padding_of_a_prompt_never_matters(
    dtype_policy, tolerance, randomise, prompts, continuations
):
    stack = randomise(built_stack(dtype=dtype_policy, rotary=True))
    real = tf.sequence_mask(LENGTHS, PROMPT)[..., tf.newaxis]
    noisy = tf.concat([tf.where(real, prompts, 9.0), tf.ones((3, 2, 8))], 1)
    outputs = [
        stack.step(continuations[:, :, 0], tf.constant(0), cache_of(stack, x))[0]
        for x in (prompts, noisy)
    ]
    assert np.isfinite(numbers(outputs[0])).all()
    np.testing.assert_allclose(*map(numbers, outputs), rtol=0, atol=tolerance)


def test_config_round_trips(prompts):
    stack = built_stack(rotary=True, share_layers=True, norm_first=True, activation="gelu_tanh")
    copy = keras.layers.deserialize(keras.layers.serialize(stack))
    assert type(copy) is CausalStack
    assert copy.get_config() == stack.get_config()
    copy.set_weights(stack.get_weights())
    np.testing.assert_array_equal(copy(prompts), stack(prompts))
    layer = stack.enc_layers[0]
    layer_copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(layer_copy) is CausalLayer
    assert layer_copy.get_config() == layer.get_config()
