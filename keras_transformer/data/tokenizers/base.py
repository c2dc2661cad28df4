"""The base classes of tokenizers: from the text of one language to token ids and back."""

import abc
import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import tensorflow as tf

from keras_transformer.data.text.casing import (
    CAPITAL,
    MARKS,
    NONE,
    SPAN_OFF,
    UPPER,
    check_case,
    default_case,
    factor,
    lower,
    restore_capitals,
    write_out,
)
from keras_transformer.data.text.normalization import check_style, humanize, normalize
from keras_transformer.data.text.placeholders import (
    JOIN,
    KEPT,
    MOST,
    Masked,
    fill,
    join_words,
    mask,
    part_words,
    strings_at,
    unknown_words,
)
from keras_transformer.data.text.placeholders import marks as placeholder_marks
from keras_transformer.data.text.strings import begins_run, string_tensor
from keras_transformer.data.text.tags import check_tags, marks_of, take_tags
from keras_transformer.data.text.terms import MARKS as TERM_MARKS
from keras_transformer.data.text.terms import SIGNS
from keras_transformer.data.tokenizers.corpus_encoder import CorpusEncoder
from keras_transformer.data.tokenizers.lattice import PieceSampling
from keras_transformer.data.tokenizers.vocabulary import normalized_lines
from keras_transformer.errors import InputError, whole_number
from keras_transformer.files import checksum, make_folder, parse_json, write_bytes, write_json
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START, UNK
from keras_transformer.unicode import each_text

Ids = tf.RaggedTensor | tf.Tensor

_CHECKSUM = "sha256"  # of a vocabulary file, in its description; version 0.1 wrote none

_FIRST_MARK = len(RESERVED_TOKENS)
"""Id of the first of the marks of capitals, in vocabularies that have them."""


def control_tokens(
    case: str, placeholders: int, terms: bool = False, tags: Sequence[str] = ()
) -> tuple[str, ...]:
    """Names of the ids that a vocabulary begins with and that no text yields."""
    marks = MARKS if case == "factored" else ()
    of_terms = TERM_MARKS if terms else ()
    of_placeholders = placeholder_marks(placeholders)
    return (*RESERVED_TOKENS, *marks, *of_placeholders, *of_terms, *marks_of(tags))


KINDS: dict[str, type["SubwordTokenizer"]] = {}
"""Kinds of tokenizers that are kept in files, by their names there; a subclass adds itself."""


