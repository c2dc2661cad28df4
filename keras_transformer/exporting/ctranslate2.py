"""Export to CTranslate2, a fast C++ engine for Transformers with quantised weights.

The mathematics is the same; what differs is that one matrix product makes queries, keys and
values, and that all positions come as a table.
"""

from collections import Counter
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_transformer
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import (
    LIMITS_FILE,
    TEMPLATE_KINDS,
    VOCABULARY_MAP_FILE,
    normalized_text,
    read_template,
    translation_title,
    write_version,
)
from keras_transformer.files import write_json, write_text
from keras_transformer.models.transformer import Transformer
from keras_transformer.special_tokens import PAD, UNK
from keras_transformer.translating.ctranslate2 import CTranslate2Translator, import_ctranslate2

__all__ = ["CTranslate2Translator", "export_ctranslate2"]

_ACTIVATIONS = {  # the names in ctranslate2.specs.Activation
    keras.activations.relu: "RELU",
    keras.activations.gelu: "GELU",
    keras.activations.silu: "SWISH",
    keras.activations.tanh: "Tanh",
    keras.activations.sigmoid: "Sigmoid",
}


def export_ctranslate2(
    translator, folder, *, quantization=None, version=None, overwrite=False
) -> Path:
    """Writes a translator for CTranslate2 as ``folder/version``.

    The version holds the model, ``tokenizers/`` as in a run folder, the limits of the search, with
    ``decoding.shortlist`` a ``vmap.txt``, and a README.md that says how to translate with it. It
    appears under its name only once it is complete. `CTranslate2Translator` loads it.

    Args:
        translator: a `Translator` of a `Transformer`.
        folder: such as ``ctranslate2_models/pt_en``.
        quantization: how weights are stored: ``int8``, ``int8_float32``, ``int16``, ``float16``,
            ``bfloat16`` or another type that ctranslate2 offers; ``None`` keeps float32.
        version: number of the version; one more than the highest there unless given.
        overwrite: replace that version where it exists.

    Returns:
        the folder of the version.

    Raises:
        InputError: when ctranslate2 is missing, cannot express the model or lacks the
            quantization, and when the version exists or cannot be written.
    """
    model, tokenizers = translator.transformer, translator.tokenizers
    if not isinstance(model, Transformer):
        raise InputError(
            f"a {type(model).__name__} has no CTranslate2 form: give a Transformer, or export a "
            "SavedModel (--format saved_model)."
        )
    ctranslate2 = import_ctranslate2()
    offered = ctranslate2.specs.model_spec.ACCEPTED_MODEL_TYPES
    if quantization is not None and quantization not in offered:
        raise InputError(f"quantization {quantization!r}: choose one of {', '.join(offered)}.")
    spec = _specification(model, ctranslate2.specs)
    source = _vocabulary("source", tokenizers.source, model.encoder.vocab_size)
    target = _vocabulary("target", tokenizers.target, model.decoder.vocab_size)
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.config.bos_token = spec.config.decoder_start_token = target[translator.start_id]
    spec.config.eos_token = target[translator.end_id]
    spec.config.unk_token = target[UNK]
    spec.config.layer_norm_epsilon = model.decoder.layer_norm_epsilon
    spec.validate()
    try:
        spec.optimize(quantization=quantization)
    except RuntimeError as error:  # bfloat16 is torch's work
        raise InputError(f"quantization {quantization!r}: {error}.") from error
    limits = {
        "length_ratio": translator.decoding.length_ratio,
        "length_offset": translator.decoding.length_offset,
        "max_length": translator.max_target_length(translator.decoding),
        "max_source_length": translator.max_source_length,
        "sentences": translator.decoding.sentences,
        "keep": list(translator.decoding.keep),
        "to": translator.decoding.to,
    }

    def write(unfinished):
        spec.save(str(unfinished))
        tokenizers.save(unfinished / "tokenizers")
        write_json(unfinished / LIMITS_FILE, limits)
        if translator.decoding.shortlist:
            shortlist = translator.required_shortlist()
            size = translator.decoding.shortlist
            lines = _vocabulary_map(shortlist, size, source, target, tokenizers.target)
            write_text(unfinished / VOCABULARY_MAP_FILE, lines)
        write_text(unfinished / "README.md", _readme(tokenizers, limits))

    return write_version(folder, write, version=version, overwrite=overwrite)


def _vocabulary(side: str, tokenizer, size: int) -> list[str]:
    """Names of the ids 0 to ``size - 1``, with made-up ones for ids that the tokenizer lacks."""
    known = int(tokenizer.get_vocab_size())
    if known > size:
        raise InputError(
            f"the {side} tokenizer has {known:,} tokens, the model {size:,}: give the tokenizers "
            "that the model was trained with."
        )
    ids = tf.range(known)[tf.newaxis]
    names = [name.decode("utf-8") for name in tokenizer.lookup(ids)[0].numpy()]
    names += [f"[UNUSED {i}]" for i in range(known, size)]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"the {side} vocabulary repeats {name!r}, and CTranslate2 knows tokens by their names: "
            "give a tokenizer without repetitions."
        )
    return names


