"""Holding texts out of training by a hash of them, the same ones on every machine."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import TypeVar

import numpy as np

from keras_transformer.unicode import utf8

T = TypeVar("T")

HELD_OUT_SHARE = 0.02
HELD_OUT_LIMIT = 1000


def stable_hash(text: str) -> int:
    """A 64-bit hash that is the same in every process and on every machine."""
    return int.from_bytes(_digest(text), "big")


def hold_out(
    examples: Sequence[T], text_of: Callable[[T], str] = itemgetter(0)
) -> tuple[list[T], list[T]]:
    """Splits a small validation part off the training examples, the same one every time.

    All examples of one text (compared without regard to case and spacing) stay together, so no
    held-out text is seen in training.

    Args:
        examples: all of them, such as pairs.
        text_of: gives the text of an example; by default its first item, a pair's source.

    Returns:
        Training examples and held-out ones, each in the given order. 2 % and at most 1,000 are held
        out, at least one where there are two texts.
    """
    held = set(held_out_rows(key_hashes(map(text_of, examples))).tolist())
    train = [example for i, example in enumerate(examples) if i not in held]
    return train, [example for i, example in enumerate(examples) if i in held]


def key_hashes(texts: Iterable[str]) -> np.ndarray:
    """Hashes of texts, uint64, that are equal for those that differ in case and spacing alone."""
    keys = (" ".join(text.casefold().split()) for text in texts)
    return np.frombuffer(b"".join(map(_digest, keys)), ">u8").astype(np.uint64)


def held_out_rows(hashes: np.ndarray) -> np.ndarray:
    """Which examples `hold_out` holds out.

    Args:
        hashes: `key_hashes` of the texts of all examples. Among ten million texts two that differ
            have the same with a probability of 3 in a million; they stay together then.

    Returns:
        their numbers, sorted.
    """
    wanted = min(HELD_OUT_LIMIT, max(1, int(len(hashes) * HELD_OUT_SHARE)))
    ordered = np.sort(hashes)
    held, number, start = [], 0, 0
    has_several = len(ordered) > 0 and ordered[0] != ordered[-1]
    while has_several and number < wanted and start < len(ordered):
        end = int(np.searchsorted(ordered, ordered[start], side="right"))
        if number + end - start <= wanted:
            held.append(ordered[start])
            number += end - start
        start = end
    rows = [np.zeros(0, np.int64)]
    for first in range(0, len(hashes), 2**20):  # a part at a time takes little memory
        rows.append(np.flatnonzero(np.isin(hashes[first : first + 2**20], held)) + first)
    return np.concatenate(rows)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(utf8(text), digest_size=8).digest()
