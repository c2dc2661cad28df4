"""Translating on Apache Beam: as a transform of any pipeline, and from files to files."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import loky
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.pvalue import TaggedOutput

from keras_transformer.data.corpora.files.names import find_files, kind_of
from keras_transformer.data.corpora.files.opening import (
    Location,
    OpenFile,
    exists,
    is_remote,
    state_of,
    write_location,
)
from keras_transformer.distributed.handlers import (
    ShardHandler,
    Translated,
    TranslatedShard,
    TranslatorHandler,
)
from keras_transformer.distributed.records import (
    FORMATS,
    finished_shards,
    read_shards,
    write_shard,
)
from keras_transformer.errors import InputError, whole_number
from keras_transformer.files import make_folder, parse_json

NAMESPACE = "keras_transformer"
"""Of the counters `translated`, `failed`, `shards` and `skipped_shards`."""

FAILED = "failed"
"""The tag of texts that could not be translated."""

SETTINGS = ".settings.json"
"""The ending of the file that says what shards were made of."""

_WEIGHTS = ("model.weights.h5", "saved_model.pb", "model.bin")


class Translate(beam.PTransform):
    """Translates keyed texts: ``(key, text)`` to ``(key, translation)``.

    Applied, it gives a tuple of outputs: `translated`, and `failed` with ``(key, (text, problem))``
    for what could not be translated.

    Args:
        model: a run folder or an export that all workers see, or several run folders that translate
            together. Each process of a worker loads it once.
        jit_compile: as for `Translator.load`.
        threads: most that TensorFlow uses in each process for an operation; all CPUs unless given.
        batch: most texts that are translated in one call, sorted by length.
        options: as for `Translator.translate`, such as ``beam_size=4``.
    """

    def __init__(self, model, **options: Any):
        super().__init__()
        self._handler = TranslatorHandler(model, **options)

    def expand(self, texts):
        found = texts | RunInference(KeyedModelHandler(self._handler))
        return found | "Tell apart" >> beam.ParDo(_TellApart()).with_outputs(
            FAILED, main="translated"
        )


class _TellApart(beam.DoFn):
    def __init__(self):
        self._counters = {name: Metrics.counter(NAMESPACE, name) for name in ("translated", FAILED)}

    def process(self, element: tuple[Any, Translated]):
        key, found = element
        is_failed = found.translation is None
        self._counters[FAILED if is_failed else "translated"].inc()
        if is_failed:
            yield TaggedOutput(FAILED, (key, (found.text, found.problem)))
        else:
            yield key, found.translation


class _ReadShards(beam.DoFn):
    """Reads the shards of a file that are not done yet."""

    def __init__(self, prefix: str, form: str, size: int, key: str):
        self._prefix, self._form, self._size, self._key = prefix, form, size, key
        self._skipped = Metrics.counter(NAMESPACE, "skipped_shards")

    def process(self, element: tuple[int, str]):
        file, path = element
        done = finished_shards(self._prefix, self._form, file)
        for shard in read_shards(file, path, self._size, self._key):
            if shard.name in done:
                self._skipped.inc()
            else:
                yield shard


class _WriteShard(beam.DoFn):
    def __init__(self, prefix: str, form: str):
        self._prefix, self._form = prefix, form
        self._counters = {
            name: Metrics.counter(NAMESPACE, name) for name in ("translated", FAILED, "shards")
        }

    def process(self, element: TranslatedShard):
        shard, translations, failures = element
        write_shard(self._prefix, self._form, shard, translations, failures)
        failed = translations.count(None)
        self._counters["shards"].inc()
        self._counters["translated"].inc(len(translations) - failed)
        self._counters[FAILED].inc(failed)
        yield shard.name


def translate_files(
    model,
    inputs: str | Sequence[str],
    output: Location,
    *,
    form: str | None = None,
    text_key: str = "text",
    texts_per_shard: int = 4096,
    runner: str = "DirectRunner",
    runner_options: Mapping[str, Any] | Iterable[str] = (),
    jit_compile: bool | None = None,
    threads: int | None = None,
    **options: Any,
) -> dict[str, int]:
    """Translates files on a runner of Beam, and writes shards of translations.

    Shards are named ``OUTPUT-00000-000000.txt``: by the number of the file and of the shard in it,
    so that in the order of their names they are all translations in their order. Each is written
    whole or not at all. A call that was interrupted goes on with the shards that are missing when
    it is made again. What cannot be read or translated is in ``OUTPUT-...failed.jsonl`` beside its
    shard; where line N is the translation of line N, an empty line takes its place.

    Args:
        model: as for `Translate`.
        inputs: names of files or patterns, as corpora have them: texts, a line each, ``.jsonl`` or
            ``.parquet``, packed or not, here or at an address that fsspec opens.
        output: what the names of the shards begin with, a path or an address.
        form: one of `FORMATS`; unless given, what suits the input: text for lines, else records
            with the translation under ``translation``.
        text_key: where records of the input have their text.
        texts_per_shard: most texts of a shard.
        runner: name of a runner of Beam.
        runner_options: options of the pipeline: a mapping, or ``NAME=VALUE`` each.
        jit_compile, threads, options: as for `Translate`.

    Returns:
        numbers of texts `translated` and `failed`, of `shards` written and `skipped_shards`; those
        that the runner tells.

    Raises:
        InputError: for files that are missing, shards of other settings, and what the model
            refuses.
    """
    size = whole_number("texts_per_shard", texts_per_shard)
    names = [inputs] if isinstance(inputs, str) else list(inputs)
    files = [str(path) for name in names for path in find_files(name)]
    if not files:
        raise InputError("no files of texts were named: give at least one")
    form = form or _usual_form(files)
    if form not in FORMATS:
        raise InputError(f"{form!r} is no format of translations: {', '.join(FORMATS)} are")
    output = str(output) if is_remote(str(output)) else str(Path(output).absolute())
    of_pipeline = pipeline_options(runner, runner_options)
    threads = threads or _threads(of_pipeline)
    handler = ShardHandler(_absolute(model), jit_compile=jit_compile, threads=threads, **options)
    settings = {
        "model": _model_state(handler.model),
        "files": {file: str(state_of(file)) for file in files},
        "format": form,
        "text_key": text_key,
        "texts_per_shard": size,
        "options": {name: _plain(value) for name, value in sorted(options.items())},
    }
    _check_settings(output, settings)
    pipeline = beam.Pipeline(options=of_pipeline)
    (
        pipeline
        | "Files" >> beam.Create(list(enumerate(files)), reshuffle=False)
        | "Read" >> beam.ParDo(_ReadShards(output, form, size, text_key))
        | "Share out" >> beam.Reshuffle()
        | "Translate" >> RunInference(handler)
        | "Write" >> beam.ParDo(_WriteShard(output, form))
    )
    result = pipeline.run()
    result.wait_until_finish()
    return counts_of(result)


def _usual_form(files: Sequence[str]) -> str:
    kinds = {kind_of(file) for file in files}
    return {".jsonl": "jsonl", ".parquet": "parquet"}.get(min(kinds), "text")


def _absolute(model):
    """A model's path, or several, for processes that work elsewhere.

    Raises:
        InputError: when it is not there.
    """
    if isinstance(model, tuple | list):
        return tuple(map(_absolute, model))
    if not Path(model).exists():
        raise InputError(f"{model}: no such model: give a run folder or an exported model")
    return str(Path(model).absolute())


def _model_state(model) -> Any:
    """What changes when a model changes."""
    if isinstance(model, tuple):
        return [_model_state(one) for one in model]
    files = [Path(model) / name for name in _WEIGHTS if (Path(model) / name).exists()]
    return {"folder": model, "weights": [str(state_of(file)) for file in files]}


def _plain(value: Any) -> Any:
    """An option as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.loads(json.dumps(value, default=str))


