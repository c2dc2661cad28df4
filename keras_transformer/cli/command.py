"""The command ``keras-transformer``: each verb is one call into the package.

Results go to standard output, progress and logs to standard error. Exit codes: 0 done, 1 failed,
2 wrong usage. TensorFlow is imported only once a verb runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import click

from keras_transformer.cli.options import (
    DATASET_HELP,
    compile_option,
    model_option,
    search_options,
    serving_options,
)
from keras_transformer.compile_cache import use_compile_cache
from keras_transformer.config.model import (
    ATTENTIONS,
    FAMILIES,
    LANGUAGE_MODELS,
    RECURRENT,
)
from keras_transformer.errors import InputError
from keras_transformer.files import file_error


class _OneLineErrors(click.Group):
    """Turns a wrong input into one line on standard error and exit code 1."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except InputError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keras_transformer")
def main():
    """Train, use and export models for translation: Transformers, what came before and after."""
    # TensorFlow would take all of a GPU's memory at once.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    use_compile_cache()
    # Else with the programs of another process TensorFlow logs a warning for each.
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        _import_tensorflow_quietly()


def _import_tensorflow_quietly():
    """Keeps what TensorFlow logs before its own log level counts off standard error."""
    standard_error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


@main.command()
@click.option("--dataset", required=True, help=DATASET_HELP)
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="The run folder to write."
)
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="YAML or JSON of values."
)
@click.option(
    "--preset",
    "preset_name",
    help="small, tutorial, base, big or quick; quick for sample and small otherwise unless given.",
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
@click.option("--source-vectors", help="A file of word vectors that those of the source begin as.")
@click.option("--target-vectors", help="The same for the target.")
@click.option(
    "--freeze-vectors",
    type=click.Choice(["none", "found", "all"]),
    help="Which token vectors stay as they are: none unless given, those in the files, or all.",
)
@click.option("--epochs", type=int, help="Stop after this many epochs.")
@click.option("--max-steps", type=int, help="Stop after this many steps.")
@click.option("--max-minutes", type=float, help="Stop after this many minutes of training.")
@click.option("--validation-pairs", help="SRC,TGT or FILE.tsv to validate with.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Prepared data, or an archive.")
@click.option("--seed", type=int, help="Of initial weights, dropout and the order of batches.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all unless given.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, if there is one.")
@click.option(
    "--init-from", type=click.Path(path_type=Path), help="A run whose weights to start from."
)
@click.option(
    "--strategy",
    type=click.Choice(["one", "mirrored", "multiworker"]),
    default="one",
    show_default=True,
    help="One device; all GPUs of this host; or all hosts named in TF_CONFIG.",
)
def train(
    dataset,
    output,
    config_file,
    preset_name,
    family,
    attention,
    source_vectors,
    target_vectors,
    freeze_vectors,
    epochs,
    max_steps,
    max_minutes,
    validation_pairs,
    data_dir,
    seed,
    threads,
    resume,
    init_from,
    strategy,
):
    """Train a model and write a run folder.

    Without a limit the preset's number of epochs is run; --max-steps and --max-minutes replace it
    unless --epochs is given too. A run that was interrupted goes on with --resume.
    """
    from keras_transformer.config import config_from_json, load_changes, preset

    changes = {} if config_file is None else load_changes(config_file)
    changes = _with_model_options(changes, family, attention)
    begun = output / "config.json"
    if resume and preset_name is None and begun.exists():
        config = config_from_json(begun)
    else:
        preset_name = preset_name or ("quick" if dataset == "sample" else "small")
        config = preset(preset_name, _family_of(changes) or "transformer")
    if attention is not None and (_family_of(changes) or config.model.family) not in RECURRENT:
        raise click.UsageError("--attention is of recurrent models: give --model rnn, lstm or gru.")
    config = config.replace(changes, config_file or "The options of the model")
    vectors = {"source": source_vectors, "target": target_vectors, "freeze": freeze_vectors}
    vectors = {name: value for name, value in vectors.items() if value is not None}
    config = config.replace({"word_vectors": vectors}, "The options of word vectors")
    limits = {"epochs": epochs, "max_steps": max_steps, "max_minutes": max_minutes}
    if any(limit is not None for limit in limits.values()):
        config = config.replace({"training": limits}, "The limits of training")
    if seed is not None:
        config = config.replace({"training": {"seed": seed}}, "--seed")

    import tensorflow as tf

    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)

    from keras_transformer.data import load_corpus
    from keras_transformer.training.distribution import make_strategy
    from keras_transformer.training.trainer import train as run

    # A strategy over several hosts must exist before TensorFlow does anything else.
    distribution = make_strategy(strategy)
    corpus = load_corpus(dataset, data_dir=data_dir, validation_pairs=validation_pairs)
    try:
        run(
            corpus,
            output,
            config,
            resume=resume,
            init_from=init_from,
            strategy=distribution,
        )
    except KeyboardInterrupt:
        sys.exit(130)  # what shells expect after Ctrl-C
    except tf.errors.UnavailableError as error:
        raise InputError(
            f"{output}: another host is gone: see what it says, and start all of them again with "
            "--resume."
        ) from error


