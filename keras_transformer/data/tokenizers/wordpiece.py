"""WordPiece: pieces of words, listed in a vocab.txt; and the tutorial's converter, a variant of it.

The tutorial's splits text into words as BERT does.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import tensorflow as tf
import tensorflow_text as tf_text

from keras_transformer.data.text.normalization import humanize_bert, normalize
from keras_transformer.data.tokenizers.base import SubwordTokenizer
from keras_transformer.data.tokenizers.lattice import PieceSampling, max_match_dropout
from keras_transformer.data.tokenizers.vocabulary import (
    CONTINUATION,
    LONGEST_PIECE,
    learn_wordpiece,
)
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import RESERVED_TOKENS, UNK


class _PieceTable(SubwordTokenizer):
    """Base class of tokenizers with a vocab.txt: pieces, with `##` before those inside words."""

    file_suffix = "vocab.txt"

    def __init__(
        self,
        vocabulary: Sequence[str],
        normalization: str,
        case: str | None = None,
        placeholders: int = 0,
        terms: bool = False,
        tags: Sequence[str] = (),
    ):
        super().__init__(normalization, case, placeholders, terms, tags)
        if tuple(vocabulary[: len(RESERVED_TOKENS)]) != RESERVED_TOKENS:
            raise InputError(
                f"a vocabulary starts with {' '.join(RESERVED_TOKENS)}, one a line; this one "
                f"starts with {' '.join(map(repr, vocabulary[:4]))}"
            )
        if tuple(vocabulary[: len(self.control_tokens)]) != self.control_tokens:
            marks = self.control_tokens[len(RESERVED_TOKENS) :]
            raise InputError(
                f"a vocabulary for the case {self.case!r}, {self.placeholders} placeholders and "
                f"{len(self.tags)} tags goes on with {' '.join(marks)}; train one with "
                "WordPieceTokenizer.train"
            )
        piece, count = Counter(vocabulary).most_common(1)[0]
        if count > 1:
            raise InputError(f"the vocabulary repeats {piece!r}: keep each piece once")
        for number, piece in enumerate(vocabulary, start=1):
            if not piece or "\0" in piece or len(piece.encode()) > LONGEST_PIECE:
                raise InputError(
                    f"line {number} of the vocabulary, {piece[:20]!r}, is no piece: a piece has 1 "
                    f"to {LONGEST_PIECE} bytes of UTF-8, none of them NUL"
                )
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
    def from_bytes(cls, vocabulary: bytes, normalization: str, **options: Any) -> Self:
        try:
            # Not splitlines(): a piece may be one of the characters that it takes for line ends.
            pieces = vocabulary.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"the vocabulary is not UTF-8 text: {error}") from error
        return cls(pieces, normalization, **options)

    def piece_sampling(self, dropout: float) -> PieceSampling:
        texts: list[str | None] = [surface.decode() for surface in self._surfaces.numpy()]
        texts[: len(self.control_tokens)] = [None] * len(self.control_tokens)
        return PieceSampling(texts, " ", max_match_dropout(dropout))

    def _characters(self) -> set[str]:
        pieces = self.vocabulary[len(self.control_tokens) :]
        return set().union(*(piece.removeprefix(CONTINUATION) for piece in pieces))

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
        case: "keep", "lower" or "factored"; see `SubwordTokenizer.train`.
        placeholders: number of ids for what is not translated, likewise.
        terms: whether there are ids for the signs of terms, likewise.
        tags: tags that there are ids for, likewise.
    """

    kind = "wordpiece"

    def __init__(
        self,
        vocabulary: Sequence[str],
        normalization: str = "ptb-lower",
        *,
        case: str | None = None,
        placeholders: int = 0,
        terms: bool = False,
        tags: Sequence[str] = (),
    ):
        super().__init__(vocabulary, normalization, case, placeholders, terms, tags)
        # The matcher sees continuations marked by a space instead of "##", and control tokens
        # led by a space and a tab. Words contain neither, so no text can spell them.
        control = len(self.control_tokens)
        matched = [" \t" + piece for piece in self.vocabulary[:control]] + [
            " " + piece.removeprefix(CONTINUATION) if piece.startswith(CONTINUATION) else piece
            for piece in self.vocabulary[control:]
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
    def _learn(cls, lines: Iterable[str], vocab_size: int, marks: tuple[str, ...]) -> list[str]:
        return learn_wordpiece(lines, vocab_size, marks)

    def _split(self, text: tf.Tensor) -> tf.RaggedTensor:
        return self.split_words(tf.strings.split(text)).merge_dims(1, 2)

    def split_words(self, words: tf.Tensor | tf.RaggedTensor) -> tf.RaggedTensor:
        return self._matcher.tokenize(words)


class BertTokenizer(_PieceTable):
    """The tutorial's own converter: BERT's splitting, lower-cased and stripped of accents.

    Not reversible: `do n't` comes back as `do n ' t`. Use it for the tutorial's vocab.txt files.

    Args:
        vocabulary: the pieces in the notation of vocab.txt, reserved tokens first.
        normalization: the style of the corpus the vocabulary was made from. The splitting has its
            own rules, so the text is not brought into that style first.
    """

    kind = "bert"

    def __init__(
        self,
        vocabulary: Sequence[str],
        normalization: str = "ptb-lower",
        *,
        case: str | None = None,
        placeholders: int = 0,
        terms: bool = False,
        tags: Sequence[str] = (),
    ):
        super().__init__(vocabulary, normalization, case, placeholders, terms, tags)
        ids = tf.range(self.vocab_size, dtype=tf.int64)
        table = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(self._table, ids), num_oov_buckets=1
        )
        self._matcher = tf_text.BertTokenizer(table, token_out_type=tf.int64, lower_case=True)

    def _prepared(self, strings: tf.Tensor) -> tf.Tensor:
        return normalize(strings, "none")

    def _split(self, text: tf.Tensor) -> tf.RaggedTensor:
        return self._matcher.tokenize(text).merge_dims(1, 2)

    def _humanize(self, text: tf.Tensor) -> tf.Tensor:
        return humanize_bert(text, self.language)
