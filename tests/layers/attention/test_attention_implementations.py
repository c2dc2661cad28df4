"""Every implementation of attention in the layers: the same numbers, and weights on demand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers import (
    BaseAttention,
    CausalSelfAttention,
    CrossAttention,
    GlobalSelfAttention,
    MultiHeadAttention,
    PositionalEmbedding,
)
from keras_transformer.layers.attention import dot_product
from keras_transformer.layers.dropout import dropout_seed

WIDTH, HEADS = 8, 2
KINDS = pytest.mark.parametrize("kind", [GlobalSelfAttention, CausalSelfAttention, CrossAttention])


def close(actual, expected, tolerance):
    actual, expected = (tf.cast(x, tf.float32) for x in (actual, expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def largest_difference(a, b):
    return np.abs(a.numpy() - b.numpy()).max()


def vectors(rng, batch=2, length=5):
    return rng.normal(size=(batch, length, WIDTH)).astype("float32")


def twins(kind, randomise, **kwargs):
    """A layer of each implementation, with the same weights."""
    layers = [
        kind(num_heads=HEADS, attention_implementation=name, **kwargs)
        for name in ("reference", "blockwise")
    ]
    for layer in layers:
        layer.build((None, None, WIDTH))
    layers[1].set_weights(randomise(layers[0]).get_weights())
    return layers


def masked(layer, x, mask, **kwargs):
    if isinstance(layer, CrossAttention):
        return layer(x, x, context_mask=mask, **kwargs)
    return layer(x, x_mask=mask, **kwargs)


@KINDS
def test_implementations_agree_for_every_form_of_mask(kind, randomise, rng):
    reference, blockwise = twins(kind, randomise, rotary=kind is not CrossAttention)
    x = tf.constant(vectors(rng, batch=3))
    keep = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    lengths = keep.sum(axis=1)
    expected = masked(reference, x, keep)
    for layer in (reference, blockwise):
        for mask in (keep, (~keep).astype("float32"), lengths, tf.constant(lengths, tf.int32)):
            close(masked(layer, x, mask), expected, 1e-5)
            close(layer.last_attn_scores, reference.last_attn_scores, 1e-6)
    for mask in (rng.random((3, 5, 5)) > 0.4, rng.random((3, HEADS, 5, 5)) > 0.4, None):
        close(masked(blockwise, x, mask), masked(reference, x, mask), 1e-5)


@pytest.mark.parametrize("name", ["reference", "blockwise"])
def test_heads_without_weights(name, dtype_policy, randomise, tolerance, rng):
    layer = MultiHeadAttention(WIDTH, HEADS, implementation=name, dtype=dtype_policy)
    layer.build((None, None, WIDTH))
    randomise(layer)
    x = vectors(rng)
    expected, weights = layer(v=x, k=x, q=x, key_lengths=[5, 2], causal=True)
    assert not np.any(weights[1, ..., 2:])
    call = {"v": x, "k": x, "q": x, "causal": True, "return_attention_scores": False}
    keep = np.arange(5) < np.array([5, 2])[:, np.newaxis, np.newaxis, np.newaxis]
    for sight in ({"key_lengths": [5, 2]}, {"mask": keep}):
        close(layer(**call, **sight), expected, tolerance)


def test_an_implementation_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="auto, reference, blockwise, cudnn; got 'flash'"):
        GlobalSelfAttention(HEADS, attention_implementation="flash")


@KINDS
def test_dropout_of_weights_follows_from_the_scope_in_every_implementation(kind, randomise, rng):
    """And no layer after attention drops anything else because of the implementation."""
    x = tf.constant(vectors(rng))
    following = []
    for layer in twins(kind, randomise, dropout=0.5):
        runs = []
        for step in (1, 1, 2):
            with dropout_seed(3, step):
                runs.append(masked(layer, x, None, training=True))
                following.append((step, tuple(layer.dropout_layer.next_seed().numpy())))
        np.testing.assert_array_equal(runs[0], runs[1])
        assert largest_difference(runs[0], runs[2]) > 1e-3
        assert largest_difference(runs[0], masked(layer, x, None)) > 1e-3
    assert len(set(following)) == 2


# Weights on demand


def operations(function, *arguments):
    """All operations of a function's graph, of the functions in it too."""
    graph = tf.function(function).get_concrete_function(*arguments).graph
    definition = graph.as_graph_def(add_shapes=True)
    return [*definition.node, *(node for f in definition.library.function for node in f.node_def)]


