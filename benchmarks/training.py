"""python benchmarks/training.py [--corpus NAME] [--steps N] [--repeats N] [--variants NAME ...]

How fast one Transformer of the tutorial's size trains, here and in what else one could pick: real
target tokens per second and peak memory, on the same corpus, in one run.

Every variant and dtype runs in a process of its own, with the same number of threads. Variants
with `bucketed` batches see the same batches in the same order. The step is the whole of it: batch
to tensors, forward, loss and accuracy, backward, Adam, and the loss read back. Padding does not
count. A first part, not measured, holds one batch of every shape, so that tracing and compiling
stand apart. Of the measured steps' tokens per second the median counts; of several rounds
(`--repeats`), which take turns over the variants, the median again. Peak memory is that of the
process on the host, the highest of all rounds. What was measured is written to `--json` each time,
so that an interrupted benchmark keeps it.

All peers have dropout where the tutorial has it (embeddings, attention weights, feed-forward
outputs), no label smoothing, and explicit padding masks. `tutorial_published` differs in two more
ways, as published: heads as wide as the model, hence its parameters, and an epsilon of 1e-3 in
layer normalisation. On a GPU, Keras models with bucketed batches are compiled by XLA.

    pip install keras-hub torch      # for the variants of these libraries
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import cores, machine, positive, say, write_result

# Frameworks are imported by the process that measures them and by no other: memory that this
# process holds when it starts another would count as the peak of the other, too.

Batch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray]
"""``((source, target_in), target_out)``, int32 ``(rows, length)``."""

NUM_LAYERS, D_MODEL, NUM_HEADS, DFF, DROPOUT_RATE = 4, 128, 8, 512, 0.1
VOCAB_SIZE = 8000
MAX_TOKENS = 128  # pairs with a longer side are left out
TUTORIAL_BATCH_SIZE = 64  # pairs
LEARNING_RATE = 1e-3  # constant, so that few steps show that the loss falls
BETA_2, EPSILON = 0.98, 1e-9  # of Adam, as in the tutorial
SEED = 1


@dataclass
class Steps:
    """What a variant did, step by step.

    Attributes:
        parameters: number of weights that are trained.
        device: what the step ran on.
        seconds: duration of every step.
        losses: loss of every step.
        started: when the frameworks were imported and the model not yet built.
        first_step_seconds: from then to the end of the first step.
    """

    parameters: int = 0
    device: str = "CPU"
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    started: float = 0.0
    first_step_seconds: float = 0.0

    def start(self, device: str) -> None:
        self.device = device
        self.started = time.perf_counter()

    def add(self, seconds: float, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss of step {len(self.losses) + 1} is {loss}")
        if not self.losses:
            self.first_step_seconds = time.perf_counter() - self.started
        self.seconds.append(seconds)
        self.losses.append(loss)

    def require_falling_loss(self) -> None:
        first, last = self.losses[0], statistics.median(self.losses[-3:])
        if not last < first:
            raise ArithmeticError(f"the loss does not fall: {first:.3f} at first, {last:.3f} later")


@dataclass(frozen=True)
class Job:
    """What one process does; see `measure`."""

    variant: str
    dtype: str
    threads: int
    data: str  # folder that `prepare` wrote


# Batches.


def prepare(corpus_name: str, batch_tokens: int, steps: int, folder: Path) -> dict[str, Any]:
    """Learns the vocabularies and writes the batches of both kinds into `folder`.

    Returns:
        the sizes of the vocabularies, and the number of steps that are not measured.
    """
    import keras_transformer as kt
    from keras_transformer.data.batches.token_store import tokenize_pairs

    corpus = kt.load_corpus(corpus_name)
    tokenizers = kt.train_tokenizers(corpus, kind="wordpiece", vocab_size=VOCAB_SIZE)
    train = corpus.require("train")
    bucketed = kt.make_batches(
        train, tokenizers, batch_tokens=batch_tokens, max_tokens=MAX_TOKENS, seed=SEED
    )
    stream = endless(bucketed.as_numpy_iterator)
    measured = list(islice(filter(every_row_is_real, stream), steps))
    # One batch of every shape first, the largest at the very first.
    shapes = {target_out.shape: (inputs, target_out) for inputs, target_out in measured}
    unmeasured = [shapes[shape] for shape in sorted(shapes, key=math.prod, reverse=True)]
    pairs = tokenize_pairs(train, tokenizers, MAX_TOKENS)
    random = islice(tutorial_batches(pairs), len(unmeasured) + steps)
    write_batches(folder / "bucketed.npz", unmeasured + measured)
    write_batches(folder / "random.npz", random)
    return {
        "source_vocab_size": int(tokenizers.source.get_vocab_size()),
        "target_vocab_size": int(tokenizers.target.get_vocab_size()),
        "unmeasured_steps": len(unmeasured),
    }


def endless(epoch: Callable[[], Iterable]) -> Iterator:
    while True:
        yield from epoch()


def every_row_is_real(batch: Batch) -> bool:
    """False for the last batch of an epoch, where rows of padding would be NaN in PyTorch."""
    (source, _), target_out = batch
    return bool(source.any(axis=1).all() and target_out.any(axis=1).all())


def tutorial_batches(pairs: Any) -> Iterator[Batch]:
    """Random batches of 64 pairs, each side padded to its longest, as in the tutorial."""
    rng = np.random.default_rng(SEED)
    while True:
        order = rng.permutation(len(pairs))
        for i in range(0, len(order) - TUTORIAL_BATCH_SIZE + 1, TUTORIAL_BATCH_SIZE):
            chosen = order[i : i + TUTORIAL_BATCH_SIZE]
            source = padded(pairs.source, pairs.source_starts, chosen)
            target = padded(pairs.target, pairs.target_starts, chosen)
            yield (source, target[:, :-1]), target[:, 1:]


def padded(ids: np.ndarray, starts: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Rows of ids side by side, padded to the longest of them."""
    rows = [ids[starts[i] : starts[i + 1]] for i in chosen]
    result = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for row, values in zip(result, rows, strict=True):
        row[: len(values)] = values
    return result


