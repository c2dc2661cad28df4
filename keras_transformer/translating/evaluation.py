"""Corpus scores with their signatures, and the evaluation of a translator on a test set."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import tensorflow as tf

from keras_transformer.data.corpora.corpus import Pair, list_pairs
from keras_transformer.errors import InputError


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
