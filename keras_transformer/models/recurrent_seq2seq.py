"""Recurrent sequence-to-sequence models, with and without attention.

The encoder's final state is the decoder's initial one (Sutskever et al. 2014); and optionally

- it is also an input of every step and of the output (Cho et al. 2014);
- attention before the recurrence gives a context for state and output (Bahdanau et al. 2015);
- attention after the recurrence gives an attentional vector, which may be an input of the next step
  (Luong et al. 2015).

The model is called, decoded and exported like the `Transformer`. Its cache holds states only and
does not grow.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.recurrent.decoder import RecurrentDecoder
from keras_transformer.layers.recurrent.encoder import RecurrentEncoder
from keras_transformer.models.base import TranslationModel, source_and_target
from keras_transformer.special_tokens import PAD


@keras.saving.register_keras_serializable("keras_transformer")
class RecurrentSeq2Seq(TranslationModel):
    """Recurrent encoder and decoder, with or without attention.

    Args:
        units: width of the states of each direction.
        input_vocab_size: number of source tokens; NumPy and TensorFlow integers are accepted.
        target_vocab_size: number of target tokens; likewise.
        kind: cell, one of ``rnn``, ``lstm``, ``gru``.
        num_layers: number of encoder layers, and of decoder layers.
        token_vectors: ``learned`` or ``one_hot``.
        embedding_size: width of learned token vectors; `units` unless given.
        bidirectional: the encoder reads the source in both directions.
        attention: one of ``additive`` (Bahdanau), ``dot``, ``general``, ``concat``,
            ``scaled_dot`` (Luong), or ``None``; the dot products need a memory as wide as the
            state, that is ``bidirectional=False``.
        attention_units: hidden width of additive and concat attention; `units` unless given.
        context: without attention, where the encoder's final state goes: ``initial_state``
            (Sutskever), or ``every_step``, which includes the output (Cho).
        input_feeding: give each step the attentional vector of the step before (Luong).
        skip_connections: add the input of a layer to its output where both have one width.
        dropout_rate: dropout of embeddings, between layers and of the decoder's output.
        scheduled_sampling: share of the target tokens that are replaced in training by the model's
            own predictions (Bengio et al. 2015), from a decoding of the batch without dropout and
            gradients; 0 is teacher forcing.
        max_length: longest source and longest target of a search; training has no limit.
        share_embeddings: use one embedding for source and target; needs equal vocabulary sizes.
        tie_output: compute the logits as products with the target embedding, which must be `units`
            wide, without a final layer.

    Call arguments:
        inputs: ``(source, target)``, token ids ``(batch, source)`` and ``(batch, target)``, both
            padded with 0.
        training: whether dropout and scheduled sampling are active.
        return_attention_scores: also return the attention weights.

    Returns:
        logits, ``(batch, target, target_vocab_size)``; or ``(logits, scores)``, where `scores` is a
        dictionary with the key ``decoder``, ``(batch, 1, target, source)``, empty without
        attention.

    Example:
        >>> model = RecurrentSeq2Seq(units=64, input_vocab_size=8500, target_vocab_size=8000)
        >>> source, target = tf.constant([[2, 7, 9, 3, 0]]), tf.constant([[2, 5, 6]])
        >>> model((source, target)).shape
        TensorShape([1, 3, 8000])
    """

    def __init__(
        self,
        *,
        units,
        input_vocab_size,
        target_vocab_size,
        kind="gru",
        num_layers=1,
        token_vectors="learned",
        embedding_size=None,
        bidirectional=True,
        attention="additive",
        attention_units=None,
        context="initial_state",
        input_feeding=False,
        skip_connections=False,
        dropout_rate=0.1,
        scheduled_sampling=0.0,
        max_length=2048,
        share_embeddings=False,
        tie_output=False,
        **kwargs,
    ):
        super().__init__(
            input_vocab_size=input_vocab_size,
            target_vocab_size=target_vocab_size,
            share_embeddings=share_embeddings,
            tie_output=tie_output,
            **kwargs,
        )
        self.scheduled_sampling = scheduled_sampling
        self.max_length = int(max_length)
        if tie_output and embedding_size not in (None, units):
            raise InputError(
                "tie_output needs token vectors as wide as the states; got "
                f"embedding_size={embedding_size} and units={units}."
            )
        arguments = {
            "kind": kind,
            "units": units,
            "num_layers": num_layers,
            "token_vectors": token_vectors,
            "embedding_size": embedding_size,
            "skip_connections": skip_connections,
            "dropout_rate": dropout_rate,
            "embeddings_initializer": self.embeddings_initializer(units),
            "dtype": self.dtype_policy,
        }
        self.encoder = RecurrentEncoder(
            vocab_size=self.input_vocab_size, bidirectional=bidirectional, **arguments
        )
        self.decoder = RecurrentDecoder(
            vocab_size=self.target_vocab_size,
            attention=attention,
            attention_units=attention_units,
            context=context,
            input_feeding=input_feeding,
            embedding=self.encoder.embedding if share_embeddings else None,
            **arguments,
        )
        self.final_layer = self.make_final_layer(self.target_vocab_size)
        self.sampler = Dropout(scheduled_sampling, dtype="float32")
        self.build(((None, None), (None, None)))

    def build(self, input_shape):
        if self.built:
            return
        source_shape, target_shape = input_shape
        self.encoder.build(source_shape)
        self.decoder.build(target_shape, (None, None, self.encoder.stack.width))
        if self.final_layer is not None:
            self.final_layer.build((None, None, self.decoder.units))
        self.built = True

    def decoder_output(self, inputs, training=None):
        source, target = source_and_target(inputs)
        memory, states = self.encoder(source, training=training)
        mask = padding_keep_mask(source)
        if training and self.scheduled_sampling:
            target = self.replace_with_predictions(target, self.encode(source))
        return self.decoder(target, memory, states, memory_mask=mask, training=training)

    def replace_with_predictions(self, target, encoded):
        """Replaces a share of the target tokens by the model's predictions (scheduled sampling).

        Args:
            target: token ids, ``(batch, target)``.
            encoded: from `encode`.

        Returns:
            int32 ``(batch, target)``.
        """
        target = tf.cast(target, tf.int32)
        teacher = self.sampler(tf.ones(tf.shape(target)), training=True) > 0
        teacher |= target == PAD
        cache = self.initial_cache(encoded)
        context = cache["context"]

        def step(carried, now):
            _, own, steps = carried
            token = tf.where(now[1], now[0], own)
            cache = {"context": context, "steps": steps}
            logits, cache = self.decode_step(token[:, tf.newaxis], 0, cache)
            own = tf.argmax(logits[:, 0], axis=-1, output_type=tf.int32)
            return token, own, cache["steps"]

        first = target[:, 0]  # the start token
        carried = (first, first, cache["steps"])
        tokens, _, _ = tf.scan(step, (tf.transpose(target), tf.transpose(teacher)), carried)
        return tf.stop_gradient(tf.transpose(tokens))

    @property
    def target_embedding(self):
        return self.decoder.embedding

    def last_attention_scores(self) -> dict:
        """Attention weights of the last call, keyed as described above."""
        return {"decoder": self.decoder.last_attn_scores}

    def cross_attention_scores(self, source, target):
        """Attention weights of the decoder.

        Args:
            source: token ids, ``(batch, source)``.
            target: token ids, ``(batch, target)``.

        Returns:
            ``(batch, 1, target, source)``; zeros without attention.
        """
        self((source, target), training=False)
        scores = self.decoder.last_attn_scores
        if self.decoder.attend is not None:
            return scores
        return tf.pad(scores, [[0, 0], [0, 0], [0, 0], [0, tf.shape(source)[1]]])

    def encode(self, source):
        """Runs the encoder once for a whole translation.

        Args:
            source: token ids, ``(batch, source)``.

        Returns:
            ``(memory, states, mask)``; see `RecurrentEncoder`; the mask is bool
            ``(batch, source)``.
        """
        memory, states = self.encoder(source, training=False)
        return memory, states, padding_keep_mask(source)

    def initial_cache(self, encoded, beam_size=1) -> dict:
        """The cache of decoding before the first step.

        Args:
            encoded: result of `encode`.
            beam_size: number of beams of each row, a number or a tensor.

        Returns:
            a cache as in `layers.cache`: ``context`` from `RecurrentDecoder.begin`; and ``steps``,
            the ``states`` of every layer, ``(batch, beams, units)``, with input feeding also the
            attentional ``vector``.
        """
        return self.decoder.initial_cache(*encoded, beam_size)

    def decode_step(self, tokens, position, cache):
        """Logits of the next token after `tokens`.

        Args:
            tokens: token ids, ``(batch, beams)``.
            position: scalar int32, not used by a recurrence.
            cache: from `initial_cache` or the step before.

        Returns:
            ``(logits, cache)``: ``(batch, beams, target_vocab_size)``, or of the columns of
            ``cache["output"]`` where it is there, and the cache after
            `tokens`.
        """
        output = cache.get("output")
        x, cache = self.decoder.step(tokens, cache)
        return self.token_logits(x, output), cache

    def get_config(self):
        config = {**self.encoder.get_config(), **self.decoder.get_config(), **super().get_config()}
        for key in ("vocab_size", "embeddings_initializer"):
            del config[key]
        return {
            **config,
            "scheduled_sampling": self.scheduled_sampling,
            "max_length": self.max_length,
        }
