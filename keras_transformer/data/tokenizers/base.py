"""The base classes of tokenizers: from the text of one language to token ids and back."""

import abc
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import tensorflow as tf

from keras_transformer.data.text.casing import (
    MARKS,
    check_case,
    default_case,
    factor,
    lower,
    restore_capitals,
    write_out,
)
from keras_transformer.data.text.normalization import check_style, humanize, normalize
from keras_transformer.data.text.strings import begins_run, string_tensor
from keras_transformer.data.tokenizers.vocabulary import normalized_lines
from keras_transformer.errors import InputError, whole_number
from keras_transformer.files import checksum, make_folder, parse_json, write_bytes, write_json
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START, UNK
from keras_transformer.unicode import each_text

Ids = tf.RaggedTensor | tf.Tensor

_CHECKSUM = "sha256"  # of a vocabulary file, in its description; version 0.1 wrote none

_FIRST_MARK = len(RESERVED_TOKENS)
"""Id of the first of the marks of capitals, in vocabularies that have them."""

KINDS: dict[str, type["SubwordTokenizer"]] = {}
"""Kinds of tokenizers that are kept in files, by their names there; a subclass adds itself."""


class Tokenizer(tf.Module, abc.ABC):
    """From the text of one language to token ids and back.

    A subclass has `_encode`, `_texts`, `_pieces` and these attributes:

    Attributes:
        vocab_size: the number of ids; 0 is padding.
        start_id: the id that `tokenize` puts before a text; ``None`` where it puts none, as in the
            sources of Marian and in GPT-2, whose texts begin with what ends the one before.
        end_id: the id that `tokenize` puts after a text; ``None`` where it puts none.
        unknown_id: the id of what the vocabulary has no piece for; ``None`` where there is none.
        language: the code of the language of its texts, which `Tokenizers` sets; ``None`` where
            nobody said.
    """

    language: str | None = None

    vocab_size: int
    start_id: int | None
    end_id: int | None
    unknown_id: int | None

    def tokenize(self, strings: tf.Tensor | str | list[str]) -> tf.RaggedTensor:
        """Splits text into ids, with start and end.

        Args:
            strings: (batch,) strings, or one string, which counts as a batch of one.

        Returns:
            (batch, None) ids, int64.

        Raises:
            InputError: strings of a higher rank.
        """
        strings = string_tensor(strings)
        if strings.shape.rank is not None and strings.shape.rank > 1:
            raise InputError(
                f"tokenize takes a string or a vector of strings, not shape {strings.shape}: "
                "flatten it with tf.reshape(strings, [-1])"
            )
        return self._with_ends(self._encode(tf.reshape(strings, [-1])))

    def detokenize(
        self,
        ids: Ids,
        style: str = "corpus",
        begins: tf.Tensor | None = None,
        *,
        capitals: bool = True,
    ) -> tf.Tensor:
        """Joins ids into text; padding and control tokens are dropped.

        Args:
            ids: (batch, seq) ids, ragged or padded.
            style: "corpus" for the style of the training text, "human" for the way people write.
            begins: whether each text begins a sentence, which has a capital in human style, bool
                (batch,); all do unless given.
            capitals: in human style, write those that rules know where the tokenizer has none.

        Returns:
            (batch,) strings.

        Raises:
            InputError: unknown style.
        """
        if style not in ("corpus", "human"):
            raise InputError(f"unknown style of text {style!r}: use 'corpus' or 'human'")
        return self._texts(ragged(ids), style, begins, capitals)

    def lookup(self, ids: Ids) -> tf.RaggedTensor:
        """The tokens that ids stand for, control tokens included.

        Args:
            ids: (batch, seq) ids, ragged or padded.

        Returns:
            (batch, None) strings.
        """
        ids = ragged(ids)
        return ids.with_flat_values(self._pieces(ids.flat_values))

    def get_vocab_size(self) -> tf.Tensor:
        """The number of ids, a scalar int32."""
        return tf.constant(self.vocab_size, tf.int32)

    def check_fits(self, known_ids: int | None, which: str) -> None:
        """Refuses a model that does not know all ids, whose error would come in the middle of work.

        Args:
            known_ids: number of ids that the model has vectors for; ``None`` where it does not say.
            which: of the tokenizers of the model this is, for the error: "source", "target".

        Raises:
            InputError: where this tokenizer has more ids.
        """
        if known_ids is not None and int(self.get_vocab_size()) > known_ids:
            raise InputError(
                f"The {which} tokenizer has {int(self.get_vocab_size())} ids, and the model knows "
                f"{known_ids}: give the tokenizer that the model was trained with."
            )

    def _with_ends(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        column = tf.ones([ids.nrows(), 1], tf.int64)
        start, end = (
            [] if token is None else [token * column] for token in (self.start_id, self.end_id)
        )
        return tf.concat([*start, ids, *end], axis=1)

    @abc.abstractmethod
    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """(batch,) strings → (batch, None) int64 ids, to which `_with_ends` adds start and end."""

    @abc.abstractmethod
    def _texts(
        self, ids: tf.RaggedTensor, style: str, begins: tf.Tensor | None, capitals: bool
    ) -> tf.Tensor:
        """(batch, None) int64 ids → (batch,) strings; see `detokenize`."""

    @abc.abstractmethod
    def _pieces(self, ids: tf.Tensor) -> tf.Tensor:
        """int64 ids, a vector → their tokens."""


class SubwordTokenizer(Tokenizer):
    """A tokenizer whose vocabulary is kept in a file of this package.

    Ids 0 to 3 are `[PAD]`, `[UNK]`, `[START]`, `[END]`. The text never yields the control tokens,
    even where it spells their names; ids beyond the vocabulary count as `[UNK]`, and what follows
    the first `[END]` is not text.

    The vocabulary is held as constants: a SavedModel that uses such a tokenizer needs no files
    beside it and nothing but tensorflow and tensorflow_text to run.

    Attributes:
        kind: name of the class in `tokenizers.json`.
        file_suffix: end of the name of the vocabulary file.
        normalization: the style that text is brought into, see `normalize`.
        case: one of `CASES`, what becomes of capitals.
    """

    kind: ClassVar[str]
    file_suffix: ClassVar[str]
    start_id, end_id, unknown_id = START, END, UNK

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            KINDS[cls.kind] = cls

    def __init__(self, normalization: str, case: str | None = None):
        super().__init__()
        self.normalization = check_style(normalization)
        self.case = check_case(case or default_case(normalization), normalization)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `tokenizer.json` and the vocabulary into `folder`, made if need be."""
        write_json(Path(folder) / "tokenizer.json", self.write_vocabulary(folder, "tokenizer"))

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: files missing or damaged, or of another kind than this class.
        """
        tokenizer = read_tokenizer(folder, read_json(Path(folder) / "tokenizer.json"))
        if not isinstance(tokenizer, cls):
            raise InputError(
                f"{folder} holds a {tokenizer.kind} tokenizer: load it with "
                f"{type(tokenizer).__name__}.load"
            )
        return tokenizer

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        *,
        vocab_size: int = 8000,
        normalization: str = "ptb-lower",
        case: str | None = None,
    ) -> Self:
        """Learns a tokenizer from lines of text.

        Args:
            lines: text; normalised on the way.
            vocab_size: the number of ids wanted; a small corpus gives fewer.
            normalization: "ptb-lower" or "none", see `normalize`.
            case: "keep", "lower" or "factored", see `CASES`; "lower" for "ptb-lower", which drops
                capitals, and "keep" for "none" unless given.

        Raises:
            InputError: no text, or a vocabulary size too small to write the text with.
        """
        vocab_size = whole_number("vocab_size", vocab_size, 1, 2**31 - 1)
        case = check_case(case or default_case(check_style(normalization)), normalization)
        text = normalized_lines(each_text(lines, "lines"), normalization, case)
        marks = MARKS if case == "factored" else ()
        return cls(cls._learn(text, vocab_size, marks), normalization, case=case)

    @classmethod
    def _learn(cls, lines: Iterable[str], vocab_size: int, marks: tuple[str, ...]) -> Any:
        """Learns a vocabulary, the first argument of the class, from normalised lines.

        Args:
            lines: text.
            vocab_size: the number of ids wanted.
            marks: names of the ids after the reserved ones.
        """
        raise InputError(f"{cls.__name__} is not trained here: use WordPieceTokenizer")

    def write_vocabulary(self, folder: str | os.PathLike, stem: str) -> dict[str, str]:
        """Writes `<stem>.<suffix>` into `folder`, made if need be; returns what describes it."""
        name = f"{stem}.{self.file_suffix}"
        make_folder(folder)
        content = self._vocabulary_bytes()
        write_bytes(Path(folder) / name, content)
        kind = {"kind": self.kind, "normalization": self.normalization, "case": self.case}
        return {**kind, "file": name, _CHECKSUM: checksum(content)}

    def lookup(self, ids: Ids) -> tf.RaggedTensor:
        return super().lookup(self._known(ids))

    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        text = self._prepared(strings)
        if self.case != "factored":
            return self._split(text)
        words, marks, last = factor(tf.strings.split(text))
        pieces = self._split_words(words.flat_values)
        before = _where(marks.flat_values > 0, _FIRST_MARK - 1 + marks.flat_values)
        after = _where(last.flat_values, tf.fill([pieces.nrows()], _FIRST_MARK + len(MARKS) - 1))
        return words.with_values(tf.concat([before, pieces, after], axis=1)).merge_dims(1, 2)

    def _prepared(self, strings: tf.Tensor) -> tf.Tensor:
        """Normalised text, in small letters where capitals are dropped."""
        text = normalize(strings, self.normalization)
        return lower(text) if self.case == "lower" and self.normalization == "none" else text

    def _texts(
        self, ids: tf.RaggedTensor, style: str, begins: tf.Tensor | None, capitals: bool
    ) -> tf.Tensor:
        ids = before_end(self._known(ids), END, dropped=(PAD, START))
        text = self._decode_marks(ids) if self.case == "factored" else self._decode(ids)
        if style == "corpus":
            return text
        text = self._humanize(text)
        if self.case != "lower" or not capitals:
            return text
        return restore_capitals(text, self.language, begins)

    def _decode_marks(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """`_decode`, with the capitals that marks stand for."""
        rows, flat = ids.value_rowids(), ids.flat_values
        is_mark = (flat >= _FIRST_MARK) & (flat < _FIRST_MARK + len(MARKS))
        begins = begins_run(rows) | is_mark
        run = tf.cumsum(tf.cast(begins, tf.int64)) - 1
        count = tf.reduce_sum(tf.cast(begins, tf.int64))
        runs = tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(flat, ~is_mark), tf.boolean_mask(run, ~is_mark), count
        )
        mark = tf.where(is_mark, flat - _FIRST_MARK + 1, 0)
        texts = write_out(self._decode(runs), tf.cast(tf.boolean_mask(mark, begins), tf.int32))
        by_row = tf.RaggedTensor.from_value_rowids(
            texts, tf.boolean_mask(rows, begins), ids.nrows()
        )
        by_row = tf.ragged.boolean_mask(by_row, by_row != "")
        return tf.strings.reduce_join(by_row, axis=-1, separator=" ")

    def _known(self, ids: Ids) -> tf.RaggedTensor:
        """Ragged int64 ids, with `[UNK]` in place of ids beyond the vocabulary."""
        ids = ragged(ids)
        values = ids.flat_values
        known = (values >= 0) & (values < self.vocab_size)
        return ids.with_flat_values(tf.where(known, values, tf.constant(UNK, tf.int64)))

    def _humanize(self, text: tf.Tensor) -> tf.Tensor:
        return humanize(text, self.normalization, self.language)

    @classmethod
    @abc.abstractmethod
    def from_bytes(cls, vocabulary: bytes, normalization: str, case: str | None = None) -> Self:
        """Makes a tokenizer from the content of its vocabulary file."""

    @abc.abstractmethod
    def _split(self, text: tf.Tensor) -> tf.RaggedTensor:
        """(batch,) prepared text → (batch, None) int64 ids."""

    def _split_words(self, words: tf.Tensor) -> tf.RaggedTensor:
        """(words,) white-space words → (words, None) int64 ids."""
        raise InputError(f"{type(self).__name__} has no marks of capitals: give another case")

    @abc.abstractmethod
    def _vocabulary_bytes(self) -> bytes:
        """Content of the vocabulary file."""

    @abc.abstractmethod
    def _decode(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """(batch, None) ids without control tokens → (batch,) strings in the corpus' style."""


def ragged(ids: Ids) -> tf.RaggedTensor:
    """(batch, None) int64 ids, from ragged or padded ones."""
    if not isinstance(ids, tf.RaggedTensor):
        ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
        # As rows that may differ: with none, ragged tensors forget how long all of them are.
        ids = tf.RaggedTensor.from_row_splits(ids.flat_values, ids.row_splits, validate=False)
    return tf.cast(ids, tf.int64)


def _where(condition: tf.Tensor, values: tf.Tensor) -> tf.RaggedTensor:
    """The values where a condition holds, (n, 0 or 1) int64."""
    return tf.RaggedTensor.from_row_lengths(
        tf.cast(tf.boolean_mask(values, condition), tf.int64), tf.cast(condition, tf.int64)
    )


def before_end(ids: tf.RaggedTensor, end_id: int, dropped: tuple[int, ...]) -> tf.RaggedTensor:
    """The ids before the first `end_id` of each row, without those in `dropped`."""
    ids = ids.to_tensor(default_value=PAD)
    hidden = tf.cumsum(tf.cast(ids == end_id, tf.int32), axis=1) > 0
    for token in dropped:
        hidden |= ids == token
    return tf.ragged.boolean_mask(ids, ~hidden)


def read_tokenizer(folder: str | os.PathLike, description: dict) -> SubwordTokenizer:
    """Reads one tokenizer from what `write_vocabulary` wrote and returned.

    Raises:
        InputError: a damaged description, or a vocabulary file missing or damaged.
    """
    try:
        cls, style = KINDS[description["kind"]], description["normalization"]
        case = description.get("case")  # version 0.1 wrote none
        path = Path(folder) / Path(description["file"]).name
    except (KeyError, TypeError) as error:
        raise InputError(
            f"the tokenizer files in {folder} are damaged: kind, normalization or file is wrong; "
            "save them again"
        ) from error
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; save the tokenizer again"
        ) from error
    if checksum(content) != description.get(_CHECKSUM, checksum(content)):
        raise InputError(
            f"{path}: is damaged or was changed: its {_CHECKSUM} is not the one beside its name; "
            "bring back a copy, or delete that entry to take the file as it is"
        )
    try:
        return cls.from_bytes(content, style, case)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_json(path: Path) -> dict:
    """Reads a JSON object; `InputError` where it is missing or damaged."""
    try:
        content = parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; name a folder that tokenizers were saved in"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); save the tokenizers again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: not a JSON object; save the tokenizers again")
    return content
