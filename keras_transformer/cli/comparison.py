"""What ``evaluate --compare`` takes, prints and writes."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from keras_transformer.cli.options import path_option, system_option
from keras_transformer.cli.streams import write_line
from keras_transformer.files import write_text


class ComparisonOptions(NamedTuple):
    """What was asked for: the other system and, unless None, the rest."""

    other_path: Path | tuple[Path, ...]
    training_text: list[str] | None
    examples: int | None
    html_file: Path | None


def comparison_options(command):
    """Adds ``--compare`` and its options, which arrive as ``comparison``: None without it."""

    @functools.wraps(command)
    def with_comparison(*, other_path, training_file, examples, html_file, **arguments):
        from keras_transformer.data.corpora.files.lines import read_lines

        comparison = None
        if other_path is not None:
            training_text = None if training_file is None else read_lines(training_file)
            comparison = ComparisonOptions(other_path, training_text, examples, html_file)
        elif (training_file, examples, html_file) != (None, None, None):
            raise click.UsageError("--training-text, --examples and --html are of a --compare.")
        return command(comparison=comparison, **arguments)

    options = (
        system_option(
            "--compare",
            "other_path",
            metavar="SYSTEM",
            help="Compare with another model, or file of translations, on the same lines.",
        ),
        path_option(
            "--training-text",
            "training_file",
            metavar="FILE",
            help="Lines of the target language that tell how frequent words are; the training "
            "pairs of the --dataset, or else the references, unless given.",
        ),
        click.option(
            "--examples",
            type=click.IntRange(min=0),
            metavar="N",
            help="In how many sentences each system is shown to be the better one; 5 unless given.",
        ),
        path_option("--html", "html_file", metavar="FILE", help="Write the comparison as a page."),
    )
    for option in reversed(options):
        with_comparison = option(with_comparison)
    return with_comparison


def compare(
    asked: ComparisonOptions,
    pairs: Sequence[tuple[str, str]],
    translations: dict[str, list[str]],
    training_text: Iterable[str] | None,
    **options: Any,
) -> dict[str, Any]:
    """Compares two systems, prints what is found, and writes the page that was asked for.

    Args:
        asked: the options of the command.
        pairs: the test set.
        translations: of both systems, by their names.
        training_text: what the test set comes with, where the command names no other.
        **options: as for `compare_translations`.

    Returns:
        the result of `compare_translations`.
    """
    from keras_transformer.translating.comparison.compare import compare_translations
    from keras_transformer.translating.comparison.page import comparison_page
    from keras_transformer.translating.comparison.tables import as_text

    if asked.training_text is not None:
        training_text = asked.training_text
    if asked.examples is not None:
        options["examples"] = asked.examples
    sources, references = zip(*pairs, strict=True)
    found = compare_translations(
        sources, references, translations, training_text=training_text, **options
    )
    for line in as_text(found):
        write_line(line)
    if asked.html_file is not None:
        write_text(asked.html_file, comparison_page(found))
    return found
