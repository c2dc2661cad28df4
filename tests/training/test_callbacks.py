"""What people see: lines on standard error and what TensorBoard finds."""

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_transformer.training.callbacks import ProgressBar, SampleTranslations, TensorBoard
from keras_transformer.translating.translation import Translation

STEP = {
    "loss": 2.5,
    "masked_accuracy": 0.25,
    "batch_loss": 2.25,
    "learning_rate": 0.001,
    "gradient_norm": 0.5,
    "tokens_per_second": 12345.6,
}
EPOCH = {**STEP, "val_loss": 3.5, "val_masked_accuracy": 0.125, "val_bleu": 7.5}


class FakeTranslator:
    def translate(self, lines, *, style, attention=False):
        assert style == "corpus"
        weights = np.eye(2, dtype=np.float32)[np.newaxis]
        return [
            Translation(
                line.upper(), -1.0, ["[START]", "A", "[END]"], ["[START]", "[END]"], weights
            )
            for line in lines
        ]


def test_the_epochs_line_names_every_score(capsys):
    bar = ProgressBar(total=10)
    bar.set_params({"epochs": 3, "steps": 5})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    bar.on_train_batch_end(0, {**STEP, "step": 1.0})
    bar.on_epoch_end(0, EPOCH)
    bar.on_train_end()
    assert capsys.readouterr().err == (
        "epoch 1/3: loss 2.500, accuracy 0.250, validation loss 3.500, validation accuracy 0.125, "
        "validation BLEU 7.50, 12,346 tokens/s\n"
    )


def test_without_a_terminal_a_line_comes_each_minute(capsys, monkeypatch):
    clock = iter([0.0, 30.0, 61.0, 61.0, 62.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    bar = ProgressBar()
    bar.set_params({"epochs": None, "steps": 5})
    bar.on_train_begin()
    bar.on_epoch_begin(1)
    for step in (1.0, 1002.0, 1003.0):
        bar.on_train_batch_end(0, {**STEP, "step": step})
    assert capsys.readouterr().err == (
        "epoch 2, step 1,002: loss 2.500, accuracy 0.250, 12,346 tokens/s\n"
    )


def test_samples_stand_below_their_references(capsys):
    SampleTranslations(FakeTranslator(), [("um", "one")]).on_epoch_end(0)
    assert capsys.readouterr().err.split() == [
        *("source", "um"),
        *("reference", "one"),
        *("translation", "UM"),
    ]


def test_tensorboard_finds_curves_texts_and_the_attention_picture(tmp_path):
    board = TensorBoard(tmp_path, FakeTranslator(), [("um", "one"), ("dois", "two")], every=2)
    board.on_train_begin()
    for step in range(1, 6):
        board.on_train_batch_end(0, {**STEP, "step": float(step)})
    board.on_epoch_end(0, {**EPOCH, "step": 5.0})
    board.on_train_end()
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = events.Tags()["tensors"]
    for name in ("batch_loss", "learning_rate", "gradient_norm", "tokens_per_second"):
        assert [event.step for event in events.Tensors(f"training/{name}")] == [2, 4]
    [bleu] = events.Tensors("epoch/val_bleu")
    assert (bleu.step, float(tf.make_ndarray(bleu.tensor_proto))) == (5, 7.5)
    [text] = events.Tensors("translations")
    assert "dois | two | DOIS" in str(tf.make_ndarray(text.tensor_proto).tolist())
    [image] = events.Tensors("attention")
    width, height, png = tf.make_ndarray(image.tensor_proto)
    assert int(width) > 100 and int(height) > 100  # noqa: PT018
    assert png.startswith(b"\x89PNG")
    assert "epoch/step" not in tags