def _with_model_options(changes, family, attention) -> dict:
    """The changes that a file asks for with those of --model and --attention, which win."""
    model = changes.get("model") or {}
    if not isinstance(model, dict):  # whoever applies the changes says what is wrong with it
        return changes
    if attention is not None:
        values = ATTENTIONS[attention]
        model = {**values, **model, "attention": values["attention"]}
    if family is not None:
        model = {**model, "family": family}
    return {**changes, "model": model}


def _family_of(changes) -> str | None:
    """The family of models that changes ask for, if they ask for one that there is."""
    model = changes.get("model")
    family = model.get("family") if isinstance(model, dict) else None
    return family if family in FAMILIES else None


@main.command()
@model_option
@search_options
@click.option("--n-best", type=int, help="Translations of each text.")
@compile_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with scores.")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
def translate(model_path, search, n_best, jit_compile, as_json, texts):
    """Translate the TEXTs, or the lines of standard input, one line for each.

    With --n-best there are several lines for each: its number from 0, a translation and its score
    after the length penalty, between bars as Moses writes them.
    """
    from tqdm import tqdm

    from keras_transformer.translating.translator import Translator

    if n_best is not None:
        search["n_best"] = n_best
    translator = Translator.load(model_path, jit_compile=jit_compile)
    lines, chunk = texts, len(texts)
    if not texts:
        # Who types wants every answer at once.
        lines, chunk = _lines_of_standard_input(), 1 if sys.stdin.isatty() else 2048
    quiet = bool(texts) or sys.stdin.isatty() or sys.stdout.isatty() or not sys.stderr.isatty()
    translations = translator.translate_stream(lines, chunk=chunk, **search)
    for number, translation in enumerate(tqdm(translations, unit=" texts", disable=quiet)):
        _echo(number, translation, n_best, as_json)


def _echo(number, found, n_best, as_json):
    """Prints what was found for the text of a number, in one of three forms."""
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


@main.command()
@model_option
@click.option("--pairs", help="SRC,TGT or FILE.tsv to score on.")
@click.option("--dataset", help=DATASET_HELP)
@click.option(
    "--split", default="test", show_default=True, type=click.Choice(["train", "validation", "test"])
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Prepared data, or an archive.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the scores here too."
)
@search_options
@compile_option
def evaluate(model_path, pairs, dataset, split, data_dir, json_file, search, jit_compile):
    """Score a model with sacreBLEU and chrF, a language model with its perplexity."""
    if (pairs is None) == (dataset is None):
        raise click.UsageError("Give either --pairs or --dataset.")
    from keras_transformer.models.runs import is_language_model

    if is_language_model(model_path):
        if pairs is not None or search:
            raise click.UsageError("A language model is scored on a --dataset, without a search.")
        _evaluate_language_model(model_path, dataset, split, data_dir, json_file)
        return
    from keras_transformer.data import load_corpus
    from keras_transformer.data.corpora.pair_files import read_pairs
    from keras_transformer.translating.evaluation import evaluate as score
    from keras_transformer.translating.translator import Translator

    test_set = (
        read_pairs(pairs)
        if pairs is not None
        else load_corpus(dataset, data_dir=data_dir).require(split)
    )
    translator = Translator.load(model_path, jit_compile=jit_compile)
    scores = {"test_set": pairs or f"{dataset}, {split}", **score(translator, test_set, **search)}
    for name, label in (("bleu", "BLEU"), ("bleu_none", "BLEU (no tokens)"), ("chrf", "chrF2")):
        metric = scores[name]
        click.echo(f"{label:17}{metric['score']:6.2f}  {metric['signature']}")
    click.echo(f"{scores['sentences']:,} sentences in {scores['seconds']:.1f} s")
    if json_file is not None:
        _write(json_file, (json.dumps(scores, indent=2) + "\n").encode())


