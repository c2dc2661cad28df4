"""Export to StableHLO: compiled programs that run without TensorFlow, in JAX for example.

A version holds each program in two forms: as a portable StableHLO artifact, for any compiler that
reads it, and as what ``jax.export.deserialize`` reads. Weights are arguments of the programs and
stored once, so that programs for several shapes cost little.
"""

import importlib
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import tensorflow as tf

import keras_transformer
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import (
    TEMPLATE_KINDS,
    normalized_text,
    read_template,
    translation_title,
    write_version,
)
from keras_transformer.exporting.stablehlo_programs import (
    PROGRAMS_FOLDER,
    STABLEHLO_VERSION,
    WEIGHTS_FILE,
    Shape,
    Weights,
    described,
    exported,
    model_programs,
)
from keras_transformer.files import (
    make_folder,
    write_atomically,
    write_bytes,
    write_json,
    write_text,
)
from keras_transformer.models.transformer import Transformer
from keras_transformer.special_tokens import PAD, UNK

FORMAT, FORMAT_VERSION = "keras_transformer.stablehlo", 1
MANIFEST_FILE = "manifest.json"

LENGTH = 128
"""Tokens of source and target that programs have room for unless said otherwise."""


def export_stablehlo(
    translator,
    folder,
    *,
    batch_sizes: Sequence[int] = (1, 16),
    source_lengths: Sequence[int] | None = None,
    target_length: int | None = None,
    beam_sizes: Sequence[int] = (1,),
    version=None,
    overwrite=False,
) -> Path:
    """Writes the model of a translator as StableHLO programs, ``folder/version``.

    There are programs for every combination of batch size, source length and beam size:
    ``encode``, ``decode_step`` and, with several beams, ``select_beams``. Beside them lie the
    weights, a manifest that says what the programs take and give, ``tokenizers/`` as in a run
    folder and a README.md that says how to translate with them. The version appears under its
    name only once it is complete.

    Args:
        translator: a `Translator` of a `Transformer`.
        folder: such as ``stablehlo_models/pt_en``.
        batch_sizes: sentences that programs take at a time.
        source_lengths: source tokens that programs have room for, start and end included; `LENGTH`
            unless given, or as many as the translator takes where these are fewer.
        target_length: target tokens that programs have room for; `LENGTH` unless given, or as many
            as the model has positions for where these are fewer.
        beam_sizes: hypotheses of each sentence that are decoded side by side; 1 is for greedy
            search.
        version: number of the version; one more than the highest there unless given.
        overwrite: replace that version where it exists.

    Returns:
        the folder of the version.

    Raises:
        InputError: when jax is missing, the model has no such form, a size is wrong, or the
            version exists or cannot be written.
    """
    model = getattr(translator, "transformer", None)
    if not isinstance(model, Transformer):
        kind = type(translator if model is None else model).__name__
        raise InputError(
            f"a {kind} has no StableHLO form: give a Translator of a Transformer, or export a "
            "SavedModel (--format saved_model)."
        )
    import_jax()
    if source_lengths is None:
        source_lengths = [min(LENGTH, translator.max_source_length)]
    if target_length is None:
        target_length = min(LENGTH, model.max_length)
    sizes = {
        "batch_sizes": batch_sizes,
        "source_lengths": source_lengths,
        "target_length": [target_length],
        "beam_sizes": beam_sizes,
    }
    _check_sizes(sizes, model.max_length)
    shapes = [Shape(*map(int, shape)) for shape in dict.fromkeys(product(*sizes.values()))]
    weights = Weights(model)

    def write(unfinished):
        translator.tokenizers.save(unfinished / "tokenizers")
        programs = [
            program for shape in shapes for program in model_programs(model, shape, weights)
        ]
        make_folder(unfinished / PROGRAMS_FOLDER)
        for program in programs:
            path = unfinished / program.file
            write_bytes(path.with_name(f"{path.name}.stablehlo"), program.artifact)
            write_bytes(path.with_name(f"{path.name}.jax"), exported(program, weights.arrays))
        arrays = weights.arrays
        write_atomically(unfinished / WEIGHTS_FILE, lambda path: np.savez(path, **arrays))
        manifest = _manifest(translator, weights, shapes[0].target_length)
        manifest["programs"] = [program.entry(arrays) for program in programs]
        write_json(unfinished / MANIFEST_FILE, manifest)
        write_text(unfinished / "README.md", _readme(manifest, shapes[0]))

    return write_version(folder, write, version=version, overwrite=overwrite)


