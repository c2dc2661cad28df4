"""HTML, of which the texts alone are changed, in place: all other bytes stay as they are."""

import codecs
import re
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from typing import NamedTuple

from keras_transformer.documents.base import Document, Languages, TranslatedText
from keras_transformer.documents.html_tokens import Attribute, Token, tokens_of
from keras_transformer.documents.markup import Mark, SpanLink, pairs_of, place_marks
from keras_transformer.languages import primary_language


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INLINE = _names(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd mark nobr q rb rp rt"
    " rtc ruby s samp small span strike strong sub sup time tt u var wbr"
)
"""Elements inside sentences; all others part texts."""
VOID = _names(
    "area base basefont bgsound br col embed frame hr img input keygen link meta param source track"
    " wbr"
)
_UNTRANSLATED = _names("code kbd math pre samp script style textarea var xmp")
_ATTRIBUTES = frozenset(("alt", "aria-label", "placeholder", "title"))
_BUTTONS = frozenset(("button", "reset", "submit"))
# What an element ends that has no end tag of its own, and what bounds this.
_ENDS = {
    "li": ({"li"}, {"ul", "ol", "menu"}),
    "dt": ({"dt", "dd"}, {"dl"}),
    "dd": ({"dt", "dd"}, {"dl"}),
    "tr": ({"tr", "td", "th"}, {"table"}),
    "td": ({"td", "th"}, {"tr", "table"}),
    "th": ({"td", "th"}, {"tr", "table"}),
    "option": ({"option"}, {"select", "datalist"}),
}
_P_STAYS_OPEN = _names(
    "audio br button hr iframe img input label math object picture script select style svg"
    " textarea video"
)
_SEARCHED_DEPTH = 32

