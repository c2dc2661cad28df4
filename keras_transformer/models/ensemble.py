"""Several translation models as one, which a search asks for the next token."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from keras_transformer.errors import InputError

_LOWEST = -1e9  # in the place of minus infinity, which would make no numbers


class ModelEnsemble:
    """Several models that translate together.

    The probability of a token is the mean of those that the models give, as in fairseq and, by
    default, in Sockeye. Marian and, by default, OpenNMT-py take the mean of the logarithms instead,
    in which one model that finds a token all but impossible outvotes the others; the mean of
    probabilities needs no normalising and bears a weak model better.

    It gives what `decoding.search` wants of a model. Its cache is one of `layers.cache`: buffers of
    all models grow together, in ``keys_values``; they have the same slots, so they share ``past``;
    the rest of their ``steps`` is in ``members``.

    Args:
        models: such as `Transformer` and `RecurrentSeq2Seq`, of one pair of vocabularies; their
            order does not matter.

    Raises:
        InputError: for no models, and for vocabularies of other sizes.
    """

    def __init__(self, models: Sequence):
        self.models = list(models)
        if not self.models:
            raise InputError("an ensemble needs a model: give one or more.")
        for name in ("input_vocab_size", "target_vocab_size"):
            sizes = {getattr(model, name) for model in self.models}
            if len(sizes) > 1:
                raise InputError(
                    f"{name}: the models of an ensemble have {' and '.join(map(str, sizes))}: give "
                    "models of the same vocabularies."
                )
            setattr(self, name, sizes.pop())
        if all(hasattr(model, "pad_encoded") for model in self.models):
            self.pad_encoded = self._pad_encoded  # searches ask whether a model has it

    @property
    def max_length(self) -> int:
        """Longest source and longest target, those of the model with the fewest positions."""
        return min(model.max_length for model in self.models)

    @property
    def variables(self) -> list:
        """The variables of all models."""
        return [variable for model in self.models for variable in model.variables]

    def count_params(self) -> int:
        """Number of parameters of all models."""
        return sum(model.count_params() for model in self.models)

    def encode(self, source) -> list:
        """What each model computes once of token ids, ``(batch, source)``."""
        return [model.encode(source) for model in self.models]

    def _pad_encoded(self, encoded, length) -> list:
        """What `encode` gives of sources that are padded to a length, a scalar."""
        return [
            model.pad_encoded(part, length)
            for model, part in zip(self.models, encoded, strict=True)
        ]

    def output_columns(self, ids) -> list:
        """What each model needs to give the logits of some ids alone, ``(n,)``."""
        return [model.output_columns(ids) for model in self.models]

    def initial_cache(self, encoded, beam_size=1) -> dict:
        """The cache of decoding before the first step.

        Args:
            encoded: result of `encode`.
            beam_size: number of beams of each row, a number or a tensor.
        """
        return _joined(
            [
                model.initial_cache(part, beam_size)
                for model, part in zip(self.models, encoded, strict=True)
            ]
        )

    def decode_step(self, tokens, position, cache):
        """Logits of the next token after `tokens`, which are at `position`.

        Args:
            tokens: token ids, ``(batch, beams)``.
            position: scalar int32.
            cache: from `initial_cache`, with room, or the step before.

        Returns:
            ``(logits, cache)``: logarithms of the mean probabilities, float32
            ``(batch, beams, target_vocab_size)``, or of the columns of ``cache["output"]`` with
            those of ``cache["allowed"]`` adding up to 1; and the cache with `tokens` in it.
        """
        scores, caches = [], []
        for model, part in zip(self.models, _divided(cache), strict=True):
            logits, part = model.decode_step(tokens, position, part)
            logits = tf.cast(logits, tf.float32)
            if "allowed" in cache:  # or what other rows need would weigh the models
                logits = tf.where(cache["allowed"][:, tf.newaxis], logits, _LOWEST)
            scores.append(tf.nn.log_softmax(logits))
            caches.append(part)
        mean = tf.reduce_logsumexp(tf.stack(scores), axis=0) - math.log(len(scores))
        return mean, {**cache, **_joined(caches)}


def _joined(caches: list[dict]) -> dict:
    """The caches of all models as one; see `ModelEnsemble`."""
    members = [dict(cache["steps"]) for cache in caches]
    buffers = [steps.pop("keys_values", ()) for steps in members]
    pasts = [steps.pop("past") for steps in members if "past" in steps]
    joined: dict = {"members": members}
    if any(buffers):
        joined["keys_values"] = buffers
    if pasts:
        joined["past"] = pasts[0]
    return {"context": [cache["context"] for cache in caches], "steps": joined}


def _divided(cache: dict) -> list[dict]:
    """The inverse of `_joined`, with the ``output`` of each model if there is one."""
    parts = []
    for number, steps in enumerate(cache["steps"]["members"]):
        steps = dict(steps)
        if buffers := cache["steps"].get("keys_values", {number: ()})[number]:
            steps["keys_values"] = buffers
            if "past" in cache["steps"]:
                steps["past"] = cache["steps"]["past"]
        part = {"context": cache["context"][number], "steps": steps}
        if "output" in cache:
            part["output"] = cache["output"][number]
        parts.append(part)
    return parts
