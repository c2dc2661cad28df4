"""What the translating models share: the layer that gives logits, and how `fit` trains them."""

import keras
import tensorflow as tf

from keras_transformer.layers.dropout import dropout_seed
from keras_transformer.layers.embeddings import OneHot
from keras_transformer.layers.masks import drop_keras_mask, padding_keep_mask


class TranslationModel(keras.Model):
    """A model of token ids of two languages.

    A subclass makes the layers, `final_layer` among them, which is ``None`` where the output is
    tied; says what the decoder gives (`decoder_output`) and whose embedding a tied output takes
    (`target_embedding`); and sets `dropout_seed`, of its dropout in `fit`.

    Args:
        input_vocab_size: number of source tokens; NumPy and TensorFlow integers are accepted.
        target_vocab_size: number of target tokens; likewise.
        share_embeddings: source and target use one embedding; needs equal vocabulary sizes.
        tie_output: logits are products with the target embedding, instead of an own layer.
    """

    def __init__(
        self,
        *,
        input_vocab_size,
        target_vocab_size,
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

    def make_final_layer(self):
        """The layer that gives logits; ``None`` with a tied output."""
        if self.tie_output:
            if isinstance(self.target_embedding, OneHot):
                raise ValueError("tie_output needs learned token vectors; got one-hot ones.")
            return None
        return keras.layers.Dense(self.target_vocab_size, dtype=self.dtype_policy)

    def embeddings_initializer(self, width):
        """Initial token vectors, of a width."""
        # A tied embedding also makes logits: vectors of length one keep them of size one.
        return keras.initializers.RandomNormal(stddev=width**-0.5) if self.tie_output else "uniform"

    @property
    def target_embedding(self):
        """The `keras.layers.Embedding` of the target."""
        raise NotImplementedError

    def decoder_output(self, inputs, training=None):
        """The call, short of the last layer.

        Returns:
            ``(batch, target, width)``; its product with `output_projection` gives the logits.
        """
        raise NotImplementedError

    def last_attention_scores(self) -> dict:
        """Attention weights of the last call, by the names of their layers."""
        raise NotImplementedError

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

    def output_projection(self) -> tuple:
        """Weights of the last layer.

        Returns:
            ``(kernel, bias, transposed)``: a kernel of ``(width, vocab)`` and a bias of
            ``(vocab,)``; or, with a tied output, the embedding of ``(vocab, width)``, ``None``
            and ``True``.
        """
        if self.final_layer is not None:
            return self.final_layer.kernel, self.final_layer.bias, False
        return self.target_embedding.embeddings, None, True

    def _logits(self, x):
        if self.final_layer is not None:
            return self.final_layer(x)
        embeddings = self.target_embedding.embeddings
        vocab, width = embeddings.shape
        shape = tf.shape(x)
        # One large product; of three dimensions TensorFlow makes one for each row of the batch.
        logits = tf.matmul(
            tf.reshape(x, (-1, width)), tf.cast(embeddings, x.dtype), transpose_b=True
        )
        return tf.reshape(logits, (shape[0], shape[1], vocab))

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

    def get_config(self):
        return {
            **super().get_config(),
            "name": self.name,
            "input_vocab_size": self.input_vocab_size,
            "target_vocab_size": self.target_vocab_size,
            "share_embeddings": self.share_embeddings,
            "tie_output": self.tie_output,
        }
