"""The decoder of recurrent models, with and without attention.

Projections of the tokens, and all that no later step needs, are computed for the whole target at
once. Only the rest runs in a loop.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.recurrent.attention import SCORES, AttentionalVector, make_attention
from keras_transformer.layers.recurrent.cells import affine
from keras_transformer.layers.recurrent.encoder import EmbeddedStack

CONTEXTS = ("initial_state", "every_step")
"""Where a decoder without attention takes the encoder's final state."""


@keras.saving.register_keras_serializable("keras_transformer")
class RecurrentDecoder(EmbeddedStack):
    """Embedding and a stack of recurrent layers over the target, conditioned on the source.

    With ``y`` the vector of the token before, ``c`` the context vector of the source, ``f`` the
    stack, whose first layer has a matrix for each of its inputs, and ``g`` the vector that the
    logits are computed from:

    ::

        s_i = f(s_{i-1}, y), g = s_i                                              initial_state
        c = tanh(V h_T), s_i = f(s_{i-1}, y, c), g = tanh(W [s_i; y; c])          every_step
        c_i = attention(s_{i-1}), s_i = f(s_{i-1}, y, c_i), g = tanh(W [s_i; y; c_i])   additive
        s_i = f(s_{i-1}, y), c_i = attention(s_i), g = tanh(W [c_i; s_i])         other attention
        s_i = f(s_{i-1}, y, g_{i-1}), and so on                                   input feeding

    (Bahdanau and Cho have a maxout layer for ``g``.) The initial states are the encoder's final
    ones, or ``tanh(W h_T)`` where those have another width.

    Args:
        attention: one of `recurrent.attention.SCORES`, or ``None``.
        attention_units: hidden width of additive and concat attention; `units` unless given.
        context: without attention, one of `CONTEXTS`.
        input_feeding: give each step the attentional vector of the step before.
        **kwargs: arguments of `EmbeddedStack`, except `bidirectional`.

    Call arguments:
        ids: token ids, ``(batch, target)``.
        memory, states: from `RecurrentEncoder`.
        memory_mask: which positions of `memory` are real, ``(batch, source)`` bool.

    Returns:
        ``(batch, target, units)``. `last_attn_scores` has the attention weights, ``(batch, 1,
        target, source)``; without attention the last axis is empty.
    """

    def __init__(
        self,
        *,
        attention="additive",
        attention_units=None,
        context="initial_state",
        input_feeding=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(attention, context, input_feeding)
        self.attention = attention
        self.attention_units = int(attention_units or self.units)
        self.context = context
        self.input_feeding = input_feeding
        self.d_model = self.units  # for schedules of the learning rate
        self.attend = self.summary = self.vector = None
        if attention is not None:
            self.attend = make_attention(attention, self.attention_units, dtype=self.dtype_policy)
        if context == "every_step":
            self.summary = self._dense("summary")
        self.context_first = attention == "additive" or context == "every_step"
        if self.context_first:
            self.vector = self._dense("vector")
        elif self.attend is not None:
            self.vector = AttentionalVector(self.units, dtype=self.dtype_policy)
        self.last_attn_scores = None

    def _dense(self, name, activation="tanh"):
        return keras.layers.Dense(
            self.units, activation=activation, dtype=self.dtype_policy, name=name
        )

    def build(self, ids_shape, memory_shape):
        super().build(ids_shape)
        memory_width = memory_shape[-1]
        state_shape = (None, None, self.units)
        self._build_bridges(memory_width)
        context_width = memory_width if self.summary is None else self.units
        if self.summary is not None:
            self.summary.build((None, memory_width))
        if self.attend is not None:
            self.attend.build(state_shape, (None, None, memory_width))
        if self.context_first:
            self.context_kernel = self._input_kernel(context_width, "context_kernel")
            width = self.units + self.vector_size + context_width
            self.vector.build((None, None, width))
        elif self.attend is not None:
            self.vector.build((None, None, memory_width), state_shape)
        if self.input_feeding:
            self.feeding_kernel = self._input_kernel(self.units, "feeding_kernel")

    def _build_bridges(self, memory_width):
        """Makes the layers from the encoder's final states to initial states of another width."""
        self.bridges = []
        if memory_width == self.units:
            return
        states = len(self.stack.layers[0].cells[0].state_sizes)
        for layer in range(self.num_layers):
            for state in range(states):
                # The memory cell of an LSTM is not bounded.
                activation = None if state else "tanh"
                self.bridges.append(self._dense(f"first_state_{layer}_{state}", activation))
                self.bridges[-1].build((None, memory_width))

    def _input_kernel(self, width, name):
        """Adds a kernel of the stack's first layer for a further input."""
        columns = self.stack.layers[0].cells[0].kernel.shape[-1]
        return self.add_weight(shape=(width, columns), initializer="glorot_uniform", name=name)

    def begin(self, memory, states, memory_mask=None):
        """Computes the constant context and the initial states.

        Args:
            memory, states, memory_mask: as in the call.

        Returns:
            ``(context, states)``: a dictionary of tensors that are the same for all steps, such as
            the projected keys, and the initial states of every layer, ``(batch, units)`` each.
        """
        context = {}
        if self.summary is not None:
            summary = self.summary(states[-1][0])[:, tf.newaxis]
            projected = affine(summary, self.context_kernel)
            context.update(summary=summary, projected_context=projected)
        if self.attend is not None:
            keys = self.attend.project_keys(memory)
            context.update(keys=keys, memory=memory, mask=memory_mask)
        if self.bridges:
            bridges = iter(self.bridges)
            states = [[next(bridges)(state) for state in layer] for layer in states]
        return context, states

    def call(self, ids, memory, states, memory_mask=None, training=None):
        context, states = self.begin(memory, states, memory_mask)
        dropout_masks = self.stack.draw_dropout(ids, training)
        y = self.embed(ids, training)
        if self.attention == "additive":
            vectors, weights = self._run_additive_attention(y, states, context, dropout_masks)
        elif self.input_feeding:
            vectors, weights = self._run_input_feeding(y, states, context, dropout_masks)
        else:
            projected = context.get("projected_context")
            s, _ = self.stack.run(
                y, states=states, dropout_masks=dropout_masks, projected_context=projected
            )
            vectors, weights = self._finish(y, s, context)
        self.last_attn_scores = weights[:, tf.newaxis]
        return self.dropout(vectors, training=training)

    def _run_additive_attention(self, y, states, context, dropout_masks):
        """Additive attention: a state needs the context vector before it, but no ``g``."""
        batch, source, width = tf.unstack(tf.shape(context["memory"]))
        dropout_masks = dropout_masks and [part[:, 0] for part in dropout_masks]

        def step(carried, now):
            return self._additive_step(*now, carried[0], context, dropout_masks)

        empty = [tf.zeros((batch, n), y.dtype) for n in (self.units, width, source)]
        s, c, weights = self._loop(step, y, (states, *empty))
        return self._finish(y, s, context, c)[0], weights

    def _run_input_feeding(self, y, states, context, dropout_masks):
        """Input feeding: a state needs ``g`` of the step before it."""
        batch, source, _ = tf.unstack(tf.shape(context["memory"]))
        dropout_masks = dropout_masks and [part[:, 0] for part in dropout_masks]

        def step(carried, now):
            return self._feeding_step(*now, carried[0], carried[1], context, dropout_masks)

        empty = [tf.zeros((batch, n), y.dtype) for n in (self.units, source)]
        return self._loop(step, y, (states, *empty))

    def _loop(self, step, y, first):
        """Results of a step, except the states, at every position, ``(batch, target, ...)``."""
        inputs = (y, self.stack.project(y))
        inputs = tuple(tf.transpose(part, (1, 0, 2)) for part in inputs)
        _, *results = tf.scan(step, inputs, first)
        return [tf.transpose(part, (1, 0, 2)) for part in results]

    def _additive_step(self, y, projected, states, context, dropout_masks=None):
        """One position of every row or beam, with additive attention.

        Args:
            y: ``(..., vector_size)``.
            projected: from `RecurrentStack.project` of `y`.
            states: of every layer, ``(..., units)`` each.
            context: from `begin`.
            dropout_masks: see `RecurrentStack.step`.

        Returns:
            ``(states, s, c, weights)``.
        """
        c, weights = self._context_vectors(states[-1][0], context)
        projected += affine(c, self.context_kernel)
        s, states = self.stack.step(y, states, dropout_masks, projected)
        return states, s, c, weights

    def _feeding_step(self, y, projected, states, vector, context, dropout_masks=None):
        """One position with input feeding: ``(states, g, weights)``."""
        projected += affine(vector, self.feeding_kernel)
        s, states = self.stack.step(y, states, dropout_masks, projected)
        c, weights = self._context_vectors(s, context)
        return states, self.vector(c, s), weights

    def _context_vectors(self, query, context):
        """Context vectors and attention weights of states, ``(batch, [n,] units)``."""
        keys, memory, mask = (context[key] for key in ("keys", "memory", "mask"))
        if query.shape.rank == 3:
            return self.attend.attend(query, keys, memory, mask)
        c, weights = self.attend.attend(query[:, tf.newaxis], keys, memory, mask)
        return c[:, 0], weights[:, 0]

    def _finish(self, y, s, context, c=None):
        """``g`` at every position, ``(batch, n, units)``, and weights, ``(batch, n, source)``."""
        batch, length = tf.unstack(tf.shape(y)[:2])
        no_weights = tf.zeros((batch, length, 0), y.dtype)
        if self.context_first:
            if c is None:
                c = tf.broadcast_to(context["summary"], (batch, length, self.units))
            return self.vector(tf.concat([s, y, c], axis=-1)), no_weights
        if self.attend is None:
            return s, no_weights
        c, weights = self._context_vectors(s, context)
        return self.vector(c, s), weights

    def initial_cache(self, memory, states, memory_mask, beam_size=1) -> dict:
        """Cache for decoding one batch; see `RecurrentSeq2Seq.initial_cache`."""
        context, states = self.begin(memory, states, memory_mask)
        steps = {
            "states": tf.nest.map_structure(
                lambda part: tf.tile(part[:, tf.newaxis], (1, beam_size, 1)), states
            )
        }
        if self.input_feeding:
            steps["vector"] = tf.zeros_like(steps["states"][0][0])
        return {"context": context, "steps": steps}

    def step(self, tokens, cache):
        """Runs the decoder for one position of every beam.

        Args:
            tokens: token ids, ``(batch, beams)``.
            cache: from `initial_cache` or the step before.

        Returns:
            ``(vector, cache)``: ``(batch, beams, units)`` and the cache after `tokens`.
        """
        context, steps = cache["context"], cache["steps"]
        states, after = steps["states"], {}
        y = self.embed(tokens)
        projected = self.stack.project(y)
        if self.attention == "additive":
            states, s, c, _ = self._additive_step(y, projected, states, context)
            vector, _ = self._finish(y, s, context, c)
        elif self.input_feeding:
            states, vector, _ = self._feeding_step(y, projected, states, steps["vector"], context)
            after["vector"] = vector
        else:
            projected += context.get("projected_context", 0)
            s, states = self.stack.step(y, states, projected=projected)
            vector, _ = self._finish(y, s, context)
        after["states"] = states
        # A `tf.while_loop` needs the static shapes that it began with.
        after = tf.nest.map_structure(
            lambda new, old: tf.ensure_shape(new, old.shape), after, steps
        )
        return vector, {"context": context, "steps": after}

    def get_config(self):
        return {
            **super().get_config(),
            "attention": self.attention,
            "attention_units": self.attention_units,
            "context": self.context,
            "input_feeding": self.input_feeding,
        }


def _check(attention, context, input_feeding):
    if context not in CONTEXTS:
        raise InputError(f"context is one of {', '.join(CONTEXTS)}; got {context!r}.")
    if attention is not None and context == "every_step":
        raise InputError(
            "context='every_step' is for a model without attention, which has a context for "
            f"each step; got attention={attention!r}."
        )
    if input_feeding and attention in (None, "additive"):
        raise InputError(
            "input_feeding feeds the attentional vector of an attention after the recurrence "
            f"({', '.join(SCORES[1:])}); got attention={attention!r}."
        )
