"""Texts of Python as UTF-8, which is what TensorFlow and files hold."""

from collections.abc import Iterable, Iterator, Mapping

from keras_transformer.errors import InputError


def utf8(text: str | bytes) -> bytes:
    """A text in UTF-8.

    Half of a surrogate pair, such as JavaScript leaves of an emoji that it cuts, has no UTF-8: it
    becomes U+FFFD, the replacement character, as bytes that are no UTF-8 do elsewhere. Two halves
    that belong together become their character.

    Args:
        text: what is bytes already stays as it is.

    Raises:
        InputError: for what is no text.
    """
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        shown = " ".join(repr(text).split())
        raise InputError(f"a text is a str or bytes; got {type(text).__name__}: {shown:.60}")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        units = text.encode("utf-16-le", errors="surrogatepass")
        return units.decode("utf-16-le", errors="replace").encode("utf-8")


def each_text(texts: Iterable[str | bytes], name: str) -> Iterator[str | bytes]:
    """An iterator over several texts.

    Args:
        texts: several texts.
        name: of the argument, for the error.

    Raises:
        InputError: for one text, which would count as its characters, and for what is no list.
    """
    if isinstance(texts, str | bytes):
        raise InputError(f"{name} are several texts; got one: put it in a list.")
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise InputError(f"{name} are several texts; got {type(texts).__name__}: give a list.")
    return iter(texts)


def utf8_list(texts: Iterable[str | bytes], name: str) -> list[bytes]:
    """Texts in UTF-8, in order; see `utf8` and `each_text`."""
    return [utf8(text) for text in each_text(texts, name)]
