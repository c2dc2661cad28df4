"""Checkpoints of the Vision Transformer: ``ViTModel`` and ``ViTForImageClassification``.

A `ViT` has no pooler, the layer after the class token that classification does without, and no
mask token, the vector of hidden patches in pre-training: their weights are kept and written back.
"""

from keras_transformer.interop.encoder_layers import encoder_layers
from keras_transformer.interop.family import (
    Config,
    Family,
    activation_name,
    labels,
    number_of_labels,
    refuse_unless,
)
from keras_transformer.interop.mapping import Convolution, Entry, Same, linear, norms
from keras_transformer.models.vit import ViT

_LAYER = {  # see `encoder_layers`
    "query": "attention.attention.query",
    "key": "attention.attention.key",
    "value": "attention.attention.value",
    "output": "attention.output.dense",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "attention_norm": "layernorm_before",
    "feed_forward_norm": "layernorm_after",
}


class ViTFamily(Family):
    """``ViTModel`` and ``ViTForImageClassification``."""

    model_type = "vit"
    prefix = "vit."
    heads = ("classifier.",)
    architectures = ("ViTModel", "ViTForImageClassification")
    body = "ViTModel"
    kept = r"vit\.(pooler\.dense\.(weight|bias)|embeddings\.mask_token)"

    def make(self, config: Config, architecture, names, arguments):
        config.require(qkv_bias=True)
        dropout = config.get("hidden_dropout_prob", 0.0)
        classes = None if architecture == self.body else number_of_labels(config)
        return ViT(
            **{
                "image_size": config["image_size"],
                "patch_size": config["patch_size"],
                "num_classes": classes,
                "num_layers": config["num_hidden_layers"],
                "d_model": config["hidden_size"],
                "num_heads": config["num_attention_heads"],
                "dff": config["intermediate_size"],
                "channels": config.get("num_channels", 3),
                "dropout_rate": dropout,
                "attention_dropout_rate": config.get("attention_probs_dropout_prob", 0.0),
                "activation": config.activation("hidden_act", "gelu"),
                "layer_norm_epsilon": config.get("layer_norm_eps", 1e-12),
                **arguments,
            }
        )

    def holds(self, model):
        return isinstance(model, ViT)

    def entries(self, model):
        width = model.encoder.d_model
        patches = "embeddings.patch_embeddings.projection"
        table = [
            Entry("vit.embeddings.cls_token", ("positions.class_vector",), Same((1, 1, width))),
            Entry(
                "vit.embeddings.position_embeddings", ("positions.positions",), Same((1, -1, width))
            ),
            *linear({f"vit.{patches}": "patch_embedding"}, kernel=Convolution(model.patch_size)),
            *norms({"vit.layernorm": "encoder.final_norm"}),
        ]
        for i in range(model.encoder.num_layers):
            table += encoder_layers(f"vit.encoder.layer.{i}", f"encoder.enc_layers.{i}", _LAYER)
        if model.final_layer is not None:
            table += linear({"classifier": "final_layer"})
        return table

    def config(self, model):
        stack = model.encoder
        refuse_unless(
            model.pooling == "class_token" and stack.key_dim is None,
            "ViT",
            'pooling="class_token" and heads of d_model // num_heads',
        )
        classes = model.num_classes
        return {
            "architectures": [self.body if classes is None else self.architectures[1]],
            "model_type": self.model_type,
            "image_size": _written(model.image_size),
            "patch_size": _written(model.patch_size),
            "num_channels": model.channels,
            "num_hidden_layers": stack.num_layers,
            "hidden_size": stack.d_model,
            "num_attention_heads": stack.num_heads,
            "intermediate_size": stack.dff,
            "hidden_dropout_prob": stack.dropout_rate,
            "attention_probs_dropout_prob": stack.attention_dropout_rate,
            "hidden_act": activation_name(stack.activation),
            "layer_norm_eps": stack.layer_norm_epsilon,
            "qkv_bias": True,
            **labels(classes),
        }


def _written(size: tuple[int, int]) -> int | list[int]:
    """A size as ``config.json`` has it: one number for a square."""
    height, width = size
    return height if height == width else [height, width]
