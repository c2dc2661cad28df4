"""python benchmarks/decoding.py --model RUN (--dataset NAME | --pairs SRC,TGT) [--sentences N]

How fast a trained run translates on the CPU, here and in what else one could pick: sentences and
real target tokens per second, and how long one sentence takes, greedily and with a beam of 4.
Systems with a shortlist look at `--shortlist` target tokens for each token of the source alone.

All systems get the same batches: token ids of sentences of like length, the longest batch first,
and one limit of target tokens for each. Only the SavedModel is strings in, strings out. Weights are
the run's, but random ones of the same sizes for Hugging Face, whose translations are made as long
as the references are on average. The tutorial's loop has no cache and no beam: for each token the
whole model runs on all tokens so far. It and Hugging Face translate some of the batches, evenly
spread, and are compared with CTranslate2 on just these.

Every system has a process of its own with the same number of threads. Throughput is of the whole
set: this package translates as many batches at a time as there are threads; CTranslate2 has one
worker with all threads or as many workers as threads, and the faster counts; the others take one
batch after the other. Latency is of one sentence after the other. The first pass over a setting's
batches, with all tracing and compiling, stands apart. Then come the rounds (`--repeats`), in which
the systems take turns while the others wait; of speeds, latencies and ratios within a round the
medians count. Padding does not count, the end token does.

    pip install ctranslate2 torch transformers      # for the systems of these libraries
    python benchmarks/decoding.py --model runs/pt_en --dataset sample --sentences 32 --repeats 1
"""

import abc
import argparse
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
from common import cores, machine, positive, say, versions

# Frameworks are imported by the processes that measure them.

PAD, START, END = 0, 2, 3
BATCH_SIZES = (1, 16, 64)
SEARCHES = {"greedy": 1, "beam": 4}  # name -> beam size; the length penalty is 1
REFERENCE = "ctranslate2"  # what ratios and agreement refer to

Tokens = list[list[int]]
"""Target ids of each sentence of a batch, up to and with the end, without padding."""


@dataclass(frozen=True)
class Batch:
    """Sentences of like length in the forms that the systems take.

    Attributes:
        texts: as in the test set.
        ids: int32 ``(rows, length)``, start and end included, padded.
        names: the same as names of tokens, without padding.
        limit: most target tokens, the end included.
    """

    texts: list[str]
    ids: np.ndarray
    names: list[list[str]]
    limit: int


