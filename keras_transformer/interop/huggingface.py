"""Loading and saving checkpoints of Hugging Face's `transformers` in local folders.

`load_huggingface` makes a model of this package; `save_huggingface` writes one so that
`transformers` loads it. One table for each family says where every tensor belongs, in both
directions. Nothing is downloaded, and `transformers` is not needed.

Ids are those of this package, 0 for padding: the tokenizers of `load_huggingface_tokenizer` give
them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of, write_json
from keras_transformer.internals import without_values
from keras_transformer.interop.bert import AlbertFamily, BertFamily
from keras_transformer.interop.checkpoints import (
    CONFIG,
    DTYPES,
    Checkpoint,
    read_config,
    read_json,
    write_checkpoint,
)
from keras_transformer.interop.family import Config, Family, Origin
from keras_transformer.interop.gpt2 import GPT2Family
from keras_transformer.interop.mapping import collect, load, some
from keras_transformer.interop.marian import MarianFamily
from keras_transformer.interop.tokenizer_files import check_vocabulary, save_huggingface_tokenizer
from keras_transformer.interop.vit import ViTFamily
from keras_transformer.models.runs import check_size

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (BertFamily(), AlbertFamily(), GPT2Family(), ViTFamily(), MarianFamily())
}
"""Families by the `model_type` of their ``config.json``."""

_GENERATION = "generation_config.json"


def load_huggingface(folder: str | os.PathLike, *, architecture: str | None = None, **arguments):
    """Loads a checkpoint as a model of this package.

    Weights of 16 bits become float32. `save_huggingface` writes them back as they were.

    Args:
        folder: with ``config.json`` and the weights: ``model.safetensors``, whole or in shards, or
            ``pytorch_model.bin``, which needs PyTorch.
        architecture: what to make in place of what ``config.json`` names, such as ``BertModel``
            to leave a head out; weights that it has no place for are left out then.
        **arguments: of the model, in place of what ``config.json`` says, such as
            ``dropout_rate=0.0`` or ``dtype="mixed_bfloat16"``.

    Returns:
        by the `model_type` and the architecture: ``bert`` and ``albert`` a `Bert`,
        `BertPretraining`, `SequenceClassifier`, `TokenClassifier` or `SpanPredictor`; ``gpt2`` a
        `GPT`; ``vit`` a `ViT`; ``marian`` a `Transformer`.

    Raises:
        InputError: for a folder without a checkpoint, for one that no model here computes as
            `transformers` does, and for weights that are missing, too many or of wrong shapes.

    Example:
        >>> bert = load_huggingface("checkpoints/bert-base-uncased", architecture="BertModel")
        >>> tokenizer = load_huggingface_tokenizer("checkpoints/bert-base-uncased")
        >>> bert(tokenizer.tokenize(["good morning"]).to_tensor()).sequence.shape
        TensorShape([1, 4, 768])
    """
    folder = Path(folder)
    config = Config(read_config(folder), folder / CONFIG)
    family = family_of(config)
    made = family.architecture(config, architecture)
    checkpoint = Checkpoint(folder)
    tensors = _Tensors(checkpoint, family)
    with without_values():
        probe = _made(family, config, made, set(tensors), arguments)
    check_size(probe, checkpoint.most_values, folder)
    model = _made(family, config, made, set(tensors), arguments)
    entries, tied = family.entries(model), family.tied(model)
    kept = {name: tensors[name] for name in tensors if family.is_kept(name)}
    if architecture is None:
        known = {entry.name for entry in entries} | set(tied) | set(kept)
        strangers = [
            name for name in tensors if name not in known and not family.is_redundant(name)
        ]
        if strangers:
            raise InputError(
                f"{folder}: {made} has no place for {some(strangers)}: give the checkpoint of a "
                f"{made}{family.without_head()}."
            )
    load(model, entries, tensors, folder)
    _check_tied(tensors, tied, folder)
    generation = folder / _GENERATION
    model.huggingface = Origin(
        architecture=made,
        config=dict(config),
        generation=read_json(generation) if generation.is_file() else None,
        prefixed=tensors.prefixed,
        dtypes=tensors.dtypes,
        kept=kept,
    )
    return family.finished(model)


def save_huggingface(
    model, folder: str | os.PathLike, *, tokenizer=None, dtype: str | None = None
) -> None:
    """Writes a model so that `transformers` and `load_huggingface` load it.

    A model that was loaded keeps the names, types and values of its tensors bit for bit, and the
    rest of its ``config.json``. What older versions stored besides, causal masks, numbers of
    positions and second copies of tied weights, is left out.

    Args:
        model: one that `load_huggingface` gives, or the same made and trained here.
        folder: to write into, made if need be.
        tokenizer: from `load_huggingface_tokenizer`, to write its files too.
        dtype: type of the weights, one of `checkpoints.DTYPES`; that which they were loaded with,
            or float32, unless given.

    Raises:
        InputError: for a model that `transformers` cannot express, for a tokenizer that is not
            the model's or has more ids, and where the folder cannot be written.
    """
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype is one of {', '.join(DTYPES)}; got {dtype!r}.")
    family = next((family for family in FAMILIES.values() if family.holds(model)), None)
    if family is None:
        raise InputError(
            f"a {type(model).__name__} has no form as a checkpoint: save models of "
            f"{', '.join(FAMILIES)}."
        )
    origin = getattr(model, "huggingface", None) or Origin()
    config = _config(family, model, origin, dtype)
    if tokenizer is not None:
        check_vocabulary(tokenizer, config, folder)
    prefixed = origin.prefixed
    if prefixed is None:
        prefixed = config["architectures"] != [family.body]
    tensors = {}
    for name, tensor in (collect(model, family.entries(model)) | dict(origin.kept)).items():
        kind = DTYPES[dtype] if dtype else origin.dtypes.get(name, DTYPES["float32"])
        tensors[family.their_name(name, prefixed)] = tensor.astype(kind, copy=False)
    write_checkpoint(folder, config, tensors)
    generation = family.generation(model) if origin.generation is None else origin.generation
    if generation:
        write_json(Path(folder) / _GENERATION, dict(generation))
    if tokenizer is not None:
        save_huggingface_tokenizer(tokenizer, folder)


def _made(family, config, architecture, names, arguments):
    """`Family.make`, whose every error names the file that holds the values."""
    try:
        return family.make(config, architecture, names, arguments)
    except (TypeError, ValueError, ArithmeticError, MemoryError, tf.errors.OpError) as error:
        reason = reason_of(error)
        if isinstance(error, InputError) and reason.startswith(str(config.where)):
            raise
        values = "its values and the arguments given" if arguments else "its values"
        raise InputError(
            f"{config.where}: no {architecture} can be made of {values}: {reason}"
        ) from error


def family_of(config: Config) -> Family:
    """The family of a configuration.

    Raises:
        InputError: for a `model_type` that is not supported.
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise InputError(
            f"{config.where}: model_type {kind!r} is not supported: give a checkpoint of "
            f"{', '.join(FAMILIES)}."
        )
    return FAMILIES[kind]


