"""Token ids of a corpus: made once, and kept in a file."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.data.arrays import read_arrays, write_arrays
from keras_transformer.data.batches.base import starts_of
from keras_transformer.data.text.strings import string_tensor
from keras_transformer.data.tokenizers.masked import (
    AS_THEY_ARE,
    tokenize_aligned_pair,
    tokenize_pair,
)
from keras_transformer.errors import InputError
from keras_transformer.files import read_json, write_json

TEXTS_AT_ONCE = 2048
"""Number of texts that are tokenised in one call."""


@dataclass(frozen=True)
class TokenizedPairs:
    """Token ids of a corpus in flat arrays, with the places where each pair begins.

    Attributes:
        source: int32, all source ids one after the other.
        source_starts: int64 ``(pairs + 1,)``.
        target: int32, all target ids, start and end included.
        target_starts: int64 ``(pairs + 1,)``.
        dropped: number of pairs left out because they were too long.
        stretches: int32 ``(target tokens, 2)``, the first and the last source token of its pair
            that each target token is linked to, from 1, or 0; ``None`` for pairs without
            alignments.
    """

    source: np.ndarray
    source_starts: np.ndarray
    target: np.ndarray
    target_starts: np.ndarray
    dropped: int = 0
    stretches: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.source_starts) - 1

    def lengths(self) -> np.ndarray:
        """Length of the longer side of each pair: the source, or the target less one.

        The decoder reads the target without its end and predicts it without its start.
        """
        return np.maximum(np.diff(self.source_starts), np.diff(self.target_starts) - 1)

    @property
    def longest(self) -> int:
        """The largest of `lengths`."""
        return int(self.lengths().max(initial=0))

    def target_tokens(self) -> int:
        """Number of tokens that one epoch predicts."""
        return len(self.target) - len(self)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `TokenizedPairs` is made of, ready for ``np.savez``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: np.asarray(value) for name, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays) -> "TokenizedPairs":
        """The inverse of `arrays`."""
        names = [field.name for field in fields(cls)]
        values = {name: arrays[name] for name in names if name != "stretches" or name in arrays}
        return cls(**{**values, "dropped": int(values["dropped"])})


class Chunk(NamedTuple):
    """Token ids of some pairs.

    Attributes:
        ids: of source and target, int32, those of all pairs one after the other.
        lengths: of source and target, int64 ``(pairs,)``.
        dropped: number of pairs that were too long.
        stretches: as in `TokenizedPairs`, of pairs with alignments.
    """

    ids: tuple[np.ndarray, np.ndarray]
    lengths: tuple[np.ndarray, np.ndarray]
    dropped: int
    stretches: np.ndarray | None = None


def tokenize_chunk(
    tokenizers, texts, max_tokens=None, options=AS_THEY_ARE, links=None, where=None
) -> Chunk:
    """Tokenises some pairs.

    Args:
        tokenizers, max_tokens, options: as for `tokenize_pairs`.
        texts: sources and targets, each as strings ``(pairs,)`` or a list of them.
        links: of the words of each pair, where there are alignments.
        where: what an error about each pair begins with.
    """
    source, target = (tf.convert_to_tensor(side, tf.string) for side in texts)
    of_tokens = None
    if links is None:
        ragged = tokenize_pair(tokenizers, source, target, options)
    else:
        *ragged, of_tokens = tokenize_aligned_pair(
            tokenizers, source, target, links, options, where
        )
    ids = [side.flat_values.numpy().astype(np.int32) for side in ragged]
    lengths = [side.row_lengths().numpy() for side in ragged]
    keep = np.ones(len(lengths[0]), bool)
    if max_tokens is not None:
        keep = np.maximum(*lengths) <= max_tokens
    if not keep.all():
        of_kept = [np.repeat(keep, side) for side in lengths]
        ids = [side[kept] for side, kept in zip(ids, of_kept, strict=True)]
        lengths = [side[keep] for side in lengths]
        of_tokens = None if of_tokens is None else of_tokens[of_kept[1]]
    return Chunk(tuple(ids), tuple(lengths), int(np.count_nonzero(~keep)), of_tokens)


def tokenize_pairs(
    dataset, tokenizers, max_tokens=None, options=AS_THEY_ARE, alignments=None
) -> TokenizedPairs:
    """Tokenises the pairs of a corpus.

    Args:
        dataset: `tf.data.Dataset` of ``(source, target)`` scalar strings.
        tokenizers: an object with ``.source`` and ``.target``.
        max_tokens: pairs with a side of more tokens, start and end included, are left out and
            counted.
        options: what becomes of the pairs on the way.
        alignments: `Alignments` of their words.

    Raises:
        InputError: when nothing is left, and for alignments of other pairs.
    """
    chunks, done, links = [], 0, iter(alignments or ())
    for texts in dataset.batch(TEXTS_AT_ONCE).prefetch(1):
        of_chunk = where = None
        if alignments is not None:
            size = len(texts[0])
            where = [f"{alignments.path}, line {done + i + 1}" for i in range(size)]
            of_chunk = list(itertools.islice(links, size))
            done += size
        chunks.append(tokenize_chunk(tokenizers, texts, max_tokens, options, of_chunk, where))
    dropped = sum(chunk.dropped for chunk in chunks)
    if not any(len(chunk.lengths[0]) for chunk in chunks):
        limit = f" of at most {max_tokens} tokens a side" if dropped else ""
        raise InputError(f"The corpus holds no pair{limit}: there is nothing to make batches of.")
    ids, lengths = (
        [np.concatenate([getattr(chunk, name)[side] for chunk in chunks]) for side in (0, 1)]
        for name in ("ids", "lengths")
    )
    (source, target), (source_starts, target_starts) = ids, map(starts_of, lengths)
    stretches = None
    if alignments is not None:
        stretches = np.concatenate([chunk.stretches for chunk in chunks])
    return TokenizedPairs(source, source_starts, target, target_starts, dropped, stretches)


def tokenized_chunks(texts: Iterable, tokenizer) -> Iterator[tf.RaggedTensor]:
    """Tokenises texts, `TEXTS_AT_ONCE` at a time.

    Args:
        texts: strings, or a `tf.data.Dataset` of scalar strings.
        tokenizer: of one language.

    Yields:
        ids, ``(texts, None)``.

    Raises:
        InputError: for a single string.
    """
    if isinstance(texts, str | bytes):
        raise InputError("A corpus is several texts; got one: put it in a list.")
    texts = texts.as_numpy_iterator() if isinstance(texts, tf.data.Dataset) else iter(texts)
    while chunk := list(itertools.islice(texts, TEXTS_AT_ONCE)):
        yield tokenizer.tokenize(string_tensor(chunk))


def corpus_key(dataset, tokenizer_folder, max_tokens, options=AS_THEY_ARE, alignments=None) -> str:
    """A hexadecimal hash of all that the token ids of a corpus depend on.

    Args:
        dataset, max_tokens, options, alignments: as for `tokenize_pairs`.
        tokenizer_folder: where the tokenizers are saved.
    """
    digest = _settings_digest(tokenizer_folder, max_tokens, options, alignments)
    for sides in dataset.batch(4096).as_numpy_iterator():
        for strings in sides:
            digest.update(b"\0".join(strings) + b"\n\n")
    return digest.hexdigest()


def _settings_digest(tokenizer_folder, max_tokens, options, alignments):
    """A hash of what the token ids depend on besides the texts; arguments as for `corpus_key`."""
    digest = hashlib.sha256(f"{max_tokens}\n".encode())
    if options != AS_THEY_ARE:  # version 0.1 had none
        digest.update(f"{options}\n".encode())
    if alignments is not None:
        digest.update(f"{alignments.digest}\n".encode())
    for path in sorted(Path(tokenizer_folder).rglob("*")):
        if path.is_file() and not path.name.startswith("."):  # not what a killed run left
            digest.update(path.read_bytes())
    return digest


def kept_corpus_key(
    path, files: str, dataset, tokenizer_folder, max_tokens, options=AS_THEY_ARE, alignments=None
) -> str:
    """`corpus_key`, without reading a corpus whose files are those that it was made of before.

    Args:
        path: file that keeps it, with a hash of what it was made of.
        files: what tells whether the files are the same; where it is empty, the corpus is read.
        dataset, tokenizer_folder, max_tokens, options, alignments: as for `corpus_key`.
    """
    arguments = tokenizer_folder, max_tokens, options, alignments
    if not files:
        return corpus_key(dataset, *arguments)
    digest = _settings_digest(*arguments)
    digest.update(files.encode())
    made_of = digest.hexdigest()
    with suppress(InputError):  # it is made anew
        kept = read_json(path)
        if kept.get("made_of") == made_of:
            return kept["key"]
    key = corpus_key(dataset, *arguments)
    write_json(path, {"made_of": made_of, "key": key})
    return key


def cached_pairs(
    path, key, dataset, tokenizers, max_tokens, options=AS_THEY_ARE, alignments=None, write=True
) -> TokenizedPairs:
    """Reads the token ids of a corpus from a file, or tokenises it and writes the file.

    Args:
        path: the file, ``.npz``.
        key: from `corpus_key`; a file with another one is written anew, as is a damaged one.
        dataset, tokenizers, max_tokens, options, alignments: as for `tokenize_pairs`.
        write: whether to write the file.
    """
    path = Path(path)
    pairs = _read(path, key)
    if pairs is None:
        pairs = tokenize_pairs(dataset, tokenizers, max_tokens, options, alignments)
        if write:
            write_arrays(path, {**pairs.arrays(), "key": np.asarray(key)})
    return pairs


def _read(path: Path, key: str) -> TokenizedPairs | None:
    """What `cached_pairs` wrote with this key; ``None`` where it did not, or it is damaged."""
    try:
        arrays = read_arrays(path)
        return TokenizedPairs.from_arrays(arrays) if str(arrays["key"]) == key else None
    except (InputError, KeyError, TypeError, ValueError):
        return None
