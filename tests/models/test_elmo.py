"""ELMo: no leak, padding never matters, the layers by hand; the classifier on its mix."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.models.elmo import ELMo, ElmoClassifier

SIZES = {"vocab_size": 13, "units": 6}
TOLERANCE = {"float32": 1e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 8e-2}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)

IDS = np.array([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
REAL = IDS != 0
PADDED = np.pad(IDS, ((0, 0), (0, 3)))


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


def randomise(model):
    """Gives every weight a random value: fresh biases of 0 hide mistakes."""
    rng = np.random.default_rng(7)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(weight + rng.normal(scale=0.4, size=weight.shape))
    return model


def make(**kwargs):
    return randomise(ELMo(**{**SIZES, **kwargs}))


def classifier(**kwargs):
    dtype = kwargs.get("dtype", "float32")
    return randomise(ElmoClassifier(elmo=make(dtype=dtype), num_classes=3, **kwargs))


# Laws


@DTYPES
def test_padding_never_matters(dtype):
    model, tolerance = make(dtype=dtype), TOLERANCE[dtype]
    expected = numbers(model(IDS))
    assert expected.shape == (2, 2, 5, 13)
    padded = numbers(model(PADDED))[:, :, :5]
    for direction in range(2):
        np.testing.assert_allclose(
            padded[:, direction][REAL], expected[:, direction][REAL], rtol=0, atol=tolerance
        )
    alone = numbers(model(IDS[1:, :3]))
    np.testing.assert_allclose(alone, expected[1:, :, :3], rtol=0, atol=tolerance)
    for short, long in zip(model.features(IDS), model.features(PADDED), strict=True):
        assert short.dtype == model.compute_dtype
        np.testing.assert_allclose(
            numbers(long)[:, :5][REAL], numbers(short)[REAL], rtol=0, atol=tolerance
        )


def test_padding_before_and_between_does_not_matter_either():
    model = make()
    holes = np.array([[0, 2, 5, 0, 6, 7, 3, 0]])
    real = holes[0] != 0
    expected = numbers(model(IDS[:1]))[0]
    np.testing.assert_allclose(numbers(model(holes))[0][:, real], expected, rtol=0, atol=1e-5)
    expected_labels = numbers(model.labels(IDS[:1]))[0]
    np.testing.assert_array_equal(numbers(model.labels(holes))[0][:, real], expected_labels)


@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "kind": "gru", "tie_output": True}])
@pytest.mark.parametrize("position", range(5))
def test_a_word_is_predicted_from_its_own_side_alone(position, options):
    model = make(**options)
    expected = numbers(model(IDS))
    changed = IDS.copy()
    changed[0, position] = 11
    found = numbers(model(changed))
    np.testing.assert_array_equal(found[0, 0, : position + 1], expected[0, 0, : position + 1])
    np.testing.assert_array_equal(found[0, 1, position:], expected[0, 1, position:])
    np.testing.assert_array_equal(found[1], expected[1])
    # And from all of that side.
    for later in range(position + 1, 5):
        assert np.abs(found[0, 0, later] - expected[0, 0, later]).max() > 1e-6
    for earlier in range(position):
        assert np.abs(found[0, 1, earlier] - expected[0, 1, earlier]).max() > 1e-6


def test_features_hear_both_sides():
    model = make()
    before = [numbers(layer) for layer in model.features(IDS)]
    changed = IDS.copy()
    changed[0, 2] = 11
    after = [numbers(layer) for layer in model.features(changed)]
    moved = [(a != b).any(axis=-1)[0].tolist() for a, b in zip(before, after, strict=True)]
    assert moved == [[False, False, True, False, False], [True] * 5, [True] * 5]


@DTYPES
def test_a_text_of_nothing_but_padding_gives_no_nan(dtype):
    model = make(dtype=dtype)
    ids = np.array([[2, 5, 3], [0, 0, 0]])
    with tf.GradientTape() as tape:
        loss = kt.masked_loss(model.labels(ids), model(ids))
    for gradient in tape.gradient(loss, model.trainable_weights):
        assert np.isfinite(numbers(gradient)).all()
    assert float(kt.masked_loss(model.labels(ids[1:]), model(ids[1:]))) == 0
    assert np.isfinite(numbers(classifier(dtype=dtype)(ids))).all()


@pytest.mark.slow
def test_xla_and_layers_of_keras_give_the_same():
    model = make()
    compiled = tf.function(lambda ids: model(ids), jit_compile=True)(tf.constant(IDS))
    np.testing.assert_allclose(compiled, model(IDS), rtol=0, atol=1e-4)
    twin = make(through_keras=True)
    twin.set_weights(model.get_weights())
    for direction in range(2):
        found, expected = (numbers(each(IDS))[:, direction][REAL] for each in (twin, model))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


# By hand


@pytest.mark.parametrize("skip_connections", [True, False])
def test_the_layers_by_hand(skip_connections):
    """Two directions of two vanilla recurrent layers, on a text and its reverse."""
    model = make(kind="rnn", skip_connections=skip_connections)
    x = numbers(model.embedding.embeddings)[IDS[0]]

    def run(layers, x):
        outputs = [x]
        for number, layer in enumerate(layers):
            kernel, recurrent, bias = (numbers(weight) for weight in layer.weights)
            h, states = np.zeros(6), []
            for x_t in outputs[-1]:
                h = np.tanh(bias + h @ recurrent + x_t @ kernel)
                states.append(h)
            skip = outputs[-1] if number and skip_connections else 0
            outputs.append(np.stack(states) + skip)
        return outputs

    ahead, back = run(model.forward_layers, x), run(model.backward_layers, x[::-1])
    features = model.features(IDS)
    assert len(features) == 3
    for found, forward, backward in zip(features, ahead, back, strict=True):
        expected = np.concatenate([forward, backward[::-1]], axis=-1)
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-4)
    kernel, bias = (numbers(weight) for weight in model.final_layer.weights)
    logits = numbers(model(IDS))[0]
    np.testing.assert_allclose(logits[0, 1:], ahead[-1][:-1] @ kernel + bias, atol=1e-4)
    np.testing.assert_allclose(logits[1, :-1], back[-1][::-1][1:] @ kernel + bias, atol=1e-4)


def test_labels_are_the_words_that_something_is_known_about():
    found = numbers(make().labels(IDS)).tolist()
    assert found == [
        [[0, 5, 6, 7, 3], [2, 5, 6, 7, 0]],
        [[0, 9, 3, 0, 0], [2, 9, 0, 0, 0]],
    ]


def test_the_loss_is_the_mean_over_both_directions():
    model = make()
    model.compile(loss=kt.masked_loss, metrics=[kt.MaskedAccuracy()])
    logits, labels = model(IDS), model.labels(IDS)
    directions = [kt.masked_loss(labels[:, i], logits[:, i]) for i in range(2)]
    loss, accuracy = model.evaluate(IDS, verbose=0)
    np.testing.assert_allclose(loss, np.mean(directions), rtol=1e-5)
    counted = numbers(labels) != 0
    hits = (numbers(logits).argmax(axis=-1) == numbers(labels))[counted]
    np.testing.assert_allclose(accuracy, hits.mean(), rtol=1e-5)


@pytest.mark.parametrize("tie_output", [False, True])
def test_both_directions_share_embedding_and_output(tie_output):
    model = ELMo(**SIZES, tie_output=tie_output)
    recurrent = 4 * (6 * 6 + 6 * 6 + 6)
    output = 0 if tie_output else 6 * 13 + 13
    assert model.count_params() == 13 * 6 + output + 2 * 2 * recurrent
    assert model.d_model == 6


# Training and saving


def test_both_directions_are_learned_from_plain_ids(tmp_path):
    model = ELMo(**SIZES, num_layers=1, dropout_rate=0.0)
    ids = np.array([[2, *range(4 + start, 10 + start), 3] for start in range(3)] * 4)
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=kt.masked_loss)
    batches = tf.data.Dataset.from_tensor_slices(ids).batch(12)
    history = model.fit(batches, epochs=60, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < 0.6 < history[0]
    hits = numbers(model(ids)).argmax(axis=-1) == ids[:, np.newaxis]
    assert hits[:, 0, 2:-1].mean() > 0.9  # counts on
    assert hits[:, 1, 1:-2].mean() > 0.9  # and back
    model.save(tmp_path / "elmo.keras")
    loaded = keras.models.load_model(tmp_path / "elmo.keras")
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


def test_config_round_trips():
    model = ELMo(
        **SIZES,
        num_layers=1,
        kind="gru",
        skip_connections=False,
        dropout_rate=0.25,
        tie_output=True,
        output_bias=True,
        dtype="mixed_bfloat16",
    )
    copy = ELMo.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert copy.compute_dtype == "bfloat16"


def test_a_stack_without_layers_is_refused():
    with pytest.raises(ValueError, match="at least one layer; got num_layers=0"):
        ELMo(**SIZES, num_layers=0)


# The classifier


@DTYPES
@pytest.mark.parametrize("layer_norm", [False, True])
def test_padding_never_matters_to_a_class(layer_norm, dtype):
    model = classifier(layer_norm=layer_norm, dtype=dtype)
    expected = numbers(model(IDS))
    assert expected.shape == (2, 3)
    np.testing.assert_allclose(numbers(model(PADDED)), expected, rtol=0, atol=TOLERANCE[dtype])
    alone = numbers(model(IDS[1:, :3]))
    np.testing.assert_allclose(alone, expected[1:], rtol=0, atol=TOLERANCE[dtype])


def test_the_classifier_by_hand():
    model = classifier()
    weights = numbers(model.mix.layer_weights())
    layers = [numbers(layer) for layer in model.elmo.features(IDS)]
    mix = sum(w * layer for w, layer in zip(weights, layers, strict=True))
    mean = np.stack([mix[0].mean(axis=0), mix[1, :3].mean(axis=0)])
    kernel, bias = (numbers(weight) for weight in model.final_layer.weights)
    np.testing.assert_allclose(model(IDS), mean @ kernel + bias, rtol=0, atol=1e-5)


@pytest.mark.parametrize("train_elmo", [False, True])
def test_the_language_models_are_frozen_unless_asked_for(train_elmo, tmp_path):
    elmo = make(num_layers=1)
    elmo.trainable = False  # a flag that a loaded model may have from its file
    model = ElmoClassifier(elmo=elmo, num_classes=2, train_elmo=train_elmo, dropout_rate=0.0)
    assert len(model.trainable_weights) == 4 + (7 if train_elmo else 0)
    before = [numbers(weight) for weight in elmo.weights]
    model.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(IDS, np.array([0, 1]), epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    moved = [
        np.any(old != numbers(weight)) for old, weight in zip(before, elmo.weights, strict=True)
    ]
    assert any(moved) == train_elmo
    model.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras")
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    np.testing.assert_array_equal(loaded(IDS), model(IDS))
    assert loaded.get_config() == model.get_config()
