"""``keras-transformer train``: from a corpus to a run folder."""

import dataclasses
import sys
from pathlib import Path

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
from keras_transformer.cli.restarts import (
    LOST,
    is_watched,
    run_with_restarts,
    without_restarts,
)
from keras_transformer.config import (
    ATTENTIONS,
    FAMILIES,
    RECURRENT,
    Config,
    TrainingConfig,
    WordVectorsConfig,
    config_from_json,
    family_of,
    load_changes,
    preset_of_run,
)
from keras_transformer.errors import InputError, one_line

LIMITS = ("epochs", "max_steps", "max_minutes")
"""Fields of `TrainingConfig`; a limit that is given takes the place of all that the preset has."""

GUIDED_ALIGNMENT = 0.1
"""Weight of the loss of alignments where they are given and the weight is not."""

VECTORS = ("source", "target", "freeze")
"""Fields of `WordVectorsConfig`, whose options end in ``-vectors``."""


@verb()
@required_dataset_option
@path_option("--output", required=True, help="The run folder to write.")
@path_option("--config", "config_file", help="YAML or JSON of values.")
@click.option(
    "--preset",
    "preset_name",
    help="small, fast, tutorial, base, big or quick; quick for sample and small otherwise unless "
    "given.",
)
@click.option(
    "--model",
    "family",
    type=click.Choice(FAMILIES),
    help="The kind of model: the Transformer, which it is unless given, a recurrent one, or one "
    "that learns the text of one language, the target's of the dataset: gpt, bert.",
)
@click.option(
    "--attention",
    type=click.Choice(list(ATTENTIONS)),
    help="Of a recurrent model: bahdanau is additive; luong, which it is unless given, is general.",
)
@click.option(
    "--alignments",
    metavar="FILE",
    help="Word alignments of the training pairs, in Pharaoh's format, which a head of attention "
    "learns; eflomal: that aligner makes them.",
)
@config_option(WordVectorsConfig, "source", "source_vectors")
@config_option(WordVectorsConfig, "target", "target_vectors")
@config_option(WordVectorsConfig, "freeze", "freeze_vectors")
@config_option(TrainingConfig, "epochs")
@config_option(TrainingConfig, "max_steps")
@config_option(TrainingConfig, "max_minutes")
@click.option("--validation-pairs", help="SRC,TGT or FILE.tsv to validate with.")
@source_language_option
@target_language_option
@data_dir_option
@config_option(TrainingConfig, "seed")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all unless given.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, if there is one.")
@path_option("--init-from", help="A run whose weights to start from.")
@click.option(
    "--strategy",
    type=click.Choice(["one", "mirrored", "multiworker"]),
    default="one",
    show_default=True,
    help="One device; all GPUs of this host; or all hosts named in TF_CONFIG.",
)
@click.option(
    "--restarts",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Start again from the newest checkpoint, so often, when the process is killed or another "
    "host is lost.",
)
def train(
    dataset,
    output,
    data_dir,
    validation_pairs,
    source_language,
    target_language,
    threads,
    resume,
    init_from,
    strategy,
    restarts,
    **given,
):
    """Train a model and write a run folder.

    Without a limit the preset's number of epochs is run; --max-steps and --max-minutes replace it
    unless --epochs is given too. A run that was interrupted goes on with --resume.
    """
    if restarts:
        sys.exit(run_with_restarts(without_restarts(sys.argv[1:]), restarts))
    changes = changes_of_model(given["config_file"], given["family"], given["attention"])
    config = _first_config(output, dataset, given["preset_name"], changes, resume)
    family = family_of(changes) or config.model.family
    if given["attention"] is not None and family not in RECURRENT:
        raise click.UsageError("--attention is of recurrent models: give --model rnn, lstm or gru.")
    if init_from is not None and (other := init_from / "config.json").exists():
        # A run has the tokenizers of the one it starts from; training refuses to change them.
        tokenizer = dataclasses.asdict(config_from_json(other).tokenizer)
        wanted = changes.get("tokenizer") or {}
        if isinstance(wanted, dict):  # whoever applies the changes says what is wrong with others
            changes = {**changes, "tokenizer": {**tokenizer, **wanted}}
    config = config.replace(changes, given["config_file"] or "The options of the model")
    config = _with_options(config, given)

    import tensorflow as tf

    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)

    from keras_transformer.data import load_corpus
    from keras_transformer.training.distribution import make_strategy
    from keras_transformer.training.run import train as run

    # A strategy over several hosts must exist before TensorFlow does anything else.
    distribution = make_strategy(strategy)
    languages = {"source": source_language, "target": target_language}
    for folder in (output if resume else None, init_from):
        _refuse_other_languages(folder, languages)
    corpus = load_corpus(
        dataset,
        data_dir=data_dir,
        validation_pairs=validation_pairs,
        source_language=source_language,
        target_language=target_language,
    )
    try:
        run(corpus, output, config, resume=resume, init_from=init_from, strategy=distribution)
    except KeyboardInterrupt:
        sys.exit(130)  # what shells expect after Ctrl-C
    except tf.errors.OpError as error:
        if strategy != "multiworker":
            raise
        if is_watched():
            click.echo(f"{output}: {one_line(error.message, 300)}", err=True)
            sys.exit(LOST)
        raise InputError(
            f"{output}: another host is gone: see what it says, and start all of them again with "
            "--resume."
        ) from error