def prepare(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Tokenises the test set and exports the run to `folder`, where the other processes look.

    Returns:
        the number of sentences and the mean length of their references in tokens.
    """
    import keras_transformer as kt
    from keras_transformer.data.corpora.corpus import list_pairs
    from keras_transformer.data.corpora.pair_files import read_pairs
    from keras_transformer.exporting import export_ctranslate2

    translator = load_run(arguments.model)
    if arguments.pairs:
        pairs = read_pairs(arguments.pairs)
    else:
        corpus = kt.load_corpus(arguments.dataset, data_dir=arguments.data_dir)
        pairs = list_pairs(corpus.require(arguments.split))
    tokenizers, model = translator.tokenizers, translator.transformer
    ids = tokenizers.source.tokenize([source for source, _ in pairs]).to_list()
    fitting = [i for i, row in enumerate(ids) if 2 < len(row) <= translator.max_source_length]
    chosen = sorted(fitting[: arguments.sentences], key=lambda i: -len(ids[i]))
    targets = tokenizers.target.tokenize([pairs[i][1] for i in chosen]).row_lengths().numpy() - 1
    config = kt.DecodingConfig()
    prepared = {
        "run": str(arguments.model),
        "shortlist": arguments.shortlist,
        "references": [pairs[i][1] for i in chosen],
        "texts": [pairs[i][0] for i in chosen],
        "ids": [ids[i] for i in chosen],
        "limits": [
            min(int(len(ids[i]) * config.length_ratio) + config.length_offset, model.max_length)
            for i in chosen
        ],
        "source_names": names_of(tokenizers.source),
        "target_names": names_of(tokenizers.target),
        "reference_tokens": round(float(np.mean(targets))),
    }
    (folder / "prepared.json").write_text(json.dumps(prepared))
    for name in arguments.systems:
        if not issubclass(SYSTEMS[name], CTranslate2) or obstacle(name):
            continue
        system = SYSTEMS[name]
        size = arguments.shortlist if system.shortlist else None
        translator.decoding = decoding_config("greedy", size)
        export_ctranslate2(translator, folder / name, quantization=system.compute_type)
    for name in arguments.systems:
        if issubclass(SYSTEMS[name], SavedModel) and not (folder / SYSTEMS[name].exported).exists():
            size = arguments.shortlist if SYSTEMS[name].shortlist else None
            for search in SEARCHES:
                translator.decoding = decoding_config(search, size)
                kt.export(translator, folder / SYSTEMS[name].exported / search)
    return {"sentences": len(chosen), "reference_tokens": prepared["reference_tokens"]}


def load_run(run: str | Path) -> Any:
    """The `Translator` of a run folder."""
    import keras_transformer as kt

    translator = kt.Translator.load(run)
    if not isinstance(translator, kt.Translator):
        raise SystemExit(f"{run}: is exported already: give a run folder")
    return translator


def decoding_config(search: str, shortlist: int | None) -> Any:
    import keras_transformer as kt

    return kt.DecodingConfig(beam_size=SEARCHES[search], length_penalty=1.0, shortlist=shortlist)


def names_of(tokenizer: Any) -> list[str]:
    names = tokenizer.lookup([list(range(int(tokenizer.get_vocab_size())))])[0]
    return [name.decode("utf-8") for name in names.numpy()]


# Systems. Each lives in a process of its own and translates batches when told to.


class System(abc.ABC):
    """A way to translate.

    Args:
        prepared: what `prepare` wrote.
        folder: where it wrote the exported models.
        threads: how many it may use.
    """

    label: str  # in the table
    needs: tuple[str, ...] = ()  # modules, and what pip knows them by
    searches: tuple[str, ...] = tuple(SEARCHES)
    shortlist: bool = False  # looks at some of the target tokens alone
    slow: bool = False  # translates only some of the batches
    own_weights: bool = False  # not those of the run
    ways: tuple[str, ...] = ("one batch after the other",)  # the fastest counts

    def __init__(self, prepared: dict[str, Any], folder: Path, threads: int):
        self.prepared, self.threads = prepared, threads
        self.load(folder)

    @abc.abstractmethod
    def load(self, folder: Path) -> None:
        """Prepares to translate."""

    @abc.abstractmethod
    def translate(self, way: str, search: str, batch: Batch) -> Any:
        """Translates one batch."""

    def translate_all(self, way: str, search: str, batches: list[Batch]) -> list[Any]:
        return [self.translate(way, search, batch) for batch in batches]

    def tokens(self, found: Any) -> Tokens:
        """What `translate` returned, as tokens; takes no part in the measured time."""
        return [up_to_end(row) for row in found.tolist()]


def up_to_end(row: list[int]) -> list[int]:
    row = row[: row.index(END) + 1] if END in row else row
    return [token for token in row if token != PAD]


def start_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


class Package(System):
    """This package's search, compiled by XLA."""

    label, jit_compile = "this package, XLA", True

    def load(self, folder):
        start_tensorflow(self.threads)
        from keras_transformer.decoding import Search

        self.ways = (f"{self.threads} batches at a time",)
        translator = load_run(self.prepared["run"])
        size = self.prepared["shortlist"] if self.shortlist else None
        self.search_of = {
            search: Search(
                translator.transformer,
                start_id=START,
                end_id=END,
                config=decoding_config(search, size),
                shortlist=translator.required_shortlist() if self.shortlist else None,
                jit_compile=self.jit_compile,
            )
            for search in SEARCHES
        }

    def translate(self, way, search, batch):
        limits = np.full(len(batch.ids), batch.limit, np.int32)
        return self.search_of[search](batch.ids, limits).tokens[:, 0].numpy()

    def translate_all(self, way, search, batches):
        with ThreadPoolExecutor(self.threads) as executor:
            return list(executor.map(partial(self.translate, way, search), batches))


class PackageShortlist(Package):
    """The same with a shortlist."""

    label, shortlist = "  with a shortlist", True


class PackageGraph(Package):
    """The same as a plain graph."""

    label, jit_compile = "this package, graph", False


class SavedModel(System):
    """The exported model: texts in, texts out, with limits of its own for each sentence."""

    label, signature = "its SavedModel, XLA", "corpus_style_xla"
    exported = "saved_model"

    def load(self, folder):
        start_tensorflow(self.threads)
        import tensorflow as tf

        from keras_transformer.data.tokenizers.pair import Tokenizers

        self.tokenizer = Tokenizers.load(Path(self.prepared["run"]) / "tokenizers").target
        self.models = {
            search: tf.saved_model.load(str(folder / self.exported / search / "1"))
            for search in SEARCHES
        }

    def translate(self, way, search, batch):
        import tensorflow as tf

        function = self.models[search].signatures[self.signature]
        return function(text=tf.constant(batch.texts))["translation"].numpy()

    def translate_all(self, way, search, batches):
        with ThreadPoolExecutor(self.threads) as executor:
            return list(executor.map(partial(self.translate, way, search), batches))

    def tokens(self, found):
        """Of the texts: now and then the model wrote a word in other pieces."""
        return [row[1:] for row in self.tokenizer.tokenize(found).to_list()]


class SavedModelShortlist(SavedModel):
    """One that was exported with a shortlist."""

    label, exported, shortlist = "  with a shortlist", "saved_model_shortlist", True


class SavedModelGraph(SavedModel):
    """Its signature that TensorFlow Serving runs unless told otherwise."""

    label, signature = "its SavedModel, graph", "corpus_style"


class CTranslate2(System):
    """CTranslate2 with weights of float32."""

    name, label, needs = "ctranslate2", "CTranslate2 float32", ("ctranslate2",)
    compute_type = "float32"

    def load(self, folder):
        import ctranslate2

        self.ids = {name: i for i, name in enumerate(self.prepared["target_names"])}
        self.models = {
            f"{workers} x {self.threads // workers} threads": ctranslate2.Translator(
                str(folder / self.name / "1"),
                compute_type=self.compute_type,
                inter_threads=workers,
                intra_threads=self.threads // workers,
            )
            for workers in {1, self.threads}
        }
        self.ways = tuple(self.models)

    def submitted(self, way: str, search: str, batch: Batch) -> list[Any]:
        """What will be the results for each sentence.

        Without these options CTranslate2 gives no empty translation, cuts sources at 1,024 tokens
        and might give padding, which no training text has. Its length penalty counts the end, as
        this package's does. The whole batch is one batch, as its `max_batch_size` is 0.
        """
        return self.models[way].translate_batch(
            batch.names,
            beam_size=SEARCHES[search],
            length_penalty=1.0,
            max_input_length=0,
            max_decoding_length=batch.limit,
            min_decoding_length=0,
            suppress_sequences=[[self.prepared["target_names"][PAD]]],
            use_vmap=self.shortlist,
            asynchronous=True,
        )

    def translate(self, way, search, batch):
        return [result.result() for result in self.submitted(way, search, batch)]

    def translate_all(self, way, search, batches):
        waiting = [self.submitted(way, search, batch) for batch in batches]
        return [[result.result() for result in results] for results in waiting]

    def tokens(self, found):
        return [[*(self.ids[name] for name in result.hypotheses[0]), END] for result in found]


class CTranslate2Int8(CTranslate2):
    """CTranslate2 with weights of eight bits."""

    name, label, compute_type = "ctranslate2_int8", "CTranslate2 int8", "int8"


class CTranslate2Shortlist(CTranslate2):
    """CTranslate2 with the same shortlist, of all sentences of a batch together."""

    name, label, shortlist = "ctranslate2_shortlist", "  with the shortlist", True


class CTranslate2Int8Shortlist(CTranslate2Int8):
    """The same with weights of eight bits."""

    name, label, shortlist = "ctranslate2_int8_shortlist", "  with the shortlist", True


class TutorialLoop(System):
    """The tutorial's `Translator`, for any number of sentences."""

    label, searches, slow = "the tutorial's loop", ("greedy",), True

    def load(self, folder):
        start_tensorflow(self.threads)
        import tensorflow as tf

        transformer = load_run(self.prepared["run"]).transformer
        ids, limit = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)

        @tf.function(input_signature=[ids, limit])
        def loop(source, limit):
            rows = tf.shape(source)[0]
            output = tf.TensorArray(tf.int32, size=0, dynamic_size=True)
            output = output.write(0, tf.fill([rows], START))
            ended = tf.zeros([rows], tf.bool)
            for i in tf.range(limit):
                target = tf.transpose(output.stack())
                logits = transformer((source, target), training=False)[:, -1]
                token = tf.argmax(logits, axis=-1, output_type=tf.int32)
                output = output.write(i + 1, token)
                ended |= token == END
                if tf.reduce_all(ended):
                    break
            return tf.transpose(output.stack())[:, 1:]

        self.loop = loop

    def translate(self, way, search, batch):
        return self.loop(batch.ids, batch.limit).numpy()