def _evaluate_language_model(model_path, dataset, split, data_dir, json_file):
    from keras_transformer.data import load_corpus
    from keras_transformer.models.runs import load_run
    from keras_transformer.training.tasks import score_text

    found = score_text(load_run(model_path), load_corpus(dataset, data_dir=data_dir), split)
    click.echo(f"perplexity {found['perplexity']:.2f}, loss {found['loss']:.4f} for each token")
    click.echo(f"accuracy {found['accuracy']:.4f}")
    click.echo(f"{found['texts']:,} texts, {found['dropped_texts']:,} left out as too long")
    if json_file is not None:
        scores = {"test_set": f"{dataset}, {split}", **found}
        _write(json_file, (json.dumps(scores, indent=2) + "\n").encode())


@main.command()
@click.option(
    "--model",
    "model_path",
    required=True,
    type=click.Path(path_type=Path),
    help="A run folder of --model gpt.",
)
@search_options
@click.option("--max-new-tokens", type=click.IntRange(min=1), help="Most tokens; 64 unless given.")
@click.option("--n-best", type=int, help="Continuations of each text.")
@compile_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with scores.")
@click.argument("prompts", metavar="[PROMPT]...", nargs=-1)
def generate(model_path, search, max_new_tokens, n_best, jit_compile, as_json, prompts):
    """Go on with the PROMPTs, or the lines of standard input, one line for each.

    With --n-best there are several lines for each: its number from 0, a text and its score after
    the length penalty, between bars.
    """
    from keras_transformer.translating.generator import Generator

    if n_best is not None:
        search["n_best"] = n_best
    generator = Generator.load(model_path, jit_compile=jit_compile)
    prompts = prompts or tuple(_lines_of_standard_input())
    found = generator.generate(prompts, max_new_tokens=max_new_tokens, **search)
    for number, generation in enumerate(found):
        _echo(number, generation, n_best, as_json)


@main.command()
@model_option
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Such as saved_models/NAME."
)
@click.option("--version", type=click.IntRange(min=1), help="The next free one unless given.")
@click.option(
    "--format",
    "form",
    default="saved_model",
    show_default=True,
    type=click.Choice(["saved_model", "ctranslate2", "stablehlo"]),
    help="A SavedModel, strings in and strings out; a folder for CTranslate2; or programs for "
    "JAX and other users of StableHLO.",
)
@click.option(
    "--weights",
    type=click.Choice(["float32", "float16"]),
    help="How a SavedModel stores weights; float32 unless given.",
)
@click.option(
    "--xla/--no-xla",
    "compiled",
    default=None,
    help="Whether a SavedModel has signatures compiled by XLA too; it has unless given.",
)
@click.option(
    "--scores",
    "score_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="For the model card: what evaluate --json wrote; may be given again.",
)
@click.option(
    "--quantization", help="How CTranslate2 stores weights, such as int8; float32 unless given."
)
@click.option(
    "--batch-size",
    "batch_sizes",
    multiple=True,
    type=click.IntRange(min=1),
    help="Of StableHLO programs; may be given again; 1 and 16 unless given.",
)
@click.option(
    "--source-length",
    "source_lengths",
    multiple=True,
    type=click.IntRange(min=2),
    help="Likewise; 128 unless given.",
)
@click.option(
    "--beam-size",
    "beam_sizes",
    multiple=True,
    type=click.IntRange(min=1),
    help="Likewise; 1 unless given.",
)
@click.option(
    "--target-length",
    type=click.IntRange(min=1),
    help="Most target tokens of StableHLO programs; 128 unless given.",
)
def export(
    model_path, output, version, form, weights, compiled, score_files, quantization, **shapes
):
    """Export a run in a form that needs less than this package."""
    if quantization is not None and form != "ctranslate2":
        raise click.UsageError("--quantization needs --format ctranslate2.")
    if form != "saved_model" and (weights is not None or compiled is not None or score_files):
        raise click.UsageError("--weights, --xla and --scores need --format saved_model.")
    shapes = {name: value for name, value in shapes.items() if value}
    if form != "stablehlo" and shapes:
        option = min(shapes).removesuffix("s").replace("_", "-")
        raise click.UsageError(f"--{option} needs --format stablehlo.")
    scores = [_read_scores(path) for path in score_files]
    from keras_transformer.exporting import export as export_saved_model
    from keras_transformer.exporting import export_ctranslate2, export_stablehlo
    from keras_transformer.translating.translator import Translator

    translator = Translator.load(model_path)
    if not isinstance(translator, Translator):
        raise InputError(f"{model_path}: is exported already: give a run folder.")
    if form == "ctranslate2":
        written = export_ctranslate2(translator, output, quantization=quantization, version=version)
    elif form == "stablehlo":
        written = export_stablehlo(translator, output, version=version, **shapes)
    else:
        written = export_saved_model(
            translator,
            output,
            version=version,
            weights=weights or "float32",
            compiled=compiled is not False,
            scores=scores,
        )
    click.echo(written)


