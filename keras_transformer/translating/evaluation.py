"""Scores of translators on test sets, with their signatures; perplexity of language models."""

import logging
import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from keras_transformer.data.corpora.corpus import Pair, list_pairs
from keras_transformer.data.text.scripts import HAN, KANA, UNSPACED, is_unspaced
from keras_transformer.errors import InputError
from keras_transformer.files import reason_of
from keras_transformer.losses.masked import token_losses
from keras_transformer.unicode import each_text, utf8

logger = logging.getLogger(__name__)


class Translates(Protocol):
    """What `evaluate` needs of a translator."""

    def translate(self, lines: Sequence[str], *, style: str, **options: Any) -> Sequence[Any]:
        """Returns one object with a `.text` for each line, in order."""
        ...


_LANGUAGES = {
    **dict.fromkeys(("zh", "zho", "chi", "cmn", "yue"), "zh"),
    **dict.fromkeys(("ja", "jpn"), "ja-mecab"),
    **dict.fromkeys(("ko", "kor"), "ko-mecab"),
    # Written without spaces, and sacreBLEU has no tokenizer of their words.
    **dict.fromkeys(("th", "tha", "lo", "lao", "km", "khm", "my", "mya", "bur"), "char"),
    **dict.fromkeys(("bo", "bod", "tib", "dz", "dzo"), "char"),
}
"""sacreBLEU's tokenizers of languages that 13a, which parts words at spaces, does not suit."""

_EXTRAS = {"ja-mecab": "japanese", "ko-mecab": "korean"}
"""The extras that install what tokenizers of sacreBLEU need."""


def bleu_tokenizer(references: Sequence[str], language: str | None = None) -> str:
    """The tokenizer of sacreBLEU for a target language.

    Args:
        references: which tell by their script where the language does not: Chinese, Japanese, or
            another one without spaces.
        language: its code, such as ``zh`` or ``zh-CN``.

    Returns:
        ``13a`` for languages that have spaces between words; ``char`` where sacreBLEU has no
        tokenizer of the words, and where its tokenizer lacks what it needs, which a line says once.
    """
    name = _LANGUAGES.get(re.split("[-_]", (language or "").lower())[0])
    if name is None:
        name = _tokenizer_of_script("".join(references[:1000]))
    return name if _is_there(name) else "char"


def _tokenizer_of_script(text: str) -> str:
    if not is_unspaced(text):
        return "13a"
    kana, han = len(KANA.findall(text)), len(HAN.findall(text))
    if kana + han < len(UNSPACED.findall(text)) / 2:
        return "char"
    return "ja-mecab" if kana > han / 20 else "zh"


@lru_cache
def _is_there(tokenize: str) -> bool:
    """Whether a tokenizer can be used; the first time, a line says why not."""
    try:
        check_tokenizer(tokenize)
    except InputError as error:
        logger.warning("BLEU of characters instead of words: %s", error)
        return False
    return True


def check_tokenizer(tokenize: str) -> None:
    """Checks that sacreBLEU has what one of its tokenizers needs.

    Raises:
        InputError: when it is not installed, or cannot be downloaded.
    """
    bleu_metric(tokenize)


def bleu_metric(tokenize: str):
    """sacreBLEU's metric with one of its tokenizers; see `check_tokenizer`."""
    from sacrebleu.metrics import BLEU

    # `force` only silences the advice to detokenise first: these corpora come tokenised, and
    # published scores on them are computed that way.
    try:
        return BLEU(tokenize=tokenize, force=True)
    # Of several kinds, for what is not installed or not downloaded; it also ends the program.
    except (Exception, SystemExit) as error:
        ends = isinstance(error, SystemExit)
        reason = "it cannot be downloaded" if ends else reason_of(error)
        extra = _EXTRAS.get(tokenize)
        remedy = ""
        if extra:
            reason = reason.partition(". ")[0]  # it goes on with advice of its own
            remedy = f'pip install "keras_transformer[{extra}]", or '
        raise InputError(
            f"sacreBLEU has no tokenizer {tokenize!r} here ({reason}): {remedy}choose another "
            "(--tokenize, training.bleu_tokenize)."
        ) from error


def each_decoded(texts: Iterable[str | bytes], name: str) -> Iterator[str]:
    """An iterator over texts as str, with replacement characters for what is not Unicode.

    Raises:
        InputError: for what is no list of texts; `name` is that of the argument.
    """
    return (utf8(text).decode("utf-8", "replace") for text in each_text(texts, name))


