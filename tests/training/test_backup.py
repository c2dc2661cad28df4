"""Backups of `fit`: a script that died and runs again ends where it would have ended."""

import keras
import numpy as np
import pytest
from dying import Killed

from keras_transformer.data.batches.pairs import Batches
from keras_transformer.data.batches.token_store import tokenize_pairs
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.losses.masked import masked_loss
from keras_transformer.models.transformer import Transformer
from keras_transformer.training.backup import BackupAndRestore

EPOCHS = 3


class DiesIn(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch is not None and batch == 1 and self.model.optimizer.iterations > self.epoch:
            raise Killed


@pytest.fixture(scope="module")
def pairs(tiny_corpus):
    return tokenize_pairs(
        tiny_corpus.train.take(200), train_tokenizers(tiny_corpus, vocab_size=300)
    )


def _script(pairs, folder, dies_after=None, d_model=16):
    """What a user runs, and runs again; `dies_after` counts steps."""
    keras.utils.set_random_seed(3)
    backup = BackupAndRestore(folder)
    batches = Batches(pairs, 512, seed=1).dataset(first_epoch=backup.epochs_done)
    model = Transformer(
        num_layers=1,
        d_model=d_model,
        num_heads=2,
        dff=32,
        input_vocab_size=300,
        target_vocab_size=300,
        dropout_rate=0.2,
    )
    model.compile("adam", loss=masked_loss)
    history = model.fit(
        batches,
        epochs=EPOCHS,
        verbose=0,
        shuffle=False,
        callbacks=[backup, DiesIn(dies_after)],
    )
    return model, history.epoch


@pytest.mark.slow
def test_a_script_that_died_goes_on_and_ends_with_the_same_weights(pairs, tmp_path):
    whole, _ = _script(pairs, tmp_path / "whole")
    steps = len(Batches(pairs, 512))
    with pytest.raises(Killed):
        _script(pairs, tmp_path / "died", dies_after=2 * steps)
    resumed, epochs = _script(pairs, tmp_path / "died")
    assert epochs == [2]
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_finished_training_is_not_trained_again(pairs, tmp_path):
    whole, _ = _script(pairs, tmp_path)
    again, epochs = _script(pairs, tmp_path)
    assert epochs == []
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_backup_of_another_model_is_refused(pairs, tmp_path):
    _script(pairs, tmp_path)
    with pytest.raises(InputError, match="backup of another model"):
        _script(pairs, tmp_path, d_model=32)
