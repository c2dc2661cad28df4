"""Which score of the validation chooses weights."""

from types import SimpleNamespace

import pytest

from keras_transformer.config import TrainingConfig
from keras_transformer.training import validation


def scores_of(monkeypatch, losses, bleus, **recipe):
    """The scores that choose weights, epoch by epoch."""
    losses, bleus = iter(losses), iter(bleus)
    monkeypatch.setattr(validation, "ValidationStep", lambda model: lambda epoch: (next(losses), 0))
    task = SimpleNamespace(
        config=SimpleNamespace(training=TrainingConfig(**recipe)),
        batches=lambda *arguments, **options: SimpleNamespace(epoch=str),
        scores=lambda translator, loss: {"val_bleu": next(bleus)},
    )
    validated = validation.Validation(task, None, None, None, None)
    return [validated()[1] for _ in range(4)]


def test_the_loss_chooses_where_bleu_is_0_throughout(monkeypatch, capsys):
    scores = scores_of(monkeypatch, [5.0, 3.0, 2.0, 2.5], [0.0] * 4, select_by="bleu")
    assert scores.index(max(scores)) == 2
    assert "BLEU is 0: the loss chooses" in capsys.readouterr().err


def test_any_bleu_is_better_than_none(monkeypatch):
    scores = scores_of(monkeypatch, [5.0, 0.1, 2.0, 2.5], [0, 0, 0.01, 0.005], select_by="bleu")
    assert scores.index(max(scores)) == 2
    assert min(scores) == scores[0]


def test_bleu_does_not_mind_where_the_loss_chooses(monkeypatch, capsys):
    assert scores_of(monkeypatch, [5, 3, 2, 4], [0, 9, 1, 0]) == pytest.approx([-5, -3, -2, -4])
    assert not capsys.readouterr().err