def write_batches(path: Path, batches: Iterable[Batch]) -> None:
    arrays = {}
    for i, ((source, target_in), target_out) in enumerate(batches):
        arrays |= {f"{i}/0": source, f"{i}/1": target_in, f"{i}/2": target_out}
    np.savez(path, **arrays)


def read_batches(path: Path) -> list[Batch]:
    with np.load(path) as arrays:
        read = [arrays[name] for name in arrays.files]
    return [((read[i], read[i + 1]), read[i + 2]) for i in range(0, len(read), 3)]


# Variants. Each builds its model, takes every batch one step and notes time and loss.


def time_steps(step: Callable[[Batch], Any], batches: list[Batch], steps: Steps) -> None:
    """Takes a step that is a function of a batch and returns the loss."""
    for batch in batches:
        started = time.perf_counter()
        loss = float(step(batch))
        steps.add(time.perf_counter() - started, loss)


def time_fit(model: Any, batches: list[Batch], steps: Steps) -> None:
    """Trains a compiled Keras model with `fit`, its steps timed by a callback."""
    import keras
    import tensorflow as tf

    started = 0.0

    def begin(batch: int, logs: Any = None) -> None:
        nonlocal started
        model.reset_metrics()  # the logs then hold the loss of this batch alone
        started = time.perf_counter()

    def end(batch: int, logs: Any) -> None:
        loss = float(logs["loss"])
        steps.add(time.perf_counter() - started, loss)

    ids = tf.TensorSpec((None, None), tf.int32)
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=((ids, ids), ids)
    ).prefetch(4)
    timer = keras.callbacks.LambdaCallback(on_train_batch_begin=begin, on_train_batch_end=end)
    model.fit(dataset, epochs=1, shuffle=False, verbose=0, callbacks=[timer])


