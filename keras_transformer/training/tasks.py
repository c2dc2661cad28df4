"""What a run trains its model for: translation, or modeling one language."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from typing import Any

import keras

from keras_transformer.config import Config
from keras_transformer.data.batches.masked import MaskedBatches
from keras_transformer.data.batches.pairs import Batches
from keras_transformer.data.batches.texts import TextBatches, text_corpus, without_source
from keras_transformer.data.batches.token_store import TokenizedPairs, tokenize_pairs
from keras_transformer.data.corpora.corpus import Corpus, list_pairs
from keras_transformer.data.corpora.text_files import TEXT
from keras_transformer.data.tokenizers.masked import PairOptions
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.models.runs import SavedRun
from keras_transformer.training.callbacks import SampleTexts, SampleTranslations, TensorBoard
from keras_transformer.training.validation import ValidationStep
from keras_transformer.translating.evaluation import check_tokenizer, evaluate
from keras_transformer.translating.generator import Generator
from keras_transformer.translating.translator import Translator

LARGEST_LOSS = 700.0
"""The largest loss whose exponential is a number."""


class Task(ABC):
    """What training does differently for each kind of model.

    Args:
        corpus: pairs to train on and to validate with.
        config: shape and recipe.
    """

    unit = "texts"
    in_windows = False
    """Whether a large corpus may stay on the disk."""

    def __init__(self, corpus: Corpus, config: Config):
        self.corpus = corpus
        self.config = config

    def sides(self, tokenizers: Tokenizers) -> Any:
        """The tokenizers of both sides, as `tokenize_pairs` takes them."""
        return without_source(tokenizers.target)

    def pair_options(self, split: str, tokenizers: Tokenizers) -> PairOptions:
        """What becomes of the pairs of a split before they are tokenised."""
        return PairOptions()

    @abstractmethod
    def batches(self, pairs: TokenizedPairs, tokenizers: Tokenizers, **options) -> Batches:
        """Batches of tokenised pairs; the options are those of `Batches`."""

    def check(self) -> None:
        """Checks that this machine has what the scores need, before a run begins.

        Raises:
            InputError: when it has not.
        """
        return None

    def make_translator(self, tokenizers: Tokenizers, model: keras.Model, **options) -> Any:
        """The `Translator` or `Generator` of the model; ``None`` for one that writes no text."""
        return None

    def scores(self, translator, loss: float) -> dict:
        """Validation scores of an epoch besides loss and accuracy.

        Args:
            translator: from `make_translator`.
            loss: of validation, for each token.
        """
        return {"val_perplexity": math.exp(min(loss, LARGEST_LOSS))}

    def callbacks(self, translator, samples, logs) -> list[keras.callbacks.Callback]:
        """Callbacks that show how the training goes.

        Args:
            translator: from `make_translator`.
            samples: some validation pairs, ``(source, target)`` strings.
            logs: the folder for TensorBoard.
        """
        return [TensorBoard(logs)]


class TranslationTask(Task):
    """Pairs of sentences, judged by the loss and by the BLEU of some translations."""

    unit = "pairs"
    in_windows = True
    _signature = None  # of the BLEU that was told last

    def sides(self, tokenizers):
        return tokenizers

    def pair_options(self, split, tokenizers):
        recipe = self.config.training
        options = PairOptions()
        if tokenizers.placeholders:
            options = options._replace(keep=self.config.decoding.keep)
        if split != "train":
            return options
        if tokenizers.placeholders:
            options = options._replace(shared_words=recipe.shared_words)
        if recipe.terms and not tokenizers.terms:
            raise InputError(
                "training.terms needs a vocabulary with ids for the signs of terms, and that of "
                "this run has none: begin without --init-from (init_from=...) and tokenizers, or "
                "set training.terms to 0."
            )
        if recipe.terms:
            options = options._replace(terms=recipe.terms, seed=recipe.seed)
        if recipe.noise:
            options = options._replace(noise=recipe.noise, seed=recipe.seed)
        return options

    def batches(self, pairs, tokenizers, **options):
        return Batches(pairs, self.config.training.batch_tokens, **options)

    def check(self):
        recipe = self.config.training
        if recipe.bleu_sentences and recipe.bleu_tokenize is not None:
            check_tokenizer(recipe.bleu_tokenize)

    def make_translator(self, tokenizers, model, **options):
        return Translator(tokenizers, model, decoding=self.config.decoding, **options)

    def scores(self, translator, loss):
        wanted = self.config.training.bleu_sentences
        if not wanted:
            return {}
        pairs = list_pairs(self.corpus.validation.take(wanted))
        tokenize = self.config.training.bleu_tokenize
        bleu = evaluate(translator, pairs, tokenize=tokenize)["bleu"]
        if bleu["signature"] != self._signature:
            self._signature = bleu["signature"]
            print(f"validation BLEU is {self._signature}", file=sys.stderr, flush=True)
        return {"val_bleu": bleu["score"]}

    def callbacks(self, translator, samples, logs):
        return [SampleTranslations(translator, samples), TensorBoard(logs, translator, samples)]


class LanguageModelTask(Task):
    """Texts whose every token is predicted from those before it."""

    def batches(self, pairs, tokenizers, **options):
        return TextBatches(pairs, self.config.training.batch_tokens, **options)

    def make_translator(self, tokenizers, model, **options):
        return Generator(tokenizers.target, model, decoding=self.config.decoding, **options)

    def callbacks(self, translator, samples, logs):
        return [SampleTexts(translator, [text for _, text in samples]), TensorBoard(logs)]


class MaskedLanguageModelTask(Task):
    """Texts whose hidden tokens are predicted from those around them."""

    def batches(self, pairs, tokenizers, **options):
        return MaskedBatches(
            pairs,
            self.config.training.batch_tokens,
            vocab_size=int(tokenizers.target.get_vocab_size()),
            **options,
        )


def score_text(run: SavedRun, corpus: Corpus, split: str) -> dict:
    """How well a model of one language foresees the texts of a corpus.

    Of a model that predicts hidden tokens, each text hides the same ones every time.

    Args:
        run: whose model is of one language.
        corpus: its targets are the texts.
        split: which part of it.

    Returns:
        ``loss``, of a token in natural logarithms; ``perplexity``, ``accuracy``, ``texts`` and
        ``dropped_texts``, which have more tokens than training took.
    """
    recipe = run.config.training
    task = task_of(corpus, run.config)
    texts = tokenize_pairs(
        task.corpus.require(split), task.sides(run.tokenizers), recipe.max_tokens
    )
    batches = task.batches(texts, run.tokenizers, shuffle=False, seed=recipe.seed)
    loss, accuracy = ValidationStep(run.model)(batches.epoch(0))
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, LARGEST_LOSS)),
        "accuracy": accuracy,
        "texts": len(texts),
        "dropped_texts": texts.dropped,
    }


def task_of(corpus: Corpus, config: Config) -> Task:
    """The task of a configuration's family of models, on that corpus.

    Raises:
        InputError: for a corpus of one language and a model that needs two.
    """
    if config.model.family == "gpt":
        return LanguageModelTask(text_corpus(corpus), config)
    if config.model.family == "bert":
        return MaskedLanguageModelTask(text_corpus(corpus), config)
    if corpus.name.startswith(TEXT):
        raise InputError(
            f"{corpus.name} is of one language, which a model that translates cannot learn from: "
            "give pairs, or --model gpt or bert."
        )
    return TranslationTask(corpus, config)
