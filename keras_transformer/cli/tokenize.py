"""``keras-transformer tokenize``: a corpus as token ids in a run folder, for `train --resume`."""

import functools

import click

from keras_transformer.cli.options import (
    config_option,
    data_dir_option,
    path_option,
    required_dataset_option,
    source_language_option,
    target_language_option,
    verb,
)
from keras_transformer.cli.runners import on_beam, runner_options
from keras_transformer.cli.streams import write_line
from keras_transformer.cli.train import changes_of_model
from keras_transformer.config import FAMILIES, TrainingConfig, preset_of_run


@verb()
@required_dataset_option
@path_option("--output", required=True, help="The run folder to write.")
@path_option("--config", "config_file", help="YAML or JSON of values.")
@click.option("--preset", "preset_name", help="As for train.")
@click.option("--model", "family", type=click.Choice(FAMILIES), help="As for train.")
@click.option("--validation-pairs", help="SRC,TGT or FILE.tsv to validate with.")
@source_language_option
@target_language_option
@data_dir_option
@config_option(TrainingConfig, "seed")
@path_option("--init-from", help="A run whose tokenizers to take.")
@runner_options
def tokenize(
    dataset,
    output,
    config_file,
    preset_name,
    family,
    seed,
    init_from,
    runner,
    runner_options,
    **given,
):
    """Prepare a run: learn its vocabularies and tokenise its corpus, which `train --resume` goes on
    with.

    With --runner a corpus of more than a window is tokenised on Apache Beam, whose workers have to
    see the corpus and OUTPUT. A command that was interrupted goes on when it is given again.
    """
    if runner_options and runner is None:
        raise click.UsageError("--runner-option says nothing without --runner.")
    changes = changes_of_model(config_file, family)
    config = preset_of_run(dataset, changes, preset_name)
    config = config.replace(changes, config_file or "The options of the model")
    if seed is not None:
        config = config.replace({"training": {"seed": seed}}, "--seed")

    from keras_transformer.data import load_corpus
    from keras_transformer.training.run import prepare

    load = functools.partial(load_corpus, dataset, **given)
    if runner is None:
        pairs = prepare(load(), output, config, init_from=init_from)
    else:
        with on_beam():
            from keras_transformer.distributed.tokenizing import shard_writer

            write = shard_writer(load, runner=runner, runner_options=runner_options)
            pairs = prepare(load(), output, config, init_from=init_from, write_shards=write)
    write_line(f"{output}: {len(pairs):,} pairs; train --resume --output {output}")
