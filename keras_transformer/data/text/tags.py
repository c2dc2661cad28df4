"""Tags before a source, such as `<2en>`: the language to translate to, a domain, where pairs are
from. A tokenizer has an id for each; a text has up to `MOST_TAGS` of them before its first word.

Source: Johnson et al. (2017), arXiv 1611.04558.
"""

import re
from collections.abc import Sequence

import tensorflow as tf

from keras_transformer.errors import InputError

MOST_TAGS = 4
"""Most tags that stand before a text."""

MARK = r"\[<[^\s<>]+>\]"
"""Names of the ids of tags."""

_TAG = re.compile(r"<[^\s<>]{1,40}>")
_LANGUAGE = re.compile(r"<2([^\s<>]+)>")


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags, without those that are there twice.

    Raises:
        InputError: for what is no tag.
    """
    for tag in tags:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise InputError(
                f"{tag!r:.60} is no tag: write up to 40 characters without a space between < and "
                ">, such as <2en>"
            )
    return tuple(dict.fromkeys(tags))


def marks_of(tags: Sequence[str]) -> tuple[str, ...]:
    """Names of the ids of tags."""
    return tuple(f"[{tag}]" for tag in tags)


def language_tag(code: str) -> str:
    """The tag before what is translated to a language: `<2en>`."""
    return f"<2{code}>"


def languages_of_tags(tags: Sequence[str]) -> list[str]:
    """Codes of the languages that tags name, in their order."""
    return [found[1] for tag in tags if (found := _LANGUAGE.fullmatch(tag))]


def take_tags(texts: tf.Tensor, tags: Sequence[str]) -> tuple[tf.Tensor, tf.RaggedTensor]:
    """Takes the tags off the beginning of texts.

    Args:
        texts: strings `(batch,)`.
        tags: those that count; another is text.

    Returns:
        the texts without tags and the space after them; numbers of their tags, from 0, int64
        `(batch, None)`.
    """
    if not tags:
        nothing = tf.zeros([0], tf.int64)
        lengths = tf.zeros([tf.size(texts)], tf.int64)
        return texts, tf.RaggedTensor.from_row_lengths(nothing, lengths, validate=False)
    one = _one_of(tags)
    run = rf"(?:\s*(?:{one})){{1,{MOST_TAGS}}}"
    has_tags = tf.strings.regex_full_match(texts, rf"(?s){run}.*")
    first = tf.strings.regex_replace(texts, rf"(?s)^({run}).*", r"\1")
    words = tf.strings.split(
        tf.strings.regex_replace(tf.where(has_tags, first, ""), f"({one})", r" \1 ")
    )
    is_one = words.flat_values[:, tf.newaxis] == tf.constant(list(tags))
    numbers = words.with_flat_values(tf.argmax(tf.cast(is_one, tf.int32), axis=1))
    return tf.strings.regex_replace(texts, rf"^{run} ?", ""), numbers


def without_tags(pairs: tf.data.Dataset, tags: Sequence[str]) -> tf.data.Dataset:
    """Pairs whose sources have no tags, of a dataset of ``(source, target)`` scalar strings."""
    if not tags:
        return pairs
    return pairs.map(lambda source, target: (take_tags(source[tf.newaxis], tags)[0][0], target))


def has_language_tag(texts: tf.Tensor, tags: Sequence[str]) -> tf.Tensor:
    """Which texts begin with a tag that names a language, bool of their shape.

    Args:
        texts: strings `(batch,)`.
        tags: those that count.
    """
    named = _one_of([tag for tag in tags if _LANGUAGE.fullmatch(tag)])
    before = rf"(?:\s*(?:{_one_of(tags)})){{0,{MOST_TAGS - 1}}}"
    return tf.strings.regex_full_match(texts, rf"(?s){before}\s*(?:{named}).*")


def _one_of(tags: Sequence[str]) -> str:
    return "|".join(map(re.escape, tags))
