"""python benchmarks/perplexity.py [--text FILE,FILE] [--minutes M] [--json FILE]

How well a small GPT foresees a text, next to a trigram model with Kneser-Ney smoothing: perplexity
of the same subword tokens of the same held-out documents.

Documents are the chapters of the World English Bible, or those of files with one text a line and
an empty line between documents. By a hash of its text a document trains, or belongs to the
validation or test part, a twentieth each. Every line stands for itself: a start, its tokens, an
end, of which all but the start are predicted. The tokens are those of WordPiece, learned from the
training part.

The peer is NLTK's `KneserNeyInterpolated`, whose lines begin with as many starts as it looks back.
NLTK walks through all n-grams for every number that it needs; here an index has those numbers, and
the run prints how far any of `--checked` probabilities is from that of NLTK's own class. Of the
`DISCOUNTS` the one with the best perplexity on the validation part counts. GPT learns by plain
`fit` with AdamW for so many minutes, its validations included; of its epochs the one with the best
validation loss counts. The test part is scored once.

Tokens that the training part never has, to which Kneser-Ney gives no probability, are scored for no
model, and lines too long for GPT are left out for all. Unigrams are smoothed by adding one.

    pip install 'keras-transformer[bible]' nltk
"""

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from common import cores, machine, positive, say, use_threads, write_result

import keras_transformer as kt

ORDERS = (2, 3)
DISCOUNTS = (0.1, 0.3, 0.5, 0.75, 0.9)  # the first is NLTK's default
SIZES = {"num_layers": 4, "d_model": 192, "num_heads": 4, "max_length": 128}
DROPOUT_RATE = 0.15
PEAK = 2e-3  # of the learning rate
WEIGHT_DECAY = 0.05
WARM_UP = 0.05  # share of the time
BATCH_TOKENS = 2048
SEED = 1
MOST_EPOCHS = 10_000

Lines = list[list[str]]
"""The tokens of each line, start and end included."""


@dataclass(frozen=True)
class Text:
    """The lines of each part, their tokens, and what they are made with."""

    lines: dict[str, list[str]]
    tokens: dict[str, Lines]
    tokenizer: Any
    left_out: int

    def seen(self) -> set[str]:
        """Tokens that stand somewhere in the training part behind a start."""
        return {token for line in self.tokens["train"] for token in line[1:]}


def load_text(paths: str | None, vocab_size: int) -> Text:
    documents = kt.text_documents(paths.split(",")) if paths else kt.bible_documents()
    parts = {
        name: [line for document in part for line in document]
        for name, part in kt.split_documents(documents).items()
    }
    tokenizer = learn_vocabulary(parts["train"], vocab_size)
    lines, tokens, left_out = {}, {}, 0
    for name, part in parts.items():
        ids = tokenizer.tokenize(part).to_list()
        fits = [len(row) <= SIZES["max_length"] + 1 for row in ids]
        left_out += fits.count(False)
        lines[name] = [line for line, kept in zip(part, fits, strict=True) if kept]
        tokens[name] = [
            [tokenizer.vocabulary[number] for number in row]
            for row, kept in zip(ids, fits, strict=True)
            if kept
        ]
    return Text(lines, tokens, tokenizer, left_out)


# What `pretraining.py` trains with, too.


@dataclass(frozen=True)
class Clock:
    """The time a training has, and the learning rate that follows from it.

    Attributes:
        minutes: how long.
        peak: the highest learning rate.
        started: when it began.
    """

    minutes: float
    peak: float
    started: float

    def share(self) -> float:
        """The part of the time that is over."""
        return min((perf_counter() - self.started) / (60 * self.minutes), 1.0)

    def callback(self, model: Any) -> Any:
        """What sets the learning rate before every step of `fit`, and ends it."""
        import keras

        def before(batch, logs):
            share = self.share()
            rate = self.peak * min(share / WARM_UP, (1 - share) / (1 - WARM_UP))
            model.optimizer.learning_rate = rate

        def after(batch, logs):
            model.stop_training = self.share() >= 1

        return keras.callbacks.LambdaCallback(on_train_batch_begin=before, on_train_batch_end=after)


def start_tensorflow(threads: int) -> str:
    """Settings for this process; the dtype that is the fastest here."""
    use_threads(threads)
    import keras

    from keras_transformer.training.precision import fastest_dtype

    dtype = fastest_dtype()
    keras.config.set_dtype_policy(dtype)
    return dtype


def adam(learning_rate: Any, weight_decay: float) -> Any:
    """The optimizer of all; its second moments are those of short trainings."""
    import keras

    return keras.optimizers.AdamW(
        learning_rate, beta_2=0.98, weight_decay=weight_decay, clipnorm=1.0
    )


