"""Tokenising a corpus on Apache Beam, to the same bytes as `train` does it on one machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from keras_transformer.data.batches.token_shards import (
    SHARD,
    Recipe,
    TokenShards,
    begin_token_shards,
    finish_token_shards,
    shard_is_there,
    tokenize_texts,
    write_shard,
)
from keras_transformer.data.batches.token_store import TEXTS_AT_ONCE, Chunk
from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.distributed.translating import NAMESPACE, counts_of, pipeline_options

Texts = tuple[list[bytes], list[bytes]]


class TokenizePairs(beam.PTransform):
    """Tokenises the training pairs of a corpus into shards of a folder that all workers see.

    One worker reads the corpus, all of them tokenise, and a shard is written by one of them when
    all its pairs are there. Shards that are there already are not made again. Applied to a
    pipeline, it gives the numbers of the shards that it wrote.

    Args:
        load: gives the corpus, on any worker.
        folder: of the shards, begun by `begin_token_shards`.
        recipe: how pairs become ids; its folder of tokenizers is one that all workers see.
    """

    def __init__(self, load: Callable[[], Corpus], folder, recipe: Recipe):
        super().__init__()
        self._load, self._folder, self._recipe = load, Path(folder), recipe

    def expand(self, pipeline):
        return (
            pipeline
            | "Corpus" >> beam.Create([None], reshuffle=False)
            | "Read" >> beam.ParDo(_ReadTexts(self._load, self._folder))
            | "Share out" >> beam.Reshuffle()
            | "Tokenise" >> beam.ParDo(_Tokenize(self._recipe))
            | "By shard" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(_WriteShard(self._folder, self._recipe))
        )


class _ReadTexts(beam.DoFn):
    """Reads the texts of all shards that are missing, `TEXTS_AT_ONCE` pairs at a time."""

    def __init__(self, load: Callable[[], Corpus], folder: Path):
        self._load, self._folder = load, folder

    def process(self, element) -> Iterator[tuple[int, int, Texts]]:
        dataset = self._load().require("train")
        of_shard = SHARD // TEXTS_AT_ONCE
        batches = dataset.batch(TEXTS_AT_ONCE).prefetch(2).as_numpy_iterator()
        for number, (source, target) in enumerate(batches):
            shard = number // of_shard
            if not shard_is_there(self._folder, shard):
                yield shard, number % of_shard, (source.tolist(), target.tolist())


class _Tokenize(beam.DoFn):
    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        self._pairs = Metrics.counter(NAMESPACE, "pairs")

    def process(self, element: tuple[int, int, Texts]) -> Iterator[tuple[int, tuple[int, Chunk]]]:
        shard, place, texts = element
        self._pairs.inc(len(texts[0]))
        yield shard, (place, tokenize_texts(self._recipe, texts))


class _WriteShard(beam.DoFn):
    def __init__(self, folder: Path, recipe: Recipe):
        self._folder, self._recipe = folder, recipe
        self._shards = Metrics.counter(NAMESPACE, "shards")

    def process(self, element: tuple[int, Iterable[tuple[int, Chunk]]]) -> Iterator[int]:
        shard, chunks = element
        ordered = [chunk for _, chunk in sorted(chunks, key=lambda placed: placed[0])]
        write_shard(self._folder, shard, ordered, self._recipe)
        self._shards.inc()
        yield shard


def tokenize_corpus(
    load: Callable[[], Corpus],
    folder,
    key: str,
    recipe: Recipe,
    *,
    runner: str = "DirectRunner",
    runner_options: Mapping[str, Any] | Iterable[str] = (),
) -> dict[str, int]:
    """Tokenises the training pairs of a corpus on a runner of Beam.

    A call that was interrupted goes on with the shards that are missing when it is made again.

    Args:
        load: gives the corpus, on any worker.
        folder: of the shards; what it holds of another key is made anew.
        key: from `corpus_key`.
        recipe: as for `TokenizePairs`.
        runner, runner_options: as for `translate_files`.

    Returns:
        numbers of `pairs` and `shards`, as far as the runner tells.
    """
    if not begin_token_shards(folder, key):
        return {}
    pipeline = beam.Pipeline(options=pipeline_options(runner, runner_options))
    _ = pipeline | TokenizePairs(load, folder, recipe)
    result = pipeline.run()
    result.wait_until_finish()
    pairs = int(load().require("train").cardinality())
    finish_token_shards(folder, key, -(-pairs // SHARD))
    return counts_of(result)


def shard_writer(load: Callable[[], Corpus], **options: Any) -> Callable[..., TokenShards]:
    """What tokenises in the place of `write_token_shards`, for `prepare`.

    Args:
        load: as for `tokenize_corpus`.
        options: ``runner`` and ``runner_options``, likewise.
    """

    def write(folder, key: str, dataset, recipe: Recipe, say: Callable[[str], None]):
        recipe = replace(recipe, tokenizers=recipe.tokenizers.absolute())
        tokenize_corpus(load, Path(folder).absolute(), key, recipe, **options)
        return TokenShards(folder)

    return write
