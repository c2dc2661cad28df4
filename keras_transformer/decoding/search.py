"""Searching for a translation, token by token: greedy, beam search and sampling.

A model is anything with

- ``encode(source)``: nested tensors, computed once from token ids ``(batch, source)``;
- ``initial_cache(encoded, beam_size)``: the cache before the first step, with room for no token;
- ``decode_step(tokens, position, cache)``: logits of the next token, ``(batch, beams, vocab)``, and
  the cache with `tokens`, ``(batch, beams)``, which are at `position`, a scalar;

and, if its source has a maximum length, ``max_length``.

A cache is a dictionary, of which `layers.cache` says more:

- ``context``: nested tensors that are constant, with rows first; may be empty;
- ``steps``: a dictionary of nested tensors ``(batch, beams, ...)``, which a step replaces by others
  of the same shapes. The search gathers them when it reorders beams or drops finished rows;
- ``steps["keys_values"]``, if the model has it: buffers ``(batch * heads, slots, key_dim)`` as
  `layers.cache.initial_steps` makes them, with ``steps["past"]`` where there are several beams. The
  search adds room to them, `layers.cache.write_slots` writes a step.

`Search` runs rounds. A round is one loop over positions with fixed shapes, which XLA compiles;
between rounds, finished rows leave and the cache grows. So a batch pays for the rows still at work
and the tokens written so far, and arbitrary input compiles few shapes.
"""

import functools
import threading
from typing import NamedTuple

import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.decoding import choosing
from keras_transformer.decoding.buckets import (
    ROOM,
    SOURCE_ROOM,
    bucket_of_rows,
    buckets_up_to,
    doubled,
    doubled_up_to,
)
from keras_transformer.decoding.strategies import BeamSearch, OneByOne
from keras_transformer.layers import cache as caches
from keras_transformer.special_tokens import PAD

_CONSTANT = ("rows", "limits", "prefix", "uniform", "context")
"""Parts of the state that a round only reads."""

_CACHE = ("context", "steps")
"""Parts of the state that are the model's."""

_TOKENS = ("tokens", "token_scores", "ended")
"""Parts of the state with a place for each token."""

_NUMBER, _NUMBERS, _IDS = (tf.TensorSpec([None] * rank, tf.int32) for rank in range(3))


_graph_function = functools.partial(tf.function, autograph=False)
"""Loops and conditions are spelled out here; AutoGraph would rewrite every layer of the model for
nothing, which takes longer than tracing them."""


class SearchResult(NamedTuple):
    """What a search found, the best first.

    Attributes:
        tokens: int64 ``(batch, n_best, length)``, without the start token, up to and with the end
            token where one was found, then padding.
        scores: float32 ``(batch, n_best)``, sums of the logarithmic probabilities of the tokens.
        ranks: float32 ``(batch, n_best)``, scores divided by the length penalty, which the order
            follows; `choosing.LOWEST` where fewer hypotheses were found.
        token_scores: float32 ``(batch, n_best, length)``, logarithmic probability of each token.
    """

    tokens: tf.Tensor
    scores: tf.Tensor
    ranks: tf.Tensor
    token_scores: tf.Tensor