@main.command()
@click.option(
    "--saved-model",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder above the versions, such as saved_models/NAME.",
)
@serving_options
@click.option("--no-grpc", is_flag=True, help="Serve REST and the page alone.")
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=True,
    show_default=True,
    help="Use the signatures compiled by XLA, where the model has them.",
)
@click.option("--json-logs", is_flag=True, help="One JSON object a line.")
def serve(saved_model, no_grpc, compiled, json_logs, **options):
    """Serve an exported model: a page at /, TensorFlow Serving's REST and gRPC interfaces."""
    from keras_transformer.serving import serve as run

    options = {name: value for name, value in options.items() if value is not None}
    if no_grpc:
        options["grpc_port"] = None
    run(saved_model, **options, compile=compiled, json_logs=json_logs)


@main.command()
@model_option
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Picture: .png, .svg or .pdf."
)
@click.argument("text")
def plot(model_path, output, text):
    """Draw where each head looks as it translates TEXT."""
    import matplotlib

    matplotlib.use("agg")
    from keras_transformer.plotting.attention import attention_figure
    from keras_transformer.translating.translator import Translator

    translation = Translator.load(model_path).translate([text], attention=True)[0]
    if translation.attention is None:
        raise InputError("TEXT: is too long for one picture: give a sentence.")
    if len(translation.tokens) < 2:
        raise InputError("TEXT: nothing was translated: there is no attention to draw.")
    if not translation.attention.any():
        raise InputError(
            f"{model_path}: a model without attention has none to draw: train one with --attention "
            "luong or bahdanau."
        )
    figure = attention_figure(translation.source_tokens, translation.tokens, translation.attention)
    try:
        figure.savefig(output)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise InputError(f"{output}: cannot be written ({problem}).") from error
    click.echo(translation.text)


@main.command()
@model_option
def info(model_path):
    """Say what a run folder or an exported model holds."""
    from keras_transformer.models.runs import is_run, load_run
    from keras_transformer.translating.translator import Translator

    if not is_run(model_path):
        click.echo(f"exported model: {Translator.load(model_path).folder}")
        return
    run = load_run(model_path)
    tokenizers = run.tokenizers
    target = f"{tokenizers.target_language} ({int(tokenizers.target.get_vocab_size()):,} tokens)"
    click.echo(f"parameters: {run.model.count_params():,}")
    if run.config.model.family in LANGUAGE_MODELS:
        click.echo(f"language: {target}")
    else:
        source = f"{tokenizers.source_language} ({int(tokenizers.source.get_vocab_size()):,}"
        click.echo(f"languages: {source} tokens) to {target}")
    for name, values in dataclasses.asdict(run.config).items():
        click.echo(f"{name}: " + ", ".join(f"{key}={value}" for key, value in values.items()))
    metrics = model_path / "metrics.json"
    if metrics.is_file():
        click.echo(f"metrics: {' '.join(metrics.read_text(encoding='utf-8').split())}")


def _lines_of_standard_input():
    for line in sys.stdin.buffer:
        yield line.rstrip(b"\r\n").decode("utf-8", errors="replace")


def _read_scores(path: Path) -> dict:
    """What ``evaluate --json`` wrote."""
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        _ = [scores[name]["signature"] for name in ("bleu", "bleu_none", "chrf")]
        _ = scores["test_set"], scores["sentences"]
    except OSError as error:
        raise file_error(path, "read", error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: holds no scores: write it with evaluate --json.") from error
    return scores


def _write(path: Path, content: bytes) -> None:
    """Writes in place, not by renaming, for `path` may be a pipe or ``/dev/stdout``."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise file_error(path, "written", error) from error
