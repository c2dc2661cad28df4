"""python benchmarks/pretraining.py [--systems bert gpt elmo] [--minutes M] [--json FILE]

What reading a text beforehand is worth: BERT, GPT and ELMo, about as large, each pre-trained on the
same text for the same minutes, then fine-tuned on a few labelled verses, next to the same models
from scratch and to scikit-learn's TF-IDF with logistic regression on the same labels.

The text is the World English Bible, whose chapters are the documents. By a hash of its text a
chapter trains, or belongs to the validation or test part, a tenth each. All systems have one
vocabulary, WordPiece learned from the training part. BERT reads pairs of spans of whole verses, of
a length where two fill a row, anew in every epoch: other spans, other pairs, other masks. GPT and
ELMo read the chapters in blocks as long as those rows. The recipe is one: AdamW, its rate rising,
then falling in straight lines with the time, the same for all but its peak. A system's time has in
it what its batches and programs cost to make.

What a model learned is scored on the chapters of the test part: the loss of a token, of those that
it predicts, next to that of the frequencies of tokens in the training part (unigram) on the same
tokens; and whether pairs, half of them `APART`, are told from each other.

The task beyond is from which part of the Bible a verse is, one of six. `--labels` verses of the
training chapters are drawn once for each seed; verses of validation chapters choose the number of
epochs, and the strength of regularisation of the peer; all verses of the test chapters score.
Fine-tuning is the same with and without pre-training, and trains every weight of the encoders.

    pip install 'keras-transformer[bible]' scikit-learn

    python benchmarks/pretraining.py --systems bert --minutes 30    # next sentences, given time
    python benchmarks/pretraining.py --minutes 0.2 --seeds 0 --epochs 2         # a small one
"""

import argparse
import itertools
import random
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from common import cores, machine, positive, say, write_result
from perplexity import (
    WARM_UP,
    Clock,
    adam,
    learn_vocabulary,
    start_tensorflow,
    unigram_losses,
)

import keras_transformer as kt

HELD_OUT = 0.1
SEED = 1
LENGTH = 96  # of the rows of pre-training
SPAN_WORDS = (20, 32)  # a span ends with the verse that reaches as many; two of them fill a row
WEIGHT_DECAY = 0.01
DROPOUT_RATE = 0.1

TRANSFORMER = {"num_layers": 2, "d_model": 128, "num_heads": 4, "dff": 512, "max_length": LENGTH}
SIZES: dict[str, dict[str, Any]] = {
    # The standard deviation is for this width what 0.02 is for the published one of 768.
    "bert": {**TRANSFORMER, "initial_stddev": 0.05},
    "gpt": TRANSFORMER,
    "elmo": {"num_layers": 2, "units": 124, "tie_output": True},
}
"""About 1.45 million weights each with 8,000 tokens; more than half of them are token vectors."""

NAMES = {"bert": "BERT", "gpt": "GPT", "elmo": "ELMo"}
PEAKS = {"bert": 1.5e-3, "gpt": 2e-3, "elmo": 3e-3}  # at 3e-3 BERT learns nothing but unigrams
ROWS = {"bert": 32, "gpt": 16, "elmo": 16}  # of a batch; BERT predicts few of its tokens

PARTS = (
    ("law", range(1, 6)),
    ("history", range(6, 18)),
    ("wisdom", range(18, 23)),
    ("prophets", range(23, 40)),
    ("gospels and Acts", range(40, 45)),
    ("letters and Revelation", range(45, 67)),
)
"""The classes, by the numbers of their books."""

VERSE_LENGTH = 64  # a hundredth of the verses is longer, and cut
VALIDATION_VERSES = 1000
BATCH_SIZE = 32
FINE_TUNING_PEAK = 5e-4
STRENGTHS = (1, 10, 100)  # inverse regularisation of the peer


class Chapter(NamedTuple):
    """The number of its class, and its verses."""

    label: int
    verses: list[str]


def mean_loss(losses: np.ndarray, labels: Iterable[Any]) -> float:
    """The mean over the real labels of all batches, by the losses of tokens."""
    flat = np.concatenate([np.ravel(label) for label in labels])
    return float(np.mean(losses[flat[flat != 0]]))


# The text.


def load_chapters() -> dict[str, list[Chapter]]:
    """The chapters of each part."""
    from keras_transformer.data.corpora import bible

    chapters = bible.read_chapters(bible.find_database(), bible.ENGLISH, bible.ENGLISH)
    documents = [[verse for verse, _ in pairs] for pairs in chapters.values()]
    labels = {
        tuple(verses): next(number for number, (_, books) in enumerate(PARTS) if book in books)
        for (book, _), verses in zip(chapters, documents, strict=True)
    }
    return {
        name: [Chapter(labels[tuple(verses)], verses) for verses in part]
        for name, part in kt.split_documents(documents, HELD_OUT).items()
    }


