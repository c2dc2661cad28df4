"""Models that translate together: their mean, whatever the search and the kinds of models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.search import Search
from keras_transformer.decoding.shortlist import Shortlist
from keras_transformer.errors import InputError
from keras_transformer.layers import cache as caches
from keras_transformer.models.ensemble import ModelEnsemble
from keras_transformer.special_tokens import END, PAD, START

VOCAB, LIMIT = 11, 9
SIZES = {"input_vocab_size": VOCAB, "target_vocab_size": VOCAB}
SOURCE = tf.constant([[2, 4, 5, 6, 3], [2, 7, 3, 0, 0], [2, 9, 9, 3, 0], [2, 8, 10, 4, 3]])
KINDS = {
    "deep": lambda: transformer(num_layers=2, d_model=8, num_heads=2),
    "wide": lambda: transformer(num_layers=1, d_model=12, num_heads=3, max_length=20),
    "recurrent": lambda: kt.RecurrentSeq2Seq(
        kind="gru", units=6, embedding_size=5, attention="additive", max_length=32, **SIZES
    ),
}
SEARCHES = {
    "greedy": {},
    "beam": {"beam_size": 3, "n_best": 3},
    "sampling": {"sampling": True, "n_best": 2, "temperature": 2.0},
}


def transformer(max_length=32, **shape):
    return kt.Transformer(dff=16, dropout_rate=0.0, max_length=max_length, **shape, **SIZES)


@pytest.fixture(scope="module")
def models():
    """Untrained models of three kinds that are not sure of the same tokens."""
    keras.utils.set_random_seed(5)
    rng = np.random.default_rng(5)
    found = {name: make() for name, make in KINDS.items()}
    for model in found.values():
        for weight in model.trainable_variables:
            weight.assign(weight + rng.normal(scale=0.6, size=weight.shape))
    return found


@pytest.fixture(scope="module")
def mixed(models):
    return ModelEnsemble(list(models.values()))


def searched(model, *, jit_compile=False, prefix=None, **options):
    config = DecodingConfig(**options)
    search = Search(model, start_id=START, end_id=END, config=config, jit_compile=jit_compile)
    return search(SOURCE, [LIMIT] * len(SOURCE), prefix=prefix)


def assert_same(some, others):
    np.testing.assert_array_equal(some.tokens, others.tokens)
    np.testing.assert_allclose(some.token_scores, others.token_scores, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "copies", "name"),
    [("deep", 1, "beam"), ("deep", 2, "sampling"), ("recurrent", 2, "beam")],
)
def test_equal_models_give_what_one_gives(kind, copies, name, models):
    together, options = ModelEnsemble([models[kind]] * copies), SEARCHES[name]
    assert_same(searched(together, **options), searched(models[kind], **options))


def test_order_does_not_matter(models, mixed):
    turned, options = ModelEnsemble(list(models.values())[::-1]), SEARCHES["beam"]
    found = searched(mixed, **options)
    assert_same(searched(turned, **options), found)
    for model in models.values():  # or else this says nothing
        assert not np.array_equal(searched(model, **options).tokens, found.tokens)


@pytest.mark.parametrize(
    "name",
    ["beam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("greedy", "sampling"))],
)
def test_xla_gives_the_same(name, mixed):
    options = SEARCHES[name]
    assert_same(searched(mixed, jit_compile=True, **options), searched(mixed, **options))


def test_transformers_alone_encode_without_padding(models):
    """As one does under XLA on a CPU."""
    together = ModelEnsemble([models["deep"], models["wide"]])
    assert hasattr(together, "pad_encoded")
    assert_same(searched(together, jit_compile=True), searched(together))


@pytest.mark.parametrize("beams", [1, 2])
def test_steps_give_the_mean_of_the_probabilities_without_a_cache(beams, models, mixed):
    rng = np.random.default_rng(3)
    target = tf.constant(rng.integers(3, VOCAB, (len(SOURCE), LIMIT)), tf.int32)
    expected = np.mean(
        [tf.nn.softmax(model((SOURCE, target))) for model in models.values()], axis=0
    )
    cache = caches.grow(mixed.initial_cache(mixed.encode(SOURCE), beams), LIMIT)
    for position in range(LIMIT):
        tokens = tf.repeat(target[:, position : position + 1], beams, axis=1)
        logits, cache = mixed.decode_step(tokens, tf.constant(position), cache)
        for beam in range(beams):
            np.testing.assert_allclose(np.exp(logits[:, beam]), expected[:, position], atol=1e-5)


def test_a_literal_mean():
    class Constant:
        input_vocab_size = target_vocab_size = 3

        def __init__(self, *probabilities):
            self.logits = 7 + tf.math.log(tf.constant(probabilities, tf.float32))

        def decode_step(self, tokens, position, cache):
            return tf.broadcast_to(self.logits, (*tokens.shape, 3)), cache

    models = [Constant(0.5, 0.25, 0.25), Constant(0.5, 0.49, 0.01)]
    cache = {"context": [(), ()], "steps": {"members": [{}, {}]}}
    logits, _ = ModelEnsemble(models).decode_step(tf.constant([[1]]), 0, cache)
    np.testing.assert_allclose(np.exp(logits[0, 0]), [0.5, 0.37, 0.13], rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_with_a_shortlist_a_row_does_not_depend_on_others(jit_compile, mixed):
    candidates = np.zeros((VOCAB, 2), int)
    candidates[4:] = [[token, 3 + token % 5] for token in range(4, VOCAB)]
    shortlist = Shortlist(candidates, [5], VOCAB)
    config = DecodingConfig(beam_size=2, shortlist=2)
    options = {"config": config, "shortlist": shortlist, "jit_compile": jit_compile}
    search = Search(mixed, start_id=START, end_id=END, **options)
    together = search(SOURCE, [LIMIT] * len(SOURCE))
    for row in range(len(SOURCE)):
        alone = search(SOURCE[row : row + 1], [LIMIT])
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[row])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-4)


def test_a_prefix_is_kept(mixed):
    prefix = tf.constant([[6, 7], [8, PAD], [PAD, PAD], [9, 9]])
    found = searched(mixed, prefix=prefix, beam_size=2).tokens[:, 0]
    np.testing.assert_array_equal(found[0, :2], [6, 7])
    np.testing.assert_array_equal(found[3, :2], [9, 9])
    assert found[1, 0] == 8


def test_it_has_the_fewest_positions_and_all_weights(models, mixed):
    assert mixed.max_length == 20
    assert mixed.count_params() == sum(model.count_params() for model in models.values())
    assert len(mixed.variables) == sum(len(model.variables) for model in models.values())


def test_other_vocabularies_are_refused(models):
    larger = transformer(num_layers=1, d_model=8, num_heads=2)
    larger.target_vocab_size = 12
    with pytest.raises(InputError, match=r"target_vocab_size: .* 11 and 12"):
        ModelEnsemble([models["deep"], larger])
    with pytest.raises(InputError, match="needs a model"):
        ModelEnsemble([])
