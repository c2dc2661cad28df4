"""Makes tokenizers of BERT, ALBERT and GPT-2 from their files as `transformers` 5 makes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from keras_transformer.data.tokenizers.library import KINDS
from keras_transformer.errors import InputError
from keras_transformer.interop.checkpoints import read_json
from keras_transformer.interop.tokenizer_settings import LIBRARY, NAMED, Settings, text_of

_ALBERT_UNKNOWN = 1  # the id that the class gives to what its vocabulary has no piece for
_CONTROL, _USER_DEFINED = 3, 4  # types of SentencePiece's pieces


@dataclass(frozen=True)
class Recipe:
    """How the tokenizer of a class is made.

    Args:
        classes: its names in `tokenizer_class`.
        values: the settings that say how text is prepared, with their defaults.
        special: its special tokens by the names of their settings.
        make: makes it, without added tokens, from the folder, the content of ``tokenizer.json`` or
            ``None``, and the settings.
        own_ends: whether the tokens around a text are always its own, whatever
            ``tokenizer.json`` says.
    """

    classes: tuple[str, ...]
    values: dict[str, Any]
    special: Mapping[str, str]
    make: Callable[[Path, dict[str, Any] | None, Settings], Tokenizer]
    own_ends: bool = False


def library_tokenizer(folder: Path, recipe: Recipe | None, settings: Settings) -> Tokenizer:
    """Makes a tokenizer, and completes the settings with the defaults of its class.

    Args:
        folder: with the vocabulary.
        recipe: of the tokenizer's class; ``None`` takes ``tokenizer.json`` as it is.
        settings: what the files say.

    Raises:
        InputError: for a vocabulary that does not fit.
        OSError: for files that are missing.
    """
    path = folder / LIBRARY
    content = None
    if recipe is None:
        tokenizer = Tokenizer.from_file(_existing(path))
    else:
        for name, value in recipe.values.items():
            settings.values.setdefault(name, value)
        silent = recipe.special.keys() - settings.special.keys()
        settings.special = {**recipe.special, **settings.special}
        if path.is_file():
            content = read_json(path)
        tokenizer = recipe.make(folder, content, settings)
        _check_defaults(tokenizer, settings, silent)
        if content is not None and content.get("post_processor"):
            tokenizer.post_processor = _processor(content["post_processor"])
    _add_tokens(tokenizer, settings)
    if recipe is not None and recipe.own_ends:
        tokenizer.post_processor = _cls_and_sep(tokenizer, settings)
    else:
        _add_bos_and_eos(tokenizer, settings, path.is_file())
    tokenizer.encode_special_tokens = bool(settings.values.get("split_special_tokens", False))
    return tokenizer


def _existing(path: Path) -> str:
    """The path of a file as a string; `OSError` where there is none."""
    path.open("rb").close()
    return str(path)


def _check_defaults(tokenizer: Tokenizer, settings: Settings, names: Iterable[str]) -> None:
    """Refuses a vocabulary without a token that the class wants and that no file speaks of."""
    added = {token.content for token in settings.added}
    for name in sorted(names):
        token = settings.name(name)
        if tokenizer.token_to_id(token) is None and token not in added:
            raise InputError(
                f"the vocabulary lacks {token}: give the whole checkpoint, or name the {name} that "
                f"it has, or null, in {settings.where.name}."
            )


def _processor(description: dict[str, Any]):
    """The part of a ``tokenizer.json`` that puts tokens around a text."""
    whole = {"post_processor": description, "model": {"type": "BPE", "vocab": {}, "merges": []}}
    return Tokenizer.from_str(json.dumps(whole)).post_processor


def _add_tokens(tokenizer: Tokenizer, settings: Settings) -> None:
    """Adds the tokens that stand beside the vocabulary; new ones get the next ids."""
    tokens = list(settings.added)
    known = {token.content for token in (*tokens, *tokenizer.get_added_tokens_decoder().values())}
    named = [settings.special.get(key) for key in NAMED]
    named += [token for key, token in settings.special.items() if key not in NAMED]
    for token in (*named, *settings.extra, *settings.pieces):
        if token is not None and text_of(token) not in known and token not in tokens:
            tokens.append(token)
    names = {text_of(token) for token in named}
    made = []
    for token in tokens:
        if isinstance(token, str):
            token = AddedToken(token, special=True)
        elif token.content in names:
            token.special = True
        made.append(token)
    tokenizer.add_tokens(made)


def _add_bos_and_eos(tokenizer: Tokenizer, settings: Settings, has_file: bool) -> None:
    """Sets what stands around a text where `add_bos_token` and `add_eos_token` say it.

    They count without a ``tokenizer.json`` alone, which knows it otherwise.
    """
    adds = {key: settings.values.get(f"add_{key}") for key in ("bos_token", "eos_token")}
    said = not has_file and any(f"add_{key}" in settings.values for key in adds)
    if said or tokenizer.post_processor is None:
        marks = [settings.name(key) if said and add else None for key, add in adds.items()]
        tokenizer.post_processor = _template(tokenizer, marks, marks)


def _cls_and_sep(tokenizer: Tokenizer, settings: Settings):
    """What puts `cls_token` before a text, and `sep_token` after it and after its second."""
    start, end = (settings.name(name) for name in ("cls_token", "sep_token"))
    for token in (start, end):
        if token is None or tokenizer.token_to_id(token) is None:
            raise InputError(
                f"the vocabulary lacks {token}, which stands around texts: give the whole "
                "checkpoint."
            )
    return _template(tokenizer, [start, end], [None, end])


def _template(tokenizer: Tokenizer, first: list[str | None], second: list[str | None]):
    """What puts tokens before and after a text, and before and after the second of a pair."""
    ids = {token: tokenizer.token_to_id(token) for token in (*first, *second) if token}
    names = {token: f"token{i}" for token, i in ids.items()}

    def pieces(around, text, segment):
        parts = (names.get(around[0]), text, names.get(around[1]))
        return [f"{part}:{segment}" for part in parts if part]

    single = pieces(first, "$A", 0)
    return processors.TemplateProcessing(
        single=single,
        pair=single + pieces(second, "$B", 1),
        special_tokens=[
            {"id": names[token], "ids": [i], "tokens": [token]} for token, i in ids.items()
        ],
    )


def _bert(folder: Path, content: dict[str, Any] | None, settings: Settings) -> Tokenizer:
    """Words' pieces, ``##`` inside words (Devlin et al. 2019), from a file with one a line."""
    if content is None:
        vocabulary = models.WordPiece.read_file(_existing(folder / "vocab.txt"))
    else:
        vocabulary = _ids(content["model"]["vocab"])
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=str(settings.name("unk_token"))))
    values = settings.values
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=values["tokenize_chinese_chars"],
        strip_accents=values["strip_accents"],
        lowercase=values["do_lower_case"],
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def _albert(folder: Path, content: dict[str, Any] | None, settings: Settings) -> Tokenizer:
    """SentencePiece's, of the likeliest pieces (Kudo 2018)."""
    values = settings.values
    if content is None:
        pieces, rules = _sentencepiece(folder / "spiece.model", settings)
    else:
        pieces = [tuple(piece) for piece in content["model"]["vocab"]]
        rules = _precompiled(content.get("normalizer"))
    unknown = settings.name("unk_token")
    if [name for name, _ in pieces[_ALBERT_UNKNOWN:][:1]] != [unknown]:
        raise InputError(
            f"the vocabulary lacks {unknown} at id {_ALBERT_UNKNOWN}, where an ALBERT has it: give "
            "the whole checkpoint."
        )
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=_ALBERT_UNKNOWN, byte_fallback=False))
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not values["keep_accents"]:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if values["do_lower_case"]:
        steps.append(normalizers.Lowercase())
    if rules:
        steps.append(normalizers.Precompiled(rules))
    tokenizer.normalizer = normalizers.Sequence(steps)
    scheme = "always" if values["add_prefix_space"] else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme=scheme)]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.post_processor = _cls_and_sep(tokenizer, settings)
    return tokenizer


