"""``keras-transformer evaluate``: scores on a test set, and how two systems compare."""

from pathlib import Path

import click

from keras_transformer.cli.comparison import compare, comparison_options
from keras_transformer.cli.options import (
    compile_option,
    config_option,
    data_dir_option,
    dataset_option,
    glossary_option,
    name_of_dataset,
    name_of_system,
    path_option,
    search_options,
    sentences_option,
    system_option,
    verb,
)
from keras_transformer.cli.streams import write_line
from keras_transformer.cli.texts import write_scores
from keras_transformer.config import TrainingConfig
from keras_transformer.errors import InputError
from keras_transformer.files import write_text


@verb()
@system_option(
    "--model",
    "model_path",
    required=True,
    metavar="SYSTEM",
    help="A run folder, an exported model, or a file of translations, one a line; given again, run "
    "folders that translate together.",
)
@click.option("--pairs", help="SRC,TGT or FILE.tsv to score on.")
@dataset_option
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Of the --dataset; test unless given.",
)
@data_dir_option
@comparison_options
@path_option("--json", "json_file", help="Write the scores here too.")
@path_option("--output", metavar="FILE", help="Write the translations of --model here.")
@config_option(TrainingConfig, "bleu_tokenize", "tokenize")
@click.option(
    "--comet",
    metavar="MODEL",
    help="Score with COMET, too: by a checkpoint's path, or a name such as Unbabel/wmt22-comet-da; "
    "needs its command comet-score.",
)
@search_options
@sentences_option
@glossary_option
@compile_option
def evaluate(
    model_path,
    pairs,
    dataset,
    split,
    data_dir,
    comparison,
    json_file,
    output,
    tokenize,
    comet,
    search,
    jit_compile,
):
    """Score a model with sacreBLEU and chrF, a language model with its perplexity.

    With --compare, tell how two of them differ: by more than chance or not, in sources of which
    length, in words of which frequency, and in which sentences most.
    """
    if (pairs is None) == (dataset is None):
        raise click.UsageError("Give either --pairs or --dataset.")
    if pairs is not None and (split is not None or data_dir is not None):
        raise click.UsageError("--split and --data-dir are of a --dataset, not of --pairs.")
    paths = [model_path] if comparison is None else [model_path, comparison.other_path]
    if len(set(paths)) < len(paths):
        raise click.UsageError("--compare names what --model names: give two systems.")
    of_search = bool(search) or jit_compile is not None
    if of_search and all(map(_is_file, paths)):
        raise click.UsageError("Translations of a file are not searched for: leave that out.")
    split = split or "test"
    from keras_transformer.models.runs import is_language_model

    if not isinstance(model_path, tuple) and is_language_model(model_path):
        if any((pairs, of_search, tokenize, comparison, output, comet)):
            raise click.UsageError("A language model is scored on a --dataset, without a search.")
        _evaluate_language_model(model_path, dataset, split, data_dir, json_file)
        return
    from keras_transformer.translating.comet import check_comet
    from keras_transformer.translating.comparison.significance import check_number_of_lines
    from keras_transformer.translating.evaluation import target_language

    test_set, training_text, language = _read_test_set(pairs, dataset, split, data_dir)
    if comparison is not None:
        check_number_of_lines(len(test_set))  # before the translations, which take longer
    if comet is not None:
        check_comet(comet)
    systems = [_load(path, len(test_set), jit_compile) for path in paths]
    options = {
        "tokenize": tokenize,
        "language": next(filter(None, map(target_language, systems)), language),
    }
    found = [_score(system, test_set, **options, **search) for system in systems]
    scores = {"test_set": pairs or f"{name_of_dataset(dataset)}, {split}", **found[0][0]}
    if output is not None:
        write_text(output, "".join(" ".join(line.split()) + "\n" for line in found[0][1]))
    names = map(name_of_system, paths)
    translations = {name: lines for name, (_, lines) in zip(names, found, strict=True)}
    if comparison is None:
        _print_scores(scores)
    else:
        scores["comparison"] = compare(comparison, test_set, translations, training_text, **options)
    if comet is not None:
        scores["comet"] = _score_with_comet(test_set, translations, comet)
    if json_file is not None:
        write_scores(json_file, scores)


def _score_with_comet(test_set, translations, model):
    """Prints the COMET of each system, and returns what is written of it."""
    from keras_transformer.translating.comet import comet_scores

    sources, references = zip(*test_set, strict=True)
    found = comet_scores(sources, translations, references, model)
    for name, scores in found.items():
        of_system = f"  {name}" if len(found) > 1 else ""
        write_line(f"{'COMET':17}{scores['score']:6.4f}  {scores['signature']}{of_system}")
    return found


def _read_test_set(pairs, dataset, split, data_dir):
    """The pairs to score on, the lines that were trained on, if known, and their language."""
    from keras_transformer.data import load_corpus
    from keras_transformer.data.corpora.corpus import list_pairs, pairs_of
    from keras_transformer.data.corpora.pair_files import read_pairs

    if pairs is not None:
        return read_pairs(pairs), None, None
    corpus = load_corpus(dataset, data_dir=data_dir)
    training_text = None
    if corpus.train is not None:
        training_text = (target for _, target in pairs_of(corpus.train))
    return list_pairs(corpus.require(split)), training_text, corpus.target_language


def _is_file(path: Path | tuple[Path, ...]) -> bool:
    """Whether a system is a file of translations."""
    return isinstance(path, Path) and path.is_file()


def _load(path: Path | tuple[Path, ...], sentences: int, jit_compile):
    """A translator, or the translations of a file."""
    from keras_transformer.data.corpora.files.lines import read_lines
    from keras_transformer.translating.translator import Translator

    if not _is_file(path):
        return Translator.load(path, jit_compile=jit_compile)
    lines = read_lines(path)
    if len(lines) != sentences:
        raise InputError(
            f"{path}: has {len(lines):,} translations for {sentences:,} sentences: give a file "
            "with one translation a line, in the order of the test set"
        )
    return lines


def _score(system, test_set, *, tokenize, language, **search):
    """Scores of a translator or of translations, and the translations."""
    from keras_transformer.translating.evaluation import corpus_scores, evaluate

    if isinstance(system, list):
        references = [reference for _, reference in test_set]
        return corpus_scores(system, references, tokenize=tokenize, language=language), system
    found = evaluate(
        system, test_set, return_hypotheses=True, tokenize=tokenize, language=language, **search
    )
    return found, found.pop("hypotheses")


def _print_scores(scores):
    for name, label in (("bleu", "BLEU"), ("bleu_none", "BLEU (no tokens)"), ("chrf", "chrF2")):
        metric = scores[name]
        write_line(f"{label:17}{metric['score']:6.2f}  {metric['signature']}")
    seconds = f" in {scores['seconds']:.1f} s" if "seconds" in scores else ""
    write_line(f"{scores['sentences']:,} sentences{seconds}")


def _evaluate_language_model(model_path, dataset, split, data_dir, json_file):
    from keras_transformer.data import load_corpus
    from keras_transformer.models.runs import load_run
    from keras_transformer.training.tasks import score_text

    found = score_text(load_run(model_path), load_corpus(dataset, data_dir=data_dir), split)
    write_line(f"perplexity {found['perplexity']:.2f}, loss {found['loss']:.4f} for each token")
    write_line(f"accuracy {found['accuracy']:.4f}")
    write_line(f"{found['texts']:,} texts, {found['dropped_texts']:,} left out as too long")
    if json_file is not None:
        scores = {"test_set": f"{name_of_dataset(dataset)}, {split}", **found}
        write_scores(json_file, scores)
