"""From human text to the corpus' style and back, inside the graph.

The reference corpus (TED talks) is lower-cased and tokenised the way of the Penn Treebank:
``i don't know.`` is written ``i do n't know .`` and a quotation ``"so"`` is written
``` `` so ''```. `normalize` brings raw text into that style, `humanize` goes the other way. Both
are tables of RE2 replacements run by `tf.strings`, so they work in eager code, in `tf.data` and
inside an exported SavedModel.

RE2 has no look-ahead: a rule that needs a neighbour captures it and writes it back.
"""

from collections.abc import Iterable

import tensorflow as tf
import tensorflow_text as tf_text

from keras_transformer.data.text.strings import string_tensor, valid_utf8
from keras_transformer.errors import InputError
from keras_transformer.languages import primary_language

STYLES = ("ptb-lower", "none")

Rules = Iterable[tuple[str, str]]

# Unicode white space and line ends; invisible formatting characters. The joiners U+200C and U+200D
# stay: emoji sequences and several scripts need them.
_SPACES = r"[\s\p{Z}\x{0B}\x{1C}-\x{1F}\x{85}]+"
_INVISIBLE = r"[\p{Cc}\x{AD}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2069}\x{FEFF}]+"

_NUL = r"\x{00}"  # ends a string for libraries in C

EMOJI = r"\x{1F000}-\x{1FAFF}\x{2600}-\x{27BF}\x{2B05}-\x{2B55}"
EMOJI_MODIFIERS = r"\x{FE0F}\x{200D}\x{20E3}\x{E0020}-\x{E007F}"

# Abbreviations that keep their period before another word. A lone consonant is an initial.
_ABBREVIATIONS = (
    r"(?:[a-z]\.)+[a-z]|[b-df-hj-np-z]|mr|mrs|ms|dr|dra|prof|profa|sr|sra|srta|st|jr|vs|etc|ex|no"
    r"|av|pág|eng|gen|sgt|capt|inc|ltd|co|corp|approx|dept|est|fig|vol"
)
_KEPT_PERIOD = "\x01"  # cannot occur in the text: control characters are gone by then

# Words the Treebank splits although nothing but convention parts them.
_SPLIT_WORDS = (
    ("cannot", "can not"),
    ("gonna", "gon na"),
    ("wanna", "wan na"),
    ("gotta", "got ta"),
)

_TREEBANK: Rules = (
    # Characters with a plain twin.
    ("…", "..."),
    (r"[\x{2010}\x{2011}]", "-"),
    ("[‘’‚‛ʼ´]", "'"),
    ("[“„‟«]", " `` "),
    ("[”»]", " '' "),
    # A straight quote opens after a space and before a word; everywhere else it closes.
    (r'(^|[\s(\[{<—–])"(\S)', r"\1 `` \2"),
    (r"\"|''", " '' "),
    # Punctuation that always stands alone; dashes and dots in runs.
    (r"[;?!¿¡@#$%&*(){}<>\[\]]", r" \0 "),
    (rf"[{EMOJI}][{EMOJI}{EMOJI_MODIFIERS}]*", r" \0 "),
    (r"[—–]|--+|\.\.+|``", r" \0 "),
    # Commas and colons, unless a digit follows (1,000 and 2:30).
    (r"([,:]+)([^0-9,:]|$)", r" \1 \2"),
    # A closing apostrophe ("the doctors' idea").
    (r"([^'\s])'(\s|$)", r"\1 ' \2"),
    # The period that ends the line, before closing quotes and brackets.
    (r"([^.\s])\.((?:\s+(?:''|[')\]}]))*)\s*$", r"\1 .\2"),
    # A period that ends a sentence within the line.
    (rf"(^|[^\pL\pN.])({_ABBREVIATIONS})\.\s", rf"\1\2{_KEPT_PERIOD} "),
    (r"([^.\s])\.(\s)", r"\1 .\2"),
    (_KEPT_PERIOD, "."),
    # English contractions.
    (r"(\S)('(?:s|m|d|ll|re|ve))(\s|$)", r"\1 \2\3"),
    (r"(\S)(n't)(\s|$)", r"\1 \2\3"),
    *((rf"\b{joined}\b", split) for joined, split in _SPLIT_WORDS),
)