def _sentencepiece(path: Path, settings: Settings):
    """Pieces with their scores, and rules of normalisation; adds control pieces to the settings."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    if not settings.has_extra:
        settings.extra = []
        settings.pieces = [
            AddedToken(piece.piece, normalized=False, special=piece.type == _CONTROL)
            for piece in proto.pieces
            if piece.type in (_CONTROL, _USER_DEFINED)
        ]
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    return pieces, proto.normalizer_spec.precompiled_charsmap


def _precompiled(normalizer: dict[str, Any] | None) -> bytes | None:
    """SentencePiece's rules among the steps of a ``tokenizer.json``."""
    steps = (normalizer or {}).get("normalizers", [normalizer] if normalizer else [])
    for step in steps:
        if step.get("type") == "Precompiled" and "precompiled_charsmap" in step:
            return base64.b64decode(step["precompiled_charsmap"])
    return None


def _gpt2(folder: Path, content: dict[str, Any] | None, settings: Settings) -> Tokenizer:
    """Merged pairs of bytes (Radford et al. 2019), from ids and the merges in their order."""
    if content is None:
        files = (_existing(folder / name) for name in ("vocab.json", "merges.txt"))
        vocabulary, merges = models.BPE.read_file(*files)
    else:
        vocabulary = _ids(content["model"]["vocab"])
        merges = [
            tuple(merge.split(" ") if isinstance(merge, str) else merge)
            for merge in content["model"]["merges"]
        ]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=settings.values["add_prefix_space"]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _ids(vocabulary: dict[str, int] | list) -> dict[str, int]:
    """The ids of a vocabulary, which may be a list in their order."""
    if isinstance(vocabulary, dict):
        return vocabulary
    names = (entry[0] if isinstance(entry, list) else entry for entry in vocabulary)
    return {name: i for i, name in enumerate(names)}


RECIPES: dict[str, Recipe] = {
    "bert": Recipe(
        classes=("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"),
        values={"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True},
        special=KINDS["bert"].special,
        make=_bert,
        own_ends=True,
    ),
    "albert": Recipe(
        classes=("AlbertTokenizer",),
        values={"do_lower_case": True, "keep_accents": False, "add_prefix_space": True},
        special=KINDS["albert"].special,
        make=_albert,
    ),
    "gpt2": Recipe(
        classes=("GPT2Tokenizer",),
        values={"add_prefix_space": False},
        special=KINDS["gpt2"].special,
        make=_gpt2,
    ),
}
"""By the `model_type` of the checkpoint."""
