"""What a run learns, apart from how it is trained: to translate, or a language from its text."""

from __future__ import annotations

import math
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
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.models.runs import SavedRun
from keras_transformer.training.callbacks import SampleTexts, SampleTranslations, TensorBoard
from keras_transformer.training.step import ValidationStep
from keras_transformer.translating.evaluation import evaluate
from keras_transformer.translating.translator import Translator

MOST = 700.0
"""The largest loss whose exponential is a number."""


class Task(ABC):
    """What a run asks of the kind of its model.

    Args:
        corpus: pairs to train on and to validate with.
        config: shape and recipe.
    """

    unit = "texts"

    def __init__(self, corpus: Corpus, config: Config):
        self.corpus = corpus
        self.config = config

    def sides(self, tokenizers: Tokenizers) -> Any:
        """What `tokenize_pairs` takes."""
        return without_source(tokenizers.target)

    @abstractmethod
    def batches(self, pairs: TokenizedPairs, tokenizers: Tokenizers, **options) -> Batches:
        """Batches of tokenised pairs; the options are those of `Batches`."""

    def user(self, tokenizers: Tokenizers, model: keras.Model, **options) -> Any:
        """What makes text with the model; ``None`` where there is nothing of the kind."""
        return None

    def scores(self, user, loss: float) -> dict:
        """What the log of an epoch tells of validation besides loss and accuracy.

        Args:
            user: from `user`.
            loss: of validation, for each token.
        """
        return {"val_perplexity": math.exp(min(loss, MOST))}

    def watchers(self, user, samples, logs) -> list[keras.callbacks.Callback]:
        """Callbacks that show how the training goes.

        Args:
            user: from `user`.
            samples: some validation pairs, ``(source, target)`` strings.
            logs: the folder for TensorBoard.
        """
        return [TensorBoard(logs)]


class Translating(Task):
    """Pairs of sentences, judged by the loss and by the BLEU of some translations."""

    unit = "pairs"

    def sides(self, tokenizers):
        return tokenizers

    def batches(self, pairs, tokenizers, **options):
        return Batches(pairs, self.config.training.batch_tokens, **options)

    def user(self, tokenizers, model, **options):
        return Translator(tokenizers, model, decoding=self.config.decoding, **options)

    def scores(self, user, loss):
        wanted = self.config.training.bleu_sentences
        if not wanted:
            return {}
        pairs = list_pairs(self.corpus.validation.take(wanted))
        return {"val_bleu": evaluate(user, pairs)["bleu"]["score"]}

    def watchers(self, user, samples, logs):
        return [SampleTranslations(user, samples), TensorBoard(logs, user, samples)]


class Continuing(Task):
    """Texts whose every token is predicted from those before it."""

    def batches(self, pairs, tokenizers, **options):
        return TextBatches(pairs, self.config.training.batch_tokens, **options)

    def user(self, tokenizers, model, **options):
        from keras_transformer.translating.generator import Generator

        return Generator(tokenizers.target, model, decoding=self.config.decoding, **options)

    def watchers(self, user, samples, logs):
        return [SampleTexts(user, [text for _, text in samples]), TensorBoard(logs)]


class Unmasking(Task):
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
        "perplexity": math.exp(min(loss, MOST)),
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
        return Continuing(text_corpus(corpus), config)
    if config.model.family == "bert":
        return Unmasking(text_corpus(corpus), config)
    if corpus.name.startswith(TEXT):
        raise InputError(
            f"{corpus.name} is of one language, which a model that translates cannot learn from: "
            "give pairs, or --model gpt or bert."
        )
    return Translating(corpus, config)
