"""What stands for a token at a model's entrance: a learned vector, a one-hot one, a given one."""

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.errors import InputError

EMBEDDINGS = ("learned", "one_hot")
"""``learned``: a trained vector for each token, which may start from given word vectors;
``one_hot``: a 1 in the token's own place."""

SIDES = {"source": "encoder", "target": "decoder"}


@keras.saving.register_keras_serializable("keras_transformer")
class OneHot(keras.layers.Layer):
    """Token ids as vectors with a single 1, in the place of ``keras.layers.Embedding``.

    The product of such a vector with a kernel is a row of the kernel: the first matrix of the
    model is its table of token vectors. An id beyond the vocabulary gives zeros.

    Args:
        vocab_size: number of tokens, and width of the vectors.

    Call arguments:
        ids: token ids, any shape.

    Returns:
        the shape of `ids` with `vocab_size` behind it, in the compute dtype.

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
    """A token embedding of one of the kinds of `EMBEDDINGS`.

    Args:
        kind: the kind.
        vocab_size: number of tokens.
        width: of the vectors.
        embeddings_initializer: initial vectors of a learned one.
        **kwargs: for the layer.

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
    """The layer that makes vectors of a model's token ids.

    Args:
        model: a `Transformer` or a `RecurrentSeq2Seq`.
        side: ``source`` or ``target``.

    Raises:
        ValueError: for another side.
    """
    if side not in SIDES:
        raise ValueError(f"A side is one of {', '.join(SIDES)}; got {side!r}.")
    stack = getattr(model, SIDES[side])
    return getattr(stack, "pos_embedding", stack).embedding


def set_word_vectors(model, side, matrix, *, trainable=True) -> None:
    """Gives the tokens of one side these vectors, and says which of them training may change.

    Call it before the model is compiled and before a `TrainingStep` is made of it: both take the
    list of weights to train once. What is frozen belongs to the training and is not saved with
    the model. With `share_embeddings` either side is both; with `tie_output` the vectors of the
    target also make the logits.

    Args:
        model: a `Transformer` or a `RecurrentSeq2Seq`.
        side: ``source`` or ``target``.
        matrix: ``(vocab_size, width)``, such as the `matrix` of `data.word_vectors`.
        trainable: ``True``; ``False``, which freezes all vectors; or bool ``(vocab_size,)``, which
            freezes those with ``False``, such as ``~rows.found``.

    Raises:
        ValueError: for a side, matrix or `trainable` that does not fit the model.
    """
    embedding = token_embedding(model, side)
    if not hasattr(embedding, "embeddings"):
        raise ValueError(
            f"The {side} embedding of {model.name} is {type(embedding).__name__}, which has no "
            "vectors to set. Make the model with a learned embedding."
        )
    weight = embedding.embeddings
    matrix, rows = np.asarray(matrix), None
    _check_size(weight.shape, matrix.shape, side)
    if not isinstance(trainable, bool):
        rows = np.asarray(trainable)
        if rows.dtype != bool or rows.shape != (len(matrix),):
            raise ValueError(
                "trainable is True, False or a bool for each of the "
                f"{len(matrix)} tokens; got {rows.dtype} of shape {rows.shape}."
            )
    weight.assign(matrix)
    embedding.trainable = True if rows is not None else trainable
    weight.constraint = None if rows is None or rows.all() else _KeptRows(matrix, ~rows)


def _check_size(expected, got, side):
    if len(got) != 2 or got[0] != expected[0]:
        raise ValueError(
            f"The {side} side has {expected[0]} tokens; got word vectors of shape {got}. Make them "
            "for the vocabulary of the model's tokenizer."
        )
    if got[1] != expected[1]:
        raise ValueError(
            f"The {side} embedding is {expected[1]} wide; got word vectors of width {got[1]}. Make "
            f"the model with embedding_size={got[1]} (a recurrent one) or d_model={got[1]} (a "
            "Transformer), or use other vectors."
        )


class _KeptRows(keras.constraints.Constraint):
    """Undoes what an update did to some rows.

    A constraint works in every way there is to train, and leaves a model's weights, their names
    and their number as they are.

    Args:
        matrix: values of the rows, ``(rows, width)``.
        kept: which of them stay, bool ``(rows,)``.
    """

    def __init__(self, matrix, kept):
        self.kept = tf.constant(kept[:, np.newaxis])
        self.matrix = tf.constant(matrix, tf.float32)

    def __call__(self, w):
        w = tf.convert_to_tensor(w)
        return tf.where(self.kept, tf.cast(self.matrix, w.dtype), w)
