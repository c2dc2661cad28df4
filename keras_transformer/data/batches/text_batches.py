"""Batches of the text of one language, for models that learn from it alone.

A text is a pair without a source: its tokens are planned, padded and shuffled as the targets of
pairs are.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import tensorflow as tf

from keras_transformer.data.batches.masked import mask_tokens
from keras_transformer.data.batches.pairs import IDS, Batches
from keras_transformer.data.corpora.corpus import SPLITS, Corpus


class NoTokens:
    """Stands for the source's tokenizer where there is no source: it gives no tokens."""

    def tokenize(self, strings) -> tf.RaggedTensor:
        lengths = tf.zeros(tf.shape(strings), tf.int64)
        return tf.RaggedTensor.from_row_lengths(tf.zeros((0,), tf.int64), lengths)


def without_source(tokenizer) -> SimpleNamespace:
    """What `tokenize_pairs` takes for the texts of one language."""
    return SimpleNamespace(source=NoTokens(), target=tokenizer)


def text_corpus(corpus: Corpus) -> Corpus:
    """A corpus of the target side alone, as pairs with an empty source."""
    language = corpus.target_language
    splits = {split: getattr(corpus, split) for split in SPLITS}
    return replace(
        corpus,
        **{
            split: pairs.map(lambda source, target: (tf.constant(""), target))
            for split, pairs in splits.items()
            if pairs is not None
        },
        source_language=language,
        target_language=language,
    )


class TextBatches(Batches):
    """Batches for a model that predicts each token from those before it.

    Arguments are those of `Batches`; `epoch` yields ``(ids, labels)``, int32 ``(rows, length)``:
    the texts without their end, and without their start.
    """

    element_spec = (IDS, IDS)

    def epoch(self, number, start=0) -> Iterator:
        for (_, ids), labels in super().epoch(number, start):
            yield ids, labels


class MaskedBatches(Batches):
    """Batches for a model that predicts hidden tokens from those around them.

    What is hidden follows from the seed, the epoch and the batch.

    Args:
        pairs, batch_tokens: as for `Batches`.
        vocab_size: number of tokens; the one that hides others has the id after the last.
        seed: of masks, and of the shuffling.
        **options: the other arguments of `Batches`.

    `epoch` yields ``(ids, labels)``, int32 ``(rows, length)``: the texts with some tokens hidden,
    and those tokens with 0 everywhere else.
    """

    element_spec = (IDS, IDS)

    def __init__(self, pairs, batch_tokens, *, vocab_size, seed=1, **options):
        super().__init__(pairs, batch_tokens, seed=seed, **options)
        self.seed = seed
        self._mask = tf.function(
            functools.partial(mask_tokens, vocab_size=vocab_size),
            reduce_retracing=True,
            autograph=False,
        )

    def epoch(self, number, start=0) -> Iterator:
        epoch_seed = tf.constant([self.seed, number], tf.int64)
        for batch, ((_, ids), labels) in enumerate(super().epoch(number, start), start):
            whole = tf.concat([ids[:, :1], labels], axis=1)  # the text with its start and its end
            seed = tf.random.fold_in(epoch_seed, batch, alg="philox")
            masked, hidden = self._mask(tf.constant(whole), seed=seed)
            yield masked.numpy(), hidden.numpy()
