"""Translates text with a model in memory: tokenise, search, detokenise."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transformer.config import DecodingConfig, change_decoding
from keras_transformer.data.corpora.corpus import list_pairs
from keras_transformer.data.glossary import Glossary
from keras_transformer.data.text.strings import string_tensor
from keras_transformer.data.tokenizers.masked import (
    PairOptions,
    tokenize_like,
    tokenize_with_surfaces,
)
from keras_transformer.data.tokenizers.pair import as_tokenizers
from keras_transformer.data.tokenizers.token_links import TokenLinks, links_of_row
from keras_transformer.decoding.compiling import Searches
from keras_transformer.decoding.search import Search
from keras_transformer.decoding.shortlist import Shortlist
from keras_transformer.errors import InputError, whole_number
from keras_transformer.exporting.format import NOT_FOUND
from keras_transformer.models.ensemble import ModelEnsemble
from keras_transformer.special_tokens import PAD, UNK
from keras_transformer.translating.alignment import (
    AlignmentHead,
    Link,
    head_weights,
    texts_of_tokens,
    token_places,
    word_links,
)
from keras_transformer.translating.alternatives import MOST_ALTERNATIVES
from keras_transformer.translating.batches import BATCH_ROWS, batches_by_length
from keras_transformer.translating.glossaries import (
    LackingTerms,
    ids_of_terms,
    term_tokens,
    ways_of,
)
from keras_transformer.translating.graph import (
    first_pieces,
    joined_texts,
    most_tokens,
)
from keras_transformer.translating.load import (
    load_exported,
    load_translation_runs,
    run_alignment_head,
    run_examples,
)
from keras_transformer.translating.minimum_risk import of_least_risk
from keras_transformer.translating.programs import Programs
from keras_transformer.translating.segmentation import (
    Pieces,
    divide,
    warn_of_pieces,
    with_language,
)
from keras_transformer.translating.translation import (
    BaseTranslator,
    Translation,
    aligned,
    join_pieces,
)
from keras_transformer.unicode import utf8, utf8_list

MAX_TOKENS = 128
"""Most target tokens that calling a `Translator` gives, as in the tutorial."""

BATCH_TOKENS = 4096
"""Most source tokens in one batch, their padding included."""


class Translator(tf.Module, BaseTranslator):
    """Translates text with a trained model.

    Args:
        tokenizers: a `Tokenizers`, or an object such as the tutorial's converter with two
            languages as attributes (``.pt`` and ``.en``).
        transformer: a `Transformer` or `RecurrentSeq2Seq`, or any model with their `encode`,
            `initial_cache`, `decode_step`, `cross_attention_scores` and `max_length`; or a
            `ModelEnsemble` of such.
        decoding: a `DecodingConfig`, how translations are searched.
        max_source_length: texts of more tokens are translated in pieces; as many as the model has
            positions for unless given.
        jit_compile: compile the search with XLA, one program for each of a few shapes, each of
            which takes seconds to compile; ``None`` does once this translator has searched for
            `compiling.PATIENCE` seconds without, and from the start on a GPU.

    Raises:
        InputError: for tokenizers that put no start and end to a target text, or that have ids
            which the model does not know.

    Example:
        >>> translator = Translator(tokenizers, transformer)
        >>> text, tokens, attention = translator("este é um problema que temos que resolver.")
        >>> translator.translate(["bom dia.", "obrigado."])[1].text
    """

    takes_first_stream = True

    def __init__(
        self, tokenizers, transformer, *, decoding=None, max_source_length=None, jit_compile=None
    ):
        super().__init__()
        self.tokenizers = as_tokenizers(tokenizers)
        self.transformer = transformer
        self.decoding = decoding or DecodingConfig()
        positions = transformer.max_length
        self.max_source_length = min(max_source_length or positions, positions)
        target = self.tokenizers.target
        self.start_id, self.end_id = target.start_id, target.end_id
        if self.start_id is None or self.end_id is None:
            raise InputError(
                "The target tokenizer puts no start and end to a text: give one whose tokenize "
                "adds them."
            )
        for side, tokenizer, name in (
            ("source", self.tokenizers.source, "input_vocab_size"),
            ("target", target, "target_vocab_size"),
        ):
            tokenizer.check_fits(getattr(transformer, name, None), side)
        self.jit_compile = jit_compile
        self.folders: list[Path] = []  # of the runs that it was loaded from
        self.examples: list[str] = []
        self.alignment_head: AlignmentHead | None = None
        self.shortlist: Shortlist | None = None
        self.programs = Programs(self)
        self.searches = Searches(self.new_search)
        self.term_searches = Searches(self.new_term_search)

    def __call__(self, sentence, max_length=MAX_TOKENS):
        """Translates in the tutorial's form, in the corpus' style.

        Works eagerly and inside a `tf.function`. A text of more tokens than `max_source_length` is
        translated in pieces, as by `translate` and in exports, eagerly with a warning.

        Args:
            sentence: one text or many: a string or a list of them, or a string tensor of rank 0
                or 1.
            max_length: most target tokens of a text or piece, the end included.

        Returns:
            ``(text, tokens, attention_weights)``. For one text: a scalar string, its tokens with
            start and end, and weights of the last layer, ``(1, heads, tokens - 1, source)``. For
            many: ``(batch,)`` strings, ragged tokens, and weights
            ``(batch, heads, longest - 1, source)``. Of a text in pieces the string is whole, and
            tokens and weights are those of its first piece, as in the signature ``attention`` of
            an export.

        Raises:
            ValueError: for strings of another rank.
        """
        if not tf.is_tensor(max_length):
            max_length = min(whole_number("max_length", max_length), self.transformer.max_length)
        sentence = string_tensor(sentence)
        if sentence.shape.rank not in (0, 1):
            raise InputError(f"Expected a string or a vector of strings; got {sentence.shape}.")
        texts, tokenizers = tf.reshape(sentence, [-1]), self.tokenizers
        pieces = self.programs.pieces(texts, self.decoding)
        if tf.executing_eagerly():
            warn_of_pieces(pieces, self.max_source_length, tokenizers.placeholders)
        source = pieces.ids
        limits = most_tokens(source, 0.0, max_length, self.transformer.max_length)
        found = self.searches.search(
            source.to_tensor(),
            limits,
            self.decoding,
            streams=pieces.texts,
            jit_compile=self.jit_compile,
        ).tokens[:, :1]
        text = joined_texts(self.programs.texts, found, pieces, "corpus")[:, 0]
        first = first_pieces(pieces)
        source, target = tf.gather(source, first).to_tensor(), tf.gather(found[:, 0], first)
        tokens = self.target_tokens(target)
        attention_weights = self.attention_weights(source, target)
        if sentence.shape.rank == 0:
            return text[0], tokens[0], attention_weights
        return text, tokens, attention_weights

    def translate(
        self,
        lines: Iterable[str],
        *,
        style="human",
        attention=False,
        alignment=False,
        token_scores=False,
        target_prefix: Iterable[str] | None = None,
        glossary: Any = None,
        first_stream=0,
        **options,
    ) -> list[Translation]:
        """Translates many texts, batched by length.

        A text of more tokens than `max_source_length` is translated in pieces, with a warning.

        Args:
            lines: texts.
            style: ``human`` joins clitics and punctuation; ``corpus`` is what the model learned.
            attention: return tokens and cross-attention weights too.
            alignment: return which words belong together too.
            token_scores: return tokens and their scores too.
            target_prefix: for each text what its translation begins with.
            glossary: the translations that terms are to have: a `Glossary`, the path of its file,
                pairs, or a mapping. `DecodingConfig.glossary_mode` says how it is followed.
            first_stream: sampling only: number of the random numbers of the first text; those of
                the others follow.
            options: fields of `DecodingConfig` to change, such as ``beam_size=4``.

        Returns:
            one `Translation` for each text, in the same order; an empty text gives an empty one.

        Raises:
            InputError: for an unknown option or a wrong value.
        """
        lines = utf8_list(lines, "lines")
        config = change_decoding(self.decoding, options)
        whole_number("first_stream", first_stream, 0, 2**31 - 1 - len(lines))
        if not lines:
            return []
        if config.mbr is not None:
            samples = self.translate(
                lines,
                style=style,
                attention=attention,
                alignment=alignment,
                token_scores=token_scores,
                target_prefix=target_prefix,
                glossary=glossary,
                first_stream=first_stream,
                **{**options, "n_best": config.mbr, "mbr": None},
            )
            return [of_least_risk(sample, config) for sample in samples]
        pieces = self._pieces(lines, config, glossary)
        source, owners, limits = pieces.ids, pieces.texts.numpy(), self.limits(pieces.ids, config)
        limits = limits.numpy()
        warn_of_pieces(pieces, self.max_source_length, self.tokenizers.placeholders)
        prefix = self._prefix_ids(target_prefix, pieces, len(lines), config.keep)
        if prefix is not None:
            limits = np.where(limits, limits + prefix.row_lengths().numpy(), 0)
            limits = np.minimum(limits, self.max_target_length(config))
        found: list[list[Translation]] = [[] for _ in owners]
        lacking = None
        if pieces.terms is not None and ways_of(config, self.tokenizers)[1]:
            lacking = LackingTerms(self, pieces, config, prefix)

        def search(rows):
            arguments = {"streams": first_stream + owners[rows], "jit_compile": self.jit_compile}
            if prefix is not None:
                arguments["prefix"] = tf.gather(prefix, rows).to_tensor()
            source_ids = tf.gather(source, rows).to_tensor()
            return self.searches.search(source_ids, limits[rows], config, **arguments)

        def translate_rows(rows, search):
            lengths = source.row_lengths().numpy()[rows]
            batches = [rows[batch] for batch in batches_by_length(lengths, BATCH_TOKENS)]
            # While one batch is between kernels, another one keeps the cores busy.
            workers = max(min(len(batches), 1 + (os.cpu_count() or 1), 8), 1)
            with ThreadPoolExecutor(workers) as executor:
                for batch, result in zip(batches, executor.map(search, batches), strict=True):
                    translations = self._translations(
                        result, pieces, batch, style, attention, alignment, token_scores
                    )
                    was_found = result.found[:, 0].numpy()
                    for row, one, found_one in zip(batch, translations, was_found, strict=True):
                        if found_one or not found[row]:
                            found[row] = one
                    if lacking is not None:
                        lacking.note(batch, result, [one[0].text for one in translations])

        translate_rows(np.arange(len(owners)), search)
        for rows, search_again in lacking.searches() if lacking is not None else ():
            translate_rows(rows, search_again)
        translations = join_pieces(found, pieces, config.n_best)
        return aligned(lines, translations) if alignment else translations

    def alternatives(self, text: str, prefix: str, count: int = 8) -> list[Translation]:
        """Other translations that begin alike and go on with different words, the best first.

        After the prefix come the likeliest next tokens, and after each of them what greedy search
        finds, as in the signature ``alternatives`` of an export.

        Args:
            text: of one in several sentences the first has alternatives.
            prefix: what the translations begin with, up to a word, in human style.
            count: how many at most, up to `alternatives.MOST_ALTERNATIVES`.

        Raises:
            InputError: for what is no text, and for another number.
        """
        count = whole_number("count", count, 1, MOST_ALTERNATIVES)
        texts = [tf.constant(one) for one in utf8_list([text, prefix], "text and prefix")]
        found = self.programs.alternatives(texts[0][tf.newaxis], texts[1], tf.constant(count))
        rows = zip(found["translations"][0].numpy(), found["scores"][0].numpy(), strict=True)
        return [
            Translation(other.decode("utf-8"), float(score))
            for other, score in rows
            if score > NOT_FOUND
        ]

    def can_align(self, **options) -> bool:
        """Whether `translate` takes ``alignment=True`` beside these options of it: always."""
        return True

    def align(self, pairs: Iterable[tuple[str, str]]) -> list[list[Link]]:
        """Which words of given translations belong together, by the same head as `translate`.

        Args:
            pairs: texts and their translations.

        Returns:
            the links of each pair, as `Translation.alignment` has them; none for a pair with more
            tokens on a side than `max_source_length` or the model's positions, with a warning.
        """
        pairs = list_pairs(pairs)
        return [
            []
            if links is None
            else word_links(*(utf8(text).decode("utf-8", "replace") for text in pair), links)
            for pair, links in zip(pairs, self.token_links(pairs), strict=True)
        ]

    def token_links(self, pairs: Iterable[tuple[str, str]]) -> list[TokenLinks | None]:
        """Which tokens of given translations belong together; see `align`.

        Args:
            pairs: texts and their translations.

        Returns:
            ``None`` for a pair that is too long.
        """
        pairs = list_pairs(pairs)
        if not pairs:
            return []
        columns = [tf.constant(utf8_list(column, "pairs")) for column in zip(*pairs, strict=True)]
        columns[0] = with_language(self.tokenizers, columns[0], self.decoding.to)
        options = PairOptions(keep=self.decoding.keep if self.tokenizers.placeholders else ())
        (source, target), sides = tokenize_with_surfaces(self.tokenizers, *columns, options)
        lengths = source.row_lengths().numpy(), target.row_lengths().numpy()
        fits = (lengths[0] <= self.max_source_length) & (lengths[1] <= self.transformer.max_length)
        if not fits.all():
            warnings.warn(
                f"{np.count_nonzero(~fits)} of {len(pairs)} pairs are too long to be aligned.",
                stacklevel=3,
            )
        found: list[TokenLinks | None] = [None] * len(pairs)
        kept = np.flatnonzero(fits)
        for batch in batches_by_length(np.maximum(*lengths)[kept], BATCH_TOKENS):
            rows = kept[batch]
            ids = tf.gather(source, rows).to_tensor(), tf.gather(target, rows)[:, 1:].to_tensor()
            places, weights = (part.numpy() for part in self.programs.token_places(*ids))
            for i, row in enumerate(rows):
                says, other_says = (side[row][1] for side in sides)
                count = len(other_says) - 1  # the start is no token of a translation
                of_tokens = places[i, :count].tolist(), weights[i, :count].tolist()
                found[row] = TokenLinks(says, other_says[1:], *of_tokens)
        return found

    def warm_up(self, texts=BATCH_ROWS, *, source_length=32, target_length=48, **options) -> float:
        """Compiles the search ahead for calls of `translate` up to some size.

        What does not fit the sizes given is compiled when it comes. From here on the search is
        compiled, unless the translator was made with ``jit_compile=False``.

        Args:
            texts: most texts in one call; from `BATCH_ROWS` on all calls are alike.
            source_length: most tokens of a text, with start and end. Programs are compiled for
                32, 64, 128 and so on.
            target_length: most tokens of a translation. Programs are compiled for 48, 96, 192 and
                so on.
            options: fields of `DecodingConfig` to change, as for `translate`.

        Returns:
            the seconds that it took.

        Raises:
            InputError: for an unknown option or a wrong value.
        """
        start = time.perf_counter()
        config = change_decoding(self.decoding, options)
        texts = whole_number("texts", texts)
        source_length = whole_number("source_length", source_length)
        target_length = whole_number("target_length", target_length)
        self.jit_compile = self.jit_compile is not False
        self.programs.warm_up(config)
        self.searches.get(config, self.jit_compile).warm_up(
            min(texts, BATCH_ROWS),
            min(source_length, self.max_source_length),
            min(target_length, self.max_target_length(config)),
        )
        return time.perf_counter() - start

    @property
    def attention_model(self):
        """The model whose attention is looked at: the first of an ensemble."""
        model = self.transformer
        return model.models[0] if isinstance(model, ModelEnsemble) else model

    @classmethod
    def load(cls, path, *, jit_compile=None) -> BaseTranslator:
        """Loads a run folder or several, or what `export` or `export_ctranslate2` wrote.

        Args:
            path: a run folder, a version folder of an export, or the folder above it, of which
                the highest version is taken; or a list of run folders with the same tokenizers,
                whose models translate together. How an ensemble searches unless told, its
                shortlist, its examples, and attention and alignments are those of the first.
            jit_compile: as for `Translator`; an exported model is compiled by XLA only if asked.

        Returns:
            a `Translator`, an `ExportedTranslator` or a `CTranslate2Translator`.

        Raises:
            InputError: when it is neither, or damaged, or when the runs of an ensemble differ in
                their tokenizers.
        """
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        if len(paths) == 1:
            exported = load_exported(paths[0], jit_compile=jit_compile)
            if exported is not None:
                return exported
        run, *others = runs = load_translation_runs(paths)
        translator = cls(
            run.tokenizers,
            ModelEnsemble([run.model for run in runs]) if others else run.model,
            decoding=run.config.decoding,
            max_source_length=min(run.config.training.max_tokens for run in runs),
            jit_compile=jit_compile,
        )
        translator.folders = [run.folder for run in runs]
        translator.alignment_head = run_alignment_head(run.folder, run.config)
        translator.shortlist = Shortlist.load(run.folder)
        translator.examples = run_examples(run.folder)
        return translator

    def _pieces(self, lines, config, glossary=None) -> Pieces:
        """What the model translates of texts, UTF-8."""
        texts = with_language(self.tokenizers, tf.constant(lines, tf.string), config.to)
        if glossary is None:
            return self.programs.pieces(texts, config)
        columns = [tf.constant(column, tf.string) for column in Glossary.of(glossary).columns()]
        pieces = self.programs.pieces(texts, config, columns)
        if ways_of(config, self.tokenizers)[1]:
            self._warn_of_terms(pieces.terms)
        return pieces

    def _warn_of_terms(self, terms: tf.RaggedTensor):
        """Warns of terms that the model cannot write."""
        terms = tf.unique(terms.flat_values)[0]
        unknown = tf.reduce_any(ids_of_terms(self.tokenizers.target, terms) == UNK, axis=1)
        if count := int(tf.math.count_nonzero(unknown)):
            first = tf.boolean_mask(terms, unknown)[0].numpy().decode()
            warnings.warn(
                f"{count} terms of the glossary have letters that the model does not know, such "
                f"as {first!r:.60}: translations may be without them.",
                stacklevel=4,
            )

    def divide(self, texts, config, glossary=None) -> Pieces:
        """What the model translates of texts, ``(batch,)``, by a `DecodingConfig`.

        Args:
            texts: strings.
            config: how texts are divided and a glossary is followed.
            glossary: terms and their translations, strings ``(n,)`` both, if there is one.
        """
        return divide(
            self.tokenizers,
            texts,
            self.max_source_length,
            sentences=config.sentences,
            keep=config.keep,
            glossary=glossary,
            beside=glossary is not None and ways_of(config, self.tokenizers)[0],
            to=config.to,
        )

    def _prefix_ids(self, prefixes, pieces, count, keep) -> tf.RaggedTensor | None:
        """Token ids of the target prefix of each piece; only the first of a text has one."""
        if prefixes is None:
            return None
        prefixes = utf8_list(prefixes, "target_prefix")
        if len(prefixes) != count:
            raise InputError(f"{len(prefixes)} target prefixes for {count} texts: give one each.")
        owners = pieces.texts.numpy()
        first = np.concatenate([[True], owners[1:] != owners[:-1]])
        texts = [
            prefixes[owner] if is_first else b""
            for owner, is_first in zip(owners, first, strict=True)
        ]
        texts = tf.constant(texts, tf.string)
        target = self.tokenizers.target
        if not self.tokenizers.placeholders:
            return target.tokenize(texts)[:, 1:-1]
        return tokenize_like(target, texts, pieces.kept, keep)[:, 1:-1]

    def new_search(self, config, **arguments) -> Search:
        """A `Search` by a `DecodingConfig`; `arguments` are passed on to it.

        Raises:
            InputError: where the configuration wants a shortlist and there is none.
        """
        target = self.tokenizers.target
        forbidden = (*target.term_marks, *target.tag_ids)
        placeholders = self.tokenizers.placeholders
        return Search(
            self.transformer,
            start_id=self.start_id,
            end_id=self.end_id,
            config=config,
            # What the vocabulary does not know is kept.
            forbidden=(UNK, *forbidden) if config.forbid_unknown or placeholders else forbidden,
            placeholders=placeholders,
            first_placeholder=self.tokenizers.target.first_placeholder,
            shortlist=self.required_shortlist() if config.shortlist else None,
            **arguments,
        )

    def required_shortlist(self) -> Shortlist:
        """The shortlist.

        Raises:
            InputError: where there is none.
        """
        if self.shortlist is None:
            where = f"{self.folders[0]}: has" if self.folders else "The translator has"
            raise InputError(
                f"{where} no shortlist, which training makes: leave out decoding.shortlist "
                "(--shortlist), or go on with the run (train --resume), which adds it."
            )
        return self.shortlist

    def new_term_search(self, config, **arguments) -> Search:
        """A `Search` for hypotheses with given terms; see `new_search`."""
        tokens = term_tokens(self.tokenizers.target)
        return self.new_search(config, term_tokens=tokens, **arguments)

    def limits(self, source: tf.RaggedTensor, config):
        """Most target tokens of each source by a `DecodingConfig`, int32 ``(batch,)``."""
        longest = self.max_target_length(config)
        return most_tokens(source, config.length_ratio, config.length_offset, longest)

    def max_target_length(self, config) -> int:
        """Most target tokens by a `DecodingConfig`, whatever the source."""
        positions = self.transformer.max_length
        return min(config.max_length or positions, positions)

    def _translations(self, found, pieces, rows, style, attention, alignment, token_scores):
        """The translations of every row of a batch, best first.

        Args:
            found: their `SearchResult`.
            pieces: of all texts.
            rows: which of the pieces the batch has, ``(batch,)``.
            style, attention, alignment, token_scores: as for `translate`.
        """
        batch, n_best, length = found.tokens.shape
        flat = tf.reshape(found.tokens, (batch * n_best, length))
        of_each = np.repeat(rows, n_best)
        begins, kept = tf.gather(pieces.begins, of_each), tf.gather(pieces.kept, of_each)
        texts = self.programs.texts(flat, style, begins, kept).numpy()
        scores, ranks = found.scores.numpy(), found.ranks.numpy()
        found_one = found.found.numpy()
        details = [{} for _ in texts]
        if attention or alignment or token_scores:
            sources = tf.gather(pieces.ids, of_each)
        if attention or token_scores:
            details = self._details(
                sources,
                flat,
                tf.reshape(found.token_scores, (batch * n_best, length)),
                attention,
            )
        if alignment:
            for detail, links in zip(details, self._links(sources, flat, kept), strict=True):
                detail["token_links"] = links
        return [
            [
                Translation(
                    texts[i].decode("utf-8"),
                    float(scores[row, rank]),
                    normalized_score=float(ranks[row, rank]) if found_one[row, rank] else 0.0,
                    **details[i],
                )
                for rank, i in enumerate(range(row * n_best, (row + 1) * n_best))
                if rank == 0 or found_one[row, rank]
            ]
            for row in range(batch)
        ]

    def _with_start(self, target):
        return tf.pad(target, [[0, 0], [1, 0]], constant_values=self.start_id)

    def target_tokens(self, target) -> tf.RaggedTensor:
        """Names of the start and the found tokens; each row ends where its padding begins."""
        ids = tf.RaggedTensor.from_tensor(self._with_start(target), padding=0)
        return self.tokenizers.target.lookup(ids)

    def attention_weights(self, source, target):
        """Attention weights of the last layer, from one more pass over the finished translations.

        Args:
            source: token ids, ``(batch, source)``.
            target: ids of the translations, without the start, ``(batch, target)``.

        Returns:
            ``(batch, heads, longest, source)``, `longest` being the most tokens of a translation.
        """
        longest = tf.reduce_max(tf.math.count_nonzero(target, axis=1, dtype=tf.int32))
        target = self._with_start(target)[:, : tf.maximum(longest, 1)]
        return self.attention_model.cross_attention_scores(source, target)[:, :, :longest]

    def token_places(self, source, target):
        """The source token that each token of finished translations belongs to.

        Args:
            source: token ids, ``(batch, source)``.
            target: ids of the translations, without the start, ``(batch, target)``.

        Returns:
            as `alignment.token_places`.
        """
        head = self.alignment_head
        weights = head_weights(self.attention_model, source, target, self.start_id, head)
        return token_places(weights, source, target)

    def _links(self, source: tf.RaggedTensor, target, kept) -> list[TokenLinks]:
        """The links of tokens of each row.

        Args:
            source: ids, ``(rows, None)``.
            target: ids of the translations, ``(rows, target)``.
            kept: what placeholders stand for, ``(rows, None)``.
        """
        places, weights = self.programs.token_places(source.to_tensor(), target)
        targets = tf.RaggedTensor.from_tensor(target, padding=PAD)
        names = [
            texts_of_tokens(tokenizer, ids, kept).to_list()
            for tokenizer, ids in (
                (self.tokenizers.source, source),
                (self.tokenizers.target, targets),
            )
        ]
        rows = zip(*names, places.numpy(), weights.numpy(), strict=True)
        return [links_of_row(*row) for row in rows]

    def _details(self, source: tf.RaggedTensor, target, token_scores, attention) -> list[dict]:
        """Tokens, their scores and, if asked for, attention weights of each row.

        Args:
            source: ids, ``(rows, None)``.
            target: ids of the translations, ``(rows, target)``.
            token_scores: of them, ``(rows, target)``.
            attention: whether to give attention weights.
        """
        sources, targets = self.tokenizers.source.lookup(source), self.target_tokens(target)
        rows = []
        for source_tokens, tokens, scores in zip(
            sources, targets, token_scores.numpy(), strict=True
        ):
            rows.append(
                {
                    "source_tokens": [token.decode("utf-8") for token in source_tokens.numpy()],
                    "tokens": [token.decode("utf-8") for token in tokens.numpy()],
                    "token_scores": scores[: len(tokens) - 1].tolist(),
                }
            )
        if attention:
            weights = self.attention_weights(source.to_tensor(), target).numpy()
            for row, heads in zip(rows, weights, strict=True):
                queries, keys = len(row["tokens"]) - 1, len(row["source_tokens"])
                row["attention"] = heads[:, :queries, :keys]
        return rows


def print_translation(sentence, tokens, ground_truth) -> None:
    """Prints a source, its translation and the reference, as the tutorial does.

    Args:
        sentence: the source text.
        tokens: the translation, a scalar string tensor or a string.
        ground_truth: the reference.
    """
    prediction = tokens.numpy().decode("utf-8") if tf.is_tensor(tokens) else tokens
    for label, text in (
        ("Input:", sentence),
        ("Prediction", prediction),
        ("Ground truth", ground_truth),
    ):
        print(f"{label:15s}: {text}")
