"""Checkpoints of GPT-2: ``GPT2Model`` and ``GPT2LMHeadModel`` as a `GPT`.

Id 0 of a checkpoint is a token; here it is padding, so ids here are larger by 1. Padding is never
predicted, by an output bias that is not trained: the zeros of its vector alone would make it
likely, since logits of GPT-2 are far below 0.
"""

from dataclasses import dataclass

import numpy as np

from keras_transformer.interop.family import Config, Family, activation_name, refuse_unless
from keras_transformer.interop.mapping import Entry, Form, Joined, Kernel, Same, linear, norms
from keras_transformer.interop.marian import FORBIDDEN
from keras_transformer.models.gpt import GPT
from keras_transformer.special_tokens import END, PAD, START

OFFSET = 1
"""Ids of this package less those of a checkpoint."""


@dataclass(frozen=True)
class Vectors(Form):
    """The embeddings of the tokens, after a row of zeros for padding."""

    def ours(self, tensor, shapes):
        return [np.pad(tensor, ((OFFSET, 0), (0, 0)))]

    def theirs(self, arrays):
        return arrays[0][OFFSET:]


class GPT2Family(Family):
    """``GPT2Model`` and ``GPT2LMHeadModel``."""

    model_type = "gpt2"
    prefix = "transformer."
    heads = ("lm_head.",)
    architectures = ("GPT2LMHeadModel", "GPT2Model")
    body = "GPT2Model"
    redundant = r"transformer\.h\.\d+\.attn\.(masked_)?bias"  # the causal mask, in old versions

    def make(self, config: Config, architecture, names, arguments):
        config.require(
            add_cross_attention=False,
            scale_attn_weights=True,
            scale_attn_by_inverse_layer_idx=False,
            tie_word_embeddings=True,
        )
        return GPT(
            **{
                "vocab_size": config["vocab_size"] + OFFSET,
                "num_layers": config["n_layer"],
                "d_model": config["n_embd"],
                "num_heads": config["n_head"],
                "dff": config.get("n_inner"),
                "max_length": config["n_positions"],
                "dropout_rate": config.get("embd_pdrop", 0.1),
                "attention_dropout_rate": config.get("attn_pdrop", 0.1),
                "residual_dropout_rate": config.get("resid_pdrop", 0.1),
                "activation": config.activation("activation_function", "gelu_new"),
                "layer_norm_epsilon": config.get("layer_norm_epsilon", 1e-5),
                "tie_output": True,
                "output_bias": True,
                **arguments,
            }
        )

    def finished(self, model):
        if model.tied_bias is not None:
            bias = np.zeros(model.vocab_size)
            bias[PAD] = FORBIDDEN
            model.tied_bias.assign(bias)
            model.tied_bias.trainable = False
        return model

    def holds(self, model):
        return isinstance(model, GPT)

    def tied(self, model):
        return {"lm_head.weight": "transformer.wte.weight"}

    def entries(self, model):
        table = [
            Entry("transformer.wte.weight", ("pos_embedding.embedding.embeddings",), Vectors()),
            Entry("transformer.wpe.weight", ("pos_embedding.pos_encoding",)),
            *norms({"transformer.ln_f": "stack.final_norm"}),
        ]
        for i in range(model.stack.num_layers):
            table += _layer(f"transformer.h.{i}", f"stack.enc_layers.{i}")
        return table

    def config(self, model):
        stack = model.stack
        bias = np.zeros(1) if model.tied_bias is None else np.asarray(model.tied_bias)
        refuse_unless(
            stack.norm_first
            and model.pos_embedding.positions == "learned"
            and stack.key_dim is None
            and model.tie_output
            and not np.any(bias[OFFSET:]),
            "GPT-2",
            "pre-norm, learned positions, heads of d_model // num_heads, a tied output and no "
            "output bias but that of padding",
        )
        attention_dropout = stack.attention_dropout_rate
        return {
            "architectures": [self.architectures[0]],
            "model_type": self.model_type,
            "vocab_size": model.vocab_size - OFFSET,
            "n_layer": stack.num_layers,
            "n_embd": stack.d_model,
            "n_head": stack.num_heads,
            "n_inner": stack.dff,
            "n_positions": model.max_length,
            "embd_pdrop": stack.dropout_rate,
            "attn_pdrop": stack.dropout_rate if attention_dropout is None else attention_dropout,
            "resid_pdrop": stack.residual_dropout_rate,
            "activation_function": activation_name(stack.activation),
            "layer_norm_epsilon": stack.layer_norm_epsilon,
            "tie_word_embeddings": True,
        }

    def fresh_config(self, model):
        return {"bos_token_id": START - OFFSET, "eos_token_id": END - OFFSET}


def _layer(theirs: str, ours: str):
    """Table entries for one layer, whose matrices are ``(input, output)``, unlike others'."""
    attention, ffn = f"{ours}.self_attention", f"{ours}.ffn"
    parts = [f"{attention}.mha.{part}_dense" for part in ("query", "key", "value")]
    matrix = Kernel(transposed=True)
    yield Entry(
        f"{theirs}.attn.c_attn.weight", tuple(f"{part}.kernel" for part in parts), Joined(matrix)
    )
    yield Entry(
        f"{theirs}.attn.c_attn.bias", tuple(f"{part}.bias" for part in parts), Joined(Same((-1,)))
    )
    yield from linear(
        {f"{theirs}.attn.c_proj": f"{attention}.mha.output_dense"},
        kernel=Kernel(inputs=2, transposed=True),
    )
    yield from linear(
        {
            f"{theirs}.mlp.c_fc": f"{ffn}.seq.layers.0",
            f"{theirs}.mlp.c_proj": f"{ffn}.seq.layers.1",
        },
        kernel=matrix,
    )
    yield from norms(
        {f"{theirs}.ln_1": f"{attention}.layernorm", f"{theirs}.ln_2": f"{ffn}.layer_norm"}
    )