def _config(family, model, origin, dtype) -> dict:
    """The ``config.json`` of a model."""
    config = family.config(model)
    names = origin.config.get("id2label") or {}
    if len(names) == len(config.get("id2label", ())):
        for key in ("id2label", "label2id"):  # with the names that they have
            config.pop(key, None)
    if origin.architecture:
        config["architectures"] = [origin.architecture]
    if dtype or not origin.config:
        config["dtype"] = dtype or "float32"
    written = {**family.fresh_config(model), **origin.config, **config}
    if dtype:
        written.pop("torch_dtype", None)  # the name that older versions have for it
    return written


class _Tensors(Mapping):
    """The tensors of a checkpoint by `Family.our_name`; `dtypes` are those of what was read."""

    def __init__(self, checkpoint, family):
        self.prefixed = any(name.startswith(family.prefix) for name in checkpoint)
        self.dtypes: dict[str, np.dtype] = {}
        self._checkpoint = checkpoint
        self._names = {family.our_name(name, self.prefixed): name for name in checkpoint}

    def __getitem__(self, name):
        tensor = self._checkpoint[self._names[name]]
        self.dtypes[name] = tensor.dtype
        return tensor

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)


def _check_tied(tensors, tied, folder):
    for copy, original in tied.items():
        if copy in tensors and not np.array_equal(tensors[copy], tensors[original]):
            raise InputError(
                f"{folder}: {copy} is not {original}: only checkpoints whose weights are tied are "
                "supported."
            )
