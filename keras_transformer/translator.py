"""From text to text: tokenise, search, detokenise."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_transformer.config import DecodingConfig, config_from_json
from keras_transformer.data.tokenizers import Tokenizers, as_tokenizers, detokenize
from keras_transformer.decoding.compiled import ROWS, CompiledSearch
from keras_transformer.decoding.search import greedy_search
from keras_transformer.errors import InputError
from keras_transformer.models.transformer import Transformer
from keras_transformer.translation import ExportedTranslator, TranslatesLines, Translation

MAX_TOKENS = 128
"""Most target tokens that calling a `Translator` gives, as in the tutorial."""


class Translator(tf.Module, TranslatesLines):
    """Translates text with a trained model.

    Args:
        tokenizers: a `Tokenizers`, or an object such as the tutorial's converter with two
            languages as attributes (``.pt`` and ``.en``).
        transformer: a `Transformer`, or any model with its `encode`, `initial_cache`,
            `decode_step`, `cross_attention_scores` and `max_length`.
        decoding: limits of the search.
        jit_compile: compile the search with XLA, which pays off after some hundred sentences.

    Example:
        >>> translator = Translator(tokenizers, transformer)
        >>> text, tokens, attention = translator("este é um problema que temos que resolver.")
        >>> translator.translate(["bom dia.", "obrigado."])[1].text
    """

    def __init__(self, tokenizers, transformer, *, decoding=None, jit_compile=True):
        super().__init__()
        self.tokenizers = as_tokenizers(tokenizers)
        self.transformer = transformer
        self.decoding = decoding or DecodingConfig()
        start, end = self.tokenizers.target.tokenize(tf.constant([""]))[0].numpy()
        self.start_id, self.end_id = int(start), int(end)
        self._compiled_search = CompiledSearch(
            transformer,
            start_id=self.start_id,
            end_id=self.end_id,
            jit_compile=jit_compile,
        )

    def __call__(self, sentence, max_length=MAX_TOKENS):
        """Translates in the tutorial's form, in the corpus' style.

        Works eagerly and inside a `tf.function`.

        Args:
            sentence: one text or many: a string or a list of them, or a string tensor of rank 0
                or 1.
            max_length: most target tokens, the end included.

        Returns:
            ``(text, tokens, attention_weights)``. For one text: a scalar string, its tokens with
            start and end, and weights of the last layer, ``(1, heads, tokens - 1, source)``. For
            many: ``(batch,)`` strings, ragged tokens, and weights
            ``(batch, heads, longest - 1, source)``.

        Raises:
            ValueError: for strings of another rank.
        """
        sentence = tf.convert_to_tensor(sentence, tf.string)
        if sentence.shape.rank not in (0, 1):
            raise ValueError(f"Expected a string or a vector of strings; got {sentence.shape}.")
        source = self._source_ids(tf.reshape(sentence, [-1]))
        limits = tf.where(_is_empty(source), 0, tf.minimum(max_length, self._reach))
        source = source.to_tensor()
        target, _ = self._search(source, limits)
        text = detokenize(self.tokenizers.target, target, "corpus")
        tokens, attention_weights = self._tokens(target), self._attention(source, target)
        if sentence.shape.rank == 0:
            return text[0], tokens[0], attention_weights
        return text, tokens, attention_weights

    def translate(
        self, lines: Iterable[str], *, style="human", attention=False
    ) -> list[Translation]:
        """Translates many texts, batched by length.

        Args:
            lines: texts.
            style: ``human`` joins clitics and punctuation; ``corpus`` is what the model learned.
            attention: return tokens and cross-attention weights too.

        Returns:
            one `Translation` for each text, in the same order; an empty text gives an empty one.
        """
        lines = list(lines)
        if not lines:
            return []
        source = self._source_ids(tf.constant(lines, tf.string))
        limits = self._limits(source).numpy()
        lengths = source.row_lengths().numpy()
        order = np.argsort(lengths, kind="stable")
        results: list[Translation | None] = [None] * len(lines)
        for start in range(0, len(lines), ROWS[-1]):
            rows = order[start : start + ROWS[-1]]
            ids = tf.gather(source, rows)
            found = self._compiled_search(ids.to_tensor().numpy(), limits[rows])
            texts = detokenize(self.tokenizers.target, found.tokens, style).numpy()
            seen = self._attention_by_row(ids, found.tokens) if attention else [{}] * len(rows)
            for i, row in enumerate(rows):
                results[row] = Translation(
                    texts[i].decode("utf-8"), float(found.scores[i]), **seen[i]
                )
        return results

    def translate_tensor(self, strings, style="human"):
        """Translates inside a graph, with the limits of `decoding`.

        Args:
            strings: string tensor ``(batch,)``.
            style: ``human`` or ``corpus``.

        Returns:
            ``(text, scores)``: strings ``(batch,)``, and float32 ``(batch,)`` sums of the
            logarithmic probabilities of their tokens.
        """
        source = self._source_ids(strings)
        target, scores = self._search(source.to_tensor(), self._limits(source))
        return detokenize(self.tokenizers.target, target, style), scores

    def attention_tensor(self, strings):
        """Translates inside a graph and shows where the model looked.

        Args:
            strings: string tensor ``(batch,)``.

        Returns:
            ``(source_tokens, target_tokens, attention)``: strings ``(batch, source)`` and
            ``(batch, target)``, padded with empty ones, and weights of the last layer,
            ``(batch, heads, target - 1, source)``.
        """
        source = self._source_ids(strings)
        target, _ = self._search(source.to_tensor(), self._limits(source))
        return (
            self.tokenizers.source.lookup(source).to_tensor(),
            self._tokens(target).to_tensor(),
            self._attention(source.to_tensor(), target),
        )

    @classmethod
    def load(cls, path) -> Translator | ExportedTranslator:
        """Loads a run folder, or a SavedModel written by `export`.

        Args:
            path: a run folder, a version folder of an export, or the folder above it, of which
                the highest version is taken.

        Raises:
            InputError: when it is neither, or damaged.
        """
        path = Path(path)
        if (path / "config.json").is_file():
            return cls._load_run(path)
        versions = [path] if (path / "saved_model.pb").is_file() else exported_versions(path)
        if versions:
            return ExportedTranslator(versions[-1])
        raise InputError(
            f"{path}: is neither a run folder (it has no config.json) nor an exported model "
            "(it has no saved_model.pb)."
        )

    @classmethod
    def _load_run(cls, folder: Path) -> Translator:
        config = config_from_json(folder / "config.json")
        tokenizers = Tokenizers.load(folder / "tokenizers")
        model = Transformer(
            **config.model_arguments(),
            input_vocab_size=tokenizers.source.get_vocab_size(),
            target_vocab_size=tokenizers.target.get_vocab_size(),
        )
        load_weights(model, folder / "model.weights.h5")
        return cls(tokenizers, model, decoding=config.decoding)

    @property
    def _reach(self) -> int:
        """Most tokens on either side."""
        return self.transformer.max_length

    def _source_ids(self, strings) -> tf.RaggedTensor:
        ids = self.tokenizers.source.tokenize(strings)
        if tf.executing_eagerly():
            too_long = int(tf.math.count_nonzero(ids.row_lengths() > self._reach))
            if too_long:
                warnings.warn(
                    f"{too_long} of {ids.nrows()} texts have more than {self._reach} tokens, as "
                    "many as the model has positions for: the rest is not translated.",
                    stacklevel=3,
                )
        return ids[:, : self._reach]

    def _limits(self, source: tf.RaggedTensor):
        """Most target tokens of each row, int32 ``(batch,)``."""
        lengths = tf.cast(source.row_lengths(), tf.float32)
        limits = tf.cast(lengths * self.decoding.length_ratio, tf.int32)
        limits = tf.minimum(limits + self.decoding.length_offset, self._reach)
        return tf.where(_is_empty(source), 0, limits)

    def _search(self, source, limits):
        """Target ids and scores; compiled where called eagerly, else part of the caller's graph."""
        if tf.executing_eagerly() and source.shape[0]:
            return self._compiled_search(source.numpy(), limits.numpy())
        return greedy_search(
            self.transformer,
            source,
            tf.reduce_max(tf.concat([limits, [1]], axis=0)),
            start_id=self.start_id,
            end_id=self.end_id,
            row_limits=limits,
        )

    def _with_start(self, target):
        return tf.pad(target, [[0, 0], [1, 0]], constant_values=self.start_id)

    def _tokens(self, target) -> tf.RaggedTensor:
        """Names of the start and the found tokens; each row ends where its padding begins."""
        ids = tf.RaggedTensor.from_tensor(self._with_start(target), padding=0)
        return self.tokenizers.target.lookup(ids)

    def _attention(self, source, target):
        """One pass over the finished translations, as long as the longest, as in the tutorial."""
        longest = tf.reduce_max(tf.math.count_nonzero(target, axis=1, dtype=tf.int32))
        target = self._with_start(target)[:, : tf.maximum(longest, 1)]
        return self.transformer.cross_attention_scores(source, target)[:, :, :longest]

    def _attention_by_row(self, source: tf.RaggedTensor, target) -> list[dict]:
        weights = self._attention(source.to_tensor(), target).numpy()
        sources, targets = self.tokenizers.source.lookup(source), self._tokens(target)
        result = []
        for source_tokens, tokens, heads in zip(sources, targets, weights, strict=True):
            result.append(
                {
                    "source_tokens": [token.decode("utf-8") for token in source_tokens.numpy()],
                    "tokens": [token.decode("utf-8") for token in tokens.numpy()],
                    "attention": heads[:, : len(tokens) - 1, : len(source_tokens)],
                }
            )
        return result


class ExportTranslator(tf.Module):
    """A translator ready for `tf.saved_model.save`, as in the tutorial.

    Called with strings of any shape it gives the translations, in the corpus' style, in the same
    shape.

    Args:
        translator: a `Translator`.
    """

    def __init__(self, translator):
        super().__init__()
        self.translator = translator

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string)])
    def __call__(self, sentence):
        text, _ = self.translator.translate_tensor(tf.reshape(sentence, [-1]), "corpus")
        return tf.reshape(text, tf.shape(sentence))


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


def exported_versions(folder) -> list[Path]:
    """Version folders under the folder of an export, lowest first."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    versions = [version for version in folder.iterdir() if version.name.isdigit()]
    return sorted(
        (version for version in versions if (version / "saved_model.pb").is_file()),
        key=lambda version: int(version.name),
    )


def _is_empty(source: tf.RaggedTensor):
    """Rows with nothing between start and end."""
    return source.row_lengths() <= 2


def load_weights(model, path: Path) -> None:
    """Loads the ``model.weights.h5`` of a run.

    Raises:
        InputError: when it is missing or of another model.
    """
    if not path.is_file():
        raise InputError(f"{path}: is missing: the training of this run did not finish.")
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"{path}: does not fit the configuration ({problem}).") from error