class Search:
    """One kind of search over one model. Works eagerly and inside a graph.

    It is no `tf.Module`: a module that keeps one does not save its programs. Threads may share it.

    Args:
        model: see above.
        start_id, end_id: ids that begin and end a target.
        config: a `DecodingConfig`; what it says about text is left to the caller.
        forbidden: ids never to give, besides padding.
        jit_compile: compile the rounds with XLA, one program for each bucket of shapes.
        beam_size, length_penalty: tensors of the graph that the search is part of, instead of
            the numbers of `config`; all beams are given then.
    """

    def __init__(
        self,
        model,
        *,
        start_id,
        end_id,
        config=None,
        forbidden=(),
        jit_compile=True,
        beam_size=None,
        length_penalty=None,
    ):
        self.model = model
        self.start_id, self.end_id = start_id, end_id
        self.config = config = config or DecodingConfig()
        self.beams = config.n_best if config.sampling else config.beam_size
        self.n_best = config.n_best
        if beam_size is not None:
            self.beams = self.n_best = beam_size
        penalty = config.length_penalty if length_penalty is None else length_penalty
        with_beams = beam_size is not None or config.beam_size > 1
        strategy = BeamSearch if with_beams else OneByOne
        self.strategy = strategy(config, end_id, self.beams, self.n_best, penalty)
        self.forbidden = (PAD, *forbidden)
        self.jit_compile = jit_compile
        self._begin = _graph_function(self._run_first_round, jit_compile=jit_compile)
        self._round = _graph_function(self._run_round, jit_compile=jit_compile)
        self._traced = {}  # whether there is a prefix -> the search as a graph
        self._compiling = _graph_function(self._no_steps, input_signature=[_IDS, _NUMBER, _NUMBER])
        self._tracing = threading.Lock()

    def __call__(self, source, limits, *, seed=0, streams=None, prefix=None) -> SearchResult:
        """Searches for what follows the start token.

        Args:
            source: token ids, ``(batch, source)``.
            limits: most tokens to give in each row, the end included, ``(batch,)``; rows of 0 cost
                nothing and stay empty.
            seed: of sampling.
            streams: the random numbers of each row follow from the seed and its number here,
                ``(batch,)``; its place in the batch unless given.
            prefix: ids that the tokens begin with, padded, ``(batch, prefix)``.

        Returns:
            a `SearchResult`.
        """
        source = tf.cast(source, tf.int32)
        limits = tf.cast(limits, tf.int32)
        seed = tf.cast(seed, tf.int32)
        streams = tf.range(tf.shape(source)[0]) if streams is None else tf.cast(streams, tf.int32)
        arguments = [source, limits, seed, streams]
        if prefix is not None:
            arguments.append(tf.cast(prefix, tf.int32))
        return self._graph(with_prefix=prefix is not None)(*arguments)

    def warm_up(self, rows=64, source_length=SOURCE_ROOM, target_length=ROOM) -> None:
        """Compiles ahead what batches need that have no prefix; without XLA, only traces it.

        Args:
            rows: most rows of a batch. A batch runs the programs for fewer rows, too, as rows
                finish.
            source_length: most tokens of a source, with start and end.
            target_length: most tokens that are given.
        """
        reach = getattr(self.model, "max_length", None) or source_length
        for size in buckets_up_to(rows) if self.jit_compile else ():
            for source_room in doubled_up_to(SOURCE_ROOM, source_length):
                source = tf.zeros((size, min(source_room, reach)), tf.int32)
                rooms = doubled_up_to(ROOM, target_length)
                # There are random numbers for all tokens from the beginning.
                for longest in rooms if self.config.sampling else rooms[-1:]:
                    for room in rooms[: rooms.index(longest) + 1]:
                        self._compiling(source, room - 1, longest)
        self(tf.zeros((1, 1), tf.int32), [1])  # what is around the programs

    def _no_steps(self, source, position, longest):
        """Runs the programs of a search of such a source at `position`, taking no step."""
        batch = tf.shape(source)[0]
        rows = tf.range(batch)
        inputs = {"source": source, "limits": tf.fill([batch], longest), "rows": rows}
        if self.config.sampling:
            inputs["uniform"] = choosing.uniform_numbers(0, rows, (longest, self.beams))
        if self.jit_compile:
            inputs, _ = self._padded(inputs)
        rows = tf.size(inputs["rows"])
        _, state = self._begin(rows, _of_any_shape(inputs))
        state, _ = self._regroup(_of_any_shape(state), batch)
        state = self._make_room(position, state)
        return self._round(position, rows, _of_any_shape(state))[0]

    def _graph(self, with_prefix):
        """The search, traced once for arguments of any shape."""
        with self._tracing:  # threads that translate batches side by side come here at once
            if with_prefix not in self._traced:
                signature = [_IDS, _NUMBERS, _NUMBER, _NUMBERS] + [_IDS] * with_prefix
                function = _graph_function(self._search, input_signature=signature)
                self._traced[with_prefix] = function.get_concrete_function()
            return self._traced[with_prefix]

    def _search(self, source, limits, seed, streams, prefix=None):
        batch = tf.shape(source)[0]
        longest = tf.reduce_max(tf.concat([limits, [1]], 0))
        inputs = {"source": source, "limits": limits, "rows": tf.range(batch)}
        if self.config.sampling:
            inputs["uniform"] = choosing.uniform_numbers(seed, streams, (longest, self.beams))
        if prefix is not None:
            columns = tf.shape(prefix)[1]
            inputs["prefix"] = tf.pad(prefix, [[0, 0], [0, 16 - columns % 16]])
        enough = batch // 2
        if self.jit_compile:
            inputs, enough = self._padded(inputs)
        shape = (batch + 1, self.n_best, longest)  # the last row takes what padding gives
        result = SearchResult(
            tf.fill(shape, PAD),
            tf.zeros(shape[:2]),
            tf.fill(shape[:2], choosing.LOWEST),
            tf.zeros(shape),
        )

        def with_found(result, state):
            found = self._best(state, longest)
            places = state["rows"][:, tf.newaxis]
            return SearchResult(
                *map(tf.tensor_scatter_nd_update, result, [places] * len(found), found)
            )

        def working(position, state, result):
            return tf.reduce_any(~state["done"])

        def one_round(position, state, result):
            state, enough = self._regroup(state, batch)
            state = self._make_room(position, state)
            position, changed = self._round(position, enough, state)
            state = {**state, **changed}
            return position, state, with_found(result, state)

        position, state = self._begin(enough, inputs)
        result = with_found(result, state)
        variables = (position, state, result)
        *_, result = tf.while_loop(
            working,
            one_round,
            variables,
            shape_invariants=tf.nest.map_structure(
                lambda part: tf.TensorShape([None] * part.shape.rank), variables
            ),
        )
        result = SearchResult(*(part[:batch] for part in result))
        return result._replace(tokens=tf.cast(result.tokens, tf.int64))

    def _padded(self, inputs):
        """The inputs of the first round in one of few sizes.

        Returns:
            the inputs, and at how many rows to stop for regrouping.
        """
        batch, length = tf.unstack(tf.shape(inputs["source"]))
        rows, enough = bucket_of_rows(batch)
        source_room = doubled(SOURCE_ROOM, length)
        if reach := getattr(self.model, "max_length", None):
            source_room = tf.maximum(length, tf.minimum(source_room, reach))
        more = {"source": [[0, 0], [0, source_room - length]]}
        if "uniform" in inputs:
            numbers = tf.shape(inputs["uniform"])[1]
            more["uniform"] = [[0, 0], [0, doubled(ROOM, numbers) - numbers], [0, 0]]
        padded = {}
        for key, part in inputs.items():
            padding = more.get(key, [[0, 0]] * part.shape.rank)
            padding = [[0, rows - batch], *padding[1:]]
            fill = batch if key == "rows" else tf.zeros((), part.dtype)
            padded[key] = tf.pad(part, padding, constant_values=fill)
        return padded, enough

    def _run_first_round(self, enough, inputs):
        """Encodes the sources and steps on from there; see `_run_round`.

        Returns:
            the position, and the state: all that rounds work on, rows first.
        """
        inputs = dict(inputs)
        source = inputs.pop("source")
        batch = tf.shape(source)[0]
        cache = self.model.initial_cache(self.model.encode(source), self.beams)
        cache = caches.grow(cache, ROOM)
        no_tokens = tf.fill((batch, self.beams, ROOM), PAD)
        no_scores = tf.zeros((batch, self.beams, ROOM))
        done = inputs["limits"] <= 0
        state = {
            **inputs,
            **cache,
            "last": tf.fill((batch, self.beams), self.start_id),
            "tokens": no_tokens,
            "token_scores": no_scores,
            "done": done,
        }
        state |= self.strategy.initial_state(done, no_tokens, no_scores)
        position, changed = self._run_round(tf.constant(0), enough, state)
        return position, {**state, **changed}

    def _regroup(self, state, batch):
        """Drops the finished rows.

        Returns:
            the state, and how many rows at work make regrouping worthwhile again.
        """
        working = tf.cast(tf.where(~state["done"])[:, 0], tf.int32)
        count = tf.size(working)
        rows, enough = count, count // 2
        if self.jit_compile:
            rows, enough = bucket_of_rows(count)
        padding = tf.range(rows) >= count
        index = tf.concat([working, tf.fill((rows - count,), working[0])], 0)

        def regrouped():
            rest = {key: part for key, part in state.items() if key not in _CACHE}
            rest = tf.nest.map_structure(lambda part: tf.gather(part, index), rest)
            cache = {key: state[key] for key in _CACHE}
            return {**rest, **caches.select_rows(cache, index)}

        state = tf.cond(
            (rows == tf.size(state["done"])) & (rows == count), lambda: dict(state), regrouped
        )
        state["done"] |= padding
        state["rows"] = tf.where(padding, batch, state["rows"])
        return state, enough

    def _make_room(self, position, state):
        """Room for more tokens where there is none left, in one of few sizes."""
        room = tf.shape(state["tokens"])[2]
        new_room = doubled(ROOM, position + 1)

        def grown():
            cache = caches.grow({key: state[key] for key in _CACHE}, new_room - room)
            tokens = {
                key: tf.nest.map_structure(lambda part: _with_room(part, new_room), state[key])
                for key in _TOKENS
                if key in state
            }
            return {**state, **cache, **tokens}

        return tf.cond(position < room, lambda: dict(state), grown)

    def _run_round(self, position, enough, state):
        """Steps until the room is full or few rows are left at work.

        Returns:
            the position, and the parts of the state that changed.
        """
        fixed = {key: state[key] for key in _CONSTANT if key in state}
        moving = {key: part for key, part in state.items() if key not in fixed}
        room = tf.shape(state["tokens"])[2]

        def worthwhile(position, moving):
            working = tf.reduce_sum(tf.cast(~moving["done"], tf.int32))
            return (position < room) & (working > enough)

        def one_step(position, moving):
            cache = {"context": fixed["context"], "steps": moving["steps"]}
            logits, cache = self.model.decode_step(moving["last"], position, cache)
            logits = self._allowed(tf.cast(logits, tf.float32), position, fixed, moving)
            changed, parents = self.strategy.step(position, fixed, moving, logits)
            if parents is not None:
                cache = caches.select_beams(cache, parents)
            return position + 1, {**moving, **changed, "steps": cache["steps"]}

        return tf.while_loop(worthwhile, one_step, (position, moving))

    def _best(self, state, longest) -> SearchResult:
        """What the rows have found so far, best first, `longest` tokens long."""
        tokens, token_scores, ranks = self.strategy.found(state)
        tokens, token_scores = (
            _with_room(part[:, :, :longest], longest) for part in (tokens, token_scores)
        )
        return SearchResult(tokens, tf.reduce_sum(token_scores, axis=-1), ranks, token_scores)

    def _allowed(self, logits, position, fixed, moving):
        """Logits with LOWEST for what the options rule out, ``(rows, beams, vocab)``."""
        config = self.config
        allowed = logits
        if config.no_repeat_ngram:
            allowed = choosing.forbid_repeated_ngrams(
                allowed, moving["tokens"], position, config.no_repeat_ngram
            )
        end_allowed = position >= config.min_length
        allowed = choosing.forbid(allowed, self.forbidden, self.end_id, end_allowed)
        if "prefix" in fixed:  # which may hold what is ruled out elsewhere
            forced = choosing.forced_tokens(fixed["prefix"], position)[..., tf.newaxis]
            unruled = choosing.forbid(logits, (PAD,), self.end_id, True)
            allowed = tf.where(forced == PAD, allowed, unruled)
        return allowed


def _with_room(part, room):
    """A tensor of ``(rows, beams, room)`` or fewer dimensions, with `room` in the last of three."""
    if part.shape.rank < 3:
        return part
    return tf.pad(part, [[0, 0], [0, 0], [0, room - tf.shape(part)[2]]])


def _of_any_shape(state):
    """The tensors of a state, of which the graph is to know no more than the rank."""
    return tf.nest.map_structure(
        lambda part: tf.compat.v1.placeholder_with_default(part, [None] * part.shape.rank), state
    )
