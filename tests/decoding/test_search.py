"""Greedy search: the cache equals no cache, XLA equals the plain graph, rows do not mind others."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.decoding.compiled import CompiledSearch
from keras_transformer.decoding.search import greedy_search
from keras_transformer.special_tokens import END, START

IDS = {"start_id": START, "end_id": END}


@pytest.fixture(scope="module")
def model(tiny_run):
    return tiny_run.translator.transformer


@pytest.fixture(scope="module")
def source(tiny_run, tiny_corpus):
    """Token ids of six sentences of different lengths, int32 ``(6, source)``."""
    strings = next(iter(tiny_corpus.test.batch(6)))[0]
    ids = tiny_run.translator.tokenizers.source.tokenize(strings)
    assert len(set(ids.row_lengths().numpy())) > 2
    return tf.cast(ids.to_tensor(), tf.int32)


def _uncached(model, source, max_length):
    """The tutorial's way: the whole model again for every token."""
    rows = []
    for row in source.numpy():
        ids = [START]
        while len(ids) <= max_length and ids[-1] != END:
            logits = model((row[np.newaxis], np.array([ids])), training=False)[0, -1].numpy()
            logits[0] = -np.inf  # padding is no token
            ids.append(int(np.argmax(logits)))
        rows.append(ids[1:] + [0] * (max_length + 1 - len(ids)))
    return np.array(rows)


def test_the_cache_equals_no_cache(model, source):
    found = greedy_search(model, source, 15, **IDS)
    np.testing.assert_array_equal(found.tokens, _uncached(model, source, 15))
    lengths = np.count_nonzero(found.tokens, axis=1)
    assert len(set(lengths)) > 1, "rows end at different steps, or this test means little"


def test_xla_equals_the_plain_graph(model, source):
    def search(source):
        return greedy_search(model, source, 15, **IDS)

    plain = tf.function(search)(source)
    compiled = tf.function(search, jit_compile=True)(source)
    np.testing.assert_array_equal(plain.tokens, compiled.tokens)
    np.testing.assert_allclose(plain.scores, compiled.scores, atol=1e-4)


def test_a_row_does_not_mind_its_batch_mates_or_padding(model, source):
    together = greedy_search(model, source, 15, **IDS)
    for row in range(len(source)):
        length = np.count_nonzero(source[row])
        alone = greedy_search(model, source[row : row + 1, :length], 15, **IDS)
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[row])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-4)


def test_scores_equal_a_forced_rescoring(model, source):
    found = greedy_search(model, source, 15, **IDS)
    target = found.tokens.numpy()
    target_in = np.concatenate([np.full((len(target), 1), START), target[:, :-1]], axis=1)
    logits = model((source, tf.constant(target_in)), training=False).numpy()
    logits[:, :, 0] = -1e9  # padding is no token
    log_probabilities = tf.nn.log_softmax(logits).numpy()
    taken = np.take_along_axis(log_probabilities, target[:, :, np.newaxis], axis=-1)[..., 0]
    np.testing.assert_allclose(found.scores, (taken * (target != 0)).sum(axis=1), atol=1e-3)


def test_row_limits_end_rows_early_and_rows_of_zero_stay_empty(model, source):
    limits = np.array([0, 1, 2, 15, 4, 3])
    free = greedy_search(model, source, 15, **IDS).tokens.numpy()
    limited = greedy_search(model, source, 15, row_limits=tf.constant(limits), **IDS)
    for row, limit in enumerate(limits):
        np.testing.assert_array_equal(limited.tokens[row, :limit], free[row, :limit])
        assert not limited.tokens.numpy()[row, limit:].any()
    assert limited.scores[0] == 0


def test_nothing_follows_the_end(model, source):
    for row in greedy_search(model, source, 30, **IDS).tokens.numpy():
        ends = np.flatnonzero(row == END)
        if len(ends):
            assert not row[ends[0] + 1 :].any()


def test_the_compiled_search_gives_the_same_for_any_shape(model, source):
    search = CompiledSearch(model, **IDS)
    expected = greedy_search(model, source, 15, **IDS)
    for rows in (1, 6):
        found = search(source.numpy()[:rows], np.full(rows, 15))
        assert found.tokens.shape[0] == rows
        np.testing.assert_array_equal(found.tokens[:, :15], expected.tokens[:rows])
        np.testing.assert_allclose(found.scores, expected.scores[:rows], atol=1e-4)


def test_the_compiled_search_compiles_once_for_each_bucket(model, source):
    search = CompiledSearch(model, **IDS, jit_compile=False)
    for rows, length in ((2, 5), (3, 9), (6, 7), (8, 9)):
        ids = np.full((rows, length), 5)
        search(ids, np.full(rows, 10 + length))
    assert len(search._programs) == 2  # targets of 16 and of 32
