"""Whether the scores of two systems differ by more than chance, by sacreBLEU's paired tests."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from keras_transformer.errors import InputError
from keras_transformer.translating.evaluation import bleu_metric

SEED = 12345
"""Seed of the tests, sacreBLEU's own; the same translations always have the same p-values."""

_MOST_LINES = 20_000  # the tests take about 100 kB for each
_NAMES = {"bleu": "BLEU", "chrf": "chrF2"}  # what sacreBLEU calls the scores


def check_number_of_lines(lines: int) -> None:
    """Checks that there is memory for the tests of so many lines.

    Raises:
        InputError: when there are too many.
    """
    if lines > _MOST_LINES:
        raise InputError(
            f"{lines:,} lines to compare: the tests take at most {_MOST_LINES:,}: give a part of "
            "them"
        )


def paired_tests(
    systems: Sequence[Sequence[str]], references: Sequence[str], tokenize: str
) -> dict[str, Any]:
    """Tests BLEU and chrF2 of two systems by paired bootstrap and by paired randomisation.

    Both are those of sacreBLEU: bootstrap resampling of lines (Koehn 2004, W04-3250), and
    approximate randomisation, which swaps translations between the systems (Riezler and Maxwell
    2005, W05-0908).

    Args:
        systems: the translations of two systems, `(2, lines)`.
        references: one for each line.
        tokenize: the tokenizer of BLEU, by sacreBLEU's name of it.

    Returns:
        by ``"bleu"`` and ``"chrf"``: ``"scores"`` of the two systems, and for ``"bootstrap"`` and
        ``"randomization"`` the p-value ``"p"`` and the ``"signature"``; the bootstrap also has the
        ``"means"`` of its resamples, and the ``"intervals"`` around them, plus or minus, in which
        95 % of these lie.

    Raises:
        InputError: for more lines than there is memory for; see `check_number_of_lines`.
    """
    check_number_of_lines(len(references))
    bootstrap, randomization = (_run(kind, systems, references, tokenize) for kind in ("bs", "ar"))
    # sacreBLEU counts what is strictly above the real difference. Of the 2 ** n ways of swapping
    # the n lines that differ, two give just that: to swap none of them, and to swap all.
    differing = sum(one != other for one, other in zip(*systems, strict=True))
    least = min(1.0, 2.0 ** (1 - differing))
    found = {}
    for metric in _NAMES:
        one, other = bootstrap[metric]["results"]
        equal = one.score == other.score
        found[metric] = {
            "scores": [one.score, other.score],
            "bootstrap": {
                "p": 1.0 if equal else max(other.p_value, least),
                "means": [float(one.mean), float(other.mean)],
                "intervals": [float(one.ci), float(other.ci)],
                "signature": bootstrap[metric]["signature"],
            },
            "randomization": {
                "p": 1.0 if equal else max(randomization[metric]["results"][1].p_value, least),
                "signature": randomization[metric]["signature"],
            },
        }
    return found


def _run(kind: str, systems, references, tokenize: str) -> dict[str, dict[str, Any]]:
    """sacreBLEU's results for both systems, and its signature, by metric."""
    from sacrebleu.metrics import CHRF
    from sacrebleu.significance import PairedTest

    metrics = {"bleu": bleu_metric(tokenize), "chrf": CHRF()}
    with _fixed_seed():
        test = PairedTest(
            [(str(number), list(lines)) for number, lines in enumerate(systems)],
            metrics,
            references=[list(references)],
            test_type=kind,
        )
    signatures, results = test()
    return {
        metric: {"results": results[name], "signature": str(signatures[name])}
        for metric, name in _NAMES.items()
    }


@contextlib.contextmanager
def _fixed_seed() -> Iterator[None]:
    """Sets the variable of the environment in which sacreBLEU looks for its seed."""
    name = "SACREBLEU_SEED"
    before = os.environ.get(name)
    os.environ[name] = str(SEED)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
