"""Search strategies: how the next tokens follow from the logits of a step.

A `Strategy` works on the changing part of a search's state, a dictionary of tensors with rows
first: ``last``, the newest tokens, ``(rows, beams)``; ``tokens`` and ``token_scores`` so far,
``(rows, beams, room)``; ``done``, which rows are finished, ``(rows,)``; and the entries that its
`initial_state` adds.
"""

import abc
from dataclasses import dataclass

import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.tokens import (
    LOWEST,
    best_candidates,
    force,
    length_penalty,
    most_probable,
    sample,
    value_at,
)
from keras_transformer.special_tokens import PAD


@dataclass(frozen=True)
class Strategy(abc.ABC):
    """Base class of the strategies.

    Args:
        config: a `DecodingConfig`.
        end_id: id of the end token.
        beams: number of beams of a row, a number or a tensor.
        n_best: number of hypotheses to return; likewise.
        length_penalty: exponent of the length penalty; likewise.
    """

    config: DecodingConfig
    end_id: int
    beams: int | tf.Tensor
    n_best: int | tf.Tensor
    length_penalty: float | tf.Tensor

    @abc.abstractmethod
    def initial_state(self, done, tokens, token_scores) -> dict:
        """Entries of the state that the strategy adds, before the first step.

        Args:
            done: rows that are finished before the first step, ``(rows,)`` bool.
            tokens, token_scores: empty room for tokens and their scores, ``(rows, beams, room)``.
        """

    @abc.abstractmethod
    def step(self, position, fixed, moving, logits):
        """Chooses the next tokens.

        Args:
            position: position of the next tokens, from 0.
            fixed: constant entries of the state: ``limits``, ``prefix``, ``uniform``.
            moving: changing entries of the state.
            logits: logits of the next tokens, ``(rows, beams, vocab)``.

        Returns:
            ``(changed, parents)``: the changed entries of the state, and which beam each beam
            continues, ``(rows, beams)``, or ``None`` where every beam continues itself.
        """

    @abc.abstractmethod
    def found(self, state):
        """Tokens, token scores and ranks of the best hypotheses so far, the best first."""

    def penalty(self, length):
        """Length penalty of hypotheses of `length` tokens."""
        return length_penalty(length, self.config.length_penalty_kind, self.length_penalty)


class GreedyOrSampling(Strategy):
    """Greedy search, and sampling, whose beams are independent samples."""

    def initial_state(self, done, tokens, token_scores):
        return {"finished": tf.tile(done[:, tf.newaxis], (1, self.beams))}

    def step(self, position, fixed, moving, logits):
        config = self.config
        normalizer = tf.reduce_logsumexp(logits, axis=-1)
        if "prefix" in fixed:
            logits = force(logits, fixed["prefix"], position)
        if config.sampling:
            uniform = tf.gather(fixed["uniform"], position, axis=1)
            token = sample(
                logits,
                uniform,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
            )
        else:
            token = most_probable(logits)
        finished = moving["finished"]
        score = value_at(logits, token) - normalizer
        token = tf.where(finished, PAD, token)
        ends = (token == self.end_id) | (position + 1 >= fixed["limits"])[:, tf.newaxis]
        finished |= ends
        changed = {
            "last": token,
            "tokens": _written(moving["tokens"], token, position),
            "token_scores": _written(
                moving["token_scores"], tf.where(moving["finished"], 0.0, score), position
            ),
            "finished": finished,
            "done": tf.reduce_all(finished, axis=1),
        }
        return changed, None

    def found(self, state):
        tokens, token_scores = state["tokens"], state["token_scores"]
        lengths = tf.math.count_nonzero(tokens != PAD, axis=-1, dtype=tf.int32)
        ranks = tf.reduce_sum(token_scores, axis=-1) / self.penalty(lengths)
        if self.n_best == 1:
            return tokens, token_scores, ranks
        order = tf.argsort(ranks, direction="DESCENDING", stable=True)
        return tuple(tf.gather(part, order, batch_dims=1) for part in (tokens, token_scores, ranks))


