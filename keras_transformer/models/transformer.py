"""The Transformer of the tutorial: encoder, decoder and the layer that gives logits.

Design choices: masks are computed from the token ids here and passed explicitly, because on
Keras 3 the implicit ones do not survive the first attention; every weight exists as soon as the
model does; one decoding step with an explicit cache stands beside the call for training.
"""

import random

import keras
import tensorflow as tf

from keras_transformer.layers import Decoder, Encoder
from keras_transformer.layers.dropout import dropout_seed
from keras_transformer.layers.masks import drop_keras_mask, padding_keep_mask


@keras.saving.register_keras_serializable("keras_transformer")
class Transformer(keras.Model):
    """Sequence-to-sequence Transformer (Attention Is All You Need, figure 1).

    Args:
        num_layers: number of encoder layers, and of decoder layers.
        d_model: width of the model.
        num_heads: number of attention heads.
        dff: width inside the feed-forward networks.
        input_vocab_size: number of source tokens; NumPy and TensorFlow integers are accepted.
        target_vocab_size: number of target tokens; likewise.
        dropout_rate: dropout of embeddings and feed-forward outputs, and of the attention weights
            unless `attention_dropout_rate` says otherwise.
        attention_dropout_rate: dropout of the attention weights; ``None`` means `dropout_rate`.
        residual_dropout_rate: dropout of attention outputs before the residual is added.
        key_dim: size of one head; ``None`` means ``d_model // num_heads`` (the 2022 tutorial used
            `d_model`).
        activation: activation inside the feed-forward networks.
        norm_first: pre-norm with a final norm in both stacks, instead of post-norm.
        layer_norm_epsilon: added to the variance in layer normalisation.
        positions: one of ``sinusoidal``, ``interleaved``, ``learned``, ``rotary``, ``none``.
        max_length: longest sequence there are positions for.
        share_embeddings: source and target use one embedding; needs equal vocabulary sizes.
        tie_output: logits are products with the target embedding, instead of an own layer.

    Call arguments:
        inputs: ``(context, x)``, source token ids ``(batch, source)`` and target token ids
            ``(batch, target)``, both padded with 0.
        training: whether dropout is active.
        return_attention_scores: return all attention weights too.

    Returns:
        logits, ``(batch, target, target_vocab_size)``; or ``(logits, scores)`` where `scores` is a
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
        num_layers,
        d_model,
        num_heads,
        dff,
        input_vocab_size,
        target_vocab_size,
        dropout_rate=0.1,
        attention_dropout_rate=None,
        residual_dropout_rate=0.0,
        key_dim=None,
        activation="relu",
        norm_first=False,
        layer_norm_epsilon=1e-6,
        positions="sinusoidal",
        max_length=2048,
        share_embeddings=False,
        tie_output=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.input_vocab_size = int(input_vocab_size)
        self.target_vocab_size = int(target_vocab_size)
        self.share_embeddings = share_embeddings
        self.tie_output = tie_output
        if share_embeddings and self.input_vocab_size != self.target_vocab_size:
            raise ValueError(
                "share_embeddings needs one vocabulary for both sides; got "
                f"input_vocab_size={self.input_vocab_size} and "
                f"target_vocab_size={self.target_vocab_size}."
            )
        stack_arguments = {
            "num_layers": num_layers,
            "d_model": d_model,
            "num_heads": num_heads,
            "dff": dff,
            "dropout_rate": dropout_rate,
            "attention_dropout_rate": attention_dropout_rate,
            "residual_dropout_rate": residual_dropout_rate,
            "key_dim": key_dim,
            "activation": activation,
            "norm_first": norm_first,
            "layer_norm_epsilon": layer_norm_epsilon,
            "positions": positions,
            "max_length": max_length,
            # A tied embedding also makes logits: vectors of length one keep them of size one.
            "embeddings_initializer": (
                keras.initializers.RandomNormal(stddev=d_model**-0.5) if tie_output else "uniform"
            ),
            "dtype": self.dtype_policy,
        }
        self.encoder = self.encoder_class(vocab_size=self.input_vocab_size, **stack_arguments)
        self.decoder = self.decoder_class(
            vocab_size=self.target_vocab_size,
            embedding=self.encoder.pos_embedding.embedding if share_embeddings else None,
            **stack_arguments,
        )
        self.final_layer = (
            None
            if tie_output
            else keras.layers.Dense(self.target_vocab_size, dtype=self.dtype_policy)
        )
        self.build(((None, None), (None, None)))
        self.dropout_seed = random.randrange(2**31)  # follows keras.utils.set_random_seed

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

    def compile(self, *args, jit_compile="auto", **kwargs):
        """As Keras' own, except that ``"auto"`` means no XLA.

        Batches of ever new shapes, such as the tutorial's, would compile anew in almost every
        step. Ask for ``jit_compile=True`` where batches have few shapes, as those of
        `make_batches` do.
        """
        super().compile(
            *args, jit_compile=False if jit_compile == "auto" else jit_compile, **kwargs
        )

    def compile_from_config(self, config):
        """Compiles a loaded model as the saved one was.

        Keras leaves that to the model where `compile` is overridden.
        """
        import keras_transformer.training  # noqa: F401  registers the losses by their names

        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def call(self, inputs, training=None, return_attention_scores=False):
        logits = drop_keras_mask(self._logits(self.decoder_output(inputs, training)))
        if return_attention_scores:
            return logits, self.last_attention_scores()
        return logits

    def decoder_output(self, inputs, training=None):
        """The call, short of the last layer.

        Returns:
            ``(batch, target, d_model)``; its product with `output_projection` gives the logits.
        """
        context_ids, x = inputs
        context_mask = padding_keep_mask(context_ids)
        context = self.encoder(context_ids, x_mask=context_mask, training=training)
        return self.decoder(
            x,
            context,
            x_mask=padding_keep_mask(x),
            context_mask=context_mask,
            training=training,
        )

    def output_projection(self) -> tuple:
        """Weights of the last layer.

        Returns:
            ``(kernel, bias, transposed)``: a kernel of ``(d_model, vocab)`` and a bias of
            ``(vocab,)``; or, with a tied output, the embedding of ``(vocab, d_model)``, ``None``
            and ``True``.
        """
        if self.final_layer is not None:
            return self.final_layer.kernel, self.final_layer.bias, False
        return self.decoder.pos_embedding.embedding.embeddings, None, True

    def train_step(self, data):
        """As Keras' own, with dropout that follows from the step; see `dropout_seed`."""
        with dropout_seed(self.dropout_seed, self.optimizer.iterations):
            return super().train_step(data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As Keras' own, except on several replicas, whose losses are added up.

        Keras makes each of them a share of the whole where it averages the loss itself. A loss of
        one number, such as `masked_loss`, it adds up as it is. That number is taken for a mean
        over the real tokens here, so that the sum is the mean over those of all replicas.
        """
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return loss
        function = self.loss.call if isinstance(self.loss, keras.losses.Loss) else self.loss
        if not callable(function) or function(y, y_pred).shape.rank:
            return loss
        tokens = tf.reduce_sum(tf.cast(padding_keep_mask(y), loss.dtype))
        of_all = context.all_reduce(tf.distribute.ReduceOp.SUM, tokens)
        return loss * tf.math.divide_no_nan(tokens, of_all)

    def _logits(self, x):
        if self.final_layer is not None:
            return self.final_layer(x)
        embeddings = self.decoder.pos_embedding.embedding.embeddings
        vocab, width = embeddings.shape
        shape = tf.shape(x)
        # One large product; of three dimensions TensorFlow makes one for each row of the batch.
        logits = tf.matmul(
            tf.reshape(x, (-1, width)), tf.cast(embeddings, x.dtype), transpose_b=True
        )
        return tf.reshape(logits, (shape[0], shape[1], vocab))

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
        """Where the decoder looks in `source` as it predicts what follows each token of `target`.

        Args:
            source: token ids, ``(batch, source)``.
            target: token ids, ``(batch, target)``.

        Returns:
            weights of the last layer, ``(batch, heads, target, source)``.
        """
        self((source, target), training=False)
        return self.decoder.last_attn_scores

    def encode(self, source):
        """Runs the encoder once for a whole translation.

        Args:
            source: token ids, ``(batch, source)``.

        Returns:
            ``(context, context_mask)``: ``(batch, source, d_model)`` and bool
            ``(batch, source)``.
        """
        context_mask = padding_keep_mask(source)
        return self.encoder(source, x_mask=context_mask, training=False), context_mask

    def initial_cache(self, encoded, beam_size=1) -> dict:
        """What `decode_step` carries from one position to the next, with room for none yet.

        Args:
            encoded: result of `encode`.
            beam_size: number of hypotheses of each row that are decoded side by side.

        Returns:
            nested tensors; see `Decoder.initial_cache`.
        """
        return self.decoder.initial_cache(*encoded, beam_size)

    def grow_cache(self, cache, room) -> dict:
        """The cache with room for `room` positions; see `Decoder.grow_cache`."""
        return self.decoder.grow_cache(cache, room)

    def decode_step(self, tokens, position, cache):
        """Logits of the next token after `tokens`, which stand at `position`.

        Args:
            tokens: token ids, ``(batch, beams)``.
            position: scalar int32, less than the room of the cache.
            cache: from `grow_cache` or the step before.

        Returns:
            ``(logits, cache)``: ``(batch, beams, target_vocab_size)`` and the cache with `tokens`
            in it.
        """
        x, cache = self.decoder.step(tokens, position, cache)
        return self._logits(x), cache

    def select_beams(self, cache, parents) -> dict:
        """The cache whose beam ``i`` continues beam ``parents[:, i]``, ``(batch, beams)``."""
        return self.decoder.select_beams(cache, parents)

    def select_rows(self, cache, rows) -> dict:
        """The cache of some rows of the batch, ``(some rows,)``."""
        return self.decoder.select_rows(cache, rows)

    def get_config(self):
        config = {**super().get_config(), **self.decoder.get_config(), "name": self.name}
        for key in ("vocab_size", "embeddings_initializer"):
            del config[key]
        return {
            **config,
            "input_vocab_size": self.input_vocab_size,
            "target_vocab_size": self.target_vocab_size,
            "share_embeddings": self.share_embeddings,
            "tie_output": self.tie_output,
        }
