"""Scores of translators on test sets, with their signatures; perplexity of language models."""

import importlib.util
import math
import re
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from keras_transformer.data.corpora.corpus import Pair, list_pairs
from keras_transformer.errors import InputError
from keras_transformer.files import reason_of
from keras_transformer.losses.masked import token_losses
from keras_transformer.unicode import utf8_list


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

_MODULES = {"ja-mecab": ("MeCab", "japanese"), "ko-mecab": ("mecab_ko", "korean")}
"""Modules that tokenizers of sacreBLEU need, and the extra that installs them."""

_KANA = re.compile(r"[\u3040-\u30ff]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
_NO_SPACES = re.compile(r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]")  # Thai to Burmese, Khmer


def bleu_tokenizer(references: Sequence[str], language: str | None = None) -> str:
    """The tokenizer of sacreBLEU for a target language.

    Args:
        references: which tell by their script where the language does not: Chinese, Japanese, or
            another one without spaces.
        language: its code, such as ``zh`` or ``zh-CN``.

    Returns:
        ``13a`` for languages that have spaces between words; ``char`` where sacreBLEU has no
        tokenizer of the words, and where its tokenizer is not installed.
    """
    name = _LANGUAGES.get(re.split("[-_]", (language or "").lower())[0])
    if name is None:
        text = "".join(references[:1000])
        letters = sum(map(str.isalpha, text)) / 2
        kana, han = len(_KANA.findall(text)), len(_HAN.findall(text))
        if kana + han > letters:
            name = "ja-mecab" if kana > han / 20 else "zh"
        else:
            name = "char" if len(_NO_SPACES.findall(text)) > letters else "13a"
    if name in _MODULES and importlib.util.find_spec(_MODULES[name][0]) is None:
        return "char"
    return name


def _bleu(tokenize: str):
    """sacreBLEU's metric with one of its tokenizers.

    Raises:
        InputError: when it lacks what the tokenizer needs.
    """
    from sacrebleu.metrics import BLEU

    # `force` only silences the advice to detokenise first: these corpora come tokenised, and
    # published scores on them are computed that way.
    try:
        return BLEU(tokenize=tokenize, force=True)
    except Exception as error:  # of several kinds, for what is not installed or not downloaded
        module, extra = _MODULES.get(tokenize, (None, None))
        remedy = f'pip install "keras_transformer[{extra}]", or ' if module else ""
        raise InputError(
            f"sacreBLEU has no tokenizer {tokenize!r} here ({reason_of(error)}): {remedy}choose "
            "another (--tokenize, training.bleu_tokenize)."
        ) from error


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

    hypotheses, references = (
        [text.decode("utf-8", "replace") for text in utf8_list(texts, name)]
        for texts, name in ((hypotheses, "hypotheses"), (references, "references"))
    )
    if len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses):,} translations for {len(references):,} references: "
            "give exactly one translation for each reference"
        )
    if not references:
        raise InputError("there are no sentences to score: give at least one pair")
    metrics = {
        "bleu": _bleu(tokenize or bleu_tokenizer(references, language)),
        "bleu_none": _bleu("none"),
        "chrf": CHRF(),
    }
    scores: dict[str, Any] = {}
    for name, metric in metrics.items():
        score = metric.corpus_score(list(hypotheses), [list(references)]).score
        scores[name] = {"score": score, "signature": str(metric.get_signature())}
    return {**scores, "sentences": len(references)}


def evaluate(
    translator: Translates,
    pairs: tf.data.Dataset | Iterable[Pair],
    *,
    return_hypotheses: bool = False,
    tokenize: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Translates the sources of a test set and scores the result.

    Args:
        translator: its `translate(lines, style="corpus", **options)` gives objects with `.text`.
        pairs: a dataset of `(source, target)` scalar strings, or pairs of str.
        return_hypotheses: whether to add the translations as `"hypotheses"`, in order.
        tokenize: tokenizer of BLEU, by sacreBLEU's name of it; unless given, that of the language
            of the translator's target, see `bleu_tokenizer`.
        **options: passed on to `translate`, for example `beam_size=4`.

    Returns:
        The dictionary of `corpus_scores`, and `"seconds"` that translating took.

    Raises:
        InputError: when there are no pairs.
    """
    pairs = list_pairs(pairs)
    if not pairs:
        raise InputError("there are no pairs to evaluate on: give at least one")
    sources, references = zip(*pairs, strict=True)
    start = time.perf_counter()
    results = translator.translate(list(sources), style="corpus", **options)
    seconds = time.perf_counter() - start
    hypotheses = [result.text for result in results]
    language = getattr(getattr(translator, "tokenizers", None), "target_language", None)
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
