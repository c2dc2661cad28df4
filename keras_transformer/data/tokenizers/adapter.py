"""Tokenizers from elsewhere behind the interface of this package's."""

from typing import Any

import tensorflow as tf

from keras_transformer.data.text.casing import restore_capitals
from keras_transformer.data.text.normalization import humanize_bert
from keras_transformer.data.tokenizers.base import Tokenizer, Writing, before_end, ragged
from keras_transformer.special_tokens import END, PAD, UNK


class TokenizerAdapter(Tokenizer):
    """Gives a tokenizer from elsewhere, such as a side of the tutorial's converter, our interface.

    Attributes that this class lacks are looked up in the converter.

    Args:
        converter: has `tokenize`, `detokenize` and `lookup`, and may have `get_vocab_size`. Its
            ids 0 to 3 are those of `special_tokens`, unless it has an `end_id`. One that has
            decides for itself where a text ends: its `detokenize` takes all ids and the style.
    """

    def __init__(self, converter: Any):
        super().__init__()
        self.converter = converter  # tracked: a SavedModel holds its tables and files
        ends = converter.tokenize(tf.constant([""]))[0].numpy().tolist()
        self._has_own_ids = hasattr(converter, "end_id")
        self.end_id = getattr(converter, "end_id", ends[-1] if ends else None)
        before = ends[:-1] if ends[-1:] == [self.end_id] else ends
        self.start_id = before[0] if before else None
        self.unknown_id = None if self._has_own_ids else UNK

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "converter" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.converter, name)

    def get_vocab_size(self) -> tf.Tensor:
        return self.converter.get_vocab_size()

    def check_fits(self, known_ids: int | None, which: str) -> None:
        if hasattr(self.converter, "get_vocab_size"):
            super().check_fits(known_ids, which)

    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        return self.converter.tokenize(strings)

    def _with_ends(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        return ids  # which the converter has added

    def _pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return self.converter.lookup(ragged(ids[tf.newaxis])).flat_values

    def _texts(self, ids: tf.RaggedTensor, writing: Writing) -> tf.Tensor:
        if self._has_own_ids:
            return self.converter.detokenize(ids, writing.style)
        # The converter would print what follows the first end.
        end_id = END if self.end_id is None else self.end_id
        text = self.converter.detokenize(before_end(ids, end_id, dropped=(PAD,)))
        if writing.style == "corpus":
            return text
        text = humanize_bert(text, self.language)
        if not writing.capitals:
            return text
        return restore_capitals(text, self.language, writing.begins)


def as_tokenizer(tokenizer: Any) -> Tokenizer:
    """The tokenizer, in a `TokenizerAdapter` unless it is a `Tokenizer`."""
    return tokenizer if isinstance(tokenizer, Tokenizer) else TokenizerAdapter(tokenizer)
