"""A fragment of HTML or XML, such as a line of a message: one text with tags, whatever they are."""

from collections.abc import Iterable

from keras_transformer.documents.base import Languages
from keras_transformer.documents.html import VOID, HtmlDocument
from keras_transformer.documents.html_tokens import Token, tokens_of

_WITHOUT_TAGS = ("script", "style")


class FragmentDocument(HtmlDocument):
    """A fragment: elements of all names are inside sentences, and attributes are no texts.

    A slash at its end closes a start tag, and what HTML ends by itself, such as ``<br>``, has no
    content unless an end tag of its name is there. All else is as in pages. There is one text at
    most.

    Args:
        text: the fragment.
    """

    def __init__(self, text: str):
        self._tokens = list(tokens_of(text, is_xml=True, without_tags=_WITHOUT_TAGS))
        self._ended = {token.name for token in self._tokens if token.kind == "end"}
        super().__init__([text], "the fragment", Languages())

    def _tokens_of(self) -> Iterable[Token]:
        return self._tokens

    def _is_inline(self, name: str) -> bool:
        return True

    def _stands_alone(self, token: Token) -> bool:
        unquoted = token.attributes and not token.attributes[-1].quote
        ends_value = unquoted and token.attributes[-1].end == token.stop - 1
        if self._source[token.stop - 2] == "/" and not ends_value:
            return True
        return token.name in VOID and token.name not in self._ended

    def _read_attributes(self, token: Token) -> None:
        pass
