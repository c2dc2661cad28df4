"""``keras-transformer sweep``: the best values of a configuration within some minutes."""

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
from keras_transformer.cli.streams import write_line
from keras_transformer.cli.train import changes_of_model
from keras_transformer.config import FAMILIES, TrainingConfig, load_changes, preset_of_run


@verb()
@required_dataset_option
@path_option("--output", required=True, help="The folder of the sweep.")
@path_option(
    "--values",
    "values_file",
    required=True,
    help="YAML or JSON of the values to try: the sections and fields of a configuration, each with "
    "a list, or with a range such as {low: 0.001, high: 0.01, log: true}.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after so many; the same command goes on.",
)
@click.option("--trials", type=click.IntRange(min=1), help="Most trainings.")
@click.option(
    "--rungs",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How often a training is compared with others before its end.",
)
@click.option(
    "--reduction-factor",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="About one training in so many goes on beyond a rung.",
)
@click.option("--preset", "preset_name", help="What the values change, as for train.")
@path_option("--config", "config_file", help="YAML or JSON of values for all trainings.")
@click.option("--model", "family", type=click.Choice(FAMILIES), help="As for train.")
@config_option(TrainingConfig, "max_steps")
@click.option("--validation-pairs", help="SRC,TGT or FILE.tsv to validate with.")
@source_language_option
@target_language_option
@data_dir_option
@config_option(TrainingConfig, "seed")
def sweep(
    dataset,
    output,
    values_file,
    minutes,
    trials,
    rungs,
    reduction_factor,
    preset_name,
    config_file,
    family,
    max_steps,
    seed,
    **given,
):
    """Train with one combination of values after the other, and cut the worse ones short.

    --max-steps are the steps of a training that goes to its end. The others are stopped at rungs
    before it (asynchronous successive halving, by Optuna), where their validation score is not
    among the best. All are run folders in OUTPUT/trials; OUTPUT/best.yaml is what train --config
    takes. The table goes to standard output. What was interrupted goes on by the same command.
    """
    changes = changes_of_model(config_file, family)
    config = preset_of_run(dataset, changes, preset_name)
    config = config.replace(changes, config_file or "The options of the model")
    options = {"max_steps": max_steps, "seed": seed}
    options = {name: value for name, value in options.items() if value is not None}
    config = config.replace({"training": options}, "The options of the sweep")

    from keras_transformer.data import load_corpus
    from keras_transformer.training.sweep import BEST_FILE
    from keras_transformer.training.sweep import sweep as run

    found = run(
        load_corpus(dataset, **given),
        output,
        load_changes(values_file),
        config,
        minutes=minutes,
        trials=trials,
        rungs=rungs,
        reduction_factor=reduction_factor,
    )
    if found.trials:
        write_line(found.table())
    for trial in found.trials:
        if trial.reason:
            click.echo(f"trial {trial.number} failed: {trial.reason}", err=True)
    unfinished = any(trial.state == "unfinished" for trial in found.trials)
    if unfinished or found.waiting:
        click.echo(
            f"{output}: time is up; {found.waiting + unfinished} trials are left, which the same "
            "command goes on with",
            err=True,
        )
    if found.best is not None:
        click.echo(f"the best: train --config {output / BEST_FILE}", err=True)
