"""Tags come back once, nested, around the words that they belonged to, whatever links say."""

import random
import re
from collections import Counter
from html import unescape
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.data.tokenizers.token_links import (
    NONE,
    SpanLink,
    TokenLinks,
    part_spans,
    span_links,
)
from keras_transformer.documents.html_tokens import tokens_of
from keras_transformer.documents.markup import Mark, place_marks
from keras_transformer.errors import InputError
from keras_transformer.translating.documents.markup import translate_markup
from keras_transformer.translating.documents.translate import translate_document
from keras_transformer.translating.translation import BaseTranslator, Translation

examples = settings(max_examples=150, deadline=None, database=None, derandomize=True)


class Aligning(BaseTranslator):
    """A translator of words, with links of tokens that are words.

    Args:
        function: from the words of a text to pairs of a target word and the number of its source
            word, or `NONE`.
    """

    def __init__(self, function):
        self.tokenizers = SimpleNamespace(source_language="pt", target_language="en")
        self.function = function

    def can_align(self, **options):
        return True

    def translate(self, lines, *, alignment=False, sentences=True):
        return [self.translated(line, alignment) for line in lines]

    def translated(self, line, alignment):
        words = re.findall(r"\w+|[^\w\s]", line)
        found = self.function(words)
        text = " ".join(word for word, _ in found)
        links = TokenLinks(words, [w for w, _ in found], [p for _, p in found], [1.0] * len(found))
        return Translation(text, 0.0, token_links=links if alignment else None)


def swapped(text):
    return text.swapcase()


UPPER = Aligning(lambda words: [(swapped(word), i) for i, word in enumerate(words)])
BACKWARDS = Aligning(lambda words: [(swapped(w), i) for i, w in list(enumerate(words))[::-1]])


def at_random(words):
    """Words in any order, some of them lost, some doubled, with links to anything."""
    draw = random.Random(" ".join(words))
    chosen = [draw.randrange(len(words)) for _ in range(draw.randrange(2 * len(words) + 1))]
    targets = [swapped(words[i]) if draw.random() < 0.8 else "<x>&" for i in chosen]
    return [
        (t, draw.choice([i, NONE, draw.randrange(len(words))]))
        for t, i in zip(targets, chosen, strict=True)
    ]


ANYHOW = Aligning(at_random)
WITHOUT = Aligning(lambda words: [(swapped(word), NONE) for word in words])
TRANSLATORS = {"in order": UPPER, "backwards": BACKWARDS, "anyhow": ANYHOW, "no links": WITHOUT}


def translated(name, fragments, **options):
    """Fragments by a translator of `TRANSLATORS`; they are not divided, which takes longer."""
    return translate_markup(TRANSLATORS[name], fragments, **({"sentences": False} | options))


def tags_of(text):
    tokens = tokens_of(text, is_xml=True, without_tags=("script", "style"))
    return [text[token.begin : token.stop] for token in tokens if token.kind != "text"]


def text_of(fragment):
    tokens = tokens_of(fragment, is_xml=True, without_tags=("script", "style"))
    parts = [fragment[token.begin : token.stop] for token in tokens if token.kind == "text"]
    return unescape("".join(parts))


def is_nested(fragment):
    waiting = []
    for tag in tags_of(fragment):
        if re.match(r"<\w[^>]*[^/]>$|<\w>$", tag) and not tag.startswith(("<br", "<img")):
            waiting.append(re.match(r"<(\w+)", tag)[1])
        elif tag.startswith("</") and (not waiting or waiting.pop() != tag[2:-1]):
            return False
    return not waiting


# Laws.

