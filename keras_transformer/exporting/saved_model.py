"""Export to a SavedModel: strings in, strings out, nothing of this package needed to run it."""

import contextlib
import functools
from pathlib import Path

import keras
import tensorflow as tf

from keras_transformer.decoding.buckets import ROWS, SOURCE_ROOM
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import (
    DEFAULT_SIGNATURE,
    EXTRA_FOLDER,
    check_examples,
    write_about,
    write_version,
    xla_name,
)
from keras_transformer.exporting.model_card import model_card
from keras_transformer.exporting.warm_up_requests import write_warm_up_requests
from keras_transformer.files import make_folder, write_text
from keras_transformer.translating.batches import BATCH_ROWS
from keras_transformer.translating.graph import GraphTranslation, check_language, variables_of

WEIGHTS = ("float32", "float16")
"""Types that weights can be stored in."""


def export(
    translator,
    folder,
    *,
    version=None,
    overwrite=False,
    weights="float32",
    compiled=True,
    scores=(),
    examples=None,
) -> Path:
    """Writes a translator, tokenizers included, as ``folder/version``.

    Every signature takes ``text``, strings ``(batch,)``, of any length:

    - ``serving_default`` gives ``translation``, strings ``(batch,)`` in human style, and
      ``score``, float32 ``(batch,)``, the sum of the logarithmic probabilities of the tokens;
    - ``corpus_style`` the same in the style the model learned;
    - ``translate_beam`` also takes the scalars ``beam_size`` (int32), ``length_penalty`` (float32)
      and ``max_length`` (int32, 0 for no limit but the model's), and gives, the best first,
      ``translations``, ``scores`` and ``normalized_scores``, ``(batch, beam_size)``;
    - ``attention`` adds to what ``serving_default`` gives ``source_tokens`` ``(batch, source)``,
      ``target_tokens`` ``(batch, target)``, padded with empty strings, and ``attention``, the
      cross-attention weights of the last layer, ``(batch, heads, target - 1, source)``; of a text
      several pieces, those of the first;
    - ``alignment`` adds ``source_tokens`` ``(batch, source)`` and ``target_tokens`` ``(batch,
      target)`` of whole texts, ``alignment``, int32 ``(batch, target)``, the number from 1 of the
      source token that each target token belongs to, or 0, and ``alignment_weights``; what
      ``sentences`` adds; and how many of the tokens each sentence has,
      ``source_sentence_tokens`` and ``target_sentence_tokens``, ``(batch, longest)``;
    - ``sentences`` adds ``source_sentences``, ``target_sentences`` and ``gaps``, ``(batch,
      longest)``, and ``tail``, ``(batch,)``: the translation is gaps and target sentences in turn,
      and the tail;
    - ``glossary`` also takes a scalar ``glossary``, a string of lines of a term and the translation
      that it is to have, parted by a tab, and gives what ``alignment`` does;
    - ``alternatives`` also takes the scalars ``prefix``, a string that the translations begin with,
      up to a word, and ``count`` (int32), and gives, the best first, ``translations`` that go on
      with different words, and their ``scores``, ``(batch, count)``;
    - ``tokenize`` gives ``tokens`` and ``ids``, ``(batch, longest)``, and how many ``pieces`` the
      model makes of each text, the ``longest`` of how many tokens, ``(batch,)``.

    ``serving_xla`` and, by their names, ``corpus_style_xla``, ``translate_beam_xla`` and
    ``attention_xla`` do the same compiled by XLA; TensorFlow Serving refuses those unless it is
    started with ``--xla_cpu_compilation_enabled``.

    Beside the model stand a model card, ``README.md``, and in ``assets.extra`` what a server
    should know: ``keras_transformer.json`` and, with the extra ``[serve]``,
    ``tf_serving_warmup_requests``. The folder appears under its name only once it is complete.

    Args:
        translator: a `Translator`.
        folder: such as ``saved_models/pt_en``.
        version: number of the version; one more than the highest there unless given.
        overwrite: replace that version where it exists.
        weights: one of `WEIGHTS`, how they are stored; they are used as float32.
        compiled: write the signatures compiled by XLA too.
        scores: for the model card, what `evaluate` gave, each with the name of its ``test_set``.
        examples: texts that the server's page offers to try the model with, at most 20 of 500
            characters; those of the translator unless given. An empty list leaves them out.

    Returns:
        the folder of the version.

    Raises:
        ValueError: for weights of another kind.
        InputError: when that version exists, or cannot be written, and for examples that are no
            texts.
    """
    if weights not in WEIGHTS:
        raise InputError(f"Weights are stored as one of {', '.join(WEIGHTS)}; got {weights!r}.")
    check_language(translator)
    examples = check_examples(translator.examples if examples is None else examples)
    module = _ServingModule(translator, weights)

    def write(unfinished):
        signatures = module.signatures(compiled)
        with _unnamed(unfinished):
            tf.saved_model.save(module, str(unfinished), signatures=signatures)
        make_folder(unfinished / EXTRA_FOLDER)
        write_about(
            unfinished,
            source_language=translator.tokenizers.source_language,
            target_language=translator.decoding.to or translator.tokenizers.target_language,
            max_source_length=translator.max_source_length,
            compiled_rows=[rows for rows in ROWS if rows <= BATCH_ROWS],
            compiled_length=SOURCE_ROOM,
            examples=examples,
        )
        write_warm_up_requests(unfinished)
        write_text(unfinished / "README.md", model_card(translator, unfinished, scores))

    return write_version(folder, write, version=version, overwrite=overwrite)