def weights_in(nodes, length):
    """How many of the operations give a tensor as large as the weights of that length."""
    shapes = [s for node in nodes for s in node.attr["_output_shapes"].list.shape]
    sizes = [[dimension.size for dimension in shape.dim] for shape in shapes]
    return sum(size[-2:] == [length, length] for size in sizes)


@KINDS
def test_nobody_who_does_not_read_weights_pays_for_them(kind, randomise, rng):
    length = 301  # more than a block
    reference, blockwise = twins(kind, randomise)
    x = tf.constant(vectors(rng, batch=1, length=length))

    def gradient(layer, read=False):
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = masked(layer, x, [length - 5])
        gradient = tape.gradient(output, x)
        return (gradient, layer.last_attn_scores) if read else gradient

    assert weights_in(operations(lambda: gradient(blockwise)), length) == 0
    assert weights_in(operations(lambda: gradient(blockwise, read=True)), length) > 0
    softmax = [
        sum(
            node.op == "Softmax" for node in operations(lambda read=read: gradient(reference, read))
        )
        for read in (False, True)
    ]
    assert softmax == [1, 2]


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_weights_are_read_in_the_function_of_the_call(jit_compile, randomise, rng):
    layer, _ = twins(CausalSelfAttention, randomise)
    x = tf.constant(vectors(rng))
    assert layer.last_attn_scores is None
    layer(x, x_mask=[5, 2])
    expected = layer.last_attn_scores
    np.testing.assert_array_equal(expected, layer.last_attn_scores)

    @tf.function(jit_compile=jit_compile)
    def call(x, lengths):
        layer(x, x_mask=lengths)
        in_a_branch = tf.cond(
            lengths[0] > 0, lambda: layer.last_attn_scores, lambda: tf.zeros((2, HEADS, 5, 5))
        )
        return layer.last_attn_scores, in_a_branch

    for weights in call(x, tf.constant([5, 2])):
        close(weights, expected, 1e-6)
    with pytest.raises(RuntimeError, match="read only within"):
        _ = layer.last_attn_scores
    with pytest.raises(RuntimeError, match="call the layer or the model once more"):
        tf.function(lambda: layer.last_attn_scores)()
    layer(x, x_mask=[5, 2])
    np.testing.assert_array_equal(layer.last_attn_scores, expected)


def test_saving_reads_no_weights(monkeypatch, tmp_path, rng):
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, GlobalSelfAttention(HEADS)(PositionalEmbedding(17, WIDTH)(ids)))
    ids = np.array([[3, 4, 5, 6], [7, 8, 9, 0]])
    model(ids)

    def read(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(dot_product, "attention_weights_of_heads", read)
    with pytest.raises(AssertionError):
        _ = model.layers[-1].last_attn_scores
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    model.export(tmp_path / "exported", verbose=False)
    copy = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(copy(ids), model(ids))


def test_a_layer_of_ones_own_may_set_its_weights(rng):
    class Own(BaseAttention):
        def call(self, x):
            output, self.last_attn_scores = self.mha(x, x, x)
            return self.add([x, output])

    layer, x = Own(HEADS), vectors(rng)
    layer.build((None, None, WIDTH))
    layer(x)
    np.testing.assert_allclose(layer.last_attn_scores, layer.mha(x, x, x)[1], rtol=1e-5)


def test_a_layer_says_which_implementation_it_takes_and_why(caplog, rng):
    x = vectors(rng)
    with caplog.at_level("DEBUG", dot_product.logger.name):
        GlobalSelfAttention(HEADS)(x)
        GlobalSelfAttention(HEADS, attention_implementation="blockwise")(x)
        MultiHeadAttention(WIDTH, HEADS)(x, x, x)
    few, asked, weights = (record.getMessage() for record in caplog.records)
    assert few.startswith("reference attention: 5 queries, 5 keys are few; no cuDNN: ")
    assert asked == "blockwise attention: asked for"
    assert weights == "reference attention: the weights are asked for"
