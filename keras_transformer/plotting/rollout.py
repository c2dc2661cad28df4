"""Attention rollout of a Vision Transformer: which patches of an image its output depends on.

Quantifying Attention Flow in Transformers (arXiv 2005.00928), section 3.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_transformer.errors import InputError
from keras_transformer.layers.patches import size_pair
from keras_transformer.plotting.fonts import drawable, text_style
from keras_transformer.plotting.style import COLOUR_MAP, new_figure

_DARKEST = 0.15  # brightness where the rollout is 0


def attention_rollout(scores: Sequence[Any]) -> np.ndarray:
    """Computes the share of each input position in each output position.

    The weights of a layer are averaged over heads, the identity is added for the residual
    connection, and rows are divided by their sum. The rollout is the product over layers.

    Args:
        scores: attention weights of every layer in their order, `(batch, heads, positions,
          positions)` each, or `(heads, positions, positions)` of one image.

    Returns:
        float64 `(batch, positions, positions)`, or `(positions, positions)` of one image; rows,
        the output positions, sum to 1.

    Raises:
        InputError: when there is no layer, or one has weights of another shape.
    """
    layers = [np.asarray(layer, np.float64) for layer in scores]
    if not layers:
        raise InputError("no attention weights to roll out: give those of every layer")
    for layer in layers:
        if layer.ndim not in (3, 4) or layer.shape[-1] != layer.shape[-2]:
            raise InputError(
                f"attention weights of shape {layer.shape}: give those of self-attention, "
                "(batch, heads, positions, positions)"
            )
    identity = np.eye(layers[0].shape[-1])
    rollout = identity
    for layer in layers:
        mean = layer.mean(axis=-3)
        if mean.shape[-1] != len(identity):
            raise InputError(
                f"attention weights over {mean.shape[-1]} and over {len(identity)} positions: "
                "give all layers of one model in one call"
            )
        mixed = mean + identity
        rollout = mixed / mixed.sum(axis=-1, keepdims=True) @ rollout
    return rollout


def plot_attention_rollout(
    image: Any,
    rollout: Any,
    *,
    patch_size: int | tuple[int, int],
    title: str | None = None,
) -> Figure:
    """Draws an image, the image with its brightness scaled by the rollout, and the rollout.

    Args:
        image: `(height, width, channels)` with 1 or 3 channels, or `(height, width)`; floats from
          0 to 1, or uint8.
        rollout: of this image, from `attention_rollout`, `(positions, positions)`. The row of the
          class token, the first position, is drawn; without one the mean of all rows.
        patch_size: size of a patch in pixels, one number for squares or `(height, width)`.
        title: title of the figure.

    Returns:
        The figure. The shares of the patches and of the class token sum to 1.

    Raises:
        InputError: when image, rollout and patch size do not fit each other.
    """
    image = _pixels(image)
    shares = _shares(rollout, image.shape[:2], size_pair(patch_size, "patch_size"))
    upsampled = _upsample(shares, image.shape[:2])
    height, width = image.shape[:2]
    figure = new_figure(9.0, 0.9 + 2.6 * height / width)
    if title:
        title = drawable(title)
        figure.suptitle(title, **text_style([title]))
    panels = figure.subplots(1, 3)
    light = _DARKEST + (1 - _DARKEST) * upsampled / (upsampled.max() or 1.0)
    _show(panels[0], image, "Image")
    _show(panels[1], image * light[..., np.newaxis], "Lit by the roll-out")
    drawn = panels[2].imshow(upsampled, cmap=COLOUR_MAP, vmin=0, interpolation="nearest")
    panels[2].set_title("Roll-out")
    for axes in panels:
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(drawn, ax=panels[2], label="Share of a patch")
    return figure


def _show(axes: Any, image: np.ndarray, title: str) -> None:
    image = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title)


def _pixels(image: Any) -> np.ndarray:
    """float64 `(height, width, channels)` from 0 to 1."""
    image = np.asarray(image)
    shape = image.shape
    image = image[..., np.newaxis] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or not image.size:
        raise InputError(
            f"image of shape {shape}: give one image, (height, width) or (height, width, channels) "
            "with 1 or 3 channels"
        )
    values = image / 255 if image.dtype == np.uint8 else image.astype(np.float64)
    if not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"pixels from {values.min():g} to {values.max():g}: undo the model's normalisation and "
            "give floats from 0 to 1, or uint8"
        )
    return values


def _shares(rollout: Any, image_size: tuple[int, int], patch_size: tuple[int, int]) -> np.ndarray:
    """Share of each patch, `(rows, columns)`."""
    rollout = np.asarray(rollout, np.float64)
    if rollout.ndim != 2 or rollout.shape[0] != rollout.shape[1]:
        raise InputError(
            f"roll-out of shape {rollout.shape}: give that of one image, (positions, positions)"
        )
    rows, columns = (side // part for side, part in zip(image_size, patch_size, strict=True))
    before = len(rollout) - rows * columns
    whole = (rows * patch_size[0], columns * patch_size[1]) == tuple(image_size)
    if not whole or before not in (0, 1):
        raise InputError(
            f"roll-out over {len(rollout)} positions does not fit an image of {image_size[0]} x "
            f"{image_size[1]} in patches of {patch_size[0]} x {patch_size[1]}: give the image as "
            "the model saw it, and the model's patch size"
        )
    shares = rollout[0, 1:] if before else rollout.mean(axis=0)
    return shares.reshape(rows, columns)


def _upsample(shares: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Interpolates linearly between the centres of patches, `(height, width)`."""

    def along(values, number):
        """`(old, others)` to `(number, others)`."""
        places = (np.arange(number) + 0.5) * len(values) / number - 0.5
        columns = [np.interp(places, np.arange(len(values)), column) for column in values.T]
        return np.stack(columns, axis=1)

    return along(along(shares, image_size[0]).T, image_size[1]).T
