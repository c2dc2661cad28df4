"""Weights saved by the 2022 tutorial's own classes load, and give the same logits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt

SIZES = {"num_layers": 2, "d_model": 8, "num_heads": 2, "dff": 16}
VOCABULARIES = {"input_vocab_size": 13, "target_vocab_size": 11}

# The structure of the tutorial's classes on stock Keras layers: attributes of the same names, in
# the same places.


class PositionalEmbedding(keras.layers.Layer):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.d_model = d_model
        self.embedding = keras.layers.Embedding(vocab_size, d_model, mask_zero=True)
        self.pos_encoding = kt.positional_encoding(length=2048, depth=d_model)

    def call(self, x):
        length = tf.shape(x)[1]
        x = self.embedding(x) * tf.math.sqrt(tf.cast(self.d_model, tf.float32))
        return x + self.pos_encoding[tf.newaxis, :length, :]


class Attention(keras.layers.Layer):
    def __init__(self, causal=False, **kwargs):
        super().__init__()
        self.causal = causal
        self.mha = keras.layers.MultiHeadAttention(**kwargs)
        self.layernorm = keras.layers.LayerNormalization()
        self.add = keras.layers.Add()

    def call(self, x, context=None):
        context = x if context is None else context
        output = self.mha(query=x, key=context, value=context, use_causal_mask=self.causal)
        return self.layernorm(self.add([x, output]))


class FeedForward(keras.layers.Layer):
    def __init__(self, d_model, dff):
        super().__init__()
        self.seq = keras.Sequential(
            [
                keras.layers.Dense(dff, activation="relu"),
                keras.layers.Dense(d_model),
                keras.layers.Dropout(0.1),
            ]
        )
        self.add = keras.layers.Add()
        self.layer_norm = keras.layers.LayerNormalization()

    def call(self, x):
        return self.layer_norm(self.add([x, self.seq(x)]))


class EncoderLayer(keras.layers.Layer):
    def __init__(self, *, d_model, num_heads, dff):
        super().__init__()
        self.self_attention = Attention(num_heads=num_heads, key_dim=d_model, dropout=0.1)
        self.ffn = FeedForward(d_model, dff)

    def call(self, x):
        return self.ffn(self.self_attention(x))


class DecoderLayer(keras.layers.Layer):
    def __init__(self, *, d_model, num_heads, dff):
        super().__init__()
        heads = {"num_heads": num_heads, "key_dim": d_model, "dropout": 0.1}
        self.causal_self_attention = Attention(causal=True, **heads)
        self.cross_attention = Attention(**heads)
        self.ffn = FeedForward(d_model, dff)

    def call(self, x, context):
        return self.ffn(self.cross_attention(self.causal_self_attention(x), context))


class Encoder(keras.layers.Layer):
    def __init__(self, *, num_layers, vocab_size, **sizes):
        super().__init__()
        self.pos_embedding = PositionalEmbedding(vocab_size, sizes["d_model"])
        self.enc_layers = [EncoderLayer(**sizes) for _ in range(num_layers)]
        self.dropout = keras.layers.Dropout(0.1)

    def call(self, x):
        x = self.dropout(self.pos_embedding(x))
        for layer in self.enc_layers:
            x = layer(x)
        return x


class Decoder(keras.layers.Layer):
    def __init__(self, *, num_layers, vocab_size, **sizes):
        super().__init__()
        self.pos_embedding = PositionalEmbedding(vocab_size, sizes["d_model"])
        self.dropout = keras.layers.Dropout(0.1)
        self.dec_layers = [DecoderLayer(**sizes) for _ in range(num_layers)]

    def call(self, x, context):
        x = self.dropout(self.pos_embedding(x))
        for layer in self.dec_layers:
            x = layer(x, context)
        return x


class TutorialTransformer(keras.Model):
    def __init__(self, *, input_vocab_size, target_vocab_size, **sizes):
        super().__init__()
        self.encoder = Encoder(vocab_size=input_vocab_size, **sizes)
        self.decoder = Decoder(vocab_size=target_vocab_size, **sizes)
        self.final_layer = keras.layers.Dense(target_vocab_size)

    def call(self, inputs):
        context, x = inputs
        return self.final_layer(self.decoder(x, self.encoder(context)))


@pytest.fixture(scope="module")
def tutorial():
    """The tutorial's model with random weights, and inputs without padding.

    Keras 3 loses the tutorial's implicit masks, so that only such inputs give what was meant.
    """
    rng = np.random.default_rng(3)
    model = TutorialTransformer(**SIZES, **VOCABULARIES)
    inputs = (rng.integers(1, 13, (2, 5)), rng.integers(1, 11, (2, 4)))
    model(inputs)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.2, size=weight.shape))
    return model, inputs


def test_weights_of_the_2022_tutorial_load(tutorial, tmp_path):
    model, inputs = tutorial
    model.save_weights(tmp_path / "tutorial.weights.h5")
    ours = kt.Transformer(**SIZES, **VOCABULARIES, key_dim=8, layer_norm_epsilon=1e-3)
    assert ours.count_params() == model.count_params()
    assert np.abs(ours(inputs) - model(inputs)).max() > 0.1
    ours.load_weights(tmp_path / "tutorial.weights.h5")
    np.testing.assert_allclose(ours(inputs), model(inputs), rtol=0, atol=1e-5)


def test_another_head_size_is_refused(tutorial, tmp_path):
    model, _ = tutorial
    model.save_weights(tmp_path / "tutorial.weights.h5")
    with pytest.raises(ValueError, match="could not be loaded"):
        kt.Transformer(**SIZES, **VOCABULARIES).load_weights(tmp_path / "tutorial.weights.h5")
