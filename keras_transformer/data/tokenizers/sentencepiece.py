"""SentencePiece: pieces of raw text by a unigram language model."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

import tensorflow as tf
import tensorflow_text as tf_text
from sentencepiece import sentencepiece_model_pb2

from keras_transformer.data.tokenizers.base import SubwordTokenizer
from keras_transformer.data.tokenizers.lattice import PieceSampling, unigram_sampling
from keras_transformer.data.tokenizers.vocabulary import WORD_START, learn_sentencepiece
from keras_transformer.errors import InputError
from keras_transformer.internals import keep_sentencepiece_model

_BYTE = re.compile("<0x[0-9A-F]{2}>")  # a piece that stands for a byte of an unknown character


class SentencePieceTokenizer(SubwordTokenizer):
    """SentencePiece unigram with byte fallback: any text can be written, nothing is unknown.

    Args:
        model: the serialised model, with the reserved tokens at ids 0 to 3.
        normalization: "ptb-lower" or "none".
        nbest_size: 0 for the best segmentation; -1 to draw one at random from all each time, n > 1
            from the n best (subword regularisation). The draws come from the library's own
            generator: `tf.random.set_seed` does not fix them. Those of `piece_sampling` follow
            from a seed.
        alpha: inverse temperature of the draw; smaller is more varied, 0.1 is usual.
        case: "keep", "lower" or "factored"; see `SubwordTokenizer.train`.
        placeholders: number of ids for what is not translated, likewise.
        terms: whether there are ids for the signs of terms, likewise.
        tags: tags that there are ids for, likewise.

    Source of the draws: Kudo (2018), arXiv 1804.10959.
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
        case: str | None = None,
        placeholders: int = 0,
        terms: bool = False,
        tags: Sequence[str] = (),
    ):
        super().__init__(normalization, case, placeholders, terms, tags)
        self._model = model
        try:
            self._matcher = tf_text.SentencepieceTokenizer(
                model=model, out_type=tf.int32, nbest_size=nbest_size, alpha=alpha
            )
            keep_sentencepiece_model(self._matcher, model)
            self.vocab_size = int(self._matcher.vocab_size())
            control = self.control_tokens
            first = self._pieces(tf.range(len(control))).numpy()
        # TensorFlow cannot say what it says of pieces that are no UTF-8.
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            raise InputError("not a SentencePiece model: train the tokenizer again") from error
        if tuple(piece.decode() for piece in first) != control:
            raise InputError(
                f"a SentencePiece model starts with {' '.join(control)}: train it with "
                "SentencePieceTokenizer.train"
            )

    @classmethod
    def _learn(cls, lines: Iterable[str], vocab_size: int, marks: tuple[str, ...]) -> bytes:
        return learn_sentencepiece(lines, vocab_size, marks)

    @classmethod
    def from_bytes(cls, vocabulary: bytes, normalization: str, **options: Any) -> Self:
        return cls(vocabulary, normalization, **options)

    def piece_sampling(self, dropout: float) -> PieceSampling:
        model = sentencepiece_model_pb2.ModelProto.FromString(self._model)
        if model.trainer_spec.model_type != sentencepiece_model_pb2.TrainerSpec.UNIGRAM:
            return super().piece_sampling(dropout)
        normal = sentencepiece_model_pb2.ModelProto.SentencePiece.NORMAL
        texts = [piece.piece if piece.type == normal else None for piece in model.pieces]
        scores = [piece.score if piece.type == normal else -math.inf for piece in model.pieces]
        return PieceSampling(texts, WORD_START, unigram_sampling(scores, dropout))

    def _characters(self) -> set[str]:
        with tf.init_scope():  # not in the graph that asks
            pieces = self._pieces(tf.range(len(self.control_tokens), self.vocab_size)).numpy()
        texts = (piece.decode() for piece in pieces)
        return set().union(*(text for text in texts if not _BYTE.fullmatch(text))) - {WORD_START}

    def _vocabulary_bytes(self) -> bytes:
        return self._model

    def _split(self, text: tf.Tensor) -> tf.RaggedTensor:
        return tf.cast(self._matcher.tokenize(text), tf.int64)

    def split_words(self, words: tf.Tensor) -> tf.RaggedTensor:
        return self._split(words)  # no piece reaches over white space

    def _decode(self, ids: tf.RaggedTensor) -> tf.Tensor:
        return tf.strings.strip(self._matcher.detokenize(tf.cast(ids, tf.int32)))

    def _pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return self._matcher.id_to_string(tf.cast(ids, tf.int32))