def _refuse_other_languages(folder: Path | None, languages):
    """Tokenizers that a run takes from a folder keep their languages."""
    from keras_transformer.data.tokenizers.pair import FILE, Tokenizers

    if folder is None or not (folder / "tokenizers" / FILE).exists():
        return
    kept = Tokenizers.load(folder / "tokenizers")
    for side, wanted in languages.items():
        has = getattr(kept, f"{side}_language")
        if wanted not in (None, has):
            raise InputError(
                f"--{side}-language {wanted}: {folder} has tokenizers of {has}: leave it out."
            )


def changes_of_model(config_file, family, attention=None) -> dict:
    """The changes that a file asks for with those of --model and --attention, which win.

    Args:
        config_file, family, attention: values of the options; ``None`` where one is not given.
    """
    changes = {} if config_file is None else load_changes(config_file)
    model = changes.get("model") or {}
    if not isinstance(model, dict):  # whoever applies the changes says what is wrong with it
        return changes
    if attention is not None:
        values = ATTENTIONS[attention]
        model = {**values, **model, "attention": values["attention"]}
    if family is not None:
        model = {**model, "family": family}
    return {**changes, "model": model}


def _first_config(output: Path, dataset, preset_name, changes, resume) -> Config:
    """The configuration before any changes: that of the run that goes on, or a preset."""
    begun = output / "config.json"
    if resume and preset_name is None and begun.exists():
        return config_from_json(begun)
    return preset_of_run(dataset, changes, preset_name)


def _with_options(config: Config, given) -> Config:
    """The configuration with the values of options, those that are given."""
    vectors = {name: given[f"{name}_vectors"] for name in VECTORS}
    vectors = {name: value for name, value in vectors.items() if value is not None}
    config = config.replace({"word_vectors": vectors}, "The options of word vectors")
    limits = {name: given[name] for name in LIMITS}
    if any(limit is not None for limit in limits.values()):
        config = config.replace({"training": limits}, "The limits of training")
    if given["alignments"] is not None:
        recipe = config.training
        weight = recipe.guided_alignment or GUIDED_ALIGNMENT
        path = None if given["alignments"] == "eflomal" else given["alignments"]
        changes = {"guided_alignment": weight, "alignments": path}
        config = config.replace({"training": changes}, "--alignments")
    if given["seed"] is not None:
        config = config.replace({"training": {"seed": given["seed"]}}, "--seed")
    return config
