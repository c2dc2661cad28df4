"""Settings of checkpoints' tokenizers, read from their files as `transformers` 5 reads them.

Several files may say the same thing, and not all say it alike. This is how that library decides:

- ``tokenizer_config.json`` says how text is prepared, and the class's defaults do where it is
  silent. ``tokenizer.json`` counts for that only where `tokenizer_class` is
  ``PreTrainedTokenizerFast`` or ``TokenizersBackend``.
- Added tokens stand in `added_tokens_decoder` of ``tokenizer_config.json``. Only where it has none
  do ``special_tokens_map.json``, ``added_tokens.json`` and ``tokenizer.json`` count, each over the
  one before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of
from keras_transformer.interop.checkpoints import CONFIG, read_json

LIBRARY, SETTINGS = "tokenizer.json", "tokenizer_config.json"
_SPECIAL_TOKENS, _ADDED_TOKENS = "special_tokens_map.json", "added_tokens.json"

NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
"""Settings that name special tokens, in the order in which new ones get their ids."""

_EXTRA, _EXTRA_BEFORE = "extra_special_tokens", "additional_special_tokens"
_OWN = "model_specific_special_tokens"
_DECODER = "added_tokens_decoder"

_REFUSED = {
    "auto_map": "code of one's own",
    "init_inputs": "arguments by their places",
    "vocab": "a vocabulary among the settings",
    "merges": "a vocabulary among the settings",
}
"""Settings that would change the ids, and what they hold."""

_VERSIONS = "fast_tokenizer_files"

_OF_THE_PLACE = ("name_or_path", "special_tokens_map_file", "tokenizer_file")
"""Settings that say where the files were, which are not written."""

Token = AddedToken | str


@dataclass
class Settings:
    """What the files beside the vocabulary say of a tokenizer.

    Args:
        where: the file that the settings are in, for errors.
        values: the settings by their names, without those of tokens.
        special: special tokens by the names of their settings, those of `NAMED` first; ``None``
            where a setting says that there is none.
        extra: further special tokens.
        has_extra: whether `extra_special_tokens` names them. Otherwise those that a SentencePiece
            model has itself take their place.
        pieces: those of a SentencePiece model, which reading its file finds.
        added: tokens that stand beside the vocabulary, in the order of their ids.
    """

    where: Path
    values: dict[str, Any] = field(default_factory=dict)
    special: dict[str, Token | None] = field(default_factory=dict)
    extra: list[Token] = field(default_factory=list)
    has_extra: bool = False
    pieces: list[AddedToken] = field(default_factory=list)
    added: list[AddedToken] = field(default_factory=list)

    def content(self, added: Mapping[int, AddedToken], tokenizer_class: str) -> dict[str, Any]:
        """The content of a ``tokenizer_config.json`` that says all of it.

        Args:
            added: the added tokens by their ids.
            tokenizer_class: which is to read it.
        """
        content = {key: value for key, value in self.values.items() if key not in _OF_THE_PLACE}
        content |= {key: self.name(key) for key in NAMED if key in self.special}
        if own := {key: self.name(key) for key in self.special if key not in NAMED}:
            content[_OWN] = own
        if self.extra:
            content[_EXTRA_BEFORE] = [text_of(token) for token in self.extra]  # all versions know
        content[_DECODER] = {str(i): _described(added[i]) for i in sorted(added)}
        return content | {"tokenizer_class": tokenizer_class}

    def name(self, key: str) -> str | None:
        """The special token that a setting names, as a string."""
        token = self.special.get(key)
        return None if token is None else text_of(token)


def read_settings(folder: Path) -> Settings:
    """Reads the settings of a tokenizer; there may be none.

    Raises:
        InputError: for files that are damaged, and for settings that no tokenizer here follows.
    """
    path = folder / SETTINGS
    values = _object(path)
    for key, what in _REFUSED.items():
        if values.get(key):
            raise InputError(
                f"{path}: {key} is not supported: it holds {what}. Load the tokenizer with "
                "transformers, save its tokenizer.json, and set tokenizer_class to "
                "PreTrainedTokenizerFast."
            )
    if set(values.get(_VERSIONS) or ()) - {LIBRARY}:
        raise InputError(
            f"{path}: {_VERSIONS} is not supported: copy the newest of the files that it names to "
            f"{LIBRARY}, and take it out."
        )
    settings = Settings(path, values)
    try:
        settings.added = _take_added(folder, values)
        _take_special(settings)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise InputError(
            f"{folder}: the special and added tokens cannot be read ({reason_of(error)}): fetch "
            "the checkpoint again."
        ) from error
    return settings


def _take_added(folder: Path, values: dict[str, Any]) -> list[AddedToken]:
    """Takes the added tokens out of the settings, or reads them and the special ones elsewhere."""
    if values.get(_EXTRA_BEFORE) and not values.get(_EXTRA):
        values[_EXTRA] = values.pop(_EXTRA_BEFORE)
    if own := _popped(values, lambda key, value: _is_own(key) and isinstance(value, str)):
        values[_OWN] = own
    _move_named(values)
    if _DECODER in values:
        decoder = values.pop(_DECODER)
        added = {int(i): _token(token) for i, token in decoder.items()}
    else:
        _merge_special(values, _object(folder / _SPECIAL_TOKENS))
        _move_named(values)
        added = _added_elsewhere(folder, values)
    return [added[i] for i in sorted(added)]


def _take_special(settings: Settings) -> None:
    """Takes the special tokens out of the settings; those that are added have flags from there."""
    values = settings.values
    settings.has_extra = _EXTRA in values
    before = values.pop(_EXTRA_BEFORE, None)
    settings.extra = [_token_or_name(token) for token in values.pop(_EXTRA, before) or []]
    tokens = _popped(values, lambda key, value: key in NAMED)
    tokens |= _popped(values, lambda key, value: _is_own(key) and isinstance(value, Token | dict))
    tokens |= values.pop(_OWN, None) or {}
    added = {token.content: token for token in settings.added}
    for key, token in tokens.items():
        token = None if token is None else _token_or_name(token)
        settings.special[key] = added.get(text_of(token), token) if key in NAMED else token


def _is_own(key: str) -> bool:
    """Whether a setting may name a special token of the model's own."""
    return key.endswith("_token") and key not in NAMED


