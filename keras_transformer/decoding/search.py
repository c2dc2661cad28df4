"""Greedy search, beam search and sampling over any model with a cached step.

A model is any object with

- ``encode(source)``: nested tensors, computed once from token ids ``(batch, source)``;
- ``initial_cache(encoded, beam_size)``: the cache before the first step, with room for no token;
- ``decode_step(tokens, position, cache)``: logits of the next token, ``(batch, beams, vocab)``, and
  the cache with `tokens`, ``(batch, beams)``, which are at `position`, a scalar;

and, if its source has a maximum length, ``max_length``. It may have

- ``pad_encoded(encoded, length)``: what ``encode`` gives of sources that are padded to a length.
  Compiled for a CPU, a search then encodes without padding, which would be computed, too, and
  without XLA, whose programs it would need for many lengths;
- ``output_columns(ids)``, which a shortlist needs: what `decode_step` finds as ``cache["output"]``
  to give the logits of these ids alone, ``(batch, beams, ids)``; nested tensors. Which of them
  each row may have is in ``cache["allowed"]``, bool ``(batch, ids)``.

With a shortlist, tokens are numbers of columns in all of a search but for what the model reads and
what is returned. The lowest ids, controls among them, are the same as columns and as tokens.

A cache is a dictionary, of which `layers.cache` says more:

- ``context``: nested tensors that are constant, with rows first; may be empty;
- ``steps``: a dictionary of nested tensors ``(batch, beams, ...)``, which a step replaces by others
  of the same shapes. The search gathers them when it reorders beams or drops finished rows;
- ``steps["keys_values"]``, if the model has it: buffers ``(batch * heads, slots, key_dim)`` as
  `layers.cache.initial_steps` makes them, with ``steps["past"]`` where there are several beams. The
  search adds room to them, `layers.cache.write_slots` writes a step.

`Search` runs in rounds. A round is a loop over positions with fixed shapes, which XLA compiles;
between rounds finished rows are dropped and the cache grows, to one of few sizes. So the cost of a
step follows the unfinished rows and the tokens so far, and few programs serve input of any shape.
"""

import functools
import threading
from typing import NamedTuple

import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.buckets import (
    PREFIX_ROOM,
    ROOM,
    SOURCE_ROOM,
    bucket_of_rows,
    buckets_up_to,
    column_room,
    doubled,
    doubled_up_to,
)
from keras_transformer.decoding.strategies import (
    BeamSearch,
    ConstrainedBeamSearch,
    GreedyOrSampling,
)
from keras_transformer.decoding.tokens import (
    LOWEST,
    copy_once,
    forbid,
    forbid_repeated_ngrams,
    forced_tokens,
    uniform_numbers,
    value_at,
)
from keras_transformer.internals import without_graph_optimizer
from keras_transformer.layers import cache as caches
from keras_transformer.special_tokens import PAD

_OF_ALL = ("columns", "output")
"""Entries of the state that all rows share."""

_CONSTANT = (
    "rows",
    "limits",
    "prefix",
    "uniform",
    "required",
    "joined",
    "terms",
    "allowed",
    "context",
    *_OF_ALL,
)
"""Entries of the state that are constant in a round."""

_CACHE = ("context", "steps")
"""Entries of the state that are the model's cache."""

_TOKENS = ("tokens", "token_scores", "ended")
"""Entries of the state with room for each token."""

_NUMBER, _NUMBERS, _IDS, _TERMS = (tf.TensorSpec([None] * rank, tf.int32) for rank in range(4))

TERM_BEAMS = 10
"""Fewest beams of a search with terms, as in Post and Vilar (2018)."""

_TERM_ROOM = 4, 8  # how many terms, and tokens of each, compiled programs have room for: multiples


_graph_function = functools.partial(tf.function, autograph=False)
"""Without AutoGraph, which would rewrite the code of every layer of the model; loops and conditions
on tensors are `tf.while_loop` and `tf.cond` here."""