class HuggingFace(System):
    """`generate` of a Marian model with random weights."""

    label, needs = "Hugging Face Marian", ("torch", "transformers")
    slow = own_weights = True

    def load(self, folder):
        import torch
        import transformers

        torch.set_num_threads(self.threads)
        torch.manual_seed(1)
        transformers.logging.set_verbosity_error()
        self.torch, self.length = torch, self.prepared["reference_tokens"]
        run = json.loads((Path(self.prepared["run"]) / "config.json").read_text())
        sizes = run["config"]["model"]
        sides = {
            f"{side}_{theirs}": sizes[ours]
            for side in ("encoder", "decoder")
            for theirs, ours in (
                ("layers", "num_layers"),
                ("attention_heads", "num_heads"),
                ("ffn_dim", "dff"),
            )
        }
        config = transformers.MarianConfig(
            **sides,
            vocab_size=len(self.prepared["source_names"]),
            decoder_vocab_size=len(self.prepared["target_names"]),
            share_encoder_decoder_embeddings=sizes["share_embeddings"],
            tie_word_embeddings=sizes["tie_output"],
            d_model=sizes["d_model"],
            activation_function=sizes["activation"],
            max_position_embeddings=sizes["max_length"],
            scale_embedding=True,
            pad_token_id=PAD,
            eos_token_id=END,
            decoder_start_token_id=START,
            forced_eos_token_id=None,
        )
        self.model = transformers.MarianMTModel(config).eval()

    def translate(self, way, search, batch):
        torch = self.torch
        ids = torch.from_numpy(batch.ids).long()
        with torch.inference_mode():
            found = self.model.generate(
                ids,
                attention_mask=(ids != PAD).long(),
                num_beams=SEARCHES[search],
                length_penalty=1.0,
                early_stopping=SEARCHES[search] > 1,
                do_sample=False,
                min_new_tokens=self.length,
                max_new_tokens=self.length,
            )
        return found[:, 1:].numpy()

    def tokens(self, found):
        return found.tolist()  # all count, whichever random weights make likely