def spans(verses: list[str], draws: random.Random) -> list[str]:
    """Whole verses joined until each has enough words."""
    joined: list[list[str]] = [[]]
    words, wanted = 0, draws.randint(*SPAN_WORDS)
    for verse in verses:
        if words >= wanted:
            joined.append([])
            words, wanted = 0, draws.randint(*SPAN_WORDS)
        joined[-1].append(verse)
        words += len(verse.split())
    return [" ".join(group) for group in joined]


def pair_batches(chapters: list[Chapter], tokenizer: Any, seed: int) -> Any:
    """Batches for `BertPretraining`, of pairs and masks that the seed draws."""
    draws = random.Random(seed)
    documents = [spans(chapter.verses, draws) for chapter in chapters]
    pairs = kt.next_sentence_pairs(documents, seed=seed)
    return kt.masked_language_batches(
        kt.tokenize_sentence_pairs(pairs, tokenizer),
        vocab_size=tokenizer.vocab_size,
        length=LENGTH,
        batch_size=ROWS["bert"],
        seed=seed,
    )


def blocks(name: str, chapters: list[Chapter], tokenizer: Any, shuffle: bool = True) -> Any:
    """Batches for `GPT`, whose inputs serve `ELMo` too."""
    texts = [" ".join(chapter.verses) for chapter in chapters]
    options = {"length": LENGTH, "batch_size": ROWS[name], "shuffle": shuffle, "seed": SEED}
    return kt.block_batches(texts, tokenizer, **options)


# The systems.


def make_encoder(name: str, vocab_size: int) -> Any:
    """A new model; BERT's has a token more, the mask."""
    sizes = {"dropout_rate": DROPOUT_RATE, **SIZES[name]}
    if name == "bert":
        return kt.Bert(vocab_size=vocab_size + 1, **sizes)
    return (kt.GPT if name == "gpt" else kt.ELMo)(vocab_size=vocab_size, **sizes)


def epochs_of(
    name: str, chapters: list[Chapter], tokenizer: Any
) -> tuple[Iterator[Any], Callable[[Any], int]]:
    """Data sets, one after the other; and the number of real tokens in the inputs of one."""
    if name == "bert":
        made = (pair_batches(chapters, tokenizer, SEED + number) for number in itertools.count())
        return made, lambda dataset: sum(
            int(np.count_nonzero(ids)) for (ids, _), _ in dataset.as_numpy_iterator()
        )
    batches = blocks(name, chapters, tokenizer)
    dataset = batches.dataset()
    if name == "elmo":
        dataset = dataset.map(lambda ids, labels: ids)
    return itertools.repeat(dataset), lambda dataset: batches.tokens


def pretrain(name: str, chapters: dict[str, list[Chapter]], tokenizer: Any, minutes: float) -> Any:
    """A trained encoder, and its row: sizes, what it saw, and what it learned.

    The tokens seen are the steps' share of those of the last epoch.
    """
    import keras

    keras.utils.set_random_seed(SEED)
    encoder = make_encoder(name, tokenizer.vocab_size)
    model = kt.BertPretraining(encoder) if name == "bert" else encoder
    model.compile(
        optimizer=adam(PEAKS[name], WEIGHT_DECAY),
        loss=None if name == "bert" else kt.masked_loss,
    )
    clock = Clock(minutes, PEAKS[name], perf_counter())
    datasets, count = epochs_of(name, chapters["train"], tokenizer)
    for number, dataset in enumerate(datasets):
        history = model.fit(dataset, shuffle=False, verbose=0, callbacks=[clock.callback(model)])
        logs = ", ".join(f"{key} {values[-1]:.3f}" for key, values in history.history.items())
        say(f"{NAMES[name]}, epoch {number + 1}, {clock.share():.0%} of the time: {logs}")
        if clock.share() >= 1:
            break
    seconds, steps = perf_counter() - clock.started, int(model.optimizer.iterations.numpy())
    row = {
        "system": NAMES[name],
        "parameters": model.count_params(),
        "seconds": seconds,
        "steps": steps,
        "tokens": round(steps / len(dataset) * count(dataset)),
    }
    return encoder, {**row, **held_out_scores(name, model, chapters, tokenizer)}


