"""The Transformer of the tutorial: encoder, decoder and final layer.

Design choices: masks are computed from the token ids and passed explicitly, because the implicit
masks of Keras 3 end at the first attention layer; the constructor makes all weights; training calls
the model, decoding runs `decode_step` with an explicit cache.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers import Decoder, Encoder
from keras_transformer.layers.attention.masks import padding_keep_mask, padding_lengths
from keras_transformer.models.base import TranslationModel, source_and_target


@keras.saving.register_keras_serializable("keras_transformer")
class Transformer(TranslationModel):
    """Sequence-to-sequence Transformer (Attention Is All You Need, figure 1).

    Args:
        num_layers: number of encoder layers, and of decoder layers, where those are not given.
        d_model: width of the model.
        num_heads: number of attention heads.
        dff: width inside the feed-forward networks.
        input_vocab_size: number of source tokens; NumPy and TensorFlow integers are accepted.
        target_vocab_size: number of target tokens; likewise.
        dropout_rate: dropout of embeddings and feed-forward outputs.
        attention_dropout_rate: dropout of the attention weights; ``None`` means `dropout_rate`.
        residual_dropout_rate: dropout of attention outputs before the residual is added.
        layer_dropout_rate: rate at which a layer is left out of a step; see `TransformerStack`.
        token_dropout_rate: dropout of whole tokens; see `PositionalEmbedding`.
        key_dim: size of one head; ``None`` means ``d_model // num_heads`` (the 2022 tutorial used
            `d_model`).
        activation: activation inside the feed-forward networks.
        norm_first: pre-norm with a final norm in both stacks, instead of post-norm.
        layer_norm_epsilon: added to the variance in layer normalisation.
        positions: one of ``sinusoidal``, ``interleaved``, ``learned``, ``rotary``, ``none``.
        max_length: longest sequence there are positions for.
        token_vectors: ``learned``, or ``one_hot``, which needs a `d_model` of either vocabulary's
            size.
        share_embeddings: use one embedding for source and target; needs equal vocabulary sizes.
        tie_output: compute the logits as products with the target embedding, without a final layer.
        output_bias: add a bias to a tied output.
        attention_implementation: one of `dot_product.IMPLEMENTATIONS`; see `MultiHeadAttention`.
        right_padded: pass lengths instead of masks to attention, which is faster and which cuDNN
            needs. All padding must be at the end of rows, as in the batches of this package.
        num_encoder_layers, num_decoder_layers: a depth of each side's own. A translation passes the
            encoder once and the decoder for each token, so that depth costs less there.

    Raises:
        InputError: when a side has no number of layers.

    Call arguments:
        inputs: ``(context, x)``, source token ids ``(batch, source)`` and target token ids
            ``(batch, target)``, both padded with 0.
        training: whether dropout is active.
        return_attention_scores: also return all attention weights.

    Returns:
        logits, ``(batch, target, target_vocab_size)``; or ``(logits, scores)``, where `scores` is a
        dictionary with the keys ``encoder_layer1``, ``decoder_layer1_block1`` (self-attention),
        ``decoder_layer1_block2`` (cross-attention) and so on, each
        ``(batch, heads, query, key)``.

    Example:
        >>> transformer = Transformer(num_layers=2, d_model=64, num_heads=4, dff=128,
        ...                           input_vocab_size=8500, target_vocab_size=8000)
        >>> source, target = tf.constant([[2, 7, 9, 3, 0]]), tf.constant([[2, 5, 6]])
        >>> transformer((source, target)).shape
        TensorShape([1, 3, 8000])
    """

    encoder_class = Encoder
    decoder_class = Decoder

    def __init__(
        self,
        *,
        num_layers=None,
        d_model,
        num_heads,
        dff,
        input_vocab_size,
        target_vocab_size,
        dropout_rate=0.1,
        attention_dropout_rate=None,
        residual_dropout_rate=0.0,
        layer_dropout_rate=0.0,
        token_dropout_rate=0.0,
        key_dim=None,
        activation="relu",
        norm_first=False,
        layer_norm_epsilon=1e-6,
        positions="sinusoidal",
        max_length=2048,
        token_vectors="learned",
        share_embeddings=False,
        tie_output=False,
        output_bias=False,
        attention_implementation="auto",
        right_padded=False,
        num_encoder_layers=None,
        num_decoder_layers=None,
        **kwargs,
    ):
        super().__init__(
            input_vocab_size=input_vocab_size,
            target_vocab_size=target_vocab_size,
            share_embeddings=share_embeddings,
            tie_output=tie_output,
            output_bias=output_bias,
            **kwargs,
        )
        self.right_padded = right_padded
        depths = [
            num_layers if depth is None else depth
            for depth in (num_encoder_layers, num_decoder_layers)
        ]
        if None in depths:
            raise InputError(
                "A Transformer needs num_layers, or num_encoder_layers and num_decoder_layers."
            )
        stack_arguments = {
            "d_model": d_model,
            "num_heads": num_heads,
            "dff": dff,
            "dropout_rate": dropout_rate,
            "attention_dropout_rate": attention_dropout_rate,
            "residual_dropout_rate": residual_dropout_rate,
            "layer_dropout_rate": layer_dropout_rate,
            "token_dropout_rate": token_dropout_rate,
            "key_dim": key_dim,
            "activation": activation,
            "norm_first": norm_first,
            "layer_norm_epsilon": layer_norm_epsilon,
            "positions": positions,
            "max_length": max_length,
            "token_vectors": token_vectors,
            "attention_implementation": attention_implementation,
            "embeddings_initializer": self.embeddings_initializer(d_model),
            "dtype": self.dtype_policy,
        }
        self.encoder = self.encoder_class(
            num_layers=depths[0], vocab_size=self.input_vocab_size, **stack_arguments
        )
        self.decoder = self.decoder_class(
            num_layers=depths[1],
            vocab_size=self.target_vocab_size,
            embedding=self.encoder.pos_embedding.embedding if share_embeddings else None,
            **stack_arguments,
        )
        self.final_layer = self.make_final_layer(self.target_vocab_size)
        self.build(((None, None), (None, None)))

    def build(self, input_shape):
        if self.built:
            return
        context_shape, x_shape = input_shape
        vectors_shape = (None, None, self.encoder.d_model)
        self.encoder.build(context_shape)
        self.decoder.build(x_shape, vectors_shape)
        if self.final_layer is not None:
            self.final_layer.build(vectors_shape)
        self.built = True

    def decoder_output(self, inputs, training=None):
        context_ids, x = source_and_target(inputs)
        context_mask = self._padding(context_ids)
        context = self.encoder(context_ids, x_mask=context_mask, training=training)
        return self.decoder(
            x, context, x_mask=self._padding(x), context_mask=context_mask, training=training
        )

    def _padding(self, ids):
        """Lengths or mask of the real tokens, for the layers."""
        return padding_lengths(ids) if self.right_padded else padding_keep_mask(ids)

    @property
    def target_embedding(self):
        return self.decoder.pos_embedding.embedding

    def last_attention_scores(self) -> dict:
        """Attention weights of the last call, keyed as described above."""
        scores = {
            f"encoder_layer{i}": layer.last_attn_scores
            for i, layer in enumerate(self.encoder.enc_layers, 1)
        }
        for i, layer in enumerate(self.decoder.dec_layers, 1):
            scores[f"decoder_layer{i}_block1"] = layer.causal_self_attention.last_attn_scores
            scores[f"decoder_layer{i}_block2"] = layer.cross_attention.last_attn_scores
        return scores

    @property
    def max_length(self) -> int:
        """Longest source and longest target."""
        return self.decoder.max_length

    def cross_attention_scores(self, source, target):
        """Cross-attention weights of the last layer.

        Args:
            source: token ids, ``(batch, source)``.
            target: token ids, ``(batch, target)``.

        Returns:
            ``(batch, heads, target, source)``.
        """
        self((source, target), training=False)
        return self.decoder.last_attn_scores

    def last_cross_attention(self, layer, head):
        """Cross-attention weights of the last call.

        Args:
            layer: number of the decoder layer, from 1.
            head: number of the head, from 1; ``None`` for the mean of all.

        Returns:
            float32, ``(batch, target, source)``.
        """
        attention = self.decoder.dec_layers[layer - 1].cross_attention
        if head is None:
            return tf.reduce_mean(tf.cast(attention.last_attn_scores, tf.float32), axis=1)
        return tf.cast(attention.last_attn_scores_of(head - 1), tf.float32)

    def encode(self, source):
        """Runs the encoder once for a whole translation.

        Args:
            source: token ids, ``(batch, source)``.

        Returns:
            ``(context, context_mask)``: ``(batch, source, d_model)`` and bool
            ``(batch, source)``.
        """
        context = self.encoder(source, x_mask=self._padding(source), training=False)
        return context, padding_keep_mask(source)

    def pad_encoded(self, encoded, length):
        """What `encode` gives of sources that are padded to `length`.

        Args:
            encoded: result of `encode`.
            length: scalar int32, at least that of the sources.
        """
        context, mask = encoded
        room = [0, length - tf.shape(mask)[1]]
        return tf.pad(context, [[0, 0], room, [0, 0]]), tf.pad(mask, [[0, 0], room])

    def initial_cache(self, encoded, beam_size=1) -> dict:
        """The cache of decoding before the first step, with room for no position.

        Args:
            encoded: result of `encode`.
            beam_size: number of beams of each row.

        Returns:
            a cache as in `layers.cache`; see `Decoder.initial_cache`.
        """
        return self.decoder.initial_cache(*encoded, beam_size)

    def decode_step(self, tokens, position, cache):
        """Logits of the next token after `tokens`, which are at `position`.

        Args:
            tokens: token ids, ``(batch, beams)``.
            position: scalar int32, less than the room of the cache.
            cache: from `cache.grow` or the step before.

        Returns:
            ``(logits, cache)``: ``(batch, beams, target_vocab_size)``, or of the columns of
            ``cache["output"]`` where it is there, and the cache with `tokens` in it.
        """
        output = cache.get("output")
        x, cache = self.decoder.step(tokens, position, cache)
        return self.token_logits(x, output), cache

    def get_config(self):
        config = {**self.decoder.get_config(), **super().get_config()}
        for key in ("vocab_size", "embeddings_initializer"):
            del config[key]
        depths = self.encoder.num_layers, self.decoder.num_layers
        if depths[0] != depths[1]:
            del config["num_layers"]
            config["num_encoder_layers"], config["num_decoder_layers"] = depths
        return {**config, "right_padded": self.right_padded}
