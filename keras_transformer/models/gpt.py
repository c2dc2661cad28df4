"""GPT: a decoder-only language model.

Design choices: as in GPT-2 (Language Models are Unsupervised Multitask Learners, Radford et al.
2019, section 2.3), pre-norm with a final norm, learned positions and a tied output. Training needs
no padding mask: attention is causal, so padding at the end changes nothing before it. For
`decoding.search` the prompt is the source, which `encode` reads in one pass; the first step reads
the last token of the prompt.
"""

import keras
import tensorflow as tf

from keras_transformer.internals import drop_keras_mask
from keras_transformer.layers.attention.masks import padding_lengths
from keras_transformer.layers.causal import CausalStack
from keras_transformer.layers.positional import PositionalEmbedding
from keras_transformer.models.base import TokenModel

_STDDEV = 0.02
"""Standard deviation of the initial weights (Radford et al. 2018, section 4.1)."""


@keras.saving.register_keras_serializable("keras_transformer")
class GPT(TokenModel):
    """Decoder-only Transformer that predicts each token of a text from those before it.

    The defaults are those of the smallest GPT-2, which has 50,257 tokens and 124,439,808
    parameters. Initial weights are normal with a standard deviation of 0.02, divided by
    ``sqrt(2 * num_layers)`` in projections that are added to the residual, as in the papers.

    Args:
        vocab_size: number of tokens; NumPy and TensorFlow integers are accepted.
        num_layers: number of layers.
        d_model: width of the model.
        num_heads: number of attention heads.
        dff: width inside the feed-forward networks; ``None`` means ``4 * d_model``.
        max_length: longest text there are positions for.
        positions: one of ``positional.POSITION_KINDS``. Token vectors are scaled by
            ``sqrt(d_model)`` before sinusoids are added.
        dropout_rate: dropout of embeddings and feed-forward outputs.
        attention_dropout_rate: dropout of the attention weights; ``None`` means `dropout_rate`.
        residual_dropout_rate: dropout of attention outputs before the residual is added; ``None``
            means `dropout_rate`.
        activation: activation inside the feed-forward networks.
        norm_first: pre-norm with a final norm, instead of post-norm.
        layer_norm_epsilon: added to the variance in layer normalisation.
        tie_output: compute the logits as products with the embedding, without a final layer.
        attention_implementation: one of `dot_product.IMPLEMENTATIONS`; see `MultiHeadAttention`.
        kwargs: `output_bias` of `TokenModel`, and arguments of `keras.Model`.

    Call arguments:
        inputs: token ids, ``(batch, seq)``, padded with 0 at the end.
        training: whether dropout is active.
        return_attention_scores: also return the attention weights.

    Returns:
        logits of the next token at each position, ``(batch, seq, vocab_size)``; with
        `return_attention_scores` also a list of the weights of every layer, each
        ``(batch, heads, seq, seq)``.

    Example:
        >>> gpt = GPT(vocab_size=8000, num_layers=2, d_model=64, num_heads=4, max_length=128)
        >>> gpt(tf.constant([[2, 7, 9, 4]])).shape
        TensorShape([1, 4, 8000])
        >>> gpt.compile(optimizer="adam", loss=masked_loss)
        >>> gpt.fit(block_batches(documents, tokenizer, length=128, batch_size=32).dataset())
    """

    def __init__(
        self,
        *,
        vocab_size,
        num_layers=12,
        d_model=768,
        num_heads=12,
        dff=None,
        max_length=1024,
        positions="learned",
        dropout_rate=0.1,
        attention_dropout_rate=None,
        residual_dropout_rate=None,
        activation="gelu_tanh",
        norm_first=True,
        layer_norm_epsilon=1e-5,
        tie_output=True,
        attention_implementation="auto",
        **kwargs,
    ):
        super().__init__(tie_output=tie_output, **kwargs)
        self.vocab_size = int(vocab_size)
        self.residual_dropout_rate = residual_dropout_rate
        self.pos_embedding = PositionalEmbedding(
            self.vocab_size,
            d_model,
            positions=positions,
            max_length=max_length,
            scale=positions in ("sinusoidal", "interleaved"),
            dtype=self.dtype_policy,
        )
        self.stack = CausalStack(
            num_layers=num_layers,
            d_model=d_model,
            num_heads=num_heads,
            dff=4 * d_model if dff is None else dff,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            residual_dropout_rate=(
                dropout_rate if residual_dropout_rate is None else residual_dropout_rate
            ),
            activation=activation,
            norm_first=norm_first,
            layer_norm_epsilon=layer_norm_epsilon,
            rotary=positions == "rotary",
            attention_implementation=attention_implementation,
            dtype=self.dtype_policy,
        )
        self.final_layer = self.make_final_layer(self.vocab_size)
        self.build((None, None))
        self._initialize_weights()

    def build(self, input_shape):
        if self.built:
            return
        vectors_shape = (*input_shape, self.d_model)
        self.pos_embedding.build(input_shape)
        self.stack.build(vectors_shape)
        if self.final_layer is not None:
            self.final_layer.build(vectors_shape)
        self.built = True

    def _initialize_weights(self):
        to_residual = {
            id(layer.kernel)
            for block in self.stack.enc_layers
            for layer in (block.self_attention.mha.output_dense, block.ffn.seq.layers[1])
        }
        for weight in self.trainable_weights:
            if weight.name in ("kernel", "embeddings", "pos_encoding"):
                depth = 2 * self.stack.num_layers if id(weight) in to_residual else 1
                # One initializer would give all weights of a shape the same values.
                initializer = keras.initializers.RandomNormal(stddev=_STDDEV * depth**-0.5)
                weight.assign(initializer(weight.shape, weight.dtype))

    @property
    def d_model(self) -> int:
        return self.stack.d_model

    @property
    def max_length(self) -> int:
        """Longest text, the prompt and its continuation together."""
        return self.pos_embedding.max_length

    @property
    def target_embedding(self):
        return self.pos_embedding.embedding

    def call(self, inputs, training=None, return_attention_scores=False):
        x = self._embedded(inputs)
        if not return_attention_scores:
            return self.token_logits(self.stack(x, training=training))
        x, scores = self.stack(x, training=training, return_attention_scores=True)
        return self.token_logits(x), scores

    def decoder_output(self, inputs, training=None):
        return self.stack(self._embedded(inputs), training=training)

    def _embedded(self, ids, position=None):
        # Causal attention hides padding at the end anyway; the mask would only cost time.
        return drop_keras_mask(self.pos_embedding(ids, position=position))

    def encode(self, source) -> dict:
        """Reads prompts in one pass.

        Args:
            source: token ids, ``(batch, prompt)``, each with a real token, padded with 0 at the
                end.

        Returns:
            nested tensors for `initial_cache`: those of `CausalStack.prefill` for all tokens but
            the last real one, and that one, ``last``, ``(batch,)``.
        """
        # A row of nothing but padding, which only fills up a batch, has its last token at 0 too.
        lengths = tf.maximum(padding_lengths(source) - 1, 0)
        _, encoded = self.stack.prefill(self._embedded(source), lengths)
        return {**encoded, "last": tf.gather(source, lengths, batch_dims=1)}

    def initial_cache(self, encoded, beam_size=1) -> dict:
        """The cache of decoding before the first step, with room for no step.

        Args:
            encoded: result of `encode`.
            beam_size: number of beams of each row.

        Returns:
            a cache as in `layers.cache`; see `CausalStack.initial_cache`. The context also has
            ``last``, the last tokens of the prompts.
        """
        cache = self.stack.initial_cache(encoded, beam_size)
        return {**cache, "context": {**cache["context"], "last": encoded["last"]}}

    def decode_step(self, tokens, position, cache):
        """Logits of the next token after `tokens`.

        Args:
            tokens: token ids, ``(batch, beams)``. The step 0 reads the last tokens of the prompts
                in their place.
            position: scalar int32, the number of the step, less than the room of the cache.
            cache: from `cache.grow` or the step before.

        Returns:
            ``(logits, cache)``: ``(batch, beams, vocab_size)`` and the cache with `tokens` in it.
        """
        last = tf.cast(cache["context"]["last"], tokens.dtype)[:, tf.newaxis]
        tokens = tf.where(position == 0, last, tokens)
        # Rows that are finished run along with others past the end of the table of positions.
        places = tf.minimum(self.stack.places(position, cache), self.max_length - 1)
        x, cache = self.stack.step(self._embedded(tokens, places), position, cache)
        return self.token_logits(x), cache

    def get_config(self):
        stack = self.stack.get_config()
        names = (
            "num_layers",
            "d_model",
            "num_heads",
            "dff",
            "dropout_rate",
            "attention_dropout_rate",
            "activation",
            "norm_first",
            "layer_norm_epsilon",
            "attention_implementation",
        )
        return {
            **super().get_config(),
            **{name: stack[name] for name in names},
            "vocab_size": self.vocab_size,
            "max_length": self.max_length,
            "positions": self.pos_embedding.positions,
            "residual_dropout_rate": self.residual_dropout_rate,
        }