def held_out_scores(
    name: str, model: Any, chapters: dict[str, list[Chapter]], tokenizer: Any
) -> dict[str, float]:
    """Losses of the test chapters' tokens, and with BERT the accuracy of the pairs."""
    vocab_size = tokenizer.vocab_size
    texts = [" ".join(chapter.verses) for chapter in chapters["train"]]
    ids = tokenizer.tokenize(texts)
    if name == "bert":
        unigrams = unigram_losses(ids[:, 1:-1].flat_values.numpy(), vocab_size)
        dataset = pair_batches(chapters["test"], tokenizer, SEED).cache()  # the same masks again
        scores = model.evaluate(dataset, verbose=0, return_dict=True)
        labels = (batch["tokens"] for _, batch in dataset.as_numpy_iterator())
        return {
            "loss": scores["token_loss"],
            "unigram_loss": mean_loss(unigrams, labels),
            "token_accuracy": scores["token_accuracy"],
            "next_accuracy": scores["next_accuracy"],
            "pairs": sum(len(batch["next"]) for _, batch in dataset.as_numpy_iterator()),
        }
    # Each text begins with a token that nothing but the end of another one predicts.
    unigrams = unigram_losses(ids.flat_values.numpy(), vocab_size)
    batches = list(blocks(name, chapters["test"], tokenizer, shuffle=False).epoch(0))
    if name == "elmo":
        batches = [(ids, np.asarray(model.labels(ids))) for ids, _ in batches]
    found = kt.perplexity(model, batches)
    return {
        "loss": float(np.log(found.perplexity)),
        "unigram_loss": mean_loss(unigrams, (labels for _, labels in batches)),
        "perplexity": found.perplexity,
    }


# The task beyond.


def make_classifier(name: str, encoder: Any) -> Any:
    if name == "elmo":
        return kt.ElmoClassifier(elmo=encoder, num_classes=len(PARTS), train_elmo=True)
    reader = encoder if name == "bert" else kt.LastTokenReader(encoder)
    return kt.SequenceClassifier(reader, num_classes=len(PARTS), dropout_rate=DROPOUT_RATE)


class Examples(NamedTuple):
    """Verses, their token ids, ``(verses, VERSE_LENGTH)``, and their classes."""

    verses: list[str]
    ids: np.ndarray
    labels: np.ndarray

    def draw(self, number: int, seed: int) -> "Examples":
        """Some of them, no one twice."""
        rows = np.random.default_rng(seed).permutation(len(self.verses))[:number]
        return Examples([self.verses[row] for row in rows], self.ids[rows], self.labels[rows])


def examples(chapters: list[Chapter], tokenizer: Any) -> Examples:
    verses = [verse for chapter in chapters for verse in chapter.verses]
    labels = np.repeat([c.label for c in chapters], [len(c.verses) for c in chapters])
    ids, _ = kt.pack_pairs(tokenizer.tokenize(verses)[:, 1:-1], length=VERSE_LENGTH)
    return Examples(verses, ids.numpy().astype(np.int32), labels)


