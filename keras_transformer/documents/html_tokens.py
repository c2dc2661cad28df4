"""HTML as tags, text and the rest, with their places in the source, as browsers divide it.

Every token is a span of the source, and the spans are the whole source. `html.parser` tells where
tokens begin but drops some, and what it takes for text differs between versions of Python.
"""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

_TOKEN = re.compile(r"<(?=[A-Za-z/!?])")
_NAME = re.compile(r"</?([A-Za-z][^\t\n\f\r />]*)")
_BLANKS = re.compile(r"[\t\n\f\r /]*")
_ATTRIBUTE = re.compile(r"(=?[^\t\n\f\r />=]*)([\t\n\f\r ]*=[\t\n\f\r ]*)?")
_UNQUOTED = re.compile(r"[^\t\n\f\r >]*")
_SHORT_COMMENT = re.compile(r"<!---?>")
_COMMENT_END = re.compile(r"--!?>")

_WITHOUT_TAGS = frozenset(
    ("script", "style", "xmp", "iframe", "noembed", "noframes", "textarea", "title")
)
"""Elements whose content has no tags but their own end."""
_RAW_END = {
    name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE) for name in _WITHOUT_TAGS
}


class Attribute(NamedTuple):
    """An attribute of a tag.

    Attributes:
        name: in small letters.
        begin: where its value begins in the source, after the quote.
        end: where its value ends, before the quote.
        quote: the quote around the value, or the empty string.
    """

    name: str
    begin: int
    end: int
    quote: str


class Token(NamedTuple):
    """A span of the source.

    Attributes:
        kind: ``text``, ``start``, ``end`` or ``other``: comments, declarations, scripts, and what
            is unfinished at the end.
        begin: its place.
        stop: the place after it.
        name: of a tag, in small letters.
        attributes: of a start tag.
    """

    kind: str
    begin: int
    stop: int
    name: str = ""
    attributes: tuple[Attribute, ...] = ()


def tokens_of(
    source: str, *, is_xml: bool = False, without_tags: Collection[str] = _WITHOUT_TAGS
) -> Iterator[Token]:
    """The tokens of a document, in order; the time it takes grows with its length alone.

    Args:
        source: the document.
        is_xml: whether a slash at its end closes a start tag.
        without_tags: those of the elements of HTML whose content has no tags but their own end
            that are taken for such.
    """
    place = 0
    while place < len(source):
        found = _TOKEN.search(source, place)
        begin = found.start() if found else len(source)
        if begin > place:
            yield Token("text", place, begin)
        if not found:
            return
        token = _markup(source, begin)
        yield token
        place = token.stop
        closed = is_xml and source[place - 2] == "/"
        if token.kind == "start" and token.name in without_tags and not closed:
            end = _RAW_END[token.name].search(source, place)
            stop = end.start() if end else len(source)
            if stop > place:
                is_text = token.name == "title" and end
                yield Token("text" if is_text else "other", place, stop)
            place = stop


def _markup(source: str, begin: int) -> Token:
    """The token that begins with ``<``."""
    name = _NAME.match(source, begin)
    if name is None:
        return Token("other", begin, _end_of_other(source, begin))
    attributes = []
    place = name.end()
    while True:
        place = _BLANKS.match(source, place).end()
        if place == len(source):
            return Token("other", begin, place)  # an unfinished tag
        if source[place] == ">":
            break
        found = _ATTRIBUTE.match(source, place)
        place = found.end()
        if found[2] is None:
            continue
        quote = source[place : place + 1]
        if quote and quote in "\"'":
            stop = source.find(quote, place + 1)
            if stop < 0:
                return Token("other", begin, len(source))
            attributes.append(Attribute(found[1].lower(), place + 1, stop, quote))
            place = stop + 1
        else:
            stop = _UNQUOTED.match(source, place).end()
            attributes.append(Attribute(found[1].lower(), place, stop, ""))
            place = stop
    kind = "end" if source[begin + 1] == "/" else "start"
    return Token(kind, begin, place + 1, name[1].lower(), tuple(attributes))


def _end_of_other(source: str, begin: int) -> int:
    """Where a comment, a declaration or an instruction ends."""
    if source.startswith("<!--", begin):
        if short := _SHORT_COMMENT.match(source, begin):
            return short.end()
        found = _COMMENT_END.search(source, begin + 4)
        return found.end() if found else len(source)
    end = ">"
    if source.startswith("<![CDATA[", begin):
        end = "]]>"
    elif source.startswith(("<?php", "<?="), begin):
        end = "?>"
    stop = source.find(end, begin)
    return len(source) if stop < 0 else stop + len(end)