SYSTEMS: dict[str, type[System]] = {
    "package": Package,
    "package_shortlist": PackageShortlist,
    "package_graph": PackageGraph,
    "saved_model": SavedModel,
    "saved_model_shortlist": SavedModelShortlist,
    "saved_model_graph": SavedModelGraph,
    "ctranslate2": CTranslate2,
    "ctranslate2_shortlist": CTranslate2Shortlist,
    "ctranslate2_int8": CTranslate2Int8,
    "ctranslate2_int8_shortlist": CTranslate2Int8Shortlist,
    "tutorial": TutorialLoop,
    "hugging_face": HuggingFace,
}


# What runs in the process of a system.


@cache
def prepared_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "prepared.json").read_text())


@cache
def system(name: str, folder: Path, threads: int) -> System:
    return SYSTEMS[name](prepared_in(folder), folder, threads)


@cache
def batches_of(size: int, folder: Path) -> list[Batch]:
    """The prepared sentences, which are sorted, `size` at a time."""
    prepared, batches = prepared_in(folder), []
    for start in range(0, len(prepared["ids"]), size):
        here = slice(start, start + size)
        rows = prepared["ids"][here]
        ids = np.full((len(rows), len(rows[0])), PAD, np.int32)
        for padded, row in zip(ids, rows, strict=True):
            padded[: len(row)] = row
        names = [[prepared["source_names"][i] for i in row] for row in rows]
        limit = max(prepared["limits"][here])
        batches.append(Batch(prepared["texts"][here], ids, names, limit))
    return batches