def start_tensorflow(job: Job, steps: Steps) -> None:
    """Sets threads, dtype and seed, and starts the clock."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    keras.config.set_dtype_policy(job.dtype)
    keras.utils.set_random_seed(SEED)
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    steps.start(details.get("device_name", "GPU") if gpus else "CPU")


def adam() -> Any:
    import keras

    return keras.optimizers.Adam(LEARNING_RATE, beta_2=BETA_2, epsilon=EPSILON)


def package_model(sizes: dict[str, int]) -> Any:
    import keras_transformer as kt

    return kt.Transformer(
        num_layers=NUM_LAYERS,
        d_model=D_MODEL,
        num_heads=NUM_HEADS,
        dff=DFF,
        dropout_rate=DROPOUT_RATE,
        input_vocab_size=sizes["source_vocab_size"],
        target_vocab_size=sizes["target_vocab_size"],
    )


def run_package(job: Job, batches: list[Batch], sizes: dict[str, int], steps: Steps) -> None:
    """This package's own training step."""
    start_tensorflow(job, steps)
    from keras_transformer.optimizers.adam import Adam
    from keras_transformer.training.step import TrainingStep

    model = package_model(sizes)
    steps.parameters = model.count_params()
    optimizer = Adam(LEARNING_RATE, beta_2=BETA_2, epsilon=EPSILON)
    optimizer.build(model.trainable_variables)
    train = TrainingStep(model, optimizer, seed=SEED, jit_compile=steps.device != "CPU")

    def step(batch: Batch) -> float:
        result = train([batch], LEARNING_RATE)
        return result.loss / result.tokens

    time_steps(step, batches, steps)


def run_package_fit(job: Job, batches: list[Batch], sizes: dict[str, int], steps: Steps) -> None:
    """This package's model and loss with Keras' `fit`."""
    start_tensorflow(job, steps)
    import keras_transformer as kt

    model = package_model(sizes)
    steps.parameters = model.count_params()
    model.compile(
        optimizer=adam(),
        loss=kt.masked_loss,
        metrics=[kt.masked_accuracy],
        jit_compile=steps.device != "CPU",
    )
    time_fit(model, batches, steps)


def tutorial_loss(label: Any, pred: Any) -> Any:
    """`masked_loss` as the tutorial publishes it."""
    import keras
    import tensorflow as tf

    mask = label != 0
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")(
        label, pred
    )
    mask = tf.cast(mask, loss.dtype)
    loss *= mask
    return tf.reduce_sum(loss) / tf.reduce_sum(mask)


def tutorial_accuracy(label: Any, pred: Any) -> Any:
    """`masked_accuracy` as the tutorial publishes it."""
    import tensorflow as tf

    pred = tf.argmax(pred, axis=2)
    label = tf.cast(label, pred.dtype)
    mask = tf.cast(label != 0, tf.float32)
    match = tf.cast(label == pred, tf.float32) * mask
    return tf.reduce_sum(match) / tf.reduce_sum(mask)


def keras_attention(x: Any, context: Any, keep: Any, key_dim: int, epsilon: float, **how) -> Any:
    """Keras' own attention with residual connection and norm; `keep` says which keys are real."""
    from keras import layers

    attention = layers.MultiHeadAttention(NUM_HEADS, key_dim=key_dim, dropout=DROPOUT_RATE)
    attended = attention(x, context, key_mask=keep, **how)
    return layers.LayerNormalization(epsilon=epsilon)(layers.Add()([x, attended]))


def keras_feed_forward(x: Any, epsilon: float) -> Any:
    from keras import layers

    y = layers.Dense(D_MODEL)(layers.Dense(DFF, activation="relu")(x))
    y = layers.Dropout(DROPOUT_RATE)(y)
    return layers.LayerNormalization(epsilon=epsilon)(layers.Add()([x, y]))


def keras_embedding(ids: Any, vocab_size: int, add_positions: Callable) -> Any:
    """Scaled token vectors with their positions, dropped out."""
    from keras import layers

    x = layers.Embedding(vocab_size, D_MODEL)(ids) * math.sqrt(D_MODEL)
    return layers.Dropout(DROPOUT_RATE)(add_positions(x))


def add_sinusoids(x: Any) -> Any:
    """Adds the positional encoding of the tutorial."""
    import keras
    import tensorflow as tf

    import keras_transformer as kt

    table = kt.positional_encoding(length=2048, depth=D_MODEL)
    return keras.layers.Lambda(lambda x: x + tf.cast(table[: tf.shape(x)[1]], x.dtype))(x)


