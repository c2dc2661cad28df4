"""The decoder of recurrent models, with and without attention.

What a step takes from the token alone is computed for the whole target at once, and so is all that
no later step asks for. Only what is left runs in a loop.
"""

import keras
import tensorflow as tf

from keras_transformer.layers.recurrent.attention import SCORES, AttentionalVector, make_attention
from keras_transformer.layers.recurrent.cells import affine
from keras_transformer.layers.recurrent.encoder import EmbeddedStack

CONTEXTS = ("initial_state", "every_step")
"""Where a decoder without attention puts what the encoder made of the source."""


@keras.saving.register_keras_serializable("keras_transformer")
class RecurrentDecoder(EmbeddedStack):
    """Embedding and a stack of recurrent layers over the target, told about the source.

    With ``y`` the vector of the token before, ``c`` what is known of the source, ``f`` the stack,
    whose first layer has a matrix for each of its inputs, and ``g`` the vector that the logits are
    made of:

    ::

        s_i = f(s_{i-1}, y), g = s_i                                              initial_state
        c = tanh(V h_T), s_i = f(s_{i-1}, y, c), g = tanh(W [s_i; y; c])          every_step
        c_i = attention(s_{i-1}), s_i = f(s_{i-1}, y, c_i), g = tanh(W [s_i; y; c_i])   additive
        s_i = f(s_{i-1}, y), c_i = attention(s_i), g = tanh(W [c_i; s_i])         other attention
        s_i = f(s_{i-1}, y, g_{i-1}), and so on                                   input feeding

    (Bahdanau and Cho have a maxout layer for ``g``.) The first states are the encoder's last ones;
    where those are of another width, ``tanh(W h_T)``.

    Args:
        attention: one of `recurrent_attention.SCORES`, or ``None``.
        attention_units: width inside additive and concat attention; `units` unless given.
        context: without attention, one of `CONTEXTS`.
        input_feeding: feed each step with the attentional vector before it.
        **kwargs: arguments of `EmbeddedStack`, except `bidirectional`.

    Call arguments:
        ids: token ids, ``(batch, target)``.
        memory, states: from `RecurrentEncoder`.
        memory_mask: which positions of `memory` are real, ``(batch, source)`` bool.

    Returns:
        ``(batch, target, units)``; the attention weights are kept in `last_attn_scores`, ``(batch,
        1, target, source)``, with no source without attention.
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
        self.d_model = self.units  # the width that schedules of the learning rate ask for
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
        """Layers from the encoder's last states to the first ones here, if widths differ."""
        self.bridges = []
        if memory_width == self.units:
            return
        states = len(self.stack.layers[0].cells[0].state_sizes)
        for layer in range(self.num_layers):
            for state in range(states):
                # The memory cell of an LSTM is not bounded; its first value need not be either.
                activation = None if state else "tanh"
                self.bridges.append(self._dense(f"first_state_{layer}_{state}", activation))
                self.bridges[-1].build((None, memory_width))

    def _input_kernel(self, width, name):
        """A matrix of the stack's first layer for what it takes besides the token."""
        columns = self.stack.layers[0].cells[0].kernel.shape[-1]
        return self.add_weight(shape=(width, columns), initializer="glorot_uniform", name=name)

    def begin(self, memory, states, memory_mask=None):
        """What the decoder knows before its first token.

        Args:
            memory, states, memory_mask: as in the call.

        Returns:
            ``(context, states)``: a dictionary of tensors that stay as they are, among them the
            projected keys, and the first states of every layer, ``(batch, units)`` each.
        """
        context = {}
        if self.summary is not None:
            summary = self.summary(states[-1][0])[:, tf.newaxis]
            context.update(summary=summary, beside=affine(summary, self.context_kernel))
        if self.attend is not None:
            keys = self.attend.project_keys(memory)
            context.update(keys=keys, memory=memory, mask=memory_mask)
        if self.bridges:
            bridges = iter(self.bridges)
            states = [[next(bridges)(state) for state in layer] for layer in states]
        return context, states

    def call(self, ids, memory, states, memory_mask=None, training=None):
        context, states = self.begin(memory, states, memory_mask)
        drops = self.stack.draw_dropout(ids, training)
        y = self.embed(ids, training)
        if self.attention == "additive":
            vectors, weights = self._attend_in_a_loop(y, states, context, drops)
        elif self.input_feeding:
            vectors, weights = self._feed_in_a_loop(y, states, context, drops)
        else:
            s, _ = self.stack.run(y, states=states, drops=drops, beside=context.get("beside"))
            vectors, weights = self._finish(y, s, context)
        self.last_attn_scores = weights[:, tf.newaxis]
        return self.dropout(vectors, training=training)

    def _attend_in_a_loop(self, y, states, context, drops):
        """Bahdanau: a state needs what the one before it found. No later step needs ``g``."""
        batch, source, width = tf.unstack(tf.shape(context["memory"]))
        drops = drops and [part[:, 0] for part in drops]

        def step(carried, now):
            return self._attending_step(*now, carried[0], context, drops)

        empty = [tf.zeros((batch, n), y.dtype) for n in (self.units, width, source)]
        s, found, weights = self._loop(step, y, (states, *empty))
        return self._finish(y, s, context, found)[0], weights

    def _feed_in_a_loop(self, y, states, context, drops):
        """Luong's input feeding: a state needs ``g`` of the step before it."""
        batch, source, _ = tf.unstack(tf.shape(context["memory"]))
        drops = drops and [part[:, 0] for part in drops]

        def step(carried, now):
            return self._fed_step(*now, carried[0], carried[1], context, drops)

        empty = [tf.zeros((batch, n), y.dtype) for n in (self.units, source)]
        return self._loop(step, y, (states, *empty))

    def _loop(self, step, y, first):
        """What a step gives besides the states, at every position, ``(batch, target, ...)``."""
        of_tokens = (y, self.stack.project(y))
        in_time = tuple(tf.transpose(part, (1, 0, 2)) for part in of_tokens)
        _, *results = tf.scan(step, in_time, first)
        return [tf.transpose(part, (1, 0, 2)) for part in results]

    def _attending_step(self, y, projected, states, context, drops=None):
        """One position of every row, or of every beam of it.

        Args:
            y: ``(..., vector_size)``.
            projected: what the stack takes from `y`; see `RecurrentStack.project`.
            states: of every layer, ``(..., units)`` each.
            context: from `begin`.
            drops: see `RecurrentStack.step`.

        Returns:
            ``(states, s, found, weights)``.
        """
        found, weights = self._look(states[-1][0], context)
        projected += affine(found, self.context_kernel)
        s, states = self.stack.step(y, states, drops, projected)
        return states, s, found, weights

    def _fed_step(self, y, projected, states, vector, context, drops=None):
        """The same with input feeding: ``(states, vector, weights)``."""
        projected += affine(vector, self.feeding_kernel)
        s, states = self.stack.step(y, states, drops, projected)
        found, weights = self._look(s, context)
        return states, self.vector(found, s), weights

    def _look(self, query, context):
        """The context of states ``(batch, units)`` or ``(batch, n, units)``, and the weights."""
        keys, memory, mask = (context[key] for key in ("keys", "memory", "mask"))
        if query.shape.rank == 3:
            return self.attend.attend(query, keys, memory, mask)
        found, weights = self.attend.attend(query[:, tf.newaxis], keys, memory, mask)
        return found[:, 0], weights[:, 0]

    def _finish(self, y, s, context, found=None):
        """The vectors of the logits, ``(batch, n, units)``, and weights ``(batch, n, source)``."""
        batch, length = tf.unstack(tf.shape(y)[:2])
        nowhere = tf.zeros((batch, length, 0), y.dtype)
        if self.context_first:
            if found is None:
                found = tf.broadcast_to(context["summary"], (batch, length, self.units))
            return self.vector(tf.concat([s, y, found], axis=-1)), nowhere
        if self.attend is None:
            return s, nowhere
        found, weights = self._look(s, context)
        return self.vector(found, s), weights

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
        """One position of every beam.

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
            states, s, found, _ = self._attending_step(y, projected, states, context)
            vector, _ = self._finish(y, s, context, found)
        elif self.input_feeding:
            states, vector, _ = self._fed_step(y, projected, states, steps["vector"], context)
            after["vector"] = vector
        else:
            projected += context.get("beside", 0)
            s, states = self.stack.step(y, states, projected=projected)
            vector, _ = self._finish(y, s, context)
        after["states"] = states
        # A loop wants shapes as it got them.
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
        raise ValueError(f"context is one of {', '.join(CONTEXTS)}; got {context!r}.")
    if attention is not None and context == "every_step":
        raise ValueError(
            "context='every_step' is for a model without attention, which has a context for "
            f"each step; got attention={attention!r}."
        )
    if input_feeding and attention in (None, "additive"):
        raise ValueError(
            "input_feeding feeds the attentional vector of an attention after the recurrence "
            f"({', '.join(SCORES[1:])}); got attention={attention!r}."
        )
