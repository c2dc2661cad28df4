"""Tokenizers of checkpoints of Marian: SentencePiece for the pieces, a vocabulary for their ids.

All of it is done by operations of TensorFlow, as in the other tokenizers of translators.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any, Self

import tensorflow as tf
import tensorflow_text as tf_text

from keras_transformer.data.text.strings import valid_utf8
from keras_transformer.data.tokenizers.base import SubwordTokenizer
from keras_transformer.data.tokenizers.vocabulary import WORD_START
from keras_transformer.errors import InputError
from keras_transformer.files import parse_json
from keras_transformer.internals import keep_sentencepiece_model
from keras_transformer.special_tokens import RESERVED_TOKENS, START, UNK

_CODE = r"(?s)^>>.*?<<"
"""The code of the target language at the beginning of a text, which is one token."""


class MarianTokenizer(SubwordTokenizer):
    """The tokenizer of one side of a Marian checkpoint.

    A source has an end and no start; a target has both. Punctuation is left as it is, while some
    pipelines bring it into the form of the Moses scripts first.

    Args:
        model: the serialised SentencePiece model.
        pieces: names of the ids, reserved tokens first.
        is_target: whether `tokenize` adds the start.

    Raises:
        InputError: bytes that are no SentencePiece model, or pieces that do not begin with the
            reserved tokens.
    """

    kind = "marian"
    file_suffix = "marian.json"

    def __init__(self, model: bytes, pieces: Sequence[str], is_target: bool):
        super().__init__("none")
        if tuple(pieces[: len(RESERVED_TOKENS)]) != RESERVED_TOKENS:
            raise InputError(f"the ids of a vocabulary begin with {' '.join(RESERVED_TOKENS)}")
        self.pieces = tuple(pieces)
        self.is_target = is_target
        self.start_id = START if is_target else None
        self.vocab_size = len(self.pieces)
        self.model = model
        try:
            self._matcher = tf_text.SentencepieceTokenizer(model=model, out_type=tf.string)
            keep_sentencepiece_model(self._matcher, model)
            self._matcher.vocab_size()
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            raise InputError("not a SentencePiece model: fetch the checkpoint again") from error
        self._names = tf.constant(self.pieces)
        ids = tf.range(self.vocab_size, dtype=tf.int64)
        # Text never yields the control tokens, even where it spells their names.
        spelt = tf.where(ids < len(RESERVED_TOKENS), tf.constant(UNK, tf.int64), ids)
        self._ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self._names, spelt), UNK
        )

    @classmethod
    def from_bytes(cls, vocabulary: bytes, normalization: str, **options: Any) -> Self:
        try:
            content = parse_json(vocabulary)
            model = base64.b64decode(content["model"], validate=True)
            pieces, is_target = list(content["pieces"]), bool(content["is_target"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError("not the vocabulary of a Marian checkpoint") from error
        return cls(model, pieces, is_target)

    def _vocabulary_bytes(self) -> bytes:
        content = {
            "is_target": self.is_target,
            "pieces": self.pieces,
            "model": base64.b64encode(self.model).decode(),
        }
        return json.dumps(content, ensure_ascii=False).encode()

    def _prepared(self, strings: tf.Tensor) -> tf.Tensor:
        return valid_utf8(strings)  # and nothing more: the model has its own normalisation

    def _split(self, text: tf.Tensor) -> tf.RaggedTensor:
        rest = tf.strings.regex_replace(text, _CODE, "")
        length = tf.strings.length(text) - tf.strings.length(rest)
        codes = tf.strings.substr(text, tf.zeros_like(length), length)
        codes = tf.RaggedTensor.from_tensor(codes[:, tf.newaxis])
        codes = tf.ragged.boolean_mask(codes, codes != "")
        pieces = tf.concat([codes, self._matcher.tokenize(rest)], axis=1)
        return pieces.with_flat_values(self._ids.lookup(pieces.flat_values))

    def _decode(self, ids: tf.RaggedTensor) -> tf.Tensor:
        pieces = ids.with_flat_values(self._surfaces(ids.flat_values))
        text = tf.strings.reduce_join(pieces, axis=-1)
        return tf.strings.strip(tf.strings.regex_replace(text, WORD_START, " "))

    def _surfaces(self, ids):
        unknown = tf.constant(f"{WORD_START}{RESERVED_TOKENS[UNK]}")
        return tf.where(ids == UNK, unknown, self._pieces(ids))

    def _pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._names, ids)
