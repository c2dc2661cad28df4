"""Plain text: each line is a text."""

from collections import deque
from collections.abc import Iterable, Iterator

from keras_transformer.documents.base import Document, Languages, TranslatedText
from keras_transformer.errors import InputError


class TextDocument(Document):
    """Plain text of any size: of its lines only those are held that are being translated.

    Line ends, blank lines, indentation and bullets come back as they were.

    Args:
        lines: with their ends.
        name: of the document, for errors.
        languages: none counts here.

    Raises:
        InputError: as its texts are read, for a line that is too long to be one.
    """

    longest_line = 2**22

    def __init__(self, lines: Iterable[str], name: str, languages: Languages):
        self._lines = lines
        self._name = name
        self._ends: deque[str] = deque()

    def texts(self) -> Iterator[str]:
        for number, line in enumerate(self._lines, 1):
            if len(line) >= self.longest_line:
                raise InputError(
                    f"{self._name}, line {number}: has {self.longest_line:,} characters or more: "
                    "divide it into lines."
                )
            text = line.rstrip("\r\n")
            self._ends.append(line[len(text) :])
            yield text

    def written(self, translated: Iterable[TranslatedText]) -> Iterator[str]:
        for text in translated:
            yield text.text + self._ends.popleft()
