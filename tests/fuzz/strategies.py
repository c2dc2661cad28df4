"""Bad input of every kind, and what every answer to it must be.

The law of this folder: whatever comes in is answered with a result or with one clear error, an
`InputError` of one line; never with another exception, another text's result, or nothing.
"""

import json
import math
import os

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from keras_transformer.errors import InputError

TIMES = int(os.environ.get("KERAS_TRANSFORMER_FUZZ_TIMES", "1"))
"""Factor on the examples of every test."""

WORDS = [
    "sol",
    "mar",
    "lua",
    "rio",
    "flor",
    "luz",
    "vale",
    "noite",
    "casa",
    "gato",
    "pedra",
    "vento",
]


def known_lines(count):
    """Lines of the words that the models know, always the same."""
    random = np.random.default_rng(1)
    return [
        " ".join(random.choice(WORDS, random.integers(1, 7), replace=False)) for _ in range(count)
    ]


"""The words that the models of this folder know."""

HALVES = [chr(0xD83D), chr(0xDE00), chr(0xDCFF)]
"""Halves of surrogate pairs, which have no UTF-8."""

HOSTILE = [
    "",
    " ",
    "\t\u00a0\u3000",
    "\0",
    "sol\0mar",
    "\r\n",
    "sol\nmar",
    "\x1b[31msol\x1b[0m",
    "\u202esol\u202c \u2066mar\u2069",
    "\u200b\u200e\ufeff",
    "e\u0301" * 40,
    "🙂👩‍👩‍👧‍👦🇵🇹",
    "日本語のテキスト。العربية",
    "[START] [END] [PAD] [UNK] [MASK] <|endoftext|> </s> <pad>",
    ">>pt<< sol",
    "▁sol ##mar",
    "-- --help",
    "%s {0} $(id) `id` \\",
    "' OR ''='",
    *(f"sol {half} mar" for half in HALVES),
    HALVES[0] + HALVES[1],
    "sol " * 200,
    "x" * 3000,
    "." * 500,
]
"""Texts that have broken programs before."""

_characters = st.characters(exclude_categories=())  # halves of surrogate pairs included

known_texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5, unique=True).map(" ".join)
"""Texts that the models of this folder copy."""

texts = st.one_of(
    known_texts,
    st.sampled_from(HOSTILE),
    st.text(_characters, max_size=30),
    st.lists(st.sampled_from([*WORDS, *HOSTILE[:24]]), max_size=6).map(" ".join),
)
"""Any text at all."""

whole_numbers = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**31 - 1, 2**31, -(2**31) - 1, 2**32, 2**63, 2**64, 10**30, -(10**30)]),
)

numbers = st.one_of(
    whole_numbers,
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-320, 1e308, 0.5, 1.5]),
)

scalars = st.one_of(
    st.none(), st.booleans(), numbers, st.sampled_from(["", "1", "nan", "none", "x" * 200]), texts
)

json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
"""What JSON and YAML can say, and numbers that they cannot."""

no_texts = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.lists(texts, max_size=2),
    st.dictionaries(st.just("text"), texts, max_size=1),
    st.sets(st.just("sol"), max_size=1),
    st.just(object()),
)


def examples(count: int, **more) -> settings:
    """Settings for about `count` examples, the same ones each time."""
    return settings(max_examples=count * TIMES, **more)


def error_of(problem) -> str:
    """The message of an error, which must be one line that says something."""
    message = str(problem)
    assert message.strip(), repr(problem)
    assert len(message.splitlines()) == 1, message
    assert len(message) < 2000, message
    return message


def result_or_error(call, *arguments, **options):
    """What a call gives, or ``None`` where it raises one clear `InputError`."""
    try:
        return call(*arguments, **options)
    except InputError as problem:
        error_of(problem)
        return None


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """A file's content as it comes out of a bad disk, a broken copy or another program."""
    kind = draw(st.sampled_from(["cut", "flipped", "overwritten", "inserted", "other"]))
    place = draw(st.integers(0, max(len(content) - 1, 0)))
    if kind == "cut":
        return content[:place]
    if kind == "flipped":
        changed = bytearray(content)
        for at in draw(st.lists(st.integers(0, max(len(content) - 1, 0)), min_size=1, max_size=8)):
            if changed:
                changed[at] ^= draw(st.integers(1, 255))
        return bytes(changed)
    noise = draw(st.binary(min_size=1, max_size=40))
    if kind == "overwritten":
        return content[:place] + noise + content[place + len(noise) :]
    if kind == "inserted":
        return content[:place] + noise + content[place:]
    return noise


def places_of(content, path=()):
    """Paths of all values of a JSON document, the document itself first."""
    yield path
    items = content.items() if isinstance(content, dict) else ()
    if isinstance(content, list):
        items = enumerate(content[:5])
    for key, value in items:
        yield from places_of(value, (*path, key))


def replaced(content, path, value):
    """A JSON document with another value at a path; without it where `value` is `ABSENT`."""
    if not path:
        return None if value is ABSENT else value
    content = json.loads(json.dumps(content))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if value is ABSENT:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


ABSENT = object()


@st.composite
def changed_json(draw, content):
    """A JSON document with one value replaced by another, or left out."""
    path = draw(st.sampled_from(list(places_of(content))))
    value = draw(st.one_of(st.just(ABSENT), json_values))
    return replaced(content, path, value)