@dataclass(frozen=True)
class Task:
    """Some batches of one setting for one system, named by their places."""

    system: str
    search: str
    size: int
    places: tuple[int, ...]
    folder: Path
    threads: int

    def loaded(self) -> tuple[System, list[Batch]]:
        batches = batches_of(self.size, self.folder)
        return system(self.system, self.folder, self.threads), [batches[i] for i in self.places]


def timed(function: Callable, *arguments) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def first_pass(task: Task) -> dict[str, Any]:
    """Translates for the first time: how long it takes, and the tokens of each batch."""
    system, batches = task.loaded()
    first, _ = timed(system.translate, system.ways[0], task.search, batches[0])
    passes = [timed(system.translate_all, way, task.search, batches) for way in system.ways]
    return {
        "first_call_seconds": first,
        "first_pass_seconds": first + passes[0][0],
        "tokens": [system.tokens(found) for found in passes[0][1]],
    }


def one_round(task: Task) -> dict[str, Any]:
    """Translates all batches, and for batches of one sentence each of them alone."""
    system, batches = task.loaded()
    seconds = {
        way: timed(system.translate_all, way, task.search, batches)[0] for way in system.ways
    }
    way = min(seconds, key=seconds.get)
    measured = {"way": way, "seconds": seconds[way]}
    if task.size == 1:
        latencies = []
        for way in system.ways:
            each = [1000 * timed(system.translate, way, task.search, one)[0] for one in batches]
            latencies.append((statistics.median(each), float(np.quantile(each, 0.95))))
        measured["latency_ms"], measured["latency_95_ms"] = min(latencies)
    return measured


# What directs them.


