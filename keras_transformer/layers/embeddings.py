"""Token embeddings: learned, one-hot, or from given word vectors."""

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError

EMBEDDINGS = ("learned", "one_hot")
"""``learned``: a trained vector for each token; ``one_hot``: `OneHot`."""

SIDES = {"source": "encoder", "target": "decoder"}


@keras.saving.register_keras_serializable("keras_transformer")
class OneHot(keras.layers.Layer):
    """One-hot vectors of token ids, in place of ``keras.layers.Embedding``.

    The product of a one-hot vector with a kernel is a row of the kernel, so that the model's first
    matrix serves as its token vectors. An id beyond the vocabulary gives zeros.

    Args:
        vocab_size: number of tokens, and width of the vectors.

    Call arguments:
        ids: token ids, any shape.

    Returns:
        ``(..., vocab_size)``, in the compute dtype.

    Example:
        >>> OneHot(3)(tf.constant([[1, 2]])).numpy().tolist()
        [[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    """

    def __init__(self, vocab_size, **kwargs):
        super().__init__(**kwargs)
        self.vocab_size = int(vocab_size)

    def call(self, ids):
        return tf.one_hot(tf.cast(ids, tf.int32), self.vocab_size, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "vocab_size": self.vocab_size}


def make_embedding(kind, vocab_size, width, *, embeddings_initializer="uniform", **kwargs):
    """Makes a token embedding.

    Args:
        kind: one of `EMBEDDINGS`.
        vocab_size: number of tokens.
        width: width of the vectors.
        embeddings_initializer: initial vectors of a learned embedding.
        **kwargs: further arguments of the layer.

    Raises:
        InputError: for another kind, and for one-hot vectors of another width than `vocab_size`.
    """
    if kind == "learned":
        return keras.layers.Embedding(
            vocab_size, width, embeddings_initializer=embeddings_initializer, **kwargs
        )
    if kind != "one_hot":
        raise InputError(f"An embedding is one of {', '.join(EMBEDDINGS)}; got {kind!r}.")
    if width != vocab_size:
        raise InputError(
            f"One-hot vectors are as wide as the vocabulary has tokens, {vocab_size}; got a width "
            f"of {width}. Set embedding_size of a recurrent model, or d_model, to {vocab_size}."
        )
    return OneHot(vocab_size, **kwargs)


def token_embedding(model, side) -> keras.layers.Layer:
    """The token embedding of one side of a model.

    Args:
        model: a `Transformer` or a `RecurrentSeq2Seq`.
        side: ``source`` or ``target``.

    Raises:
        ValueError: for another side.
    """
    if side not in SIDES:
        raise InputError(f"A side is one of {', '.join(SIDES)}; got {side!r}.")
    stack = getattr(model, SIDES[side])
    return getattr(stack, "pos_embedding", stack).embedding


def set_word_vectors(model, side, matrix, *, trainable=True) -> None:
    """Sets the token vectors of one side of a model, and which of them are trainable.

    Call it before `compile` and before a `TrainingStep` is made: both list the trainable weights
    once. `trainable` is not saved with the model. With `share_embeddings` both sides change; with
    `tie_output` the vectors of the target also give the logits.

    Args:
        model: a `Transformer` or a `RecurrentSeq2Seq`.
        side: ``source`` or ``target``.
        matrix: ``(vocab_size, width)``, such as the `matrix` of `data.word_vectors`.
        trainable: a bool for all vectors, or bool ``(vocab_size,)``, such as ``~rows.found``.

    Raises:
        ValueError: for a side, matrix or `trainable` that does not fit the model.
    """
    embedding = token_embedding(model, side)
    if not hasattr(embedding, "embeddings"):
        raise InputError(
            f"The {side} embedding of {model.name} is {type(embedding).__name__}, which has no "
            "vectors to set. Make the model with a learned embedding."
        )
    weight = embedding.embeddings
    matrix, rows = np.asarray(matrix), None
    _check_size(weight.shape, matrix.shape, side)
    if not isinstance(trainable, bool):
        rows = np.asarray(trainable)
        if rows.dtype != bool or rows.shape != (len(matrix),):
            raise InputError(
                "trainable is True, False or a bool for each of the "
                f"{len(matrix)} tokens; got {rows.dtype} of shape {rows.shape}."
            )
    weight.assign(matrix)
    embedding.trainable = True if rows is not None else trainable
    weight.constraint = None if rows is None or rows.all() else _KeptRows(matrix, ~rows)


def _check_size(expected, got, side):
    if len(got) != 2 or got[0] != expected[0]:
        raise InputError(
            f"The {side} side has {expected[0]} tokens; got word vectors of shape {got}. Make them "
            "for the vocabulary of the model's tokenizer."
        )
    if got[1] != expected[1]:
        raise InputError(
            f"The {side} embedding is {expected[1]} wide; got word vectors of width {got[1]}. Make "
            f"the model with embedding_size={got[1]} (a recurrent one) or d_model={got[1]} (a "
            "Transformer), or use other vectors."
        )


class _KeptRows(keras.constraints.Constraint):
    """Constraint that sets some rows back after every update.

    Unlike a second, frozen weight, it leaves the names and number of the weights as they are.

    Args:
        matrix: values of the rows, ``(rows, width)``.
        kept: which rows are kept, bool ``(rows,)``.
    """

    def __init__(self, matrix, kept):
        self.kept = tf.constant(kept[:, np.newaxis])
        self.matrix = tf.constant(matrix, tf.float32)

    def __call__(self, w):
        w = tf.convert_to_tensor(w)
        return tf.where(self.kept, tf.cast(self.matrix, w.dtype), w)
