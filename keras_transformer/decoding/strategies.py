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
            fixed: constant entries of the state: ``limits``, ``prefix``, ``uniform``, ``terms``,
                ``columns``.
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
        candidates = _Candidates(moving["scores"], values - normalizer, ids)
        scores, places = tf.math.top_k(candidates.totals, 2 * beams)
        return self._continued(position, fixed, moving, scores, *candidates.at(places))

    def _continued(self, position, fixed, moving, scores, token, token_scores, parents, **more):
        """The step that the best continuations make.

        Args:
            position, fixed, moving: as for `step`.
            scores: of twice as many continuations as there are beams, in the order in which they
                become beams, ``(rows, 2 * beams)``.
            token, token_scores, parents: of them.
            more: other entries of the state, of them, ``(rows, 2 * beams, ...)``.
        """
        beams = self.beams
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
        order = tf.range(2 * beams) + tf.where(ends, 2 * beams, 0)
        _, places = tf.math.top_k(-tf.cast(order, tf.float32), beams)
        live_scores = tf.gather(tf.where(ends, 2 * LOWEST, scores), places, batch_dims=1)
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
            | self._settled(position, fixed["limits"], ended, tf.reduce_max(live_scores, axis=1)),
        }
        for name, part in more.items():
            changed[name] = tf.gather(part, places, batch_dims=1)
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
            enough = tf.round(tf.cast(self.enough, tf.float32) * self.config.patience)
            settled |= tf.cast(ended["count"], tf.float32) >= tf.maximum(enough, 1.0)
        return settled

    @property
    def enough(self):
        """How many hypotheses end a search that stops early."""
        return self.beams


class _Candidates:
    """Continuations of the beams of each row, one after the other.

    Args:
        scores: of the beams, ``(rows, beams)``.
        token_scores: of the tokens that go on, ``(rows, beams, tokens)``.
        ids: of these tokens.

    Attributes:
        totals: scores of the continuations, ``(rows, beams * tokens)``.
    """

    def __init__(self, scores, token_scores, ids):
        self._shape = tf.shape(ids)
        self._token_scores, self._ids = self.flat(token_scores), self.flat(ids)
        self.totals = self.flat(scores[..., tf.newaxis] + token_scores)

    def flat(self, part):
        """``(rows, beams, tokens)`` as ``(rows, beams * tokens)``."""
        return tf.reshape(part, (self._shape[0], self._shape[1] * self._shape[2]))

    def at(self, places):
        """Tokens, their scores and their beams of some continuations, ``(rows, n)`` each."""
        token, token_scores = (
            tf.gather(part, places, batch_dims=1) for part in (self._ids, self._token_scores)
        )
        return token, token_scores, places // self._shape[2]