def keras_model(sizes: dict[str, int], key_dim: int, epsilon: float) -> Any:
    """The tutorial's Transformer, of Keras' own layers."""
    import keras

    source, target = (keras.Input((None,), dtype="int32") for _ in range(2))
    source_keep, target_keep = source != 0, target != 0
    x = keras_embedding(source, sizes["source_vocab_size"], add_sinusoids)
    for _ in range(NUM_LAYERS):
        x = keras_attention(x, x, source_keep, key_dim, epsilon)
        x = keras_feed_forward(x, epsilon)
    context = x
    x = keras_embedding(target, sizes["target_vocab_size"], add_sinusoids)
    for _ in range(NUM_LAYERS):
        x = keras_attention(x, x, target_keep, key_dim, epsilon, use_causal_mask=True)
        x = keras_attention(x, context, source_keep, key_dim, epsilon)
        x = keras_feed_forward(x, epsilon)
    return keras.Model((source, target), keras.layers.Dense(sizes["target_vocab_size"])(x))


def keras_hub_model(sizes: dict[str, int]) -> Any:
    """The same of KerasHub's encoder and decoder layers."""
    import keras
    from keras_hub.layers import SinePositionEncoding, TransformerDecoder, TransformerEncoder

    def add_positions(x: Any) -> Any:
        return x + SinePositionEncoding()(x)

    def layer(kind: Any) -> Any:
        return kind(DFF, NUM_HEADS, dropout=DROPOUT_RATE, layer_norm_epsilon=1e-6)

    source, target = (keras.Input((None,), dtype="int32") for _ in range(2))
    source_keep, target_keep = source != 0, target != 0
    x = keras_embedding(source, sizes["source_vocab_size"], add_positions)
    for _ in range(NUM_LAYERS):
        x = layer(TransformerEncoder)(x, padding_mask=source_keep)
    context = x
    x = keras_embedding(target, sizes["target_vocab_size"], add_positions)
    for _ in range(NUM_LAYERS):
        x = layer(TransformerDecoder)(
            x, context, decoder_padding_mask=target_keep, encoder_padding_mask=source_keep
        )
    model = keras.Model((source, target), keras.layers.Dense(sizes["target_vocab_size"])(x))
    names = ("self_attention_dropout", "cross_attention_dropout")
    dropouts = [part for part in model._flatten_layers() if part.name in names]
    if len(dropouts) != 3 * NUM_LAYERS:
        raise LookupError(f"{len(dropouts)} dropouts of attention outputs, not {3 * NUM_LAYERS}")
    for dropout in dropouts:
        dropout.rate = 0  # the tutorial does not drop attention outputs
    return model


