"""The tokenizers of a translator, one for each side, and how they are made.

`Tokenizers` has `.source` and `.target`, also under their language codes (`.pt`, `.en`) as in the
tutorial. A converter loaded with `tf.saved_model.load`, the tutorial's own, takes the same places.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, Self

import tensorflow as tf

import keras_transformer.data.tokenizers.marian  # noqa: F401  a kind that a folder may hold
from keras_transformer.data.corpora.corpus import UNKNOWN_LANGUAGE
from keras_transformer.data.text.noise import noisy_texts
from keras_transformer.data.text.tags import without_tags
from keras_transformer.data.tokenizers.adapter import as_tokenizer
from keras_transformer.data.tokenizers.base import (
    SubwordTokenizer,
    Tokenizer,
    read_json,
    read_tokenizer,
)
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.errors import InputError
from keras_transformer.files import write_json

FILE = "tokenizers.json"
_TRAINED = {cls.kind: cls for cls in (WordPieceTokenizer, SentencePieceTokenizer)}
_METHODS = ("tokenize", "detokenize", "lookup", "get_vocab_size")


class Tokenizers(tf.Module):
    """A source and a target tokenizer; one object may serve as both (shared vocabulary).

    The language codes become attributes, `-` written `_`. Where both languages have one code, it
    names the source tokenizer.

    Args:
        source: tokenizer of the language translated from; a `TokenizerAdapter` takes the place of
            one that is no `Tokenizer`.
        target: tokenizer of the language translated to, likewise.
        source_language: its code.
        target_language: its code.
    """

    def __init__(
        self,
        source: Tokenizer | Any,
        target: Tokenizer | Any,
        source_language: str = "pt",
        target_language: str = "en",
    ):
        super().__init__()
        for language in (source_language, target_language):
            if not isinstance(language, str) or not language:
                raise InputError(
                    f"a language code is a text such as 'pt'; got {type(language).__name__}: "
                    f"{language!r:.60}"
                )
        self.source = as_tokenizer(source)
        self.target = self.source if target is source else as_tokenizer(target)
        if self.source.terms and not self.source.placeholders:
            raise InputError(
                "terms need placeholders, which keep text that has the signs of terms: give "
                "tokenizers with both"
            )
        kept = [(side.placeholders, side.first_placeholder) for side in (self.source, self.target)]
        if kept[0] != kept[1] and (kept[0][0] or kept[1][0]):
            raise InputError(
                "what is not translated has the same ids on both sides: give tokenizers of one "
                f"case with as many placeholders; got {kept[0][0]} and {kept[1][0]} of them"
            )
        self.source_language = source_language
        self.target_language = target_language
        self.source.language = source_language
        self.target.language = target_language  # which counts where they share one
        sides = (target_language, self.target), (source_language, self.source)
        for language, tokenizer in sides:
            if language == UNKNOWN_LANGUAGE:
                continue
            attribute = language.replace("-", "_")
            if attribute in ("source", "target"):
                continue
            if hasattr(type(self), attribute) or attribute.endswith("_language"):
                raise InputError(f"{language!r} cannot be a language code: use one like 'pt'")
            setattr(self, attribute, tokenizer)

    @property
    def shared(self) -> bool:
        """Whether both sides are one tokenizer."""
        return self.source is self.target

    @property
    def placeholders(self) -> int:
        """How many ids both sides have for what is not translated."""
        return self.source.placeholders

    @property
    def terms(self) -> bool:
        """Whether sources can have the translations of terms beside them."""
        return self.source.terms

    @property
    def tags(self) -> tuple[str, ...]:
        """What may stand before a source, such as `<2en>`."""
        return self.source.tags

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `tokenizers.json` and one vocabulary file per tokenizer into `folder`.

        Raises:
            InputError: a side that was loaded with `tf.saved_model.load`.
        """
        for side in (self.source, self.target):
            if not isinstance(side, SubwordTokenizer):
                raise InputError(
                    "a converter from tf.saved_model.load has no files to save: keep its folder, "
                    "or load its vocab.txt files with tutorial_tokenizers"
                )
        if self.shared:
            source = target = self.source.write_vocabulary(folder, "shared")
        else:
            source = self.source.write_vocabulary(folder, "source")
            target = self.target.write_vocabulary(folder, "target")
        content = {
            "source": {"language": self.source_language, **source},
            "target": {"language": self.target_language, **target},
        }
        write_json(Path(folder) / FILE, content)

    def equals(self, others: Self) -> bool:
        """Whether other tokenizers would be saved as the same files.

        Raises:
            InputError: as for `save`.
        """

        def files(tokenizers):
            with tempfile.TemporaryDirectory() as folder:
                tokenizers.save(folder)
                return {path.name: path.read_bytes() for path in Path(folder).iterdir()}

        return files(self) == files(others)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: files missing or damaged.
        """
        path = Path(folder) / FILE
        content = read_json(path)
        try:
            sides = content["source"], content["target"]
            languages = [side["language"] for side in sides]
            files = [side["file"] for side in sides]
            if not all(isinstance(language, str) for language in languages):
                raise TypeError(f"languages {languages}")
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path} is damaged: source or target is wrong; save the tokenizers again"
            ) from error
        source = read_tokenizer(folder, sides[0])
        target = source if files[0] == files[1] else read_tokenizer(folder, sides[1])
        return cls(source, target, *languages)


def train_tokenizers(
    corpus: Any,
    kind: str = "wordpiece",
    vocab_size: int = 8000,
    normalization: str | None = None,
    shared: bool = False,
    case: str | None = None,
    placeholders: int = 0,
    terms: bool = False,
    noise: float = 0.0,
    seed: int = 0,
    most: int | None = None,
) -> Tokenizers:
    """Learns the tokenizers of a corpus from its training pairs.

    Args:
        corpus: has `train`, a `tf.data.Dataset` of (source, target) string scalars, and may have
            `source_language` ("pt"), `target_language` ("en"), `normalization` ("ptb-lower") and
            `tags`, which may stand before sources and get ids.
        kind: "wordpiece" or "sentencepiece".
        vocab_size: ids wanted per vocabulary; a small corpus gives fewer.
        normalization: "ptb-lower" or "none"; the corpus' own by default.
        shared: one vocabulary for both languages.
        case: "keep", "lower" or "factored", see `SubwordTokenizer.train`; by default "factored" for
            text that is not normalised, whose capitals are people's.
        placeholders: ids for what is not translated, as for `SubwordTokenizer.train`.
        terms: ids for the signs of terms, likewise; these need placeholders.
        noise: share of the pairs that `data.text.noise.noisy` changes, as it does in training, so
            that words without their accents are in the vocabulary, too.
        seed: of the noise.
        most: pairs to learn from; of a larger corpus some, at equal distances. All unless given.

    Raises:
        InputError: unknown kind or normalisation, or a corpus without text.
    """
    if kind not in _TRAINED:
        raise InputError(f"unknown kind of tokenizer {kind!r}: use 'wordpiece' or 'sentencepiece'")
    style = normalization or getattr(corpus, "normalization", "ptb-lower")
    case = case or ("factored" if style == "none" else None)
    dataset = corpus.train
    if most is not None:
        dataset = dataset.shard(max(1, -(-int(dataset.cardinality()) // most)), 0)
    tags = tuple(getattr(corpus, "tags", ()))
    dataset = without_tags(dataset, tags)
    sources, targets = [], []
    for batch in dataset.batch(8192).as_numpy_iterator():
        for source, target in zip(*batch, strict=True):
            if noise:
                source, target = noisy_texts(source, target, noise, seed)
            sources.append(source)
            targets.append(target)

    def learn(lines: list[bytes], tags: tuple[str, ...] = ()) -> SubwordTokenizer:
        return _TRAINED[kind].train(
            lines,
            vocab_size=vocab_size,
            normalization=style,
            case=case,
            placeholders=placeholders,
            terms=terms,
            tags=tags,
        )

    source = learn(sources + targets if shared else sources, tags)
    target = source if shared else learn(targets)
    return Tokenizers(
        source,
        target,
        getattr(corpus, "source_language", "pt"),
        getattr(corpus, "target_language", "en"),
    )


def tutorial_tokenizers(
    source_vocabulary: str | os.PathLike,
    target_vocabulary: str | os.PathLike,
    source_language: str = "pt",
    target_language: str = "en",
) -> Tokenizers:
    """The tutorial's converter, rebuilt from its two vocab.txt files.

    Raises:
        InputError: a file missing, or not a vocabulary.
    """

    def read(path: str | os.PathLike) -> SubwordTokenizer:
        path = Path(path)
        description = {"kind": "bert", "normalization": "ptb-lower", "file": path.name}
        return read_tokenizer(path.parent, description)

    return Tokenizers(
        read(source_vocabulary), read(target_vocabulary), source_language, target_language
    )


def as_tokenizers(
    converter: Any, source_language: str | None = None, target_language: str | None = None
) -> Tokenizers:
    """Accepts tokenizers of this package or a converter such as the tutorial's.

    Args:
        converter: `Tokenizers`, or an object with one attribute per language (`.pt`, `.en`), each
            with `tokenize`, `detokenize`, `lookup` and `get_vocab_size`, as `tf.saved_model.load`
            gives for the tutorial's converter.
        source_language: the attribute to translate from; "pt" by default.
        target_language: the attribute to translate to; "en" by default.

    Returns:
        `Tokenizers`; a side of a converter is in a `TokenizerAdapter`.

    Raises:
        InputError: names what the converter lacks.
    """
    if isinstance(converter, Tokenizers):
        return converter
    languages = source_language or "pt", target_language or "en"
    for language in languages:
        side = getattr(converter, language, None)
        missing = [name for name in _METHODS if not callable(getattr(side, name, None))]
        if side is None or missing:
            lacks = f".{language}" if side is None else f".{language}.{missing[0]}"
            raise InputError(
                f"the tokenizers given ({type(converter).__name__}) have no {lacks}: give "
                "Tokenizers, or an object with one attribute per language offering "
                f"{', '.join(_METHODS)}"
            )
    source, target = (getattr(converter, language) for language in languages)
    return Tokenizers(source, target, *languages)
