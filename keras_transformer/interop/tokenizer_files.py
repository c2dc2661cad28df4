"""Reading and writing the files of checkpoints' tokenizers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_transformer.data.tokenizers.library import LibraryTokenizer
from keras_transformer.data.tokenizers.marian import MarianTokenizer
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.files import file_error, reason_of
from keras_transformer.interop.checkpoints import CONFIG, read_config
from keras_transformer.interop.library_tokenizers import RECIPES, library_tokenizer
from keras_transformer.interop.marian_tokenizers import MARIAN_CLASS, read_marian, write_marian
from keras_transformer.interop.tokenizer_settings import Settings, read_settings, tokenizer_class

_AS_IT_IS = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes whose ``tokenizer.json`` says all that there is."""

_MOST_NAMED = 3  # tokens in an error


def load_huggingface_tokenizer(folder: str | os.PathLike) -> LibraryTokenizer | Tokenizers:
    """Loads the tokenizer of a checkpoint, whose ids are those of `load_huggingface`'s model.

    Settings, added tokens and special tokens count as in `transformers` 5, where files disagree
    too: ``tokenizer_config.json`` wins over ``tokenizer.json``. Two things are otherwise. A text of
    GPT-2 has an end, and a text that is translated never yields control tokens: ``</s>`` in it is
    text.

    Args:
        folder: with ``config.json`` or ``tokenizer_config.json``, which name the kind, and
            ``tokenizer.json``, or ``vocab.txt`` (BERT), ``spiece.model`` (ALBERT), ``vocab.json``
            and ``merges.txt`` (GPT-2); for Marian ``source.spm``, ``target.spm`` and
            ``vocab.json``.

    Returns:
        a `LibraryTokenizer`; for Marian `Tokenizers`, ready for a `Translator`.

    Raises:
        InputError: for files that are missing or damaged, for another kind, for settings that are
            not supported, and for tokens that the model of ``config.json`` has no vectors for.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    config = read_config(folder) if (folder / CONFIG).is_file() else {}
    name = tokenizer_class(folder, settings.values)
    kind = _kind(folder, config, name)
    classes = (MARIAN_CLASS,) if kind == "marian" else (*RECIPES[kind].classes, *_AS_IT_IS)
    name = name or classes[0]
    if name not in classes:
        raise InputError(
            f"{folder}: tokenizer_class {name!r} is not supported for a checkpoint of {kind}: only "
            f"{', '.join(classes)} are."
        )
    if kind == "marian":
        tokenizer = read_marian(folder, settings)
    else:
        tokenizer = _library_tokenizer(folder, kind, name, settings)
    check_vocabulary(tokenizer, config, folder)
    return tokenizer


def save_huggingface_tokenizer(tokenizer, folder: str | os.PathLike) -> None:
    """Writes a tokenizer of `load_huggingface_tokenizer`, for it and `transformers` to load.

    Raises:
        InputError: for another tokenizer, and where the folder cannot be written.
    """
    if isinstance(tokenizer, LibraryTokenizer):
        tokenizer.save(folder)
    else:
        check_vocabulary(tokenizer, {}, folder)
        write_marian(tokenizer, Path(folder))


def check_vocabulary(tokenizer, config: Mapping[str, Any], where) -> None:
    """Checks that a model has vectors for all ids of a tokenizer of its kind.

    Args:
        tokenizer: of `load_huggingface_tokenizer`.
        config: the ``config.json`` of the model; nothing is checked that it does not say.
        where: what the error begins with.

    Raises:
        InputError: where it has not, and for a tokenizer of another kind.
    """
    is_library = isinstance(tokenizer, LibraryTokenizer)
    if not is_library and not _is_marian(tokenizer):
        raise InputError(
            f"a {type(tokenizer).__name__} has no form in a checkpoint: give what "
            "load_huggingface_tokenizer gave."
        )
    kind = tokenizer.kind if is_library else "marian"
    if config.get("model_type", kind) != kind:
        raise InputError(
            f"{where}: the tokenizer is that of a {kind} checkpoint, the model is a "
            f"{config['model_type']}: give the tokenizer of the model."
        )
    size = config.get("vocab_size")
    side, shift = (tokenizer, tokenizer.offset) if is_library else (tokenizer.source, 1)
    if not isinstance(size, int) or side.vocab_size <= size + shift:
        return
    too_many = range(size + shift, side.vocab_size)
    (names,) = side.lookup([list(too_many[:_MOST_NAMED])]).to_list()
    more = f" and {len(too_many) - len(names)} more" if len(too_many) > len(names) else ""
    raise InputError(
        f"{where}: the tokenizer has {side.vocab_size - shift} ids, the model vectors for {size} "
        f"(vocab_size in {CONFIG}): none for {', '.join(repr(name.decode()) for name in names)}"
        f"{more}. Take these tokens out of the tokenizer's files, also where a setting such as "
        "mask_token names one, or give the model vectors for them (resize_token_embeddings in "
        "transformers)."
    )


def _is_marian(tokenizer) -> bool:
    sides = getattr(tokenizer, "source", None), getattr(tokenizer, "target", None)
    return all(isinstance(side, MarianTokenizer) for side in sides)


def _kind(folder: Path, config: Mapping[str, Any], name: str | None) -> str:
    """The kind of the tokenizer of a folder."""
    kind = config.get("model_type")
    if not config:
        kinds = {name: kind for kind, recipe in RECIPES.items() for name in recipe.classes}
        kind = {**kinds, MARIAN_CLASS: "marian"}.get(name)
    if kind not in (*RECIPES, "marian"):
        raise InputError(
            f"{folder}: there is no tokenizer for a checkpoint of {kind!r}, by model_type in "
            f"{CONFIG} or tokenizer_class: those of {', '.join(RECIPES)}, marian are supported."
        )
    return kind


def _library_tokenizer(folder: Path, kind: str, name: str, settings: Settings) -> LibraryTokenizer:
    """The tokenizer of a class that runs in the `tokenizers` library."""
    try:
        tokenizer = library_tokenizer(
            folder, None if name in _AS_IT_IS else RECIPES[kind], settings
        )
        content = settings.content(tokenizer.get_added_tokens_decoder(), name)
        return LibraryTokenizer(tokenizer, kind, content)
    except OSError as error:
        raise file_error(error.filename or folder, "read", error) from error
    except InputError as error:
        if str(folder) in str(error):
            raise
        raise InputError(f"{folder}: {error}") from error
    except Exception as error:  # the library raises nothing more special
        raise InputError(
            f"{folder}: the tokenizer cannot be read ({reason_of(error)}): fetch the checkpoint "
            "again."
        ) from error