def run_keras(job: Job, batches: list[Batch], sizes: dict[str, int], steps: Steps) -> None:
    """Keras' own or KerasHub's layers with Keras' `fit` and the tutorial's loss."""
    start_tensorflow(job, steps)
    if job.variant == "keras_hub":
        model = keras_hub_model(sizes)
    elif job.variant == "tutorial_published":
        model = keras_model(sizes, key_dim=D_MODEL, epsilon=1e-3)
    else:
        model = keras_model(sizes, key_dim=D_MODEL // NUM_HEADS, epsilon=1e-6)
    steps.parameters = model.count_params()
    # Random batches are of ever new shapes: XLA would compile in almost every step.
    jit_compile = False if VARIANTS[job.variant].batches == "random" else "auto"
    model.compile(
        optimizer=adam(), loss=tutorial_loss, metrics=[tutorial_accuracy], jit_compile=jit_compile
    )
    time_fit(model, batches, steps)


def torch_modules(sizes: dict[str, int]) -> Any:
    """`nn.Transformer` with embeddings and generator."""
    from torch import nn

    options = {"d_model": D_MODEL, "nhead": NUM_HEADS, "dim_feedforward": DFF, "batch_first": True}
    options |= {"dropout": DROPOUT_RATE, "layer_norm_eps": 1e-6}
    encoder_layer = nn.TransformerEncoderLayer(**options)
    decoder_layer = nn.TransformerDecoderLayer(**options)
    # The tutorial drops neither the inside of the feed-forward network nor attention outputs.
    encoder_layer.dropout, encoder_layer.dropout1 = nn.Identity(), nn.Identity()
    decoder_layer.dropout, decoder_layer.dropout1 = nn.Identity(), nn.Identity()
    decoder_layer.dropout2 = nn.Identity()
    # Stacks of its own, because `nn.Transformer` would end them with a norm that post-norm lacks.
    transformer = nn.Transformer(
        **options,
        custom_encoder=nn.TransformerEncoder(encoder_layer, NUM_LAYERS, enable_nested_tensor=False),
        custom_decoder=nn.TransformerDecoder(decoder_layer, NUM_LAYERS),
    )
    modules = nn.ModuleDict(
        {
            "source": nn.Embedding(sizes["source_vocab_size"], D_MODEL),
            "target": nn.Embedding(sizes["target_vocab_size"], D_MODEL),
            "transformer": transformer,
            "generator": nn.Linear(D_MODEL, sizes["target_vocab_size"]),
        }
    )
    for parameter in modules.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for side in ("source", "target"):
        nn.init.uniform_(modules[side].weight, -0.05, 0.05)  # as Keras' embedding
    return modules


def torch_loss_function(modules: Any, device: str) -> Callable:
    """A function of ``(source, target_in, target_out)`` to loss and accuracy."""
    import torch
    from torch.nn import functional

    position = torch.arange(2048, device=device)[:, None]
    rates = torch.exp(torch.arange(0, D_MODEL, 2, device=device) * (-math.log(1e4) / D_MODEL))
    table = torch.cat([torch.sin(position * rates), torch.cos(position * rates)], dim=1)

    def embed(side: str, ids: Any) -> Any:
        x = modules[side](ids) * math.sqrt(D_MODEL) + table[: ids.shape[1]]
        return functional.dropout(x, DROPOUT_RATE)

    def loss_of(source: Any, target_in: Any, target_out: Any) -> tuple[Any, Any]:
        length = target_in.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
        x = modules["transformer"](
            embed("source", source),
            embed("target", target_in),
            tgt_mask=future,
            src_key_padding_mask=source == 0,
            tgt_key_padding_mask=target_in == 0,
            memory_key_padding_mask=source == 0,
        )
        logits, labels = modules["generator"](x).flatten(0, 1), target_out.flatten()
        real = labels != 0
        accuracy = ((logits.detach().argmax(-1) == labels) & real).sum() / real.sum()
        return functional.cross_entropy(logits.float(), labels, ignore_index=0), accuracy

    return loss_of


def run_torch(job: Job, batches: list[Batch], sizes: dict[str, int], steps: Steps) -> None:
    """PyTorch's `nn.Transformer`."""
    import torch

    torch.set_num_threads(job.threads)
    torch.manual_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    steps.start(torch.cuda.get_device_name() if device == "cuda" else "CPU")
    if device == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as TensorFlow does by itself
    modules = torch_modules(sizes).to(device)
    steps.parameters = sum(parameter.numel() for parameter in modules.parameters())
    loss_of = torch_loss_function(modules, device)
    if job.variant == "torch_compiled":
        loss_of = torch.compile(loss_of, dynamic=True)
    optimizer = torch.optim.Adam(
        modules.parameters(), LEARNING_RATE, betas=(0.9, BETA_2), eps=EPSILON, fused=True
    )

    def step(batch: Batch) -> float:
        (source, target_in), target_out = batch
        ids = [torch.from_numpy(x).long().to(device) for x in (source, target_in, target_out)]
        with torch.autocast(device, torch.bfloat16, enabled=job.dtype != "float32"):
            loss, accuracy = loss_of(*ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracy.item()
        return loss.item()

    time_steps(step, batches, steps)


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        run: function of job, batches, sizes of the vocabularies and the `Steps` to fill.
        batches: ``bucketed`` (this package's) or ``random`` (the tutorial's).
        dtypes: dtypes to measure, by Keras' names.
        needs: module that has to be installed, and the package that pip knows it by.
        compiler: whether it needs a C++ compiler.
        same_model: whether it has as many parameters as this package's model.
    """

    run: Callable[[Job, list[Batch], dict[str, int], Steps], None]
    batches: str = "bucketed"
    dtypes: tuple[str, ...] = ("float32", "mixed_bfloat16")
    needs: tuple[str, str] = ("keras_transformer", "keras_transformer")
    compiler: bool = False
    same_model: bool = True

    def obstacle(self) -> str | None:
        """Why it cannot run here."""
        module, package = self.needs
        if importlib.util.find_spec(module) is None:
            return f"not installed: pip install {package}"
        compilers = (os.environ.get("CXX"), "g++", "clang++")
        if self.compiler and not any(name and shutil.which(name) for name in compilers):
            return "needs a C++ compiler: install g++"
        return None


VARIANTS = {
    "package": Variant(run_package),
    "package_fit": Variant(run_package_fit),
    "tutorial_published": Variant(run_keras, "random", ("float32",), same_model=False),
    "tutorial_batches": Variant(run_keras, "random", ("float32",)),
    "keras_layers": Variant(run_keras),
    "keras_hub": Variant(run_keras, needs=("keras_hub", "keras-hub")),
    "torch_eager": Variant(run_torch, needs=("torch", "torch")),
    "torch_compiled": Variant(run_torch, needs=("torch", "torch"), compiler=True),
}


def measure(job: Job) -> dict[str, Any]:
    """Trains one variant in this process and returns what it did."""
    folder = Path(job.data)
    sizes = json.loads((folder / "sizes.json").read_text())
    variant = VARIANTS[job.variant]
    batches = read_batches(folder / f"{variant.batches}.npz")
    steps = Steps()
    variant.run(job, batches, sizes, steps)
    steps.require_falling_loss()
    skip = sizes["unmeasured_steps"]
    labels = [target_out for _, target_out in batches[skip:]]
    tokens = [int(np.count_nonzero(label)) for label in labels]
    speeds = [count / seconds for count, seconds in zip(tokens, steps.seconds[skip:], strict=True)]
    return {
        "tokens_per_second": statistics.median(speeds),
        "padding": 1 - sum(tokens) / sum(label.size for label in labels),
        "first_step_seconds": steps.first_step_seconds,
        "unmeasured_seconds": sum(steps.seconds[:skip]),
        "step_seconds": [round(seconds, 4) for seconds in steps.seconds[skip:]],
        "step_tokens": tokens,
        "peak_mib": peak_mib(),
        "parameters": steps.parameters,
        "device": steps.device,
        "first_loss": steps.losses[0],
        "last_loss": steps.losses[-1],
    }


def peak_mib() -> float:
    """Most memory this process has had, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


# Rounds, each variant in a process of its own.


def run_job(job: dict[str, Any], threads: int) -> dict[str, Any]:
    """Runs `work` on `job` in a new process.

    Returns:
        its result, or ``{"failed": last line of its errors}``.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TORCHINDUCTOR_CACHE_DIR": folder,  # nothing is compiled already
        }
        process = subprocess.run(
            [sys.executable, __file__, "--job", json.dumps({**job, "output": str(output)})],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if process.returncode == 0:
            return json.loads(output.read_text())
    lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
    sys.stderr.write(process.stderr)
    return {"failed": lines[-1] if lines else f"exit status {process.returncode}"}


def work(job: dict[str, Any]) -> None:
    """What a process of `run_job` does."""
    output = Path(job.pop("output"))
    if "variant" in job:
        result = measure(Job(**job))
    else:
        result = prepare(job["corpus"], job["batch_tokens"], job["steps"], Path(job["data"]))
    output.write_text(json.dumps(result))


def run_rounds(arguments: argparse.Namespace, folder: str) -> Iterator[list[dict[str, Any]]]:
    """Measures every variant and dtype in each of the rounds.

    Yields:
        after each measurement a row for each variant and dtype so far; see `summary`.
    """
    obstacles = {name: VARIANTS[name].obstacle() for name in arguments.variants}
    jobs = [
        Job(name, dtype, arguments.threads, folder)
        for name, obstacle in obstacles.items()
        if not obstacle
        for dtype in VARIANTS[name].dtypes
    ]
    results: dict[Job, list[dict[str, Any]]] = {job: [] for job in jobs}
    for number in range(arguments.repeats):
        for job in jobs:
            result = run_job(vars(job), arguments.threads)
            results[job].append(result)
            speed = result.get("tokens_per_second")
            outcome = f"{speed:,.0f} tokens/s" if speed else result["failed"]
            say(f"round {number + 1} of {arguments.repeats}: {job.variant}, {job.dtype}: {outcome}")
            rows = [summary(job, rounds) for job, rounds in results.items() if rounds]
            rows += [
                {"variant": name, "dtype": "", "outcome": obstacle}
                for name, obstacle in obstacles.items()
                if obstacle
            ]
            yield sorted(rows, key=lambda row: arguments.variants.index(row["variant"]))


def summary(job: Job, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of the table: medians over the rounds, and the highest of the peaks."""
    row: dict[str, Any] = {"variant": job.variant, "dtype": job.dtype}
    failures = [result["failed"] for result in rounds if "failed" in result]
    if failures:
        return {**row, "outcome": f"failed: {failures[0]}"}
    for name, value in rounds[0].items():
        values = [result[name] for result in rounds]
        row[name] = statistics.median(values) if isinstance(value, float) else value
    row["peak_mib"] = max(result["peak_mib"] for result in rounds)
    for name in ("tokens_per_second", "step_seconds"):
        row[f"{name}_of_rounds"] = [result[name] for result in rounds]
    del row["step_seconds"]
    return {**row, "outcome": "trained"}


def add_ratios(rows: list[dict[str, Any]]) -> str:
    """Adds each row's speed over that of this package's faster dtype.

    Returns:
        the variant the ratios refer to: `package`, or the first that was measured.
    """
    trained = [row for row in rows if row["outcome"] == "trained"]
    if not trained:
        return "package"
    names = [row["variant"] for row in trained]
    reference = "package" if "package" in names else names[0]
    best = max(row["tokens_per_second"] for row in trained if row["variant"] == reference)
    for row in trained:
        row["ratio"] = row["tokens_per_second"] / best
    return reference


def unequal_parameters(rows: list[dict[str, Any]]) -> list[str]:
    """Complaints about variants that should have the same model and do not."""
    counts = {
        row["variant"]: row["parameters"]
        for row in rows
        if row["outcome"] == "trained" and VARIANTS[row["variant"]].same_model
    }
    if len(set(counts.values())) <= 1:
        return []
    return [f"{name} has {count:,} parameters" for name, count in counts.items()]


def table(rows: list[dict[str, Any]], reference: str) -> str:
    """The rows, aligned."""
    lines = [
        f"{'variant':19}{'dtype':15}{'tokens/s':>9}{'ratio':>7}{'padding':>9}{'1st step':>10}"
        f"{'peak MiB':>10}{'parameters':>12}  {'loss'}"
    ]
    for row in rows:
        line = f"{row['variant']:19}{row['dtype']:15}"
        if row["outcome"] != "trained":
            lines.append(line + row["outcome"])
            continue
        lines.append(
            f"{line}{row['tokens_per_second']:9,.0f}{row['ratio']:7.2f}{row['padding']:9.1%}"
            f"{row['first_step_seconds']:8.1f} s{row['peak_mib']:10,.0f}{row['parameters']:12,}"
            f"  {row['first_loss']:.2f} > {row['last_loss']:.2f}"
        )
    return "\n".join([*lines, f"ratio: to the faster dtype of {reference}"])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--corpus", default="sample", help="as for keras_transformer.load_corpus")
    parser.add_argument("--batch-tokens", type=positive, default=3072, help="of bucketed batches")
    parser.add_argument("--steps", type=positive, default=30, help="measured steps")
    parser.add_argument("--repeats", type=positive, default=1, help="rounds over all variants")
    parser.add_argument("--threads", type=positive, default=cores(), help="of every variant")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument(
        "--json", type=Path, help="where the result goes; a temporary file if unset"
    )
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)  # for `run_job`
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    if arguments.job:
        work(arguments.job)
        return 0
    host = machine()
    with tempfile.TemporaryDirectory() as folder:
        wanted = {"corpus": arguments.corpus, "batch_tokens": arguments.batch_tokens}
        say(f"learning vocabularies and making batches of {arguments.corpus}")
        sizes = run_job({**wanted, "steps": arguments.steps, "data": folder}, arguments.threads)
        if "failed" in sizes:
            return 1
        (Path(folder) / "sizes.json").write_text(json.dumps(sizes))
        rows: list[dict[str, Any]] = []
        arguments.json = arguments.json or Path(tempfile.mkdtemp(), "training.json")
        try:
            for rows in run_rounds(arguments, folder):
                reference = add_ratios(rows)
                write_result(arguments, host, sizes, rows=rows)
        except KeyboardInterrupt:
            say("interrupted: what was measured follows")
    if not rows:
        return 1
    print(table(rows, reference))
    complaints = unequal_parameters(rows)
    for complaint in complaints:
        say(complaint)
    failed = any(row["outcome"].startswith("failed") for row in rows)
    return 1 if failed or complaints else 0


if __name__ == "__main__":
    sys.exit(main())
