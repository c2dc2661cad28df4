"""The page of a comparison: one HTML file, without scripts and without anything from elsewhere."""

import base64
import hashlib
import importlib.resources
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from keras_transformer.data.text.words import word_spans
from keras_transformer.translating.comparison.tables import (
    LETTERS,
    Table,
    sentence_groups,
    summary,
    tables_of,
)


def comparison_page(comparison: dict[str, Any]) -> str:
    """Makes a page of what `compare_translations` found.

    Args:
        comparison: its result.

    Returns:
        the whole HTML. Texts are escaped as it is written, and its policy lets nothing run or load
        but its own style.
    """
    one, other = comparison["systems"]
    style = (importlib.resources.files(__package__) / "page.css").read_text(encoding="utf-8")
    body = _tag(
        "body",
        _tag(
            "header",
            _tag("h1", "Comparison of translations"),
            _tag("dl", *_systems(comparison["systems"]), class_="systems"),
            _tag("p", " ".join(summary(comparison))),
        ),
        _tag(
            "main",
            *(_section(table) for table in tables_of(comparison)),
            *(_sentences(*group) for group in sentence_groups(comparison).items()),
        ),
    )
    page = _tag("html", _head(f"{one} and {other}", style), body, lang="en")
    return "<!doctype html>\n" + ElementTree.tostring(page, encoding="unicode", method="html")


def _tag(kind: str, /, *content: Element | str, **attributes: str) -> Element:
    """An element; what would be a word of Python in the name of an attribute ends with `_`."""
    element = Element(kind, {key.rstrip("_"): value for key, value in attributes.items()})
    for part in content:
        if isinstance(part, Element):
            element.append(part)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + part
        else:
            element.text = (element.text or "") + part
    return element


def _head(title: str, style: str) -> Element:
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return _tag(
        "head",
        _tag("meta", charset="utf-8"),
        _tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _tag("meta", name="color-scheme", content="light dark"),
        _tag("meta", **{"http-equiv": "Content-Security-Policy"}, content=policy),
        _tag("title", title),
        _tag("style", style),
    )


def _systems(names: Sequence[str]) -> Iterator[Element]:
    for letter, name in zip(LETTERS, names, strict=True):
        yield _tag("div", _tag("dt", _key(letter), letter), _tag("dd", name))


def _key(letter: str) -> Element:
    """The sign of a system's bars."""
    return _tag("span", class_=f"key {letter.lower()}")


def _section(table: Table) -> Element:
    head = [_tag("th", title, scope="col") for title in table.header]
    rows = [
        [_tag("th", first, scope="row"), *(_tag("td", cell) for cell in cells)]
        for first, *cells in table.rows
    ]
    if table.scores:
        head.append(_tag("th", _tag("span", "chart", class_="visually-hidden"), class_="chart"))
        most = max(map(max, table.scores)) or 1
        for row, scores in zip(rows, table.scores, strict=True):
            row.append(_tag("td", _bars([score / most for score in scores]), class_="chart"))
    body = _tag("tbody", *(_tag("tr", *row) for row in rows))
    return _tag(
        "section",
        _tag("h2", table.title),
        _tag("div", _tag("table", _tag("thead", _tag("tr", *head)), body), class_="wide"),
        *(_tag("p", note, class_="note") for note in table.notes),
    )


def _bars(shares: Sequence[float]) -> Element:
    """A bar for each system, as long as its share of the longest; the table has the numbers."""
    bars = [
        _tag(
            "rect", class_=letter.lower(), width=f"{100 * share:.1f}%", height="7", y=str(10 * row)
        )
        for row, (letter, share) in enumerate(zip(LETTERS, shares, strict=True))
    ]
    return _tag("svg", *bars, class_="bars", width="100%", height="17", **{"aria-hidden": "true"})


def _sentences(title: str, sentences: list[dict[str, Any]]) -> Element:
    return _tag(
        "section",
        _tag("h2", title),
        _tag(
            "p",
            "Those that differ most, by chrF2 of the sentence. Words that the reference does not "
            "have are underlined.",
            class_="note",
        ),
        *map(_sentence, sentences),
    )


def _sentence(sentence: dict[str, Any]) -> Element:
    """The texts of a sentence, each beside what it is."""
    reference = sentence["reference"]
    rows = [
        ([f"Line {sentence['number']:,}"], [sentence["source"]]),
        (["Reference"], [reference]),
    ]
    for letter, text, score in zip(
        LETTERS, sentence["translations"], sentence["chrf"], strict=True
    ):
        rows.append(([_key(letter), f"{letter} {score:.2f}"], list(_marked(text, reference))))
    return _tag(
        "dl",
        *(_tag("div", _tag("dt", *label), _tag("dd", *text, dir="auto")) for label, text in rows),
        class_="sentence",
    )


def _marked(text: str, reference: str) -> Iterator[Element | str]:
    """The parts of a translation; words that the reference does not have so often are marked."""
    left = Counter(reference[start:end] for start, end in word_spans(reference))
    place = 0
    for start, end in word_spans(text):
        yield text[place:start]
        word, place = text[start:end], end
        left[word] -= 1
        yield word if left[word] >= 0 else _tag("u", word)
    yield text[place:]