def import_jax():
    """The jax package, with the parts that are used here imported.

    Raises:
        InputError: where it is missing.
    """
    # TensorFlow is here already, and JAX would take most of a GPU's memory for itself.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        jax = importlib.import_module("jax")
        for part in ("export", "extend.mlir.dialects.stablehlo", "interpreters.mlir"):
            importlib.import_module(f"jax.{part}")
    except ImportError as error:
        raise InputError(
            f'jax cannot be imported ({error}): pip install "keras_transformer[stablehlo]"'
        ) from error
    return jax


def _check_sizes(sizes: dict[str, Sequence[int]], positions: int):
    for name, values in sizes.items():
        if not values:
            raise InputError(f"{name}: give one or more.")
        for value in values:
            if not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"{name}: {value!r} is not a whole number above 0.")
            if "length" in name and value > positions:
                raise InputError(f"{name}: {value} is more than the model's {positions} positions.")


def _manifest(translator, weights: Weights, room: int) -> dict:
    """The manifest of a version without its list of programs."""
    model, tokenizers, decoding = translator.transformer, translator.tokenizers, translator.decoding
    sides = {}
    for side in ("source", "target"):
        tokenizer = getattr(tokenizers, side)
        stem = "shared" if tokenizers.shared else side
        sides[side] = {
            "language": getattr(tokenizers, f"{side}_language"),
            "kind": tokenizer.kind,
            "normalization": tokenizer.normalization,
            "case": tokenizer.case,
            "file": f"tokenizers/{stem}.{tokenizer.file_suffix}",
            "tokens": int(tokenizer.get_vocab_size()),
        }
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "producer": {
            "keras_transformer": keras_transformer.__version__,
            "tensorflow": tf.__version__,
            "jax": import_jax().__version__,
        },
        "stablehlo_version": STABLEHLO_VERSION,
        "tokenizers": sides,
        "special_ids": {
            "padding": PAD,
            "unknown": UNK,
            "start": translator.start_id,
            "end": translator.end_id,
        },
        "forbidden_ids": [PAD, UNK] if decoding.forbid_unknown else [PAD],
        "limits": {
            "max_source_length": translator.max_source_length,
            "length_ratio": decoding.length_ratio,
            "length_offset": decoding.length_offset,
            "max_length": min(room, decoding.max_length or room),
        },
        "model": {"class": type(model).__name__, "config": model.get_config()},
        "weights": {
            "file": WEIGHTS_FILE,
            "arrays": described(dict(sorted(weights.arrays.items()))),
        },
    }


def _readme(manifest: dict, shape: Shape) -> str:
    source, target = manifest["tokenizers"]["source"], manifest["tokenizers"]["target"]
    special = manifest["special_ids"]
    readme = read_template("stablehlo").format(
        title=translation_title(source["language"], target["language"]),
        version=manifest["producer"]["keras_transformer"],
        manifest=MANIFEST_FILE,
        stablehlo_version=STABLEHLO_VERSION,
        shape=shape,
        forbidden=manifest["forbidden_ids"],
        style=normalized_text(source["normalization"], source["case"]),
        **special,
        **shape._asdict(),
        **manifest["limits"],
    )
    marked = "factored" in (source["case"], target["case"])
    if source["kind"] == target["kind"] and source["kind"] in TEMPLATE_KINDS and not marked:
        code = read_template(f"stablehlo_{source['kind']}")
        files = {"source_file": source["file"], "target_file": target["file"]}
        readme += "\n" + code.format(**files, **special)
    return readme
