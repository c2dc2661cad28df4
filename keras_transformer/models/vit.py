"""The Vision Transformer: an encoder over the patches of an image.

Design choices: the encoder is that of texts, with pre-norm; images of another size than the model
was made for get interpolated positions; the constructor makes all weights. Source: An Image is
Worth 16x16 Words (arXiv 2010.11929).
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.encoder import EncoderStack
from keras_transformer.layers.patches import PatchEmbedding, PatchPositions, patch_grid, size_pair
from keras_transformer.models.base import TrainedModel

POOLINGS = ("class_token", "mean")
"""``class_token``: the vector of a learned token before the patches; ``mean``: the mean of the
patches' vectors."""


@keras.saving.register_keras_serializable("keras_transformer")
class ViT(TrainedModel):
    """Vision Transformer (An Image is Worth 16x16 Words, section 3.1).

    Args:
        image_size: size of the images, one number for squares or ``(height, width)``; a multiple
            of `patch_size`.
        patch_size: size of a patch in pixels, one number for squares or ``(height, width)``.
        num_classes: number of classes; ``None`` returns features instead of logits.
        num_layers: number of encoder layers.
        d_model: width of the model.
        num_heads: number of attention heads.
        dff: width inside the feed-forward networks.
        channels: number of channels of an image.
        pooling: one of `POOLINGS`.
        patch_method: one of `patches.METHODS`.
        positions_stddev: standard deviation of the initial positions; see `PatchPositions`.
        dropout_rate: dropout of the patches' vectors with their positions, and of the outputs of
            sub-layers.
        attention_dropout_rate: dropout of the attention weights.
        residual_dropout_rate: dropout of attention outputs before the residual is added; ``None``
            means `dropout_rate`, as in the paper.
        activation: activation inside the feed-forward networks.
        layer_norm_epsilon: added to the variance in layer normalisation; checkpoints of others
            may have 1e-12.
        attention_implementation: one of `dot_product.IMPLEMENTATIONS`; see `MultiHeadAttention`.

    Call arguments:
        images: ``(batch, height, width, channels)``, floats; positions are interpolated for sizes
            other than `image_size`.
        training: whether dropout is active.
        return_attention_scores: also return the attention weights.

    Returns:
        logits, ``(batch, num_classes)``, or features, ``(batch, d_model)``; with
        `return_attention_scores` also a list of the attention weights of every layer, each
        ``(batch, heads, positions, positions)``.

    Example:
        >>> vit = ViT(image_size=32, patch_size=4, num_classes=10, num_layers=2, d_model=64,
        ...           num_heads=4, dff=128)
        >>> vit(tf.random.uniform((2, 32, 32, 3))).shape
        TensorShape([2, 10])
    """

    def __init__(
        self,
        *,
        image_size,
        patch_size,
        num_classes,
        num_layers,
        d_model,
        num_heads,
        dff,
        channels=3,
        pooling="class_token",
        patch_method="convolution",
        positions_stddev=0.02,
        dropout_rate=0.1,
        attention_dropout_rate=0.0,
        residual_dropout_rate=None,
        activation="gelu",
        layer_norm_epsilon=1e-6,
        attention_implementation="auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if pooling not in POOLINGS:
            raise InputError(f"pooling is one of {', '.join(POOLINGS)}; got {pooling!r}.")
        self.image_size = size_pair(image_size, "image_size")
        self.patch_size = size_pair(patch_size, "patch_size")
        self.num_classes = None if num_classes is None else int(num_classes)
        self.channels = int(channels)
        self.pooling = pooling
        self.patch_embedding = PatchEmbedding(
            patch_size=self.patch_size,
            d_model=d_model,
            method=patch_method,
            dtype=self.dtype_policy,
        )
        self.positions = PatchPositions(
            grid=patch_grid(self.image_size, self.patch_size),
            class_token=pooling == "class_token",
            positions_stddev=positions_stddev,
            dtype=self.dtype_policy,
        )
        self.encoder = EncoderStack(
            num_layers=num_layers,
            d_model=d_model,
            num_heads=num_heads,
            dff=dff,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            residual_dropout_rate=(
                dropout_rate if residual_dropout_rate is None else residual_dropout_rate
            ),
            activation=activation,
            norm_first=True,
            layer_norm_epsilon=layer_norm_epsilon,
            attention_implementation=attention_implementation,
            dtype=self.dtype_policy,
        )
        self.final_layer = (
            None
            if self.num_classes is None
            else keras.layers.Dense(self.num_classes, dtype=self.dtype_policy)
        )
        self.build((None, None, None, self.channels))

    def build(self, input_shape):
        if self.built:
            return
        vectors_shape = (None, None, self.encoder.d_model)
        self.patch_embedding.build(input_shape)
        self.positions.build(vectors_shape)
        self.encoder.build(vectors_shape)
        if self.final_layer is not None:
            self.final_layer.build((None, self.encoder.d_model))
        self.built = True

    def call(self, images, training=None, return_attention_scores=False):
        x = self.sequence_output(images, training, return_attention_scores)
        x, scores = x if return_attention_scores else (x, None)
        features = x[:, 0] if self.pooling == "class_token" else tf.reduce_mean(x, axis=1)
        result = features if self.final_layer is None else self.final_layer(features)
        return (result, scores) if return_attention_scores else result

    def sequence_output(self, images, training=None, return_attention_scores=False):
        """Vectors of all positions after the last layer.

        Args:
            images, training, return_attention_scores: as in the call.

        Returns:
            ``(batch, positions, d_model)``, with a class token that one's first, then the patches'
            row by row; with `return_attention_scores` also a list of the attention weights.
        """
        x = self.positions(self.patch_embedding(images), grid=self._grid(images))
        return self.encoder(x, training=training, return_attention_scores=return_attention_scores)

    def _grid(self, images):
        """``(rows, columns)`` of patches; integers where the size is known, else tensors."""
        dynamic = tf.shape(images)
        return tuple(
            (dynamic[axis] if images.shape[axis] is None else images.shape[axis]) // side
            for axis, side in zip((1, 2), self.patch_size, strict=True)
        )

    def get_config(self):
        encoder = self.encoder.get_config()
        names = ("num_layers", "d_model", "num_heads", "dff", "dropout_rate")
        names += ("attention_dropout_rate", "residual_dropout_rate", "activation")
        names += ("layer_norm_epsilon", "attention_implementation")
        return {
            **super().get_config(),
            "name": self.name,
            "dtype": encoder["dtype"],
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "num_classes": self.num_classes,
            "channels": self.channels,
            "pooling": self.pooling,
            "patch_method": self.patch_embedding.method,
            "positions_stddev": self.positions.positions_stddev,
            **{name: encoder[name] for name in names},
        }