_PIECE = re.compile(
    r"(&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);?)|([\t\n\f\r ]+)|[^&\t\n\f\r ]+|&"
)
_ASCII = bytes(range(32, 127))
_CHARSET = re.compile(
    rb"""<(?:meta[^>]+charset|\?xml[^>]+encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE
)


def encoding_of(content: bytes) -> str:
    """The encoding that a document declares; UTF-8 where it declares none that there is."""
    declared = _CHARSET.search(content, 0, 1024)
    name = declared[1].decode("ascii", "replace").lower() if declared else "utf-8"
    try:
        name = codecs.lookup(name).name
        holds_ascii = _ASCII.decode(name) == _ASCII.decode("ascii")
    except (LookupError, UnicodeError):
        holds_ascii = False
    if content.startswith(codecs.BOM_UTF8) or not holds_ascii:  # or it could not have been found
        return "utf-8"
    # As browsers do.
    return "cp1252" if name in ("ascii", "iso8859-1") else name


@dataclass
class _Block:
    """A text: the characters of a block, with blanks in one, and where they stand in the source.

    Attributes:
        characters: of the text, entities decoded.
        begins: where each begins in the source.
        ends: where each ends.
        tags: of inline elements, and comments, with the number of characters before each.
        kept: elements that are kept as they are: the numbers of their first character and of the
            one after the last, and their span in the source.
    """

    characters: list[str] = field(default_factory=list)
    begins: array = field(default_factory=lambda: array("q"))
    ends: array = field(default_factory=lambda: array("q"))
    tags: list[tuple[int, Token]] = field(default_factory=list)
    kept: list[tuple[int, int, int, int]] = field(default_factory=list)

    def add(self, source: str, begin: int, stop: int) -> None:
        """Adds the text of a span of the source."""
        for found in _PIECE.finditer(source, begin, stop):
            entity, blanks = found.groups()
            if entity or blanks:
                decoded = " " if blanks else unescape(entity)
                self.begins.extend([found.start()] * len(decoded))
                self.ends.extend([found.end()] * len(decoded))
            else:
                decoded = found[0]
                self.begins.extend(range(found.start(), found.end()))
                self.ends.extend(range(found.start() + 1, found.end() + 1))
            self.characters.extend(decoded)

    def has_letters(self, begin: int, end: int, kept: list[tuple[int, int, int, int]]) -> bool:
        """Whether there is a letter between two places outside what is kept there."""
        for first, last, _, _ in kept:
            if any(map(str.isalpha, self.characters[begin:first])):
                return True
            begin = last
        return any(map(str.isalpha, self.characters[begin:end]))


@dataclass
class _Value:
    """The value of an attribute, which is a text."""

    attribute: Attribute


class HtmlDocument(Document):
    """A page; it is held in memory.

    The text of a block is one text, across its inline elements. An element that holds whole
    sentences holds their translations. One inside a sentence goes around its own words, by the
    links of the sentence; see `markup`. Without links it holds the sentence's translation, images
    and other elements without text go to the end of the sentence, and code goes where its text
    stands in the translation, else to the end. A sentence that a model leaves as it is, is left as
    it is with its tags. Attributes that are shown are texts too.

    Args:
        lines: with their ends.
        name: of the document, for errors.
        languages: of the translator: where ``lang`` of ``<html>`` is the source's, it becomes the
            target's.
    """

    def __init__(self, lines: Iterable[str], name: str, languages: Languages):
        self._source = "".join(lines)
        self._languages = languages
        self._units: list[_Block | _Value] = []
        self._edits: list[tuple[int, int, str]] = []
        """Spans of the source in tags, and what takes their place, in order."""
        self._is_xml = self._source.lstrip().startswith("<?xml")
        self._read()

    @property
    def wants_links(self) -> bool:
        return any(isinstance(unit, _Block) and (unit.tags or unit.kept) for unit in self._units)

    def texts(self) -> Iterator[str]:
        for unit in self._units:
            if isinstance(unit, _Block):
                yield "".join(unit.characters)
            else:
                yield self._value(unit.attribute)

    def written(self, translated: Iterable[TranslatedText]) -> Iterator[str]:
        blocks = []
        for unit, text in zip(self._units, translated, strict=True):
            if isinstance(unit, _Block):
                blocks.append((unit, text))
            elif text.text != self._value(unit.attribute):
                self._set(unit.attribute, text.text)
        self._edits.sort()
        place = 0
        for block, text in blocks:
            for begin, end, what in self._sentences(block, text):
                yield self._as_edited(place, begin)
                yield what
                place = end
        yield self._as_edited(place, len(self._source))

    # What is read.

    def _read(self) -> None:
        self._block = _Block()
        self._kept: tuple[int, int] | None = None
        """Where an element that is kept begins: its first character and its place."""
        self._open: list[tuple[str, bool, bool]] = []
        """Open elements: name, whether their text is translated, whether their attributes are."""
        self._counts: Counter[str] = Counter()
        for token in self._tokens_of():
            if token.kind == "text":
                self._read_text(token)
            elif token.kind == "start":
                self._read_start(token)
            elif token.kind == "end":
                self._read_end(token)
            elif self._kept is None:
                self._block.tags.append((len(self._block.characters), token))
        self._finish_block(len(self._source))

    def _tokens_of(self) -> Iterable[Token]:
        return tokens_of(self._source, is_xml=self._is_xml)

    def _is_inline(self, name: str) -> bool:
        return name in _INLINE

    def _stands_alone(self, token: Token) -> bool:
        """Whether a start tag has no content."""
        return token.name in VOID or (self._is_xml and self._source[token.stop - 2] == "/")

    def _state(self) -> tuple[bool, bool]:
        return self._open[-1][1:] if self._open else (True, True)

    def _read_text(self, token: Token) -> None:
        if self._state()[0] or self._kept is not None:
            self._block.add(self._source, token.begin, token.stop)

    def _read_start(self, token: Token) -> None:
        name = token.name
        is_inline = self._is_inline(name)
        if not is_inline:
            self._finish_block(token.begin)
            self._end_implied(name)
        text, attributes = self._state()
        asked = self._translate(token)
        text, attributes = (text, attributes) if asked is None else (asked, asked)
        text = text and name not in _UNTRANSLATED
        if attributes:
            self._read_attributes(token)
        closes = self._stands_alone(token)
        if not closes:
            self._open.append((name, text, attributes))
            self._counts[name] += 1
        if is_inline and self._kept is None:
            if text or closes:
                token = token._replace(kind="other") if closes else token
                self._block.tags.append((len(self._block.characters), token))
            else:
                self._kept = (len(self._block.characters), token.begin)

    def _read_end(self, token: Token) -> None:
        name = token.name
        is_inline = self._is_inline(name)
        if not is_inline:
            self._finish_block(token.begin)
        if self._counts[name]:
            while self._pop() != name:
                pass
        if not is_inline:
            return
        if self._kept is None:
            self._block.tags.append((len(self._block.characters), token))
        elif self._state()[0]:
            self._finish_kept(token.stop)

    def _pop(self) -> str:
        name = self._open.pop()[0]
        self._counts[name] -= 1
        return name

    def _end_implied(self, name: str) -> None:
        """Ends what a start tag ends that is no end tag."""
        ended, bounds = _ENDS.get(name, (set(), set()))
        if not ended and name not in _P_STAYS_OPEN:
            ended, bounds = {"p"}, {"button", "td", "th", "table", "object"}
        last = None
        for place in range(len(self._open) - 1, max(len(self._open) - _SEARCHED_DEPTH, 0) - 1, -1):
            opened = self._open[place][0]
            if opened in bounds:
                break
            if opened in ended:
                last = place
        if last is not None:
            while len(self._open) > last:
                self._pop()

    def _finish_kept(self, stop: int) -> None:
        first, begin = self._kept
        self._kept = None
        if len(self._block.characters) > first:
            self._block.kept.append((first, len(self._block.characters), begin, stop))
        else:
            self._block.tags.append((first, Token("other", begin, stop)))

    def _finish_block(self, place: int) -> None:
        if self._kept is not None:
            self._finish_kept(place)
        block = self._block
        if block.has_letters(0, len(block.characters), block.kept):
            self._units.append(self._block)
        self._block = _Block()

    # Attributes.

    def _value(self, attribute: Attribute) -> str:
        return unescape(self._source[attribute.begin : attribute.end])

    def _translate(self, token: Token) -> bool | None:
        """Whether an element asks to be translated; ``None`` where it says nothing."""
        for attribute in token.attributes:
            if attribute.name == "translate":
                return self._value(attribute).strip().lower() != "no"
            if attribute.name == "class" and "notranslate" in self._value(attribute).split():
                return False
        return None

    def _read_attributes(self, token: Token) -> None:
        values: dict[str, Attribute] = {}
        for attribute in token.attributes:
            values.setdefault(attribute.name, attribute)

        def is_one_of(name, allowed):
            return name in values and self._value(values[name]).strip().lower() in allowed

        wanted = set(_ATTRIBUTES)
        if token.name == "meta" and is_one_of("name", ("description",)):
            wanted.add("content")
        if token.name == "input" and is_one_of("type", _BUTTONS):
            wanted.add("value")
        for name, attribute in values.items():
            if name in wanted and any(map(str.isalpha, self._value(attribute))):
                self._units.append(_Value(attribute))
            elif token.name == "html" and name in ("lang", "xml:lang"):
                self._read_language(attribute)

    def _read_language(self, attribute: Attribute) -> None:
        source, target = self._languages
        language = self._value(attribute).strip()
        if source and target and primary_language(language) == primary_language(source):
            self._set(attribute, target.replace("_", "-"))

    def _set(self, attribute: Attribute, text: str) -> None:
        quote = attribute.quote or '"'
        text = escape(text, quote=False).replace(quote, "&quot;" if quote == '"' else "&#x27;")
        if not attribute.quote:
            text = f'"{text}"'
        self._edits.append((attribute.begin, attribute.end, text))

    def _as_edited(self, begin: int, end: int) -> str:
        """A span of the source with what changes in its tags."""
        parts = []
        for edit in range(bisect_left(self._edits, (begin,)), len(self._edits)):
            first, last, text = self._edits[edit]
            if first >= end:
                break
            parts += self._source[begin:first], text
            begin = last
        return "".join((*parts, self._source[begin:end]))

    # Sentences.

    def _sentences(self, block: _Block, text: TranslatedText) -> Iterator[tuple[int, int, str]]:
        """Spans of the source that are translated, and what takes their place, in order."""
        positions = [position for position, _ in block.tags]
        partners = pairs_of([(token.kind, token.name) for _, token in block.tags])
        partners |= {end: start for start, end in partners.items()}
        kept = free = 0
        for begin, end, translation, links in _merged(_spans(text), block):
            while kept < len(block.kept) and block.kept[kept][0] < begin:
                kept += 1
            inside = []
            while kept < len(block.kept) and block.kept[kept][0] < end:
                inside.append(block.kept[kept])
                kept += 1
            between = bisect_right(positions, begin), bisect_left(positions, end)
            first, last = block.begins[begin], block.ends[end - 1]
            if inside:
                first, last = min(first, inside[0][2]), max(last, inside[-1][3])
            source = "".join(block.characters[begin:end])
            if translation == source or not block.has_letters(begin, end, inside):
                continue
            if links is None:
                tags = block.tags[slice(*between)]
                yield first, last, self._sentence(block, translation, tags, inside)
                continue
            beside = max(bisect_left(positions, begin), free), bisect_right(positions, end)
            lifted = _lifted(partners, between, beside)
            free = max(lifted[1], free)
            if tags := block.tags[slice(*lifted)]:
                first, last = min(first, tags[0][1].begin), max(last, tags[-1][1].stop)
            marks = self._marks(tags, inside, begin)
            yield first, last, place_marks(source, marks, translation, links)

    def _marks(self, tags, kept, begin: int) -> list[Mark]:
        """What stands in a sentence besides its text.

        Args:
            tags: those of the sentence, with the number of characters of the block before each.
            kept: elements that are kept, likewise.
            begin: the number of characters of the block before the sentence.
        """
        marks = []
        for position, token in tags:
            kind = "alone" if token.kind == "other" else token.kind
            text = self._as_edited(token.begin, token.stop)
            marks.append((token.begin, Mark(kind, *[position - begin] * 2, token.name, text)))
        for first, last, start, stop in kept:
            text = self._as_edited(start, stop)
            marks.append((start, Mark("kept", first - begin, last - begin, "", text)))
        return [mark for _, mark in sorted(marks, key=lambda mark: mark[0])]

    def _sentence(self, block, translation, tags, kept) -> str:
        """A sentence's translation with its tags.

        Args:
            block: that it is of.
            translation: of the sentence.
            tags: those inside the sentence, with the number of characters before each.
            kept: elements inside that are kept.
        """
        parts, at_end = [], []
        for first, last, begin, end in kept:
            text = "".join(block.characters[first:last]).strip()
            before, found, after = _partition(translation, text)
            if found:
                parts += escape(before, quote=False), self._as_edited(begin, end)
                translation = after
            else:
                at_end.append(" " + self._as_edited(begin, end))
        parts.append(escape(translation, quote=False))
        pairs, has_atoms = _pairs(tags)
        ended = set(pairs.values())
        opening, unended, unbegun = [], [], []
        place = 0
        while place < len(tags):
            position, token = tags[place]
            end = pairs.get(place)
            if end is not None and has_atoms and tags[end][0] == position:
                at_end.append(self._tags(tags[place : end + 1]))  # an element without text
                place = end
            elif end is not None:
                opening.append(place)
            elif token.kind == "start":
                unended.append(tags[place])
            elif token.kind != "end":
                at_end.append(self._tags([tags[place]]))
            elif place not in ended:
                unbegun.append(tags[place])
            place += 1
        # What ends in a later sentence stands around what ends in this one; but after what began
        # in an earlier one and ends here.
        return "".join(
            (
                "" if unbegun else self._tags(unended),
                self._tags(tags[place] for place in opening),
                *parts,
                *at_end,
                self._tags(tags[pairs[place]] for place in reversed(opening)),
                self._tags(unbegun),
                self._tags(unended) if unbegun else "",
            )
        )

    def _tags(self, tags: Iterable[tuple[int, Token]]) -> str:
        return "".join(self._as_edited(token.begin, token.stop) for _, token in tags)


def _lifted(
    partners: dict[int, int], between: tuple[int, int], beside: tuple[int, int]
) -> tuple[int, int]:
    """Which tags a sentence takes along: the first, and the one after the last.

    Those between its characters, and those at its ends whose elements end or begin between them.

    Args:
        partners: numbers of the other tag of the same element.
        between: of the tags between characters of the sentence, likewise.
        beside: of those and the ones at its ends.
    """
    first, last = max(between[0], beside[0]), max(between[1], beside[0])
    inside = range(first, last)
    ahead = (tag for tag in range(beside[0], first) if partners.get(tag) in inside)
    begin = next(ahead, first)
    inside = range(begin, last)
    behind = (tag for tag in range(beside[1] - 1, last - 1, -1) if partners.get(tag) in inside)
    return begin, next(behind, last - 1) + 1


def _pairs(tags: list[tuple[int, Token]]) -> tuple[dict[int, int], bool]:
    """Which tags are of one element.

    Returns:
        the number of the end tag for that of the start tag; and whether all are well nested.
    """
    pairs, waiting, order, nested = {}, defaultdict(list), [], True
    for place, (_, token) in enumerate(tags):
        if token.kind == "start":
            waiting[token.name].append(place)
            order.append(place)
        elif token.kind == "end":
            begin = waiting[token.name].pop() if waiting[token.name] else None
            if begin is not None:
                pairs[begin] = place
            if order and order.pop() != begin:
                nested = False
    return pairs, nested


class _Translated(NamedTuple):
    """A sentence of a block, and its translation.

    Attributes:
        begin, end: of its characters in the block.
        text: its translation.
        links: which parts of both belong together, if anything tells.
    """

    begin: int
    end: int
    text: str
    links: Sequence[SpanLink] | None


def _spans(text: TranslatedText) -> list[_Translated]:
    """The sentences of a text that have characters."""
    spans, place = [], 0
    for sentence in text.sentences:
        begin = place + len(sentence.gap)
        place = begin + len(sentence.source)
        if place > begin:
            spans.append(_Translated(begin, place, sentence.text, sentence.links))
    return spans


def _merged(spans: list[_Translated], block: _Block) -> Iterator[_Translated]:
    """Sentences as `_spans` gives them; those that share an element which is kept are one."""
    characters = block.characters
    kept = iter(block.kept)
    element = next(kept, None)
    number = 0
    while number < len(spans):
        parts = [spans[number]]
        number += 1
        while element and element[1] <= parts[0].begin:
            element = next(kept, None)
        while element and element[0] < parts[-1].end:
            first, last = element[:2]
            if first < parts[0].begin:
                parts.insert(0, _as_it_is(characters, first, parts[0].begin))
            while number < len(spans) and spans[number].begin < last:
                parts += _as_it_is(characters, parts[-1].end, spans[number].begin), spans[number]
                number += 1
            if last > parts[-1].end:
                parts.append(_as_it_is(characters, parts[-1].end, last))
            element = next(kept, None)
        yield _joined(parts) if len(parts) > 1 else parts[0]


def _as_it_is(characters: list[str], begin: int, end: int) -> _Translated:
    """What stands between sentences."""
    span = (0, end - begin)
    links = [(span, span, 1.0)] if begin < end else []
    return _Translated(begin, end, "".join(characters[begin:end]), links)


def _joined(parts: list[_Translated]) -> _Translated:
    """Sentences and what stands between them as one."""
    links: list[SpanLink] | None = []
    source = target = 0
    for part in parts:
        if part.links is None:
            links = None
            break
        for of_source, (begin, end), weight in part.links:
            if of_source is not None:
                of_source = of_source[0] + source, of_source[1] + source
            links.append((of_source, (begin + target, end + target), weight))
        source, target = source + part.end - part.begin, target + len(part.text)
    text = "".join(part.text for part in parts)
    return _Translated(parts[0].begin, parts[-1].end, text, links)


def _partition(text: str, part: str) -> tuple[str, str, str]:
    """A text before, at and after the first place of a part; of another case if need be."""
    found = None
    if part:
        pattern = rf"(?<!\w){re.escape(part)}(?!\w)"
        found = re.search(pattern, text) or re.search(pattern, text, re.IGNORECASE)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, "", "")
