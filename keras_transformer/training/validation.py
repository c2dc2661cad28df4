"""Validation: loss, accuracy and other scores of a model, without training it."""

import sys

import numpy as np
import tensorflow as tf

from keras_transformer.losses.masked import token_losses
from keras_transformer.losses.metrics import token_matches
from keras_transformer.training.step import IDS


class ValidationStep:
    """Sums loss and hits of a batch without training.

    Args:
        model: a `TokenModel`.
    """

    def __init__(self, model):
        self._model = model
        self._sums = None  # traced, for all shapes, once the first batch shows its structure

    def __call__(self, batches) -> tuple[float, float]:
        """Mean loss and accuracy over the real tokens of all batches."""
        totals = np.zeros(3)
        for batch in batches:
            batch = tf.nest.map_structure(lambda ids: tf.convert_to_tensor(ids, tf.int32), batch)
            if self._sums is None:
                self._sums = tf.function(
                    lambda batch: _validation_sums(self._model, batch),
                    input_signature=[tf.nest.map_structure(lambda ids: IDS, batch)],
                    autograph=False,
                )
            totals += self._sums(batch).numpy()
        loss, correct, tokens = totals
        return float(loss / tokens), float(correct / tokens)


def _validation_sums(model, batch):
    inputs, label = batch
    x = model.decoder_output(inputs, training=False)
    logits = tf.cast(model.token_logits(x), tf.float32)
    losses, weights = token_losses(label, logits)
    matches, _ = token_matches(label, logits)
    return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(matches), tf.reduce_sum(weights)])


class Validation:
    """Scores a model on the validation pairs, after each epoch of a run.

    Args:
        task: the `Task` of the run.
        model: its model.
        translator: what translates or generates with the model, as the task makes it.
        pairs: validation pairs, tokenised.
        tokenizers: of the pairs.
    """

    def __init__(self, task, model, translator, pairs, tokenizers):
        self._task = task
        self._translator = translator
        self._step = ValidationStep(model)
        recipe = task.config.training
        self._batches = task.batches(pairs, tokenizers, shuffle=False, seed=recipe.seed)
        self._select_by = recipe.select_by

    def __call__(self) -> tuple[dict, float]:
        """The validation's part of an epoch's log, and the score that chooses weights.

        Where BLEU chooses, the loss chooses among epochs whose BLEU is 0: these have negative
        scores, below any other.
        """
        loss, accuracy = self._step(self._batches.epoch(0))
        scores = self._task.scores(self._translator, loss)
        logs = {"val_loss": loss, "val_masked_accuracy": accuracy, **scores}
        if self._select_by != "bleu":
            return logs, -loss
        if logs["val_bleu"] > 0:
            return logs, logs["val_bleu"]
        print(
            "validation BLEU is 0: the loss chooses weights until it is more; see "
            "training.bleu_tokenize and training.bleu_sentences",
            file=sys.stderr,
            flush=True,
        )
        return logs, -loss
