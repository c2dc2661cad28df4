"""Base classes of the models: how `fit` trains them, and the layer that gives logits."""

import contextlib
import random
import re

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.internals import build_for_fit, drop_keras_mask
from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.dropout import dropout_seed
from keras_transformer.layers.embeddings import OneHot
from keras_transformer.layers.shapes import batch_and_length

# Keras knows them by name when it loads a compiled model.
from keras_transformer.losses import masked, metrics  # noqa: F401
from keras_transformer.losses.r_drop import mean_divergence
from keras_transformer.optimizers import adam, muon, schedules  # noqa: F401

_UNKNOWN_ID = re.compile(
    r"indices\[[\d, ]*\] = (-?\d+) is not in \[0, (\d+)\)"  # of an embedding
    r"|indices\[\d+\] = \[\d+, (-?\d+)\] does not index into param shape \[\d+,(\d+)\]"  # a label
)


class TrainedModel(keras.Model):
    """Base of all models: dropout in `fit` follows from a seed and the step (`train_step`), and the
    loss of several replicas is a mean over all their tokens (`compute_loss`)."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout_seed = random.randrange(2**31)  # follows keras.utils.set_random_seed

    def compile(self, *args, jit_compile="auto", **kwargs):
        """Compiles as Keras does, except that ``jit_compile="auto"`` means no XLA.

        Batches of many shapes, such as the tutorial's, would be compiled again in almost every
        step. Give ``jit_compile=True`` where batches have few shapes.
        """
        super().compile(
            *args, jit_compile=False if jit_compile == "auto" else jit_compile, **kwargs
        )

    def compile_from_config(self, config):
        """Compiles a loaded model as the saved one was.

        Keras leaves that to the model where `compile` is overridden.
        """
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *args, **kwargs):
        """Trains as Keras does, but traces the training step once.

        Keras makes weights, metrics and the optimizer's state while it traces the first step, and
        TensorFlow traces a function that has made variables again. Here they are made before.
        """
        batch = _symbolic_batch(x, y)
        if batch is not None and self.compiled and not self.run_eagerly:
            # The step itself reports errors of the batch.
            with self.distribute_strategy.scope(), contextlib.suppress(RuntimeError):
                build_for_fit(self, batch)
        with _known_ids():
            return super().fit(x, y, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        with _known_ids():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args, **kwargs):
        with _known_ids():
            return super().predict(*args, **kwargs)

    def __call__(self, *args, **kwargs):
        with _known_ids():
            return super().__call__(*args, **kwargs)

    def train_step(self, data):
        """Trains a step as Keras does, with dropout that follows from the step.

        With a loss that has `r_drop` the batch is passed twice.
        """
        if getattr(self.loss, "r_drop", 0):
            data = tf.nest.map_structure(lambda part: tf.concat([part, part], 0), data)
        with dropout_seed(self.dropout_seed, self.optimizer.iterations):
            return super().train_step(data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Computes the loss as Keras does, except on several replicas.

        Keras adds up the losses of the replicas, and scales them for it only where it averages
        the loss itself. A loss that returns a scalar, such as `masked_loss`, is taken for a mean
        over real tokens here, and scaled so that the sum is the mean over those of all replicas.
        """
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training and getattr(self.loss, "r_drop", 0):
            loss += self.loss.r_drop * mean_divergence(y, y_pred)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return loss
        function = self.loss.call if isinstance(self.loss, keras.losses.Loss) else self.loss
        if not callable(function) or function(y, y_pred).shape.rank:
            return loss
        tokens = tf.reduce_sum(tf.cast(padding_keep_mask(y), loss.dtype))
        of_all = context.all_reduce(tf.distribute.ReduceOp.SUM, tokens)
        return loss * tf.math.divide_no_nan(tokens, of_all)


