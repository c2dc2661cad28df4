"""Batches of language models: labels are inputs moved on by one, and no token is lost uncounted."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.batches.texts import block_batches, line_batches
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, START

TEXTS = ["hello", "a", "", "on and on", "bye"]
LENGTHS = {"hello": 7, "a": 3, "on and on": 11, "bye": 5}  # with start and end


class Letters:
    """Each letter is a token; start and end are around them."""

    def tokenize(self, strings):
        ids = tf.cast(tf.strings.unicode_decode(strings, "UTF-8"), tf.int64)
        column = tf.ones([ids.nrows(), 1], tf.int64)
        return tf.concat([START * column, ids, END * column], axis=1)


def ids_of(text):
    return [START, *map(ord, text), END]


def rows_of(batches, epoch=0):
    """Inputs and labels of each row of an epoch, the rows of padding left out."""
    rows = [
        (ids, following)
        for inputs, labels in batches.epoch(epoch)
        for ids, following in zip(inputs.tolist(), labels.tolist(), strict=True)
        if any(following)
    ]
    for ids, following in rows:
        real = np.count_nonzero(following)
        assert np.count_nonzero(ids) == real
        assert ids[1:real] == following[: real - 1]
        assert not any(ids[real:] + following[real:])
    return rows


def test_a_line_has_a_row_of_its_own():
    batches = line_batches(TEXTS, Letters(), length=8, batch_size=2, shuffle=False)
    assert (len(batches), batches.tokens) == (2, 6 + 2 + 4)
    assert (batches.too_long, batches.empty) == (1, 1)  # "on and on" has 11 tokens
    rows = rows_of(batches)
    for (inputs, labels), text in zip(rows, ["hello", "a", "bye"], strict=True):
        ids = ids_of(text)
        assert inputs == ids[:-1] + [0] * (8 - len(ids) + 1)
        assert labels == ids[1:] + [0] * (8 - len(ids) + 1)


def test_a_line_that_just_fits_is_kept():
    batches = line_batches(TEXTS, Letters(), length=10, batch_size=2)
    assert (batches.too_long, batches.tokens) == (0, sum(LENGTHS.values()) - 4)


@pytest.mark.parametrize("length", [1, 4, 7, 25, 40])
def test_blocks_predict_every_token_once(length):
    batches = block_batches(TEXTS, Letters(), length=length, batch_size=2, shuffle=False)
    stream = [token for text in LENGTHS for token in ids_of(text)]
    rows = rows_of(batches)
    assert [token for _, labels in rows for token in labels if token] == stream[1:]
    assert [token for inputs, _ in rows for token in inputs if token] == stream[:-1]
    assert batches.tokens == len(stream) - 1
    assert batches.empty == 1
    assert len(batches) == -(-len(rows) // 2)


@pytest.mark.parametrize("make", [line_batches, block_batches])
def test_the_order_follows_from_the_seed_and_the_epoch(make):
    texts = [letter * 3 for letter in "abcdefghijklmnopqrstuvwxyz"]

    def epoch(number, seed, start=0):
        batches = make(texts, Letters(), length=4, batch_size=3, seed=seed)
        return [part.tolist() for batch in batches.epoch(number, start) for part in batch]

    first = epoch(0, seed=1)
    assert first == epoch(0, seed=1)
    assert first[4:] == epoch(0, seed=1, start=2)
    assert first != epoch(1, seed=1)
    assert first != epoch(0, seed=2)


def test_shuffling_loses_nothing():
    plain = line_batches(TEXTS, Letters(), length=10, batch_size=3, shuffle=False)
    shuffled = line_batches(TEXTS, Letters(), length=10, batch_size=3, seed=5)
    assert sorted(rows_of(plain)) == sorted(rows_of(shuffled, epoch=3))
    blocks = block_batches(TEXTS, Letters(), length=4, batch_size=3, seed=5)
    labels = sorted(token for _, labels in rows_of(blocks, epoch=3) for token in labels if token)
    everything = sorted(token for text in LENGTHS for token in ids_of(text))
    everything.remove(START)
    assert labels == everything


def test_each_time_through_the_dataset_is_the_next_epoch():
    texts = tf.data.Dataset.from_tensor_slices(TEXTS)
    batches = line_batches(texts, Letters(), length=10, batch_size=3, seed=5)
    dataset = batches.dataset(first_epoch=2)
    assert int(dataset.cardinality()) == len(batches) == 2
    for number in (2, 3):
        for batch, expected in zip(dataset, batches.epoch(number), strict=True):
            for part, same in zip(batch, expected, strict=True):
                assert (part.shape, part.dtype) == ((3, 10), tf.int32)
                np.testing.assert_array_equal(part, same)


@pytest.mark.parametrize("make", [line_batches, block_batches])
def test_wrong_input_is_refused(make):
    sizes = {"length": 4, "batch_size": 2}
    for name in sizes:
        with pytest.raises(ValueError, match=f"{name} is a whole number of at least 1; got 0"):
            make(TEXTS, Letters(), **{**sizes, name: 0})
    for nothing in ([], ["", ""]):
        with pytest.raises(InputError, match="text"):
            make(nothing, Letters(), **sizes)
    with pytest.raises(InputError, match="put it in a list"):
        make("hello", Letters(), **sizes)


def test_lines_all_too_long_are_refused():
    with pytest.raises(InputError, match="at most 3 tokens"):
        line_batches(["hello"], Letters(), length=2, batch_size=1)
