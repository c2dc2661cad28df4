"""Texts of Python as UTF-8, which is what TensorFlow and files hold."""

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
        raise InputError(f"a text is a str or bytes; got {type(text).__name__}: {text!r:.60}")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        units = text.encode("utf-16-le", errors="surrogatepass")
        return units.decode("utf-16-le", errors="replace").encode("utf-8")
