"""Comparing the translations of two systems."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_transformer.errors import InputError, whole_number
from keras_transformer.translating.comparison.breakdowns import (
    scores_by_frequency,
    scores_by_length,
)
from keras_transformer.translating.comparison.significance import paired_tests
from keras_transformer.translating.evaluation import bleu_tokenizer, each_decoded


def compare_translations(
    sources: Sequence[str],
    references: Sequence[str],
    translations: Mapping[str, Sequence[str]],
    *,
    training_text: Iterable[str] | None = None,
    examples: int = 5,
    language: str | None = None,
    tokenize: str | None = None,
) -> dict[str, Any]:
    """Compares two systems on the same test set, in the manner of compare-mt.

    Every difference is the first system's score less that of the second. The result follows from
    the arguments alone: the tests of significance have a seed of their own.

    Args:
        sources: the source sentences.
        references: the corpus' target sentences.
        translations: those of two systems in the corpus' style, by the systems' names.
        training_text: lines of the target language that tell how frequent a word is; the
            references unless given.
        examples: how many sentences to give in which each system is better.
        language: the code of the target language, which chooses the tokenizer of BLEU; see
            `bleu_tokenizer`.
        tokenize: another tokenizer, by sacreBLEU's name of it.

    Returns:
        - ``"systems"``: their names.
        - ``"sentences"``, and ``"different"``: how many of them are translated differently.
        - ``"metrics"``: see `paired_tests`.
        - ``"by_length"``: the buckets of `scores_by_length`; their ``"bleu"`` is a list, of both.
        - ``"by_frequency"``: those of `scores_by_frequency`; ``"counted_in"`` says in what words
          were counted.
        - ``"better"`` and ``"worse"``: the sentences in which the first system is better than the
          second by most, and worse, in chrF2 of the sentence: ``"number"`` from 1, ``"source"``,
          ``"reference"``, ``"translations"`` and ``"chrf"`` of both.

    Raises:
        InputError: when there are not two systems, not one text of each for each sentence, a
            reference is empty, or sacreBLEU lacks the tokenizer.
    """
    examples = whole_number("examples", examples, 0)
    sources = list(each_decoded(sources, "sources"))
    references = list(each_decoded(references, "references"))
    systems = [
        list(each_decoded(lines, f"translations of {name}")) for name, lines in translations.items()
    ]
    _check(sources, references, dict(zip(translations, systems, strict=True)))
    counted = None if training_text is None else each_decoded(training_text, "training_text")
    tokenize = tokenize or bleu_tokenizer(references, language)
    better, worse = _differing(sources, references, systems, examples)
    return {
        "systems": list(translations),
        "sentences": len(references),
        "different": sum(one != other for one, other in zip(*systems, strict=True)),
        "metrics": paired_tests(systems, references, tokenize),
        "by_length": _by_length(sources, references, systems, tokenize),
        "by_frequency": scores_by_frequency(systems, references, counted, tokenize=tokenize),
        "counted_in": "references" if counted is None else "training text",
        "better": better,
        "worse": worse,
    }


def _check(
    sources: list[str], references: list[str], translations: Mapping[str, list[str]]
) -> None:
    if len(translations) != 2:
        raise InputError(f"{len(translations)} systems to compare: give the translations of two")
    for name, lines in [("sources", sources), *translations.items()]:
        if len(lines) != len(references):
            raise InputError(
                f"{name}: {len(lines):,} lines for {len(references):,} references: give exactly "
                "one for each reference"
            )
    if not references:
        raise InputError("there are no sentences to compare: give at least one pair")
    for number, reference in enumerate(references, 1):
        if not reference.strip():
            raise InputError(f"reference {number:,} is empty: fill it, or leave its pair out")


def _by_length(
    sources: list[str], references: list[str], systems: list[list[str]], tokenize: str
) -> list[dict[str, Any]]:
    one, other = (
        scores_by_length(sources, lines, references, tokenize=tokenize) for lines in systems
    )
    return [
        {**first, "bleu": [first["bleu"], second["bleu"]]}
        for first, second in zip(one, other, strict=True)
    ]


def _differing(
    sources: list[str], references: list[str], systems: list[list[str]], most: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The sentences in which the first system is better than the second by most, and worse."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    found = []
    for number, texts in enumerate(zip(sources, references, *systems, strict=True), 1):
        source, reference, *outputs = texts
        chrf = [metric.sentence_score(output, [reference]).score for output in outputs]
        found.append(
            {
                "number": number,
                "source": source,
                "reference": reference,
                "translations": outputs,
                "chrf": chrf,
            }
        )
    found.sort(key=_difference)
    worse = [each for each in found[:most] if _difference(each) < 0]
    found.sort(key=_difference, reverse=True)  # of equals the first one comes first, too
    better = [each for each in found[:most] if _difference(each) > 0]
    return better, worse


def _difference(sentence: dict[str, Any]) -> float:
    return sentence["chrf"][0] - sentence["chrf"][1]
