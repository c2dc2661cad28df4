"""Heads over BERT: padding never matters, spans obey their rules, each is fitted and saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.losses.masked import masked_loss
from keras_transformer.models.bert import Bert
from keras_transformer.models.bert_heads import (
    LastTokenReader,
    SequenceClassifier,
    SpanPredictor,
    TokenClassifier,
    best_spans,
)
from keras_transformer.models.gpt import GPT
from keras_transformer.saving import load_model

IDS = np.array([[2, 5, 3, 6, 7, 8, 3], [2, 9, 3, 10, 3, 0, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0]], np.int32)
REAL = IDS != 0


def make_bert(**kwargs):
    sizes = {"vocab_size": 13, "num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 16}
    return Bert(**{**sizes, "max_length": 12, **kwargs})


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def heads(**kwargs):
    """Each head, its loss and labels."""
    return {
        "sequences": (
            SequenceClassifier(make_bert(**kwargs), num_classes=3),
            crossentropy(),
            np.array([2, 1]),
        ),
        "tokens": (
            TokenClassifier(make_bert(pooler=False, **kwargs), num_classes=4, dropout_rate=0.0),
            masked_loss,
            np.where(REAL, IDS % 3 + 1, 0),
        ),
        "spans": (
            SpanPredictor(make_bert(pooler=False, **kwargs)),
            {"start": crossentropy(), "end": crossentropy()},
            {"start": np.array([4, 3]), "end": np.array([5, 3])},
        ),
    }


def numbers(x):
    return tf.cast(x, tf.float32).numpy()


def padded(ids):
    return np.pad(ids, ((0, 0), (0, 4)))


def test_padding_never_matters():
    models = {name: parts[0] for name, parts in heads().items()}
    inputs, longer = (IDS, SEGMENTS), (padded(IDS), padded(SEGMENTS))
    close = {"rtol": 0, "atol": 1e-5}
    sequences = models["sequences"]
    np.testing.assert_allclose(sequences(longer), sequences(inputs), **close)
    expected = models["tokens"](inputs).numpy()
    assert expected.shape == (2, 7, 4)
    np.testing.assert_allclose(models["tokens"](longer)[:, :7][REAL], expected[REAL], **close)
    logits, longer_logits = models["spans"](inputs), models["spans"](longer)
    for side, labels in {"start": np.array([4, 3]), "end": np.array([5, 3])}.items():
        assert (logits[side].numpy()[~REAL] < -1e8).all()
        losses = [crossentropy()(labels, x[side]) for x in (logits, longer_logits)]
        np.testing.assert_allclose(*losses, rtol=1e-5)
    for a, b in zip(models["spans"].answers(inputs), models["spans"].answers(longer), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["sequences", "tokens", "spans"])
def test_a_fit_lowers_the_loss_and_is_saved(tmp_path, kind):
    model, loss, labels = heads()[kind]
    model.compile(keras.optimizers.Adam(0.05), loss=loss, run_eagerly=True)
    losses = model.fit((IDS, SEGMENTS), labels, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for a, b in zip(
        tf.nest.flatten(loaded((IDS, SEGMENTS))),
        tf.nest.flatten(model((IDS, SEGMENTS))),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_mixed_precision_runs():
    for model, loss, labels in heads(dtype="mixed_bfloat16").values():
        assert model.dtype_policy.name == "mixed_bfloat16"
        model.compile("adam", loss=loss, run_eagerly=True)
        history = model.fit((IDS, SEGMENTS), labels, verbose=0).history
        assert np.isfinite(history["loss"]).all()


def test_the_best_span_is_the_best_of_all_that_are_allowed():
    rng = np.random.default_rng(7)
    start, end = rng.normal(size=(2, 6, 9)).astype("float32")
    inside = rng.random((6, 9)) < 0.7
    inside[4] = False
    inside[5] = True
    starts, ends, scores = (x.numpy() for x in best_spans(start, end, inside, max_length=3))
    for row in range(6):
        sums = {
            (i, j): start[row, i] + end[row, j]
            for i in range(9)
            for j in range(i, min(i + 3, 9))
            if inside[row, i] and inside[row, j]
        }
        if not sums:
            assert scores[row] == -np.inf
            continue
        best = max(sums, key=sums.get)
        assert (starts[row], ends[row]) == best
        np.testing.assert_allclose(scores[row], sums[best], rtol=1e-6)


def test_answers_lie_in_the_second_segment_before_its_end():
    model = SpanPredictor(make_bert())
    starts, ends, _ = model.answers((IDS, SEGMENTS), max_length=2)
    assert 3 <= starts[0] <= ends[0] <= 5
    assert ends[0] - starts[0] < 2
    assert (starts[1], ends[1]) == (3, 3)


def test_dropout_comes_before_the_dense_layer():
    model = SequenceClassifier(make_bert(dropout_rate=0, attention_dropout_rate=0), num_classes=3)
    assert np.abs(model(IDS, training=True) - model(IDS)).max() > 1e-6
    model.dropout.rate = 0.0
    np.testing.assert_array_equal(model(IDS, training=True), model(IDS))


def test_texts_without_vectors_have_no_classes():
    with pytest.raises(ValueError, match="pooler=True"):
        SequenceClassifier(make_bert(pooler=False), num_classes=3)
    assert TokenClassifier(make_bert(pooler=False), num_classes=3)(IDS).shape == (2, 7, 3)


def test_a_text_read_by_a_gpt_is_its_last_token_and_padding_never_matters(tmp_path):
    gpt = GPT(vocab_size=13, num_layers=1, d_model=8, num_heads=2, max_length=12)
    reader = LastTokenReader(gpt)
    found = reader(IDS)
    np.testing.assert_array_equal(found.pooled[1], found.sequence[1, 4])
    np.testing.assert_allclose(reader(padded(IDS)).pooled, found.pooled, atol=1e-6)

    model = SequenceClassifier(reader, num_classes=3, dropout_rate=0.0)
    model.compile(keras.optimizers.Adam(0.01), loss=crossentropy())
    losses = model.fit(IDS, np.array([2, 1]), epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(load_model(tmp_path / "model.keras")(IDS), model(IDS), atol=1e-6)