def learn_vocabulary(verses: Iterable[str], vocab_size: int) -> Any:
    from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer

    return WordPieceTokenizer.train(verses, vocab_size=vocab_size, normalization="none")


def unigram_losses(ids: Any, vocab_size: int) -> np.ndarray:
    """The loss of every token by how often it stands among ids, each counted once more."""
    counts = np.bincount(ids, minlength=vocab_size) + 1
    return -np.log(counts / counts.sum())


# The peer.


class ContinuationCounts:
    """What `KneserNey._continuation_counts` finds, for all words and contexts at once.

    Args:
        counts: NLTK's `NgramCounter`.
        order: the longest n-grams in it.
    """

    def __init__(self, counts: Any, order: int):
        self.words: dict[tuple, Counter] = defaultdict(Counter)
        self.totals: Counter = Counter()
        for length in range(2, order + 1):
            for prefix, followers in counts[length].items():
                context = prefix[1:]
                present = [word for word, count in followers.items() if count > 0]
                self.words[context].update(present)
                self.totals[context] += len(present)

    def __call__(self, word: str, context: tuple = ()) -> tuple[int, int]:
        return self.words[context][word], self.totals[context]


def kneser_ney(counted: Any, discount: float, index: ContinuationCounts | None = None) -> Any:
    """A model over the n-grams of another one; with an index in the place of NLTK's walks."""
    from nltk.lm import KneserNeyInterpolated

    model = KneserNeyInterpolated(
        counted.order, discount=discount, counter=counted.counts, vocabulary=counted.vocab
    )
    if index is not None:
        model.estimator._continuation_counts = index
    return model


def padded(line: list[str], order: int) -> list[str]:
    """A line with a start for every token that the model looks back."""
    return [line[0]] * (order - 2) + line


def count_ngrams(lines: Lines, order: int) -> Any:
    """NLTK's model, fitted."""
    from nltk.lm import KneserNeyInterpolated
    from nltk.util import everygrams

    model = KneserNeyInterpolated(order)
    words = (token for line in lines for token in line)
    model.fit((everygrams(padded(line, order), max_len=order) for line in lines), words)
    return model


def queries(lines: Lines, order: int, seen: set[str]) -> Iterator[tuple[str, tuple]]:
    """The tokens to score, each with the tokens before it that the model looks at."""
    for line in lines:
        tokens = padded(line, order)
        for place in range(order - 1, len(tokens)):
            if tokens[place] in seen:
                yield tokens[place], tuple(tokens[place - order + 1 : place])


def ngram_perplexity(model: Any, lines: Lines, seen: set[str]) -> tuple[float, int]:
    """The perplexity, and the number of tokens scored."""
    logs = [math.log(model.score(*query)) for query in queries(lines, model.order, seen)]
    return math.exp(-sum(logs) / len(logs)), len(logs)


def largest_difference(counted: Any, index: ContinuationCounts, text: Text, number: int) -> float:
    """How far indexed probabilities are from those of NLTK's own class."""
    asked = list(queries(text.tokens["validation"], counted.order, text.seen()))
    chosen = np.random.default_rng(SEED).permutation(len(asked))[:number]
    models = [kneser_ney(counted, DISCOUNTS[0], given) for given in (None, index)]
    return max(abs(models[0].score(*asked[i]) - models[1].score(*asked[i])) for i in chosen)


def kneser_ney_row(text: Text, order: int, checked: int) -> dict[str, Any]:
    """A row for n-grams up to an order, with the discount that validation chose."""
    name = {2: "bigrams", 3: "trigrams"}[order]
    started = perf_counter()
    counted = count_ngrams(text.tokens["train"], order)
    index = ContinuationCounts(counted.counts, order)
    seconds = perf_counter() - started
    difference = largest_difference(counted, index, text, checked)
    say(f"{name}, from an index and from NLTK's own class: at most {difference:.1e} apart")
    found = {}
    for discount in DISCOUNTS:
        model = kneser_ney(counted, discount, index)
        found[discount], _ = ngram_perplexity(model, text.tokens["validation"], text.seen())
        say(f"{name}, discount {discount}: validation perplexity {found[discount]:.2f}")
    discount = min(found, key=found.get)
    model = kneser_ney(counted, discount, index)
    perplexity, tokens = ngram_perplexity(model, text.tokens["test"], text.seen())
    return {
        "model": f"{name}, Kneser-Ney",
        "size": number_of_ngrams(counted.counts, order),
        "seconds": seconds,
        "discount": discount,
        "validation_perplexities": found,
        "largest_difference": difference,
        "perplexity": perplexity,
        "tokens": tokens,
    }


