"""Learns subword vocabularies with the trainers of well-kept libraries.

Both trainers are deterministic: the same lines and size give the same vocabulary in any process.
"""

import io
import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import sentencepiece
import tensorflow as tf
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from keras_transformer.data.text.casing import factor, lower
from keras_transformer.data.text.normalization import normalize
from keras_transformer.data.text.placeholders import KEPT, mask
from keras_transformer.data.text.scripts import SPACED_RUN
from keras_transformer.data.text.strings import string_tensor
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START, UNK
from keras_transformer.unicode import utf8

CONTINUATION = "##"  # what vocab.txt writes before a piece that continues a word
WORD_START = "▁"  # what SentencePiece writes before a piece that starts a word

LONGEST_PIECE = 255
"""Most UTF-8 bytes of a piece: those that the matcher of tensorflow_text takes, less its mark."""

LONGEST_WORD = 100
"""Most characters of a word that pieces are learned from, as of BERT's words. What is longer is no
word: rules of dashes, laughter, addresses, data; or it is text of a script without spaces."""

LONGEST_LINE = 100_000
"""Most UTF-8 bytes of a line that SentencePiece learns from."""


def normalized_lines(
    lines: Iterable[str], style: str, case: str, *, masked: bool = False
) -> Iterator[str]:
    """Yields the lines that are not empty once normalised, a batch of them at a time.

    Args:
        lines: text.
        style: what they are normalised to.
        case: one of `CASES`, what becomes of capitals.
        masked: leave out what is not translated.
    """
    lines = iter(lines)
    while batch := list(itertools.islice(lines, 8192)):
        text = string_tensor(batch)
        if masked:
            text = tf.strings.regex_replace(mask(text).texts, KEPT, " ")
        text = normalize(text, style)
        if case == "lower":
            text = lower(text)
        elif case == "factored":
            words, _, _ = factor(tf.strings.split(text))
            text = tf.strings.reduce_join(words, axis=-1, separator=" ")
        for line in text.numpy():
            if line:
                yield line.decode()


def learn_wordpiece(
    lines: Iterable[str], vocab_size: int, marks: tuple[str, ...] = ()
) -> list[str]:
    """Learns WordPiece pieces from white-space words.

    Every character seen is a piece, at the start of a word and within it, so that any text written
    in these characters can be split. If the size does not allow that, the rarest are left out.
    Words of more than `LONGEST_WORD` characters teach no other pieces; text of scripts without
    spaces teaches in parts of so many.

    Args:
        lines: normalised text.
        vocab_size: the number of pieces wanted; a small corpus gives fewer.
        marks: pieces after the reserved tokens that no text yields.

    Returns:
        The pieces, reserved tokens first, in the notation of a vocab.txt.

    Raises:
        InputError: no text, or a size without room for characters.
    """
    lines = [utf8(line).decode("utf-8", "replace") for line in lines]
    characters = Counter()
    for line in lines:
        characters.update(line)
    del characters[" "]
    if not characters:
        raise InputError("no text to learn a vocabulary from: give at least one line with words")
    control = [*RESERVED_TOKENS, *marks]
    room = (vocab_size - len(control)) // 2
    if room < 1:
        raise InputError(f"vocab_size {vocab_size} is too small: ask for some thousand pieces")
    by_frequency = sorted(characters, key=lambda character: (-characters[character], character))
    alphabet = sorted(by_frequency[:room])

    # Pieces that continue a word begin with a space here: no word can contain one, while a word
    # may well begin with "##". Naming all single characters up front fixes their ids, which the
    # trainer would hand out in the random order of a hash map.
    seeds = [*control, *alphabet, *(" " + character for character in alphabet)]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        # It takes memory for so many; every piece that it learns is a part of the text.
        vocab_size=min(vocab_size, len(seeds) + sum(map(len, lines))),
        special_tokens=seeds,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=" ",
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(_words_that_teach, lines), trainer)
    vocabulary = tokenizer.get_vocab()
    pieces = [
        CONTINUATION + piece[1:] if piece.startswith(" ") else piece
        for piece in sorted(vocabulary, key=vocabulary.get)
        if not piece.startswith(CONTINUATION)  # would read as a continuation in vocab.txt
    ]
    # A word of so many characters may have up to four times as many bytes.
    return [piece for piece in pieces if len(piece.encode()) <= LONGEST_PIECE][:vocab_size]


def _words_that_teach(line: str) -> str:
    """A line without what is too long for a word."""
    if len(line) <= LONGEST_WORD:
        return line
    words = []
    for word in line.split():
        if len(word) > LONGEST_WORD:
            word = SPACED_RUN.sub(_unless_too_long, word)
        for run in word.split():
            words += (run[i : i + LONGEST_WORD] for i in range(0, len(run), LONGEST_WORD))
    return " ".join(words)


def _unless_too_long(run: re.Match) -> str:
    return run[0] if len(run[0]) <= LONGEST_WORD else " "


def learn_sentencepiece(
    lines: Iterable[str], vocab_size: int, marks: tuple[str, ...] = ()
) -> bytes:
    """Learns a SentencePiece unigram model with byte fallback.

    Args:
        lines: normalised text.
        vocab_size: the number of pieces wanted, 256 bytes included; a small corpus gives fewer.
        marks: pieces after the reserved tokens that no text yields.

    Returns:
        The serialised model, reserved tokens at ids 0 to 3.

    Raises:
        InputError: no text, or a size without room for bytes and characters.
    """
    model = io.BytesIO()
    lines = (utf8(line).decode("utf-8", "replace") for line in lines)
    first = next(lines, None)
    if first is None:
        raise InputError("no text to learn a vocabulary from: give at least one line with words")

    sizes = []  # of the shortest line and of those it took the place of, in bytes

    def sentences() -> Iterator[str]:
        for line in itertools.chain([first], lines):
            size = len(line.encode())
            if not sizes or size < sizes[-1]:
                sizes.append(size)
            yield line

    with tempfile.TemporaryDirectory() as folder:
        # The model writes a space as WORD_START, U+2581: text that has one keeps it as "_".
        rules = Path(folder) / "rules.tsv"
        rules.write_text("2581\t5F\n")
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=sentences(),
                model_writer=model,
                model_type="unigram",
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                byte_fallback=True,
                character_coverage=0.9999,
                normalization_rule_tsv=str(rules),
                max_sentence_length=LONGEST_LINE,  # longer lines are not learned from
                pad_id=PAD,
                unk_id=UNK,
                bos_id=START,
                eos_id=END,
                pad_piece="[PAD]",
                unk_piece="[UNK]",
                bos_piece="[START]",
                eos_piece="[END]",
                unk_surface=" [UNK]",
                control_symbols=list(marks),
                num_threads=4,  # fixed: sums over threads decide the last digits of the scores
                minloglevel=2,
            )
        except RuntimeError as error:
            if sizes[-1] > LONGEST_LINE:
                raise InputError(
                    f"SentencePiece learns from lines of at most {LONGEST_LINE:,} bytes, and the "
                    f"shortest of this text has {sizes[-1]:,}: give one sentence a line"
                ) from error
            raise InputError(
                f"SentencePiece cannot learn {vocab_size} pieces from this text: use a larger "
                f"vocab_size or more text ({' '.join(str(error).split())})"
            ) from error
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    proto.normalizer_spec.normalization_rule_tsv = ""  # a path of this machine; the rule is kept
    return proto.SerializeToString(deterministic=True)
