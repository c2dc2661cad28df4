"""A search over a model of one's own, which gives `encode`, `initial_cache` and `decode_step`."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.buckets import ROOM
from keras_transformer.decoding.search import Search
from keras_transformer.layers.cache import initial_steps, with_own_slots, write_slots
from keras_transformer.special_tokens import END, PAD, START

VOCAB, WIDTH = 7, 4


class AverageModel:
    """Logits of the average of all token vectors, the last token and the source.

    The cache has a buffer of token vectors with a slot for each position and beam, and a state that
    moves with its beam.
    """

    def __init__(self, rng):
        def numbers(*shape):
            return tf.constant(rng.normal(0, 2, shape), tf.float32)

        self.vectors = numbers(VOCAB, WIDTH)
        self.of_average, self.of_last = numbers(WIDTH, VOCAB), numbers(VOCAB, VOCAB)
        self.of_source = numbers(VOCAB, VOCAB)

    def encode(self, source):
        real = tf.cast(source != PAD, tf.float32)[..., tf.newaxis]
        return tf.reduce_sum(real * tf.gather(self.of_source, source), axis=1)

    def initial_cache(self, encoded, beam_size):
        batch = tf.shape(encoded)[0]
        steps = initial_steps(1, batch, 1, WIDTH, tf.float32, beam_size)
        before = tf.zeros((batch, beam_size, VOCAB))
        return {"context": {"source": encoded}, "steps": {**steps, "before": before}}

    def decode_step(self, tokens, position, cache):
        steps = dict(cache["steps"])
        ((_, values),) = steps["keys_values"]
        slot = position * tf.shape(tokens)[1]
        values = write_slots(values, tf.gather(self.vectors, tokens), slot)
        steps["keys_values"] = [(steps["keys_values"][0][0], values)]
        if "past" in steps:
            steps["past"] = with_own_slots(steps["past"], slot)
            weights = tf.cast(steps["past"], tf.float32)
        else:
            weights = tf.cast(tf.range(tf.shape(values)[1]) <= position, tf.float32)
            weights = tf.tile(weights[tf.newaxis, tf.newaxis], (tf.shape(tokens)[0], 1, 1))
        average = tf.matmul(weights, values) / tf.reduce_sum(weights, axis=-1, keepdims=True)
        last = tf.gather(self.of_last, tokens)
        logits = average @ self.of_average + last + steps["before"] / 2
        steps["before"] = last
        return logits + cache["context"]["source"][:, tf.newaxis], {**cache, "steps": steps}

    def log_probabilities(self, source, tokens):
        """Of the tokens after START and `tokens`, from all of them at once, in NumPy."""
        history = np.array([START, *tokens])
        logits = self.vectors.numpy()[history].mean(axis=0) @ self.of_average.numpy()
        logits += self.of_last.numpy()[history[-1]]
        if len(history) > 1:
            logits += self.of_last.numpy()[history[-2]] / 2
        logits += self.of_source.numpy()[source[source != PAD]].sum(axis=0)
        log_probabilities = logits - np.logaddexp.reduce(np.delete(logits, PAD))
        return np.where(np.arange(VOCAB) == PAD, -1e9, log_probabilities)


@pytest.fixture
def model():
    return AverageModel(np.random.default_rng(7))  # some rows end early, one never does


SOURCE = np.array([[4, 5, 6], [3, 0, 0], [6, 6, 0], [1, 4, 0], [5, 0, 0]])


def greedy(model, source, limit):
    tokens = []
    while len(tokens) < limit and tokens[-1:] != [END]:
        tokens.append(int(np.argmax(model.log_probabilities(source, tokens))))
    return tokens


def beams(model, source, limit, size):
    """Plain beam search without length penalty until no beam can improve: the best hypotheses."""
    live, ended = [((), 0.0)], []
    for _ in range(limit):
        continued = [
            ((*tokens, token), score + log_probability)
            for tokens, score in live
            for token, log_probability in enumerate(model.log_probabilities(source, list(tokens)))
        ]
        continued.sort(key=lambda hypothesis: -hypothesis[1])
        ended += [one for one in continued[:size] if one[0][-1] == END or len(one[0]) == limit]
        live = [one for one in continued if one[0][-1] != END][:size]
    return sorted(ended, key=lambda hypothesis: -hypothesis[1])[:size]


def found_by(model, source, limits, jit_compile, **options):
    config = DecodingConfig(**options)
    search = Search(model, start_id=START, end_id=END, config=config, jit_compile=jit_compile)
    return search(source, limits)


def without_padding(tokens):
    return [token for token in np.array(tokens).tolist() if token != PAD]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_greedy_search_equals_a_plain_loop_as_rows_end_and_the_cache_grows(model, jit_compile):
    limits = [70, 3, 70, 50, 1]
    found = found_by(model, SOURCE, limits, jit_compile)
    for row, limit in enumerate(limits):
        assert without_padding(found.tokens[row, 0]) == greedy(model, SOURCE[row], limit)
    lengths = [len(without_padding(row[0])) for row in found.tokens]
    assert max(lengths) > ROOM
    assert sum(length < limit for length, limit in zip(lengths, limits, strict=True)) >= 2


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_beam_search_equals_one_in_plain_python(model, jit_compile):
    limits = [6, 6, 2, 5, 6]
    options = {"beam_size": 3, "n_best": 3, "length_penalty": 0.0, "early_stopping": False}
    found = found_by(model, SOURCE, limits, jit_compile, **options)
    for row, limit in enumerate(limits):
        expected = beams(model, SOURCE[row], limit, 3)
        assert [without_padding(tokens) for tokens in found.tokens[row]] == [
            list(tokens) for tokens, _ in expected
        ]
        np.testing.assert_allclose(found.scores[row], [score for _, score in expected], atol=1e-3)
