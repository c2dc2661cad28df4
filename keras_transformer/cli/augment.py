"""``keras-transformer augment``: synthetic pairs to train on, made by models of both directions."""

import dataclasses
import functools
from pathlib import Path

import click

from keras_transformer.cli.options import (
    compile_option,
    data_dir_option,
    dataset_option,
    name_of_dataset,
    originals_option,
    path_option,
    search_options,
    source_language_option,
    target_language_option,
    verb,
)
from keras_transformer.cli.streams import progress_bar, write_line
from keras_transformer.errors import InputError
from keras_transformer.languages import primary_language

FILTERS = (
    click.option(
        "--max-words",
        type=click.IntRange(min=1),
        help="Leave out synthetic pairs with a side of more words; 250 unless given.",
    ),
    click.option(
        "--max-ratio",
        type=click.FloatRange(min=1),
        help="Leave out those whose longer side has more times the words of the other; 3 unless "
        "given.",
    ),
    click.option(
        "--max-copied",
        type=click.FloatRange(0, 1),
        metavar="SHARE",
        help="Leave out those whose translation has more of its words from the text.",
    ),
    click.option(
        "--check-language",
        is_flag=True,
        help="Leave out those with a side that is rather in the language of the other; needs the "
        "extra detect.",
    ),
    click.option(
        "--min-round-trip",
        type=click.FloatRange(0, 100),
        metavar="CHRF",
        help="Leave out those whose translation, translated back, is less like the text.",
    ),
)


def filter_options(command):
    """Adds the options of filters, which arrive as ``filters``."""

    @functools.wraps(command)
    def with_filters(**arguments):
        from keras_transformer.translating.pair_filters import Filters

        values = {field.name: arguments.pop(field.name) for field in dataclasses.fields(Filters)}
        given = {name: value for name, value in values.items() if value is not None}
        return command(filters=Filters(**given), **arguments)

    for option in reversed(FILTERS):
        with_filters = option(with_filters)
    return with_filters


@verb()
@click.option(
    "--model",
    "models",
    required=True,
    metavar="RUN[,RUN...]",
    help="Run folders, or ones that were exported for CTranslate2, which translate from the "
    "source to the target language or back.",
)
@dataset_option
@click.option("--pairs", help="SRC,TGT or FILE.tsv, of which nothing is held out.")
@data_dir_option
@path_option(
    "--monolingual",
    metavar="FILE",
    help="More text of the target language, a sentence a line, plain or .gz.",
)
@path_option("--output", required=True, metavar="FILE.tsv", help="The pairs to train on.")
@originals_option
@click.option("--tag", is_flag=True, help="Mark sources that a model wrote by a token of its own.")
@filter_options
@click.option(
    "--round-trip",
    metavar="RUN[,RUN]",
    help="For --min-round-trip, a model of the other direction than those of --model.",
)
@source_language_option
@target_language_option
@search_options
@compile_option
def augment(
    models,
    dataset,
    pairs,
    data_dir,
    monolingual,
    output,
    originals,
    tag,
    filters,
    round_trip,
    source_language,
    target_language,
    search,
    jit_compile,
):
    """Make synthetic training pairs of a corpus, and of text of its target language.

    Models from the source to the target language give the corpus' sources with translations, those
    back the targets, and the text, with translations as their sources. They search with a beam of
    5 unless given, or by --sampling. A command that was interrupted goes on where it stopped when
    it is given again.
    """
    if dataset is not None and pairs is not None:
        raise click.UsageError("Give either --dataset or --pairs.")
    if dataset is None and pairs is None and monolingual is None:
        raise click.UsageError("Give a --dataset, --pairs or --monolingual.")
    if data_dir is not None and dataset is None:
        raise click.UsageError("--data-dir is of a --dataset.")
    if (round_trip is None) != (filters.min_round_trip is None):
        raise click.UsageError("Give --round-trip and --min-round-trip, or neither.")
    from keras_transformer.data.corpora.corpus import pairs_of
    from keras_transformer.data.corpora.files.lines import read_lines
    from keras_transformer.translating.augmentation import augment as write_pairs

    corpus = _corpus(dataset, pairs, data_dir, (source_language, target_language))
    train = None if corpus is None else corpus.require("train")
    texts = [] if monolingual is None else read_lines(monolingual)
    load = _loader(jit_compile)
    translators = load(models)
    given = source_language, target_language
    inputs = {
        "models": models,
        "dataset": name_of_dataset(dataset),
        "pairs": pairs,
        "round_trip": round_trip,
    }
    with progress_bar(len(texts) + (0 if train is None else int(train.cardinality()))) as progress:
        counts = write_pairs(
            translators,
            () if train is None else pairs_of(train),
            output,
            languages=_languages(given, corpus, monolingual, translators[0]),
            monolingual=texts,
            originals=originals,
            tag=tag,
            filters=filters,
            round_trip=load(round_trip) if round_trip else (),
            about={**inputs, "monolingual": str(monolingual)},
            progress=progress,
            **search,
        )
    _report(output, counts)


def _corpus(dataset, pairs, data_dir, languages):
    """The corpus whose training pairs are wanted, if there is one."""
    from keras_transformer.data import load_corpus
    from keras_transformer.data.corpora.pair_files import load_pair_files

    if pairs is not None:
        return load_pair_files(pairs, hold_out_validation=False, languages=languages)
    return None if dataset is None else load_corpus(dataset, data_dir=data_dir)


def _loader(jit_compile):
    """A function that loads the translators of folders between commas, each folder once."""
    from keras_transformer.data.corpora.files.names import expanded, parted
    from keras_transformer.translating.translator import Translator

    load = functools.cache(functools.partial(Translator.load, jit_compile=jit_compile))
    return lambda names: [load(expanded(name)) for name in parted(names)]


def _languages(given, corpus, monolingual: Path | None, translator) -> tuple[str, str]:
    """The codes of source and target: those that are given, else the corpus'.

    Without a corpus they are the translator's, the target's that of the text.
    """
    from keras_transformer.data.corpora.corpus import UNKNOWN_LANGUAGE
    from keras_transformer.data.corpora.files.codes import guess_language
    from keras_transformer.translating.augmentation import languages_of

    of_text = UNKNOWN_LANGUAGE if monolingual is None else guess_language(monolingual)
    if corpus is not None:
        found = corpus.source_language, corpus.target_language
    else:
        found = languages_of(translator)
        if primary_language(given[1] or of_text) != primary_language(found[1]):
            found = found[::-1]
    source, target = (one or other for one, other in zip(given, found, strict=True))
    if of_text != UNKNOWN_LANGUAGE and primary_language(of_text) != primary_language(target):
        raise InputError(
            f"{monolingual}: is {of_text} by its name, and the target language is {target}: give "
            "text of that language, or rename the file."
        )
    return source, target


def _report(output: Path, counts: dict[str, int]) -> None:
    """Says in one line what was written, and what each filter left out."""
    from keras_transformer.translating.augmentation import ORIGINS

    written = ", ".join(f"{counts[origin]:,} {origin}" for origin in ORIGINS)
    left_out = {name: count for name, count in counts.items() if name not in ORIGINS}
    reasons = ", ".join(f"{count:,} {name}" for name, count in left_out.items())
    write_line(
        f"{output}: {sum(map(counts.get, ORIGINS)):,} pairs ({written}); left out "
        f"{sum(left_out.values()):,} ({reasons}); train --dataset pairs:{output}"
    )
