"""The cache: room is added at the end; beams and rows move with all that is theirs."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.cache import grow, initial_steps, select_beams, select_rows

BATCH, BEAMS, HEADS, WIDTH = 3, 2, 2, 4


def a_cache(rng, beams=BEAMS, slots=6):
    def numbers(*shape):
        return tf.constant(rng.normal(size=shape), tf.float32)

    steps = {
        "keys_values": [(numbers(BATCH * HEADS, slots, WIDTH),) * 2],
        "states": [numbers(BATCH, beams, 5), (numbers(BATCH, beams, 1, 2),)],
    }
    if beams > 1:
        steps["past"] = tf.constant(rng.integers(0, 2, (BATCH, beams, slots)), tf.bool)
    return {"context": {"memory": numbers(BATCH, 7, WIDTH)}, "steps": steps}


def assert_equal(actual, expected):
    tf.nest.assert_same_structure(actual, expected)
    for one, other in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("beams", "past"), [(1, False), (2, True), (tf.constant(1), True)])
def test_only_several_beams_have_a_past(beams, past):
    steps = initial_steps(3, BATCH, HEADS, WIDTH, tf.float16, beams)
    assert len(steps["keys_values"]) == 3
    for part in tf.nest.flatten(steps["keys_values"]):
        assert part.shape == (BATCH * HEADS, 0, WIDTH)
        assert part.dtype == tf.float16
    assert ("past" in steps) == past
    if past:
        assert steps["past"].shape == (BATCH, int(beams), 0)


@pytest.mark.parametrize("beams", [1, 2])
def test_room_is_added_for_every_beam_and_changes_nothing_else(beams, rng):
    cache = a_cache(rng, beams)
    grown = grow(cache, 3)
    more = 3 * beams
    for old, new in zip(
        tf.nest.flatten(cache["steps"]["keys_values"]),
        tf.nest.flatten(grown["steps"]["keys_values"]),
        strict=True,
    ):
        assert new.shape == (BATCH * HEADS, 6 + more, WIDTH)
        np.testing.assert_array_equal(new[:, :6], old)
        assert not new[:, 6:].numpy().any()
    if beams > 1:
        np.testing.assert_array_equal(grown["steps"]["past"][..., :6], cache["steps"]["past"])
        assert not grown["steps"]["past"][..., 6:].numpy().any()
        assert grown["steps"]["past"].shape == (BATCH, beams, 6 + more)
    assert_equal(grown["context"], cache["context"])
    assert_equal(grown["steps"]["states"], cache["steps"]["states"])


def test_a_cache_of_states_alone_takes_no_more_room(rng):
    cache = a_cache(rng)
    cache["steps"] = {"states": cache["steps"]["states"]}
    assert_equal(grow(cache, 5), cache)


def test_beams_take_over_states_and_past_while_keys_and_values_stay(rng):
    cache = a_cache(rng)
    parents = np.array([[1, 1], [0, 0], [1, 0]])
    selected = select_beams(cache, tf.constant(parents))
    for row in range(BATCH):
        for beam, parent in enumerate(parents[row]):
            for key in ("states", "past"):
                for new, old in zip(
                    tf.nest.flatten(selected["steps"][key]),
                    tf.nest.flatten(cache["steps"][key]),
                    strict=True,
                ):
                    np.testing.assert_array_equal(new[row, beam], old[row, parent])
    assert_equal(selected["steps"]["keys_values"], cache["steps"]["keys_values"])
    assert_equal(selected["context"], cache["context"])


def test_keys_and_values_without_a_past_have_no_beams_to_select(rng):
    cache = a_cache(rng, beams=1)
    with pytest.raises(ValueError, match="initial_steps"):
        select_beams(cache, tf.zeros((BATCH, 2), tf.int32))


@pytest.mark.parametrize("beams", [1, 2])
def test_rows_are_selected_with_all_their_heads(beams, rng):
    cache = a_cache(rng, beams)
    rows = [2, 0, 2, 1]
    selected = select_rows(cache, tf.constant(rows))

    def by_row(cache):
        heads = [
            tf.reshape(part, (-1, HEADS, *part.shape[1:]))
            for part in tf.nest.flatten(cache["steps"]["keys_values"])
        ]
        others = {key: part for key, part in cache["steps"].items() if key != "keys_values"}
        return [heads, others, cache["context"]]

    tf.nest.assert_same_structure(selected, cache)
    expected = tf.nest.map_structure(lambda part: tf.gather(part, rows), by_row(cache))
    assert_equal(by_row(selected), expected)
