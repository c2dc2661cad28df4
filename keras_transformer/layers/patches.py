"""Patch embedding of images, with class token and learned positions.

An Image is Worth 16x16 Words (arXiv 2010.11929), section 3.1; section 3.2 for images of another
size.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError

METHODS = ("convolution", "dense")
"""``convolution``: a convolution whose stride is its kernel's size; ``dense``: a matrix product of
the pixels of each patch. The same function of the same weights."""

# PyTorch's free parameter of cubic convolution (Keys 1981), for which published checkpoints were
# made; TensorFlow's is -0.5.
_CUBIC = -0.75


def size_pair(size, name) -> tuple[int, int]:
    """``(height, width)`` of a size, which is one number for a square, or a pair.

    Raises:
        ValueError: for anything but positive whole numbers; the message calls them `name`.
    """
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2 or not all(_is_count(side) for side in pair):
        raise InputError(f"{name} is a whole number from 1 on, or (height, width); got {size!r}.")
    return int(pair[0]), int(pair[1])


def _is_count(number) -> bool:
    return (
        isinstance(number, int | float | np.number)
        and math.isfinite(number)
        and number == int(number) >= 1
    )


def patch_grid(image_size, patch_size) -> tuple[int, int]:
    """Number of patches of an image, ``(rows, columns)``.

    Args:
        image_size: ``(height, width)``.
        patch_size: that of a patch.

    Raises:
        ValueError: for an image size that is not a multiple of the patch size.
    """
    rows, columns = (side // part for side, part in zip(image_size, patch_size, strict=True))
    if (rows * patch_size[0], columns * patch_size[1]) != tuple(image_size):
        raise InputError(
            f"An image of {image_size[0]} x {image_size[1]} is not a whole number of patches of "
            f"{patch_size[0]} x {patch_size[1]}. Resize or crop it to a multiple of the patch size."
        )
    return rows, columns


def interpolate_positions(positions, old_grid, new_grid) -> tf.Tensor:
    """Interpolates positions, learned on one grid of patches, to another grid (section 3.2).

    Args:
        positions: ``(rows * columns, d_model)``, row by row; or one vector more, that of the class
            token, before them, which does not change.
        old_grid: ``(rows, columns)`` of `positions`.
        new_grid: ``(rows, columns)`` of the result; integers or scalar tensors.

    Returns:
        positions for `new_grid`, in the same order and dtype, by bicubic interpolation.

    Raises:
        ValueError: for positions of another number than `old_grid` has.
    """
    positions = tf.convert_to_tensor(positions)
    number, width = positions.shape
    rows, columns = old_grid
    before = number - rows * columns
    if before not in (0, 1):
        raise InputError(
            f"{number} positions do not fit a grid of {rows} x {columns} patches, with or without "
            "a class token. Give the grid that they were learned on."
        )
    plane = tf.reshape(tf.cast(positions[before:], tf.float32), (rows, columns, width))
    plane = tf.einsum("ir,rcd->icd", _cubic_weights(rows, new_grid[0]), plane)
    plane = tf.einsum("jc,icd->ijd", _cubic_weights(columns, new_grid[1]), plane)
    plane = tf.cast(tf.reshape(plane, (-1, width)), positions.dtype)
    return tf.concat([positions[:before], plane], axis=0)


def _cubic_weights(old, new) -> tf.Tensor:
    """Weights of the `old` points on a line for each of the `new`, ``(new, old)``."""
    places = (tf.range(new, dtype=tf.float32) + 0.5) * (old / tf.cast(new, tf.float32)) - 0.5
    nearest = tf.floor(places)
    weights = 0.0
    for offset in (-1, 0, 1, 2):
        neighbour = nearest + offset
        # Beyond the border, the point on it.
        index = tf.cast(tf.clip_by_value(neighbour, 0, old - 1), tf.int32)
        weight = _cubic_kernel(tf.abs(places - neighbour))
        weights += weight[:, tf.newaxis] * tf.one_hot(index, old)
    return weights


def _cubic_kernel(distance):
    """Weights of cubic convolution at distances of at most 2."""
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
    far = _CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return tf.where(distance <= 1, near, far)


@keras.saving.register_keras_serializable("keras_transformer")
class PatchEmbedding(keras.layers.Layer):
    """Splits images into patches and projects each to a vector (section 3.1, equation 1).

    Args:
        patch_size: size of a patch in pixels, one number for squares or ``(height, width)``.
        d_model: width of the vectors.
        method: one of `METHODS`.

    Call arguments:
        images: ``(batch, height, width, channels)``, floats.

    Returns:
        ``(batch, patches, d_model)``, row by row from the top left.

    Raises:
        ValueError: for integers as pixels, another number of channels than it was built for, or a
            size that is not a multiple of the patch size.

    Example:
        >>> embed = PatchEmbedding(patch_size=16, d_model=768)
        >>> embed(tf.random.uniform((2, 224, 224, 3))).shape
        TensorShape([2, 196, 768])
    """

    def __init__(self, *, patch_size, d_model, method="convolution", **kwargs):
        super().__init__(**kwargs)
        if method not in METHODS:
            raise InputError(f"method is one of {', '.join(METHODS)}; got {method!r}.")
        self.patch_size = size_pair(patch_size, "patch_size")
        self.d_model = int(d_model)
        self.method = method

    def build(self, images_shape):
        self.channels = images_shape[-1]
        self.kernel = self.add_weight(
            shape=(*self.patch_size, self.channels, self.d_model),
            initializer="lecun_normal",
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.d_model,), initializer="zeros", name="bias")

    def call(self, images):
        images = self._checked(tf.convert_to_tensor(images))
        kernel = tf.cast(self.kernel, images.dtype)
        if self.method == "convolution":
            y = tf.nn.conv2d(images, kernel, strides=self.patch_size, padding="VALID")
            y = tf.reshape(y, (tf.shape(y)[0], -1, self.d_model))
        else:
            batch, image_height, image_width, channels = tf.unstack(tf.shape(images))
            height, width = self.patch_size
            rows, columns = image_height // height, image_width // width
            y = tf.reshape(images, (batch, rows, height, columns, width, channels))
            y = tf.transpose(y, (0, 1, 3, 2, 4, 5))  # (batch, rows, columns, patch, channels)
            y = tf.reshape(y, (-1, height * width * self.channels))
            y = tf.matmul(y, tf.reshape(kernel, (-1, self.d_model)))
            y = tf.reshape(y, (batch, rows * columns, self.d_model))
        return y + tf.cast(self.bias, y.dtype)

    def _checked(self, images):
        if images.shape.rank != 4 or images.shape[-1] != self.channels:
            raise InputError(
                f"Images are (batch, height, width, {self.channels}); got {images.shape}. Put the "
                "channels last, an axis of 1 for shades of grey."
            )
        if not images.dtype.is_floating:
            raise InputError(
                f"The pixels of images are floats; got {images.dtype.name}. Divide them by the "
                "largest value, or by what the model was trained with."
            )
        if None not in images.shape[1:3]:
            patch_grid(tuple(images.shape[1:3]), self.patch_size)
        else:
            remainder = tf.shape(images)[1:3] % self.patch_size
            height, width = self.patch_size
            message = f"Images are not a whole number of patches of {height} x {width}."
            with tf.control_dependencies([tf.debugging.assert_equal(remainder, 0, message)]):
                images = tf.identity(images)
        return tf.cast(images, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "d_model": self.d_model,
            "method": self.method,
        }


@keras.saving.register_keras_serializable("keras_transformer")
class PatchPositions(keras.layers.Layer):
    """Prepends a learned class token to the patches and adds learned positions.

    Args:
        grid: ``(rows, columns)`` of the patches; positions are interpolated for other grids.
        class_token: whether to prepend the token.
        positions_stddev: standard deviation of the initial positions, 0.02 in the paper's
            implementation. Small patches learn faster with positions of the size of their vectors.

    Call arguments:
        x: vectors of patches, ``(batch, patches, d_model)``, row by row.
        grid: ``(rows, columns)`` of `x`, integers or scalar tensors; that of the layer unless
            given.

    Returns:
        ``(batch, patches, d_model)``; with a class token ``(batch, 1 + patches, d_model)``.

    Raises:
        ValueError: for another number of patches than `grid` has.

    Example:
        >>> positions = PatchPositions(grid=(14, 14))
        >>> positions(tf.random.uniform((2, 196, 768))).shape
        TensorShape([2, 197, 768])
    """

    def __init__(self, *, grid, class_token=True, positions_stddev=0.02, **kwargs):
        super().__init__(**kwargs)
        self.grid = size_pair(grid, "grid")
        self.class_token = class_token
        self.positions_stddev = positions_stddev

    def build(self, x_shape):
        width = x_shape[-1]
        number = self.grid[0] * self.grid[1] + self.class_token
        self.positions = self.add_weight(
            shape=(number, width),
            initializer=keras.initializers.RandomNormal(stddev=self.positions_stddev),
            name="positions",
        )
        if self.class_token:
            self.class_vector = self.add_weight(
                shape=(width,), initializer="zeros", name="class_token"
            )

    def call(self, x, grid=None):
        grid = self.grid if grid is None else tuple(grid)
        known = all(isinstance(side, int) for side in grid)
        if known and x.shape[1] not in (None, grid[0] * grid[1]):
            raise InputError(
                f"{x.shape[1]} patches are not a grid of {grid[0]} x {grid[1]}. Give the rows and "
                "columns of these patches as grid."
            )
        positions = tf.convert_to_tensor(self.positions)
        if not known or grid != self.grid:
            positions = interpolate_positions(positions, self.grid, grid)
        if self.class_token:
            token = tf.cast(tf.convert_to_tensor(self.class_vector), x.dtype)
            token = tf.broadcast_to(token, (tf.shape(x)[0], 1, x.shape[-1]))
            x = tf.concat([token, x], axis=1)
        return x + tf.cast(positions, x.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "class_token": self.class_token,
            "positions_stddev": self.positions_stddev,
        }