def _check_settings(output: str, settings: dict) -> None:
    """Writes what shards are made of, or compares it with what those that are there were made of.

    Raises:
        InputError: when they differ.
    """
    path = f"{output}{SETTINGS}"
    if not is_remote(path):
        make_folder(Path(path).parent)
    if exists(path):
        with OpenFile(path) as file:
            found = parse_json(file.read(2**26))
        if differs := [name for name in settings if found.get(name) != settings[name]]:
            raise InputError(
                f"{path}: shards that are there were made with another {differs[0]}: delete them, "
                "or choose another output"
            )
        return
    content = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    write_location(path, content.encode("utf-8"))


def pipeline_options(runner: str, options: Mapping[str, Any] | Iterable[str]) -> PipelineOptions:
    """Options of a pipeline.

    Args:
        runner: name of a runner of Beam.
        options: a mapping, or ``NAME=VALUE`` each.
    """
    pairs = (
        [f"{name}={value}" for name, value in options.items()]
        if isinstance(options, Mapping)
        else list(options)
    )
    return PipelineOptions([f"--runner={runner}", *(f"--{pair}" for pair in pairs)])


def _threads(options: PipelineOptions) -> int | None:
    """Threads for each of several processes on this machine, which share its CPUs."""
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return None
    workers = direct.direct_num_workers or loky.cpu_count()
    return max(1, loky.cpu_count() // workers)


def counts_of(result) -> dict[str, int]:
    """The counters of a pipeline that is done, by their names."""
    found = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(NAMESPACE))
    names = ("translated", FAILED, "shards", "skipped_shards", "pairs")
    return {
        counter.key.metric.name: counter.result
        for counter in found["counters"]
        if counter.key.metric.name in names
    }
