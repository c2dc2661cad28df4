"""``keras-transformer average``: the mean of weights of checkpoints or runs, as a run folder."""

from pathlib import Path

import click

from keras_transformer.cli.options import path_option, verb
from keras_transformer.cli.streams import write_line


@verb()
@path_option("--output", required=True, help="The run folder to write.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    help="Of each run folder take so many of its newest checkpoints, not its best weights.",
)
@click.argument(
    "sources", metavar="RUN|CHECKPOINT...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
def average(sources, output, last):
    """Write a run with the mean of the weights of other runs, or of their checkpoints.

    A RUN is the folder of one, a CHECKPOINT a file in its checkpoints/. All must have one kind of
    model and the same vocabularies; averages of several runs are of use if they started from the
    same one. What comes out translates like any run, and others may start from it (train
    --init-from).
    """
    from keras_transformer.training.averaging import average_weights

    write_line(average_weights(sources, output, last=last))