# What the corpus' style has, and what it never has. A line with the first and without the second
# is left as it is: its odd spellings (u.s. within a line, a stray ’) are the corpus' own.
_TREEBANK_SIGN = r"(?s)(?:.*\s)?(?:[.,?!:;)]|''|n't|'s|'m|'re|'ve|'ll)(?:\s.*)?"
_RAW_SIGN = (
    r"(?s).*(?:"
    r"\p{Lu}|[\"“”„«»…]"
    r"|[^\s.][,;?!)\]}](?:\s|$)|[^\s.=]:(?:\s|$)"
    r"|(?:^|\s)[(\[{¿¡][^\s]"
    r"|\pL(?:n't|'(?:s|m|d|ll|re|ve))(?:\s|$)"
    r"|\pL\.\.\.|\pL\pL\.$"
    r").*"
)

# An address that was parted at its @.
_ADDRESSES = (r"([\pL\pN_.+-]) @ ([\pL\pN-]+(?:\.[\pL\pN-]+)+)", r"\1@\2")

_CLITICS: Rules = (
    (r"(\S) (n't|'(?:s|m|d|ll|re|ve))( |$)", r"\1\2\3"),
    (r"(\S) ('(?:s|m|d|ll|re|ve))( |$)", r"\1\2\3"),  # again, for "would n't 've"
    *((rf"\b{split}\b", joined) for joined, split in _SPLIT_WORDS),
)


def _human(*, leaning: str, signs: str, clitics: Rules = (), quotes: Rules = ()) -> Rules:
    """Rules that write the corpus' style as people do.

    Args:
        leaning: punctuation that leans on the word before, besides closing brackets.
        signs: signs that lean on what follows.
        clitics: of the language.
        quotes: quotations that it writes in its own way.
    """
    return (
        _ADDRESSES,
        *quotes,
        # The corpus doubles some quotes: a run that starts with an opening one opens, others close.
        (r"(^| )``(?: (?:``|''))*(?: |$)", r'\1"'),
        (r"(?:^| )''(?: '')*( |$)", r'"\1'),
        *clitics,
        # Punctuation that leans on the word before, or on the word after.
        (rf" ([{leaning})\]}}])", r"\1"),
        (r" (\.+)([^\pL\pN._]|$)", r"\1\2"),
        (r" '( |$|[.,;:?!)\]}\"])", r"'\1"),
        (r"([(\[{¿¡]) ", r"\1"),
        (rf"(^| )([{signs}]) ([\pL\pN])", r"\1\2\3"),
        (": //", "://"),
    )


# The style writes „Ja“ as `` ja `` and »Ja« as '' ja ``. Within a quotation there is no other sign
# of one; the second kind is told from what stands between two quotations where it comes first.
_PLAIN = r"(?:[^`']|'[^'`])"
_LOW_QUOTES: Rules = (
    (rf"(^| )`` ({_PLAIN}+?) ``( |$)", r'\1"\2"\3'),
    (rf"^({_PLAIN}*?)'' ({_PLAIN}+?) ``( |$)", r'\1"\2"\3'),
)

_HUMAN = _human(leaning=",;:?!%", signs="$#", clitics=_CLITICS)
"""For English and Portuguese."""

_HUMAN_FRENCH = _human(leaning=",", signs="#", quotes=_LOW_QUOTES)
"""Of French, with spaces before ; : ? ! and %."""

_HUMAN_ELSEWHERE = _human(leaning=",;:?!", signs="#", quotes=_LOW_QUOTES)
"""Of other languages: many have a space before %."""


def _human_rules(language: str | None) -> Rules:
    if _is_english_or_portuguese(language):
        return _HUMAN
    return _HUMAN_FRENCH if primary_language(language) in ("fr", "fra", "fre") else _HUMAN_ELSEWHERE


def _is_english_or_portuguese(language: str | None) -> bool:
    return language is None or primary_language(language) in ("en", "eng", "pt", "por")