class Bench:
    """One process for each system, and what they found.

    Args:
        arguments: of the command line.
        folder: where `prepare` wrote.
        sentences: how many there are.
    """

    def __init__(self, arguments: argparse.Namespace, folder: Path, sentences: int):
        self.arguments, self.folder, self.sentences = arguments, folder, sentences
        self.outcomes = {name: obstacle(name) for name in arguments.systems}
        self.processes = {name: process() for name in arguments.systems}

    def ask(self, function: Callable, task: Task) -> dict[str, Any] | None:
        """What `function` gives in the system's process; nothing once the system has failed."""
        if self.outcomes[task.system]:
            return None
        try:
            return self.processes[task.system].submit(function, task).result()
        except Exception as error:  # whatever it is, the others go on
            problem = str(error).strip() or type(error).__name__
            self.outcomes[task.system] = f"failed: {problem.splitlines()[-1]}"
            say(f"{task.system} {self.outcomes[task.system]}")
            return None

    def run_setting(self, search: str, size: int) -> list[dict[str, Any]]:
        """A row for each system."""
        count = math.ceil(self.sentences / size)
        extents = {
            "all": tuple(range(count)),
            "part": evenly(count, max(1, self.arguments.slow_sentences // size)),
        }
        names = [name for name in self.arguments.systems if search in SYSTEMS[name].searches]
        tasks = [
            (extent, Task(name, search, size, places, self.folder, self.arguments.threads))
            for name in names
            for extent, places in extents.items()
            if name == REFERENCE or SYSTEMS[name].slow == (extent == "part")
        ]
        firsts, rounds = {}, {}
        for extent, task in tasks:
            say(f"{search}, batches of {size}, {task.system}: first pass over {extent}")
            firsts[task.system, extent] = self.ask(first_pass, task)
        for number in range(self.arguments.repeats):
            say(f"{search}, batches of {size}: round {number + 1} of {self.arguments.repeats}")
            for extent, task in tasks:
                rounds.setdefault((task.system, extent), []).append(self.ask(one_round, task))
        return [self.row(name, search, size, firsts, rounds) for name in names]

    def row(self, name, search, size, firsts, rounds) -> dict[str, Any]:
        kind = SYSTEMS[name]
        extent = "part" if kind.slow else "all"
        row = {"system": name, "search": search, "batch_size": size}
        if self.outcomes[name]:
            return {**row, "outcome": self.outcomes[name]}
        first, mine = firsts[name, extent], rounds[name, extent]
        lengths = lengths_of(first)
        speeds = [sum(lengths) / one["seconds"] for one in mine]
        row |= {
            "outcome": "measured",
            "way": statistics.mode(one["way"] for one in mine),
            "sentences": len(lengths),
            "tokens": sum(lengths),
            "sentences_per_second": statistics.median(speeds) * len(lengths) / sum(lengths),
            "tokens_per_second": statistics.median(speeds),
            "first_call_seconds": first["first_call_seconds"],
            "first_pass_seconds": first["first_pass_seconds"],
            "rounds": mine,
        }
        if size == 1:
            for key in ("latency_ms", "latency_95_ms"):
                row[key] = statistics.median(one[key] for one in mine)
        if self.outcomes.get(REFERENCE, "is missing"):
            return row
        first_of_it, its = firsts[REFERENCE, extent], rounds[REFERENCE, extent]
        its_speeds = [sum(lengths_of(first_of_it)) / one["seconds"] for one in its]
        row["ratio"] = median_ratio(speeds, its_speeds)
        if size == 1:
            latencies = [[one["latency_ms"] for one in some] for some in (its, mine)]
            row["latency_ratio"] = median_ratio(*latencies)
        if not kind.own_weights:
            row["same"] = agreement(first["tokens"], first_of_it["tokens"])
        return row


def process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def obstacle(name: str) -> str | None:
    """Why a system cannot run here."""
    missing = [module for module in SYSTEMS[name].needs if importlib.util.find_spec(module) is None]
    return f"not installed: pip install {' '.join(missing)}" if missing else None


def evenly(count: int, wanted: int) -> tuple[int, ...]:
    """Places of `wanted` among `count`, the same distance apart; the middle one if only one."""
    wanted = min(count, wanted)
    return tuple(int((i + 0.5) * count / wanted) for i in range(wanted))


def lengths_of(first: dict[str, Any]) -> list[int]:
    return [len(row) for batch in first["tokens"] for row in batch]


def median_ratio(numbers: list[float], others: list[float]) -> float:
    """Median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(numbers, others, strict=True))


def agreement(found: list[Tokens], others: list[Tokens]) -> float:
    """Share of the sentences with the same tokens."""
    pairs = zip(chain(*found), chain(*others), strict=True)
    return statistics.mean(float(row == other) for row, other in pairs)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows, aligned, under a heading for each setting."""
    lines, heading = [], None
    for row in rows:
        if heading != (heading := f"{row['search']}, batches of {row['batch_size']}"):
            lines += ["", f"{heading:23}{'sent./s':>9}{'tokens/s':>10}{'ratio':>7}{'median':>11}"]
            lines[-1] += f"{'95 %':>11}{'ratio':>7}{'1st call':>10}{'1st pass':>10}{'same':>9}"
        line = f"{SYSTEMS[row['system']].label:23}"
        if row["outcome"] != "measured":
            lines.append(line + row["outcome"])
            continue
        line += f"{row['sentences_per_second']:9,.1f}{row['tokens_per_second']:10,.0f}"
        line += number(row, "ratio", 7, ".2f") + number(row, "latency_ms", 8, ".1f", " ms")
        line += number(row, "latency_95_ms", 8, ".1f", " ms") + number(row, "latency_ratio", 7)
        line += f"{row['first_call_seconds']:8.1f} s{row['first_pass_seconds']:8.1f} s"
        lines.append(line + number(row, "same", 9, ".1%"))
    return "\n".join([*lines[1:], "", "ratio: times as fast as CTranslate2 float32"])


def number(row: dict[str, Any], key: str, width: int, form: str = ".2f", unit: str = "") -> str:
    if key not in row:
        return " " * (width + len(unit))
    return f"{row[key]:{width}{form}}{unit}"


def system_names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no {unknown[0]!r}: choose of {', '.join(SYSTEMS)}")
    return names


def batch_sizes(text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or not set(sizes) <= set(BATCH_SIZES):
        raise argparse.ArgumentTypeError(f"choose of {','.join(map(str, BATCH_SIZES))}")
    return sizes


def add_arguments(parser: argparse.ArgumentParser, systems, sizes) -> None:
    """Adds what is asked for: a test set, sizes, systems and rounds.

    Args:
        parser: of the command line.
        systems, sizes: the default ones.
    """
    test_set = parser.add_mutually_exclusive_group(required=True)
    test_set.add_argument("--dataset", help="as for keras_transformer.load_corpus")
    test_set.add_argument("--pairs", help="SRC,TGT or FILE.tsv")
    parser.add_argument("--split", default="validation", choices=("train", "validation", "test"))
    parser.add_argument("--data-dir", help="prepared data, or an archive")
    parser.add_argument("--sentences", type=positive, help="the first ones; all if unset")
    parser.add_argument(
        "--shortlist", type=positive, default=64, help="target tokens for each of the source"
    )
    parser.add_argument("--batch-sizes", type=batch_sizes, default=list(sizes), help="of 1,16,64")
    parser.add_argument("--repeats", type=positive, default=3, help="rounds over all systems")
    parser.add_argument("--threads", type=positive, default=cores(), help="of every system")
    parser.add_argument(
        "--systems", type=system_names, default=list(systems), help=f"of {','.join(SYSTEMS)}"
    )
    parser.add_argument(
        "--json", type=Path, help="where the result goes; a temporary file if unset"
    )


def use_cpu(threads: int) -> None:
    """Settings for the processes of the systems."""
    os.environ |= {
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "OMP_NUM_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--model", type=Path, required=True, help="a run folder")
    parser.add_argument(
        "--slow-sentences", type=positive, default=64, help="for the tutorial and Hugging Face"
    )
    add_arguments(parser, SYSTEMS, BATCH_SIZES)
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    host = machine()
    use_cpu(arguments.threads)
    path = arguments.json or Path(tempfile.mkdtemp()) / "decoding.json"
    settings = {name: value for name, value in vars(arguments).items() if name != "json"}
    software = versions() | {
        name: importlib.metadata.version(name)
        for name in ("ctranslate2", "transformers")
        if importlib.util.find_spec(name)
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        say("tokenising and exporting")
        with process() as executor:
            settings |= executor.submit(prepare, arguments, Path(folder)).result()
        bench = Bench(arguments, Path(folder), settings["sentences"])
        for search, size in product(SEARCHES, arguments.batch_sizes):
            rows += bench.run_setting(search, size)
            content = {"machine": host, "versions": software, "settings": settings, "rows": rows}
            path.write_text(json.dumps(content, indent=2, default=str) + "\n")
    print(table(rows))
    say(f"written to {path}")
    return 1 if any(row["outcome"].startswith("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
