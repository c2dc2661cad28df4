"""Export to a SavedModel: strings in, strings out, nothing of this package needed to run it."""

import os
import shutil
import tempfile
from pathlib import Path

import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.translator import exported_versions


def export(translator, folder, *, version=None, overwrite=False) -> Path:
    """Writes a translator, tokenizers included, as ``folder/version``.

    Signatures, each of which takes ``text``, strings ``(batch,)``: ``serving_default`` gives
    ``translation``, strings ``(batch,)`` in human style, and ``score``, float32 ``(batch,)``;
    ``corpus_style`` the same in the style the model learned; ``attention`` gives
    ``source_tokens`` ``(batch, source)``, ``target_tokens`` ``(batch, target)``, padded with empty
    strings, and ``attention``, the cross-attention weights of the last layer,
    ``(batch, heads, target - 1, source)``.

    The folder appears under its name only once it is complete.

    Args:
        translator: a `Translator`.
        folder: such as ``saved_models/pt_en``.
        version: number of the version; one more than the highest there unless given.
        overwrite: replace that version where it exists.

    Returns:
        the folder of the version.

    Raises:
        InputError: when that version exists, or cannot be written.
    """
    folder = Path(folder)
    if version is None:
        version = max((int(there.name) for there in exported_versions(folder)), default=0) + 1
    destination = folder / str(version)
    if destination.exists() and not overwrite:
        raise InputError(f"{destination}: exists already: give another version, or overwrite it.")
    module = _ServingModule(translator)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".unfinished-{version}-", dir=folder))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}).") from error
    try:
        unfinished.chmod(0o755)
        tf.saved_model.save(module, str(unfinished), signatures=module.signatures())
        if destination.exists():
            replaced = unfinished.with_name(f"{unfinished.name}-replaced")
            os.rename(destination, replaced)
            os.rename(unfinished, destination)
            shutil.rmtree(replaced)
        else:
            os.rename(unfinished, destination)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return destination


class _ServingModule(tf.Module):
    """The translator and one function for each signature."""

    def __init__(self, translator):
        super().__init__()
        self.translator = translator

    def signatures(self) -> dict:
        text = tf.TensorSpec((None,), tf.string, name="text")
        return {
            "serving_default": self.human_style.get_concrete_function(text),
            "corpus_style": self.corpus_style.get_concrete_function(text),
            "attention": self.attention.get_concrete_function(text),
        }

    @tf.function
    def human_style(self, text):
        translation, score = self.translator.translate_tensor(text, "human")
        return {"translation": translation, "score": score}

    @tf.function
    def corpus_style(self, text):
        translation, score = self.translator.translate_tensor(text, "corpus")
        return {"translation": translation, "score": score}

    @tf.function
    def attention(self, text):
        source_tokens, target_tokens, attention = self.translator.attention_tensor(text)
        return {
            "source_tokens": source_tokens,
            "target_tokens": target_tokens,
            "attention": attention,
        }
