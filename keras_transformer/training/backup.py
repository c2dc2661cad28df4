"""Backups of a plain `fit`, which `train` does not need."""

import keras

from keras_transformer.errors import InputError
from keras_transformer.internals import begin_fit_at
from keras_transformer.training.checkpoints import Checkpoints, arrays_of, assign_arrays


class BackupAndRestore(keras.callbacks.Callback):
    """Saves a `fit` after every epoch and goes on with it when the same script runs again.

    As Keras' callback of this name, but nothing is lost if the process or the machine dies while
    it saves, and the dropout of a `Transformer` goes on where it was. For the batches to do so
    too, begin them where the backup ends:

        backup = kt.BackupAndRestore("backup")
        batches = kt.make_batches(corpus.train, tokenizers, seed=1, first_epoch=backup.epochs_done)
        model.fit(batches, epochs=20, callbacks=[backup])

    Args:
        folder: where the backups go; a finished training leaves the last one there.
    """

    def __init__(self, folder):
        super().__init__()
        self._checkpoints = Checkpoints(folder)
        self._restored = self._checkpoints.load_latest()

    @property
    def epochs_done(self) -> int:
        """Number of epochs in the backup that was found; 0 if there was none."""
        return self._restored.step if self._restored else 0

    def on_train_begin(self, logs=None):
        if self._restored is None:
            return
        if not assign_arrays(self._variables(), self._restored.arrays):
            raise InputError(
                f"{self._checkpoints.folder}: holds a backup of another model: choose another "
                "folder or delete it."
            )
        if "dropout_seed" in self._restored.state:
            self.model.dropout_seed = self._restored.state["dropout_seed"]
        begin_fit_at(self.model, self._restored.step)
        self._restored = None  # it is in the model now

    def on_epoch_end(self, epoch, logs=None):
        arrays = arrays_of(self._variables())
        seed = getattr(self.model, "dropout_seed", None)
        self._checkpoints.save(epoch + 1, arrays, {} if seed is None else {"dropout_seed": seed})

    def _variables(self) -> list:
        """Everything that training changes, in an order that is always the same."""
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        passing = {id(variable) for variable in self.model.metrics_variables}  # of one epoch
        lasting = [variable for variable in self.model.variables if id(variable) not in passing]
        return [*lasting, *optimizer.variables]
