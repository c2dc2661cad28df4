"""Tokenizers of checkpoints of BERT, ALBERT and GPT-2, run by the `tokenizers` library.

That is the library that they come with, so ids are the same for every text. It works outside of
TensorFlow: in a graph, such as that of a `tf.data` pipeline, it is called back from there, and a
SavedModel cannot hold it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tokenizers

from keras_transformer.data.tokenizers.base import Tokenizer
from keras_transformer.errors import InputError
from keras_transformer.files import make_folder, write_json, write_text
from keras_transformer.special_tokens import PAD, RESERVED_TOKENS, UNK


@dataclass(frozen=True)
class Kind:
    """Names in the tokenizers of a family of checkpoints.

    Args:
        tokenizer_class: the class in `transformers`, as ``tokenizer_config.json`` has it.
        tokens: the token before a text, or ``None``; the one after it; and the one that hides a
            word, or ``None``.
        padding: the padding, whose id is 0; ``None`` where the checkpoint has none and ids here
            are one more than its own.
        unknown: the token for unknown words, or ``None``.
    """

    tokenizer_class: str
    tokens: tuple[str | None, str, str | None]
    padding: str | None
    unknown: str | None


KINDS = {
    "bert": Kind("BertTokenizer", ("[CLS]", "[SEP]", "[MASK]"), "[PAD]", "[UNK]"),
    "albert": Kind("AlbertTokenizer", ("[CLS]", "[SEP]", "[MASK]"), "<pad>", "<unk>"),
    "gpt2": Kind("GPT2Tokenizer", (None, "<|endoftext|>", None), None, None),
}
"""By the `model_type` of the checkpoint."""


class LibraryTokenizer(Tokenizer):
    """The tokenizer of a checkpoint, run by the `tokenizers` library.

    Id 0 is padding. Special tokens that a text spells are taken as such, ``[MASK]`` for example,
    as the library does it. Text has no style of a corpus: both styles of `detokenize` are the same.

    Args:
        tokenizer: which adds no special tokens, neither cuts nor pads, or is made so here.
        kind: key of `KINDS`.

    Attributes:
        mask_id: of the token that hides a word; ``None`` where there is none.

    Raises:
        InputError: for a vocabulary without the special tokens of its kind, or in which the
            padding is not id 0.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, kind: str):
        super().__init__()
        self.kind = kind
        self.description = description = KINDS[kind]
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.offset = 0 if description.padding else 1
        if description.padding and tokenizer.token_to_id(description.padding) != PAD:
            raise InputError(
                f"the vocabulary has {description.padding} at id "
                f"{tokenizer.token_to_id(description.padding)}: only those that have it at 0 are "
                "supported."
            )
        self.vocab_size = tokenizer.get_vocab_size() + self.offset
        self.start_id, self.end_id, self.mask_id = map(self._id, description.tokens)
        unknown = tokenizer.token_to_id(description.unknown) if description.unknown else None
        self.unknown_id = None if unknown is None else unknown + self.offset

    def _id(self, token):
        if token is None:
            return None
        theirs = self._tokenizer.token_to_id(token)
        if theirs is None:
            raise InputError(
                f"the vocabulary lacks {token}: give that of a {self.kind} checkpoint."
            )
        return theirs + self.offset

    def tokenize_pairs(self, first, second):
        """Ids of pairs of texts, and which of the two each belongs to.

        Args:
            first, second: ``(batch,)`` strings.

        Returns:
            ``(ids, segments)``, each ``(batch, None)``, int64: start, first, end, second, end; the
            segment is 0 up to and with the first end, and 1 from there.

        Raises:
            InputError: for a kind that has no pairs.
        """
        if self.start_id is None:
            raise InputError(f"a {self.kind} tokenizer has no pairs: give that of a BERT.")
        before, after = self.tokenize(first), self.tokenize(second)[:, 1:]
        segments = [tf.zeros_like(before), tf.ones_like(after)]
        return tf.concat([before, after], axis=1), tf.concat(segments, axis=1)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes ``tokenizer.json`` and ``tokenizer_config.json``, which `transformers` reads."""
        make_folder(folder)
        write_text(Path(folder) / "tokenizer.json", self._tokenizer.to_str(pretty=True))
        start, end, mask = self.description.tokens
        names = {
            "cls_token": start,
            "sep_token": start and end,
            "mask_token": mask,
            "eos_token": None if start else end,
            "pad_token": self.description.padding,
            "unk_token": self.description.unknown or end,
        }
        config: dict[str, Any] = {"tokenizer_class": self.description.tokenizer_class}
        config |= {name: token for name, token in names.items() if token}
        write_json(Path(folder) / "tokenizer_config.json", config)

    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        def encode(strings):
            texts = [string.decode("utf-8", errors="replace") for string in strings]
            encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
            rows = [encoding.ids for encoding in encodings]
            values = np.array([token for row in rows for token in row], np.int64)
            return values + self.offset, np.array([len(row) for row in rows], np.int64)

        values, lengths = tf.numpy_function(encode, [strings], (tf.int64, tf.int64))
        return tf.RaggedTensor.from_row_lengths(
            tf.ensure_shape(values, [None]), tf.ensure_shape(lengths, [None])
        )

    def _texts(self, ids: tf.RaggedTensor, style: str) -> tf.Tensor:
        def decode(values, lengths):
            splits = np.cumsum(lengths)[:-1]
            rows = np.split(values, splits) if len(lengths) else []
            known = [row[(row >= self.offset) & (row < self.vocab_size)] for row in rows]
            texts = self._tokenizer.decode_batch([(row - self.offset).tolist() for row in known])
            return np.array([text.encode() for text in texts], object)

        texts = tf.numpy_function(decode, [ids.flat_values, ids.row_lengths()], tf.string)
        return tf.ensure_shape(texts, [None])

    def _pieces(self, ids: tf.Tensor) -> tf.Tensor:
        def name(token):
            if 0 <= token < self.offset:
                return RESERVED_TOKENS[PAD]
            known = self.offset <= token < self.vocab_size
            piece = self._tokenizer.id_to_token(token - self.offset) if known else None
            return piece or RESERVED_TOKENS[UNK]

        def names(values):
            return np.array([name(int(token)).encode() for token in values], object)

        return tf.ensure_shape(tf.numpy_function(names, [ids], tf.string), [None])
