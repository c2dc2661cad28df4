"""From the beginning of a text to its continuation; and how well a model foresees texts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.config import Config, DecodingConfig, config_from_json
from keras_transformer.data.tokenizers.adapter import as_tokenizer
from keras_transformer.decoding.compiling import Searches
from keras_transformer.decoding.search import Search
from keras_transformer.decoding.tokens import LOWEST
from keras_transformer.errors import InputError
from keras_transformer.losses.masked import token_losses
from keras_transformer.models.runs import load_run
from keras_transformer.special_tokens import PAD
from keras_transformer.translating.translation import utf8, with_alternatives
from keras_transformer.translating.translator import BATCH_ROWS

MAX_NEW_TOKENS = 64
"""Most tokens of a continuation, unless something else is said."""

BATCH_TOKENS = 16384
"""Most tokens of the prompts and continuations of one batch, with their padding."""


@dataclass(frozen=True)
class Generation:
    """One text and how it went on.

    Attributes:
        text: the prompt, as the tokenizer knows it, and the continuation.
        continuation: what of the text follows the prompt.
        score: sum of the logarithmic probabilities of the new tokens.
        tokens: the new tokens, the end included where one was found.
        token_scores: logarithmic probability of each of them.
        normalized_score: the score divided by the length penalty, which alternatives are ordered
            by.
        alternatives: the ``n_best`` continuations, this one first; ``None`` where one was asked
            for.
    """

    text: str
    continuation: str
    score: float
    tokens: list[str]
    token_scores: list[float]
    normalized_score: float
    alternatives: list[Generation] | None = None


class Generator:
    """Goes on with texts by a trained language model.

    Args:
        tokenizer: of one language. What its `tokenize` puts at the end of a text is taken off a
            prompt. For one that is no `Tokenizer` of this package, see `TokenizerAdapter`.
        model: a `GPT`, or any model with the methods that `decoding.search` asks for whose source
            is a prompt, and `max_length`, the longest prompt with its continuation.
        decoding: a `DecodingConfig`, how continuations are searched. Its `length_ratio` and
            `length_offset` play no part.
        jit_compile: compile the search with XLA, one program for each of a few shapes, each of
            which takes seconds to compile; ``None`` does once this generator has searched for
            `compiling.PATIENCE` seconds without, and from the start on a GPU.

    Raises:
        InputError: for a tokenizer that puts no end to texts.

    Example:
        >>> generator = Generator(tokenizer, gpt)
        >>> generator.generate(["in the beginning"], max_new_tokens=20)[0].text
        >>> generator.generate(["and"], sampling=True, top_p=0.9, n_best=3, seed=7)[0].alternatives
    """

    def __init__(self, tokenizer, model, *, decoding=None, jit_compile=None):
        self.tokenizer = as_tokenizer(tokenizer)
        self.model = model
        self.decoding = decoding or DecodingConfig()
        self.jit_compile = jit_compile
        self.start_id, self.end_id = self.tokenizer.start_id, self.tokenizer.end_id
        if self.end_id is None:
            raise InputError(
                f"The tokenizer ({type(tokenizer).__name__}) puts no end to a text, so no "
                "continuation would find one: give a tokenizer whose tokenize adds it."
            )
        if self.start_id is None:  # what ends a text begins the next one
            self.start_id = self.end_id
        self._searches = Searches(self.new_search)

    @classmethod
    def load(cls, path, *, jit_compile=None) -> Generator:
        """Loads a run folder whose model is a `GPT`.

        Args:
            path: the run folder.
            jit_compile: as for the class.

        Raises:
            InputError: when it is none, or damaged.
        """
        path = Path(path)
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: is no run folder: it has no config.json.")
        family = config_from_json(path / "config.json").model.family
        if family != "gpt":
            raise InputError(
                f"{path}: holds a model of the family {family}, which does not go on with texts: "
                "train one with --model gpt."
            )
        run = load_run(path)
        decoding = run.config.decoding
        return cls(run.tokenizers.target, run.model, decoding=decoding, jit_compile=jit_compile)

    def generate(
        self,
        prompts: Iterable[str],
        *,
        max_new_tokens: int | None = None,
        seed: int | None = None,
        style="human",
        first_stream=0,
        **options,
    ) -> list[Generation]:
        """Goes on with many texts, batched by length.

        Args:
            prompts: texts; an empty one lets the model begin.
            max_new_tokens: most tokens of a continuation, the end included; that of the decoding's
                `max_length`, or `MAX_NEW_TOKENS`, unless given. No text grows longer than the
                model's `max_length`.
            seed: of sampling; the decoding's unless given.
            style: ``human`` joins clitics and punctuation; ``corpus`` is what the model learned.
            first_stream: sampling only: number of the random numbers of the first text; those of
                the others follow.
            options: fields of `DecodingConfig` to change, such as ``beam_size=4``.

        Returns:
            one `Generation` for each prompt, in the same order.

        Raises:
            InputError: for an unknown option or a wrong value, and for a prompt that leaves the
                model no position for a continuation.
        """
        if isinstance(prompts, str | bytes):
            raise InputError("prompts are several texts; got one: put it in a list.")
        config = Config(decoding=self.decoding)
        config = config.replace({"decoding": options}, "The options of the search").decoding
        most = max_new_tokens
        if most is None:
            most = config.max_length or MAX_NEW_TOKENS
        if most < 1:
            raise InputError(f"max_new_tokens is at least 1; got {most}.")
        sources = self._prompt_ids([utf8(prompt) for prompt in prompts])
        lengths = np.array([len(source) for source in sources], np.int32)
        limits = np.minimum(most, self.model.max_length - lengths)
        results: list[Generation | None] = [None] * len(sources)
        for rows in _batches(lengths, most):
            batch = [sources[row] for row in rows]
            found = self._searches.search(
                _ragged(batch).to_tensor(),
                limits[rows],
                config,
                seed=seed,
                jit_compile=self.jit_compile,
                streams=first_stream + rows,
            )
            for row, alternatives in zip(rows, self._generations(batch, found, style), strict=True):
                results[row] = with_alternatives(alternatives, config.n_best)
        return results

    def _prompt_ids(self, texts) -> list[np.ndarray]:
        """Token ids of each prompt, without an end."""
        if not texts:
            return []
        ids = self.tokenizer.tokenize(tf.constant(texts, tf.string))
        rows = []
        splits = ids.row_splits.numpy()
        for number, row in enumerate(np.split(ids.values.numpy(), splits[1:-1]), 1):
            if len(row) > 1 and row[-1] == self.end_id:  # alone it begins a text, as in GPT-2
                row = row[:-1]
            if not 0 < len(row) < self.model.max_length:
                raise InputError(
                    f"Prompt {number} has {len(row)} tokens; a text has at most "
                    f"{self.model.max_length}, its continuation included: shorten the prompt."
                )
            rows.append(row)
        return rows

    def new_search(self, config, **arguments) -> Search:
        """A `Search` by a `DecodingConfig`; `arguments` are passed on to it."""
        forbidden = {self.start_id}
        if config.forbid_unknown and self.tokenizer.unknown_id is not None:
            forbidden.add(self.tokenizer.unknown_id)
        return Search(
            self.model,
            start_id=self.start_id,
            end_id=self.end_id,
            config=config,
            forbidden=tuple(sorted(forbidden - {self.end_id})),
            **arguments,
        )

    def _generations(self, prompts, found, style) -> list[list[Generation]]:
        """The continuations of every row of a batch, best first.

        Args:
            prompts: token ids, one array for each row.
            found: their `SearchResult`.
            style: as for `generate`.
        """
        scores, ranks = found.scores.numpy(), found.ranks.numpy()
        tokens, token_scores = found.tokens.numpy(), found.token_scores.numpy()
        # Fewer may have been found than were asked for, the best of them first.
        rows, places = np.nonzero(ranks > LOWEST / 2)
        owners = [prompts[row] for row in rows]
        new = [tokens[at][tokens[at] != PAD] for at in zip(rows, places, strict=True)]
        continuations = self._continuations(owners, new, style)
        names = self.tokenizer.lookup(_ragged(new)).numpy()
        generations: list[list[Generation]] = [[] for _ in prompts]
        for row, place, ids, (text, continuation), named in zip(
            rows, places, new, continuations, names, strict=True
        ):
            generation = Generation(
                text,
                continuation,
                score=float(scores[row, place]),
                tokens=[name.decode("utf-8", errors="replace") for name in named],
                token_scores=token_scores[row, place, : len(ids)].tolist(),
                normalized_score=float(ranks[row, place]),
            )
            generations[row].append(generation)
        return generations

    def _continuations(self, prompts, new, style) -> list[tuple[str, str]]:
        """Whole texts, and what of each follows its prompt.

        A piece of a word changes the text before it, and so may a quotation mark. Where the whole
        does not begin with the prompt, its tokens are read alone.
        """
        new = [ids[:-1] if ids[-1] == self.end_id else ids for ids in new]
        wholes = [np.concatenate(parts) for parts in zip(prompts, new, strict=True)]
        befores, texts, alone = (self._texts(ids, style) for ids in (prompts, wholes, new))
        return [
            (text, text[len(before) :] if text.startswith(before) else rest)
            for before, text, rest in zip(befores, texts, alone, strict=True)
        ]

    def _texts(self, rows, style) -> list[str]:
        texts = self.tokenizer.detokenize(_ragged(rows), style)
        return [text.decode("utf-8", errors="replace") for text in texts.numpy()]


class Perplexity(NamedTuple):
    """How well a model foresees texts.

    Attributes:
        perplexity: the exponential of the mean loss of a token, in natural logarithms.
        tokens: how many there were.
    """

    perplexity: float
    tokens: int


def perplexity(model, batches) -> Perplexity:
    """How many tokens a model wavers between, as it were, at each of a text.

    Args:
        model: from token ids, ``(batch, seq)``, to logits, ``(batch, seq, vocab)``.
        batches: ``(inputs, labels)``, such as those of `data.language_modelling`; a label of 0 is
            not counted.

    Returns:
        the `Perplexity` over all tokens alike, however they are batched.

    Raises:
        InputError: when there is no token to count.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def sums(inputs, labels):
        losses, weights = token_losses(labels, model(inputs, training=False))
        return tf.reduce_sum(losses), tf.reduce_sum(weights)

    loss, tokens = 0.0, 0
    for inputs, labels in batches:
        batch = sums(*tf.nest.map_structure(tf.convert_to_tensor, (inputs, labels)))
        loss, tokens = loss + float(batch[0]), tokens + int(batch[1])
    if not tokens:
        raise InputError("There is no token to predict: give batches with labels above 0.")
    mean = loss / tokens
    return Perplexity(math.exp(mean) if mean < 700 else math.inf, tokens)


def _ragged(rows) -> tf.RaggedTensor:
    """int64 ``(rows, None)`` of arrays of ids."""
    values = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
    return tf.RaggedTensor.from_row_lengths(values, [len(row) for row in rows])


def _batches(lengths, most) -> list[np.ndarray]:
    """Row numbers of batches of like lengths, the longest first."""
    order = np.argsort(-lengths, kind="stable")
    size = BATCH_TOKENS // (max(lengths, default=0) + most)
    size = min(max(size, 1), BATCH_ROWS)
    return [order[start : start + size] for start in range(0, len(order), size)]