@contextlib.contextmanager
def _unnamed(folder):
    """Keeps TensorFlow's log lines that name an unfinished folder out of the log."""

    def of_others(record):
        return str(folder) not in record.getMessage()

    logger = tf.get_logger()
    logger.addFilter(of_others)
    try:
        yield
    finally:
        logger.removeFilter(of_others)


class _ServingModule(tf.Module):
    """The functions of the signatures, with the weights and vocabularies that they use."""

    def __init__(self, translator, weights):
        super().__init__()
        self.tokenizers = translator.tokenizers
        self.shortlist = translator.shortlist if translator.decoding.shortlist else None
        self.weights = variables_of(translator.transformer)
        self._as_they_are = weights == "float32"
        if not self._as_they_are:
            self.weights = [
                tf.Variable(tf.cast(v, weights), name=v.name.split(":")[0]) for v in self.weights
            ]
        self._translation = functools.partial(GraphTranslation, translator)

    def signatures(self, compiled) -> dict:
        """Concrete functions by the names of their signatures."""
        text = tf.TensorSpec((None,), tf.string, name="text")
        beam = (
            tf.TensorSpec((), tf.int32, name="beam_size"),
            tf.TensorSpec((), tf.float32, name="length_penalty"),
            tf.TensorSpec((), tf.int32, name="max_length"),
        )
        signatures = {}
        for jit_compile in (False, True) if compiled else (False,):
            functions = {
                DEFAULT_SIGNATURE: (lambda graph, text: graph.translate(text, "human"), text),
                "corpus_style": (lambda graph, text: graph.translate(text, "corpus"), text),
                "translate_beam": (GraphTranslation.translate_beam, text, *beam),
                "attention": (GraphTranslation.attention, text),
            }
            for name, function in self._with_weights(jit_compile, functions).items():
                signatures[xla_name(name) if jit_compile else name] = function
        others = {
            "sentences": (GraphTranslation.sentences, text),
            "alignment": (GraphTranslation.alignment, text),
            "glossary": (
                GraphTranslation.glossary,
                text,
                tf.TensorSpec((), tf.string, name="glossary"),
            ),
            "alternatives": (
                GraphTranslation.alternatives,
                text,
                tf.TensorSpec((), tf.string, name="prefix"),
                tf.TensorSpec((), tf.int32, name="count"),
            ),
            "tokenize": (GraphTranslation.tokenize, text),
        }
        return signatures | self._with_weights(False, others)

    def _with_weights(self, jit_compile, functions) -> dict:
        """Concrete functions that read the weights as stored.

        Args:
            jit_compile: compile the searches with XLA.
            functions: functions of a `GraphTranslation` and tensors, with the specifications of
                the latter, by name.
        """
        shared = self._translation(jit_compile=jit_compile) if self._as_they_are else None

        def concrete(function, *specifications):
            @tf.function(autograph=False)
            def with_weights(*inputs):
                if shared is not None:
                    return function(shared, *inputs)
                # A search sees tensors of the graph it was made in alone: one for each function.
                translation = self._translation(jit_compile=jit_compile)
                full = [tf.cast(stored, tf.float32) for stored in self.weights]
                variables = translation.translator.transformer.variables
                with keras.StatelessScope(list(zip(variables, full, strict=True))):
                    return function(translation, *inputs)

            return with_weights.get_concrete_function(*specifications)

        return {name: concrete(*parts) for name, parts in functions.items()}
