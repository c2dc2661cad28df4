"""What a corpus is: pairs of sentences in up to three parts, and facts about them."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_transformer.data.text.normalization import normalize
from keras_transformer.errors import InputError
from keras_transformer.unicode import utf8

Pair = tuple[str, str]

UNKNOWN_LANGUAGE = "unknown"
"""What stands for the code of a language that nobody has named."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Corpus:
    """Sentence pairs to train and score on. A part that the corpus lacks is None.

    Parts are datasets of `(source, target)` scalar strings with a known cardinality.
    """

    name: str
    train: tf.data.Dataset | None = None
    validation: tf.data.Dataset | None = None
    test: tf.data.Dataset | None = None
    source_language: str = "pt"
    target_language: str = "en"
    normalization: str = "ptb-lower"  # how to normalise text: "ptb-lower" | "none"
    licence: str = ""  # licence and attribution of the texts
    remedy: str = "choose another part or corpus"  # what to do about a part that is missing
    train_files: str = ""  # names, sizes and times of the files that `train` is read from, if any
    tags: tuple[str, ...] = ()  # what sources begin with, such as "<2en>"; of mixtures
    notes: tuple[str, ...] = ()  # what was done to the training pairs, a line each

    def require(self, split: str) -> tf.data.Dataset:
        """The pairs of one part: `"train"`, `"validation"` or `"test"`.

        Raises:
            InputError: when there is no such part; the message says what to do.
        """
        if split not in SPLITS:
            raise InputError(f"no split is named {split!r}: choose one of {', '.join(SPLITS)}")
        dataset = getattr(self, split)
        if dataset is None:
            raise InputError(f"corpus {self.name!r} has no {split} pairs here: {self.remedy}")
        return dataset

    @classmethod
    def from_pairs(cls, name: str, parts: Mapping[str, Sequence[Pair]], **fields: str) -> "Corpus":
        """Makes a corpus of lists of pairs.

        Args:
            name: of the corpus.
            parts: pairs by `"train"`, `"validation"` and `"test"`; an empty part counts as missing.
            **fields: the languages, the normalisation and so on.
        """
        return cls(name, **{split: dataset_of(pairs) for split, pairs in parts.items()}, **fields)


def dataset_of(pairs: Sequence[Pair]) -> tf.data.Dataset | None:
    """Turns pairs into a dataset of `(source, target)` scalar strings; None when there are none."""
    if not pairs:
        return None
    # Through arrays of bytes: several times faster than handing lists of str to TensorFlow.
    columns = tuple(
        tf.constant(np.array([utf8(text) for text in column], dtype=object))
        for column in zip(*pairs, strict=True)
    )
    return tf.data.Dataset.from_tensor_slices(columns)


def pairs_of(dataset: tf.data.Dataset) -> Iterator[Pair]:
    """The `(source, target)` pairs of a dataset as str; U+FFFD stands for what is no UTF-8."""
    for source, target in dataset.as_numpy_iterator():
        yield source.decode("utf-8", "replace"), target.decode("utf-8", "replace")


def list_pairs(pairs: tf.data.Dataset | Iterable[Pair]) -> list[Pair]:
    """Lists `(source, target)` pairs of str, in order, of a dataset or of any iterable.

    Raises:
        InputError: for what holds no pairs of texts.
    """
    if isinstance(pairs, tf.data.Dataset):
        return list(pairs_of(pairs))
    if isinstance(pairs, Mapping) or not isinstance(pairs, Iterable):
        raise InputError(f"pairs are a list of two texts each; got {type(pairs).__name__}.")
    return [_pair(number, pair) for number, pair in enumerate(pairs, 1)]


def _pair(number: int, pair) -> Pair:
    if not isinstance(pair, str | bytes | Mapping | Set):
        with contextlib.suppress(TypeError, ValueError):  # where there are not just two
            source, target = pair
            return utf8(source).decode("utf-8", "replace"), utf8(target).decode("utf-8", "replace")
    raise InputError(f"pair {number} is not two texts, the source and the target.")


def guess_normalization(pairs: Sequence[Sequence[str]]) -> str:
    """Tells whether text is lower-cased and tokenised already, from at most 2,000 of the pairs.

    Args:
        pairs: the lines that belong together, one or two of them.

    Returns:
        `"ptb-lower"` when that normalisation changes at most one line in twenty, else `"none"`.
    """
    lines = [line for pair in pairs[:: max(1, len(pairs) // 1000)] for line in pair]
    unchanged = normalize(lines, "ptb-lower").numpy() == [utf8(line) for line in lines]
    return "ptb-lower" if np.mean(unchanged) >= 0.95 else "none"
