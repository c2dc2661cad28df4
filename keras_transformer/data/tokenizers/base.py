"""One language's tokenizer: text to subword ids and back, inside the graph.

Three kinds share one face. They hold their vocabulary as constants, so a SavedModel that uses one
needs no files beside it and nothing but tensorflow and tensorflow_text to run.
"""

import abc
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Self

import tensorflow as tf
import tensorflow_text as tf_text

from keras_transformer.data.text.normalization import (
    check_style,
    humanize,
    humanize_bert,
    normalize,
)
from keras_transformer.data.tokenizers.vocabulary import (
    CONTINUATION,
    learn_sentencepiece,
    learn_wordpiece,
    normalized_lines,
)
from keras_transformer.errors import InputError
from keras_transformer.files import make_folder, write_bytes, write_json
from keras_transformer.internals import keep_sentencepiece_model
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START, UNK

Ids = tf.RaggedTensor | tf.Tensor


class SubwordTokenizer(tf.Module, abc.ABC):
    """What all kinds do; a kind adds `_encode`, `_decode` and how its vocabulary is kept.

    Ids 0 to 3 are `[PAD]`, `[UNK]`, `[START]`, `[END]`. The text never yields the control tokens,
    even where it spells their names.
    """

    kind: ClassVar[str]
    file_suffix: ClassVar[str]
    vocab_size: int

    def __init__(self, normalization: str):
        super().__init__()
        self.normalization = check_style(normalization)

    def tokenize(self, strings: tf.Tensor | str | list[str]) -> tf.RaggedTensor:
        """Normalises text and splits it into ids, with start and end.

        Args:
            strings: (batch,) strings, or one string, which counts as a batch of one.

        Returns:
            (batch, None) ids, int64.

        Raises:
            InputError: strings of a higher rank.
        """
        strings = tf.convert_to_tensor(strings, tf.string)
        if strings.shape.rank is not None and strings.shape.rank > 1:
            raise InputError(
                f"tokenize takes a string or a vector of strings, not shape {strings.shape}: "
                "flatten it with tf.reshape(strings, [-1])"
            )
        ids = self._encode(tf.reshape(strings, [-1]))
        column = tf.ones([ids.nrows(), 1], tf.int64)
        return tf.concat([START * column, ids, END * column], axis=1)

    def detokenize(self, ids: Ids, style: str = "corpus") -> tf.Tensor:
        """Joins ids into text, up to the first `[END]`; padding and control tokens are dropped.

        Args:
            ids: (batch, seq) ids, ragged or padded; ids beyond the vocabulary count as `[UNK]`.
            style: "corpus" for the style of the training text, "human" for the way people write.

        Returns:
            (batch,) strings.

        Raises:
            InputError: unknown style.
        """
        if style not in ("corpus", "human"):
            raise InputError(f"unknown style of text {style!r}: use 'corpus' or 'human'")
        ids = self._known(ids).to_tensor(default_value=PAD)
        ended = tf.cumsum(tf.cast(ids == END, tf.int32), axis=1) > 0
        keep = ~ended & (ids != PAD) & (ids != START)
        text = self._decode(tf.ragged.boolean_mask(ids, keep))
        return self._humanize(text) if style == "human" else text

    def lookup(self, ids: Ids) -> tf.RaggedTensor:
        """The tokens that ids stand for, control tokens included.

        Args:
            ids: (batch, seq) ids, ragged or padded.

        Returns:
            (batch, None) strings.
        """
        ids = self._known(ids)
        return ids.with_flat_values(self._pieces(ids.flat_values))

    def get_vocab_size(self) -> tf.Tensor:
        """The number of ids, a scalar int32."""
        return tf.constant(self.vocab_size, tf.int32)

    def get_reserved_tokens(self) -> tf.Tensor:
        """The tokens of ids 0 to 3, a vector of strings."""
        return tf.constant(RESERVED_TOKENS)

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
        cls, lines: Iterable[str], *, vocab_size: int = 8000, normalization: str = "ptb-lower"
    ) -> Self:
        """Learns a tokenizer from lines of text.

        Args:
            lines: text; normalised on the way.
            vocab_size: the number of ids wanted; a small corpus gives fewer.
            normalization: "ptb-lower" or "none", see `normalize`.

        Raises:
            InputError: no text, or a vocabulary size too small to write the text with.
        """
        raise InputError(f"{cls.__name__} is not trained here: use WordPieceTokenizer")

    def write_vocabulary(self, folder: str | os.PathLike, stem: str) -> dict[str, str]:
        """Writes `<stem>.<suffix>` into `folder`, made if need be; returns what describes it."""
        name = f"{stem}.{self.file_suffix}"
        make_folder(folder)
        write_bytes(Path(folder) / name, self._vocabulary_bytes())
        return {"kind": self.kind, "normalization": self.normalization, "file": name}

    @classmethod
    @abc.abstractmethod
    def from_bytes(cls, vocabulary: bytes, normalization: str) -> Self:
        """Makes a tokenizer from the content of its vocabulary file."""

    @abc.abstractmethod
    def _vocabulary_bytes(self) -> bytes:
        """Content of the vocabulary file."""

    @abc.abstractmethod
    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """(batch,) strings → (batch, None) int64 ids without start and end."""

    @abc.abstractmethod
    def _decode(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """(batch, None) ids without control tokens → (batch,) strings."""

    @abc.abstractmethod
    def _pieces(self, ids: tf.Tensor) -> tf.Tensor:
        """Ids → the tokens of the vocabulary, same shape."""

    def _humanize(self, text: tf.Tensor) -> tf.Tensor:
        return humanize(text, self.normalization)

    def _known(self, ids: Ids) -> tf.RaggedTensor:
        """Ragged int64 ids, with `[UNK]` in place of ids beyond the vocabulary."""
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
        values = tf.cast(ids.flat_values, tf.int64)
        known = (values >= 0) & (values < self.vocab_size)
        return ids.with_flat_values(tf.where(known, values, tf.constant(UNK, tf.int64)))


class _PieceTable(SubwordTokenizer):
    """What the kinds with a vocab.txt share: a list of pieces, `##` before continuations."""

    file_suffix = "vocab.txt"

    def __init__(self, vocabulary: Sequence[str], normalization: str):
        super().__init__(normalization)
        if tuple(vocabulary[: len(RESERVED_TOKENS)]) != RESERVED_TOKENS:
            raise InputError(
                f"a vocabulary starts with {' '.join(RESERVED_TOKENS)}, one a line; this one "
                f"starts with {' '.join(map(repr, vocabulary[:4]))}"
            )
        piece, count = Counter(vocabulary).most_common(1)[0]
        if count > 1:
            raise InputError(f"the vocabulary repeats {piece!r}: keep each piece once")
        self.vocabulary = tuple(vocabulary)
        self.vocab_size = len(self.vocabulary)
        self._table = tf.constant(self.vocabulary)
        # What a piece adds to the text: a new word brings its space.
        self._surfaces = tf.constant(
            [
                piece.removeprefix(CONTINUATION) if piece.startswith(CONTINUATION) else " " + piece
                for piece in self.vocabulary
            ]
        )

    @classmethod
    def from_bytes(cls, vocabulary: bytes, normalization: str) -> Self:
        try:
            # Not splitlines(): a piece may be one of the characters that it takes for line ends.
            pieces = vocabulary.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"the vocabulary is not UTF-8 text: {error}") from error
        return cls(pieces, normalization)

    def _vocabulary_bytes(self) -> bytes:
        return ("\n".join(self.vocabulary) + "\n").encode()

    def _decode(self, ids: tf.RaggedTensor) -> tf.Tensor:
        return tf.strings.strip(tf.strings.reduce_join(tf.gather(self._surfaces, ids), axis=-1))

    def _pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._table, ids)


