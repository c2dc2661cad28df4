"""Losses, metrics, schedules and the run around `fit`."""

from keras_transformer.losses.masked import MaskedLoss, masked_loss
from keras_transformer.losses.metrics import MaskedAccuracy, MaskedCrossentropy, masked_accuracy
from keras_transformer.training.schedules import CustomSchedule

__all__ = [
    "CustomSchedule",
    "MaskedAccuracy",
    "MaskedCrossentropy",
    "MaskedLoss",
    "masked_accuracy",
    "masked_loss",
]