words = st.sampled_from(
    ["um ", "gato ", " dois ", ", ", "três! ", "Fim. ", "é ", " ", "&lt;b&gt; "]
)
alone = st.sampled_from(
    ["<br/>", "<br>", "<img src='a>b'>", "<!-- c -->", '<x id="1" />', "<a></a>"]
)
openings = st.sampled_from(
    [
        ("<b>", "</b>"),
        ('<a href="?a=1&amp;b" >', "</a>"),
        ("<span class=x>", "</span>"),
        ("<g1>", "</g1>"),
    ]
)
nested = st.recursive(
    words | alone,
    lambda inner: (
        st.lists(inner, max_size=5).map("".join)
        | st.builds(lambda tag, content: f"{tag[0]}{content}{tag[1]}", openings, inner)
    ),
    max_leaves=25,
)
anything = st.lists(
    words
    | alone
    | openings.flatmap(st.sampled_from)
    | st.sampled_from(["<", "&", "</x>", "<i>", "<li>"]),
    max_size=25,
).map("".join)


@pytest.mark.parametrize("name", TRANSLATORS)
@examples
@given(nested)
def test_every_tag_of_nested_ones_comes_back_once_and_nested(name, fragment):
    (written,) = translated(name, [fragment])
    assert Counter(tags_of(written)) == Counter(tags_of(fragment))
    assert is_nested(fragment)
    assert is_nested(written)


@pytest.mark.parametrize("name", TRANSLATORS)
@examples
@given(anything)
def test_whatever_the_tags_are_each_comes_back_once(name, fragment):
    (written,) = translated(name, [fragment])
    assert Counter(tags_of(written)) == Counter(tags_of(fragment))


@pytest.mark.parametrize("name", TRANSLATORS)
@examples
@given(anything)
def test_the_text_is_the_translation_of_the_text(name, fragment):
    (written,) = translated(name, [fragment])
    text = " ".join(text_of(fragment).split())
    (expected,) = translated(name, [text.replace("&", "&amp;").replace("<", "&lt;")])
    assert "".join(text_of(written).split()) == "".join(unescape(expected).split())


@examples
@given(nested)
def test_words_in_order_keep_their_elements(fragment):
    (written,) = translated("in order", [fragment])
    assert elements(written) == elements(fragment)


def elements(fragment):
    """The names and the letters of elements, those without letters left out."""
    found, waiting = Counter(), []
    tokens = tokens_of(fragment, is_xml=True, without_tags=("script", "style"))
    for token in tokens:
        text = fragment[token.begin : token.stop]
        if token.kind == "text":
            waiting = [(tag, letters + letters_of(text)) for tag, letters in waiting]
        elif token.kind == "start" and token.name not in ("br", "img") and text[-2] != "/":
            waiting.append((text, ""))
        elif token.kind == "end":
            found[waiting.pop()] += 1
    return Counter({one: count for one, count in found.items() if one[1]})


def letters_of(text):
    return re.sub(r"[\W_]", "", unescape(text)).lower()


def test_sentences_of_a_line_are_translated_each_for_itself():
    lines = [
        "Um <b>gato</b>. <i>Dois cães dormem.</i> Fim <br/>aqui!",
        "Um <b>gato. Dois</b> cães <i>dormem</i>.",
        "",
        "<hr>",
        "  <p>Um</p> 12 <p>dois.</p>\n",
    ]
    assert translate_markup(UPPER, lines) == [
        "uM <b>GATO</b> . <i>dOIS CÃES DORMEM .</i> fIM <br/>AQUI !",
        "uM <b>GATO . dOIS</b> CÃES <i>DORMEM</i> .",
        "",
        "<hr>",
        "  <p>uM</p> 12 <p>DOIS .</p>\n",
    ]


# Examples.


