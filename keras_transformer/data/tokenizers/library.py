"""Tokenizers of checkpoints of BERT, ALBERT and GPT-2, run by the `tokenizers` library.

That is the library that they come with, so ids are the same for every text. It works outside of
TensorFlow: in a graph, such as that of a `tf.data` pipeline, it is called back from there, and a
SavedModel cannot hold it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tokenizers

from keras_transformer.data.tokenizers.base import Tokenizer, Writing
from keras_transformer.errors import InputError
from keras_transformer.files import make_folder, write_json, write_text
from keras_transformer.special_tokens import PAD, RESERVED_TOKENS, UNK


@dataclass(frozen=True)
class Kind:
    """What sets the tokenizers of a family of checkpoints apart.

    Args:
        tokenizer_class: the class in `transformers`, as ``tokenizer_config.json`` has it.
        special: its special tokens by the names of their settings, where none says otherwise.
        has_padding: whether the padding has the id 0; otherwise ids here are one more than there.
    """

    tokenizer_class: str
    special: Mapping[str, str]
    has_padding: bool = True


_BERT = {"sep_token": "[SEP]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
KINDS = {
    "bert": Kind("BertTokenizer", {"unk_token": "[UNK]", "pad_token": "[PAD]", **_BERT}),
    "albert": Kind(
        "AlbertTokenizer",
        {
            "bos_token": "[CLS]",
            "eos_token": "[SEP]",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            **_BERT,
        },
    ),
    "gpt2": Kind(
        "GPT2Tokenizer",
        dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
        has_padding=False,
    ),
}
"""By the `model_type` of the checkpoint."""

_RARE = "\ua66e\u13a0\U00012000"
"""A word of letters of three scripts, for which hardly a vocabulary has pieces."""

_AFTER_NO_SPACE = (".", "?", "!", ",", "' ", "n't", "'m", "'s", "'ve", "'re")
"""What `clean_up_tokenization_spaces` joins to what stands before it; a quote on both sides."""


class LibraryTokenizer(Tokenizer):
    """The tokenizer of a checkpoint, run by the `tokenizers` library.

    Id 0 is padding. Special tokens that a text spells are taken as such, ``[MASK]`` for example,
    as the library does it. Text has no style of a corpus: both styles of `detokenize` are the same.

    Args:
        tokenizer: what it puts around a text becomes `start_id` and `end_id`; it is made to cut
            and to pad nothing.
        kind: key of `KINDS`.
        settings: for ``tokenizer_config.json``: how text is prepared, and the special tokens.

    Attributes:
        mask_id: of the token that hides a word; ``None`` where there is none.

    Raises:
        InputError: for a vocabulary in which the padding is not id 0, that has no id for what is
            unknown, or that lacks what ends a text; and where several tokens stand before or after
            a text.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, kind: str, settings: Mapping[str, Any]):
        super().__init__()
        self.kind = kind
        self._settings = json.dumps(dict(settings))  # as text: TensorFlow would wrap a dictionary
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        has_padding = KINDS[kind].has_padding
        self.offset = 0 if has_padding else 1
        self.vocab_size = 1 + max(tokenizer.get_vocab().values(), default=-1) + self.offset
        self.mask_id = self._id("mask_token")
        self.unknown_id = self._id("unk_token") if has_padding else None
        if has_padding and self._id("pad_token") != PAD:
            raise InputError(
                f"the vocabulary has {self._token('pad_token')} at id {self._id('pad_token')}, "
                "the pad_token: only those that have it at 0 are supported."
            )
        self._set_ends()
        # transformers leaves texts of bytes' pairs as they are.
        self._tidies = has_padding and bool(settings.get("clean_up_tokenization_spaces"))
        try:
            tokenizer.encode(_RARE)
        except Exception as error:  # the library raises nothing more special
            raise InputError(
                f"the vocabulary has no id for what it does not know ({error}): give the whole "
                "checkpoint."
            ) from error

    @property
    def settings(self) -> dict[str, Any]:
        """The content of ``tokenizer_config.json``."""
        return json.loads(self._settings)

    def _token(self, name: str) -> str | None:
        """The special token that a setting names; ``None`` where there is none."""
        return self.settings.get(name) or KINDS[self.kind].special.get(name)

    def _id(self, name: str) -> int | None:
        """The id of the special token that a setting names; ``None`` where there is none."""
        token = self._token(name)
        theirs = None if token is None else self._tokenizer.token_to_id(token)
        return None if theirs is None else theirs + self.offset

    def _set_ends(self) -> None:
        """Finds out what stands around a text, and whether pairs are joined as `tokenize_pairs`."""
        a = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a")).encode("a")
        processor = self._tokenizer.post_processor
        found = a if processor is None else processor.process(a)
        place = found.special_tokens_mask.index(0)
        before, after = found.ids[:place], found.ids[place + 1 :]
        if len(before) > 1 or len(after) > 1:
            raise InputError(
                f"{len(before)} tokens stand before a text and {len(after)} after it: at most one "
                "each is supported."
            )
        start, end = (ids[0] + self.offset if ids else None for ids in (before, after))
        if not KINDS[self.kind].has_padding:  # what ends a text begins the next one
            eos = self._id("eos_token")
            if eos is None or end not in (None, eos):
                raise InputError(
                    f"a text of a {self.kind} checkpoint ends with its eos_token, "
                    f"{self._token('eos_token')}: give a vocabulary that has it, and a "
                    "tokenizer.json that puts no other token there."
                )
            end = eos
        self.start_id, self.end_id = start, end
        joined, segments = [*found.ids, 0, *after], [0] * len(found.ids) + [1] * (1 + len(after))
        pair = a if processor is None else processor.process(a, a)
        self._joins = (pair.ids, pair.type_ids) == (joined, segments)

    def tokenize_pairs(self, first, second):
        """Ids of pairs of texts, and which of the two each belongs to.

        Args:
            first, second: ``(batch,)`` strings.

        Returns:
            ``(ids, segments)``, each ``(batch, None)``, int64: start, first, end, second, end; the
            segment is 0 up to and with the first end, and 1 from there.

        Raises:
            InputError: for a tokenizer that joins pairs otherwise or not at all.
        """
        if self.start_id is None or self.end_id is None or not self._joins:
            raise InputError(
                f"this {self.kind} tokenizer has no pairs of texts with a start and an end each: "
                "give that of a BERT."
            )
        before, after = self.tokenize(first), self.tokenize(second)[:, 1:]
        segments = [tf.zeros_like(before), tf.ones_like(after)]
        return tf.concat([before, after], axis=1), tf.concat(segments, axis=1)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes ``tokenizer.json`` and ``tokenizer_config.json``, which `transformers` reads.

        It gives the same ids then, by its own class too.
        """
        make_folder(folder)
        write_text(Path(folder) / "tokenizer.json", self._tokenizer.to_str(pretty=True))
        write_json(Path(folder) / "tokenizer_config.json", self.settings)

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

    def _texts(self, ids: tf.RaggedTensor, writing: Writing) -> tf.Tensor:
        def decode(values, lengths):
            splits = np.cumsum(lengths)[:-1]
            rows = np.split(values, splits) if len(lengths) else []
            known = [row[(row >= self.offset) & (row < self.vocab_size)] for row in rows]
            texts = self._tokenizer.decode_batch([(row - self.offset).tolist() for row in known])
            return np.array([self._tidied(text).encode() for text in texts], object)

        texts = tf.numpy_function(decode, [ids.flat_values, ids.row_lengths()], tf.string)
        return tf.ensure_shape(texts, [None])

    def _tidied(self, text: str) -> str:
        """A decoded text, without spaces before punctuation where the settings ask for that."""
        if self._tidies:
            for mark in _AFTER_NO_SPACE:
                text = text.replace(f" {mark}", mark.rstrip())
        return text

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
