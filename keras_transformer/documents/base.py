"""What every format of documents is, and how the extras that read some are imported."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from keras_transformer.documents.markup import SpanLink
from keras_transformer.errors import InputError


class Languages(NamedTuple):
    """Codes of the languages of a translator; ``None`` for one that is not known."""

    source: str | None = None
    target: str | None = None


class Sentence(NamedTuple):
    """A sentence of a text, and its translation.

    Attributes:
        gap: what stands before it, back to the one before or the beginning of the text.
        source: the sentence.
        text: its translation.
        links: which parts of both belong together; ``None`` where nothing tells.
    """

    gap: str
    source: str
    text: str
    links: Sequence[SpanLink] | None = None


class TranslatedText(NamedTuple):
    """A text, its sentences and their translations.

    Attributes:
        sentences: of the text, in order; of a text without letters one that is empty.
        tail: what stands after the last sentence.
    """

    sentences: list[Sentence]
    tail: str

    @property
    def text(self) -> str:
        """The translation of the text, in its shape."""
        return "".join(part.gap + part.text for part in self.sentences) + self.tail


class Document(ABC):
    """A document of one format: it gives its texts, and takes their translations.

    It knows nothing of models. Args, where a format has no more of them, are ``lines`` with their
    ends, the ``name`` of the document, for errors, and `Languages`.

    Attributes:
        longest_line: in characters; of a longer one, as much arrives as if it were a line. -1 for
            any length.
    """

    longest_line = -1

    @property
    def wants_links(self) -> bool:
        """Whether `written` does better with the links of sentences."""
        return False

    @abstractmethod
    def texts(self) -> Iterator[str]:
        """The texts worth translating, in order."""

    @abstractmethod
    def written(self, translated: Iterable[TranslatedText]) -> Iterator[str]:
        """The translated document in parts.

        Args:
            translated: one for each of `texts`, in order.
        """


def import_extra(name: str):
    """A package of the extra ``documents``.

    Raises:
        InputError: where it is missing.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f'{name} cannot be imported ({error}): pip install "keras_transformer[documents]"'
        ) from error


def whole_text(text: str) -> tuple[str, str, str]:
    """A text as one sentence: the white space before it, the sentence, the white space after it."""
    body = text.lstrip()
    gap, sentence = text[: len(text) - len(body)], body.rstrip()
    return gap, sentence, body[len(sentence) :]
