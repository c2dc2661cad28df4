"""Texts of clients, made harmless for terminals, logs and answers."""

import unicodedata

_MOST = 1000  # characters
_TAIL = 200  # of them from the end, where messages say what to do


def plain(text: str, most: int = _MOST, *, lines: bool = False) -> str:
    """A text without control characters and marks of direction, and of bounded length.

    Args:
        text: any string, lone surrogates included.
        most: of its characters that are kept; what is left out stands between the first of them
            and the last.
        lines: line feeds and tabs may stay, as in a traceback.

    Returns:
        the text, with escapes such as ``\\x1b`` and ``\\u202e`` in place of what is not seen. UTF-8
        can say it.
    """
    if len(text) > most:
        head, tail = text[: most - min(_TAIL, most // 2)], text[-min(_TAIL, most // 2) :]
        text = f"{head}[... {len(text) - most} characters ...]{tail}"
    if text.isprintable():
        return text
    return "".join(
        character if _is_seen(character) or (lines and character in "\n\t") else _escape(character)
        for character in text
    )


def _is_seen(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
