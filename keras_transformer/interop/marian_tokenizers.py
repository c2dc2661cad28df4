"""The tokenizers of a Marian checkpoint, read from its files and written to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
from tokenizers import AddedToken

from keras_transformer.data.corpora.corpus import UNKNOWN_LANGUAGE
from keras_transformer.data.tokenizers.marian import MarianTokenizer
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.files import file_error, make_folder, write_bytes, write_json
from keras_transformer.interop.checkpoints import read_json
from keras_transformer.interop.marian import our_ids, their_ids
from keras_transformer.interop.tokenizer_settings import SETTINGS, Settings, text_of
from keras_transformer.special_tokens import RESERVED_TOKENS

MARIAN_CLASS = "MarianTokenizer"
_SPECIAL = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_VOCABULARY, _SIDES = "vocab.json", ("source", "target")
_OF_SAMPLING = ("alpha", "nbest_size")  # which says `enable_sampling` whether to do


@dataclass(frozen=True)
class MarianOrigin:
    """The files that `Tokenizers` were loaded from, as far as saving needs them.

    Args:
        values: what ``tokenizer_config.json`` says besides the languages and the special tokens.
    """

    values: dict[str, Any] = field(default_factory=dict)


def read_marian(folder: Path, settings: Settings) -> Tokenizers:
    """Reads the tokenizers of a checkpoint.

    Raises:
        InputError: for files that are missing or damaged, for a vocabulary in another order than
            Marian's, and for settings that are not supported.
    """
    _check(folder, settings)
    path = folder / _VOCABULARY
    vocabulary = read_json(path)
    names = sorted(vocabulary, key=vocabulary.get) if isinstance(vocabulary, dict) else []
    size = len(names)
    expected = {"</s>": 0, "<unk>": 1, "<pad>": size - 1}
    if [vocabulary[name] for name in names] != list(range(size)) or any(
        vocabulary.get(name) != i for name, i in expected.items()
    ):
        raise InputError(
            f"{path}: is not the vocabulary of a Marian checkpoint: its ids are those from 0 on, "
            "</s> first, <unk> second and <pad> last."
        )
    pieces = [names[i] for i in their_ids(size)]
    pieces[: len(RESERVED_TOKENS)] = RESERVED_TOKENS
    sides = []
    for side in _SIDES:
        file = folder / f"{side}.spm"
        try:
            sides.append(MarianTokenizer(file.read_bytes(), pieces, side == "target"))
        except OSError as error:
            raise file_error(file, "read", error) from error
        except (InputError, tf.errors.OpError) as error:
            raise InputError(f"{file}: {error}") from error
    values = dict(settings.values)
    languages = [values.pop(f"{side}_lang", None) or UNKNOWN_LANGUAGE for side in _SIDES]
    tokenizers = Tokenizers(*sides, *languages)
    tokenizers.huggingface = MarianOrigin(values)
    return tokenizers


def write_marian(tokenizers: Tokenizers, folder: Path) -> None:
    """Writes tokenizers whose sides are both `MarianTokenizer` as `read_marian` reads them.

    Raises:
        InputError: where the folder cannot be written.
    """
    make_folder(folder)
    source, target = tokenizers.source, tokenizers.target
    write_bytes(folder / "source.spm", source.model)
    write_bytes(folder / "target.spm", target.model)
    names = list(source.pieces)
    vocabulary = {names[our]: their for their, our in enumerate(our_ids(len(names) - 1).tolist())}
    for ours, theirs in zip(("[END]", "[UNK]", "[PAD]"), _SPECIAL.values(), strict=True):
        vocabulary[theirs] = vocabulary.pop(ours)
    write_json(folder / _VOCABULARY, dict(sorted(vocabulary.items(), key=lambda item: item[1])))
    languages = zip(_SIDES, (tokenizers.source_language, tokenizers.target_language), strict=True)
    languages = {f"{side}_lang": code for side, code in languages if code != UNKNOWN_LANGUAGE}
    origin = getattr(tokenizers, "huggingface", None) or MarianOrigin()
    added = {vocabulary[name]: AddedToken(name, special=True) for name in _SPECIAL.values()}
    settings = Settings(folder / SETTINGS, {**origin.values, **languages}, dict(_SPECIAL))
    write_json(folder / SETTINGS, settings.content(added, MARIAN_CLASS))


def _check(folder: Path, settings: Settings) -> None:
    """Raises `InputError` for settings that would give other ids."""
    if settings.values.get("separate_vocabs", False):
        raise InputError(
            f"{settings.where}: separate_vocabs is not supported: only checkpoints with one "
            f"{_VOCABULARY} are."
        )
    for name, value in dict(settings.values.get("sp_model_kwargs") or {}).items():
        if value and name not in _OF_SAMPLING:
            raise InputError(
                f"{settings.where}: {name} in sp_model_kwargs is not supported: take it out, and "
                "SentencePiece splits as the model has learned it."
            )
    for name, token in _SPECIAL.items():
        found = settings.special.get(name, token)
        if text_of(found) != token:
            raise InputError(
                f"{settings.where}: {name} {text_of(found)!r} is not supported: only {token!r} is."
            )
    named = {name: token for name, token in settings.special.items() if token is not None}
    others = {text_of(token): name for name, token in named.items()}
    others |= {text_of(token): "an added token" for token in (*settings.extra, *settings.added)}
    for token, name in others.items():
        if token not in _SPECIAL.values():
            raise InputError(
                f"{folder}: {token!r}, {name}, is not supported: a Marian tokenizer here has no "
                f"added tokens but {', '.join(_SPECIAL.values())}. Take it out of the files where "
                "the model does not need it."
            )
