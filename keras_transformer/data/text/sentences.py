"""Divides texts into sentences, in operations of TensorFlow alone.

A text is divided by white space into words, and where a sentence ends is told from a word and the
next ones by rules. Sentences are spans of the text, so that dividing loses and doubles nothing.

What has no letter (bullets, numbers of lists, rules, emoji) is no sentence: it stands between them,
with the white space and the line ends.
"""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_text as tf_text

from keras_transformer.data.text.strings import begins_run, string_tensor, valid_utf8
from keras_transformer.languages import primary_language

_LINE_END = r"(?:\r\n|[\n\r\x{0B}\x{0C}\x{85}\x{2028}\x{2029}])"
_SPACE = r"[\t \x{1C}-\x{1F}\x{A0}\p{Zs}]"

_CLOSERS = r"(?:['\"’”»›)\]}*_`]|\[[0-9]{1,3}\])*"
_STOPS = r"[.!?…؟۔։።]"
# No space need follow these: of Chinese and Japanese, Hindi, Burmese, Khmer.
_STOPS_WITHOUT_SPACE = r"[。！？｡।॥။។]+"
_CLOSED = r"[’”»」』）］】〉》)]+"

_WORD_ENDS = rf"(?s:.*){_STOPS}{_CLOSERS}"
_ELLIPSIS = rf"(?s:.*)(?:\.\.|…){_CLOSERS}"
_LONE_CLOSERS = r"(?:''|[’”»›)\]}])+"

_OPENERS = r"(?:``|[\"'‘“„«‹¿¡(\[{*_`–—-])*"
_BEGINS_LOWER = rf"{_OPENERS}\p{{Ll}}(?s:.*)"
_BEGINS_UPPER = rf"{_OPENERS}[\p{{Lu}}\p{{Lt}}](?s:.*)"
_BEGINS_NUMBER = rf"{_OPENERS}(?:[0-9\p{{Co}}](?s:.*)|[IVXLC]+[.,;:)]*)"  # or a placeholder
_GOES_ON = r"[,;:)\]}](?s:.*)"
_DASH = r"[-–—]+"

# At the beginning of a line: what marks a list, a heading or a quotation of an e-mail.
_BULLET = (
    r"[-–—*•◦▪▫‣⁃·●○■□►]+|#{1,6}|>+|\[[ xX]?\]"
    r"|\(?(?:[0-9]{1,3}|\pL|[ivx]{1,4}|[IVX]{1,4})\)"
    r"|(?:[0-9]{1,3}\.)+|[0-9]{1,3}(?:\.[0-9]{1,3}){2,}"
)
_NESTED_BULLETS = 3

# A period after these does not end a sentence: titles and what explains.
_NEVER_LAST = (
    r"sr|sra|srta|srs|sras|dr|dra|drs|dras|prof|profa|profs|eng|enga|arq|adv|exmo|exma|ilmo|ilma"
    r"|v\.exa|d|dom|fr|pe|sto|sta|st|ste|gen|cel|cap|ten|sgt|maj|capt|col|cmdr|lt|adm|gov|pres|sen"
    r"|rep|rev|hon|messrs|mr|mrs|ms|mx|mme|mlle|hr|herr|frau|ing|mag|univ|av|r|al|pça|trav|rod|edif"
    r"|i\.?\s?e|e\.?\s?g|p\.?ex|ex|cf|vs|viz|ca|aprox|approx|tel|bzw|z\.b|d\.h|u\.a|usw|ggf|vgl|bspw"
    r"|dgl|sog|inkl|evtl|etw|mind|max|min|p\.\s?ej|ej|ud|uds|vd|vds|lic|dña"
)
# After these only where no number follows.
_BEFORE_NUMBERS = (
    r"no|nos|nº|n|nr|num|núm|p|pp|pg|pgs|pág|págs|pag|pags|s|ss|f|ff|fl|fls|fig|figs|art|arts|cap|caps|vol|vols"
    r"|ed|sec|sect|seç|eq|eqs|ref|refs|tab|item|inc|lin|v|vv|ch|chap|chs|bd|abb|kap|abs|nrs"
    r"|jan|feb|fev|mar|apr|abr|may|mai|jun|jul|aug|ago|sep|sept|set|oct|out|nov|dec|dez|dic"
)
# After these only where a capital follows.
_MAYBE_LAST = (
    r"etc|a\.m|p\.m|inc|ltd|ltda|cia|corp|co|bros|jr|sr|ph\.d|a\.c|d\.c|b\.c|a\.d|s\.a|et\sal|al|dept"
    r"|depto|est|min|seg|hrs|ed|eds|org|trad"
)