class SearchResult(NamedTuple):
    """Hypotheses of a search, the best first.

    Attributes:
        tokens: int64 ``(batch, n_best, length)``, without the start token, up to and including
            the end token where there is one, then padding.
        scores: float32 ``(batch, n_best)``, sums of the logarithmic probabilities of the tokens.
        ranks: float32 ``(batch, n_best)``, scores divided by the length penalty, in descending
            order; `tokens.LOWEST` where fewer hypotheses were found.
        token_scores: float32 ``(batch, n_best, length)``, logarithmic probability of each token.
    """

    tokens: tf.Tensor
    scores: tf.Tensor
    ranks: tf.Tensor
    token_scores: tf.Tensor

    @property
    def found(self) -> tf.Tensor:
        """Which of the hypotheses were found, bool ``(batch, n_best)``."""
        return self.ranks > LOWEST / 2


class Search:
    """Searches one model by one configuration, eagerly and inside a graph.

    It is no `tf.Module`, so that a SavedModel of a module with a search leaves its programs out.
    Threads may share it.

    Args:
        model: see above.
        start_id, end_id: ids of the start and the end token.
        config: a `DecodingConfig`, of which the seed and the limits of the length are left to the
            caller.
        forbidden: ids that are never given, besides padding.
        jit_compile: compile the rounds with XLA, one program for each size of a batch.
        beam_size, length_penalty: tensors of the surrounding graph that replace the numbers of
            `config`; all beams are returned then.
        placeholders: how many ids, from `first_placeholder` on, every hypothesis has once if the
            source has them, and else not at all.
        shortlist: a `Shortlist`, which is used if `config` says so; sampling looks at all tokens.
        term_tokens: if given, hypotheses have to have the terms that callers give, by a
            `ConstrainedBeamSearch` of `TERM_BEAMS` beams or more; its `transparent` and
            `continuations`.
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
        placeholders=0,
        first_placeholder=0,
        shortlist=None,
        term_tokens=None,
    ):
        self.model = model
        self.placeholders = range(first_placeholder, first_placeholder + placeholders)
        self.start_id, self.end_id = start_id, end_id
        self.config = config = config or DecodingConfig()
        self.beams = config.n_best if config.sampling else config.beam_size
        self.n_best = config.n_best
        if beam_size is not None:
            self.beams = self.n_best = beam_size
        penalty = config.length_penalty if length_penalty is None else length_penalty
        self.with_terms = term_tokens is not None
        if self.with_terms:
            self.beams = max(self.beams, TERM_BEAMS)
            strategy = functools.partial(ConstrainedBeamSearch, **term_tokens)
        else:
            with_beams = beam_size is not None or config.beam_size > 1
            strategy = BeamSearch if with_beams else GreedyOrSampling
        self.strategy = strategy(config, end_id, self.beams, self.n_best, penalty)
        self.forbidden = (PAD, *forbidden)
        self.shortlist = shortlist if config.shortlist and not config.sampling else None
        controls = (start_id, end_id, *self.forbidden, *self.placeholders)
        self._always = 1 + max(*controls, *(term_tokens or {}).get("transparent", ()))
        self.jit_compile = jit_compile
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
        pads = jit_compile and hasattr(model, "pad_encoded") and not on_gpu
        self._encode = _graph_function(model.encode) if pads else None
        self._begin = _graph_function(self._prepare, jit_compile=jit_compile)
        self._round = _graph_function(self._run_round, jit_compile=jit_compile)
        self._traced = {}  # whether there is a prefix -> the search as a graph
        self._compile = _graph_function(self._run_no_step, input_signature=[_IDS, _NUMBER, _NUMBER])
        self._tracing = threading.Lock()

    def __call__(
        self, source, limits, *, seed=0, streams=None, prefix=None, terms=None, optimized=True
    ) -> SearchResult:
        """Searches for the tokens after the start token.

        Args:
            source: token ids, ``(batch, source)``.
            limits: most tokens of each row, the end included, ``(batch,)``; rows of 0 stay empty
                and cost nothing.
            seed: seed of sampling.
            streams: stream of the random numbers of each row, which follow from the seed and this
                number alone, ``(batch,)``; its place in the batch unless given.
            prefix: ids that the tokens begin with, padded, ``(batch, prefix)``.
            terms: ids of the terms that each row has to have, padded, ``(batch, terms, length)``;
                for a search with `term_tokens`, which needs them.
            optimized: have TensorFlow optimise the graph, which takes seconds the first time.

        Returns:
            a `SearchResult`.
        """
        source = tf.cast(source, tf.int32)
        limits = tf.cast(limits, tf.int32)
        seed = tf.cast(seed, tf.int32)
        streams = tf.range(tf.shape(source)[0]) if streams is None else tf.cast(streams, tf.int32)
        arguments = [source, limits, seed, streams]
        if self.with_terms:
            arguments.append(tf.cast(terms, tf.int32))
        if prefix is not None:
            arguments.append(tf.cast(prefix, tf.int32))
        graph = self._graph(with_prefix=prefix is not None)
        if optimized or not tf.executing_eagerly():
            return graph(*arguments)
        with without_graph_optimizer():
            return graph(*arguments)

    def warm_up(self, rows=64, source_length=SOURCE_ROOM, target_length=ROOM) -> None:
        """Compiles the programs for batches without prefix; without XLA, only traces them.

        Args:
            rows: most rows of a batch; programs for fewer rows are compiled, too.
            source_length: most tokens of a source, start and end included.
            target_length: most tokens of a target.
        """
        longest_source = getattr(self.model, "max_length", None) or source_length
        for size in buckets_up_to(rows) if self.jit_compile else ():
            for source_room in doubled_up_to(SOURCE_ROOM, source_length):
                source = tf.zeros((size, min(source_room, longest_source)), tf.int32)
                rooms = doubled_up_to(ROOM, target_length)
                # Random numbers have room for all tokens from the first round on.
                for longest in rooms if self.config.sampling else rooms[-1:]:
                    for room in rooms[: rooms.index(longest) + 1]:
                        self._compile(source, room - 1, longest)
        terms = tf.zeros((1, 1, 1), tf.int32) if self.with_terms else None
        self(tf.zeros((1, 1), tf.int32), [1], terms=terms)  # traces the graph around the programs

    def _run_no_step(self, source, position, longest):
        """Runs the programs of a search at `position` without a step, which compiles them."""
        batch = tf.shape(source)[0]
        rows = tf.range(batch)
        inputs = {"source": source, "limits": tf.fill([batch], longest), "rows": rows}
        if self.config.sampling:
            inputs["uniform"] = uniform_numbers(0, rows, (longest, self.beams))
        if self.placeholders:
            inputs |= self._of_placeholders(source)
        if self.with_terms:
            inputs["terms"] = tf.zeros((batch, *_TERM_ROOM), tf.int32)
        if self.shortlist is not None:
            inputs["allowed"] = tf.zeros((batch, self.shortlist.vocab_size), tf.bool)
            inputs = self._in_columns(inputs)
        if self.jit_compile:
            inputs, _ = self._padded(inputs)
        rows = tf.size(inputs["rows"])
        _, state = self._begin(rows, _of_any_shape(inputs))
        state, _ = self._regroup(_of_any_shape(state), batch)
        state = self._make_room(position, state)
        return self._round(position, rows, _of_any_shape(state))[0]

    def _graph(self, with_prefix):
        """The search as a graph, traced once for arguments of any shape."""
        with self._tracing:  # which threads may call at once
            if with_prefix not in self._traced:
                signature = [_IDS, _NUMBERS, _NUMBER, _NUMBERS]
                signature += [_TERMS] * self.with_terms + [_IDS] * with_prefix
                function = _graph_function(self._search, input_signature=signature)
                self._traced[with_prefix] = function.get_concrete_function()
            return self._traced[with_prefix]

    def _search(self, source, limits, seed, streams, *more):
        more = list(more)
        terms = more.pop(0) if self.with_terms else None
        prefix = more.pop(0) if more else None
        batch = tf.shape(source)[0]
        longest = tf.reduce_max(tf.concat([limits, [1]], 0))
        inputs = {"source": source, "limits": limits, "rows": tf.range(batch)}
        if self.config.sampling:
            inputs["uniform"] = uniform_numbers(seed, streams, (longest, self.beams))
        if self.placeholders:
            inputs |= self._of_placeholders(source)
        if prefix is not None:
            columns = tf.shape(prefix)[1]
            room = doubled(PREFIX_ROOM, columns + 1) - columns
            inputs["prefix"] = tf.pad(prefix, [[0, 0], [0, room]])
        if terms is not None:
            _, *sizes = tf.unstack(tf.shape(terms))
            rooms = [room - size % room for size, room in zip(sizes, _TERM_ROOM, strict=True)]
            inputs["terms"] = tf.pad(terms, [[0, 0], *([0, room] for room in rooms)])
        if self.shortlist is not None:
            named = [inputs[name] for name in ("prefix", "terms") if name in inputs]
            inputs["allowed"] = self.shortlist.allowed(
                source,
                self.config.shortlist,
                self._always,
                [tf.reshape(ids, (batch, -1)) for ids in named],
            )
            inputs = self._in_columns(inputs)
        enough = batch // 2
        if self.jit_compile:
            inputs, enough = self._padded(inputs)
        shape = (batch + 1, self.n_best, longest)  # the last row is for the results of padding
        result = SearchResult(
            tf.fill(shape, PAD),
            tf.zeros(shape[:2]),
            tf.fill(shape[:2], LOWEST),
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

    def _of_placeholders(self, source) -> dict:
        """What `copy_once` wants to know of sources, ``(batch, length)``."""
        first, last = self.placeholders.start, self.placeholders.stop
        required = tf.reduce_any(source[..., tf.newaxis] == tf.range(first, last), axis=1)
        is_one = (source >= first) & (source < last)
        between = source[:, 1:-1] == first - 1
        joined = tf.reduce_any(is_one[:, :-2] & between & is_one[:, 2:], axis=1)
        return {"required": required, "joined": joined}

    def _in_columns(self, state) -> dict:
        """Replaces ids by columns of the output matrix, of as few ids as the rows may have.

        Args:
            state: a state or the inputs of one, with ``allowed``, which ids each row may have, bool
                ``(rows, vocab)``.

        Returns:
            the state with numbers of columns for all tokens; ``columns``, the id of each,
            ``(columns,)``; ``output``, what the model needs for them; and ``allowed``,
            ``(rows, columns)``.
        """
        room = None
        if self.jit_compile:
            rows, _ = bucket_of_rows(tf.shape(state["allowed"])[0])
            room = column_room(rows, self.config.shortlist, self.shortlist.vocab_size)
        columns, allowed, places = self.shortlist.columns(state["allowed"], room=room)
        return {
            **_with_tokens(state, places),
            "columns": columns,
            "allowed": allowed,
            "output": self.model.output_columns(columns),
        }

    def _in_ids(self, state) -> dict:
        """The inverse of `_in_columns`."""
        columns = state["columns"]
        allowed = tf.scatter_nd(
            columns[:, tf.newaxis],
            tf.cast(tf.transpose(state["allowed"]), tf.int32),
            (self.shortlist.vocab_size, tf.shape(state["allowed"])[0]),
        )
        rest = {key: part for key, part in state.items() if key not in _OF_ALL}
        return {**_with_tokens(rest, columns), "allowed": tf.transpose(allowed) > 0}

    def _padded(self, inputs):
        """Pads the inputs of the first round to one of few sizes.

        Returns:
            the inputs, and the number of unfinished rows at which the round ends.
        """
        batch, length = tf.unstack(tf.shape(inputs["source"]))
        rows, enough = bucket_of_rows(batch)
        source_room = doubled(SOURCE_ROOM, length)
        if longest := getattr(self.model, "max_length", None):
            source_room = tf.maximum(length, tf.minimum(source_room, longest))
        inputs = dict(inputs)
        more = {}
        if self._encode is not None:
            encoded = self._encode(inputs.pop("source"))
            inputs["encoded"] = self.model.pad_encoded(encoded, source_room)
        else:
            more["source"] = [[0, 0], [0, source_room - length]]
        if "uniform" in inputs:
            numbers = tf.shape(inputs["uniform"])[1]
            more["uniform"] = [[0, 0], [0, doubled(ROOM, numbers) - numbers], [0, 0]]

        def with_rows(key, part):
            padding = more.get(key, [[0, 0]] * part.shape.rank)
            padding = [[0, rows - batch], *padding[1:]]
            fill = batch if key == "rows" else tf.zeros((), part.dtype)
            return tf.pad(part, padding, constant_values=fill)

        padded = {
            key: part
            if key in _OF_ALL
            else tf.nest.map_structure(functools.partial(with_rows, key), part)
            for key, part in inputs.items()
        }
        return padded, enough

    def _prepare(self, enough, inputs):
        """Encodes sources that are not encoded and, compiled, runs the first round.

        See `_run_round`.

        That saves the call of another program. A graph has the steps once instead of twice.

        Returns:
            the position and the state, a dictionary of tensors with rows first.
        """
        inputs = dict(inputs)
        encoded = inputs.pop("encoded", None)
        if encoded is None:
            encoded = self.model.encode(inputs.pop("source"))
        batch = tf.shape(inputs["rows"])[0]
        cache = self.model.initial_cache(encoded, self.beams)
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
        if self.with_terms:
            state["progress"] = tf.zeros(
                (batch, self.beams, tf.shape(inputs["terms"])[1]), tf.int32
            )
        if not self.jit_compile:
            return tf.constant(0), state
        position, changed = self._run_round(tf.constant(0), enough, state)
        return position, {**state, **changed}

    def _regroup(self, state, batch):
        """Drops the finished rows.

        Returns:
            the state, and the number of unfinished rows at which the next round ends.
        """
        working = tf.cast(tf.where(~state["done"])[:, 0], tf.int32)
        count = tf.size(working)
        rows, enough = count, count // 2
        if self.jit_compile:
            rows, enough = bucket_of_rows(count)
        padding = tf.range(rows) >= count
        index = tf.concat([working, tf.fill((rows - count,), working[0])], 0)

        def regrouped():
            ids = state if self.shortlist is None else self._in_ids(state)
            rest = {key: part for key, part in ids.items() if key not in _CACHE}
            rest = tf.nest.map_structure(lambda part: tf.gather(part, index), rest)
            cache = {key: state[key] for key in _CACHE}
            chosen = {**rest, **caches.select_rows(cache, index)}
            return chosen if self.shortlist is None else self._in_columns(chosen)

        state = tf.cond(
            (rows == tf.size(state["done"])) & (rows == count), lambda: dict(state), regrouped
        )
        state["done"] |= padding
        state["rows"] = tf.where(padding, batch, state["rows"])
        return state, enough

    def _make_room(self, position, state):
        """Adds room for more tokens, up to one of few sizes, if it is full at `position`."""
        room = tf.shape(state["tokens"])[2]
        new_room = doubled(ROOM, position + 1)

        def grown():
            tokens = {
                key: tf.nest.map_structure(lambda part: _with_room(part, new_room), state[key])
                for key in _TOKENS
                if key in state
            }
            return {**caches.grow(state, new_room - room), **tokens}

        return tf.cond(position < room, lambda: dict(state), grown)

    def _run_round(self, position, enough, state):
        """Runs steps until the room is full or at most `enough` rows are unfinished.

        Returns:
            the position, and the entries of the state that changed.
        """
        fixed = {key: state[key] for key in _CONSTANT if key in state}
        moving = {key: part for key, part in state.items() if key not in fixed}
        room = tf.shape(state["tokens"])[2]

        def worthwhile(position, moving):
            working = tf.reduce_sum(tf.cast(~moving["done"], tf.int32))
            return (position < room) & (working > enough)

        def one_step(position, moving):
            cache = {"context": fixed["context"], "steps": moving["steps"]}
            if "output" in fixed:
                cache |= {"output": fixed["output"], "allowed": fixed["allowed"]}
            last = moving["last"]
            if isinstance(self.beams, int):
                last.set_shape((None, self.beams))  # so that steps have few operations
            if self.shortlist is not None:
                last = tf.gather(fixed["columns"], last)
            logits, cache = self.model.decode_step(last, position, cache)
            logits = self._allowed(tf.cast(logits, tf.float32), position, fixed, moving)
            changed, parents = self.strategy.step(position, fixed, moving, logits)
            if parents is not None:
                cache = caches.select_beams(cache, parents)
            return position + 1, {**moving, **changed, "steps": cache["steps"]}

        return tf.while_loop(worthwhile, one_step, (position, moving))

    def _best(self, state, longest) -> SearchResult:
        """The best hypotheses so far, with `longest` tokens each."""
        tokens, token_scores, ranks = self.strategy.found(state)
        if self.shortlist is not None:
            tokens = tf.gather(state["columns"], tokens)
        tokens, token_scores = (
            _with_room(part[:, :, :longest], longest) for part in (tokens, token_scores)
        )
        return SearchResult(tokens, tf.reduce_sum(token_scores, axis=-1), ranks, token_scores)

    def _allowed(self, logits, position, fixed, moving):
        """Masks the logits of tokens that the options forbid, ``(rows, beams, vocab)``."""
        config = self.config
        if "allowed" in fixed:
            logits = tf.where(fixed["allowed"][:, tf.newaxis], logits, LOWEST)
        allowed = logits
        if config.no_repeat_ngram:
            allowed = forbid_repeated_ngrams(
                allowed, moving["tokens"], position, config.no_repeat_ngram
            )
        end_allowed = position >= config.min_length
        allowed = forbid(allowed, self.forbidden, self.end_id, end_allowed)
        if self.placeholders:
            allowed = copy_once(
                allowed,
                moving["tokens"],
                position,
                fixed["required"],
                fixed["joined"],
                fixed["limits"] - position,
                self.placeholders,
                self.end_id,
            )
        if "prefix" in fixed:  # which may hold tokens that are forbidden elsewhere
            forced = forced_tokens(fixed["prefix"], position)
            here = value_at(allowed, tf.broadcast_to(forced, tf.shape(allowed)[:2]))
            as_elsewhere = (forced == PAD) | (here > LOWEST / 2)
            of_prefix = forbid(logits, (PAD,), self.end_id, True)
            allowed = tf.where(as_elsewhere[..., tf.newaxis], allowed, of_prefix)
        return allowed


def _with_tokens(state, ids) -> dict:
    """The state with ``ids[token]`` for every token in it."""
    changed = {
        key: tf.gather(ids, state[key])
        for key in ("prefix", "terms", "last", "tokens")
        if key in state
    }
    if "ended" in state:
        ended = state["ended"]
        changed["ended"] = {**ended, "tokens": tf.gather(ids, ended["tokens"])}
    return {**state, **changed}


def _with_room(part, room):
    """Pads the last axis of a tensor ``(rows, beams, ...)`` to `room`; others stay as they are."""
    if part.shape.rank < 3:
        return part
    return tf.pad(part, [[0, 0], [0, 0], [0, room - tf.shape(part)[2]]])


def _of_any_shape(state):
    """Hides the static shapes of a state, so that one trace serves all shapes."""
    return tf.nest.map_structure(
        lambda part: tf.compat.v1.placeholder_with_default(part, [None] * part.shape.rank), state
    )
