"""What was found for each text, and files of scores."""

import json
from pathlib import Path

from keras_transformer.cli.streams import write_line
from keras_transformer.errors import InputError
from keras_transformer.files import file_error, parse_json


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
        write_line(json.dumps(answer, ensure_ascii=False))
    elif n_best is None:
        write_line(" ||| ".join([found.text, *_alignment(found)]))
    else:
        for other in several:
            score = f"{other.normalized_score:.6f}"
            write_line(" ||| ".join([str(number), other.text, score, *_alignment(other)]))


def _alignment(found) -> list[str]:
    """The links of a translation's words as a field of a line, if it has any."""
    from keras_transformer.data.alignments import format_links

    links = getattr(found, "alignment", None)
    return [] if links is None else [format_links((one, other) for one, other, _ in links)]


def _scores_and_text(found) -> dict:
    return {
        name: value
        for name in ("text", "score", "normalized_score", "alignment")
        if (value := getattr(found, name, None)) is not None
    }


def read_scores(path: Path) -> dict:
    """Reads what ``evaluate --json`` wrote.

    Raises:
        InputError: when it cannot be read, or holds no scores.
    """
    try:
        scores = parse_json(path.read_bytes())
        _ = [scores[name]["signature"] for name in ("bleu", "bleu_none", "chrf")]
        _ = scores["test_set"], scores["sentences"]
    except OSError as error:
        raise file_error(path, "read", error) from error
    except (ValueError, KeyError, TypeError) as error:
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


def read_patterns(path: Path) -> tuple[str, ...]:
    """Reads regular expressions, one a line; lines that begin with # and empty ones say nothing.

    Raises:
        InputError: when it cannot be read, or a line is no regular expression.
    """
    from keras_transformer.data.text.placeholders import pattern_of

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise file_error(path, "read", error) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error}).") from error
    patterns = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            pattern_of((line,))
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
        patterns.append(line)
    return tuple(patterns)