class WordPieceTokenizer(_PieceTable):
    """WordPiece over white-space words: reversible, since words keep their spelling.

    A word with a character that the vocabulary lacks becomes one `[UNK]`.

    Args:
        vocabulary: the pieces in the notation of vocab.txt, reserved tokens first.
        normalization: "ptb-lower" or "none".
    """

    kind = "wordpiece"

    def __init__(self, vocabulary: Sequence[str], normalization: str = "ptb-lower"):
        super().__init__(vocabulary, normalization)
        # The matcher sees continuations marked by a space instead of "##", and reserved tokens
        # led by a space and a tab. Words contain neither, so no text can spell them.
        matched = [" \t" + piece for piece in self.vocabulary[: len(RESERVED_TOKENS)]] + [
            " " + piece.removeprefix(CONTINUATION) if piece.startswith(CONTINUATION) else piece
            for piece in self.vocabulary[len(RESERVED_TOKENS) :]
        ]
        self._matcher = tf_text.FastWordpieceTokenizer(
            vocab=matched,
            suffix_indicator=" ",
            unknown_token=matched[UNK],
            max_bytes_per_word=100_000,  # longer words become [UNK]
            token_out_type=tf.int64,
            no_pretokenization=True,
        )

    @classmethod
    def train(
        cls, lines: Iterable[str], *, vocab_size: int = 8000, normalization: str = "ptb-lower"
    ) -> Self:
        text = normalized_lines(lines, check_style(normalization))
        return cls(learn_wordpiece(text, vocab_size), normalization)

    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        words = tf.strings.split(normalize(strings, self.normalization))
        return self._matcher.tokenize(words).merge_dims(1, 2)


