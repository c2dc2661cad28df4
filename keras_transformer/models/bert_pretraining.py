"""Pretraining of BERT: masked language modelling and next sentence prediction.

Design choices: the model computes its losses itself, because a loss given to `compile` would need
the logits of all positions, several times the work for the masked ones alone. Sources: BERT (arXiv
1810.04805), section 3.1; ALBERT (arXiv 1909.11942), section 3.1.
"""

import keras
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.layers.attention.masks import padding_keep_mask
from keras_transformer.layers.dropout import dropout_seed
from keras_transformer.layers.layer_normalization import LayerNormalization
from keras_transformer.losses.metrics import predicted_tokens
from keras_transformer.losses.projected import projected_loss
from keras_transformer.models.base import TokenModel
from keras_transformer.models.bert import WithBert, bert_dense, ids_and_segments


@keras.saving.register_keras_serializable("keras_transformer")
class BertPretraining(WithBert, TokenModel):
    """BERT with the heads of its pretraining (BERT, section 3.1; ALBERT, section 3.1).

    A dense layer, a normalisation and the tied embedding predict masked tokens; a dense layer on
    the pooled vector predicts whether the second sentence follows the first (BERT) or the two are
    in order (ALBERT), depending on the data. The loss is the mean over the predicted tokens plus
    the mean over the pairs.

    Args:
        bert: a `Bert`, with a pooler if `next_sentence`.
        next_sentence: whether to predict the next sentence, too.

    Call arguments:
        inputs: as for `Bert`.
        training: whether dropout is active.

    Returns:
        a dictionary: ``tokens``, logits of every position, ``(batch, seq, vocab_size)``; and with
        `next_sentence` ``next``, logits, ``(batch, 2)``.

    `fit` needs no loss and takes batches ``(inputs, labels)``, such as those of
    `masked_language_batches`: ``labels`` are ``{"tokens": ..., "next": ...}`` with the tokens to
    predict, ``(batch, seq)``, 0 elsewhere, and 0 for a true pair or 1, ``(batch,)``. Without
    `next_sentence` they may be the tokens alone. Rows of padding only are ignored.

    Example:
        >>> bert = Bert(vocab_size=8001, num_layers=2, d_model=64, num_heads=4, dff=128)
        >>> model = BertPretraining(bert)
        >>> model.compile(keras.optimizers.AdamW(1e-4))
        >>> model.fit(masked_language_batches(pairs, vocab_size=8000))
    """

    def __init__(self, bert, *, next_sentence=True, **kwargs):
        kwargs.setdefault("dtype", bert.dtype_policy)
        super().__init__(tie_output=True, output_bias=True, **kwargs)
        if next_sentence and bert.pooler is None:
            raise InputError(
                "next_sentence needs the vectors of whole texts: make the Bert with pooler=True, "
                "or give next_sentence=False."
            )
        self.bert = bert
        self.next_sentence = next_sentence
        encoder, width = bert.encoder, bert.embedding.embedding_size
        self.transform = bert_dense(width, activation=encoder.activation, dtype=self.dtype_policy)
        self.transform_norm = LayerNormalization(
            epsilon=encoder.layer_norm_epsilon, dtype=self.dtype_policy
        )
        self.final_layer = self.make_final_layer(bert.vocab_size)
        self.next_sentence_head = bert_dense(2, dtype=self.dtype_policy) if next_sentence else None
        names = ["token_loss", "token_accuracy"]
        names += ["next_loss", "next_accuracy"] if next_sentence else []
        self.means = [keras.metrics.Mean(name=name) for name in names]
        self.build((None, None))

    def build(self, input_shape):
        if self.built:
            return
        self.transform.build((None, None, self.d_model))
        self.transform_norm.build((None, None, self.transform.units))
        if self.next_sentence:
            self.next_sentence_head.build((None, self.d_model))
        self.built = True

    @property
    def d_model(self) -> int:
        return self.bert.d_model

    @property
    def target_embedding(self):
        return self.bert.embedding.pos_embedding.embedding

    def call(self, inputs, training=None):
        output = self.bert(inputs, training=training)
        logits = {"tokens": self.token_logits(self._transformed(output.sequence))}
        if self.next_sentence:
            logits["next"] = self.next_sentence_head(output.pooled)
        return logits

    def decoder_output(self, inputs, training=None):
        return self._transformed(self.bert(inputs, training=training).sequence)

    def _transformed(self, x):
        """``(..., d_model)`` to ``(..., width)`` for the product with the embedding."""
        return self.transform_norm(self.transform(x))

    def compile(self, optimizer="rmsprop", **kwargs):
        """Compiles as `TrainedModel` does; losses and metrics are the model's own."""
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.get(name) is not None:
                raise InputError(f"{type(self).__name__} has its own losses: leave out {name}.")
        super().compile(optimizer, **kwargs)

    def train_step(self, data):
        """Trains one step; without XLA, logits are computed for predicted tokens only."""
        with dropout_seed(self.dropout_seed, self.optimizer.iterations), tf.GradientTape() as tape:
            loss = self.optimizer.scale_loss(self._loss_of(data, training=True))
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return self.get_metrics_result()

    def test_step(self, data):
        self._loss_of(data, training=False)
        return self.get_metrics_result()

    def get_metrics_result(self):
        """Means since the last reset; ``loss`` is the sum of the losses of both tasks."""
        results = super().get_metrics_result()
        return {**results, "loss": results["token_loss"] + results.get("next_loss", 0.0)}

    def _loss_of(self, data, training):
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            raise InputError("Batches are (inputs, labels); a third part has no meaning here.")
        loss, sums = self.pretraining_loss(inputs, labels, training=training)
        for mean, (total, number) in zip(self.means, sums, strict=True):
            mean.update_state(tf.math.divide_no_nan(total, number), sample_weight=number)
        return loss

    def pretraining_loss(self, inputs, labels, training=None):
        """Computes the loss of a batch without the logits of all its tokens.

        Args:
            inputs, labels: a batch of `fit`.
            training: whether dropout is active.

        Returns:
            ``(loss, sums)``: a float32 scalar, on several replicas this one's share of the loss;
            and ``(sum, count)`` of the losses of predicted tokens, of their hits, and with
            `next_sentence` of the losses and hits of pairs.
        """
        labels = labels if isinstance(labels, dict) else {"tokens": labels}
        wanted = {"tokens", "next"} if self.next_sentence else {"tokens"}
        if missing := ", ".join(sorted(wanted - labels.keys())):
            raise InputError(f"The labels of a batch lack {missing}; got {', '.join(labels)}.")
        output = self.bert(inputs, training=training)
        token_loss, hits, tokens = self._token_sums(output.sequence, labels["tokens"])
        loss = tf.math.divide_no_nan(token_loss, _of_all_replicas(tokens))
        sums = [(token_loss, tokens), (hits, tokens)]
        if self.next_sentence:
            real = tf.reduce_any(padding_keep_mask(ids_and_segments(inputs)[0]), axis=-1)
            next_loss, hits, pairs = self._next_sums(output.pooled, labels["next"], real)
            loss += tf.math.divide_no_nan(next_loss, _of_all_replicas(pairs))
            sums += [(next_loss, pairs), (hits, pairs)]
        return loss, sums

    def _token_sums(self, x, label):
        """Sums of loss and hits over predicted tokens, and their number."""
        static = bool(self.compiled and self.jit_compile)
        if not static:
            predicted = padding_keep_mask(label)
            x, label = tf.boolean_mask(x, predicted), tf.boolean_mask(label, predicted)
        kernel, bias, transposed = self.output_projection()
        loss, _, hits, tokens = projected_loss(
            self._transformed(x), label, kernel, bias, transposed=transposed, static=static
        )
        return loss, hits, tokens

    def _next_sums(self, pooled, label, real):
        """Sums of loss and hits over real pairs, and their number."""
        logits = tf.cast(self.next_sentence_head(pooled), tf.float32)
        label = tf.reshape(tf.cast(label, tf.int32), (-1,))
        weights = tf.cast(real, tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=logits)
        hits = tf.cast(predicted_tokens(logits) == label, tf.float32)
        return tuple(tf.reduce_sum(x * weights) for x in (losses, hits, tf.ones_like(weights)))

    def get_config(self):
        config = {**super().get_config(), "next_sentence": self.next_sentence}
        del config["tie_output"], config["output_bias"]
        return config


def _of_all_replicas(number):
    """The sum of a number over all replicas."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return number
    return context.all_reduce(tf.distribute.ReduceOp.SUM, number)
