"""BERT and ALBERT: laws of padding, sharing and the loss, their start, saving, and a first fit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.losses.masked import masked_loss
from keras_transformer.models import bert as bert_module
from keras_transformer.models.bert import PRESETS, Bert, BertEmbedding, BertOutput
from keras_transformer.models.bert_pretraining import BertPretraining
from keras_transformer.saving import load_model

SIZES = {
    "vocab_size": 13,
    "num_layers": 2,
    "d_model": 8,
    "num_heads": 2,
    "dff": 16,
    "max_length": 20,
}
ALBERT = {"embedding_size": 6, "share_layers": True, "activation": "gelu_tanh"}
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 8e-2}

IDS = np.array([[2, 5, 12, 3, 7, 3], [2, 9, 3, 12, 3, 0], [2, 12, 3, 0, 0, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], np.int32)
REAL = IDS != 0
TOKENS = np.array([[0, 5, 6, 0, 0, 0], [0, 0, 0, 8, 0, 0], [0, 0, 0, 0, 0, 0]], np.int32)
LABELS = {"tokens": TOKENS, "next": np.array([0, 1, 0], np.int32)}


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


def make(**kwargs):
    return Bert(**{**SIZES, **kwargs})


def pretraining(bert=None, **kwargs):
    return randomise(BertPretraining(make(**ALBERT) if bert is None else bert, **kwargs))


def randomise(model):
    """Gives every weight a random value: fresh biases of 0 and scales of 1 hide mistakes."""
    rng = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.2, size=weight.shape))
    return model


def appended(ids, rows=0, columns=0):
    return np.pad(ids, ((0, rows), (0, columns)))


# Laws


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "options", [{}, {**ALBERT, "right_padded": True}], ids=["bert-masks", "albert-lengths"]
)
def test_padding_never_matters(options, dtype):
    model = randomise(make(**options, dtype=dtype))
    expected, scores = model((IDS, SEGMENTS), return_attention_scores=True)
    assert expected.sequence.dtype == model.compute_dtype
    padded = model((appended(IDS, 1, 3), appended(SEGMENTS, 1, 3)))
    alone = model((IDS[1:2, :5], SEGMENTS[1:2, :5]))
    assert np.isfinite(numbers(padded.sequence)).all()
    for actual, wanted in (
        (numbers(padded.sequence)[:3, :6][REAL], numbers(expected.sequence)[REAL]),
        (numbers(padded.pooled)[:3], numbers(expected.pooled)),
        (numbers(alone.sequence)[0], numbers(expected.sequence)[1, :5]),
        (numbers(alone.pooled)[0], numbers(expected.pooled)[1]),
    ):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=TOLERANCE[dtype])
    assert len(scores) == 2
    for weights in map(numbers, scores):
        hidden = np.broadcast_to(~REAL[:, np.newaxis, np.newaxis], weights.shape)
        assert (weights[hidden] == 0).all()
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-2)


def test_padding_never_matters_to_the_loss():
    model = pretraining()
    loss, sums = model.pretraining_loss((IDS, SEGMENTS), LABELS)
    labels = {"tokens": appended(TOKENS, 2, 3), "next": np.array([0, 1, 0, 0, 1])}
    padded, padded_sums = model.pretraining_loss(
        (appended(IDS, 2, 3), appended(SEGMENTS, 2, 3)), labels
    )
    np.testing.assert_allclose(padded, loss, rtol=1e-5)
    np.testing.assert_allclose(padded_sums, sums, rtol=1e-5)
    assert [float(number) for _, number in sums] == [3, 3, 3, 3]


def test_shared_layers_equal_layers_of_the_same_weights():
    shared = randomise(make(share_layers=True, num_layers=3))
    model = make(num_layers=3)
    model.embedding.set_weights(shared.embedding.get_weights())
    model.pooler.set_weights(shared.pooler.get_weights())
    (weights,) = shared.encoder.enc_layers
    for layer in model.encoder.enc_layers:
        layer.set_weights(weights.get_weights())
    expected, expected_scores = model((IDS, SEGMENTS), return_attention_scores=True)
    output, scores = shared((IDS, SEGMENTS), return_attention_scores=True)
    np.testing.assert_allclose(output.sequence, expected.sequence, rtol=0, atol=1e-6)
    np.testing.assert_allclose(output.pooled, expected.pooled, rtol=0, atol=1e-6)
    assert len(scores) == 3
    np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=1e-6)
    assert np.abs(scores[0] - scores[2]).max() > 1e-3
    assert shared.count_params() < model.count_params()


@pytest.mark.parametrize("static", [False, True], ids=["predicted-tokens", "all-tokens"])
def test_the_loss_and_its_gradients_are_those_of_all_logits(static):
    model = pretraining()
    model.compile(jit_compile=static)
    weights = model.trainable_variables
    with tf.GradientTape() as tape:
        loss, sums = model.pretraining_loss((IDS, SEGMENTS), LABELS)
    gradients = tape.gradient(loss, weights)
    with tf.GradientTape() as tape:
        logits = model((IDS, SEGMENTS))
        of_pairs = keras.losses.sparse_categorical_crossentropy(
            LABELS["next"], logits["next"], from_logits=True
        )
        expected = masked_loss(TOKENS, logits["tokens"]) + tf.reduce_mean(of_pairs)
    expected_gradients = tape.gradient(expected, weights)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for a, b in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=0, atol=1e-5)
    hits = np.sum((logits["tokens"].numpy().argmax(-1) == TOKENS)[TOKENS != 0])
    assert float(sums[1][0]) == hits


def test_a_batch_with_nothing_to_predict_gives_no_nan():
    model = pretraining(next_sentence=False)
    with tf.GradientTape() as tape:
        loss, _ = model.pretraining_loss((IDS, SEGMENTS), np.zeros_like(TOKENS))
    assert float(loss) == 0
    weights = model.transform.trainable_variables
    for gradient in tape.gradient(loss, weights, unconnected_gradients="zero"):
        assert np.isfinite(numbers(gradient)).all()


def test_segments_and_order_matter_and_segments_are_0_unless_given():
    model = randomise(make())
    plain = model(IDS).sequence
    np.testing.assert_array_equal(model((IDS, np.zeros_like(IDS))).sequence, plain)
    assert np.abs(model((IDS, SEGMENTS)).sequence - plain)[0].max() > 1e-3
    swapped = model(IDS[:, [0, 2, 1, 3, 4, 5]]).sequence
    assert np.abs(swapped[0, 2] - plain[0, 1]).max() > 1e-3


# Start, sizes, arguments


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("bert-base", {}, 109_482_240),
        pytest.param("bert-base", {"pooler": False}, 108_891_648, marks=pytest.mark.slow),
        pytest.param("bert-large", {}, 335_141_888, marks=pytest.mark.slow),
        pytest.param("bert-tiny", {}, 4_385_920, marks=pytest.mark.slow),
        ("albert-base", {}, 11_683_584),
        pytest.param("albert-xxlarge", {}, 222_595_584, marks=pytest.mark.slow),
    ],
)
def test_published_sizes(monkeypatch, name, options, parameters):
    monkeypatch.setattr(bert_module, "initialize_truncated_normal", lambda model, stddev: None)
    try:
        with keras.StatelessScope(initialize_variables=False):  # weights have shapes, no memory
            assert Bert.preset(name, **options).count_params() == parameters
    finally:
        keras.utils.clear_session()


def test_weights_start_truncated_normal_and_follow_the_seed():
    model = make(num_layers=1, d_model=64, vocab_size=300)
    kernels = [w for w in model.weights if w.name in ("kernel", "embeddings", "pos_encoding")]
    assert len(kernels) == 10
    for weight in kernels:
        values = weight.numpy()
        assert np.abs(values).max() <= 0.04
        np.testing.assert_allclose(values.std(), 0.88 * 0.02, rtol=0.2)
    assert not np.any(model.pooler.bias.numpy())
    attention = model.encoder.enc_layers[0].self_attention.mha
    assert np.abs(attention.query_dense.kernel - attention.key_dense.kernel).max() > 0.01
    keras.utils.set_random_seed(7)
    again = make(num_layers=1, d_model=64, vocab_size=300)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_start_as_wide_as_asked_for():
    kernel = make(d_model=64, initial_stddev=0.1).encoder.enc_layers[0].ffn.seq.layers[0].kernel
    np.testing.assert_allclose(kernel.numpy().std(), 0.88 * 0.1, rtol=0.2)


def test_arguments_reach_their_places():
    model = make(dropout_rate=0.3, attention_dropout_rate=0.2, layer_norm_epsilon=1e-5)
    layer = model.encoder.enc_layers[1]
    assert (layer.self_attention.dropout, layer.self_attention.residual_dropout) == (0.2, 0.3)
    assert (layer.ffn.dropout_rate, model.encoder.dropout.rate) == (0.3, 0.3)
    norms = (model.embedding.layer_norm, layer.ffn.layer_norm, layer.self_attention.layernorm)
    assert {norm.epsilon for norm in norms} == {1e-5}
    assert not model.encoder.norm_first
    assert model.embedding.projection is None
    albert = pretraining()
    assert albert.bert.embedding.projection.kernel.shape == (6, 8)
    assert albert.transform.kernel.shape == (8, 6)


def test_training_drops_and_prediction_does_not():
    model = make(dropout_rate=0.5)
    assert np.abs(model(IDS, training=True).sequence - model(IDS).sequence).max() > 1e-3
    np.testing.assert_array_equal(model(IDS).sequence, model(IDS).sequence)


def test_without_a_pooler():
    model = make(pooler=False)
    assert isinstance(model(IDS), BertOutput)
    assert model(IDS).pooled is None
    assert list(model.predict(IDS, verbose=0)) == ["sequence"]
    logits = BertPretraining(model, next_sentence=False)(IDS)
    assert {name: x.shape for name, x in logits.items()} == {"tokens": (3, 6, 13)}
    with pytest.raises(ValueError, match="pooler=True"):
        BertPretraining(model)


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match=r"bert-base, .*; got 'bert-huge'"):
        Bert.preset("bert-huge")
    with pytest.raises(ValueError, match="7 tokens is longer than the 6 positions"):
        make(max_length=6)(np.ones((1, 7), np.int32))
    model = pretraining()
    with pytest.raises(ValueError, match="leave out loss"):
        model.compile("adam", loss=masked_loss)
    with pytest.raises(ValueError, match="lack next; got tokens"):
        model.pretraining_loss(IDS, TOKENS)
    assert PRESETS["albert-base"]["share_layers"]


# Configuration, saving, training


def test_config_round_trips():
    options = {
        "dropout_rate": 0.3,
        "attention_dropout_rate": 0.2,
        "num_segments": 3,
        "layer_norm_epsilon": 1e-5,
        "pooler": False,
        "attention_implementation": "blockwise",
        "right_padded": True,
    }
    model = make(**ALBERT, **options, dtype="mixed_bfloat16", name="encoder")
    config = model.get_config()
    copy = Bert.from_config(config)
    assert copy.get_config() == config
    assert {name: config[name] for name in options} == options
    assert {name: config[name] for name in SIZES} == SIZES
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(numbers(copy(IDS).sequence), numbers(model(IDS).sequence))
    embedding = keras.layers.deserialize(keras.layers.serialize(model.embedding))
    assert isinstance(embedding, BertEmbedding)
    assert embedding.get_config() == model.embedding.get_config()


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_fit_lowers_the_loss_can_be_repeated_and_is_saved(tmp_path, dtype):
    def trained():
        keras.utils.set_random_seed(3)
        model = BertPretraining(make(**ALBERT, num_layers=1, dtype=dtype))
        model.compile(keras.optimizers.Adam(0.03), run_eagerly=True)
        history = model.fit((IDS, SEGMENTS), LABELS, epochs=3, verbose=0, shuffle=False).history
        return model, history

    model, history = trained()
    assert set(history) == {"loss", "token_loss", "token_accuracy", "next_loss", "next_accuracy"}
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    sums = np.add(history["token_loss"], history["next_loss"])
    np.testing.assert_allclose(history["loss"], sums, rtol=1e-6)

    if dtype == "float32":
        again, _ = trained()
        for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    expected = model((IDS, SEGMENTS))
    for name, logits in loaded((IDS, SEGMENTS)).items():
        np.testing.assert_array_equal(numbers(logits), numbers(expected[name]))
    wanted, _ = model.pretraining_loss((IDS, SEGMENTS), LABELS)
    scores = loaded.evaluate((IDS, SEGMENTS), LABELS, verbose=0, return_dict=True)
    np.testing.assert_allclose(scores["loss"], wanted, rtol=1e-5)
    loaded.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")


def test_the_means_of_an_epoch_weigh_tokens_not_batches():
    model = pretraining()
    model.compile(run_eagerly=True)
    scores = model.evaluate((IDS, SEGMENTS), LABELS, batch_size=1, verbose=0, return_dict=True)
    _, sums = model.pretraining_loss((IDS, SEGMENTS), LABELS)
    names = ["token_loss", "token_accuracy", "next_loss", "next_accuracy"]
    for name, (total, number) in zip(names, sums, strict=True):
        np.testing.assert_allclose(scores[name], total / number, rtol=1e-5)


def test_a_compiled_fit_without_pairs_takes_plain_labels():
    model = BertPretraining(make(num_layers=1, pooler=False), next_sentence=False)
    model.compile(keras.optimizers.Adam(0.02))
    history = model.fit((IDS, SEGMENTS), TOKENS, epochs=4, verbose=0).history
    assert set(history) == {"loss", "token_loss", "token_accuracy"}
    assert history["loss"][-1] < history["loss"][0]
