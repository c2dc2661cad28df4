"""A translator that searches with CTranslate2, in a folder that `export_ctranslate2` wrote."""

import importlib
import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.config import DecodingConfig, change_decoding
from keras_transformer.data.glossary import Glossary
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import (
    CTRANSLATE2_FILE,
    LIMITS_FILE,
    VOCABULARY_MAP_FILE,
    find_version,
)
from keras_transformer.files import check_checksums, parse_json
from keras_transformer.special_tokens import PAD, UNK
from keras_transformer.translating.batches import BATCH_ROWS
from keras_transformer.translating.graph import most_tokens
from keras_transformer.translating.segmentation import divide, warn_of_pieces
from keras_transformer.translating.translation import BaseTranslator, Translation, join_pieces
from keras_transformer.unicode import utf8_list

_ALWAYS = {
    "max_input_length": 0,
    "min_decoding_length": 0,
    "return_end_token": True,
    "return_scores": True,
}
"""Options of every search."""


class _Found(NamedTuple):
    """Hypotheses of one row, the best first, and their scores."""

    hypotheses: list[list[str]]
    scores: list[float]


class CTranslate2Translator(BaseTranslator):
    """Translates text with CTranslate2.

    Args:
        folder: a version folder, or the folder above it, of which the highest version is taken.
        compute_type: precision of the products, such as ``float32`` or ``int8``; ``default`` is
            that of the stored weights where the processor has it.
        inter_threads: batches translated at a time.
        intra_threads: threads for each of them; 0 for CTranslate2's own choice.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        InputError: when ctranslate2 is missing, the folder holds no such model, or a file in it is
            damaged.

    Example:
        >>> translator = CTranslate2Translator(export_ctranslate2(translator, "models/pt_en"))
        >>> translator.translate(["este é um problema que temos que resolver."])[0].text
    """

    def __init__(
        self, folder, *, compute_type="default", inter_threads=1, intra_threads=0, device="cpu"
    ):
        ctranslate2 = import_ctranslate2()
        self.examples = []
        self.folder = find_version(folder, CTRANSLATE2_FILE)
        if self.folder is None:
            raise InputError(f"{folder}: holds no model of CTranslate2 (it has no model.bin).")
        check_checksums(self.folder)
        self.tokenizers = Tokenizers.load(self.folder / "tokenizers")
        try:
            limits = parse_json((self.folder / LIMITS_FILE).read_bytes())
            self._length_ratio = float(limits["length_ratio"])
            self._length_offset = int(limits["length_offset"])
            self._max_length = int(limits["max_length"])
            self._max_source_length = int(limits["max_source_length"])
            # Version 0.1 did not say.
            self._sentences = bool(limits.get("sentences", False))
            self._keep = tuple(limits.get("keep", ()))
            self._to = limits.get("to")
            self._model = ctranslate2.Translator(
                str(self.folder),
                device=device,
                compute_type=compute_type,
                inter_threads=inter_threads,
                intra_threads=intra_threads,
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            problem = " ".join(str(error).split())
            raise InputError(f"{self.folder}: cannot be loaded ({problem}).") from error
        self._has_map = (self.folder / VOCABULARY_MAP_FILE).is_file()
        names = _names(self.tokenizers.target, range(int(self.tokenizers.target.get_vocab_size())))
        self._target_ids = {name: i for i, name in enumerate(names)}
        target = self.tokenizers.target
        self._end = names[target.end_id]
        unknown = [[names[UNK]]] if self.tokenizers.placeholders else []  # it is kept
        self._never = [
            [names[PAD]],
            *unknown,
            *([names[mark]] for mark in (*target.term_marks, *target.tag_ids)),
        ]
        first = target.first_placeholder
        self._placeholders = frozenset(names[first : first + self.tokenizers.placeholders])

    def translate(
        self,
        lines: Iterable[str],
        *,
        style="human",
        n_best=1,
        beam_size=1,
        length_penalty=1.0,
        keep: Iterable[str] = (),
        glossary: Any = None,
        to: str | None = None,
        **options,
    ) -> list[Translation]:
        """Translates many texts, batched by length.

        The limits of the targets are those of `Translator`, and as there a translation may be
        empty and never holds ``[PAD]``, and texts that are too long are translated in pieces;
        ``[UNK]`` is allowed where there are no placeholders. A hypothesis without a placeholder of
        its source goes on with it instead of ending, by a search of its own.

        Args:
            lines: texts.
            style: ``human`` joins clitics and punctuation; ``corpus`` is what the model learned.
            n_best: translations of each text, at most `beam_size`.
            beam_size: hypotheses followed at a time; 1 is greedy search.
            length_penalty: the sum of a hypothesis' logarithmic probabilities, divided by
                ``tokens ** length_penalty``, decides; an end counts as a token.
            keep: patterns of what comes back as it is, besides those that were exported; see
                `DecodingConfig`.
            glossary: as for `Translator`; only models that have learned terms follow one here.
            to: the language to translate to, of a model of several; the exported one unless given.
            options: passed on to ``ctranslate2.Translator.translate_batch``, for example
                ``patience=2``; ``use_vmap=False`` looks at all tokens though there is a shortlist.

        Returns:
            one `Translation` for each text, in the same order; an empty text gives an empty one.

        Raises:
            InputError: when CTranslate2 refuses an option.
        """
        lines = utf8_list(lines, "lines")
        texts = tf.constant(lines, tf.string, shape=(len(lines),))
        longest = self._max_source_length
        keep = (*self._keep, *keep)
        terms = None
        if glossary is not None:
            if not self.tokenizers.terms:
                raise InputError(
                    f"{self.folder}: has learned no terms (training.terms), and CTranslate2 cannot "
                    "force any: leave out the glossary, or give the run folder."
                )
            terms = [tf.constant(side, tf.string) for side in Glossary.of(glossary).columns()]
        pieces = divide(
            self.tokenizers,
            texts,
            longest,
            sentences=self._sentences,
            keep=keep,
            glossary=terms,
            beside=True,
            to=self._to if to is None else to,
        )
        warn_of_pieces(pieces, longest, self.tokenizers.placeholders)
        if self._has_map:
            options.setdefault("use_vmap", True)
        options |= {"beam_size": beam_size, "length_penalty": length_penalty}
        change_decoding(DecodingConfig(), {"length_penalty": length_penalty})
        try:
            found = self._search(pieces.ids, n_best, options)
        except (TypeError, ValueError) as error:
            options = {"n_best": n_best, **options}
            named = ", ".join(f"{name}={value!r}" for name, value in options.items())
            problem = str(error).split("\n", 1)[0]
            raise InputError(f"CTranslate2 refuses {named} ({problem})") from error
        hypotheses = [tokens for result in found.values() for tokens in result.hypotheses]
        rows = [row for row, result in found.items() for _ in result.hypotheses]
        rows = np.array(rows, np.int32)  # there may be none
        begins, kept = tf.gather(pieces.begins, rows), tf.gather(pieces.kept, rows)
        translated = iter(self._texts(hypotheses, style, begins, kept))
        alternatives = [[Translation("", 0.0, normalized_score=0.0)] for _ in pieces.owners]
        for row, result in found.items():
            alternatives[row] = [
                Translation(
                    next(translated),
                    score * len(tokens) ** length_penalty,
                    normalized_score=score,
                )
                for tokens, score in zip(result.hypotheses, result.scores, strict=True)
            ]
        return join_pieces(alternatives, pieces, n_best)

    def _search(self, source: tf.RaggedTensor, n_best, options) -> dict[int, _Found]:
        """What CTranslate2 found for every row that is not empty."""
        lengths = source.row_lengths().numpy()
        names = _rows(_names(self.tokenizers.source, source.flat_values), lengths)
        limits = most_tokens(source, self._length_ratio, self._length_offset, self._max_length)
        limits = limits.numpy()
        waiting = []
        kept = [any(name in self._placeholders for name in row) for row in names]
        kept = np.array(kept, bool)
        # A call has one limit, and thus one length of source: its batches need no padding.
        for limit, with_kept in itertools.product(np.unique(limits[limits > 0])[::-1], (0, 1)):
            rows = np.flatnonzero((limits == limit) & (kept == with_kept))
            never = self._never if with_kept else self._never + [[n] for n in self._placeholders]
            results = self._model.translate_batch(
                [names[row] for row in rows],
                num_hypotheses=n_best,
                max_batch_size=BATCH_ROWS,
                asynchronous=True,
                max_decoding_length=int(limit),
                suppress_sequences=never,
                **_ALWAYS,
                **options,
            )
            waiting.extend(zip(rows, results, strict=True))
        found = {}
        for row, result in waiting:
            result = result.result()
            found[row] = _Found(result.hypotheses, result.scores)
        if self._placeholders:
            self._complete(found, names, limits)
        return found

    def _complete(self, found: dict[int, _Found], names: list[list[str]], limits) -> None:
        """Makes hypotheses have every placeholder of their source once.

        Args:
            found: by rows; changed in place.
            names: tokens of all sources.
            limits: most tokens of all targets.
        """
        for row, (hypotheses, scores) in found.items():
            wanted = [name for name in names[row] if name in self._placeholders]
            for i, hypothesis in enumerate(hypotheses):
                tokens = self._without_repeated(hypothesis, wanted)
                missing = [name for name in wanted if name not in tokens]
                if missing:
                    if tokens[-1:] == [self._end]:
                        tokens.pop()
                    prefix = tokens + missing
                    (result,) = self._model.translate_batch(
                        [names[row]],
                        target_prefix=[prefix],
                        max_decoding_length=max(int(limits[row]), len(prefix) + 1),
                        suppress_sequences=self._never,
                        beam_size=1,
                        **_ALWAYS,
                    )
                    tokens = self._without_repeated(result.hypotheses[0], wanted)
                    scores[i] = result.scores[0]
                hypotheses[i] = tokens

    def _without_repeated(self, tokens: list[str], wanted: list[str]) -> list[str]:
        """Tokens without placeholders that are not wanted, or that come again."""
        seen: set[str] = set()
        result = []
        for token in tokens:
            if token in self._placeholders:
                if token not in wanted or token in seen:
                    continue
                seen.add(token)
            result.append(token)
        return result

    def _texts(self, tokens: list[list[str]], style: str, begins, kept) -> list[str]:
        ids = [self._target_ids.get(token, UNK) for row in tokens for token in row]
        ragged = tf.RaggedTensor.from_row_lengths(
            tf.constant(ids, tf.int64), [len(row) for row in tokens]
        )
        texts = self.tokenizers.target.detokenize(ragged, style, begins, kept)
        return [text.decode("utf-8") for text in texts.numpy()]


def _names(tokenizer, ids) -> list[str]:
    """The tokens that a vector of ids stands for."""
    names = tokenizer.lookup(tf.constant(ids, tf.int64)[tf.newaxis])[0]
    return [name.decode("utf-8") for name in names.numpy()]


def _rows(names: list[str], lengths) -> list[list[str]]:
    ends = np.cumsum(lengths)
    return [names[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def import_ctranslate2():
    """The ctranslate2 package.

    Raises:
        InputError: where it is missing.
    """
    try:
        return importlib.import_module("ctranslate2")
    except ImportError as error:
        raise InputError(
            f"ctranslate2 cannot be imported ({error}): "
            'pip install "keras_transformer[ctranslate2]"'
        ) from error