def number_of_ngrams(counts: Any, order: int) -> int:
    """How many different n-grams there are up to a length."""
    longer = range(2, order + 1)
    return len(counts[1]) + sum(
        len(followers) for length in longer for followers in counts[length].values()
    )


def unigram_row(text: Text) -> dict[str, Any]:
    started = perf_counter()
    ids = {token: number for number, token in enumerate(text.tokenizer.vocabulary)}
    seen = text.seen()

    def labels(part):
        return [ids[token] for line in text.tokens[part] for token in line[1:] if token in seen]

    losses = unigram_losses(labels("train"), len(ids))
    seconds, test = perf_counter() - started, labels("test")
    perplexity = math.exp(np.mean(losses[test]))
    row = {"model": "unigrams, add one", "size": len(seen), "seconds": seconds}
    return {**row, "perplexity": perplexity, "tokens": len(test)}


# GPT.


def batches_of(text: Text, part: str, shuffle: bool = False) -> Any:
    """Batches with one line in each row, lines of like lengths together."""
    import tensorflow as tf

    from keras_transformer.data.batches.texts import TextBatches, without_source
    from keras_transformer.data.batches.token_store import tokenize_pairs

    lines = text.lines[part]
    pairs = tf.data.Dataset.from_tensor_slices(([""] * len(lines), lines))
    tokenized = tokenize_pairs(pairs, without_source(text.tokenizer))
    return TextBatches(tokenized, BATCH_TOKENS, shuffle=shuffle, seed=SEED)


def scored_batches(text: Text, part: str) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Batches whose labels are 0 where a token is not to be scored."""
    seen = text.seen()
    known = np.array([token in seen for token in text.tokenizer.vocabulary])
    for ids, labels in batches_of(text, part).epoch(0):
        yield ids, np.where(known[labels], labels, 0)


def gpt_row(text: Text, minutes: float) -> dict[str, Any]:
    """Trains GPT and scores it."""
    import keras

    keras.utils.set_random_seed(SEED)
    batches = batches_of(text, "train", shuffle=True)
    model = kt.GPT(vocab_size=text.tokenizer.vocab_size, dropout_rate=DROPOUT_RATE, **SIZES)
    model.compile(
        optimizer=adam(PEAK, WEIGHT_DECAY),
        loss=kt.masked_loss,
        metrics=[kt.MaskedCrossentropy(name="token_loss")],
    )
    clock = Clock(minutes, PEAK, perf_counter())
    best = keras.callbacks.EarlyStopping(
        "val_token_loss", mode="min", patience=MOST_EPOCHS, restore_best_weights=True
    )
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: say(
            f"GPT, epoch {epoch + 1}, {clock.share():.0%} of the time: loss "
            f"{logs['token_loss']:.3f}, validation {logs['val_token_loss']:.3f}"
        )
    )
    history = model.fit(
        batches.dataset(),
        validation_data=batches_of(text, "validation").dataset(),
        epochs=MOST_EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[clock.callback(model), best, told],
    )
    seconds = perf_counter() - clock.started
    found = kt.perplexity(model, scored_batches(text, "test"))
    return {
        "model": "GPT",
        "size": model.count_params(),
        "seconds": seconds,
        "epochs": int(model.optimizer.iterations.numpy()) / len(batches),
        "best_epoch": best.best_epoch + 1,
        "validation_losses": history.history["val_token_loss"],
        "perplexity": found.perplexity,
        "tokens": found.tokens,
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'model':22}{'weights, n-grams':>18}{'seconds':>9}{'perplexity':>12}{'tokens':>10}"]
    lines += [
        f"{row['model']:22}{row['size']:18,}{row['seconds']:9.1f}{row['perplexity']:12.2f}"
        f"{row['tokens']:10,}"
        for row in rows
    ]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--text", help="files in the place of the Bible, with commas between them")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training GPT")
    parser.add_argument("--vocab-size", type=positive, default=8000)
    parser.add_argument("--checked", type=positive, default=100, help="probabilities of NLTK's own")
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
    text = load_text(arguments.text, arguments.vocab_size)
    peers = [kneser_ney_row(text, order, arguments.checked) for order in ORDERS]
    rows = [unigram_row(text), *peers, gpt_row(text, arguments.minutes)]
    print(table(rows))
    unequal = len({row["tokens"] for row in rows}) > 1
    if unequal:
        say("the models did not score the same tokens")
    lines = {name: len(part) for name, part in text.lines.items()}
    settings = {"dtype": dtype, "sizes": SIZES, "lines": lines, "left_out": text.left_out}
    write_result(arguments, host, settings, rows=rows)
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main())
