"""Reading and writing the files of checkpoints' tokenizers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tensorflow as tf
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from keras_transformer.data.tokenizers.library import KINDS, LibraryTokenizer
from keras_transformer.data.tokenizers.marian import MarianTokenizer
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.files import file_error, make_folder, reason_of, write_bytes, write_json
from keras_transformer.interop.checkpoints import CONFIG, read_config, read_json
from keras_transformer.interop.marian import our_ids, their_ids
from keras_transformer.special_tokens import RESERVED_TOKENS

_LIBRARY, _SETTINGS = "tokenizer.json", "tokenizer_config.json"
_THEIR_SPECIAL = ("</s>", "<unk>", "<pad>")
_MARIAN_CLASS = "MarianTokenizer"


def load_huggingface_tokenizer(folder: str | os.PathLike) -> LibraryTokenizer | Tokenizers:
    """Loads the tokenizer of a checkpoint, whose ids are those of `load_huggingface`'s model.

    Args:
        folder: with ``config.json`` or ``tokenizer_config.json``, which name the kind, and
            ``tokenizer.json``, or ``vocab.txt`` (BERT), ``spiece.model`` (ALBERT), ``vocab.json``
            and ``merges.txt`` (GPT-2); for Marian ``source.spm``, ``target.spm`` and
            ``vocab.json``.

    Returns:
        a `LibraryTokenizer`; for Marian `Tokenizers`, ready for a `Translator`.

    Raises:
        InputError: for files that are missing or damaged, and for another kind.
    """
    folder = Path(folder)
    settings = read_config(folder, _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    kind = _kind(folder, settings)
    if kind == "marian":
        return _marian(folder, settings)
    readers = {"bert": _wordpiece, "albert": _unigram, "gpt2": _byte_level}
    try:
        if (folder / _LIBRARY).is_file():
            tokenizer = Tokenizer.from_file(str(folder / _LIBRARY))
        else:
            tokenizer = readers[kind](folder, settings)
        return LibraryTokenizer(tokenizer, kind)
    except OSError as error:
        raise file_error(error.filename or folder, "read", error) from error
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except Exception as error:  # the library raises nothing more special
        raise InputError(
            f"{folder}: the tokenizer cannot be read ({reason_of(error)}): fetch the checkpoint "
            "again."
        ) from error


def save_huggingface_tokenizer(tokenizer, folder: str | os.PathLike) -> None:
    """Writes a tokenizer of `load_huggingface_tokenizer`, for it and `transformers` to load.

    Raises:
        InputError: for another tokenizer, and where the folder cannot be written.
    """
    if isinstance(tokenizer, LibraryTokenizer):
        tokenizer.save(folder)
        return
    sides = getattr(tokenizer, "source", None), getattr(tokenizer, "target", None)
    if not all(isinstance(side, MarianTokenizer) for side in sides):
        raise InputError(
            f"a {type(tokenizer).__name__} has no form in a checkpoint: give what "
            "load_huggingface_tokenizer gave."
        )
    folder = Path(folder)
    make_folder(folder)
    source, target = sides
    write_bytes(folder / "source.spm", source.model)
    write_bytes(folder / "target.spm", target.model)
    names = list(source.pieces)
    vocabulary = {names[our]: their for their, our in enumerate(our_ids(len(names) - 1))}
    for ours, theirs in zip(("[END]", "[UNK]", "[PAD]"), _THEIR_SPECIAL, strict=True):
        vocabulary[theirs] = vocabulary.pop(ours)
    write_json(folder / "vocab.json", dict(sorted(vocabulary.items(), key=lambda item: item[1])))
    languages = {"source_lang": tokenizer.source_language, "target_lang": tokenizer.target_language}
    write_json(folder / _SETTINGS, {"tokenizer_class": _MARIAN_CLASS, **languages})


def _kind(folder: Path, settings) -> str:
    kinds = (*KINDS, "marian")
    if (folder / CONFIG).is_file():
        kind = read_config(folder).get("model_type")
    else:
        classes = {kind.tokenizer_class: name for name, kind in KINDS.items()}
        classes[_MARIAN_CLASS] = "marian"
        kind = classes.get(str(settings.get("tokenizer_class")).removesuffix("Fast"))
    if kind not in kinds:
        raise InputError(
            f"{folder}: there is no tokenizer for a checkpoint of {kind!r}: those of "
            f"{', '.join(kinds)} are supported."
        )
    return kind


def _wordpiece(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    """BERT's, from ``vocab.txt`` (the paper's code: one piece a line, ``##`` inside words)."""
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    tokenizer = Tokenizer(
        models.WordPiece(
            {piece: i for i, piece in enumerate(pieces)},
            unk_token="[UNK]",
            max_input_chars_per_word=100,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _with_special(tokenizer, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _unigram(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    """ALBERT's, from ``spiece.model``: text is lower-cased and stripped of accents first."""
    proto = sentencepiece_model_pb2.ModelProto.FromString((folder / "spiece.model").read_bytes())
    tokenizer = Tokenizer(
        models.Unigram([(piece.piece, piece.score) for piece in proto.pieces], unk_id=1)
    )
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not settings.get("keep_accents", False):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if settings.get("do_lower_case", True):
        steps.append(normalizers.Lowercase())
    if rules := proto.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(rules))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    return _with_special(tokenizer, "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")


def _byte_level(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    """GPT-2's, from ``vocab.json`` and ``merges.txt``: pairs of bytes (Sennrich et al. 2016)."""
    vocabulary, merges = models.BPE.read_file(
        str(folder / "vocab.json"), str(folder / "merges.txt")
    )
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=settings.get("add_prefix_space", False)
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _with_special(tokenizer, "<|endoftext|>")


def _with_special(tokenizer: Tokenizer, *tokens: str) -> Tokenizer:
    """Makes those of the tokens special that the vocabulary has; returns the tokenizer."""
    known = [token for token in tokens if tokenizer.token_to_id(token) is not None]
    tokenizer.add_special_tokens(known)
    return tokenizer


def _marian(folder: Path, settings: dict[str, Any]) -> Tokenizers:
    if settings.get("separate_vocabs", False):
        raise InputError(
            f"{folder / _SETTINGS}: separate_vocabs is not supported: only checkpoints with one "
            "vocab.json are."
        )
    path = folder / "vocab.json"
    vocabulary = read_json(path)
    fits = isinstance(vocabulary, dict) and all(type(i) is int for i in vocabulary.values())
    names = sorted(vocabulary, key=vocabulary.get) if fits else []
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
    for side in ("source", "target"):
        file = folder / f"{side}.spm"
        try:
            sides.append(MarianTokenizer(file.read_bytes(), pieces, side == "target"))
        except OSError as error:
            raise file_error(file, "read", error) from error
        except (InputError, tf.errors.OpError) as error:
            raise InputError(f"{file}: {error}") from error
    languages = (settings.get(f"{side}_lang") or side for side in ("source", "target"))
    return Tokenizers(*sides, *languages)
