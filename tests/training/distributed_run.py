"""A process that trains on several devices or hosts; tests start it and read what it leaves.

    python distributed_run.py steps STRATEGY OUTPUT.npz MICRO_BATCHES
    python distributed_run.py train STRATEGY FOLDER MAX_STEPS...

STRATEGY is as for `make_strategy`; with ``mirrored`` the host has two logical CPUs, and a step of
one micro-batch is compiled by XLA; with two micro-batches it tries `fit` too. ``train`` trains once
for each of MAX_STEPS, going on with what is in FOLDER.
"""

import contextlib
import sys

import keras
import numpy as np
import tensorflow as tf

LEARNING_RATES = (0.02, 0.03, 0.02, 0.01)
VOCABULARY = 11


def make_model(**options):
    from keras_transformer.models.transformer import Transformer

    keras.utils.set_random_seed(7)
    return Transformer(
        num_layers=1,
        d_model=8,
        num_heads=2,
        dff=16,
        input_vocab_size=VOCABULARY,
        target_vocab_size=VOCABULARY,
        max_length=16,
        **{"dropout_rate": 0.0, **options},
    )


def make_step(strategy=None, options=None, **step_options):
    """A step whose model starts with the same weights under every strategy."""
    from keras_transformer.optimizers.muon import Muon
    from keras_transformer.training.step import TrainingStep

    with strategy.scope() if strategy else contextlib.nullcontext():
        model = make_model(**(options or {}))
        # The gradient of a key's bias is 0 but for rounding, which a tiny epsilon would blow up.
        optimizer = Muon(epsilon=1e-4)  # which leaves some of the weights to Adam
        optimizer.build(model.trainable_variables)
    return TrainingStep(model, optimizer, strategy=strategy, **step_options)


def make_batch(seed, rows=6, length=8):
    """``((source, target_in), target_out)``; later rows are mostly padding, the last all of it."""
    rng = np.random.default_rng(seed)
    source, target = rng.integers(1, VOCABULARY, (2, rows, length + 1)).astype("int32")
    ends = np.linspace(length, 0, rows).astype(int)
    real = np.arange(length) < ends[:, np.newaxis]
    return (source[:, :-1] * real, target[:, :-1] * real), target[:, 1:] * real


def train_steps(strategy=None, micro_batches=1, worker=None, **options) -> dict:
    """Four steps.

    Args:
        strategy: as for `TrainingStep`.
        micro_batches: of each step.
        worker: number of this of two hosts, or ``None``.
        options: of the step.

    Returns:
        arrays: what the steps saw, and weights and averages after them.
    """
    options = {"clip_norm": 0.8, "label_smoothing": 0.1, "average_decay": 0.5, **options}
    step = make_step(strategy, **options)
    seen = []
    for number, rate in enumerate(LEARNING_RATES):
        if worker is not None:  # hosts whose clocks differ; their mean counts
            rate *= 0.5 + worker
        requests = (worker == 1 and number == 1, worker == 0 and number == 2)
        batches = [
            make_batch(10 * number + i, rows=6 - 2 * i, length=8 + i) for i in range(micro_batches)
        ]
        result = step(batches, rate, requests=requests)
        seen.append(
            [
                result.loss,
                result.correct,
                result.tokens,
                result.gradient_norm,
                *result.requests,
                float(step.optimizer.learning_rate.value.numpy()),
            ]
        )
    weights = np.concatenate([weight.numpy().ravel() for weight in step.weights])
    with step.averaged():
        averages = np.concatenate([weight.numpy().ravel() for weight in step.weights])
    return {"seen": np.array(seen), "weights": weights, "averages": averages}


def dropped(strategy) -> np.ndarray:
    """What dropout makes of ones on each replica, ``(replicas, 4, 64)``."""
    from keras_transformer.layers.dropout import Dropout, dropout_seed

    layer = Dropout(0.5)

    def on_replica():
        with dropout_seed(1, 5):
            return layer(tf.ones((4, 64)), training=True)

    results = tf.function(lambda: strategy.experimental_local_results(strategy.run(on_replica)))()
    return np.stack([result.numpy() for result in results])


def fit(strategy=None, loss=None) -> dict:
    """`fit` with the tutorial's loss: its log, that of `evaluate`, and the weights."""
    import keras_transformer as kt

    with strategy.scope() if strategy else contextlib.nullcontext():
        model = make_model()
        model.compile(
            loss=loss or kt.masked_loss,
            optimizer=keras.optimizers.Adam(0.02, epsilon=1e-4),
            metrics=[kt.MaskedAccuracy()],
        )
    rows = tf.nest.map_structure(lambda *ids: np.concatenate(ids), *map(make_batch, range(4)))
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(6, drop_remainder=True)
    history = model.fit(batches, shuffle=False, verbose=0).history
    evaluated = model.evaluate(batches, verbose=0, return_dict=True)
    names = ("loss", "masked_accuracy")
    log = [*(history[name][0] for name in names), *(evaluated[name] for name in names)]
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
    return {"fit_log": np.array(log), "fit_weights": weights}


def train(folder, max_steps, strategy=None, **options):
    """A run of a tiny model on a tiny corpus."""
    import keras_transformer as kt
    from keras_transformer.data.corpora.corpus import Corpus, dataset_of
    from keras_transformer.data.corpora.sample import read_sample

    sample = read_sample()
    corpus = Corpus(
        name="tiny",
        train=dataset_of(sample["train"][:40]),
        validation=dataset_of(sample["validation"][:20]),
    )
    config = kt.Config().replace(
        {
            "model": {
                "num_layers": 1,
                "d_model": 16,
                "num_heads": 2,
                "dff": 32,
                "dropout_rate": 0.0,
                "norm_first": True,
                "max_length": 96,
            },
            "tokenizer": {"vocab_size": 300},
            "training": {
                "epochs": None,
                "max_steps": max_steps,
                "batch_tokens": 300,
                "warmup_steps": 4,
                "clip_norm": 1.0,
                "label_smoothing": 0.1,
                "average_decay": 0.9,
                "bleu_sentences": 0,
            },
        }
    )
    return kt.train(corpus, folder, config, strategy=strategy, resume=True, **options)


def main(verb, name, output, *numbers):
    if name == "mirrored":
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
        )
    from keras_transformer.training.distribution import make_strategy

    strategy = make_strategy(name)
    if verb == "train":
        for limit in numbers:
            train(output, int(limit), strategy)
        return
    (micro_batches,) = map(int, numbers)
    worker = strategy.cluster_resolver.task_id if name == "multiworker" else None
    jit_compile = name == "mirrored" and micro_batches == 1
    found = train_steps(strategy, micro_batches, worker, jit_compile=jit_compile)
    found["dropped"] = dropped(strategy)
    if name == "mirrored" and micro_batches == 2:
        found |= fit(strategy)
    np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