class BeamSearch(Strategy):
    """Beam search: keeps the best continuations of all beams of a row.

    Of twice as many continuations as there are beams, those with the end token that are among the
    best `beam_size` are complete hypotheses, and the best others are the next beams.
    """

    def initial_state(self, done, tokens, token_scores):
        rows = tf.size(done)
        worst = tf.fill((rows, self.beams - 1), LOWEST)
        return {
            "scores": tf.concat([tf.zeros((rows, 1)), worst], 1),
            "ended": {
                "count": tf.zeros((rows,), tf.int32),
                "ranks": tf.fill((rows, self.beams), LOWEST),
                "tokens": tokens,
                "token_scores": token_scores,
            },
        }

    def step(self, position, fixed, moving, logits):
        beams = self.beams
        normalizer = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        if "prefix" in fixed:
            logits = force(logits, fixed["prefix"], position)
        values, ids = best_candidates(logits, 2 * beams)
        token_scores = values - normalizer
        rows, _, per_beam = tf.unstack(tf.shape(ids))

        def flat(part):
            return tf.reshape(part, (rows, beams * per_beam))

        totals = flat(moving["scores"][..., tf.newaxis] + token_scores)
        scores, places = tf.math.top_k(totals, 2 * beams)
        token = tf.gather(flat(ids), places, batch_dims=1)
        token_scores = tf.gather(flat(token_scores), places, batch_dims=1)
        parents = places // per_beam
        ends = token == self.end_id
        last = (position + 1 >= fixed["limits"])[:, tf.newaxis]

        ended = self._with_ended(
            moving,
            (ends | last)[:, :beams] & (scores[:, :beams] > LOWEST / 2),
            scores[:, :beams],
            position + 1,
            *self._histories(
                position, moving, parents[:, :beams], token[:, :beams], token_scores[:, :beams]
            ),
        )
        live_scores, places = tf.math.top_k(tf.where(ends, 2 * LOWEST, scores), beams)
        parents, token, token_scores = (
            tf.gather(part, places, batch_dims=1) for part in (parents, token, token_scores)
        )
        tokens, token_scores = self._histories(position, moving, parents, token, token_scores)
        changed = {
            "last": token,
            "tokens": tokens,
            "token_scores": token_scores,
            "scores": tf.maximum(live_scores, 2 * LOWEST),
            "ended": ended,
            "done": moving["done"]
            | last[:, 0]
            | self._settled(position, fixed["limits"], ended, live_scores[:, 0]),
        }
        return changed, parents

    def found(self, state):
        best = {
            key: part[:, : self.n_best] for key, part in state["ended"].items() if key != "count"
        }
        return best["tokens"], best["token_scores"], best["ranks"]

    def _histories(self, position, moving, parents, token, token_scores):
        """Tokens and token scores of beams that continue `parents`, ``(rows, beams, room)``."""
        return (
            _written(tf.gather(moving["tokens"], parents, batch_dims=1), token, position),
            _written(
                tf.gather(moving["token_scores"], parents, batch_dims=1), token_scores, position
            ),
        )

    def _with_ended(self, moving, ending, scores, length, tokens, token_scores):
        """The best complete hypotheses, after those that end in this step are added.

        Args:
            moving: changing entries of the state.
            ending: which beams end in this step, ``(rows, beams)`` bool.
            scores: of the beams, ``(rows, beams)``.
            length: number of tokens of the beams.
            tokens, token_scores: of the beams, ``(rows, beams, room)``.
        """
        ended = moving["ended"]
        ending &= ~moving["done"][:, tf.newaxis]
        ranks = tf.where(ending, scores / self.penalty(length), LOWEST)
        ranks, places = tf.math.top_k(tf.concat([ended["ranks"], ranks], 1), self.beams)

        def best(old, new):
            return tf.gather(tf.concat([old, new], 1), places, batch_dims=1)

        return {
            "count": ended["count"] + tf.reduce_sum(tf.cast(ending, tf.int32), axis=1),
            "ranks": ranks,
            "tokens": best(ended["tokens"], tokens),
            "token_scores": best(ended["token_scores"], token_scores),
        }

    def _settled(self, position, limits, ended, best_score):
        """Rows that no beam can improve any more, ``(rows,)`` bool."""
        # Scores only fall, so a beam ranks at best by its score now and the penalty of the length
        # that favours it most: the longest where the penalty grows with the length.
        length = tf.where(self.length_penalty > 0, limits, position + 2)
        settled = ended["ranks"][:, self.n_best - 1] >= best_score / self.penalty(length)
        if self.config.early_stopping:
            enough = tf.round(tf.cast(self.beams, tf.float32) * self.config.patience)
            settled |= tf.cast(ended["count"], tf.float32) >= tf.maximum(enough, 1.0)
        return settled


def _written(history, new, position):
    """`history`, ``(rows, beams, room)``, with `new`, ``(rows, beams)``, at `position`."""
    here = tf.range(tf.shape(history)[2]) == position
    return tf.where(here, new[..., tf.newaxis], history)
