"""Scores of translators on test sets, with their signatures; perplexity of language models."""

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from keras_transformer.data.corpora.corpus import Pair, list_pairs
from keras_transformer.errors import InputError
from keras_transformer.losses.masked import token_losses


class Translates(Protocol):
    """What `evaluate` needs of a translator."""

    def translate(self, lines: Sequence[str], *, style: str, **options: Any) -> Sequence[Any]:
        """Returns one object with a `.text` for each line, in order."""
        ...


def corpus_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Scores translations against the corpus' own references, as they are.

    Args:
        hypotheses: translations in the corpus' style, one for each reference.
        references: the corpus' target sentences.

    Returns:
        `{"bleu", "bleu_none", "chrf", "sentences"}`; each metric is `{"score", "signature"}`, with
        sacreBLEU's 13a tokenisation, no tokenisation, and chrF2.

    Raises:
        InputError: when there is nothing to score or the numbers of sentences differ.
    """
    from sacrebleu.metrics import BLEU, CHRF

    if len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses):,} translations for {len(references):,} references: "
            "give exactly one translation for each reference"
        )
    if not references:
        raise InputError("there are no sentences to score: give at least one pair")
    # `force` only silences the advice to detokenise first: these corpora come tokenised, and
    # published scores on them are computed that way.
    metrics = {
        "bleu": BLEU(tokenize="13a", force=True),
        "bleu_none": BLEU(tokenize="none", force=True),
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
    **options: Any,
) -> dict[str, Any]:
    """Translates the sources of a test set and scores the result.

    Args:
        translator: its `translate(lines, style="corpus", **options)` gives objects with `.text`.
        pairs: a dataset of `(source, target)` scalar strings, or pairs of str.
        return_hypotheses: whether to add the translations as `"hypotheses"`, in order.
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
    scores = {**corpus_scores(hypotheses, references), "seconds": seconds}
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
