"""``keras-transformer evaluate``: scores on a test set."""

import click

from keras_transformer.cli.options import (
    compile_option,
    config_option,
    data_dir_option,
    dataset_option,
    glossary_option,
    model_option,
    path_option,
    search_options,
    sentences_option,
    verb,
)
from keras_transformer.cli.streams import write_line
from keras_transformer.cli.texts import write_scores
from keras_transformer.config import TrainingConfig


@verb()
@model_option
@click.option("--pairs", help="SRC,TGT or FILE.tsv to score on.")
@dataset_option
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Of the --dataset; test unless given.",
)
@data_dir_option
@path_option("--json", "json_file", help="Write the scores here too.")
@config_option(TrainingConfig, "bleu_tokenize", "tokenize")
@search_options
@sentences_option
@glossary_option
@compile_option
def evaluate(model_path, pairs, dataset, split, data_dir, json_file, tokenize, search, jit_compile):
    """Score a model with sacreBLEU and chrF, a language model with its perplexity."""
    if (pairs is None) == (dataset is None):
        raise click.UsageError("Give either --pairs or --dataset.")
    if pairs is not None and (split is not None or data_dir is not None):
        raise click.UsageError("--split and --data-dir are of a --dataset, not of --pairs.")
    split = split or "test"
    from keras_transformer.models.runs import is_language_model

    if is_language_model(model_path):
        if any((pairs, search, tokenize, jit_compile is not None)):
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
    found = score(translator, test_set, tokenize=tokenize, **search)
    scores = {"test_set": pairs or f"{dataset}, {split}", **found}
    for name, label in (("bleu", "BLEU"), ("bleu_none", "BLEU (no tokens)"), ("chrf", "chrF2")):
        metric = scores[name]
        write_line(f"{label:17}{metric['score']:6.2f}  {metric['signature']}")
    write_line(f"{scores['sentences']:,} sentences in {scores['seconds']:.1f} s")
    if json_file is not None:
        write_scores(json_file, scores)


def _evaluate_language_model(model_path, dataset, split, data_dir, json_file):
    from keras_transformer.data import load_corpus
    from keras_transformer.models.runs import load_run
    from keras_transformer.training.tasks import score_text

    found = score_text(load_run(model_path), load_corpus(dataset, data_dir=data_dir), split)
    write_line(f"perplexity {found['perplexity']:.2f}, loss {found['loss']:.4f} for each token")
    write_line(f"accuracy {found['accuracy']:.4f}")
    write_line(f"{found['texts']:,} texts, {found['dropped_texts']:,} left out as too long")
    if json_file is not None:
        scores = {"test_set": f"{dataset}, {split}", **found}
        write_scores(json_file, scores)
