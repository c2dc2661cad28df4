"""``keras-transformer distill``: a teacher's translations of a corpus, to train a student on."""

import click

from keras_transformer.cli.options import (
    compile_option,
    data_dir_option,
    dataset_option,
    name_of_dataset,
    name_of_system,
    originals_option,
    path_option,
    search_options,
    system_option,
    verb,
)
from keras_transformer.cli.streams import progress_bar, write_line


@verb()
@system_option(
    "--teacher",
    "teacher",
    required=True,
    help="A run folder, or one that was exported for CTranslate2; given again, run folders that "
    "translate together.",
)
@dataset_option
@data_dir_option
@click.option(
    "--validation-pairs",
    help="SRC,TGT or FILE.tsv that the student will be validated with; pairs are held out for that "
    "from files unless given.",
)
@path_option("--output", required=True, metavar="FILE.tsv", help="The pairs to train on.")
@click.option(
    "--best-of",
    type=click.IntRange(min=2),
    help="Of so many translations take the one that is most like the reference.",
)
@originals_option
@search_options
@compile_option
def distill(
    teacher, dataset, data_dir, validation_pairs, output, best_of, originals, search, jit_compile
):
    """Translate the training pairs of a corpus, and write them for a student to learn.

    The teacher searches with a beam of 5 unless given. A command that was interrupted goes on where
    it stopped when it is given again.
    """
    if dataset is None:
        raise click.UsageError("Give a --dataset.")
    from keras_transformer.data import load_corpus
    from keras_transformer.data.corpora.corpus import pairs_of
    from keras_transformer.translating.distillation import distill as write_pairs
    from keras_transformer.translating.translator import Translator

    corpus = load_corpus(dataset, data_dir=data_dir, validation_pairs=validation_pairs)
    train = corpus.require("train")
    translator = Translator.load(teacher, jit_compile=jit_compile)
    with progress_bar(int(train.cardinality())) as progress:
        lines = write_pairs(
            translator,
            pairs_of(train),
            output,
            best_of=best_of,
            originals=originals,
            about={"teacher": name_of_system(teacher), "dataset": name_of_dataset(dataset)},
            progress=progress,
            **search,
        )
    write_line(f"{output}: {lines:,} pairs; train --dataset pairs:{output}")