def _abbreviation(words: str) -> str:
    return rf"(?i){_OPENERS}(?:{words})\."


_INITIAL = rf"{_OPENERS}(?:\p{{Lu}}\.-?)*\p{{Lu}}\."
_LOWER_INITIAL = rf"{_OPENERS}(?:(?:\p{{Ll}}\.-?)+\p{{Ll}}|[b-df-hj-np-z])\."
_ORDINAL = rf"{_OPENERS}[0-9]{{1,2}}\."
_WITH_ORDINALS = frozenset(
    ("cs", "da", "de", "et", "fi", "hr", "hu", "is", "lv", "nb", "nn", "no", "sk", "sl", "sr", "tr")
)
"""Languages that write a period after ordinal numbers: 3. Mai."""


class Sentences(NamedTuple):
    """Sentences of texts, and what stands between them.

    Every text is its gaps and sentences in turn, and its tail. It has one sentence or more: of a
    text without letters it is empty.

    Attributes:
        texts: the sentences, strings ``(sentences,)``.
        gaps: what stands before each of them, back to the one before or the beginning of the text,
            ``(sentences,)``.
        owners: the number of the text that each belongs to, int32 ``(sentences,)``, in order.
        tails: what stands after the last sentence of each text, strings ``(batch,)``.
    """

    texts: tf.Tensor
    gaps: tf.Tensor
    owners: tf.Tensor
    tails: tf.Tensor


def whole_texts(text: tf.Tensor) -> Sentences:
    """Texts as one sentence each."""
    nothing = tf.fill([tf.size(text)], "")
    return Sentences(text, nothing, tf.range(tf.size(text)), nothing)


def split_sentences(text: tf.Tensor | str | list[str], language: str | None = None) -> Sentences:
    """Divides texts into sentences.

    Line ends always part sentences. Within a line a stop does, unless what follows shows that the
    sentence goes on: a letter that is not a capital, in a text that has capitals, or what its word
    is known for: abbreviations, initials, numbers.

    Args:
        text: strings, ``(batch,)``, UTF-8; U+FFFD takes the place of bytes that are none.
        language: code of the language of the texts, for rules that not all languages share.
    """
    text = valid_utf8(tf.reshape(string_tensor(text), [-1]))
    words, begins, ends = tf_text.regex_split_with_offsets(
        text,
        f"{_LINE_END}|{_SPACE}+|{_STOPS_WITHOUT_SPACE}(?:{_CLOSED})?",
        f"{_LINE_END}|{_STOPS_WITHOUT_SPACE}(?:{_CLOSED})?",
    )
    rows = tf.cast(words.value_rowids(), tf.int32)
    adjacent = _next(begins.flat_values) == ends.flat_values
    first, bullet = _begins_sentence(words, rows, adjacent, language)
    # Spans of words, and those of them that have letters.
    span = tf.cumsum(tf.cast(first, tf.int32)) - 1
    lettered = tf.strings.regex_full_match(words.flat_values, r"(?s:.*)\pL(?s:.*)") & ~bullet
    translated = tf.math.segment_max(tf.cast(lettered, tf.int32), span) > 0
    start = tf.boolean_mask(tf.math.segment_min(begins.flat_values, span), translated)
    stop = tf.boolean_mask(tf.math.segment_max(ends.flat_values, span), translated)
    owners = tf.boolean_mask(tf.math.segment_min(rows, span), translated)
    return _from_spans(text, tf.cast(start, tf.int32), tf.cast(stop, tf.int32), owners)