class Writing(NamedTuple):
    """How texts are written; see `Tokenizer.detokenize`."""

    style: str
    begins: tf.Tensor | None
    kept: tf.RaggedTensor | None
    capitals: bool


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
        placeholders: the number of ids for what is not translated, see `data.text.placeholders`;
            0 where it is text like any other.
        first_placeholder: the first of these ids, which follow one another.
        terms: whether there are ids for the signs of `data.text.terms`.
        term_marks: these ids.
        tags: what may stand before a text, such as `<2en>`, see `data.text.tags`.
        first_tag: the id of the first of them, which those of the others follow.
        corpus_encoder: what encodes many texts sooner, if there is something.
    """

    language: str | None = None
    placeholders = 0
    first_placeholder = 0
    terms = False
    term_marks: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    first_tag = 0
    corpus_encoder: CorpusEncoder | None = None

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
        strings, tags = self.take_tags(tf.reshape(strings, [-1]))
        if self.placeholders:
            strings = self.mask(strings).texts
        return self.with_tags(self.tokenize_masked(strings), tags)

    def take_tags(self, strings: tf.Tensor) -> tuple[tf.Tensor, tf.RaggedTensor]:
        """Takes the tags off the beginning of texts.

        Args:
            strings: (batch,) strings.

        Returns:
            the texts without them, and the ids of their tags, (batch, None).
        """
        strings, numbers = take_tags(strings, self.tags)
        return strings, numbers + self.first_tag

    @property
    def tag_ids(self) -> range:
        """The ids of `tags`."""
        return range(self.first_tag, self.first_tag + len(self.tags))

    def with_tags(self, ids: tf.RaggedTensor, tags: tf.RaggedTensor) -> tf.RaggedTensor:
        """Ids of texts with those of tags after the start.

        Args:
            ids: (batch, None) ids, int64.
            tags: (batch, None) ids, from `take_tags`.
        """
        return tf.concat([ids[:, :1], tags, ids[:, 1:]], axis=1) if self.tags else ids

    def mask(self, strings: tf.Tensor, keep: tuple[str, ...] = ()) -> Masked:
        """Puts a character of its own in place of what is not translated.

        Args:
            strings: (batch,) strings.
            keep: regular expressions of the user.

        Raises:
            InputError: for one that is none.
        """
        return mask(strings, keep)

    def tokenize_masked(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """`tokenize`, of texts as `mask` gives them where the tokenizer has placeholders.

        Args:
            texts: (batch,) strings.
        """
        return self._with_ends(self._encode(texts))

    def detokenize(
        self,
        ids: Ids,
        style: str = "corpus",
        begins: tf.Tensor | None = None,
        kept: tf.RaggedTensor | None = None,
        *,
        capitals: bool = True,
    ) -> tf.Tensor:
        """Joins ids into text; padding and control tokens are dropped.

        Args:
            ids: (batch, seq) ids, ragged or padded.
            style: "corpus" for the style of the training text, "human" for the way people write.
            begins: whether each text begins a sentence, which has a capital in human style, bool
                (batch,); all do unless given.
            kept: what the placeholders of each text stand for, by their numbers, (batch, None)
                strings; their names are written unless given, and nothing for numbers beyond.
            capitals: in human style, write those that rules know where the tokenizer has none.

        Returns:
            (batch,) strings.

        Raises:
            InputError: unknown style.
        """
        if style not in ("corpus", "human"):
            raise InputError(f"unknown style of text {style!r}: use 'corpus' or 'human'")
        return self._texts(ragged(ids), Writing(style, begins, kept, capitals))

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
    def _texts(self, ids: tf.RaggedTensor, writing: Writing) -> tf.Tensor:
        """(batch, None) int64 ids → (batch,) strings."""

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
        control_tokens: names of the first ids, which no text yields.
    """

    kind: ClassVar[str]
    file_suffix: ClassVar[str]
    start_id, end_id, unknown_id = START, END, UNK

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            KINDS[cls.kind] = cls

    def __init__(
        self,
        normalization: str,
        case: str | None = None,
        placeholders: int = 0,
        terms: bool = False,
        tags: Sequence[str] = (),
    ):
        super().__init__()
        self.normalization = check_style(normalization)
        self.case = check_case(case or default_case(normalization), normalization)
        self.placeholders = whole_number("placeholders", placeholders, 0, MOST)
        self.terms = terms
        self.tags = check_tags(tags)
        self.control_tokens = control_tokens(self.case, self.placeholders, terms, self.tags)
        count = self.first_tag = len(self.control_tokens) - len(self.tags)
        self.term_marks = tuple(range(count - len(TERM_MARKS), count)) if terms else ()
        self.first_placeholder = count - len(self.term_marks) - self.placeholders

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
        placeholders: int = 0,
        terms: bool = False,
        tags: Sequence[str] = (),
    ) -> Self:
        """Learns a tokenizer from lines of text.

        Args:
            lines: text; normalised on the way.
            vocab_size: the number of ids wanted; a small corpus gives fewer.
            normalization: "ptb-lower" or "none", see `normalize`.
            case: "keep", "lower" or "factored", see `CASES`; "lower" for "ptb-lower", which drops
                capitals, and "keep" for "none" unless given.
            placeholders: ids for what is not translated, so many for each sentence; see
                `data.text.placeholders`.
            terms: have ids for the signs of `data.text.terms`, for sources whose terms have their
                translations beside them.
            tags: have ids for tags such as `<2en>`, which may stand before a text; see
                `data.text.tags`. The lines have none.

        Raises:
            InputError: no text, or a vocabulary size too small to write the text with.
        """
        vocab_size = whole_number("vocab_size", vocab_size, 1, 2**31 - 1)
        case = check_case(case or default_case(check_style(normalization)), normalization)
        placeholders = whole_number("placeholders", placeholders, 0, MOST)
        masked = placeholders > 0
        text = normalized_lines(each_text(lines, "lines"), normalization, case, masked=masked)
        tags = check_tags(tags)
        marks = control_tokens(case, placeholders, terms, tags)[len(RESERVED_TOKENS) :]
        vocabulary = cls._learn(text, vocab_size, marks)
        options = {"case": case, "placeholders": placeholders, "terms": terms, "tags": tags}
        return cls(vocabulary, normalization, **options)

    @classmethod
    def _learn(cls, lines: Iterable[str], vocab_size: int, marks: tuple[str, ...]) -> Any:
        """Learns a vocabulary, the first argument of the class, from normalised lines.

        Args:
            lines: text.
            vocab_size: the number of ids wanted.
            marks: names of the ids after the reserved ones.
        """
        raise InputError(f"{cls.__name__} is not trained here: use WordPieceTokenizer")

    def write_vocabulary(self, folder: str | os.PathLike, stem: str) -> dict[str, Any]:
        """Writes `<stem>.<suffix>` into `folder`, made if need be; returns what describes it."""
        name = f"{stem}.{self.file_suffix}"
        make_folder(folder)
        content = self._vocabulary_bytes()
        write_bytes(Path(folder) / name, content)
        description: dict[str, Any] = {
            "kind": self.kind,
            "normalization": self.normalization,
            "case": self.case,
            "placeholders": self.placeholders,
            "terms": self.terms,
        }
        if self.tags:
            description["tags"] = list(self.tags)
        return {**description, "file": name, _CHECKSUM: checksum(content)}

    def lookup(self, ids: Ids) -> tf.RaggedTensor:
        return super().lookup(self._known(ids))

    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        if not self.has_marks:
            return self._split(self._prepared(strings))
        words, before, after = self.marked_words(strings)
        flat = words.flat_values
        columns = [] if before is None else [_where(before > 0, before)]
        for sign, token in self.signs.items():
            columns.append(_where(flat == sign, tf.fill(tf.shape(flat), token)))
        for sign in self.signs:
            flat = tf.where(flat == sign, "", flat)
        columns.append(self.split_words(flat))
        if after is not None:
            columns.append(_where(after > 0, after))
        ids = words.with_values(tf.concat(columns, axis=1)).merge_dims(1, 2)
        return self.numbered(ids) if self.placeholders else ids

    @property
    def has_marks(self) -> bool:
        """Whether texts become words with marks, by `marked_words`, before these are divided."""
        return len(self.control_tokens) > len(RESERVED_TOKENS)

    @functools.cached_property
    def signs(self) -> dict[str, int]:
        """The ids of words that stand for placeholders and the like."""
        placeholders = {KEPT: self.first_placeholder, JOIN: self.first_placeholder - 1}
        of_placeholders = placeholders if self.placeholders else {}
        return of_placeholders | dict(zip(SIGNS, self.term_marks, strict=False))

    @functools.cached_property
    def corpus_encoder(self) -> CorpusEncoder | None:
        return CorpusEncoder(self) if self.has_marks else None

    def marked_words(
        self, strings: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.Tensor | None, tf.Tensor | None]:
        """The words of texts, whose capitals are marks where these are `factored`.

        Args:
            strings: (batch,).

        Returns:
            words, (batch, None); and of each the ids of the mark before and of the one after it, 0
            for none, int32 (words,), or ``None`` where there are no marks of capitals.
        """
        text = self._prepared(strings)
        if self.placeholders:
            text = part_words(text)
        words = tf.strings.split(text)
        if self.case != "factored":
            return words, None, None
        words, marks, last = factor(words)
        flat = marks.flat_values
        before = tf.where(flat > 0, _FIRST_MARK - 1 + flat, 0)
        return words, before, tf.where(last.flat_values, _FIRST_MARK - 1 + SPAN_OFF, 0)

    def mask(self, strings: tf.Tensor, keep: tuple[str, ...] = ()) -> Masked:
        return mask(strings, keep, self._unknown_words)

    @functools.cached_property
    def _unknown_words(self) -> str | None:
        return unknown_words(self._characters(), self.normalization)

    def piece_sampling(self, dropout: float) -> PieceSampling:
        """How words are divided into pieces at random, for subword regularisation.

        Args:
            dropout: above 0 and below 1: the larger, the less often words are divided as `tokenize`
                divides them.

        Raises:
            InputError: for a kind of tokenizer that only divides in one way.
        """
        raise InputError(
            f"training.subword_dropout is for vocabularies of WordPiece and of SentencePiece's "
            f"unigram model, not for those of {self.kind}: set it to 0."
        )

    def is_placeholder(self, ids: tf.Tensor) -> tf.Tensor:
        """Which ids are placeholders, bool of their shape."""
        first = self.first_placeholder
        return (ids >= first) & (ids < first + self.placeholders)

    def placeholders_before(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """How many placeholders stand before each id in its row, int64 of the flat ids."""
        before = tf.cumsum(tf.cast(self.is_placeholder(ids.flat_values), tf.int64), exclusive=True)
        of_row = tf.gather(tf.concat([before, [0]], 0), ids.row_starts())
        return before - tf.gather(of_row, ids.value_rowids())

    def numbered(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Ids whose placeholders have the numbers 0, 1, 2, ... of their order in each row.

        Args:
            ids: (batch, None); placeholders of any numbers.
        """
        flat = ids.flat_values
        number = tf.minimum(self.placeholders_before(ids), self.placeholders - 1)
        return ids.with_flat_values(
            tf.where(self.is_placeholder(flat), self.first_placeholder + number, flat)
        )

    def _prepared(self, strings: tf.Tensor) -> tf.Tensor:
        """Normalised text, in small letters where capitals are dropped."""
        text = normalize(strings, self.normalization)
        return lower(text) if self.case == "lower" and self.normalization == "none" else text

    def _texts(self, ids: tf.RaggedTensor, writing: Writing) -> tf.Tensor:
        silent = (PAD, START, *self.term_marks, *self.tag_ids)
        ids = before_end(self._known(ids), END, dropped=silent)
        marked = len(self.control_tokens) > len(RESERVED_TOKENS)
        text = self._decode_marks(ids) if marked else self._decode(ids)
        if writing.style != "corpus":
            text = self._humanize(text)
            if self.case == "lower" and writing.capitals:
                text = restore_capitals(text, self.language, writing.begins)
        return fill(text, self._kept(ids, writing.kept)) if self.placeholders else text

    def _kept(self, ids: tf.RaggedTensor, kept: tf.RaggedTensor | None) -> tf.RaggedTensor:
        """What the placeholders of each row stand for, in their order in the row."""
        found = tf.ragged.boolean_mask(
            ids, ids.with_flat_values(self.is_placeholder(ids.flat_values))
        )
        if kept is None:
            return found.with_flat_values(self._pieces(found.flat_values))
        rows, number = found.value_rowids(), found.flat_values - self.first_placeholder
        return found.with_flat_values(strings_at(kept, rows, number))

    def _decode_marks(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """`_decode`, with the capitals that marks stand for, and `KEPT` for placeholders."""
        rows, flat = ids.value_rowids(), ids.flat_values
        no_mark = tf.zeros_like(flat)
        mark = no_mark
        if self.case == "factored":
            is_mark = (flat >= _FIRST_MARK) & (flat < _FIRST_MARK + len(MARKS))
            mark = tf.where(is_mark, flat - _FIRST_MARK + 1, no_mark)
        # Runs that a mark of capitals begins, and in them runs that a placeholder or a join ends.
        begins_span = begins_run(rows) | (mark > 0)
        alone = self.is_placeholder(flat) | (flat == self.first_placeholder - 1)
        alone = alone if self.placeholders else tf.zeros_like(begins_span)
        begins = begins_span | alone | tf.concat([tf.zeros_like(alone[:1]), alone[:-1]], 0)
        run = tf.cumsum(tf.cast(begins, tf.int64)) - 1
        is_text = (mark == 0) & ~alone
        runs = tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(flat, is_text),
            tf.boolean_mask(run, is_text),
            tf.reduce_sum(tf.cast(begins, tf.int64)),
            validate=False,
        )
        span = tf.boolean_mask(tf.cumsum(tf.cast(begins_span, tf.int64)) - 1, begins)
        of_span = tf.gather(tf.boolean_mask(mark, begins_span), span)
        is_word = (of_span == CAPITAL) | (of_span == UPPER)  # which the mark alone belongs to
        after_word = is_word & (tf.boolean_mask(mark, begins) == 0)
        of_run = tf.where(after_word, tf.constant(NONE, tf.int64), of_span)
        texts = write_out(self._decode(runs), tf.cast(of_run, tf.int32))
        if self.placeholders:
            sign = tf.where(flat == self.first_placeholder - 1, JOIN, KEPT)
            texts = tf.where(tf.boolean_mask(alone, begins), tf.boolean_mask(sign, begins), texts)
        by_row = tf.RaggedTensor.from_value_rowids(
            texts, tf.boolean_mask(rows, begins), ids.nrows(), validate=False
        )
        by_row = tf.ragged.boolean_mask(by_row, by_row != "")
        text = tf.strings.reduce_join(by_row, axis=-1, separator=" ")
        return join_words(text) if self.placeholders else text

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
    def from_bytes(cls, vocabulary: bytes, normalization: str, **options: Any) -> Self:
        """Makes a tokenizer from the content of its vocabulary file.

        Args:
            vocabulary: the content.
            normalization: the style that text is brought into.
            options: `case`, `placeholders`, `terms` and `tags` of tokenizers that have them.
        """

    @abc.abstractmethod
    def _split(self, text: tf.Tensor) -> tf.RaggedTensor:
        """(batch,) prepared text → (batch, None) int64 ids."""

    def split_words(self, words: tf.Tensor) -> tf.RaggedTensor:
        """(words,) white-space words → (words, None) int64 ids."""
        raise InputError(
            f"{type(self).__name__} has no marks of capitals and no placeholders: leave out case "
            "and placeholders"
        )

    def _characters(self) -> set[str]:
        """The characters that there are pieces of."""
        raise InputError(f"{type(self).__name__} has no placeholders: leave them out")

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
        tf.cast(tf.boolean_mask(values, condition), tf.int64),
        tf.cast(condition, tf.int64),
        validate=False,
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
        options = {  # version 0.1 wrote none of them
            "case": description.get("case"),
            "placeholders": description.get("placeholders", 0),
            "terms": bool(description.get("terms", False)),
            "tags": tuple(description.get("tags", ())),
        }
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
        return cls.from_bytes(content, style, **options)
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
