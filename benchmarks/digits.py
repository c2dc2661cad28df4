"""python benchmarks/digits.py [--seeds N ...] [--epochs N] [--tune] [--json FILE]

How well a small Vision Transformer reads handwritten digits, and how long it learns: scikit-learn's
1,797 images of 8 x 8 pixels, next to peers of scikit-learn on the same images in the same run.

Four fifths of the images train and one fifth, 360, is held out, by a fixed stratified split. The
model, a class token and 16 patches of 2 x 2 pixels, sees most images turned, stretched, sheared and
shifted a little, with other contrast and some noise, anew in every epoch; peers see them as they
are, and so does the model when it is scored. Weights after the last epoch count: the held-out
images choose nothing. What was chosen was chosen with `--tune`, which sets a fifth of the training
images aside and scores on these instead. Every seed is reported; it sets the first weights, the
order of the images, their changes and dropout. The support vector machine has the kernel width of
scikit-learn's own example.

Seconds are those on the clock; CPU seconds add up all cores and hold on a busy machine too.

    pip install scikit-learn
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from common import cores, machine, positive, say, use_threads, write_result

MODEL = {
    "image_size": 8,
    "patch_size": 2,
    "channels": 1,
    "num_classes": 10,
    "num_layers": 4,
    "d_model": 64,
    "num_heads": 4,
    "dff": 128,
    "dropout_rate": 0.1,
    "positions_stddev": 0.5,  # patches of four pixels are little without their place
}
EPOCHS = 120
BATCH_SIZE = 64
LEARNING_RATE = 2e-3  # the highest, after a tenth of the steps
WEIGHT_DECAY = 0.05
LARGEST_TURN = math.radians(15)
LARGEST_STRETCH = 0.15  # logarithm of a factor, for each axis its own
LARGEST_SHEAR = 0.2
LARGEST_SHIFT = 1.0  # pixels, also parts of one
UNMOVED = 0.1  # share of images: those between the pixels are blurred, held-out ones are not
LARGEST_CONTRAST = 0.1  # relative
NOISE = 0.03  # standard deviation
PIXEL_MAXIMUM = 16


@dataclass(frozen=True)
class Images:
    """Images, float32 ``(images, 8, 8, 1)`` from 0 to 1, and labels, ``(images,)``."""

    train: np.ndarray
    train_labels: np.ndarray
    held_out: np.ndarray
    held_out_labels: np.ndarray


def load_images(tune: bool = False) -> Images:
    """The fixed split; with `tune` that of the training images alone."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    def split(images, labels):
        return train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)

    digits = load_digits()
    images = (digits.images[..., np.newaxis] / PIXEL_MAXIMUM).astype(np.float32)
    train, held_out, train_labels, held_out_labels = split(images, digits.target)
    if tune:
        train, held_out, train_labels, held_out_labels = split(train, train_labels)
    return Images(train, train_labels, held_out, held_out_labels)