def fine_tuned_accuracy(
    name: str, encoder: Any, sample: Examples, parts: dict[str, Examples], epochs: int
) -> dict[str, Any]:
    """Trains a classifier and scores the test part with the epoch that validation chose."""
    import keras

    steps = epochs * -(-len(sample.verses) // BATCH_SIZE)
    warm_up = max(int(WARM_UP * steps), 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - warm_up, 1), warmup_target=FINE_TUNING_PEAK, warmup_steps=warm_up
    )
    model = make_classifier(name, encoder)
    model.compile(
        optimizer=adam(schedule, WEIGHT_DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    best = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="max", patience=epochs, restore_best_weights=True
    )
    validation = parts["validation"]
    history = model.fit(
        sample.ids,
        sample.labels,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        validation_data=(validation.ids, validation.labels),
        validation_batch_size=4 * BATCH_SIZE,
        callbacks=[best],
        verbose=0,
    )
    test = parts["test"]
    logits = model.predict(test.ids, batch_size=4 * BATCH_SIZE, verbose=0)
    return {
        "accuracy": float(np.mean(np.argmax(logits, axis=-1) == test.labels)),
        "validation_accuracy": max(history.history["val_accuracy"]),
        "epochs": int(np.argmax(history.history["val_accuracy"])) + 1,
    }


def peer_accuracy(sample: Examples, parts: dict[str, Examples]) -> dict[str, Any]:
    """TF-IDF of words and pairs of them, and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def fitted(strength):
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        peer = make_pipeline(vectors, LogisticRegression(C=strength, max_iter=2000))
        return peer.fit(sample.verses, sample.labels)

    def score(peer, part):
        return float(peer.score(parts[part].verses, parts[part].labels))

    peers = {strength: fitted(strength) for strength in STRENGTHS}
    best = max(peers, key=lambda strength: score(peers[strength], "validation"))
    peer = peers[best]
    scores = {"accuracy": score(peer, "test"), "validation_accuracy": score(peer, "validation")}
    return {**scores, "strength": best}


def downstream(
    encoders: dict[str, Any], parts: dict[str, Examples], arguments: argparse.Namespace, vocab: int
) -> list[dict[str, Any]]:
    """A row for each system, way and seed."""
    import keras

    rows = []
    for seed in arguments.seeds:
        sample = parts["train"].draw(arguments.labels, seed)
        row = {"system": "TF-IDF, logistic regression", "pre_trained": False, "seed": seed}
        rows.append({**row, **peer_accuracy(sample, parts)})
        for (name, weights), pre_trained in itertools.product(encoders.items(), (True, False)):
            keras.utils.set_random_seed(seed)
            encoder = make_encoder(name, vocab)
            if pre_trained:
                encoder.set_weights(weights)
            scores = fine_tuned_accuracy(name, encoder, sample, parts, arguments.epochs)
            row = {"system": NAMES[name], "pre_trained": pre_trained, "seed": seed}
            rows.append({**row, **scores})
            way = "pre-trained" if pre_trained else "from scratch"
            say(f"{NAMES[name]} {way}, seed {seed}: {scores['accuracy']:.3f}")
    return rows


# The tables.


def learned_table(rows: list[dict[str, Any]]) -> str:
    """What pre-training cost and gave."""
    lines = [
        f"{'system':8}{'parameters':>12}{'seconds':>9}{'steps':>8}{'tokens seen':>13}{'loss':>7}"
        f"{'unigram':>9}{'perplexity':>12}{'next sentence':>15}"
    ]
    for row in rows:
        perplexity = f"{row['perplexity']:12.1f}" if "perplexity" in row else " " * 12
        following = f"{row['next_accuracy']:15.1%}" if "next_accuracy" in row else ""
        lines.append(
            f"{row['system']:8}{row['parameters']:12,}{row['seconds']:9.0f}{row['steps']:8,}"
            f"{row['tokens']:13,}{row['loss']:7.3f}{row['unigram_loss']:9.3f}{perplexity}{following}"
        )
    return "\n".join(lines)


def accuracy_table(rows: list[dict[str, Any]]) -> str:
    """Mean and range over the seeds."""

    def cell(system, pre_trained):
        found = [
            row["accuracy"]
            for row in rows
            if row["system"] == system and row["pre_trained"] == pre_trained
        ]
        if not found:
            return ""
        return f"{statistics.mean(found):.1%} ({min(found):.1%} to {max(found):.1%})"

    systems = dict.fromkeys(row["system"] for row in rows)
    lines = [f"{'accuracy':28}{'pre-trained':>26}{'from scratch':>26}"]
    lines += [f"{name:28}{cell(name, True):>26}{cell(name, False):>26}" for name in systems]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--systems", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--minutes", type=float, default=10.0, help="of pre-training, for each")
    parser.add_argument("--vocab-size", type=positive, default=8000)
    parser.add_argument("--labels", type=positive, default=1000, help="labelled verses")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=positive, default=15, help="of fine-tuning, at most")
    parser.add_argument("--threads", type=positive, default=cores())
    parser.add_argument(
        "--json", type=Path, help="where the result goes; a temporary file if unset"
    )
    arguments = parser.parse_args()
    if arguments.minutes <= 0:
        parser.error("--minutes is above 0")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    host = machine()
    dtype = start_tensorflow(arguments.threads)
    chapters = load_chapters()
    verses = [verse for chapter in chapters["train"] for verse in chapter.verses]
    tokenizer = learn_vocabulary(verses, arguments.vocab_size)
    encoders, learned = {}, []
    for name in arguments.systems:
        encoder, row = pretrain(name, chapters, tokenizer, arguments.minutes)
        encoders[name] = encoder.get_weights()
        learned.append(row)
    print(learned_table(learned), flush=True)
    parts = {name: examples(part, tokenizer) for name, part in chapters.items()}
    parts["validation"] = parts["validation"].draw(VALIDATION_VERSES, SEED)
    rows = downstream(encoders, parts, arguments, tokenizer.vocab_size)
    most = float(np.bincount(parts["test"].labels).max() / len(parts["test"].labels))
    print(f"\n{accuracy_table(rows)}\nthe most frequent part alone: {most:.1%}")
    settings = {"dtype": dtype, "sizes": {name: SIZES[name] for name in arguments.systems}}
    settings |= {f"{name}_verses": len(part.verses) for name, part in parts.items()}
    write_result(arguments, host, settings, pre_training=learned, task=rows, most_frequent=most)
    return 0


if __name__ == "__main__":
    sys.exit(main())
