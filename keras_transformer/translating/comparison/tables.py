"""The tables of a comparison, for the command line and for the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

LETTERS = ("A", "B")
"""What the systems are called in tables and texts: names may be long paths."""

_DIFFERENCE = " - ".join(LETTERS)
_TESTS = ("bootstrap", "randomization")
_LEVEL = 0.05
"""Below which p-values count as significant."""


@dataclass(frozen=True)
class Table:
    """A table for people to read.

    Attributes:
        title: what is in it.
        header: the title of each column.
        rows: the cells of each row, as many as the header has.
        notes: what to know of it, a sentence or several each.
        scores: of both systems in each row, for a chart; empty where there is none.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    scores: Sequence[Sequence[float]]


def tables_of(comparison: dict[str, Any]) -> list[Table]:
    """The tables of what `compare_translations` found; they leave empty buckets out."""
    return [_metrics(comparison), _lengths(comparison), _frequencies(comparison)]


def _metrics(comparison: dict[str, Any]) -> Table:
    found = _metrics_of(comparison)
    rows = [[label] for label in (*LETTERS, _DIFFERENCE, "p, bootstrap", "p, randomisation")]
    for metric in found.values():
        bootstrap, (one, other) = metric["bootstrap"], metric["scores"]
        cells = [
            f"{score:.2f} ({mean:.2f}\xa0±\xa0{interval:.2f})"
            for score, mean, interval in zip(
                metric["scores"], bootstrap["means"], bootstrap["intervals"], strict=True
            )
        ]
        cells += [f"{one - other:+.2f}", *(f"{metric[test]['p']:.4f}" for test in _TESTS)]
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    signatures = [
        f"{name} {metric[test]['signature']}" for name, metric in found.items() for test in _TESTS
    ]
    about = (
        "In brackets: mean and 95 % interval of the score over the resamples of the bootstrap. The "
        "seed of both tests is fixed: the same translations have the same p-values."
    )
    return Table("Scores", ["", *found], rows, [about, *signatures], [])


def _metrics_of(comparison: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"BLEU": comparison["metrics"]["bleu"], "chrF2": comparison["metrics"]["chrf"]}


def _verdict(name: str, found: dict[str, Any]) -> str:
    one, other = found["scores"]
    if one == other:
        return f"In {name} they are equal."
    chance = (
        f"which may be chance (p ≥ {_LEVEL} in both tests)",
        f"which may be chance (p < {_LEVEL} in one test only)",
        f"significantly (p < {_LEVEL} in both tests)",
    )[sum(found[test]["p"] < _LEVEL for test in _TESTS)]
    letter = LETTERS[one < other]
    return f"In {name} {letter} is better by {abs(one - other):.2f}, {chance}."


def _lengths(comparison: dict[str, Any]) -> Table:
    unit = comparison["by_length"][0]["unit"]
    return _buckets(
        f"BLEU by {unit} of the source",
        [unit, "sentences"],
        [
            (part["words"], part["sentences"], part["bleu"])
            for part in comparison["by_length"]
            if part["sentences"]
        ],
        [],
    )


def _frequencies(comparison: dict[str, Any]) -> Table:
    where = comparison["counted_in"]
    return _buckets(
        f"F1 of words by their count in the {where}",
        ["count", "words"],
        [
            (part["count"], part["words"], part["f1"])
            for part in comparison["by_frequency"]
            if part["words"]
        ],
        [
            "How many words of the translations are in their reference, and the other way round: "
            "the harmonic mean, in per cent."
        ],
    )


def _buckets(title: str, header, parts, notes) -> Table:
    """The table of `parts`: the name of each, how much is in it, and the scores of both systems."""
    rows = [
        [name, f"{size:,}", f"{one:.2f}", f"{other:.2f}", f"{one - other:+.2f}"]
        for name, size, (one, other) in parts
    ]
    return Table(
        title, [*header, *LETTERS, _DIFFERENCE], rows, notes, [scores for *_, scores in parts]
    )


def sentence_groups(comparison: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The sentences that differ most, by a title; without those of no sentences."""
    groups = {
        "Sentences in which A is better": comparison["better"],
        "Sentences in which B is better": comparison["worse"],
    }
    return {title: sentences for title, sentences in groups.items() if sentences}


def summary(comparison: dict[str, Any]) -> list[str]:
    """How many sentences differ, which system is better, and whether that may be chance."""
    sentences, different = comparison["sentences"], comparison["different"]
    verdicts = [_verdict(name, found) for name, found in _metrics_of(comparison).items()]
    return [f"{sentences:,} sentences; the translations of {different:,} differ.", *verdicts]


def as_text(comparison: dict[str, Any]) -> Iterator[str]:
    """The lines of a comparison for a terminal."""
    for letter, name in zip(LETTERS, comparison["systems"], strict=True):
        yield f"{letter}  {name}"
    yield from summary(comparison)
    for table in tables_of(comparison):
        yield ""
        yield table.title
        yield from _aligned([table.header, *table.rows])
        yield from table.notes
    for title, sentences in sentence_groups(comparison).items():
        yield ""
        yield f"{title}, by chrF2"
        for sentence in sentences:
            yield ""
            labels = [f"line {sentence['number']:,}", "reference"]
            labels += [
                f"{letter} {score:6.2f}"
                for letter, score in zip(LETTERS, sentence["chrf"], strict=True)
            ]
            texts = [sentence["source"], sentence["reference"], *sentence["translations"]]
            for label, text in zip(labels, texts, strict=True):
                yield f"{label:>10}  {text}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])
