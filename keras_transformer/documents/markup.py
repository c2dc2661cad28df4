"""Tags of a sentence, put around the words of its translation that they belonged to.

The tags of a sentence are a tree of elements, each with a span of the sentence. From the top down
each element gets a stretch of the translation, within that of the element around it and beside
those of its neighbours: the one with most of the words that are linked to its own, and fewest that
are linked to others. What has no text, such as an image, goes beside the word that it stood beside.
So tags stay nested whatever links say, and the text is that of the translation.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from itertools import accumulate
from typing import NamedTuple

Span = tuple[int, int]

SpanLink = tuple[Span | None, Span, float]
"""Where a part of a sentence begins and ends, or ``None``; where the part of the translation that
stands for it does; and the weight of the link, 0 to 1."""

MOST_DEPTHS = 64
"""Elements in elements with other words that are placed; those in more surround the same words."""


class Mark(NamedTuple):
    """What stands between the characters of a sentence, or is kept in place of some.

    Attributes:
        kind: ``start`` or ``end`` of an element; ``alone``, such as an image or a comment; or
            ``kept``, an element that is not translated, with its text.
        begin: the number of characters before it.
        end: for what is kept, the number of characters up to its end; else as `begin`.
        name: of an element that begins or ends.
        text: as it is written.
    """

    kind: str
    begin: int
    end: int
    name: str
    text: str


class _Element:
    """An element of a sentence, and where it stands in the translation.

    Attributes:
        begin, end: its span of the sentence.
        opening, closing: its tags as they are written; empty where it begins before the sentence,
            ends after it, or has none.
        children: elements in it, in order.
        from_begin, to_end: whether it begins before the sentence, and ends after it.
        is_closed: whether its end was read.
        is_kept: whether `opening` takes the place of the translation of its text.
        place: its span of the translation.
        depth: how many elements with other words are around it.
    """

    def __init__(self, begin: int, end: int, opening: str = "", *, is_kept=False):
        self.begin, self.end = begin, end
        self.opening, self.closing = opening, ""
        self.children: list[_Element] = []
        self.from_begin = self.to_end = self.is_closed = False
        self.is_kept = is_kept
        self.place: Span = (0, 0)
        self.depth = 0


def place_marks(
    source: str, marks: Sequence[Mark], translation: str, links: Sequence[SpanLink]
) -> str:
    """A sentence's translation with the marks of the sentence, each once; the text is escaped.

    Elements are nested in the result. Where they cross in the sentence, the one that begins first
    ends last. The time it takes grows with the lengths, not with their product.

    Args:
        source: the sentence.
        marks: in order.
        translation: of the sentence.
        links: of the parts of the translation, in order.
    """
    root = _tree(marks, len(source))
    _Placing(source, translation, links).run(root)
    return "".join(_written(root, translation))


def pairs_of(kinds: Sequence[tuple[str, str]]) -> dict[int, int]:
    """Which tags are of one element: the number of the end tag for that of the start tag.

    Args:
        kinds: kind and name of each tag; those that are neither ``start`` nor ``end`` belong to
            none.
    """
    pairs, waiting = {}, defaultdict(list)
    for number, (kind, name) in enumerate(kinds):
        if kind == "start":
            waiting[name].append(number)
        elif kind == "end" and waiting[name]:
            pairs[waiting[name].pop()] = number
    return pairs


def _tree(marks: Sequence[Mark], length: int) -> _Element:
    """The elements of a sentence, in one that has all of it."""
    pairs = pairs_of([(mark.kind, mark.name) for mark in marks])
    starts = {end: start for start, end in pairs.items()}
    root = _Element(0, length)
    open_ones, by_start, unbegun = [root], {}, {}
    ends = [n for n, mark in enumerate(marks) if mark.kind == "end" and n not in starts]
    for number in reversed(ends):  # what ends last begins first
        element = unbegun[number] = _Element(0, length)
        element.from_begin = True
        open_ones[-1].children.append(element)
        open_ones.append(element)
    for number, mark in enumerate(marks):
        if mark.kind == "end":
            element = unbegun.get(number) or by_start[starts[number]]
            element.closing, element.is_closed = mark.text, True
            while open_ones[-1].is_closed:  # what crosses ends together
                open_ones.pop().end = mark.begin
            continue
        element = _Element(mark.begin, mark.end, mark.text, is_kept=mark.kind == "kept")
        open_ones[-1].children.append(element)
        if mark.kind == "start":
            by_start[number] = element
            open_ones.append(element)
    for element in open_ones[1:]:
        element.end = length
        element.to_end = True
    return root


class _Placing:
    """Finds places in a translation for elements of a sentence.

    Args:
        source, translation, links: see `place_marks`.
    """

    def __init__(self, source: str, translation: str, links: Sequence[SpanLink]):
        self._source, self._translation = source, translation
        self._targets = [target for _, target, _ in links]
        self._begins = [begin for begin, _ in self._targets]
        """Of the parts of the translation; elements stand around whole ones."""
        linked = sorted(
            (span[0] + span[1], span, part)
            for part, (span, _, _) in enumerate(links)
            if span is not None
        )
        self._centers = [center for center, _, _ in linked]  # doubled
        self._sources = [span for _, span, _ in linked]
        self._parts = [part for _, _, part in linked]
        self._weights = [weight for _, _, weight in links]
        self._sums = [0.0, *accumulate(self._weights)]

    def run(self, root: _Element) -> None:
        """Sets `place` of all elements in one that has all of the translation."""
        root.place = (0, len(self._translation))
        waiting = [root]
        while waiting:
            element = waiting.pop()
            self._place_children(element)
            waiting += element.children

    def _place_children(self, around: _Element) -> None:
        """Sets `place` of the elements in one that has its own."""
        texts = [child for child in around.children if child.begin < child.end]
        words = {id(child): self._linked(child) for child in texts}

        def order(child):  # what is cut off by the sentence takes its share first, then the longest
            first, last = words[id(child)]
            return not (child.from_begin or child.to_end), first - last

        begin, end = around.place
        taken: list[tuple[int, int, _Element]] = []
        points = [child for child in around.children if child.begin == child.end]
        for number, child in enumerate(sorted(texts, key=order)):
            is_same = (child.begin, child.end) == (around.begin, around.end)
            child.depth = around.depth + (not is_same)
            is_deep = child.depth > MOST_DEPTHS
            if child.from_begin or child.to_end:
                child.place = begin, end
                if not is_deep:
                    child.place = self._cut(child, words[id(child)], begin, end)
                begin, end = (child.place[1], end) if child.from_begin else (begin, child.place[0])
            elif (is_same or is_deep) and number == 0 and around.depth:
                child.place = around.place
            else:
                found = None
                if not is_deep:
                    found = self._stretch(words[id(child)], begin, end, taken)
                if child.is_kept and found is not None:
                    found = self._verbatim(child, found, begin, end, taken)
                if found is None:
                    points.append(child)
                    continue
                child.place = found
            insort(taken, (*child.place, child), key=_begin)
        for child in points:
            at = self._beside(child, around, taken)
            child.place = (at, at)

    def _linked(self, element: _Element) -> tuple[int, int]:
        """Which links, in the order of the source, have their middle in an element."""
        found = (
            bisect_left(self._centers, 2 * element.begin),
            bisect_left(self._centers, 2 * element.end),
        )
        if found[0] < found[1]:
            return found
        # A tag within a word belongs to the word.
        at = found[0]
        for place in (at, at - 1):
            if 0 <= place < len(self._sources):
                begin, end = self._sources[place]
                if begin < element.end and element.begin < end:
                    center = self._centers[place]
                    return bisect_left(self._centers, center), bisect_right(self._centers, center)
        return at, at

    def _within(self, words: Span, begin: int, end: int) -> tuple[list[int], int, int]:
        """The parts that are linked to some words in a stretch of the translation.

        Args:
            words: see `_linked`.
            begin, end: of the stretch.

        Returns:
            those in order; and the first of all parts there and the one after the last.
        """
        first, last = bisect_left(self._begins, begin), bisect_left(self._begins, end)
        parts = self._parts[words[0] : words[1]]
        return sorted(part for part in parts if first <= part < last), first, last

    def _stretch(self, words: Span, begin: int, end: int, taken) -> Span | None:
        """The stretch of the translation that has most of some words and fewest others.

        Of all stretches it has the largest sum of weights, those of other words being negative.

        Args:
            words: see `_linked`.
            begin, end: of the translation, where there is room.
            taken: what other elements have of it, in order.
        """
        best, best_sum = None, 0.0
        start, before, total = None, 0, 0.0
        for part in self._within(words, begin, end)[0]:
            place = bisect_right(taken, self._begins[part], key=_begin) - 1
            if place >= 0 and taken[place][1] > self._begins[part]:
                continue
            if start is not None:
                total -= self._sums[part] - self._sums[before + 1]
                if total <= 0 or (place >= 0 and taken[place][0] > self._begins[before]):
                    start = None
            if start is None:
                start, total = part, 0.0
            total += self._weights[part]
            before = part
            if best is None or total > best_sum:
                best, best_sum = (start, part), total
        return None if best is None else (self._begins[best[0]], self._targets[best[1]][1])

    def _cut(self, element: _Element, words: Span, begin: int, end: int) -> Span:
        """The stretch of an element that the sentence cuts off: up to an end of the translation.

        Args:
            element: begins before the sentence, or ends after it.
            words: its links; see `_linked`.
            begin, end: of the translation, where there is room.
        """
        if element.from_begin and element.to_end:
            return begin, end
        parts, first, last = self._within(words, begin, end)
        best, best_sum, own = None, 0.0, 0.0
        for part in parts if element.from_begin else reversed(parts):
            own += self._weights[part]
            of_all = self._sums[part + 1] - self._sums[first]
            if element.to_end:
                of_all = self._sums[last] - self._sums[part]
            if best is None or 2 * own - of_all > best_sum:
                best, best_sum = part, 2 * own - of_all
        if element.from_begin:
            return begin, begin if best is None else self._targets[best][1]
        return end if best is None else self._begins[best], end

    def _verbatim(self, element: _Element, found: Span, begin: int, end: int, taken) -> Span:
        """The text of an element that is kept, where the translation has it near a stretch.

        Args:
            element: that is kept.
            found: the stretch, which is the answer where the text is not near.
            begin, end: of the translation, where there is room.
            taken: what other elements have of it, in order.
        """
        text = self._source[element.begin : element.end].strip()
        first, last = max(begin, found[0] - len(text)), min(end, found[1] + len(text))
        near = self._translation[first:last]
        at = near.find(text)
        if at < 0 and len(near) == len(near.lower()):
            at = near.lower().find(text.lower())
        if not text or at < 0:
            return found
        first, last = first + at, first + at + len(text)
        place = bisect_left(taken, last, key=_begin) - 1
        return found if place >= 0 and taken[place][1] > first else (first, last)

    def _beside(self, element: _Element, around: _Element, taken) -> int:
        """Where what has no words stands in the translation."""
        begin, end = around.place
        if element.from_begin or element.begin <= around.begin:
            at = begin
        elif element.to_end or element.end >= around.end:
            at = end
        else:
            at = min(max(self._neighbour(element.begin), begin), end)
        place = bisect_right(taken, at, key=_begin) - 1
        if place >= 0 and taken[place][0] < at < taken[place][1]:
            at = taken[place][0 if element.begin <= taken[place][2].begin else 1]
        return at

    def _neighbour(self, position: int) -> int:
        """Where the word of the translation begins or ends that is next to a place of the source.

        Args:
            position: in the source.
        """
        right = bisect_left(self._centers, 2 * position)
        if not self._centers:
            return len(self._translation) * position // max(len(self._source), 1)
        to_right = self._sources[right][0] - position if right < len(self._centers) else None
        to_left = position - self._sources[right - 1][1] if right else None
        if to_left is None or (to_right is not None and max(to_right, 0) <= max(to_left, 0)):
            last = bisect_right(self._centers, self._centers[right])
            return self._begins[min(self._parts[right:last])]
        first = bisect_left(self._centers, self._centers[right - 1])
        return self._targets[max(self._parts[first:right])][1]


def _written(root: _Element, translation: str) -> Iterator[str]:
    """A translation with its elements, in parts."""
    cursor = 0
    waiting: list[tuple[_Element, bool]] = [(root, True)]
    while waiting:
        element, begins = waiting.pop()
        begin, end = element.place
        at = begin if begins else end
        yield escape(translation[cursor:at], quote=False)
        cursor = at
        if not begins:
            yield element.closing
        elif element.is_kept:
            is_lost = begin == end and element.begin < element.end  # and stands between words
            yield " " if is_lost and translation[max(at - 1, 0) : at].strip() else ""
            yield element.opening
            yield " " if is_lost and translation[at : at + 1].isalnum() else ""
            cursor = end
        else:
            yield element.opening
            waiting.append((element, False))
            in_order = sorted(element.children, key=lambda child: child.place)
            waiting += [(child, True) for child in reversed(in_order)]


def _begin(stretch: tuple[int, int, _Element]) -> int:
    return stretch[0]
