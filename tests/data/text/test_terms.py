"""Terms in texts: nothing is lost, the longest counts, and pairs teach what glossaries will ask."""

import re

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.data.text.placeholders import KEPT, MaskedPair
from keras_transformer.data.text.terms import (
    AS,
    SIGNS,
    TERM,
    TERM_END,
    annotate,
    annotate_pair,
    lacks_terms,
)
from keras_transformer.data.text.words import word_spans

ANNOTATION = re.compile(rf" {TERM} (.*?) {AS} .*? {TERM_END} ", re.DOTALL)

ANNOTATE = tf.function(
    annotate, input_signature=[tf.TensorSpec([None], tf.string)] * 3, autograph=False
)

GLOSSARY = {
    "gato": "tomcat",
    "gato preto": "black tomcat",
    "preto velho": "old one",
    "e-mail": "message",
    "C++": "cplusplus",
    "São Paulo": "St. Paul",
    "中文": "Chinese",
    "...": "nothing",
    "": "nothing",
}


def annotated(texts, glossary=GLOSSARY):
    columns = [tf.constant(list(side), tf.string) for side in (glossary, glossary.values())]
    found = ANNOTATE(tf.constant(texts, tf.string), *columns)
    terms = [[term.decode() for term in row] for row in found.terms.to_list()]
    return [text.decode() for text in found.texts.numpy()], terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("O gato dorme.", ["tomcat"]),
        ("GATO, Gato e gatos", ["tomcat", "tomcat"]),
        ("o gato preto velho", ["black tomcat"]),  # the first of those that overlap
        ("o preto velho gato", ["old one", "tomcat"]),
        ("gato gato preto", ["tomcat", "black tomcat"]),
        ("gato\u00a0\n preto", ["black tomcat"]),
        ("gato-preto", ["tomcat"]),
        ("um E-Mail em c++.", ["message", "cplusplus"]),
        ("em sa\u0303o paulo", ["St. Paul"]),  # composed or not
        ("我的中文好", ["Chinese"]),
        ("nada ...", ["nothing"]),
        ("regato gatopreto", []),
        ("", []),
    ],
)
def test_what_is_found(text, terms):
    texts, found = annotated(["x", text])
    assert found == [[], terms]
    assert ANNOTATION.sub(r"\1", texts[1]) == text
    assert len(ANNOTATION.findall(texts[1])) == len(terms)


def test_the_first_of_equal_terms_counts():
    columns = [tf.constant(side) for side in (["Gato", "gato"], ["one", "two"])]
    assert annotate(tf.constant(["o gato"]), *columns).terms.to_list() == [[b"one"]]


def test_no_glossary_changes_nothing():
    texts, terms = annotated(["o gato", ""], {})
    assert (texts, terms) == (["o gato", ""], [[], []])


WORDS = st.sampled_from(["a", "b", "B", "ç", "中", "1", "-", ".", " ", "  ", "\0", "\n", "ﬁ", "😀"])
STRINGS = st.lists(WORDS, max_size=12).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(STRINGS, max_size=4), st.lists(STRINGS, max_size=5))
def test_nothing_is_lost_or_doubled(texts, terms):
    """And what is found is what a search in Python finds."""
    glossary = {term: f"t{i}" for i, term in enumerate(terms)}
    found, translations = annotated(texts, glossary)
    assert [ANNOTATION.sub(r"\1", text) for text in found] == texts
    for text, of_text in zip(texts, translations, strict=True):
        assert of_text == found_in_python(text, glossary)


def found_in_python(text, glossary):
    def words(string):
        folded = [word.replace("ﬁ", "fi").lower() for word in WORD.findall(string)]
        return tuple(folded)

    entries: dict[tuple, str] = {}
    for term, translation in glossary.items():
        if words(term):
            entries.setdefault(words(term), translation)
    has, place, result = words(text), 0, []
    while place < len(has):
        fits = [term for term in entries if has[place : place + len(term)] == term]
        if fits:
            result.append(entries[max(fits, key=len)])
        place += len(max(fits, key=len)) if fits else 1
    return result


WORD = re.compile(r"中|[abBçﬁ1]+|[^\s\0]")


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("The black tomcat sleeps.", ["Black Tomcat"], True),
        ("The tomcats sleep.", ["tomcat"], True),
        ("Queries are saved", ["query", "save"], True),
        ("The cataloguing", ["catalog"], False),
        ("concatenate", ["cat"], False),
        ("cats", ["cat"], False),  # short words have no other endings
        ("a cat", ["cat", "dog"], False),
        ("C++ (new)", ["c++", "(NEW)"], True),
        ("black  \n tomcat", ["black tomcat"], True),
        ("anything", [], True),
        ("", ["x"], False),
        ("a.b", ["a*b"], False),
    ],
)
def test_whether_a_text_has_terms(text, terms, expected):
    ragged = tf.ragged.constant([[], terms], dtype=tf.string)
    first, second = lacks_terms(tf.constant(["", text]), ragged).to_list()
    assert (first, not any(second)) == ([], expected)


PAIR = MaskedPair(
    "O gato preto dorme na casa grande.", "The black cat sleeps in the Big House.", [], []
)
LINKS = [(0, 0), (1, 2), (2, 1), (3, 3), (4, 4), (4, 5), (5, 7), (6, 6)]


def test_pairs_are_annotated_with_what_is_linked_to_them():
    seen, alone = set(), 0
    for seed in range(400):
        changed = annotate_pair(PAIR, LINKS, 1.0, b"%d" % seed)
        assert (changed.source, changed.target) == (PAIR.source, PAIR.target)
        terms = re.findall(rf" {TERM} (.*?) {AS} (.*?) {TERM_END} ", changed.annotated)
        seen.update(term for term in terms if term[0])
        if not any(source == "" for source, _ in terms):
            written = re.sub(rf" {TERM} (.*?) {AS} .*? {TERM_END} ", r"\1", changed.annotated)
            assert written == PAIR.source
        else:
            alone += 1
    assert 100 < alone < 350  # in some there is the translation only
    assert ("gato", "cat") in seen
    assert ("gato preto", "black cat") in seen
    assert {("casa", "House"), ("casa", "house")} <= seen  # as glossaries write it, too
    assert ("casa grande", "Big House") in seen  # without its stop
    for source, target in seen:
        of_source = {
            i for i, word in enumerate(PAIR.source.split()) if word.strip(".") in source.split()
        }
        linked = {j for i, j in LINKS if i in of_source}
        spans = word_spans(PAIR.target)
        text = PAIR.target[spans[min(linked)][0] : spans[max(linked)][1]].strip(".")
        assert target.lower() == text.lower()


def test_a_share_of_the_pairs_is_annotated():
    changed = [annotate_pair(PAIR, LINKS, 0.3, b"%d" % i).annotated is not None for i in range(400)]
    assert 90 < sum(changed) < 150
    again = [annotate_pair(PAIR, LINKS, 0.3, b"%d" % i).annotated is not None for i in range(400)]
    assert again == changed
    assert annotate_pair(PAIR, [], 1.0, b"").annotated == PAIR.source


def test_placeholders_are_no_terms():
    pair = MaskedPair(f"O {KEPT} dorme", f"The {KEPT} sleeps", [0], [0], ["x"], ["x"])
    for seed in range(50):
        text = annotate_pair(pair, [(1, 1), (0, 0)], 1.0, b"%d" % seed).annotated
        assert not re.search(rf"{TERM}[^{''.join(SIGNS)}]*{KEPT}", text)
