"""A tiny export that keeps to the contract of the signatures, and servers of it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import tensorflow as tf

from keras_transformer.data.text.sentences import split_sentences
from keras_transformer.data.text.terms import AS, TERM, TERM_END, annotate, terms_of_lines

EXAMPLES = ["um gato preto dorme.", "a menina <b>viu</b> o gato.", "gato " * 50]
"""What the export has; the last is longer than the limit of the server for many tests."""

SERVE = """
import json, sys
from keras_transformer.serving import serve
options = json.loads(sys.argv[1])
serve(options.pop("saved_model"), **options)
"""


class TinyModel(tf.Module):
    """Writes the words of a text backwards.

    The word ``wait`` makes a batch take longer, and ``fail`` makes the whole batch fail.

    Args:
        mark: written before every translation, to tell versions apart.
        seconds: that ``wait`` takes.
    """

    def __init__(self, mark="", seconds=0.3):
        super().__init__()
        self.mark = tf.Variable(mark, dtype=tf.string)
        self.seconds = seconds

    def words(self, text):
        words = tf.strings.split(text)
        flat = words.flat_values
        failing = tf.Assert(tf.reduce_all(flat != "fail"), ["a text says fail"])
        waiting = tf.cast(tf.reduce_any(flat == "wait"), tf.float64)
        end = tf.timestamp() + self.seconds * waiting
        with tf.control_dependencies([failing]):
            done = tf.while_loop(
                lambda now: now < end, lambda now: [tf.timestamp()], [tf.timestamp()]
            )
        with tf.control_dependencies(done):
            return words.with_flat_values(tf.identity(flat))

    def translate(self, text):
        words = self.words(text)
        backwards = tf.strings.reduce_join(tf.reverse(words, [1]), axis=1, separator=" ")
        return {
            "translation": tf.strings.join([self.mark, backwards]),
            "score": -0.1 * tf.cast(words.row_lengths(), tf.float32),
        }

    def twin(self, text):
        outputs = self.translate(text)
        return outputs | {"translation": tf.strings.upper(outputs["translation"])}

    def attention(self, text):
        source = self.tokens(text)
        target = self.tokens(self.translate(text)["translation"])
        columns = tf.cast(source.row_lengths(), tf.float32)[:, None, None, None]
        rows = tf.sequence_mask(target.row_lengths() - 1, dtype=tf.float32)[:, None, :, None]
        keys = tf.sequence_mask(source.row_lengths(), dtype=tf.float32)[:, None, None, :]
        heads = tf.constant([1.0, 2.0])[None, :, None, None]
        return self.translate(text) | {
            "source_tokens": source.to_tensor(),
            "target_tokens": target.to_tensor(),
            "attention": heads * rows * keys / columns,
        }

    def tokens(self, text):
        words = self.words(text)
        start, end = (tf.fill([tf.size(text), 1], name) for name in ("[START]", "[END]"))
        return tf.concat([start, words, end], axis=1)

    def beam(self, text, beam_size, length_penalty, max_length):
        ranks = tf.range(beam_size)
        backwards = self.translate(text)["translation"]
        scores = tf.tile(-tf.cast(ranks, tf.float32)[None], [tf.size(text), 1])
        return {
            "translations": backwards[:, None] + " " + tf.as_string(ranks)[None],
            "scores": scores,
            "normalized_scores": scores / (1.0 + length_penalty) + tf.cast(max_length, tf.float32),
        }

    def glossary(self, text, glossary):
        """Terms stand for their translations before all is turned round."""
        return self.alignment(text, terms_of_lines(glossary))

    def sentences(self, text):
        """Each sentence for itself."""
        return self.of_sentences(text)[0]

    def alignment(self, text, terms=None):
        """Each word belongs to itself, backwards in each sentence."""
        outputs, owners, texts = self.of_sentences(text, terms)
        words, count = self.words(texts), tf.size(text)
        of_texts = tf.gather(owners, words.value_rowids())
        places = tf.RaggedTensor.from_value_rowids(tf.ones_like(of_texts), of_texts, count)
        places = words.with_flat_values(tf.ragged.range(places.row_lengths()).flat_values + 1)

        def rows(values):
            return tf.RaggedTensor.from_value_rowids(values, of_texts, count).to_tensor()

        lengths = tf.RaggedTensor.from_value_rowids(
            tf.cast(words.row_lengths(), tf.int32), owners, count
        ).to_tensor()
        alignment = rows(tf.cast(tf.reverse(places, [1]).flat_values, tf.int32))
        return outputs | {
            "source_tokens": rows(words.flat_values),
            "target_tokens": rows(tf.reverse(words, [1]).flat_values),
            "alignment": alignment,
            "alignment_weights": tf.cast(alignment > 0, tf.float32),
            "source_sentence_tokens": lengths,
            "target_sentence_tokens": lengths,
        }

    def of_sentences(self, text, terms=None):
        """What `sentences` gives, whose each sentence is, and what of it is turned round."""
        found = split_sentences(text)
        texts = found.texts
        if terms is not None:
            texts = annotate(texts, *terms).texts
            pattern = f" {TERM} .*? {AS} (.*?) {TERM_END} "
            texts = tf.strings.regex_replace(texts, pattern, r" \1 ")
        count, outputs = tf.size(text), self.translate(texts)
        parts = tf.strings.join([found.gaps, outputs["translation"]])

        def rows(values):
            return tf.RaggedTensor.from_value_rowids(values, found.owners, count)

        whole = tf.strings.reduce_join(rows(parts), axis=-1)
        outputs = {
            "translation": tf.strings.join([whole, found.tails]),
            "score": tf.math.segment_sum(outputs["score"], found.owners),
            "source_sentences": rows(found.texts).to_tensor(),
            "target_sentences": rows(outputs["translation"]).to_tensor(),
            "gaps": rows(found.gaps).to_tensor(),
            "tail": found.tails,
        }
        return outputs, found.owners, texts

    def alternatives(self, text, prefix, count):
        """What comes after the prefix, with nothing or a number before it; all that differs."""
        whole = tf.strings.regex_replace(prefix, r"\s+$", "")
        best = self.translate(text)["translation"]
        size = tf.strings.length(whole)
        begins = tf.strings.substr(
            best, tf.zeros_like(best, tf.int32), tf.fill(tf.shape(best), size)
        )
        rest = tf.strings.substr(best, tf.fill(tf.shape(best), size), tf.strings.length(best))
        numbers = tf.as_string(tf.range(1, count))
        words = tf.concat([[""], tf.where(whole == "", numbers, " " + numbers)], 0)
        rest = tf.where(whole == "", " " + rest, rest)
        found = whole + words + rest[:, None]
        scores = -tf.cast(tf.range(count), tf.float32)
        usable = tf.fill(tf.shape(found), True) & (begins == whole)[:, None]
        return {
            "translations": tf.where(usable, tf.strings.strip(found), ""),
            "scores": tf.where(usable, scores, -1e9),
        }

    def tokenize(self, text):
        tokens = self.tokens(text)
        ids = tokens.with_flat_values(tf.strings.to_hash_bucket_fast(tokens.flat_values, 99) + 1)
        return {"tokens": tokens.to_tensor(), "ids": ids.to_tensor()}

    def pairs(self, text):
        """Two values a text, as many as the batch has texts: nothing that could share a batch."""
        return {"lengths": tf.tile(tf.strings.length(text)[:, None], [1, tf.size(text)])}


def export_tiny(folder, *, version=1, mark="", seconds=0.3, twin=False):
    """Writes a `TinyModel` as ``folder/version`` in one go."""
    model = TinyModel(mark, seconds)
    text = tf.TensorSpec((None,), tf.string, name="text")
    beam = (
        tf.TensorSpec((), tf.int32, name="beam_size"),
        tf.TensorSpec((), tf.float32, name="length_penalty"),
        tf.TensorSpec((), tf.int32, name="max_length"),
    )

    def concrete(function, *specifications):
        return tf.function(function, autograph=False).get_concrete_function(*specifications)

    signatures = {
        "serving_default": concrete(model.translate, text),
        "corpus_style": concrete(lambda text: {"only": model.translate(text)["translation"]}, text),
        "attention": concrete(model.attention, text),
        "translate_beam": concrete(model.beam, text, *beam),
        "sentences": concrete(model.sentences, text),
        "alignment": concrete(model.alignment, text),
        "glossary": concrete(model.glossary, text, tf.TensorSpec((), tf.string, name="glossary")),
        "alternatives": concrete(
            model.alternatives,
            text,
            tf.TensorSpec((), tf.string, name="prefix"),
            tf.TensorSpec((), tf.int32, name="count"),
        ),
        "tokenize": concrete(model.tokenize, text),
        "pairs": concrete(model.pairs, text),
        "numbers": concrete(lambda x: {"y": x}, tf.TensorSpec((None,), tf.float32, name="x")),
    }
    if twin:
        signatures["serving_xla"] = concrete(model.twin, text)
    unfinished = folder / f".unfinished-{version}"
    tf.saved_model.save(model, str(unfinished), signatures=signatures)
    extra = unfinished / "assets.extra"
    extra.mkdir()
    (extra / "keras_transformer.json").write_text(
        json.dumps(
            {"source_language": "pt", "target_language": "en", "examples": [5, *EXAMPLES, None]}
        )
    )
    unfinished.rename(folder / str(version))
    return folder / str(version)


@contextmanager
def running_server(saved_model, *, start_seconds=60, **options):
    """A server in a process of its own, ready to answer.

    Yields:
        its process, REST address, gRPC address, and what it logged so far.
    """
    options = {
        "saved_model": str(saved_model),
        "port": 0,
        "grpc_port": 0,
        "json_logs": True,
        "compile": False,
        "poll_seconds": 0.2,
    } | options
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["TMPDIR"] = str(saved_model.parent)  # for what a killed server leaves
    log = saved_model.parent / f"server-{time.monotonic_ns()}.log"
    with open(log, "wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(options)], stderr=errors, env=environment
        )

    def events():
        lines = log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def event(name):
        give_up = time.monotonic() + start_seconds
        while time.monotonic() < give_up:
            for found in events():
                if found["event"] == name:
                    return found
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {name!r} in the log: {log.read_text(encoding='utf-8')}")

    try:
        event("ready")
        listening = event("listening")
        yield SimpleNamespace(
            process=process,
            url=listening["rest"],
            grpc=f"127.0.0.1:{listening.get('grpc')}",
            predict=f"{listening['rest']}/v1/models/{saved_model.name}:predict",
            name=saved_model.name,
            events=events,
            log=log,
        )
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def gather(coroutines, most=64):
    """Runs coroutines side by side, no more than `most` at a time, and gives their results."""

    async def run():
        turns = asyncio.Semaphore(most)

        async def in_turn(coroutine):
            async with turns:
                return await coroutine

        return await asyncio.gather(*(in_turn(coroutine) for coroutine in coroutines))

    return asyncio.run(run())
