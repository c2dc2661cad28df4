"""Checkpoints of Marian's translation models: ``MarianMTModel`` as a `Transformer`.

In a checkpoint id 0 is ``</s>``, 1 ``<unk>``, and the last ``<pad>``, which also starts a target;
here 0 is `[PAD]`, 1 `[UNK]`, 2 `[START]`, 3 `[END]`. So the row of ``<pad>`` becomes two rows, and
all ordinary tokens move up by two. `[START]` is never predicted: its bias forbids it.

A `DecodingConfig` with ``beam_size=4`` gives the translations that `transformers` gives with
``num_beams=4, early_stopping=True, renormalize_logits=True`` and the padding in ``bad_words_ids``.
Its ``early_stopping="never"`` is ``early_stopping=False`` here; `length_penalty` means the same.

Source of the architecture: Marian (Junczys-Dowmunt et al. 2018, https://aclanthology.org/P18-4020).
"""

from dataclasses import dataclass

import numpy as np

from keras_transformer.interop.family import Config, Family, activation_name, refuse_unless
from keras_transformer.interop.mapping import Entry, Form, Kernel, linear, norms
from keras_transformer.models.transformer import Transformer
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START, UNK

FORBIDDEN = -1e4
"""Bias of a token that is never predicted: its probability is exactly 0, without overflow in
16 bits or in losses with label smoothing."""

THEIR_END, THEIR_UNK = 0, 1


def their_ids(size: int) -> np.ndarray:
    """Ids of a checkpoint of `size` tokens by those of this package, int ``(size + 1,)``."""
    ids = np.arange(-len(RESERVED_TOKENS) + 2, size - 1)  # all but the padding, moved up by two
    ids[[PAD, UNK, START, END]] = size - 1, THEIR_UNK, size - 1, THEIR_END
    return ids


def our_ids(size: int) -> np.ndarray:
    """Ids of this package by those of a checkpoint of `size` tokens, int ``(size,)``."""
    ids = np.arange(size) + 2
    ids[[THEIR_END, THEIR_UNK, size - 1]] = END, UNK, PAD
    return ids


@dataclass(frozen=True)
class Vectors(Form):
    """The embeddings of the tokens; the row of a checkpoint's padding is that of `[START]`."""

    def ours(self, tensor, shapes):
        return [tensor[their_ids(len(tensor))]]

    def theirs(self, arrays):
        ids = our_ids(len(arrays[0]) - 1)
        ids[-1] = START
        return arrays[0][ids]


@dataclass(frozen=True)
class OutputBias(Form):
    """The bias of the logits, ``(1, tokens)`` in a checkpoint."""

    def ours(self, tensor, shapes):
        bias = tensor[0][their_ids(tensor.shape[1])]
        bias[START] = FORBIDDEN
        return [bias]

    def theirs(self, arrays):
        return arrays[0][our_ids(len(arrays[0]) - 1)][np.newaxis]


_ATTENTION = {
    "q_proj": ("query_dense", Kernel()),
    "k_proj": ("key_dense", Kernel()),
    "v_proj": ("value_dense", Kernel()),
    "out_proj": ("output_dense", Kernel(inputs=2)),
}
_SIDES = {  # stack -> its layers here, and its attentions here by their names in a checkpoint
    "encoder": ("encoder.enc_layers", {"self_attn": "self_attention"}),
    "decoder": (
        "decoder.dec_layers",
        {"self_attn": "causal_self_attention", "encoder_attn": "cross_attention"},
    ),
}
_FEED_FORWARD = {"fc1": "ffn.seq.layers.0", "fc2": "ffn.seq.layers.1"}


