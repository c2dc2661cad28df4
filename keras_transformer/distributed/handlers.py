"""Models for Beam's `RunInference`: a run folder or an export, loaded once in each process."""

import contextlib
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler

from keras_transformer.distributed.records import Failure, Shard
from keras_transformer.translating.translation import BaseTranslator
from keras_transformer.translating.translator import Translator

MOST_TEXTS = 2048
"""Texts that are translated in one call unless said otherwise, sorted by length in it."""


class Translated(NamedTuple):
    """What became of a text.

    Attributes:
        text: the text.
        translation: its best translation; ``None`` where it could not be translated.
        problem: why not.
    """

    text: str
    translation: str | None
    problem: str = ""


class TranslatedShard(NamedTuple):
    """What became of a shard.

    Attributes:
        shard: of texts.
        translations: of its texts, in their order; ``None`` for those that failed.
        failures: of reading and translating.
    """

    shard: Shard
    translations: list[str | None]
    failures: list[Failure]


class _Handler(ModelHandler):
    """A translator as Beam loads it.

    Args:
        model: a run folder or an export, or several run folders that translate together.
        jit_compile: as for `Translator.load`.
        threads: most that TensorFlow uses in each process for an operation; all CPUs unless given.
        options: as for `Translator.translate`.
    """

    def __init__(
        self,
        model,
        *,
        jit_compile: bool | None = None,
        threads: int | None = None,
        **options: Any,
    ):
        super().__init__()
        self.model = model
        self.options = options
        self._jit_compile = jit_compile
        self._threads = threads

    def load_model(self) -> BaseTranslator:
        if self._threads is not None:
            with contextlib.suppress(RuntimeError):  # this process has begun already
                tf.config.threading.set_intra_op_parallelism_threads(self._threads)
                tf.config.threading.set_inter_op_parallelism_threads(self._threads)
        translator = Translator.load(self.model, jit_compile=self._jit_compile)
        # What it refuses of any text is no fault of one: the pipeline fails here.
        translator.translate(["a"], **self.options)
        return translator

    def get_metrics_namespace(self) -> str:
        return "keras_transformer"

    def get_num_bytes(self, batch) -> int:
        return sum(len(pickle.dumps(example)) for example in batch)


class TranslatorHandler(_Handler):
    """Translates texts; for `RunInference`, with keys by Beam's `KeyedModelHandler`.

    Examples are strings, predictions `Translated`. A text that cannot be translated fails alone.

    Args:
        model, jit_compile, threads, options: as for `Translate`.
        batch: most texts that are translated in one call.
    """

    def __init__(self, model, *, batch=MOST_TEXTS, **options: Any):
        super().__init__(model, **options)
        self._batch = batch

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        return {"min_batch_size": min(64, self._batch), "max_batch_size": self._batch}

    def run_inference(
        self, batch: Sequence[str], model: BaseTranslator, inference_args=None
    ) -> Iterable[Translated]:
        return translate_each(model, list(batch), **self.options)


class ShardHandler(_Handler):
    """Translates `Shard` after `Shard`; predictions are `TranslatedShard`."""

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[Shard]) -> int:
        return sum(len(text.encode()) for shard in batch for text in shard.texts)

    def run_inference(
        self, batch: Sequence[Shard], model: BaseTranslator, inference_args=None
    ) -> Iterator[TranslatedShard]:
        for shard in batch:
            yield self._translated(shard, model)

    def _translated(self, shard: Shard, model: BaseTranslator) -> TranslatedShard:
        options = dict(self.options)
        if model.takes_first_stream:
            options["first_stream"] = shard.first
        found = translate_each(model, shard.texts, **options)
        unread = {failure.line for failure in shard.failures}
        translations, failures = [], list(shard.failures)
        for line, one in enumerate(found, shard.first + 1):
            translations.append(None if line in unread else one.translation)
            if one.translation is None and line not in unread:
                failures.append(Failure(line, one.text, one.problem))
        return TranslatedShard(shard, translations, sorted(failures))


def translate_each(
    translator: BaseTranslator, texts: Sequence[str], **options: Any
) -> list[Translated]:
    """Translates texts, of which each may fail alone.

    Args:
        translator: whose `translate` is called; for halves of the texts, where it fails.
        texts: any number.
        options: of `translate`.
    """
    if not texts:
        return []
    try:
        found = translator.translate(list(texts), **options)
    except Exception as error:  # whatever a text may cause
        if len(texts) == 1:
            return [Translated(texts[0], None, f"{type(error).__name__}: {error}")]
        half = len(texts) // 2
        later = dict(options)
        if "first_stream" in options:
            later["first_stream"] = options["first_stream"] + half
        return [
            *translate_each(translator, texts[:half], **options),
            *translate_each(translator, texts[half:], **later),
        ]
    best = (one[0] if isinstance(one, list) else one for one in found)
    return [Translated(text, one.text) for text, one in zip(texts, best, strict=True)]
