"""Texts in and out: lines of standard input, what was found for each, and files of scores."""

import json
import sys
from pathlib import Path

import click

from keras_transformer.errors import InputError
from keras_transformer.files import file_error


def lines_of_standard_input():
    """Yields the lines of standard input; what is not UTF-8 becomes replacement characters."""
    for line in sys.stdin.buffer:
        yield line.rstrip(b"\r\n").decode("utf-8", errors="replace")


def echo_found(number, found, n_best, as_json):
    """Prints what was found for a text: as JSON, as text alone, or as Moses writes n-best lists.

    Args:
        number: of the text, from 0.
        found: a `Translation` or `Generation`.
        n_best: how many alternatives were asked for, or ``None``.
        as_json: print one JSON object.
    """
    several = found.alternatives or [found]
    if as_json:
        answer = _scores_and_text(found)
        if found.alternatives:
            answer["alternatives"] = [_scores_and_text(other) for other in several]
        click.echo(json.dumps(answer, ensure_ascii=False))
    elif n_best is None:
        click.echo(found.text)
    else:
        for other in several:
            click.echo(f"{number} ||| {other.text} ||| {other.normalized_score:.6f}")


def _scores_and_text(found) -> dict:
    return {
        name: value
        for name in ("text", "score", "normalized_score")
        if (value := getattr(found, name)) is not None
    }


def read_scores(path: Path) -> dict:
    """Reads what ``evaluate --json`` wrote.

    Raises:
        InputError: when it cannot be read, or holds no scores.
    """
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        _ = [scores[name]["signature"] for name in ("bleu", "bleu_none", "chrf")]
        _ = scores["test_set"], scores["sentences"]
    except OSError as error:
        raise file_error(path, "read", error) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: holds no scores: write it with evaluate --json.") from error
    return scores


def write_scores(path: Path, scores: dict) -> None:
    """Writes scores as JSON, in place and not by renaming: `path` may be ``/dev/stdout``.

    Raises:
        InputError: when it cannot be written.
    """
    try:
        path.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise file_error(path, "written", error) from error