@pytest.mark.parametrize(
    ("source", "in_order", "backwards"),
    [
        ("um <b>gato</b> preto", "UM <b>GATO</b> PRETO", "PRETO <b>GATO</b> UM"),
        ("<b>um gato</b> preto", "<b>UM GATO</b> PRETO", "PRETO <b>GATO UM</b>"),
        (
            "um <b>gato <i>preto</i></b>",
            "UM <b>GATO <i>PRETO</i></b>",
            "<b><i>PRETO</i> GATO</b> UM",
        ),
        ("<b><i>um</i></b> dois", "<b><i>UM</i></b> DOIS", "DOIS <b><i>UM</i></b>"),
        # What has no text stands beside the word that it stood beside.
        ("<a></a>um dois", "<a></a>UM DOIS", "<a></a>DOIS UM"),
        ("um<br/> dois", "UM<br/> DOIS", "DOIS UM<br/>"),
        ("um <img> dois três", "UM <img>DOIS TRÊS", "TRÊS <img>DOIS UM"),
        ("um <a><img></a>dois", "UM <a><img></a>DOIS", "<a><img></a>DOIS UM"),
        ("um <b><!-- c -->dois</b>", "UM <b><!-- c -->DOIS</b>", "<b><!-- c -->DOIS</b> UM"),
        # Tags within a word hold all of it, or what is most of it.
        ("<u>g</u>ato preto", "<u>GATO</u> PRETO", "PRETO <u>GATO</u>"),
        ("<b>ga</b><i>to</i> é", "<i></i><b>GATO</b> É", "É <i></i><b>GATO</b>"),
        # What crosses is nested, and what is not closed holds the rest.
        ("um <b>a <i>b</b> c</i> d", "UM <b>A <i>B C</i></b> D", "D <b><i>C B</i> A</b> UM"),
        ("um <b>dois", "UM <b>DOIS", "<b>DOIS UM"),
        ("um</b> dois", "UM</b> DOIS", "DOIS UM</b>"),
        ("<li>um", "<li>UM", "<li>UM"),
        # What is not translated is left as it is.
        ("usa <code>a b</code> já", "USA <code>a b</code> JÁ", "JÁ <code>a b</code> USA"),
        ("a <i translate=no>x</i> b", "A <i translate=no>x</i> B", "B <i translate=no>x</i> A"),
        (
            "um <script>a<b></script>dois",
            "UM <script>a<b></script>DOIS",
            "<script>a<b></script>DOIS UM",
        ),
        ("um <style>p{}</style>", "UM <style>p{}</style>", "UM <style>p{}</style>"),
        ("um <![CDATA[<b>]]>dois", "UM <![CDATA[<b>]]>DOIS", "<![CDATA[<b>]]>DOIS UM"),
        (
            "<a href='javascript:x(\"<b>\")'>um</a> b",
            None,
            "B <a href='javascript:x(\"<b>\")'>UM</a>",
        ),
        ("<a title=um>um</a> b", "<a title=um>UM</a> B", "B <a title=um>UM</a>"),
        # Names of XML, and of HTML that XML uses otherwise.
        (
            '<g id="1">um</g><x id="2"/> b',
            '<g id="1">UM</g><x id="2"/> B',
            'B <g id="1">UM</g><x id="2"/>',
        ),
        ("<link>um</link> b", "<link>UM</link> B", "B <link>UM</link>"),
        ("<title>um <b>b</b></title>", "<title>UM <b>B</b></title>", "<title><b>B</b> UM</title>"),
        ("<a href=/x/>um</a> b", "<a href=/x/>UM</a> B", "B <a href=/x/>UM</a>"),
        # What would become a tag stays text.
        ("&lt;b&gt; <i>um</i>", "&lt; B &gt; <i>UM</i>", "<i>UM</i> &gt; B &lt;"),
        ("a &amp;lt; <i>b</i>", "A &amp; LT ; <i>B</i>", "<i>B</i> ; LT &amp; A"),
    ],
)
def test_tags_go_around_their_words(source, in_order, backwards):
    assert translated("backwards", [source]) == [backwards]
    if in_order is not None:
        assert translated("in order", [source]) == [in_order]


def test_pages_have_their_tags_in_the_same_way():
    page = '<p>O <b>gato</b> preto. <i title="um">Um</i> fim.</p><p>x <img alt="dois"> y'
    assert translate_document(BACKWARDS, page, "html") == (
        '<p>. PRETO <b>GATO</b> o . FIM <i title="UM">uM</i></p><p><img alt="DOIS">Y X'
    )


