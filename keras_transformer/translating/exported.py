"""A translator made of nothing but an exported SavedModel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transformer.config import DecodingConfig, change_decoding
from keras_transformer.data.glossary import Glossary
from keras_transformer.data.tokenizers.token_links import links_of_row
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import DEFAULT_SIGNATURE, NOT_FOUND, read_about, xla_name
from keras_transformer.exporting.functions import ExportedFunctions
from keras_transformer.files import check_checksums
from keras_transformer.translating.batches import batches_by_length
from keras_transformer.translating.translation import (
    BaseTranslator,
    Translation,
    aligned,
    with_alternatives,
)
from keras_transformer.unicode import utf8_list


class ExportedTranslator(BaseTranslator):
    """A SavedModel written by `export`, with the methods of a `Translator`.

    Args:
        folder: folder that holds ``saved_model.pb``.
        jit_compile: use the signatures compiled by XLA.

    Raises:
        InputError: when the folder holds no such model, or no compiled signatures, or a file in it
            is damaged.
    """

    def __init__(self, folder, *, jit_compile=False):
        import tensorflow_text  # noqa: F401  registers the operations inside

        self.folder = Path(folder)
        check_checksums(folder)
        try:
            self._signatures = ExportedFunctions(folder)
        except (OSError, ValueError, tf.errors.OpError) as error:
            problem = str(error).splitlines()[0]
            raise InputError(f"{folder}: cannot be loaded ({problem}).") from error
        missing = {DEFAULT_SIGNATURE, "corpus_style", "attention"} - set(self._signatures)
        if missing:
            raise InputError(
                f"{folder}: has no signature {min(missing)!r}: it was not written by export."
            )
        self.examples = read_about(self.folder)["examples"]
        self._jit_compile = jit_compile
        if jit_compile and xla_name(DEFAULT_SIGNATURE) not in self._signatures:
            raise InputError(f"{folder}: was exported without programs for XLA: leave it out.")

    def translate(
        self,
        lines: Iterable[str],
        *,
        style="human",
        attention=False,
        alignment=False,
        glossary: Any = None,
        beam_size: int | None = None,
        n_best=1,
        length_penalty: float | None = None,
        max_length: int | None = None,
        **options,
    ) -> list[Translation]:
        """As `Translator.translate`, with the search that was exported or a beam search.

        Raises:
            InputError: for another option of the search, and for a beam search in the style of
                the corpus or with attention.
        """
        if options:
            raise InputError(
                f"{self.folder}: searches as it was exported or with a beam: leave out "
                f"{min(options)}, or give the run folder."
            )
        beam = {"beam_size": beam_size, "length_penalty": length_penalty, "max_length": max_length}
        with_beam = n_best > 1 or any(value is not None for value in beam.values())
        given = {name: value for name, value in beam.items() if value is not None}
        change_decoding(DecodingConfig(), {"beam_size": n_best, "n_best": n_best} | given)
        if with_beam and (
            style != "human" or attention or alignment or "translate_beam" not in self._signatures
        ):
            raise InputError(
                f"{self.folder}: has a beam search for translations in human style alone: leave "
                f"out {next(name for name in beam if beam[name] is not None or n_best > 1)}, or "
                "give the run folder."
            )
        if alignment and (style != "human" or attention or "alignment" not in self._signatures):
            raise InputError(
                f"{self.folder}: has alignments of translations in human style alone, and none "
                "where version 0.1 exported: leave out style and attention, export again, or give "
                "the run folder."
            )
        if glossary is not None:
            alone = style == "human" and not (with_beam or attention or alignment)
            if not alone or "glossary" not in self._signatures:
                raise InputError(
                    f"{self.folder}: follows a glossary in human style alone, without a beam, "
                    "attention and alignments, and not at all where an older version exported: "
                    "leave those out, export again, or give the run folder."
                )
            glossary = tf.constant(Glossary.of(glossary).lines())
        lines = utf8_list(lines, "lines")
        results: list[Translation | None] = [None] * len(lines)
        for rows in batches_by_length([len(line) for line in lines]):
            text = tf.constant([lines[row] for row in rows], tf.string)
            if with_beam:
                found = self._beams(text, n_best, **beam)
            elif glossary is not None:
                answer = self._call("glossary", text=text, glossary=glossary)
                found = _scored(answer)
            elif alignment:
                found = aligned_rows(self._call("alignment", text=text), text.numpy())
            else:
                found = self._best(text, style, attention)
            for row, translation in zip(rows, found, strict=True):
                results[row] = translation
        return results

    def can_align(
        self,
        *,
        style="human",
        attention=False,
        beam_size=None,
        n_best=1,
        length_penalty=None,
        max_length=None,
        glossary=None,
        **options,
    ) -> bool:
        """Whether `translate` takes ``alignment=True`` beside these options of it."""
        beam = (beam_size, length_penalty, max_length)
        with_beam = n_best > 1 or any(value is not None for value in beam)
        is_plain = style == "human" and not attention and not with_beam and glossary is None
        return is_plain and "alignment" in self._signatures

    def _call(self, name, **inputs) -> dict:
        compiled = xla_name(name)
        is_compiled = self._jit_compile and compiled in self._signatures
        answer = self._signatures[compiled if is_compiled else name](**inputs)
        return {name: value.numpy() for name, value in answer.items()}

    def _best(self, text, style, attention) -> list[Translation]:
        looked = self._call("attention", text=text) if attention else {}
        if style == "human" and "translation" in looked:  # there since exports have beam search
            answer = looked
        else:
            name = DEFAULT_SIGNATURE if style == "human" else "corpus_style"
            answer = self._call(name, text=text)
        return _scored(answer, _attention_by_row(looked) if attention else None)

    def _beams(self, text, n_best, beam_size, length_penalty, max_length) -> list[Translation]:
        beam_size = n_best if beam_size is None else beam_size
        try:
            answer = self._call(
                "translate_beam",
                text=text,
                beam_size=tf.constant(beam_size),
                length_penalty=tf.constant(1.0 if length_penalty is None else length_penalty),
                max_length=tf.constant(0 if max_length is None else max_length),
            )
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise InputError(f"{self.folder}: refuses beam_size={beam_size}.") from error
        names = ("translations", "scores", "normalized_scores")
        return [
            with_alternatives(
                [
                    Translation(
                        translation.decode("utf-8"),
                        float(score),
                        normalized_score=float(normalized),
                    )
                    for translation, score, normalized in zip(*row, strict=True)
                    if score > NOT_FOUND / 2
                ][:n_best],
                n_best,
            )
            for row in zip(*(answer[name] for name in names), strict=True)
        ]


def _scored(answer, details: list[dict] | None = None) -> list[Translation]:
    """The translations that a signature gave, with their scores and other details of each."""
    details = details or [{} for _ in answer["score"]]
    rows = zip(answer["translation"], answer["score"], details, strict=True)
    return [Translation(text.decode("utf-8"), float(score), **more) for text, score, more in rows]


def aligned_rows(answer: Mapping[str, np.ndarray], lines: Sequence[bytes]) -> list[Translation]:
    """Translations with their links from what the ``alignment`` signature gave.

    Args:
        answer: its outputs.
        lines: the texts.
    """
    found = []
    for i, (translation, score) in enumerate(
        zip(answer["translation"], answer["score"], strict=True)
    ):
        source, target = (
            [token for token in answer[f"{side}_tokens"][i] if token]
            for side in ("source", "target")
        )
        places, weights = answer["alignment"][i] - 1, answer["alignment_weights"][i]
        links = links_of_row(source, target, places, weights)
        found.append(Translation(translation.decode("utf-8"), float(score), token_links=links))
    return aligned(lines, found)


def _attention_by_row(answer) -> list[dict]:
    """Takes the padding off what the ``attention`` signature gave."""

    def words(row):
        return [token.decode("utf-8") for token in row if token]

    rows = zip(answer["source_tokens"], answer["target_tokens"], answer["attention"], strict=True)
    result = []
    for source, target, weights in rows:
        source, target = words(source), words(target)
        weights = weights[:, : len(target) - 1, : len(source)]
        result.append({"tokens": target, "source_tokens": source, "attention": weights})
    return result
