"""Holding texts out of training by a hash of them, the same ones on every machine."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TypeVar

from keras_transformer.unicode import utf8

T = TypeVar("T")

HELD_OUT_SHARE = 0.02
HELD_OUT_LIMIT = 1000


def stable_hash(text: str) -> int:
    """A 64-bit hash that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(utf8(text), digest_size=8).digest(), "big")


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
    wanted = min(HELD_OUT_LIMIT, max(1, int(len(examples) * HELD_OUT_SHARE)))
    keys = [" ".join(text_of(example).casefold().split()) for example in examples]
    counts = Counter(keys)
    held: set[str] = set()
    number = 0
    if len(counts) > 1:
        for key in sorted(counts, key=lambda key: (stable_hash(key), key)):
            if number == wanted:
                break
            if number + counts[key] <= wanted:
                held.add(key)
                number += counts[key]
    train = [example for example, key in zip(examples, keys, strict=True) if key not in held]
    return train, [example for example, key in zip(examples, keys, strict=True) if key in held]
