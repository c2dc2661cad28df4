"""Tokenizers of checkpoints of BERT, ALBERT and GPT-2, run by the `tokenizers` library.

That is the library that they come with, so ids are the same for every text. It works outside of
TensorFlow: in a graph, such as that of a `tf.data` pipeline, it is called back from there, and a
SavedModel cannot hold it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from tokenizers import Tokenizer

from keras_transformer.errors import InputError
from keras_transformer.files import make_folder, write_json, write_text
from keras_transformer.special_tokens import PAD, RESERVED_TOKENS

Texts = tf.Tensor | str | Sequence[str]


@dataclass(frozen=True)
class Kind:
    """What sets the tokenizers of a family apart.

    Args:
        tokenizer_class: their name of it, in ``tokenizer_config.json``.
        tokens: names of the token that begins a text, or ``None``, the one that ends it, and the
            one that hides a word, or ``None``.
        padding: name of the padding, whose id is 0; ``None`` where there is none and our ids are
            one more than theirs.
        unknown: name of what stands for unknown words, or ``None``.
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


class LibraryTokenizer:
    """A tokenizer of the `tokenizers` library behind the face that tokenizers have here.

    Id 0 is padding. Special tokens that a text spells are taken as such, ``[MASK]`` for example,
    as the library does it.

    Args:
        tokenizer: which adds no special tokens, neither cuts nor pads, or is made so here.
        kind: key of `KINDS`.

    Attributes:
        start_id, end_id: what `tokenize` adds before a text, ``None`` where that is nothing, and
            after it.
        mask_id: of the token that hides a word; ``None`` where there is none.

    Raises:
        InputError: for a vocabulary without the special tokens of its kind, or in which the
            padding is not id 0.
    """

    def __init__(self, tokenizer: Tokenizer, kind: str):
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
        self.start_id, self.end_id, self.mask_id = map(self._id, description.tokens)

    def _id(self, token):
        if token is None:
            return None
        theirs = self._tokenizer.token_to_id(token)
        if theirs is None:
            raise InputError(
                f"the vocabulary lacks {token}: give that of a {self.kind} checkpoint."
            )
        return theirs + self.offset

    def tokenize(self, strings: Texts) -> tf.RaggedTensor:
        """Splits text into ids, with start and end where the kind has them.

        Args:
            strings: ``(batch,)`` strings, or one string, which counts as a batch of one.

        Returns:
            ``(batch, None)`` ids, int64.

        Raises:
            InputError: strings of a higher rank.
        """
        strings = tf.convert_to_tensor(strings, tf.string)
        if strings.shape.rank is not None and strings.shape.rank > 1:
            raise InputError(
                f"tokenize takes a string or a vector of strings, not shape {strings.shape}: "
                "flatten it with tf.reshape(strings, [-1])"
            )
        values, lengths = tf.numpy_function(
            self._encode, [tf.reshape(strings, [-1])], (tf.int64, tf.int64)
        )
        ids = tf.RaggedTensor.from_row_lengths(
            tf.ensure_shape(values, [None]), tf.ensure_shape(lengths, [None])
        )
        column = tf.ones([ids.nrows(), 1], tf.int64)
        start = [] if self.start_id is None else [self.start_id * column]
        return tf.concat([*start, ids, self.end_id * column], axis=1)

    def tokenize_pairs(self, first: Texts, second: Texts):
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

    def detokenize(self, ids, style: str = "human") -> tf.Tensor:
        """Joins ids into text; padding and special tokens are dropped.

        Args:
            ids: ``(batch, seq)`` ids, ragged or padded.
            style: ``human`` or ``corpus``, which are the same here.

        Returns:
            ``(batch,)`` strings.

        Raises:
            InputError: unknown style.
        """
        if style not in ("corpus", "human"):
            raise InputError(f"unknown style of text {style!r}: use 'corpus' or 'human'")
        ids = _ragged(ids)
        return tf.ensure_shape(
            tf.numpy_function(self._decode, [ids.flat_values, ids.row_lengths()], tf.string),
            [None],
        )

    def lookup(self, ids) -> tf.RaggedTensor:
        """The tokens that ids stand for, special ones included.

        Args:
            ids: ``(batch, seq)`` ids, ragged or padded.

        Returns:
            ``(batch, None)`` strings.
        """
        ids = _ragged(ids)
        names = tf.numpy_function(self._names, [ids.flat_values], tf.string)
        return ids.with_flat_values(tf.ensure_shape(names, [None]))

    def get_vocab_size(self) -> tf.Tensor:
        """The number of ids, a scalar int32."""
        return tf.constant(self._tokenizer.get_vocab_size() + self.offset, tf.int32)

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

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Reads what `save` wrote, or the tokenizer of a checkpoint.

        Raises:
            InputError: files missing or damaged, or a tokenizer of another kind.
        """
        from keras_transformer.interop.tokenizer_files import load_huggingface_tokenizer

        tokenizer = load_huggingface_tokenizer(folder)
        if not isinstance(tokenizer, cls):
            raise InputError(f"{folder}: holds {type(tokenizer).__name__}, not {cls.__name__}.")
        return tokenizer

    def _encode(self, strings):
        texts = [string.decode("utf-8", errors="replace") for string in strings]
        rows = [
            encoding.ids
            for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False)
        ]
        values = np.array([token for row in rows for token in row], np.int64)
        return values + self.offset, np.array([len(row) for row in rows], np.int64)

    def _decode(self, values, lengths):
        rows = np.split(values - self.offset, np.cumsum(lengths)[:-1]) if len(lengths) else []
        texts = self._tokenizer.decode_batch([row[row >= 0].tolist() for row in rows])
        return np.array([text.encode() for text in texts], object)

    def _names(self, values):
        def name(token):
            if token < self.offset:
                return RESERVED_TOKENS[PAD]
            return self._tokenizer.id_to_token(token - self.offset) or RESERVED_TOKENS[1]

        return np.array([name(int(token)).encode() for token in values], object)


def _ragged(ids) -> tf.RaggedTensor:
    if not isinstance(ids, tf.RaggedTensor):
        ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
    return tf.cast(ids, tf.int64)
