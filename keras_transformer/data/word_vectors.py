"""Files of trained word vectors, and the vectors of a vocabulary from them.

Files are read by gensim (extra ``[word_vectors]``): word2vec's text and binary formats, fastText's
``.vec`` and GloVe's text without a first line of sizes, each plain or ``.gz``. Which of them a file
is shows in its content, whatever its name.
"""

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_transformer.data.tokenizers.marian import MarianTokenizer
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.vocabulary import CONTINUATION, WORD_START
from keras_transformer.errors import InputError
from keras_transformer.files import reason_of
from keras_transformer.special_tokens import PAD, RESERVED_TOKENS

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

_SIZES = re.compile(rb"\d+ \d+\s*")
_FASTTEXT_MODEL = (0x2F4F16BA).to_bytes(4, "little")  # how a .bin of fastText begins
_LONGEST_LINE = 2**20
_MOST_PACKED = 50  # times that numbers become smaller


@dataclass(frozen=True)
class WordVectorRows:
    """Vectors for every token of a vocabulary.

    Attributes:
        matrix: float32 ``(vocab_size, width)``; the row of padding is zero.
        found: which rows are vectors of the file, bool ``(vocab_size,)``; the others were drawn.
    """

    matrix: np.ndarray
    found: np.ndarray

    @property
    def coverage(self) -> float:
        """Share of the tokens with a vector in the file; the reserved tokens do not count."""
        return float(self.found[len(RESERVED_TOKENS) :].mean())


