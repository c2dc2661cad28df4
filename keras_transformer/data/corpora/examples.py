"""A few texts of a corpus that show what a model of it can be asked."""

import tensorflow as tf

from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.data.text.casing import default_case, restore_capitals
from keras_transformer.data.text.normalization import humanize
from keras_transformer.data.text.scripts import is_unspaced
from keras_transformer.data.text.tags import take_tags

COUNT = 5
SHORTEST, LONGEST = 4, 15
"""How many words an example has."""

_READ = 2000  # pairs of the beginning
_MOST_CHARACTERS = 200
_CHARACTERS_A_WORD = 2  # in scripts without spaces


def choose_examples(corpus: Corpus) -> list[str]:
    """Chooses source texts of the validation pairs, in human style, the shortest first.

    They are single lines of 4 to 15 words, of lengths as different as there are, and from different
    places of the corpus. The same corpus gives the same ones.

    Returns:
        `COUNT` texts, or fewer where the corpus has no more.
    """
    pairs = corpus.require("validation").take(_READ)
    sources = [source for source, _ in pairs.as_numpy_iterator()]
    by_length: dict[int, list[str]] = {}
    for text in dict.fromkeys(_human(corpus, sources)):
        if SHORTEST <= (length := _words(text)) <= LONGEST and _is_plain(text):
            by_length.setdefault(length, []).append(text)
    lengths = sorted(by_length)
    chosen: list[str] = []
    for i in range(COUNT if lengths else 0):
        texts = by_length[lengths[round(i * (len(lengths) - 1) / (COUNT - 1))]]
        if texts:
            chosen.append(texts.pop(len(texts) * i // COUNT))
    return sorted(chosen, key=_words)


def _human(corpus: Corpus, sources: list[bytes]) -> list[str]:
    """Texts of a corpus as people write them, with their tags."""
    language = corpus.source_language
    given = tf.constant(sources, tf.string)
    texts, _ = take_tags(given, corpus.tags)
    sizes = tf.strings.length(given) - tf.strings.length(texts)
    tags = tf.strings.substr(given, tf.zeros_like(sizes), sizes)
    texts = humanize(texts, corpus.normalization, language)
    if default_case(corpus.normalization) == "lower":
        texts = restore_capitals(texts, language)
    texts = tags + texts
    return [text.decode("utf-8", "replace").strip() for text in texts.numpy()]


def _words(text: str) -> int:
    return len(text) // _CHARACTERS_A_WORD if is_unspaced(text) else len(text.split())


def _is_plain(text: str) -> bool:
    """Whether a text is one short line without damage."""
    is_line = len(text.splitlines()) == 1
    return is_line and len(text) <= _MOST_CHARACTERS and "\ufffd" not in text