# BERT's splitting parts every punctuation character; this restores the Treebank's tokens.
_BERT: Rules = (
    (r"` `", "``"),
    (r"' '", "''"),
    (r" n ' t( |$)", r" n't\1"),
    (r"(\pL) ' (t)( |$)", r"\1'\2\3"),
    (r" ' (s|m|d|ll|re|ve)( |$)", r" '\1\2"),
    (r"\. \. \.", "..."),
    (r"([0-9]) ([.,:]) ([0-9])", r"\1\2\3"),
    (r"(\pL) - (\pL)", r"\1-\2"),
)


# Of it, what is of no language; an apostrophe within a word (l'homme).
_BERT_ELSEWHERE: Rules = (
    (r"` `", "``"),
    (r"' '", "''"),
    (r"(\pL) ' (\pL)", r"\1'\2"),
    (r"\. \. \.", "..."),
    (r"([0-9]) ([.,:]) ([0-9])", r"\1\2\3"),
    (r"(\pL) - (\pL)", r"\1-\2"),
)


def _replace(text: tf.Tensor, rules: Rules) -> tf.Tensor:
    for pattern, replacement in rules:
        text = tf.strings.regex_replace(text, pattern, replacement)
    return text


def _tidy_spaces(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.strip(tf.strings.regex_replace(text, _SPACES, " "))


def check_style(style: str) -> str:
    """Returns `style`, or raises `InputError` where it is none of `STYLES`."""
    if style not in STYLES:
        raise InputError(f"unknown normalisation {style!r}: use one of {', '.join(STYLES)}")
    return style


def normalize(text: tf.Tensor | str | list[str], style: str = "ptb-lower") -> tf.Tensor:
    """Brings text into the style a corpus is written in.

    A line that already is in that style comes back unchanged, so normalising twice is the same as
    normalising once.

    Args:
        text: strings of any shape, UTF-8.
        style: "ptb-lower" for lower-cased Penn Treebank tokens with composed accents (the TED
            corpus), or "none", which only replaces invalid UTF-8, squeezes white space and drops
            NUL.

    Returns:
        Strings of the same shape.

    Raises:
        InputError: unknown style.
    """
    check_style(style)
    text = valid_utf8(string_tensor(text))
    if style == "none":
        return _tidy_spaces(tf.strings.regex_replace(text, _NUL, ""))
    return tf.reshape(_in_treebank_style(tf.reshape(text, [-1])), tf.shape(text))


def _in_treebank_style(text: tf.Tensor) -> tf.Tensor:
    """Strings of valid UTF-8, ``(n,)``, in the style "ptb-lower"."""
    text = tf.strings.regex_replace(text, _SPACES, " ")
    text = _tidy_spaces(tf.strings.regex_replace(text, _INVISIBLE, ""))
    lowered = tf_text.normalize_utf8(tf.strings.lower(text, encoding="utf-8"), "NFC")
    is_treebank = tf.logical_and(
        tf.strings.regex_full_match(text, _TREEBANK_SIGN),
        tf.logical_not(tf.strings.regex_full_match(text, _RAW_SIGN)),
    )
    others = tf.where(~is_treebank)
    changed = _tidy_spaces(_replace(tf.gather_nd(lowered, others), _TREEBANK))
    return tf.tensor_scatter_nd_update(lowered, others, changed)


def humanize(
    text: tf.Tensor | str | list[str], style: str = "ptb-lower", language: str | None = None
) -> tf.Tensor:
    """Writes text of a corpus' style as people do: `resolve .` → `resolve.`, `do n't` → `don't`.

    Capitals that `normalize` dropped do not come back.

    Args:
        text: strings of any shape, in the corpus' style.
        style: the style the text was normalised to; "none" returns it as it is.
        language: its code, such as `de` or `fr-CA`. English clitics are joined in English and
            Portuguese alone, which is what a text of no language counts as.

    Returns:
        Strings of the same shape.

    Raises:
        InputError: unknown style.
    """
    check_style(style)
    text = string_tensor(text)
    if style == "none":
        return text
    return tf.strings.strip(_replace(text, _human_rules(language)))


def humanize_bert(text: tf.Tensor | str | list[str], language: str | None = None) -> tf.Tensor:
    """`humanize` for text that BERT's splitting took apart (`don ' t`, `14 - year`).

    The tutorial's converter detokenizes to such text.
    """
    rules = _BERT if _is_english_or_portuguese(language) else _BERT_ELSEWHERE
    return humanize(_replace(string_tensor(text), rules), language=language)