@dataclass(frozen=True)
class ConstrainedBeamSearch(BeamSearch):
    """Beam search whose hypotheses have to have given terms.

    The continuations of a beam are its best tokens and the next token of each term that it has not
    had. Beams are shared out among numbers of tokens of terms that hypotheses have had so far:
    first the best continuation of each number, then the second best of each, and so on. A
    hypothesis ends once it has had all its terms, whatever their order.

    Sources: dynamic beam allocation, Post and Vilar (2018), arXiv 1804.06609; in tensors, Hu et al.
    (2019), N19-1090.

    Args:
        config, end_id, beams, n_best, length_penalty: as for `Strategy`.
        transparent: ids that may stand between the tokens of a term, as marks of capitals do.
        continuations: which ids continue a word, after which a term would be part of another word,
            bool ``(vocab,)``.
    """

    transparent: tuple[int, ...] = ()
    continuations: tf.Tensor | None = None

    @property
    def enough(self):
        """As many as the beam has that was asked for: the others are there for the terms."""
        return max(self.config.beam_size, self.config.n_best)

    def step(self, position, fixed, moving, logits):
        beams, terms = self.beams, fixed["terms"]
        lengths = tf.math.count_nonzero(terms, axis=2, dtype=tf.int32)[:, tf.newaxis]
        progress = moving["progress"]
        normalizer = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        if "prefix" in fixed:
            logits = force(logits, fixed["prefix"], position)
        missing = progress < lengths
        is_end = tf.range(tf.shape(logits)[-1]) == self.end_id
        hidden = is_end & tf.reduce_any(missing, axis=-1, keepdims=True)
        values, ids = best_candidates(tf.where(hidden, LOWEST, logits), 2 * beams)

        wanted = _at(terms[:, tf.newaxis], progress)
        known = tf.reduce_any(wanted[..., tf.newaxis] == ids[:, :, tf.newaxis], axis=-1)
        before = tf.linalg.band_part(wanted[..., tf.newaxis] == wanted[:, :, tf.newaxis], -1, 0)
        again = tf.reduce_sum(tf.cast(before, tf.int32), axis=-1) > 1
        of_terms = tf.gather(logits, wanted, batch_dims=2)
        of_terms = tf.where(missing & ~again & ~known, of_terms, 2 * LOWEST)
        values = tf.concat([values, of_terms], axis=-1)
        ids = tf.concat([ids, wanted], axis=-1)

        tokens = tf.gather(fixed["columns"], ids) if "columns" in fixed else ids
        continues = tf.gather(self.continuations, tokens)
        advanced = self._advanced(progress, ids, continues, terms, lengths)
        had = tf.reduce_sum(tf.minimum(advanced, lengths[:, :, tf.newaxis]), axis=-1)
        most = tf.reduce_sum(lengths, axis=-1)
        # What is left must have room for the missing ones, and for an end.
        room = tf.maximum(fixed["limits"] - position - 2, 0)[:, tf.newaxis, tf.newaxis]
        fits = most[..., tf.newaxis] - had <= room
        values = tf.where(fits, values, 2 * LOWEST)
        candidates = _Candidates(moving["scores"], values - normalizer, ids)
        places = _in_turn(candidates.totals, candidates.flat(had), most, 2 * beams)
        scores = tf.gather(candidates.totals, places, batch_dims=1)
        shape = tf.shape(advanced)
        advanced = tf.reshape(advanced, (shape[0], shape[1] * shape[2], shape[3]))
        advanced = tf.gather(advanced, places, batch_dims=1)
        chosen = candidates.at(places)
        return self._continued(position, fixed, moving, scores, *chosen, progress=advanced)

    def _advanced(self, progress, ids, continues, terms, lengths):
        """How many tokens of each term continuations have had, ``(rows, beams, tokens, terms)``.

        One more than the term has says that its word has ended.

        Args:
            progress: of the beams, ``(rows, beams, terms)``.
            ids: tokens that go on, ``(rows, beams, tokens)``.
            continues: which of them continue a word, likewise.
            terms: ids of the terms, padded, ``(rows, terms, length)``.
            lengths: of the terms, ``(rows, 1, terms)``.
        """
        wanted = _at(terms[:, tf.newaxis], progress)[:, :, tf.newaxis]
        had, lengths = progress[:, :, tf.newaxis], lengths[:, :, tf.newaxis]
        token = ids[..., tf.newaxis]
        first = terms[:, tf.newaxis, tf.newaxis, :, 0]
        # A token that breaks off a term may begin it again.
        begun = tf.cast(token == first, tf.int32)
        within = tf.where(token == wanted, had + 1, begun)
        after = tf.where(continues[..., tf.newaxis], 0, lengths + 1)
        advanced = tf.where(had < lengths, within, tf.where(had == lengths, after, had))
        is_transparent = tf.reduce_any(
            token == tf.constant(self.transparent or (PAD,), token.dtype), axis=-1, keepdims=True
        )
        return tf.where(is_transparent & (had != lengths), had, advanced)


def _at(terms, progress):
    """The next token of each term, padding after its last, ``(rows, beams, terms)``.

    Args:
        terms: ids, ``(rows, 1, terms, length)``.
        progress: tokens of each that there have been, ``(rows, beams, terms)``.
    """
    here = tf.range(tf.shape(terms)[3]) == progress[..., tf.newaxis]
    return tf.reduce_sum(tf.where(here, terms, PAD), axis=-1)


def _in_turn(scores, had, most, count):
    """The best continuation of each number of tokens that they have had, then the second best, ....

    Those that have had more go first.

    Args:
        scores: ``(rows, n)``.
        had: ``(rows, n)``.
        most: largest number, ``(rows, 1)``.
        count: how many continuations are wanted, at most `n`.

    Returns:
        their places, ``(rows, count)``.
    """
    n = tf.shape(scores)[1]
    by_score = tf.argsort(scores, direction="DESCENDING", stable=True)
    had_by_score = tf.gather(had, by_score, batch_dims=1)
    grouped = tf.argsort(had_by_score, stable=True)  # by number, and in it by score
    order = tf.gather(by_score, grouped, batch_dims=1)
    number = tf.gather(had_by_score, grouped, batch_dims=1)
    key = (tf.range(n) - tf.searchsorted(number, number)) * (most + 1) + most - number
    unlikely = tf.gather(scores, order, batch_dims=1) <= LOWEST / 2
    key = tf.where(unlikely, key + n * (most + 1), key)
    _, best = tf.math.top_k(-key, count)
    return tf.gather(order, best, batch_dims=1)


def _written(history, new, position):
    """`history`, ``(rows, beams, room)``, with `new`, ``(rows, beams)``, at `position`."""
    here = tf.range(tf.shape(history)[2]) == position
    return tf.where(here, new[..., tf.newaxis], history)