def _popped(values: dict[str, Any], wanted: Callable[[str, Any], bool]) -> dict[str, Any]:
    """Takes the settings that are wanted out of the others."""
    return {key: values.pop(key) for key in list(values) if wanted(key, values[key])}


def _move_named(values: dict[str, Any]) -> None:
    """Moves extra tokens that have names to the special tokens of the model's own."""
    if isinstance(values.get(_EXTRA), dict):
        values[_OWN] = {**(values.get(_OWN) or {}), **values.pop(_EXTRA)}


def text_of(token: Token | None) -> str | None:
    """What a token looks like in a text."""
    return token.content if isinstance(token, AddedToken) else token


def _described(token: AddedToken) -> dict[str, Any]:
    """A token as `added_tokens_decoder` has it."""
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {name: getattr(token, name) for name in names}


def tokenizer_class(folder: Path, values: dict[str, Any]) -> str | None:
    """The class that the files name, without ``Fast`` at its end where that tells nothing."""
    name = values.get("tokenizer_class")
    if name is None and (folder / CONFIG).is_file():
        name = _object(folder / CONFIG).get("tokenizer_class")
    if name is None or name == "PreTrainedTokenizerFast":
        return name
    return str(name).removesuffix("Fast")


def _object(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty where there is none."""
    if not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: is damaged: no JSON object; fetch the checkpoint again.")
    return content


def _token(description: dict[str, Any]) -> AddedToken:
    flags = {key: value for key, value in description.items() if key not in ("__type", "id")}
    return AddedToken(**flags)


def _token_or_name(token: Token | dict[str, Any]) -> Token:
    if not isinstance(token, Token | dict):
        raise TypeError(f"a token is a string; got {token!r}")
    return _token(token) if isinstance(token, dict) else token


def _merge_special(values: dict[str, Any], others: dict[str, Any]) -> None:
    """Adds the special tokens of ``special_tokens_map.json``, over those of the settings."""
    for key, value in others.items():
        if key == _EXTRA and isinstance(value, list):
            known = list(values.get(_EXTRA) or [])
            values[key] = known + [token for token in value if token not in known]
        elif isinstance(value, dict) and key != _EXTRA:
            values[key] = _token({**value, "special": True})
        else:
            values[key] = value


def _added_elsewhere(folder: Path, values: dict[str, Any]) -> dict[int, AddedToken]:
    """The tokens of ``added_tokens.json`` and ``tokenizer.json`` by their ids."""
    named = [values.get(key) for key in NAMED] + list(values.get(_EXTRA) or [])
    # Those that the settings describe by their flags are not looked for there.
    special = {text_of(token) for token in named if isinstance(token, Token)}
    added = {}
    for content, i in _object(folder / _ADDED_TOKENS).items():
        is_special = content in special
        added[i] = AddedToken(content, normalized=not is_special, special=is_special)
    for token in _object(folder / LIBRARY).get("added_tokens") or []:
        added[token["id"]] = _token(token)
    return added