@contextlib.contextmanager
def _known_ids():
    """Turns TensorFlow's error about an id beyond the vocabulary into one line.

    On a CPU it tells such an id; on a GPU its vector is zeros, without a word.

    Raises:
        InputError: in place of that error.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = _UNKNOWN_ID.search(str(error))
        if found is None:
            raise
        number, known = found.group(1) or found.group(3), found.group(2) or found.group(4)
        raise InputError(
            f"The batch has the id {number}, and the model knows those from 0 to {int(known) - 1}: "
            "make the model with the sizes of the vocabularies that give the ids."
        ) from error


def source_and_target(inputs) -> tuple:
    """The two inputs of a model that translates.

    Raises:
        InputError: for other than two of them.
    """
    if not isinstance(inputs, tuple | list) or len(inputs) != 2:
        got = f"{len(inputs)}" if isinstance(inputs, tuple | list) else type(inputs).__name__
        raise InputError(
            f"A model that translates is called with a pair (source, target) of ids; got {got}."
        )
    source, target = inputs
    return source, target


def _symbolic_batch(x, y):
    """Batches of a data set or of arrays as `keras.KerasTensor`; ``None`` for other data."""
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
    """Base of the models that return logits of tokens at every position.

    A subclass makes the layers, among them `final_layer` by `make_final_layer`, and defines
    `decoder_output`, `d_model` and `target_embedding`.

    Args:
        tie_output: compute the logits as products with the target embedding, without a final layer.
        output_bias: add a bias to a tied output, as in BERT and Marian.
    """

    def __init__(self, *, tie_output=False, output_bias=False, **kwargs):
        super().__init__(**kwargs)
        self.tie_output = tie_output
        self.output_bias = output_bias
        self.tied_bias = None
        if output_bias and not tie_output:
            raise InputError("output_bias is for a tied output; an own layer has one anyway.")

    def make_final_layer(self, vocab_size):
        """Makes the layer that gives logits; ``None`` with a tied output."""
        if not self.tie_output:
            return keras.layers.Dense(vocab_size, dtype=self.dtype_policy)
        if isinstance(self.target_embedding, OneHot):
            raise InputError("tie_output needs learned token vectors; got one-hot ones.")
        if self.output_bias:
            self.tied_bias = self.add_weight(
                shape=(vocab_size,), initializer="zeros", name="output_bias", autocast=False
            )
        return None

    def embeddings_initializer(self, width):
        """Initializer of token vectors of a width."""
        # A tied embedding also gives logits: vectors of length about 1 keep them small.
        return keras.initializers.RandomNormal(stddev=width**-0.5) if self.tie_output else "uniform"

    @property
    def target_embedding(self):
        """The `keras.layers.Embedding` of a tied output."""
        raise NotImplementedError

    @property
    def d_model(self) -> int:
        """Width of the model."""
        raise NotImplementedError

    def decoder_output(self, inputs, training=None):
        """Runs the model without its final layer.

        Returns:
            ``(batch, seq, width)``; `token_logits` of it are the logits.
        """
        raise NotImplementedError

    def output_projection(self) -> tuple:
        """Weights of the final layer.

        Returns:
            ``(kernel, bias, transposed)``: ``(width, vocab)``, ``(vocab,)`` and ``False``; or, with
            a tied output, the embedding, ``(vocab, width)``, a bias or ``None``, and ``True``.
        """
        if self.final_layer is not None:
            return self.final_layer.kernel, self.final_layer.bias, False
        return self.target_embedding.embeddings, self.tied_bias, True

    def output_columns(self, ids) -> dict:
        """What `token_logits` needs to give the logits of some ids alone.

        Args:
            ids: int32 ``(n,)``.

        Returns:
            ``weight``, ``(n, width)`` with a tied output and else ``(width, n)``, and ``bias``,
            ``(n,)``, where there is one.
        """
        weight, bias, transposed = self.output_projection()
        columns = {"weight": tf.gather(weight, ids, axis=0 if transposed else 1)}
        if bias is not None:
            columns["bias"] = tf.gather(bias, ids)
        return columns

    def token_logits(self, x, columns=None):
        """Logits of vectors.

        Args:
            x: ``(batch, seq, width)``.
            columns: from `output_columns`; all ids unless given.

        Returns:
            ``(batch, seq, vocab)``, or one for each of the columns.
        """
        if columns is None and self.final_layer is not None:
            return self.final_layer(x)
        weight, bias, transposed = self.output_projection()
        if columns is not None:
            weight, bias = columns["weight"], columns.get("bias")
        batch, seq = batch_and_length(x)
        # With three dimensions TensorFlow computes a product for each row of the batch.
        logits = tf.matmul(
            tf.reshape(x, (-1, x.shape[-1])), tf.cast(weight, x.dtype), transpose_b=transposed
        )
        if bias is not None:
            logits += tf.cast(bias, x.dtype)
        vocab = weight.shape[0 if transposed else 1] or tf.shape(logits)[-1]
        return tf.reshape(logits, (batch, seq, vocab))

    def get_config(self):
        return {
            **super().get_config(),
            "name": self.name,
            "tie_output": self.tie_output,
            "output_bias": self.output_bias,
        }


class TranslationModel(TokenModel):
    """Base of the translation models, with source and target token ids.

    A subclass also defines `last_attention_scores`.

    Args:
        input_vocab_size: number of source tokens; NumPy and TensorFlow integers are accepted.
        target_vocab_size: number of target tokens; likewise.
        share_embeddings: use one embedding for source and target; needs equal vocabulary sizes.

    The other arguments are those of `TokenModel`.
    """

    def __init__(self, *, input_vocab_size, target_vocab_size, share_embeddings=False, **kwargs):
        super().__init__(**kwargs)
        self.input_vocab_size = int(input_vocab_size)
        self.target_vocab_size = int(target_vocab_size)
        self.share_embeddings = share_embeddings
        if share_embeddings and self.input_vocab_size != self.target_vocab_size:
            raise InputError(
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