def test_a_stray_link_does_not_stretch_an_element():
    links = [(0, 0), (1, 1), (2, 2), (3, 3), (1, 4)]  # the last word belongs to the second, too
    words = [(2 * i, 2 * i + 1) for i in range(5)]
    spans = [SpanLink(words[source], words[target], 0.9) for source, target in links]
    marks = [Mark("start", 2, 2, "b", "<b>"), Mark("end", 3, 3, "b", "</b>")]
    assert place_marks("a b c d", marks, "A B C D E", spans) == "A <b>B</b> C D E"


# Links.


def test_parts_are_linked_by_their_tokens():
    assert part_spans("o gato_1, 猫です") == [(0, 1), (2, 8), (8, 9), (10, 11), (11, 12), (12, 13)]
    links = TokenLinks(
        ["o", "gat", "o", "x"], ["the", "c", "at", "x", "?"], [0, 1, 2, 0, NONE], [0.5] * 5
    )
    assert span_links("o gato x", "the cat x ?", links) == [
        SpanLink((0, 1), (0, 3), 0.5),
        SpanLink((2, 6), (4, 7), 0.5),
        SpanLink((0, 1), (8, 9), 0.5),
        SpanLink(None, (10, 11), 0.0),
    ]


def test_what_both_sides_have_once_is_linked_to_itself():
    links = TokenLinks(["o", "Bar2", "a"], ["a", "Bar2", "x"], [0, 0, 0], [1.0] * 3)
    found = span_links("o Bar2 a", "a Bar2 x", links)
    assert [link.source for link in found] == [(0, 1), (2, 6), (0, 1)]


# What is sent on purpose.

MANY = 10_000
HOSTILE = {
    "nested": "<b>" * MANY + "um dois" + "</b>" * MANY,
    "nested with words": "<b>um " * MANY + "dois" + "</b>" * MANY,
    "nested with words on both sides": "<b>um " * MANY + "</b> dois" * MANY,
    "side by side": "<b>um</b> " * MANY,
    "words between": "um <b>dois</b> <br/> " * MANY,
    "crossing": "um " + "<b>a <i>" * MANY + "</b>c </i>" * MANY,
    "never closed": "um <b>a " * MANY,
    "never opened": "um </b>a " * MANY,
    "without text": "um " + "<b></b><br/>" * MANY + " dois",
    "code": "um <code>x y</code> " * MANY,
    "other code": "".join(f"um <code>x{i}</code> " for i in range(MANY)),
    "a megabyte": "um <b>" + "gato preto " * 90_000 + "</b> dois",
    "signs": "<b>" + "<&;" * MANY + "</b>um <i>" + "&amp" * MANY + "</i>",
    "unfinished": "um <b>dois</b> " + "<a " * MANY,
    "comments": "um <b>dois</b> " + "<!--" * MANY,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("way", ["in order", "backwards"])
def test_hostile_lines_come_back_with_every_tag(name, way):
    (written,) = translated(way, [HOSTILE[name]])
    assert Counter(tags_of(written)) == Counter(tags_of(HOSTILE[name]))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b", "x > y <b", "&lt;"])
def test_a_translation_brings_no_markup_of_its_own(text):
    translator = Aligning(lambda words: [(text, 0)])
    (written,) = translate_markup(translator, ["<b>um</b> &lt;script&gt; dois"], sentences=False)
    assert tags_of(written) == ["<b>", "</b>"]
    assert unescape(re.sub("</?b>", "", written)) == text


def test_wrong_lines_are_one_error():
    with pytest.raises(InputError, match="lines are several texts; got one"):
        translate_markup(UPPER, "<b>um</b>")
    with pytest.raises(InputError, match="a text is a str or bytes; got int"):
        translate_markup(UPPER, [1])
    assert translate_markup(UPPER, []) == []