def _from_spans(text, start, stop, owners) -> Sentences:
    """Sentences from their places in the texts, in bytes, and the numbers of the texts."""
    count = tf.size(text)
    lengths = tf.strings.length(text)
    # A text without sentences has an empty one at its end.
    without = tf.cast(tf.where(tf.math.bincount(owners, minlength=count) == 0)[:, 0], tf.int32)
    at_end = tf.gather(lengths, without)
    owners = tf.concat([owners, without], 0)
    order = tf.argsort(owners, stable=True)
    owners = tf.gather(owners, order)
    start = tf.gather(tf.concat([start, at_end], 0), order)
    stop = tf.gather(tf.concat([stop, at_end], 0), order)
    is_first = begins_run(owners)
    before = tf.where(is_first, 0, _shifted(stop))
    of_sentence = tf.gather(text, owners)
    last = tf.ensure_shape(tf.math.segment_max(stop, owners), text.shape)
    return Sentences(
        tf.strings.substr(of_sentence, start, stop - start),
        tf.strings.substr(of_sentence, before, start - before),
        owners,
        tf.strings.substr(text, last, lengths - last),
    )


def _begins_sentence(
    words: tf.RaggedTensor, rows: tf.Tensor, adjacent: tf.Tensor, language: str | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Which words begin a sentence or something else, and which are bullets, bool ``(words,)``.

    Args:
        words: of each text, ``(batch, None)``; line ends are words.
        rows: the number of the text of each word, ``(words,)``.
        adjacent: whether there is nothing between a word and the next one, ``(words,)``.
        language: see `split_sentences`.
    """
    word = words.flat_values

    def matches(pattern):
        return tf.strings.regex_full_match(word, pattern)

    begins_text = begins_run(rows)
    line_end = matches(_LINE_END)
    begins_line = begins_text | _shifted(line_end)
    # Bullets, of which there may be several: "> - 1. text".
    is_bullet, bullet = matches(_BULLET), tf.zeros_like(line_end)
    for _ in range(_NESTED_BULLETS):
        bullet |= is_bullet & (begins_line | _shifted(bullet) & ~begins_text)
    # Whether a text has capitals: where it has none, they tell nothing.
    upper = tf.cast(matches(r"(?s:.*)[\p{Lu}\p{Lt}](?s:.*)"), tf.int32)
    cased = tf.math.unsorted_segment_max(upper, rows, tf.cast(words.nrows(), tf.int32)) > 0
    cased = tf.gather(cased, rows)
    # What the next word looks like; of a lone dash, the one after it.
    dash = matches(_DASH)

    def of_next(what):
        return _next(tf.where(dash, _next(what), what))

    next_lower = of_next(matches(_BEGINS_LOWER))
    next_upper = of_next(matches(_BEGINS_UPPER))
    next_number = _next(matches(_BEGINS_NUMBER))
    stop = matches(_WORD_ENDS) & ~_next(matches(_GOES_ON))
    stop &= ~(matches(_ELLIPSIS) & (next_lower | ~cased))
    stop &= ~(matches(_abbreviation(_BEFORE_NUMBERS)) & next_number)
    stop &= ~(matches(_abbreviation(_MAYBE_LAST)) & ~next_upper)
    stop &= ~(cased & next_lower)
    stop &= ~matches(_abbreviation(_NEVER_LAST))
    stop &= ~matches(_INITIAL)
    stop &= ~(matches(_LOWER_INITIAL) & ~next_upper)
    if language is not None and primary_language(language) in _WITH_ORDINALS:
        stop &= ~matches(_ORDINAL)
    # Closing quotes that stand alone belong to the sentence before.
    closes = matches(_LONE_CLOSERS) & ~begins_line
    for _ in range(2):
        stop |= closes & _shifted(stop)
    stop &= ~(_next(closes))
    # 「はい。」と言った。
    quoted = matches(_STOPS_WITHOUT_SPACE + _CLOSED) & adjacent & _next(matches(r"\pL(?s:.*)"))
    stop |= matches(rf"{_STOPS_WITHOUT_SPACE}(?:{_CLOSED})?") & ~quoted
    stop |= line_end | bullet
    return begins_text | line_end | _shifted(stop), bullet


def _shifted(values: tf.Tensor) -> tf.Tensor:
    """For each the value before; for the first, false or 0."""
    return tf.pad(values, [[1, 0]])[:-1]


def _next(values: tf.Tensor) -> tf.Tensor:
    """For each the value after; for the last, false or 0."""
    return tf.pad(values, [[0, 1]])[1:]
