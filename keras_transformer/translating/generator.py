"""Continuations of texts by a trained language model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_transformer.config import DecodingConfig, change_decoding
from keras_transformer.data.tokenizers.adapter import as_tokenizer
from keras_transformer.decoding.compiling import Searches
from keras_transformer.decoding.search import Search
from keras_transformer.errors import InputError, whole_number
from keras_transformer.special_tokens import PAD
from keras_transformer.translating.batches import batches_by_length
from keras_transformer.translating.load import load_generation_run
from keras_transformer.translating.translation import with_alternatives
from keras_transformer.unicode import utf8_list

MAX_NEW_TOKENS = 64
"""Most tokens of a continuation, unless something else is said."""

BATCH_TOKENS = 16384
"""Most tokens of the prompts and continuations of one batch, with their padding."""


@dataclass(frozen=True)
class Generation:
    """One continued text.

    Attributes:
        text: the prompt, as the tokenizer knows it, and the continuation.
        continuation: what of the text follows the prompt.
        score: sum of the logarithmic probabilities of the new tokens.
        tokens: the new tokens, the end included where one was found.
        token_scores: logarithmic probability of each of them.
        normalized_score: the score divided by the length penalty; alternatives are in its order.
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
    """Continues texts with a trained language model.

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
        InputError: for a tokenizer that puts no end to texts, or that has ids which the model does
            not know.

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
        self.tokenizer.check_fits(getattr(model, "vocab_size", None), "model's")
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
        run = load_generation_run(path)
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
        """Continues many texts, batched by length.

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
        texts = utf8_list(prompts, "prompts")
        if seed is not None:
            options["seed"] = seed
        config = change_decoding(self.decoding, options)
        if config.mbr is not None:
            raise InputError(
                "Minimum Bayes risk is for translations, which all say one thing: leave out "
                "decoding.mbr (--mbr)."
            )
        most = max_new_tokens
        if most is None:
            most = config.max_length or MAX_NEW_TOKENS
        most = min(whole_number("max_new_tokens", most), self.model.max_length)
        whole_number("first_stream", first_stream, 0, 2**31 - 1 - len(texts))
        sources = self._prompt_ids(texts)
        lengths = np.array([len(source) for source in sources], np.int32)
        limits = np.minimum(most, self.model.max_length - lengths)
        results: list[Generation | None] = [None] * len(sources)
        for rows in batches_by_length(lengths + most, BATCH_TOKENS):
            batch = [sources[row] for row in rows]
            found = self._searches.search(
                _ragged(batch).to_tensor(),
                limits[rows],
                config,
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
        """A `Search` by a `DecodingConfig`; `arguments` are passed on to it.

        Raises:
            InputError: for one with a shortlist.
        """
        if config.shortlist:
            raise InputError(
                "A shortlist goes by a source, which a language model has not: leave out "
                "decoding.shortlist (--shortlist)."
            )
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
        rows, places = np.nonzero(found.found.numpy())
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
        # A text begins with its prompt, which may have no capitals.
        texts = self.tokenizer.detokenize(_ragged(rows), style, capitals=False)
        return [text.decode("utf-8", errors="replace") for text in texts.numpy()]


def _ragged(rows) -> tf.RaggedTensor:
    """int64 ``(rows, None)`` of arrays of ids."""
    values = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
    return tf.RaggedTensor.from_row_lengths(values, [len(row) for row in rows])