class BertTokenizer(_PieceTable):
    """The tutorial's own converter: BERT's splitting, lower-cased and stripped of accents.

    Not reversible: `do n't` comes back as `do n ' t`. Use it for the tutorial's vocab.txt files.

    Args:
        vocabulary: the pieces in the notation of vocab.txt, reserved tokens first.
        normalization: the style of the corpus the vocabulary was made from. The splitting has its
            own rules, so the text is not brought into that style first.
    """

    kind = "bert"

    def __init__(self, vocabulary: Sequence[str], normalization: str = "ptb-lower"):
        super().__init__(vocabulary, normalization)
        ids = tf.range(self.vocab_size, dtype=tf.int64)
        table = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(self._table, ids), num_oov_buckets=1
        )
        self._matcher = tf_text.BertTokenizer(table, token_out_type=tf.int64, lower_case=True)

    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        return self._matcher.tokenize(normalize(strings, "none")).merge_dims(1, 2)

    def _humanize(self, text: tf.Tensor) -> tf.Tensor:
        return humanize_bert(text)


class SentencePieceTokenizer(SubwordTokenizer):
    """SentencePiece unigram with byte fallback: any text can be written, nothing is unknown.

    Args:
        model: the serialised model, with the reserved tokens at ids 0 to 3.
        normalization: "ptb-lower" or "none".
        nbest_size: 0 for the best segmentation; -1 to draw one from all, n > 1 from the n best.
        alpha: inverse temperature of the draw.
    """

    kind = "sentencepiece"
    file_suffix = "sentencepiece.model"

    def __init__(
        self,
        model: bytes,
        normalization: str = "ptb-lower",
        *,
        nbest_size: int = 0,
        alpha: float = 1.0,
    ):
        super().__init__(normalization)
        self._model = model
        try:
            self._matcher = tf_text.SentencepieceTokenizer(
                model=model, out_type=tf.int32, nbest_size=nbest_size, alpha=alpha
            )
            keep_sentencepiece_model(self._matcher, model)
            self.vocab_size = int(self._matcher.vocab_size())
            first = self._pieces(tf.range(len(RESERVED_TOKENS))).numpy()
        except tf.errors.OpError as error:
            raise InputError("not a SentencePiece model: train the tokenizer again") from error
        if [piece.decode() for piece in first] != list(RESERVED_TOKENS):
            raise InputError(
                f"a SentencePiece model starts with {' '.join(RESERVED_TOKENS)}: train it with "
                "SentencePieceTokenizer.train"
            )

    @classmethod
    def train(
        cls, lines: Iterable[str], *, vocab_size: int = 8000, normalization: str = "ptb-lower"
    ) -> Self:
        text = normalized_lines(lines, check_style(normalization))
        return cls(learn_sentencepiece(text, vocab_size), normalization)

    @classmethod
    def from_bytes(cls, vocabulary: bytes, normalization: str) -> Self:
        return cls(vocabulary, normalization)

    def with_sampling(self, nbest_size: int = -1, alpha: float = 0.1) -> Self:
        """The same tokenizer drawing a segmentation at random each time (subword regularisation).

        The draws come from the library's own generator: `tf.random.set_seed` does not fix them.

        Args:
            nbest_size: -1 to draw from all segmentations, n > 1 from the n best.
            alpha: inverse temperature; smaller is more varied.

        Source: Kudo (2018), arXiv 1804.10959.
        """
        return type(self)(self._model, self.normalization, nbest_size=nbest_size, alpha=alpha)

    def _vocabulary_bytes(self) -> bytes:
        return self._model

    def _encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        text = normalize(strings, self.normalization)
        return tf.cast(self._matcher.tokenize(text), tf.int64)

    def _decode(self, ids: tf.RaggedTensor) -> tf.Tensor:
        return tf.strings.strip(self._matcher.detokenize(tf.cast(ids, tf.int32)))

    def _pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return self._matcher.id_to_string(tf.cast(ids, tf.int32))


KINDS: dict[str, type[SubwordTokenizer]] = {
    cls.kind: cls for cls in (WordPieceTokenizer, SentencePieceTokenizer, BertTokenizer)
}


def read_tokenizer(folder: str | os.PathLike, description: dict) -> SubwordTokenizer:
    """Reads one tokenizer from what `write_vocabulary` wrote and returned.

    Raises:
        InputError: a damaged description, or a vocabulary file missing or damaged.
    """
    if description.get("kind") == "marian":  # which few use
        import keras_transformer.data.tokenizers.marian  # noqa: F401  adds itself to KINDS
    try:
        cls, style = KINDS[description["kind"]], description["normalization"]
        path = Path(folder) / Path(description["file"]).name
    except (KeyError, TypeError) as error:
        raise InputError(
            f"the tokenizer files in {folder} are damaged: kind, normalization or file is wrong; "
            "save them again"
        ) from error
    try:
        return cls.from_bytes(path.read_bytes(), style)
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; save the tokenizer again"
        ) from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_json(path: Path) -> dict:
    """Reads a JSON object; `InputError` where it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; name a folder that tokenizers were saved in"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); save the tokenizers again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: not a JSON object; save the tokenizers again")
    return content