class MarianFamily(Family):
    """``MarianMTModel``."""

    model_type = "marian"
    prefix = "model."
    heads = ("final_logits_bias", "lm_head.")
    architectures = ("MarianMTModel",)
    body = None
    redundant = r"model\.(encoder|decoder)\.embed_positions\.weight"

    def make(self, config: Config, architecture, names, arguments):
        config.require(
            scale_embedding=True,
            tie_word_embeddings=True,
            normalize_before=False,
            normalize_embedding=False,
            add_final_layer_norm=False,
            static_position_embeddings=True,
            eos_token_id=THEIR_END,
        )
        size = config["vocab_size"]
        last = size - 1
        config.require(decoder_vocab_size=size, pad_token_id=last, decoder_start_token_id=last)
        for name in ("attention_heads", "ffn_dim"):
            config.require(**{f"decoder_{name}": config[f"encoder_{name}"]})
        dropout = config.get("dropout", 0.1)
        return Transformer(
            **{
                "num_encoder_layers": config["encoder_layers"],
                "num_decoder_layers": config["decoder_layers"],
                "d_model": config["d_model"],
                "num_heads": config["encoder_attention_heads"],
                "dff": config["encoder_ffn_dim"],
                "input_vocab_size": size + 1,
                "target_vocab_size": size + 1,
                "dropout_rate": dropout,
                "attention_dropout_rate": config.get("attention_dropout", 0.0),
                "residual_dropout_rate": dropout,
                "activation": config.activation("activation_function", "gelu"),
                "layer_norm_epsilon": 1e-5,
                "positions": "sinusoidal",
                "max_length": config["max_position_embeddings"],
                "share_embeddings": config.get("share_encoder_decoder_embeddings", True),
                "tie_output": True,
                "output_bias": True,
                **arguments,
            }
        )

    def holds(self, model):
        return isinstance(model, Transformer)

    def tied(self, model):
        if model.share_embeddings:
            names = ("model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head")
            return {f"{name}.weight": "model.shared.weight" for name in names}
        return {"lm_head.weight": "model.decoder.embed_tokens.weight"}

    def entries(self, model):
        embedding = ".pos_embedding.embedding.embeddings"
        tables = {"model.shared": "encoder"}
        if not model.share_embeddings:
            tables = {f"model.{side}.embed_tokens": side for side in _SIDES}
        table = [
            Entry(f"{name}.weight", (f"{side}{embedding}",), Vectors())
            for name, side in tables.items()
        ]
        table.append(Entry("final_logits_bias", ("tied_bias",), OutputBias()))
        for side in _SIDES:
            for i in range(getattr(model, side).num_layers):
                table += _layer(side, i)
        return table

    def config(self, model):
        stack = model.decoder
        refuse_unless(
            isinstance(model, Transformer)
            and not stack.norm_first
            and stack.positions == "sinusoidal"
            and stack.key_dim in (None, stack.d_model // stack.num_heads)
            and stack.layer_norm_epsilon == 1e-5
            and stack.pos_embedding.token_vectors == "learned"
            and model.output_bias
            and model.input_vocab_size == model.target_vocab_size,
            "Marian",
            "post-norm, sinusoidal positions, d_model // num_heads as the size of a head, "
            "layer_norm_epsilon=1e-5, learned token vectors, tie_output and output_bias, and as "
            "many source tokens as target tokens",
        )
        size = model.target_vocab_size - 1
        both_sides = {
            "attention_heads": stack.num_heads,
            "ffn_dim": stack.dff,
        }
        attention_dropout = stack.attention_dropout_rate
        return {
            "architectures": ["MarianMTModel"],
            "model_type": self.model_type,
            "is_encoder_decoder": True,
            "vocab_size": size,
            "decoder_vocab_size": size,
            "d_model": stack.d_model,
            **{f"{side}_{name}": n for side in _SIDES for name, n in both_sides.items()},
            **{f"{side}_layers": getattr(model, side).num_layers for side in _SIDES},
            "activation_function": activation_name(stack.activation),
            "dropout": stack.dropout_rate,
            "attention_dropout": (
                stack.dropout_rate if attention_dropout is None else attention_dropout
            ),
            "max_position_embeddings": stack.max_length,
            "scale_embedding": True,
            "share_encoder_decoder_embeddings": model.share_embeddings,
            "tie_word_embeddings": True,
            "eos_token_id": THEIR_END,
            "pad_token_id": size - 1,
            "decoder_start_token_id": size - 1,
            "forced_eos_token_id": THEIR_END,
        }

    def generation(self, model):
        size = model.target_vocab_size - 1
        return {
            "decoder_start_token_id": size - 1,
            "pad_token_id": size - 1,
            "bad_words_ids": [[size - 1]],
            "eos_token_id": THEIR_END,
            "forced_eos_token_id": THEIR_END,
            "max_length": model.max_length,
            "renormalize_logits": True,
        }


def _layer(side: str, i: int):
    """Table entries for one layer of a stack."""
    layers, attentions = _SIDES[side]
    ours, theirs = f"{layers}.{i}", f"model.{side}.layers.{i}"
    names = {}
    for their_attention, our_attention in attentions.items():
        path, name = f"{ours}.{our_attention}", f"{theirs}.{their_attention}"
        for part, (dense, kernel) in _ATTENTION.items():
            yield from linear({f"{name}.{part}": f"{path}.mha.{dense}"}, kernel=kernel)
        names[f"{name}_layer_norm"] = f"{path}.layernorm"
    names[f"{theirs}.final_layer_norm"] = f"{ours}.ffn.layer_norm"
    yield from norms(names)
    yield from linear({f"{theirs}.{n}": f"{ours}.{path}" for n, path in _FEED_FORWARD.items()})
