"""Attention equals `keras.layers.MultiHeadAttention` with the same weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers import (
    CausalSelfAttention,
    CrossAttention,
    GlobalSelfAttention,
    MultiHeadAttention,
)

WIDTH, HEADS = 8, 2


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(params=[4, 8], ids=["key_dim=4", "key_dim=8"])
def peers(request, rng):
    """Ours and Keras' own layer with the same random weights."""
    keras_layer = keras.layers.MultiHeadAttention(HEADS, key_dim=request.param)
    keras_layer.build((None, None, WIDTH), (None, None, WIDTH))
    layer = MultiHeadAttention(WIDTH, HEADS, key_dim=request.param)
    layer.build((None, None, WIDTH))
    weights = [rng.normal(scale=0.5, size=w.shape) for w in keras_layer.weights]
    assert [w.shape for w in layer.weights] == [w.shape for w in keras_layer.weights]
    keras_layer.set_weights(weights)
    layer.set_weights(weights)
    return layer, keras_layer


def vectors(rng, length):
    return rng.normal(size=(3, length, WIDTH)).astype("float32")


def some_mask(rng, *shape):
    mask = rng.random(shape) > 0.4
    mask[..., 0] = True
    return mask


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_cross_attention(masked, peers, rng):
    layer, keras_layer = peers
    q, k, v = vectors(rng, 4), vectors(rng, 6), vectors(rng, 6)
    keep = some_mask(rng, 3, 4, 6) if masked else None
    theirs = keras_layer(q, v, k, attention_mask=keep, return_attention_scores=True)
    same(layer(v=v, k=k, q=q, mask=None if keep is None else keep[:, None]), theirs)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_self_attention(causal, masked, peers, rng):
    layer, keras_layer = peers
    x = vectors(rng, 5)
    keep = some_mask(rng, 3, 5) if masked else None
    theirs = keras_layer(x, x, key_mask=keep, use_causal_mask=causal, return_attention_scores=True)
    mask = None if keep is None else (~keep).astype("float32")[:, None, None, :]
    same(layer(v=x, k=x, q=x, mask=mask, causal=causal), theirs)


def test_gradients(peers, rng):
    x, keep = tf.Variable(vectors(rng, 5)), some_mask(rng, 3, 5)
    gradients = []
    for layer, call in (
        (peers[0], lambda: peers[0](x, x, x, mask=keep[:, None, None, :])[0]),
        (peers[1], lambda: peers[1](x, x, key_mask=keep)),
    ):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(call() ** 2)
        gradients.append(tape.gradient(loss, [x, *layer.trainable_weights]))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [GlobalSelfAttention, CausalSelfAttention, CrossAttention])
def test_sub_layers_of_the_tutorial(kind, rng):
    """Attention, residual connection and norm, as the tutorial chains Keras' own layers."""
    layer = kind(num_heads=HEADS, key_dim=WIDTH, layer_norm_epsilon=1e-3)
    layer.build((None, None, WIDTH))
    keras_layer = keras.layers.MultiHeadAttention(HEADS, key_dim=WIDTH)
    keras_layer.build((None, None, WIDTH), (None, None, WIDTH))
    weights = [rng.normal(scale=0.5, size=w.shape) for w in keras_layer.weights]
    layer.mha.set_weights(weights)
    keras_layer.set_weights(weights)
    x, context = vectors(rng, 4), vectors(rng, 6)
    if kind is CrossAttention:
        ours, theirs = layer(x, context), keras_layer(x, context)
    else:
        ours = layer(x)
        theirs = keras_layer(x, x, use_causal_mask=kind is CausalSelfAttention)
    norm = keras.layers.LayerNormalization(epsilon=1e-3)
    np.testing.assert_allclose(ours, norm(x + theirs), rtol=0, atol=1e-5)