def corpus_scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str | None = None,
    tokenize: str | None = None,
) -> dict[str, Any]:
    """Scores translations against the corpus' own references, as they are.

    Args:
        hypotheses: translations in the corpus' style, one for each reference.
        references: the corpus' target sentences.
        language: the code of their language, which chooses the tokenizer of BLEU; see
            `bleu_tokenizer`.
        tokenize: another tokenizer, by sacreBLEU's name of it.

    Returns:
        `{"bleu", "bleu_none", "chrf", "sentences"}`; each metric is `{"score", "signature"}`, with
        the tokenizer of the language, which the signature names, without one, and chrF2.

    Raises:
        InputError: when there is nothing to score, something is no text, the numbers of sentences
            differ, or sacreBLEU lacks the tokenizer.
    """
    from sacrebleu.metrics import CHRF

    hypotheses = list(each_decoded(hypotheses, "hypotheses"))
    references = list(each_decoded(references, "references"))
    if len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses):,} translations for {len(references):,} references: "
            "give exactly one translation for each reference"
        )
    if not references:
        raise InputError("there are no sentences to score: give at least one pair")
    metrics = {
        "bleu": bleu_metric(tokenize or bleu_tokenizer(references, language)),
        "bleu_none": bleu_metric("none"),
        "chrf": CHRF(),
    }
    scores: dict[str, Any] = {}
    for name, metric in metrics.items():
        score = metric.corpus_score(list(hypotheses), [list(references)]).score
        scores[name] = {"score": score, "signature": str(metric.get_signature())}
    return {**scores, "sentences": len(references)}


def target_language(translator) -> str | None:
    """The code of the language that a translator says it translates to, if it does."""
    return getattr(getattr(translator, "tokenizers", None), "target_language", None)


def evaluate(
    translator: Translates,
    pairs: tf.data.Dataset | Iterable[Pair],
    *,
    return_hypotheses: bool = False,
    language: str | None = None,
    tokenize: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Translates the sources of a test set and scores the result.

    Args:
        translator: its `translate(lines, style="corpus", **options)` gives objects with `.text`.
        pairs: a dataset of `(source, target)` scalar strings, or pairs of str.
        return_hypotheses: whether to add the translations as `"hypotheses"`, in order.
        language: the code of the target language; that of the translator unless given.
        tokenize: tokenizer of BLEU, by sacreBLEU's name of it; unless given, that of the language,
            see `bleu_tokenizer`.
        **options: passed on to `translate`, for example `beam_size=4`.

    Returns:
        The dictionary of `corpus_scores`, and `"seconds"` that translating took.

    Raises:
        InputError: when there are no pairs, or sacreBLEU lacks the tokenizer that was given.
    """
    if tokenize is not None:
        check_tokenizer(tokenize)  # before the translations, which take longer
    pairs = list_pairs(pairs)
    if not pairs:
        raise InputError("there are no pairs to evaluate on: give at least one")
    sources, references = zip(*pairs, strict=True)
    start = time.perf_counter()
    results = translator.translate(list(sources), style="corpus", **options)
    seconds = time.perf_counter() - start
    hypotheses = [result.text for result in results]
    language = language or target_language(translator)
    scores = corpus_scores(hypotheses, references, language=language, tokenize=tokenize)
    scores["seconds"] = seconds
    return {**scores, "hypotheses": hypotheses} if return_hypotheses else scores


class Perplexity(NamedTuple):
    """How well a language model predicts texts.

    Attributes:
        perplexity: the exponential of the mean loss of a token, in natural logarithms.
        tokens: how many there were.
    """

    perplexity: float
    tokens: int


def perplexity(model, batches) -> Perplexity:
    """The perplexity of a language model: e to the power of its mean loss for each token.

    A model that held so many tokens for equally likely at each place would have it.

    Args:
        model: from token ids, ``(batch, seq)``, to logits, ``(batch, seq, vocab)``.
        batches: ``(inputs, labels)``, such as those of `line_batches` or `block_batches`; a label
            of 0 is not counted.

    Returns:
        the `Perplexity` over all tokens alike, however they are batched.

    Raises:
        InputError: when there is no token to count.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def sums(inputs, labels):
        losses, weights = token_losses(labels, model(inputs, training=False))
        return tf.reduce_sum(losses), tf.reduce_sum(weights)

    loss, tokens = 0.0, 0
    for inputs, labels in batches:
        batch = sums(*tf.nest.map_structure(tf.convert_to_tensor, (inputs, labels)))
        loss, tokens = loss + float(batch[0]), tokens + int(batch[1])
    if not tokens:
        raise InputError("There is no token to predict: give batches with labels above 0.")
    mean = loss / tokens
    return Perplexity(math.exp(mean) if mean < 700 else math.inf, tokens)