def read_word_vectors(path: str | os.PathLike, *, limit: int | None = None) -> "KeyedVectors":
    """Reads a file of word vectors.

    Args:
        path: the file.
        limit: read this many words at most; files have the frequent ones first, and a file of
            millions takes gigabytes of memory.

    Returns:
        gensim's ``KeyedVectors``; the first of several vectors of one word counts.

    Raises:
        InputError: gensim or the file is missing, or the file holds no vectors or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: name a file of word vectors")
    gensim = _gensim()
    try:
        with gensim.utils.open(str(path), "rb") as file:
            layout = _layout(file, path)
        vectors = gensim.models.KeyedVectors.load_word2vec_format(
            str(path),
            limit=limit,
            unicode_errors="replace",  # word2vec cuts long words, between the bytes of a letter too
            **layout,
        )
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        remedy = "give a limit" if isinstance(error, MemoryError) else "get the file again"
        raise InputError(
            f"{path}: cannot be read as word vectors ({reason_of(error)}): {remedy}"
        ) from error
    if not len(vectors):
        raise InputError(f"{path}: holds no vectors: name another file")
    return vectors


def word_vector_rows(
    tokenizer: Any,
    vectors: "KeyedVectors | str | os.PathLike",
    *,
    continuations: bool = False,
    standard_deviation: float | None = None,
    seed: int = 1,
) -> WordVectorRows:
    """Vectors for the vocabulary of a tokenizer.

    A piece that starts a word gets the vector of the word spelled as it is; failing that, in lower
    case, with a capital, or in upper case. A piece that continues a word (``##ing`` of WordPiece;
    without ``▁`` in SentencePiece) is no word, even where one is spelled like it. Vectors that were
    trained on such pieces are told by their marks, and then every piece gets its own. Tokens
    without a vector get one drawn from a normal distribution with the mean and standard deviation
    that the found ones have in each dimension.

    Args:
        tokenizer: offers `lookup` and `get_vocab_size`.
        vectors: from `read_word_vectors`, or a file to read.
        continuations: give pieces that continue a word the vector of the word spelled alike.
        standard_deviation: multiply all by the one factor that gives the found vectors this
            standard deviation; the `Transformer` starts well with ``d_model ** -0.5``, which
            leaves its positions their say. As they are unless given.
        seed: of what is drawn.

    Raises:
        InputError: as `read_word_vectors`, or not one token has a vector.
    """
    origin = "the word vectors"
    if isinstance(vectors, str | os.PathLike):
        origin, vectors = f"{Path(vectors)}", read_word_vectors(vectors)
    tokens = _tokens(tokenizer)
    is_sentencepiece = isinstance(tokenizer, SentencePieceTokenizer | MarianTokenizer)
    mark = WORD_START if is_sentencepiece else CONTINUATION
    places = vectors.key_to_index
    rows = [
        next((places[key] for key in keys if key in places), -1)
        for keys in _spellings(tokens, mark, places, continuations)
    ]
    found = np.array(rows) >= 0
    if not found.any():
        raise InputError(
            f"{origin}: not one of the {len(tokens):,} tokens has a vector: give vectors of the "
            "vocabulary's language and in its writing"
        )
    known = vectors.vectors[np.array(rows)[found]].astype(np.float32)
    axis = 0 if len(known) > 1 else None  # one vector has no spread but that among its numbers
    matrix = np.random.default_rng(seed).normal(
        known.mean(axis), known.std(axis), (len(tokens), known.shape[1])
    )
    matrix[found] = known
    matrix[PAD] = 0
    if standard_deviation is not None:
        matrix *= standard_deviation / known.std()
    return WordVectorRows(matrix.astype(np.float32), found)


def _gensim():
    try:
        import gensim.models  # takes a second, and few ask for it
        import gensim.utils
    except ImportError as error:
        raise InputError(
            f'gensim cannot be imported ({error}): pip install "keras_transformer[word_vectors]"'
        ) from error
    return gensim


def _layout(file, path: Path) -> dict[str, bool]:
    """What gensim must be told about a file, by its first two lines."""
    first = file.readline(_LONGEST_LINE)
    if first.startswith(_FASTTEXT_MODEL):
        raise InputError(
            f"{path}: is a whole model of fastText: give the .vec file that comes with it"
        )
    if _SIZES.fullmatch(first):
        binary = not _is_word_and_numbers(file.readline(_LONGEST_LINE))
        _check_sizes(*map(int, first.split()), path, binary)
        return {"binary": binary}
    if _is_word_and_numbers(first):
        return {"binary": False, "no_header": True}
    raise InputError(
        f"{path}: holds no word vectors: give a file in word2vec's format, text or binary, or a "
        ".vec of fastText"
    )


def _check_sizes(words: int, width: int, path: Path, binary: bool):
    """Refuses a first line that promises more than a file can hold: room is made for all of it."""
    least = words * width * (4 if binary else len(b" 0"))
    room = path.stat().st_size * (_MOST_PACKED if path.suffix in (".gz", ".bz2") else 1)
    if least > room:
        raise InputError(
            f"{path}: is damaged or cut short: its first line promises {words:,} words of "
            f"{width:,} numbers; get the file again"
        )


def _is_word_and_numbers(line: bytes) -> bool:
    _, *numbers = line.decode("utf-8", "replace").rstrip().split(" ")
    try:
        return bool([float(number) for number in numbers])
    except ValueError:
        return False


def _tokens(tokenizer: Any) -> list[str]:
    size = int(tokenizer.get_vocab_size())
    pieces = tokenizer.lookup(tf.range(size, dtype=tf.int64)[tf.newaxis])
    return [piece.decode("utf-8", "replace") for piece in pieces[0].numpy()]


def _spellings(
    tokens: Sequence[str], mark: str, known: dict[str, int], continuations: bool
) -> Iterator[Sequence[str]]:
    """For each token the keys to look for, the best first."""
    marked = [token for token in tokens if token.startswith(mark) and token != mark]
    # Not a single one decides: files of words have the like of "##th", with # for any digit.
    of_pieces = sum(token in known for token in marked) > len(marked) / 2
    for number, token in enumerate(tokens):
        word = token.removeprefix(mark)
        starts_word = (word != token) == (mark == WORD_START)
        if number < len(RESERVED_TOKENS):
            yield ()
        elif of_pieces:
            yield (token,)
        elif word and (starts_word or continuations):
            yield word, word.lower(), word.capitalize(), word.upper()
        else:
            yield ()
