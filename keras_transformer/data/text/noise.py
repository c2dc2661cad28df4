"""Pairs as careless people would have written them, so that models learn to read such text.

White space needs no noise: normalisation squeezes it.
"""

import random
import re
import unicodedata
from collections.abc import Callable

from keras_transformer.data.text.placeholders import MaskedPair

_WORD = re.compile(r"[^\W\d_]{4,}")
_FINAL_STOP = re.compile(r"\s*[.。।]\s*$")


def seed_of(seed: int, source: bytes) -> bytes:
    """What the noise of a pair follows from: the seed of a run and the source."""
    return b"%d %b" % (seed, source)


def noisy_texts(source: bytes, target: bytes, share: float, seed: int) -> tuple[str, str]:
    """A pair without placeholders, or what `noisy` makes of it.

    Args:
        source, target: UTF-8.
        share: see `noisy`.
        seed: of the run.
    """
    texts = (text.decode("utf-8", "replace") for text in (source, target))
    pair = noisy(MaskedPair(*texts, [], []), share, seed_of(seed, source))
    return pair.source, pair.target


def noisy(pair: MaskedPair, share: float, seed: bytes) -> MaskedPair:
    """A pair, or what `NOISES` make of it.

    Args:
        pair: its placeholders stay as they are.
        share: of the pairs that are changed, 0 to 1.
        seed: what the change follows from.
    """
    chance = random.Random(seed)
    if chance.random() >= share:
        return pair
    noise = NOISES[chance.choices(list(_SHARES), list(_SHARES.values()))[0]]
    source, target = noise(pair.source, pair.target, chance)
    return pair._replace(source=source, target=target)


def without_accents(text: str) -> str:
    """A text without the accents of its letters, composed."""
    parts = unicodedata.normalize("NFD", text)
    kept = "".join(part for part in parts if unicodedata.category(part) != "Mn")
    return unicodedata.normalize("NFC", kept)


def _titled(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def _mistyped(text: str, chance: random.Random) -> str:
    """A text with a letter swapped with the next one, left out or doubled in one or two words."""
    words = list(_WORD.finditer(text))
    chosen = chance.sample(words, min(len(words), chance.choice((1, 1, 2))))
    for word in sorted(chosen, key=re.Match.end, reverse=True):
        at = chance.randrange(word.start(), word.end() - 1)
        first, second = text[at], text[at + 1]
        typed = chance.choice((second + first, second, first + first + second))
        text = text[:at] + typed + text[at + 2 :]
    return text


def _without_stop(source: str, target: str) -> tuple[str, str]:
    sides = [_FINAL_STOP.sub("", side) for side in (source, target)]
    return (sides[0], sides[1]) if all(sides) else (source, target)


NOISES: dict[str, Callable[[str, str, random.Random], tuple[str, str]]] = {
    "in capitals": lambda source, target, chance: (source.upper(), target.upper()),
    "as a title": lambda source, target, chance: (_titled(source), _titled(target)),
    "without capitals": lambda source, target, chance: (source.lower(), target),
    "without accents": lambda source, target, chance: (without_accents(source), target),
    "without a stop": lambda source, target, chance: _without_stop(source, target),
    "mistyped": lambda source, target, chance: (_mistyped(source, chance), target),
}
"""What changes a source, and its target where that would look the same way."""

_SHARES = dict.fromkeys(NOISES, 1) | {"without accents": 3}
"""How often each is taken: what a word is without its accents is to be learned for each word."""