def training_batches(images: Images, seed: int) -> Any:
    """A `tf.data.Dataset` of one epoch: another order and other changes each time."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((images.train, images.train_labels))
    dataset = dataset.shuffle(len(images.train), seed=seed).batch(BATCH_SIZE, drop_remainder=True)
    # Random operations with a seed may start again in every epoch; seeds drawn so do not.
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(dataset, seeds).map(
        lambda batch, seed: (changed(batch[0], seed), batch[1])
    )


def changed(images: Any, seed: Any) -> Any:
    """Images as they might have been written and scanned too.

    Args:
        images: ``(batch, height, width, channels)``.
        seed: two integers.
    """
    import keras
    import tensorflow as tf

    number, height, width, _ = images.shape
    moves, contrast, unmoved = tf.split(
        tf.random.stateless_uniform((8, number, 1, 1, 1), seed, -1, 1), [6, 1, 1]
    )
    moved = keras.ops.image.affine_transform(
        images,
        affine_maps(tf.reshape(moves, (6, number)), height, width),
        interpolation="bilinear",
        fill_mode="constant",
        fill_value=0.0,
        data_format="channels_last",
    )
    result = tf.where(unmoved[0] < 2 * UNMOVED - 1, images, moved)
    noise = tf.random.stateless_normal(images.shape, seed + 1, stddev=NOISE)
    return result * (1 + LARGEST_CONTRAST * contrast[0]) + noise


def affine_maps(moves: Any, height: int, width: int) -> Any:
    """Where pixels of moved images come from; the centre stays, short of the shift.

    Args:
        moves: ``(6, batch)``, from -1 to 1: turn, stretches, shear and shifts.
        height, width: of the images.

    Returns:
        ``(batch, 8)``, as `keras.ops.image.affine_transform` takes them.
    """
    import tensorflow as tf

    turn, stretch_x, stretch_y, shear, shift_x, shift_y = tf.unstack(moves)
    cosine, sine = tf.cos(LARGEST_TURN * turn), tf.sin(LARGEST_TURN * turn)
    stretch_x, stretch_y = (tf.exp(LARGEST_STRETCH * each) for each in (stretch_x, stretch_y))
    shear = LARGEST_SHEAR * shear
    # The product of a turn, a shear and stretches: x' = a x + b y + x0, y' = c x + d y + y0.
    a, b = cosine * stretch_x, (cosine * shear - sine) * stretch_y
    c, d = sine * stretch_x, (sine * shear + cosine) * stretch_y
    x, y = (width - 1) / 2, (height - 1) / 2
    x0 = x - a * x - b * y + LARGEST_SHIFT * shift_x
    y0 = y - c * x - d * y + LARGEST_SHIFT * shift_y
    zero = tf.zeros_like(a)
    return tf.stack([a, b, x0, c, d, y0, zero, zero], axis=1)


def train_vit(images: Images, seed: int, epochs: int = EPOCHS) -> Any:
    """A trained `ViT`."""
    import keras

    from keras_transformer.models.vit import ViT

    keras.utils.set_random_seed(seed)
    model = ViT(**MODEL)
    batches = training_batches(images, seed)
    steps = epochs * len(batches)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 10, warmup_target=LEARNING_RATE, warmup_steps=steps // 10
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0)
    return model


def accuracy(model: Any, images: Images) -> float:
    """Share of the held-out images that are read right."""
    logits = model(images.held_out, training=False)
    return float(np.mean(np.argmax(logits, axis=-1) == images.held_out_labels))


def vit_row(images: Images, seed: int, epochs: int) -> dict[str, Any]:
    model, times = timed(lambda: train_vit(images, seed, epochs))
    return {
        "model": "ViT",
        "seed": seed,
        "parameters": model.count_params(),
        **times,
        "accuracy": accuracy(model, images),
    }


def peer_rows(images: Images) -> list[dict[str, Any]]:
    """A row for each peer; scikit-learn's take pixels as they are, from 0 to 16."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    def pixels(part):
        return part.reshape(len(part), -1) * PIXEL_MAXIMUM

    peers = {
        "SVC(gamma=0.001)": (SVC(gamma=0.001), lambda peer: peer.support_vectors_.size),
        "logistic regression": (
            LogisticRegression(max_iter=5000),
            lambda peer: peer.coef_.size + peer.intercept_.size,
        ),
    }
    rows = []
    for name, (peer, count) in peers.items():
        _, times = timed(lambda peer=peer: peer.fit(pixels(images.train), images.train_labels))
        score = float(peer.score(pixels(images.held_out), images.held_out_labels))
        row = {"model": name, "seed": None, "parameters": int(count(peer))}
        rows.append({**row, **times, "accuracy": score})
    return rows


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    started, cpu_started = perf_counter(), process_time()
    result = work()
    times = {"seconds": perf_counter() - started, "cpu_seconds": process_time() - cpu_started}
    return result, times


def table(rows: list[dict[str, Any]]) -> str:
    """The rows, aligned, and the median of the seeds."""
    lines = [
        f"{'model':20}{'seed':>6}{'parameters':>12}{'seconds':>10}{'CPU s':>9}{'accuracy':>11}"
    ]
    for row in rows:
        seed = "" if row["seed"] is None else row["seed"]
        lines.append(
            f"{row['model']:20}{seed:>6}{row['parameters']:12,}{row['seconds']:10.1f}"
            f"{row['cpu_seconds']:9.1f}{100 * row['accuracy']:9.2f} %"
        )
    median = statistics.median(row["accuracy"] for row in rows if row["seed"] is not None)
    return "\n".join([*lines, f"median of the seeds: {100 * median:.2f} %"])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=positive, default=EPOCHS)
    parser.add_argument(
        "--tune", action="store_true", help="score on a part of the training images"
    )
    parser.add_argument("--threads", type=positive, default=cores())
    parser.add_argument(
        "--json", type=Path, help="where the result goes; a temporary file if unset"
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    host = machine()
    use_threads(arguments.threads)
    images = load_images(arguments.tune)
    rows = peer_rows(images)
    for seed in arguments.seeds:
        say(f"ViT, seed {seed}")
        rows.append(vit_row(images, seed, arguments.epochs))
    print(table(rows))
    settings = {"model": MODEL, "images": len(images.train), "held_out": len(images.held_out)}
    write_result(arguments, host, settings, rows=rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
