"""What models of tokens share: how `fit` trains them, and the layer that gives logits."""

import contextlib
import random

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.internals import build_for_fit, drop_keras_mask
from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.dropout import dropout_seed
from keras_transformer.layers.embeddings import OneHot


class TrainedModel(keras.Model):
    """A model whose dropout in `fit` follows from a seed and the step, and that adds up losses
    over tokens; see `train_step` and `compute_loss`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout_seed = random.randrange(2**31)  # follows keras.utils.set_random_seed

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

    def fit(self, x=None, y=None, *args, **kwargs):
        """As Keras' own, tracing the training step once.

        Keras leaves weights, metrics and the optimizer's state to be made while the first step is
        traced, and TensorFlow traces anew whatever has made variables. Here they are there before.
        """
        batch = _symbolic_batch(x, y)
        if batch is not None and self.compiled and not self.run_eagerly:
            # What is wrong with a batch, the step itself says best.
            with self.distribute_strategy.scope(), contextlib.suppress(RuntimeError):
                build_for_fit(self, batch)
        return super().fit(x, y, *args, **kwargs)

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


def _symbolic_batch(x, y):
    """What batches of a data set, or of arrays, look like to Keras; ``None`` for other data."""
    arrays = (x,) if y is None else (x, y)
    batch = x.element_spec if isinstance(x, tf.data.Dataset) else arrays

    def known(leaf):
        tensor = isinstance(leaf, (np.ndarray, tf.Tensor, tf.TensorSpec))
        return tensor and tf.TensorShape(leaf.shape).rank is not None

    def symbolic(leaf):
        dtype = keras.backend.standardize_dtype(leaf.dtype)
        return keras.KerasTensor((None, *leaf.shape[1:]), dtype)

    if not all(map(known, tf.nest.flatten(batch))):
        return None
    return tf.nest.map_structure(symbolic, batch)


class TokenModel(TrainedModel):
    """A model that gives logits of tokens at every position.

    A subclass makes the layers, `final_layer` among them, which is ``None`` where the output is
    tied; and says what comes before it (`decoder_output`), how wide that is (`d_model`) and whose
    embedding a tied output takes (`target_embedding`).

    Args:
        tie_output: logits are products with the target embedding, instead of an own layer.
        output_bias: a tied output has a bias, as in BERT and Marian; an own layer always has one.
    """

    def __init__(self, *, tie_output=False, output_bias=False, **kwargs):
        super().__init__(**kwargs)
        self.tie_output = tie_output
        self.output_bias = output_bias
        self.tied_bias = None
        if output_bias and not tie_output:
            raise ValueError("output_bias is for a tied output; an own layer has one anyway.")

    def make_final_layer(self, vocab_size):
        """The layer that gives logits; ``None`` with a tied output."""
        if not self.tie_output:
            return keras.layers.Dense(vocab_size, dtype=self.dtype_policy)
        if isinstance(self.target_embedding, OneHot):
            raise ValueError("tie_output needs learned token vectors; got one-hot ones.")
        if self.output_bias:
            self.tied_bias = self.add_weight(
                shape=(vocab_size,), initializer="zeros", name="output_bias", autocast=False
            )
        return None

    def embeddings_initializer(self, width):
        """Initial token vectors, of a width."""
        # A tied embedding also makes logits: vectors of length one keep them of size one.
        return keras.initializers.RandomNormal(stddev=width**-0.5) if self.tie_output else "uniform"

    @property
    def target_embedding(self):
        """The `keras.layers.Embedding` that a tied output takes."""
        raise NotImplementedError

    @property
    def d_model(self) -> int:
        """Width of the model, which the paper's schedule follows."""
        raise NotImplementedError

    def decoder_output(self, inputs, training=None):
        """The call, short of the last layer.

        Returns:
            ``(batch, seq, width)``; its product with `output_projection` gives the logits.
        """
        raise NotImplementedError

    def output_projection(self) -> tuple:
        """Weights of the last layer.

        Returns:
            ``(kernel, bias, transposed)``: a kernel of ``(width, vocab)`` and a bias of
            ``(vocab,)``; or, with a tied output, the embedding of ``(vocab, width)``, a bias or
            ``None``, and ``True``.
        """
        if self.final_layer is not None:
            return self.final_layer.kernel, self.final_layer.bias, False
        return self.target_embedding.embeddings, self.tied_bias, True

    def token_logits(self, x):
        """Logits of vectors, ``(batch, seq, width)``."""
        if self.final_layer is not None:
            return self.final_layer(x)
        embeddings, bias, _ = self.output_projection()
        vocab, width = embeddings.shape
        shape = tf.shape(x)
        # One large product; of three dimensions TensorFlow makes one for each row of the batch.
        logits = tf.matmul(
            tf.reshape(x, (-1, width)), tf.cast(embeddings, x.dtype), transpose_b=True
        )
        if bias is not None:
            logits += tf.cast(bias, x.dtype)
        return tf.reshape(logits, (shape[0], shape[1], vocab))

    def get_config(self):
        return {
            **super().get_config(),
            "name": self.name,
            "tie_output": self.tie_output,
            "output_bias": self.output_bias,
        }


class TranslationModel(TokenModel):
    """A model of token ids of two languages; see `TokenModel`.

    A subclass also tells what its attention saw (`last_attention_scores`).

    Args:
        input_vocab_size: number of source tokens; NumPy and TensorFlow integers are accepted.
        target_vocab_size: number of target tokens; likewise.
        share_embeddings: source and target use one embedding; needs equal vocabulary sizes.

    The other arguments are those of `TokenModel`.
    """

    def __init__(self, *, input_vocab_size, target_vocab_size, share_embeddings=False, **kwargs):
        super().__init__(**kwargs)
        self.input_vocab_size = int(input_vocab_size)
        self.target_vocab_size = int(target_vocab_size)
        self.share_embeddings = share_embeddings
        if share_embeddings and self.input_vocab_size != self.target_vocab_size:
            raise ValueError(
                "share_embeddings needs one vocabulary for both sides; got "
                f"input_vocab_size={self.input_vocab_size} and "
                f"target_vocab_size={self.target_vocab_size}."
            )

    @property
    def d_model(self) -> int:
        return self.decoder.d_model

    def last_attention_scores(self) -> dict:
        """Attention weights of the last call, by the names of their layers."""
        raise NotImplementedError

    def call(self, inputs, training=None, return_attention_scores=False):
        logits = drop_keras_mask(self.token_logits(self.decoder_output(inputs, training)))
        if return_attention_scores:
            return logits, self.last_attention_scores()
        return logits

    def get_config(self):
        return {
            **super().get_config(),
            "input_vocab_size": self.input_vocab_size,
            "target_vocab_size": self.target_vocab_size,
            "share_embeddings": self.share_embeddings,
        }