def _vocabulary_map(shortlist, size, source, target, tokenizer) -> str:
    """A shortlist as CTranslate2 reads it: a line of target tokens for each source token.

    Args:
        shortlist: a `Shortlist`.
        size: how many candidates of each source token count.
        source, target: names of the tokens.
        tokenizer: of the target, which has placeholders.
    """
    controls = range(tokenizer.first_placeholder + tokenizer.placeholders)
    always = dict.fromkeys([*controls, *shortlist.frequent.tolist()])
    lines = [("", always)]  # for every source
    for name, ids in zip(source, shortlist.candidates.numpy()[:, :size].tolist(), strict=False):
        lines.append((name, [i for i in ids if i != PAD]))
    return "".join(f"{name}\t{' '.join(target[i] for i in ids)}\n" for name, ids in lines if ids)


def _specification(model: Transformer, specs):
    """A `ctranslate2.specs.TransformerSpec` with the weights of `model`."""
    encoder, decoder = model.encoder, model.decoder
    spec = specs.TransformerSpec.from_config(
        (encoder.num_layers, decoder.num_layers),
        decoder.num_heads,
        pre_norm=decoder.norm_first,
        activation=_activation(decoder.activation, specs),
    )
    for side, stack in ((spec.encoder, encoder), (spec.decoder, decoder)):
        _fill_positions(side.position_encodings, stack)
        if stack.final_norm is not None:
            _fill_norm(side.layer_norm, stack.final_norm)
    spec.encoder.embeddings[0].weight = _array(encoder.pos_embedding.embedding.embeddings)
    spec.decoder.embeddings.weight = _array(decoder.pos_embedding.embedding.embeddings)
    for side, layer in zip(spec.encoder.layer, encoder.enc_layers, strict=True):
        side.self_attention = _attention(layer.self_attention, specs, self_attention=True)
        _fill_feed_forward(side.ffn, layer.ffn)
    for side, layer in zip(spec.decoder.layer, decoder.dec_layers, strict=True):
        side.self_attention = _attention(layer.causal_self_attention, specs, self_attention=True)
        side.attention = _attention(layer.cross_attention, specs, self_attention=False)
        _fill_feed_forward(side.ffn, layer.ffn)
    kernel, bias, transposed = model.output_projection()
    spec.decoder.projection.weight = _array(kernel) if transposed else _array(kernel).T
    if bias is not None:
        spec.decoder.projection.bias = _array(bias)
    return spec


def _activation(activation, specs):
    if activation not in _ACTIVATIONS:
        names = ", ".join(sorted(known.__name__ for known in _ACTIVATIONS))
        raise InputError(
            f"CTranslate2 has no activation {keras.activations.serialize(activation)!r}: export a "
            f"saved_model, or train with one of {names}."
        )
    return specs.Activation[_ACTIVATIONS[activation]]


def _fill_positions(side, stack):
    if stack.positions == "rotary":
        return  # the attention layers rotate
    if stack.positions == "none":  # without a table there would be sinusoids
        side.encodings = np.zeros((stack.max_length, stack.d_model), np.float32)
    else:
        side.encodings = _array(stack.pos_embedding.pos_encoding)


def _attention(sublayer, specs, *, self_attention: bool):
    """The specification of an attention sub-layer: linear layers and normalisation."""
    mha = sublayer.mha
    key_dim = mha.query_dense.kernel.shape[-1]
    spec = specs.attention_spec.MultiHeadAttentionSpec(
        self_attention=self_attention,
        head_dim=key_dim,
        rotary_dim=key_dim if mha.rotary else None,
        rotary_interleave=False,  # pairs lie half a head apart, as in `rotate`
    )
    _fill_norm(spec.layer_norm, sublayer.layernorm)
    groups = ((mha.query_dense, mha.key_dense, mha.value_dense),)
    if not self_attention:
        groups = ((mha.query_dense,), (mha.key_dense, mha.value_dense))
    for linear, layers in zip(spec.linear, groups, strict=False):
        # kernels (width, heads, key_dim), biases (heads, key_dim); wanted is (output, input)
        linear.weight = np.concatenate(
            [_array(layer.kernel).reshape(layer.kernel.shape[0], -1).T for layer in layers]
        )
        linear.bias = np.concatenate([_array(layer.bias).reshape(-1) for layer in layers])
    output = mha.output_dense  # kernel (heads, key_dim, width)
    spec.linear[-1].weight = _array(output.kernel).reshape(-1, output.kernel.shape[-1]).T
    spec.linear[-1].bias = _array(output.bias)
    return spec


def _fill_feed_forward(side, ffn):
    _fill_norm(side.layer_norm, ffn.layer_norm)
    for linear, layer in zip((side.linear_0, side.linear_1), ffn.seq.layers, strict=False):
        linear.weight, linear.bias = _array(layer.kernel).T, _array(layer.bias)


def _fill_norm(side, norm):
    side.gamma, side.beta = _array(norm.gamma), _array(norm.beta)


def _array(weight) -> np.ndarray:
    return keras.ops.convert_to_numpy(weight).astype(np.float32)


def _readme(tokenizers, limits: dict) -> str:
    source, target = tokenizers.source, tokenizers.target
    code = ""
    marked = "factored" in (source.case, target.case)
    if source.kind == target.kind and source.kind in TEMPLATE_KINDS and not marked:
        source_stem, target_stem = ("shared",) * 2 if tokenizers.shared else ("source", "target")
        code = read_template(f"ctranslate2_{source.kind}").format(
            style=normalized_text(source.normalization, source.case),
            source_file=f"{source_stem}.{source.file_suffix}",
            target_file=f"{target_stem}.{source.file_suffix}",
            **limits,
        )
    return read_template("ctranslate2").format(
        title=translation_title(tokenizers.source_language, tokenizers.target_language),
        version=keras_transformer.__version__,
        code=f"{code}\n" if code else "",
        **limits,
    )
