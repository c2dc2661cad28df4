"""Embeddings: one-hot ids select rows of a kernel, and frozen vectors stay as they are."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.layers import PositionalEmbedding
from keras_transformer.layers.embeddings import (
    OneHot,
    make_embedding,
    set_word_vectors,
    token_embedding,
)
from keras_transformer.losses.masked import masked_loss
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.optimizers.adam import Adam
from keras_transformer.training.step import TrainingStep

VOCAB, WIDTH = 11, 6
SIZES = {"input_vocab_size": VOCAB, "target_vocab_size": VOCAB}
IDS = np.array([[2, 5, 6, 10, 3], [2, 9, 3, 0, 0]], "int32")
BATCH = ((IDS, IDS[:, :-1]), IDS[:, 1:])
FOUND = np.arange(VOCAB) % 2 == 0


def transformer(**options):
    shape = {"num_layers": 1, "d_model": WIDTH, "num_heads": 2, "dff": 8, "max_length": 8}
    return kt.Transformer(**shape, **SIZES, **options)


def recurrent(**options):
    return RecurrentSeq2Seq(**{"units": WIDTH, **SIZES, **options})


MODELS = {"transformer": transformer, "recurrent": recurrent}
EVERY_MODEL = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@pytest.fixture
def matrix(rng):
    return rng.normal(size=(VOCAB, WIDTH)).astype("float32")


# One-hot


def test_one_hot_is_the_identity_looked_up(dtype_policy):
    layer = OneHot(VOCAB, dtype=dtype_policy)
    vectors = layer(IDS)
    assert vectors.dtype == layer.compute_dtype
    np.testing.assert_array_equal(vectors, np.eye(VOCAB)[IDS])
    assert not layer.weights
    np.testing.assert_array_equal(layer(IDS.astype("float32")), vectors)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_ids_beyond_the_vocabulary_give_zeros(jit_compile):
    vectors = tf.function(OneHot(3), jit_compile=jit_compile)(tf.constant([[-1, 2, 3, 2**31 - 1]]))
    np.testing.assert_array_equal(vectors[0], [[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


def test_a_product_with_one_hot_vectors_selects_rows_of_the_kernel():
    dense = keras.layers.Dense(WIDTH, use_bias=False)
    selected = dense(OneHot(VOCAB)(IDS))
    learned = keras.layers.Embedding(VOCAB, WIDTH)
    learned.build(None)
    learned.embeddings.assign(dense.kernel)
    np.testing.assert_allclose(selected, learned(IDS), rtol=1e-6)


def test_one_hot_is_saved_and_works_on_symbols(tmp_path):
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, OneHot(VOCAB)(ids))
    assert model.output_shape == (None, None, VOCAB)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


def test_positions_are_added_to_one_hot_vectors():
    layer = PositionalEmbedding(VOCAB, VOCAB, positions="none", embedding=OneHot(VOCAB))
    np.testing.assert_allclose(layer(IDS), VOCAB**0.5 * np.eye(VOCAB)[IDS], rtol=1e-6)
    assert not layer.weights


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_recurrent_stacks_take_one_hot_vectors(side):
    of_model = getattr(recurrent(kind="lstm"), side)
    config = {**of_model.get_config(), "embedding_size": VOCAB, "dropout_rate": 0}
    del config["embeddings_initializer"], config["name"]
    one_hot = type(of_model)(embedding=OneHot(VOCAB), **config)
    identity = keras.layers.Embedding(VOCAB, VOCAB)
    twin = type(of_model)(embedding=identity, **config)
    inputs = (IDS,)
    shapes = (IDS.shape,)
    if side == "decoder":
        memory = tf.random.normal((2, 5, 2 * WIDTH))
        inputs = (IDS, memory, [[tf.ones((2, 2 * WIDTH))] * 2])
        shapes = (IDS.shape, memory.shape)
    for stack in (one_hot, twin):
        stack.build(*shapes)
    identity.embeddings.assign(np.eye(VOCAB))
    for ours, theirs in zip(
        one_hot.weights, [w for w in twin.weights if w is not identity.embeddings], strict=True
    ):
        theirs.assign(ours)
    for ours, theirs in zip(
        tf.nest.flatten(one_hot(*inputs)), tf.nest.flatten(twin(*inputs)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_embeddings_are_made_by_name():
    learned = make_embedding("learned", VOCAB, WIDTH, dtype="mixed_float16")
    assert learned(IDS).shape == (*IDS.shape, WIDTH)
    assert learned(IDS).dtype == tf.float16
    assert isinstance(make_embedding("one_hot", VOCAB, VOCAB), OneHot)
    with pytest.raises(ValueError, match=f"got a width of {WIDTH}"):
        make_embedding("one_hot", VOCAB, WIDTH)
    with pytest.raises(ValueError, match="learned, one_hot; got 'hashed'"):
        make_embedding("hashed", VOCAB, WIDTH)


# Given vectors


def vectors_of(model, side):
    return token_embedding(model, side).embeddings.numpy()


@EVERY_MODEL
@pytest.mark.parametrize("side", ["source", "target"])
def test_vectors_are_where_tokens_are_looked_up(make, side, matrix):
    model = make()
    other = {"source": "target", "target": "source"}[side]
    before = vectors_of(model, other)
    set_word_vectors(model, side, matrix)
    np.testing.assert_array_equal(token_embedding(model, side)(IDS), matrix[IDS])
    np.testing.assert_array_equal(vectors_of(model, other), before)
    assert token_embedding(model, side).embeddings.trainable


def fit(model, epochs=3):
    model.compile(loss=masked_loss, optimizer=keras.optimizers.Adam(0.1), run_eagerly=True)
    model.fit(*BATCH, epochs=epochs, verbose=0)


def take_steps(model, **options):
    """Trains as `train` does; gives the moving average of each weight."""
    optimizer = Adam(0.1)
    optimizer.build(model.trainable_variables)
    step = TrainingStep(model, optimizer, clip_norm=1.0, average_decay=0.9, **options)
    for _ in range(3):
        step([BATCH], 0.1)
    paths = [weight.path for weight in model.trainable_variables]
    return dict(zip(paths, (average.numpy() for average in step.averages), strict=True))


def assert_kept_are_the_found(vectors, matrix):
    moved = np.abs(vectors - matrix).max(axis=1)
    assert not moved[FOUND].any()
    assert (moved[~FOUND] > 0.01).all()


@EVERY_MODEL
def test_the_training_step_leaves_frozen_vectors_alone(make, matrix):
    model = make(tie_output=True)  # every row of the target has a gradient then
    set_word_vectors(model, "source", matrix, trainable=False)
    set_word_vectors(model, "target", matrix, trainable=~FOUND)
    averages = take_steps(model)
    np.testing.assert_array_equal(vectors_of(model, "source"), matrix)
    assert token_embedding(model, "source").embeddings.path not in averages
    assert_kept_are_the_found(vectors_of(model, "target"), matrix)
    assert_kept_are_the_found(averages[token_embedding(model, "target").embeddings.path], matrix)


@EVERY_MODEL
def test_fit_leaves_frozen_vectors_alone(make, matrix):
    model = make(tie_output=True)
    set_word_vectors(model, "source", matrix, trainable=False)
    set_word_vectors(model, "target", matrix, trainable=~FOUND)
    fit(model)
    np.testing.assert_array_equal(vectors_of(model, "source"), matrix)
    assert_kept_are_the_found(vectors_of(model, "target"), matrix)


@pytest.mark.slow
def test_found_vectors_stay_where_xla_and_half_precision_train(matrix):
    model = transformer(tie_output=True, dtype="mixed_float16")
    set_word_vectors(model, "target", matrix, trainable=~FOUND)
    take_steps(model, jit_compile=True)
    assert_kept_are_the_found(vectors_of(model, "target"), matrix)


def test_a_later_call_sets_free_what_an_earlier_one_froze(matrix):
    model = transformer()
    for frozen in (False, ~FOUND):
        set_word_vectors(model, "source", matrix, trainable=frozen)
        set_word_vectors(model, "source", matrix)
        fit(model, epochs=1)
        moved = np.abs(vectors_of(model, "source") - matrix).max(axis=1)
        assert (moved[np.unique(IDS[IDS != 0])] > 0.01).all()


@EVERY_MODEL
def test_a_shared_embedding_is_one(make, matrix):
    model = make(share_embeddings=True)
    set_word_vectors(model, "target", matrix, trainable=False)
    np.testing.assert_array_equal(vectors_of(model, "source"), matrix)


@EVERY_MODEL
@pytest.mark.parametrize("trainable", [False, ~FOUND], ids=["all frozen", "found frozen"])
def test_weights_are_saved_as_if_nothing_were_frozen(make, trainable, matrix, tmp_path):
    model, plain = make(), make()
    set_word_vectors(model, "source", matrix, trainable=trainable)
    model.save_weights(tmp_path / "model.weights.h5")
    plain.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(vectors_of(plain, "source"), matrix)


@EVERY_MODEL
def test_vectors_that_do_not_fit_are_refused(make, matrix):
    model = make()
    wide = np.zeros((VOCAB, 300))
    with pytest.raises(ValueError, match=r"6 wide; got word vectors of width 300.*=300"):
        set_word_vectors(model, "source", wide)
    with pytest.raises(ValueError, match=r"has 11 tokens; got word vectors of shape \(9, 6\)"):
        set_word_vectors(model, "source", matrix[:9])
    with pytest.raises(ValueError, match="source, target; got 'encoder'"):
        set_word_vectors(model, "encoder", matrix)
    with pytest.raises(ValueError, match=r"bool for each of the 11 tokens; got int64"):
        set_word_vectors(model, "source", matrix, trainable=np.arange(VOCAB))


def test_recurrent_models_take_vectors_of_another_width_than_their_states(rng):
    model = recurrent(embedding_size=9)
    set_word_vectors(model, "source", rng.normal(size=(VOCAB, 9)))
    assert model((IDS, IDS)).shape == (*IDS.shape, VOCAB)


def test_one_hot_vectors_cannot_be_set(matrix):
    encoder = PositionalEmbedding(VOCAB, VOCAB, embedding=OneHot(VOCAB))
    model = SimpleNamespace(name="model", encoder=encoder)
    with pytest.raises(ValueError, match="is OneHot, which has no vectors"):
        set_word_vectors(model, "source", matrix)


@pytest.mark.parametrize("family", ["transformer", "recurrent"])
def test_models_take_one_hot_vectors(family):
    keras.utils.set_random_seed(1)
    if family == "transformer":
        model = kt.Transformer(
            num_layers=1,
            d_model=12,
            num_heads=2,
            dff=16,
            input_vocab_size=12,
            target_vocab_size=12,
            token_vectors="one_hot",
        )
    else:
        model = RecurrentSeq2Seq(
            units=8, input_vocab_size=12, target_vocab_size=10, token_vectors="one_hot"
        )
    source, target = tf.constant([[2, 7, 9, 3, 0]]), tf.constant([[2, 5, 6]])
    logits = model((source, target))
    assert isinstance(token_embedding(model, "target"), OneHot)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again((source, target)), logits)
    with pytest.raises(ValueError, match="tie_output needs learned"):
        type(model).from_config({**model.get_config(), "tie_output": True})
