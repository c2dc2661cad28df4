"""What a search does with the logits of a step.

A `Strategy` works on the changing part of a search's state, rows first: ``last``, ``tokens`` and
``token_scores``, the newest tokens and all so far, ``done``, which rows are finished, and what its
`initial_state` adds.
"""

import abc
from dataclasses import dataclass

import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.decoding import choosing
from keras_transformer.special_tokens import PAD


@dataclass(frozen=True)
class Strategy(abc.ABC):
    """What the strategies share.

    Args:
        config: how to search.
        end_id: id that ends a target.
        beams: hypotheses of a row side by side.
        n_best: how many of them are wanted.
        length_penalty: exponent of the length penalty.

    The last three are numbers or tensors.
    """

    config: DecodingConfig
    end_id: int
    beams: int | tf.Tensor
    n_best: int | tf.Tensor
    length_penalty: float | tf.Tensor

    @abc.abstractmethod
    def initial_state(self, done, tokens, token_scores) -> dict:
        """What the state holds besides, before the first step.

        Args:
            done: rows that there is nothing to do for, ``(rows,)``.
            tokens, token_scores: room for tokens and scores, ``(rows, beams, room)``.
        """

    @abc.abstractmethod
    def step(self, position, fixed, moving, logits):
        """Chooses the next tokens.

        Args:
            position: of them, from 0.
            fixed: constant parts of the state: ``limits``, ``prefix``, ``uniform``.
            moving: changing parts of the state.
            logits: of the next tokens, ``(rows, beams, vocab)``.

        Returns:
            the parts of the state that change, and which beam each beam continues, ``(rows,
            beams)``, or ``None`` where every beam continues itself.
        """

    @abc.abstractmethod
    def found(self, state):
        """The hypotheses so far, best first: tokens, scores of the tokens and ranks."""

    def penalty(self, length):
        """What the score of a hypothesis of some tokens is divided by."""
        return choosing.length_penalty(length, self.config.length_penalty_kind, self.length_penalty)


class OneByOne(Strategy):
    """Greedy search and sampling: every beam goes on for itself."""

    def initial_state(self, done, tokens, token_scores):
        return {"finished": tf.tile(done[:, tf.newaxis], (1, self.beams))}

    def step(self, position, fixed, moving, logits):
        config = self.config
        normalizer = tf.reduce_logsumexp(logits, axis=-1)
        if "prefix" in fixed:
            logits = choosing.force(logits, fixed["prefix"], position)
        if config.sampling:
            uniform = tf.gather(fixed["uniform"], position, axis=1)
            token = choosing.sample(
                logits,
                uniform,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
            )
        else:
            token = choosing.most_probable(logits)
        finished = moving["finished"]
        score = choosing.value_at(logits, token) - normalizer
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
    """The best continuations of all beams of a row go on.

    Twice as many continuations as beams are looked at, so that enough are left when some end;
    one that ends counts as a hypothesis if it is among the best `beam_size`.
    """

    def initial_state(self, done, tokens, token_scores):
        rows = tf.size(done)
        worst = tf.fill((rows, self.beams - 1), choosing.LOWEST)
        return {
            "scores": tf.concat([tf.zeros((rows, 1)), worst], 1),
            "ended": {
                "count": tf.zeros((rows,), tf.int32),
                "ranks": tf.fill((rows, self.beams), choosing.LOWEST),
                "tokens": tokens,
                "token_scores": token_scores,
            },
        }

    def step(self, position, fixed, moving, logits):
        beams = self.beams
        normalizer = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        if "prefix" in fixed:
            logits = choosing.force(logits, fixed["prefix"], position)
        values, ids = choosing.best_candidates(logits, 2 * beams)
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
            (ends | last)[:, :beams] & (scores[:, :beams] > choosing.LOWEST / 2),
            scores[:, :beams],
            position + 1,
            *self._histories(
                position, moving, parents[:, :beams], token[:, :beams], token_scores[:, :beams]
            ),
        )
        live_scores, places = tf.math.top_k(tf.where(ends, 2 * choosing.LOWEST, scores), beams)
        parents, token, token_scores = (
            tf.gather(part, places, batch_dims=1) for part in (parents, token, token_scores)
        )
        tokens, token_scores = self._histories(position, moving, parents, token, token_scores)
        changed = {
            "last": token,
            "tokens": tokens,
            "token_scores": token_scores,
            "scores": tf.maximum(live_scores, 2 * choosing.LOWEST),
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
        """Tokens and their scores of some continuations, ``(rows, beams, room)`` each."""
        return (
            _written(tf.gather(moving["tokens"], parents, batch_dims=1), token, position),
            _written(
                tf.gather(moving["token_scores"], parents, batch_dims=1), token_scores, position
            ),
        )

    def _with_ended(self, moving, ending, scores, length, tokens, token_scores):
        """The best hypotheses that have ended, with those of this step, of `length`, among them."""
        ended = moving["ended"]
        ending &= ~moving["done"][:, tf.newaxis]
        ranks = tf.where(ending, scores / self.penalty(length), choosing.LOWEST)
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
        """Rows whose best `n_best` hypotheses are found, bool ``(rows,)``."""
        # Scores only fall. A penalty that grows with the length is at best that of the longest.
        length = tf.where(self.length_penalty > 0, limits, position + 2)
        settled = ended["ranks"][:, self.n_best - 1] >= best_score / self.penalty(length)
        if self.config.early_stopping:
            enough = tf.round(tf.cast(self.beams, tf.float32) * self.config.patience)
            settled |= ended["count"] >= tf.cast(enough, tf.int32)
        return settled


def _written(history, new, position):
    """`history`, ``(rows, beams, room)``, with `new`, ``(rows, beams)``, at `position`."""
    here = tf.range(tf.shape(history)[2]) == position
    return tf.where(here, new[..., tf.newaxis], history)
