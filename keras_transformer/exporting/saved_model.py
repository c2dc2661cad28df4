"""Export to a SavedModel: strings in, strings out, nothing of this package needed to run it."""

from pathlib import Path

import tensorflow as tf

from keras_transformer.exporting.versions import write_version


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
    module = _ServingModule(translator)

    def write(unfinished):
        tf.saved_model.save(module, str(unfinished), signatures=module.signatures())

    return write_version(folder, write, version=version, overwrite=overwrite)


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
