"""Scripts that are written without spaces between words, by their ranges of Unicode.

Chinese, Japanese, Thai, Lao, Tibetan, Burmese and Khmer. Where text in them has spaces, these part
sentences or clauses, so that what stands between two is no word.
"""

import re

_KANA = r"\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_HAN = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Thai to Tibetan, Burmese, Khmer, and further blocks of Burmese.
_OTHERS = r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"

KANA = re.compile(f"[{_KANA}]")
HAN = re.compile(f"[{_HAN}]")
UNSPACED = re.compile(f"[{_KANA}{_HAN}{_OTHERS}]")
"""A character of a script without spaces."""

UNSPACED_RE2 = re.sub(r"\\[uU]([0-9a-f]+)", r"\\x{\1}", UNSPACED.pattern)
"""The same for operations of TensorFlow, in the syntax of RE2."""

SPACED_RUN = re.compile(f"[^{_KANA}{_HAN}{_OTHERS}]+")
"""As many characters as follow one another without one of a script without spaces."""


def is_unspaced(text: str) -> bool:
    """Whether more than half of the letters of a text are of scripts without spaces."""
    letters = unspaced = 0
    for character in text:
        if character.isalpha():  # vowels of some scripts are marks, not letters
            letters += 1
            unspaced += UNSPACED.match(character) is not None
    return 2 * unspaced > letters
