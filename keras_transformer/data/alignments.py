"""Word alignments of pairs of texts: Pharaoh's files, and an aligner that makes them.

A line belongs to a pair and has its links, ``0-0 1-2 ...``: the numbers of a source and a target
word, from 0. Words are those of `word_spans`.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from keras_transformer.data.text.words import Span, token_spans, word_spans, words_at
from keras_transformer.errors import InputError
from keras_transformer.files import checksum, file_error

Links = list[tuple[int, int]]
"""Numbers of source and target words that belong together."""

_LINK = re.compile(r"([0-9]{1,7})-([0-9]{1,7})")
_PUNCTUATION = re.compile(r"^\W+|\W+$")
_NEIGHBOURS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))


class Alignments:
    """The alignments of a corpus, in a file.

    Args:
        path: of the file.

    Raises:
        InputError: when it cannot be read.
    """

    def __init__(self, path):
        self.path = Path(path)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise file_error(path, "read", error) from error
        self.digest = checksum(content)
        self._lines = content.decode("utf-8", "replace").splitlines()

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Links]:
        for number, line in enumerate(self._lines, 1):
            yield parse_links(line, f"{self.path}, line {number}")

    def check_length(self, pairs: int) -> None:
        """Refuses a file of another number of lines.

        Raises:
            InputError: then.
        """
        if len(self) != pairs:
            raise InputError(
                f"{self.path}: has the alignments of {len(self):,} pairs, and the corpus has "
                f"{pairs:,}: give a line for each, an empty one where nothing is aligned."
            )


def parse_links(line: str, where: str) -> Links:
    """The links of a line in Pharaoh's format.

    Args:
        line: such as ``0-0 1-2``.
        where: what an error begins with.

    Raises:
        InputError: for a line that is none.
    """
    links = []
    for word in line.split():
        match = _LINK.fullmatch(word)
        if match is None:
            raise InputError(
                f"{where}: {word!r:.40} is no link: expected numbers of a source and a target word "
                "from 0, such as 0-2."
            )
        links.append((int(match[1]), int(match[2])))
    return links


def format_links(links: Iterable[tuple[int, int]]) -> str:
    """A line in Pharaoh's format."""
    return " ".join(f"{source}-{target}" for source, target in links)


def check_links(links: Links, source: str, target: str, where: str = "a pair") -> None:
    """Refuses links to words that the texts of a pair do not have.

    Args:
        links: of their words.
        source, target: the texts.
        where: what an error begins with.

    Raises:
        InputError: for the first of them.
    """
    words = len(word_spans(source)), len(word_spans(target))
    for first, second in links:
        if first >= words[0] or second >= words[1]:
            raise InputError(
                f"{where}: has the link {first}-{second}, and the texts have {words[0]} and "
                f"{words[1]} words: align them as they are, with words that white space parts."
            )


def source_stretches(
    source: tuple[str, Sequence[str | None]],
    target: tuple[str, Sequence[str | None]],
    links: Links,
) -> list[tuple[int, int]]:
    """The source tokens that each target token of a pair is linked to by its words.

    Args:
        source, target: a text and what its tokens say, as for `token_spans`.
        links: of their words; nothing comes of one to a word that a text has no more.

    Returns:
        for each target token the numbers of the first and the last source token of the longest
        stretch, from 1; twice 0 for one without.
    """
    words = word_spans(source[0]), word_spans(target[0])
    partners: dict[int, set[int]] = {}
    for first, second in links:
        partners.setdefault(second, set()).add(first)
    tokens_of: dict[int, list[int]] = {}  # source words
    for token, touched in enumerate(words_at(token_spans(*source), words[0]), 1):
        for word in touched:
            tokens_of.setdefault(word, []).append(token)
    stretches = []
    for touched in words_at(token_spans(*target), words[1]):
        linked = set().union(*(partners.get(word, ()) for word in touched))
        tokens = sorted(token for word in linked for token in tokens_of.get(word, ()))
        stretches.append(_longest_stretch(tokens))
    return stretches


def _longest_stretch(numbers: Sequence[int]) -> tuple[int, int]:
    """First and last of the longest run of numbers that follow one another; 0 for none."""
    best = first = last = 0
    found = 0, 0
    for number in numbers:
        if number > last + 1 or not first:
            first = number
        last = number
        if last - first + 1 > best:
            best, found = last - first + 1, (first, last)
    return found


def align(pairs: Iterable[tuple[str, str]]) -> str:
    """Aligns the words of pairs by eflomal, in both directions.

    Links are symmetrised by grow-diag-final-and (Koehn et al. 2005).

    Args:
        pairs: source and target texts.

    Returns:
        a line of links for each pair.

    Raises:
        InputError: when eflomal is not installed.
    """
    try:
        import eflomal
    except ImportError as error:
        raise InputError(
            'eflomal, which aligns words, is not installed: pip install "keras_transformer[align]" '
            "(it needs a C compiler), or give a file of alignments (training.alignments)."
        ) from error
    sides: tuple[list[str], list[str]] = ([], [])
    for pair in pairs:
        for text, lines in zip(pair, sides, strict=True):
            lines.append(" ".join(_stem(text, span) for span in word_spans(text)))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("forward", "backward")]
        eflomal.Aligner().align(
            *sides, links_filename_fwd=str(files[0]), links_filename_rev=str(files[1])
        )
        found = [file.read_text().splitlines() for file in files]
    lines = [
        format_links(symmetrised(parse_links(one, "eflomal"), parse_links(other, "eflomal")))
        for one, other in zip_longest(*found, fillvalue="")
    ]
    return "".join(f"{line}\n" for line in lines)


def _stem(text: str, span: Span) -> str:
    """What a word is to the aligner: without capitals and punctuation, if anything is left."""
    word = text[slice(*span)].lower()
    return _PUNCTUATION.sub("", word) or word


def symmetrised(forward: Links, backward: Links) -> Links:
    """Links of both directions as one, by grow-diag-final-and, sorted.

    What both have, what one has beside those for a word that has none yet, and then what one has
    for two words that have none.
    """
    union = {*forward, *backward}
    found = {*forward} & {*backward}
    sources, targets = ({link[side] for link in found} for side in (0, 1))

    def add(link):
        found.add(link)
        sources.add(link[0])
        targets.add(link[1])

    grown = True
    while grown:
        grown = False
        for source, target in sorted(found):
            for i, j in _NEIGHBOURS:
                link = source + i, target + j
                is_new = link in union and link not in found
                if is_new and (link[0] not in sources or link[1] not in targets):
                    add(link)
                    grown = True
    for links in (forward, backward):
        for link in links:
            if link[0] not in sources and link[1] not in targets:
                add(link)
    return sorted(found)
